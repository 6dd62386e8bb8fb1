// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "crate/core/threads.hpp"
#include "crate/inference/folded_chain.hpp"
#include "crate/inference/folded_image_classifier.hpp"
#include "crate/inference/folded_ista.hpp"
#include "crate/inference/folded_linear.hpp"
#include "crate/inference/folded_masked_autoencoder.hpp"
#include "crate/inference/folded_mssa.hpp"
#include "crate/inference/folded_overcomplete_ista.hpp"
#include "crate/layers/combinators.hpp"
#include "crate/layers/dictionary.hpp"
#include "crate/layers/ista.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/masked_autoencoder.hpp"

// Folding: a trained model rewritten into fewer, fatter operations, since its weights do not change any more.
//
//   LN in front of a linear map   goes into the map's weights but for one number a token, 1 / sigma
//   ISTA                          is affine before its threshold: prox(A x + c), A = I + eta D^T (I - D), one product for two
//   Z + layer(Z)                  is added where the layer's last product is finished
//
// So an encoder block takes three products, U^T LN(z), W attention + b + z and prox(A LN(z) + c), and a pair of encoder and
// decoder block six. Everything is computed in double and rounded once.
//
// With weights in bfloat16 sums are floats. Where the processor multiplies bfloat16, tokens are rounded too, at twice the speed of floats;
// elsewhere the weights alone. Two things keep the error small: ISTA adds its step, (A - I) x + c, to tokens x = LN(z) that are not
// rounded, nor does attention of the first block round any.

namespace crate {

namespace detail {

/// How the folded weights are stored, who helps to fold, and whether attention multiplies unrounded tokens.
template <FoldedWeight W>
struct Folding {
  Threads& threads;
  bool keeps_tokens = false;
};

template <FoldedWeight W, Scalar S>
[[nodiscard]] FoldedMssa<W> folded(Folding<W> how, PreNorm<Mssa<S>> layer, int sign = 1) {
  return FoldedMssa<W>(std::move(layer), sign, how.keeps_tokens);
}

/// prox(A LN(z) + c) with A = I + eta D^T (I - D), or by rule A = (1 + 4 / (9 (1 + alpha))) D^T.
template <FoldedWeight W, Scalar S>
[[nodiscard]] auto folded(Folding<W>, PreNorm<Ista<S>> layer) {
  const IstaOptions& options = layer.layer.options;
  AffineMap map(layer.layer.dictionary.transpose());
  double level = options.step * options.lambda;
  if (options.rule == SparsifyRule::proximal_gradient) {
    Matrix<double> gram = Matrix<double>::Zero(map.weight.rows(), map.weight.rows());
    gram.template selfadjointView<Eigen::Lower>().rankUpdate(map.weight);
    map.weight.template triangularView<Eigen::Lower>() -= gram;
    map.weight.template triangularView<Eigen::StrictlyUpper>() -= gram.transpose();
    map.weight *= options.step;
    map.weight.diagonal().array() += 1;
  } else {
    map.weight *= 1 + 4 / (9 * (1 + options.alpha));
    level = 4 * options.lambda / (9 * options.alpha);
  }
  if constexpr (std::same_as<W, S>)
    return with_threshold<W>(&layer.norm, std::move(map), options.threshold, level);
  else
    return FoldedIsta<W>(std::move(layer.norm), std::move(map), options.threshold, level);
}

template <FoldedWeight W, Scalar S>
[[nodiscard]] FoldedLinear<W> folded(Folding<W>, PreNorm<Dictionary<S>> layer) {
  return FoldedLinear<W>(layer.norm, AffineMap(layer.layer.dictionary));
}

template <FoldedWeight W, Scalar S>
[[nodiscard]] FoldedOvercompleteIsta<W> folded(Folding<W>, PreNorm<OvercompleteIsta<S>> layer) {
  return FoldedOvercompleteIsta<W>(std::move(layer));
}

template <FoldedWeight W, class Inner, int sign>
[[nodiscard]] auto folded(Folding<W> how, SignedResidual<Inner, sign> residual) {
  if constexpr (sign > 0)
    return FoldedResidual(folded(how, std::move(residual.layer)));
  else
    return FoldedResidual(folded(how, std::move(residual.layer), sign), sign);
}

template <FoldedWeight W, class Inner>
[[nodiscard]] auto folded(Folding<W> how, Recompute<Inner> recompute) {
  return folded(how, std::move(recompute.layer));
}

/// Gives back to the system what was freed between what is still held: the layers that are folded already, and the room in which they
/// were.
inline void return_freed_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

/// Blocks of a stack, each by one thread. Attention of the first rounds no tokens, for what is rounded there is amplified by all blocks
/// behind it.
template <FoldedWeight W, class Link>
[[nodiscard]] auto folded(Folding<W> how, std::vector<Link> links) {
  using Folded = decltype(folded(how, std::move(links.front())));
  std::vector<std::optional<Folded>> made(links.size());
  how.threads.for_each(std::ssize(links), [&](Index block, int) {
    const auto i = static_cast<std::size_t>(block);
    made[i].emplace(folded(Folding<W>{how.threads, i == 0}, std::move(links[i])));
    return_freed_memory();
  });
  std::vector<Folded> result;
  result.reserve(made.size());
  for (std::optional<Folded>& block : made) result.push_back(*std::move(block));
  return result;
}

template <FoldedWeight W, class C>
requires std::derived_from<C, Chain<C, typename C::Scalar>>
[[nodiscard]] auto folded(Folding<W> how, C chain) {
  return std::apply(
      [&](const auto&... entries) {
        return FoldedChain<typename C::Scalar, decltype(folded(how, std::move(chain.*entries.member)))...>(
            {entries.name...}, folded(how, std::move(chain.*entries.member))...);
      },
      C::parts());
}

template <FoldedWeight W, class Block, class Embedding>
[[nodiscard]] auto folded(Folding<W> how, ImageClassifier<Block, Embedding> model) {
  auto encoder = folded(how, std::move(model.encoder));
  return FoldedImageClassifier<W, decltype(encoder)>(std::move(model), std::move(encoder));
}

template <FoldedWeight W, Scalar S>
[[nodiscard]] auto folded(Folding<W> how, MaskedAutoencoder<S> model) {
  auto encoder = folded(how, std::move(model.encoder));
  auto decoder = folded(how, std::move(model.decoder));
  return FoldedMaskedAutoencoder<W, decltype(encoder), decltype(decoder)>(std::move(model), std::move(encoder),
                                                                          std::move(decoder));
}

}  // namespace detail

/// A model, encoder, decoder or block made of PreNorm<Mssa>, PreNorm<Ista>, PreNorm<Dictionary> and PreNorm<OvercompleteIsta>, for
/// inference alone: fewer products, finished in registers, on weights arranged for the processor and stored as W, which is the model's
/// scalar or, for float, bfloat16. It computes what the model computes within rounding, with the same `forward`. The model is consumed,
/// layer by layer: hand it over by std::move, and never more than one layer a thread is held twice. Without threads it is folded on one.
/// Observers see the same half-steps, but nothing inside them.
template <FoldedWeight W, class Model>
requires(std::same_as<ScalarOf<W>, typename Model::Scalar>)
    [[nodiscard]] auto fold(Model model, Threads* threads = nullptr) {
  Threads one;
  return detail::folded(detail::Folding<W>{threads ? *threads : one}, std::move(model));
}

template <class Model>
[[nodiscard]] auto fold(Model model, Threads* threads = nullptr) {
  return fold<typename Model::Scalar>(std::move(model), threads);
}

}  // namespace crate
