// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
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
  double rate = 2e-3;      ///< of Adam, falling as half a cosine
  double epsilon = 0.5;    ///< precision of the code, as in the rates: root mean square error of a token
  std::uint64_t seed = 0;  ///< of the errors that coding makes
};

/// Training makes small error / error_0 + 1/4 code / code_0, each measured by what it was before training. Z' is
/// decoded from the code A of Z with errors of the given precision, or the code could shrink to nothing, and the
/// decoder blow it up again.
struct TrainLoss {
  double error = 0;  ///< ||Z - Z'||_F^2
  double code = 0;   ///< ||A||_1
};

struct Training {
  TrainLoss before, after;
  double seconds = 0;
};

/// Trains on all tokens at once, by Adam with gradients through every exact step. After each step the columns of all
/// subspaces and dictionaries are scaled back to the lengths that they began with, for which the thresholds were
/// chosen.
Training train(Autoencoder& autoencoder, const Matrix& tokens, const TrainOptions& options, const Progress& progress,
               crate::Threads& threads);

}  // namespace compress_tokens
