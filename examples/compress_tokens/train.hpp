// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "compress_tokens/progress.hpp"
#include "compress_tokens/white_box.hpp"
#include "crate/core/part.hpp"
#include "crate/core/threads.hpp"

// Learning the subspaces and dictionaries of an encoder and its decoder from the tokens, end to end.

namespace compress_tokens {

/// Encoder and decoder, whose weights begin as mirror images and part in training.
struct Autoencoder {
  using Scalar = double;

  Encoder encoder;
  Decoder decoder;

  static constexpr auto parts() {
    return std::tuple{crate::part("encoder", &Autoencoder::encoder), crate::part("decoder", &Autoencoder::decoder)};
  }
};

struct TrainOptions {
  Index steps = 200;
  double rate = 2e-3;  ///< of Adam, falling as half a cosine
};

/// What training makes small: ||Z - Z'||^2 / ||Z - Z'_0||^2 + ||A||_1 / ||A_0||_1, where Z' is decoded from the code A of Z, and
/// Z'_0 and A_0 are those before training. So it begins at 2, and neither error nor code may grow but for the other's good.
struct TrainLoss {
  double error = 0;  ///< ||Z - Z'||^2
  double code = 0;   ///< ||A||_1
};

struct Training {
  TrainLoss before, after;
  double seconds = 0;
};

/// Trains on all tokens at once, by Adam with gradients through every exact step. After each step the columns of all subspaces and
/// dictionaries are scaled back to the lengths that they began with: otherwise the code could shrink to nothing, and the decoder
/// blow it up again.
Training train(Autoencoder& autoencoder, const Matrix& tokens, const TrainOptions& options, const Progress& progress,
               crate::Threads& threads);

}  // namespace compress_tokens
