// SPDX-License-Identifier: MIT
#include "compress_tokens/plan.hpp"

#include <algorithm>
#include <cmath>

#include "compress_tokens/rate_distortion.hpp"
#include "crate/analysis/estimate_dictionary.hpp"

namespace compress_tokens {

namespace {

/// Standard deviation per coordinate of what the subspaces leave out, taken as noise that is alike in all directions;
/// at least a thousandth of the tokens themselves.
[[nodiscard]] double noise_level(const Matrix& tokens, const EstimatedSubspaces& estimated) {
  const double mean_square = tokens.squaredNorm() / static_cast<double>(tokens.size());
  const auto outside = static_cast<double>(std::max<Index>(1, tokens.rows() - estimated.subspaces.head_dim()));
  const double noise = std::sqrt(mean_square * estimated.residual * static_cast<double>(tokens.rows()) / outside);
  return std::max(noise, 1e-3 * std::sqrt(mean_square));
}

[[nodiscard]] bool dictionary_from_subspaces(const Subspaces& subspaces, DictionarySource wanted) {
  if (wanted != DictionarySource::automatic) return wanted == DictionarySource::subspaces;
  return independence(subspaces) >= least_independence;
}

}  // namespace

EstimatedSubspaces estimate(const Source& source, const Options& options, crate::Threads& threads) {
  const Index photograph_dim = std::min<Index>(12, source.tokens.rows());
  const Index dim = options.dim.value_or(source.photograph ? photograph_dim : options.toy.dim);
  return crate::estimate_subspaces(
      source.tokens, {.subspaces = options.subspaces.value_or(options.toy.subspaces), .dim = dim, .seed = options.seed},
      threads);
}

Strength choose_strength(const Source& source, const EstimatedSubspaces& estimated, const Options& options) {
  const auto root_dim = std::sqrt(static_cast<double>(source.tokens.rows()));
  const double noise = noise_level(source.tokens, estimated);
  Strength strength{.kappa = options.kappa, .step = options.step};
  strength.epsilon = options.epsilon.value_or(root_dim * (source.photograph ? 0.05 : noise));
  strength.lambda = options.lambda.value_or(
      source.photograph ? 0.2 * quantiser_step(strength.epsilon, source.tokens.rows()) : 2 * noise);
  strength.check();
  return strength;
}

Plan make_plan(const Matrix& tokens, const Subspaces& subspaces, bool given, const Strength& strength,
               const Options& options, crate::Threads& threads) {
  const std::string origin = given ? "given by the toy" : "estimated from the tokens alone";
  if (dictionary_from_subspaces(subspaces, options.dictionary))
    return {strength, weights_from_subspaces(subspaces, options.depth), origin,
            "the bases of the subspaces; the layers' dictionaries multiply to them"};
  const Matrix dictionary =
      crate::estimate_dictionary(tokens, {.threshold = quantiser_step(strength.epsilon, tokens.rows())}, threads);
  return {strength, weights_from_dictionary(subspaces, dictionary, options.depth), origin,
          "the sparsest orthonormal basis found for the tokens alone"};
}

}  // namespace compress_tokens
