// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "compress_tokens/progress.hpp"
#include "crate/core/threads.hpp"
#include "crate/white_box/white_box.hpp"

// Learning the subspaces and dictionaries of a white box from the tokens, end to end.

namespace compress_tokens {

using crate::Index;
using Matrix = crate::Matrix<double>;
using WhiteBox = crate::WhiteBox<double>;

struct TrainOptions {
  Index steps = 200;
  double rate = 2e-3;      ///< of Adam, falling as half a cosine
  double precision = 0.5;  ///< of the code: root mean square error of a token
  std::uint64_t seed = 0;  ///< of the errors that coding makes
};

/// Training makes small error / error_0 + 1/4 code / code_0, each measured by what it was before training. Z' is
/// decoded from the code A of Z plus noise of the given precision; without noise the code could shrink towards zero
/// while the decoder amplifies it.
struct TrainLoss {
  double error = 0;  ///< ||Z - Z'||_F^2
  double code = 0;   ///< ||A||_1
};

struct Training {
  TrainLoss before, after;
  double seconds = 0;
};

/// Trains on all tokens at once, by Adam with gradients through every step. Encoder and decoder begin as mirror images
/// and part: a layer of the decoder is then Z + kappa g(D Z), one turn of the inverse instead of many. After each step
/// the columns of all subspaces and dictionaries are scaled back to the lengths that they began with, for which the
/// thresholds were chosen.
Training train(WhiteBox& box, const Matrix& tokens, const TrainOptions& options, const Progress& progress,
               crate::Threads& threads);

}  // namespace compress_tokens
