// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "compress_tokens/options.hpp"
#include "compress_tokens/source.hpp"
#include "compress_tokens/white_box.hpp"
#include "crate/analysis/estimate_subspaces.hpp"

// Which subspaces, dictionary and step sizes the white box is built from, and why.

namespace compress_tokens {

using EstimatedSubspaces = crate::EstimatedSubspaces<double>;

/// What the encoder and decoder are made of, and how it is to be called.
struct Plan {
  Strength strength;
  Weights weights;
  std::string subspaces_from, dictionary_from;
};

/// Subspaces of the number and dimension that the options say, from the tokens alone.
[[nodiscard]] EstimatedSubspaces estimate(const Source& source, const Options& options, crate::Threads& threads);

/// Fills in what the options leave open: epsilon is the noise of a token and the thresholds together twice the noise
/// of a coordinate; for a photograph, whose details are no noise, epsilon is 5 % of the grey range a pixel and the
/// thresholds a fifth of the quantiser's step.
[[nodiscard]] Strength choose_strength(const Source& source, const EstimatedSubspaces& estimated,
                                       const Options& options);

/// `given` says whether the subspaces are the toy's own or were estimated from the tokens.
[[nodiscard]] Plan make_plan(const Matrix& tokens, const Subspaces& subspaces, bool given, const Strength& strength,
                             const Options& options, crate::Threads& threads);

}  // namespace compress_tokens
