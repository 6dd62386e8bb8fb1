// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compress_tokens/text.hpp"
#include "compress_tokens/white_box.hpp"
#include "crate/operators/rate_reduction.hpp"

// What every half-step of the encoder does to the rates, the sparsity and the objective.

namespace compress_tokens {

/// Rates are in nats per token, for the whole set at the stated epsilon.
struct LayerMeasures {
  std::string name;      ///< of the half-step, as in "1 compress"
  double rate;           ///< R(Z)
  double subspace_rate;  ///< R^c(Z | U), U in the coordinates that Z has then
  double nonzero_share;  ///< ||Z||_0 / (d N)
  double objective;      ///< R - R^c - w ||Z||_0 / N
};

[[nodiscard]] inline LayerMeasures measure(std::string name, const Matrix& tokens, const Subspaces& subspaces,
                                           double epsilon, double weight) {
  const auto count = static_cast<double>(tokens.cols());
  const double nonzeros = static_cast<double>((tokens.array() != 0).count());
  return {std::move(name), crate::coding_rate(tokens, {.epsilon = epsilon}),
          crate::subspace_coding_rate(tokens, subspaces, {.epsilon = epsilon}),
          nonzeros / static_cast<double>(tokens.size()),
          crate::sparse_rate_reduction(tokens, subspaces, {.epsilon = epsilon, .lambda = weight / count})};
}

struct EncodedTokens {
  Matrix codes;                         ///< d x N
  std::vector<LayerMeasures> measures;  ///< of the input and of each half-step
};

/// Runs the encoder and measures each half-step by an observer.
[[nodiscard]] inline EncodedTokens encode_and_measure(const Encoder& encoder, const Weights& weights,
                                                      const Matrix& tokens, double epsilon, double weight,
                                                      crate::Threads& threads) {
  EncodedTokens result;
  result.measures.push_back(measure("input", tokens, weights.subspaces.front(), epsilon, weight));
  const auto observer = [&](const crate::HalfStep<Matrix::Scalar>& step) {
    const bool compressed = step.name.ends_with(".compress");
    if (!compressed && !step.name.ends_with(".sparsify")) return;
    const std::size_t layer = (result.measures.size() - 1) / 2;
    result.measures.push_back(measure(std::to_string(layer + 1) + (compressed ? " compress" : " sparsify"),
                                      step.activation, weights.subspaces[compressed ? layer : layer + 1], epsilon,
                                      weight));
  };
  result.codes = crate::forward(encoder, tokens, {.threads = &threads, .observer = observer});
  return result;
}

inline void print_layer_table(std::ostream& out, const std::vector<LayerMeasures>& rows) {
  out << "  layer           R(Z)   R^c(Z|U)   R - R^c   non-zero   objective\n";
  for (const LayerMeasures& row : rows)
    out << text("  %-11s %8.3f   %8.3f  %8.3f   %7.1f %%  %9.3f\n", row.name.c_str(),
                finite("R(Z) of " + row.name, row.rate), finite("R^c(Z|U) of " + row.name, row.subspace_rate),
                row.rate - row.subspace_rate, 100 * row.nonzero_share,
                finite("objective of " + row.name, row.objective));
}

/// What rates are compared up to: tokens and rates are rounded.
inline constexpr double rate_rounding = 1e-9;

/// The layers, from 1, whose compression step raised R^c, or made it no number.
[[nodiscard]] inline std::vector<std::size_t> layers_that_raise_rate(const std::vector<LayerMeasures>& rows) {
  std::vector<std::size_t> layers;
  for (std::size_t i = 1; i < rows.size(); i += 2)
    if (!(rows[i].subspace_rate <= rows[i - 1].subspace_rate * (1 + rate_rounding))) layers.push_back((i + 1) / 2);
  return layers;
}

[[nodiscard]] inline bool every_layer_lowers_rate(const std::vector<LayerMeasures>& rows) {
  for (std::size_t i = 1; i < rows.size(); i += 2)
    if (!(rows[i].subspace_rate < rows[i - 1].subspace_rate * (1 - rate_rounding))) return false;
  return rows.size() > 1;
}

/// What became of R^c, a sentence.
[[nodiscard]] inline std::string describe_compression(const std::vector<LayerMeasures>& rows) {
  if (every_layer_lowers_rate(rows)) return "R^c fell at every compression step";
  const std::vector<std::size_t> raised = layers_that_raise_rate(rows);
  if (raised.empty()) return "R^c rose at no compression step, but did not fall at every one";
  std::string sentence = "R^c rose at the compression step of layer ";
  for (std::size_t i = 0; i < raised.size(); ++i) sentence += (i > 0 ? ", " : "") + std::to_string(raised[i]);
  return sentence;
}

/// How many times larger than crate::largest_kappa the step of a layer is, at most.
[[nodiscard]] inline double kappa_beyond_bound(const Encoder& encoder, Index tokens) {
  double most = 0;
  for (const auto& layer : encoder.layers) {
    const auto& options = layer.compress.options;
    most = std::max(most, options.kappa / crate::largest_kappa(layer.compress.subspaces, tokens, options.epsilon));
  }
  return most;
}

/// N R(Z) in bits: what coding all tokens to precision epsilon takes, by the definition of the rate.
[[nodiscard]] inline double coding_length_bits(double rate, Index tokens) {
  return rate * static_cast<double>(tokens) / std::log(2.0);
}

}  // namespace compress_tokens
