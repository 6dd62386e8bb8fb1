// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <iterator>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "crate/core/threads.hpp"
#include "crate/inference/folded_attention.hpp"
#include "crate/inference/folded_chain.hpp"
#include "crate/inference/folded_ista.hpp"
#include "crate/inference/folded_linear.hpp"
#include "crate/inference/folded_mlp.hpp"
#include "crate/inference/folded_overcomplete_ista.hpp"
#include "crate/inference/folded_patch_embedding.hpp"
#include "crate/inference/folded_residual.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/dictionary.hpp"
#include "crate/layers/ista.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/masked_patch_embedding.hpp"
#include "crate/layers/patch_embedding.hpp"
#include "crate/layers/pre_norm.hpp"
#include "crate/layers/recompute.hpp"
#include "crate/layers/residual.hpp"
#include "crate/layers/transposed.hpp"

// Folding: rewriting a trained model, whose weights no longer change, with fewer and larger operations.
//
//   LN before a linear map   is merged into the map's weights, except for one number per token, 1 / sigma
//   ISTA                     is affine before its threshold: prox(A x + c), A = I + eta D^T (I - D), one product
//                            instead of two
//   Z + layer(Z)             is added while the layer's last product is written
//
// So an encoder block needs three products, U^T LN(z), W attention + b + z and prox(A LN(z) + c), and a pair of encoder
// and decoder block six. Folded weights are computed in double and rounded once.
//
// With weights in bfloat16, sums are in float. If the processor multiplies bfloat16, tokens are rounded, too, at twice
// the speed of float; otherwise only the weights are. Two measures keep the error small: ISTA adds its step,
// (A - I) x + c, to unrounded tokens x = LN(z), and attention in the first block rounds no tokens.

namespace crate {

/// Returns the affine map W z + b that a layer applies to each token, for folding. Layers of your own are folded like
/// these if you declare such a function for them.
template <Scalar S>
[[nodiscard]] AffineMap affine_map(const Linear<S>& layer) {
  return AffineMap(layer.weight, layer.bias);
}
template <Scalar S>
[[nodiscard]] AffineMap affine_map(const Dictionary<S>& layer) {
  return AffineMap(layer.dictionary);
}
template <class Map>
[[nodiscard]] AffineMap affine_map(const Transposed<Map>& layer) {
  using S = typename Transposed<Map>::Scalar;
  return AffineMap(layer.map.weight.transpose(), layer.bias != nullptr ? *layer.bias : Vector<S>());
}

namespace detail {

/// A layer that is an affine map of each token and has an affine_map, W and b in double.
template <class L>
concept IsAffine = requires(const L& layer) {
  { affine_map(layer) } -> std::same_as<AffineMap>;
};

/// How folded weights are stored, the threads that fold, and whether attention multiplies unrounded tokens.
template <FoldedWeight W>
struct Folding {
  Threads& threads;
  bool keeps_tokens = false;
};

/// The general case: the layer is kept unchanged.
template <FoldedWeight W, class L>
[[nodiscard]] L folded(Folding<W>, L layer) {
  return layer;
}

template <FoldedWeight W, Scalar S>
[[nodiscard]] FoldedAttention<W> folded(Folding<W> how, PreNorm<Mssa<S>> layer, int sign = 1) {
  return FoldedAttention<W>(std::move(layer), sign, how.keeps_tokens);
}

template <FoldedWeight W, Scalar S>
[[nodiscard]] FoldedAttention<W> folded(Folding<W> how, PreNorm<SelfAttention<S>> layer, int sign = 1) {
  return FoldedAttention<W>(std::move(layer), sign, how.keeps_tokens);
}

template <FoldedWeight W, Scalar S>
[[nodiscard]] FoldedMlp<W> folded(Folding<W>, PreNorm<Mlp<S>> layer, int sign = 1) {
  return FoldedMlp<W>(layer, sign);
}

/// prox(A LN(z) + c) with A = I + eta D^T (I - D), or A = (1 + 4 / (9 (1 + alpha))) D^T under the rule
/// SparsifyRule::majorisation_minimisation.
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

template <FoldedWeight W, IsAffine L>
[[nodiscard]] FoldedLinear<W> folded(Folding<W>, PreNorm<L> layer) {
  return FoldedLinear<W>(layer.norm, affine_map(layer.layer));
}

template <FoldedWeight W, Scalar S>
[[nodiscard]] FoldedOvercompleteIsta<W> folded(Folding<W>, PreNorm<OvercompleteIsta<S>> layer) {
  return FoldedOvercompleteIsta<W>(std::move(layer));
}

template <FoldedWeight W, IsAffine L>
[[nodiscard]] FoldedLinear<W> folded(Folding<W>, L layer) {
  return FoldedLinear<W>(affine_map(layer));
}

template <FoldedWeight W, class Map, PatchOrder order>
[[nodiscard]] FoldedPatchEmbedding<W> folded(Folding<W>, PatchEmbedding<Map, order> embedding) requires
    std::constructible_from<FoldedPatchEmbedding<W>, PatchEmbedding<Map, order>> {
  return FoldedPatchEmbedding<W>(embedding);
}

template <FoldedWeight W, class Embedding>
[[nodiscard]] auto folded(Folding<W> how, MaskedPatchEmbedding<Embedding> masked) {
  return MaskedPatchEmbedding(folded(how, std::move(masked.embedding)), std::move(masked.mask_token));
}

/// A minus sign is moved into the branch if that supports it.
template <FoldedWeight W, class Inner, int sign>
[[nodiscard]] auto folded(Folding<W> how, SignedResidual<Inner, sign> residual) {
  if constexpr (sign < 0 && requires { folded(how, std::move(residual.branch), sign); }) {
    return FoldedResidual(folded(how, std::move(residual.branch), sign), sign);
  } else {
    using Branch = decltype(folded(how, std::move(residual.branch)));
    if constexpr (sign > 0 && AddsToOutput<Branch>)
      return FoldedResidual<Branch>(folded(how, std::move(residual.branch)));
    else
      return SignedResidual<Branch, sign>(folded(how, std::move(residual.branch)));
  }
}

template <FoldedWeight W, class Inner>
[[nodiscard]] auto folded(Folding<W> how, Recompute<Inner> recompute) {
  return folded(how, std::move(recompute.layer));
}

/// The blocks of a stack, folded on several threads. Attention in the first block rounds no tokens, because all later
/// blocks amplify the error.
template <FoldedWeight W, class Link>
[[nodiscard]] auto folded(Folding<W> how, std::vector<Link> links) {
  using Folded = decltype(folded(how, std::move(links.front())));
  std::vector<std::optional<Folded>> made(links.size());
  how.threads.for_each(std::ssize(links), [&](Index block, int) {
    const auto i = static_cast<std::size_t>(block);
    made[i].emplace(folded(Folding<W>{how.threads, i == 0}, std::move(links[i])));
  });
  std::vector<Folded> result;
  result.reserve(made.size());
  for (std::optional<Folded>& block : made) result.push_back(*std::move(block));
  return result;
}

template <FoldedWeight W, class Link>
[[nodiscard]] auto folded(Folding<W> how, std::optional<Link> link) {
  std::optional<decltype(folded(how, *std::move(link)))> result;
  if (link) result.emplace(folded(how, *std::move(link)));
  return result;
}

/// The layer or layers of an entry in a chain's list of links.
template <class C, std::size_t i>
using LayersOfEntry = Entry<decltype(std::get<i>(links_of<C>()).get), C>;

template <class C, std::size_t i>
[[nodiscard]] constexpr bool norm_goes_into_next() {
  if constexpr (i + 1 < std::tuple_size_v<decltype(links_of<C>())>)
    return std::same_as<LayersOfEntry<C, i>, LayerNorm<typename C::Scalar>> && IsAffine<LayersOfEntry<C, i + 1>>;
  else
    return false;
}

/// Whether entry i of the list of links is a view of other parts, created when the list is read.
template <class C, std::size_t i>
inline constexpr bool is_view_entry = !std::is_member_pointer_v<decltype(std::get<i>(links_of<C>()).get)>;

/// Whether an entry before i refers to the same part as entry i.
template <class C, std::size_t i, std::size_t... before>
[[nodiscard]] constexpr bool is_repeated_part(std::index_sequence<before...>) {
  [[maybe_unused]] constexpr auto entries = links_of<C>();
  [[maybe_unused]] const auto is_same = [](auto one, auto other) {
    if constexpr (std::same_as<decltype(one), decltype(other)> && std::is_member_pointer_v<decltype(one)>)
      return one == other;
    else
      return false;
  };
  return (is_same(std::get<i>(entries).get, std::get<before>(entries).get) || ...);
}

/// Entry i of the list of links, folded, if it is a view.
template <std::size_t i, FoldedWeight W, class C>
[[nodiscard]] auto folded_view(Folding<W> how, C& chain) {
  if constexpr (is_view_entry<C, i>) {
    auto layer = folded(how, std::get<i>(links_of<C>()).of(chain));
    static_assert(
        !std::same_as<decltype(layer), LayersOfEntry<C, i>>,
        "a link made on the spot may view parts, which folding consumes, and so needs a rule: make a leaf that "
        "views none a member, or declare `crate::AffineMap affine_map(const View&)` next to the view");
    return layer;
  } else {
    return std::monostate();
  }
}

template <FoldedWeight W, class C, std::size_t... i>
[[nodiscard]] auto folded_views(Folding<W> how, C& chain, std::index_sequence<i...>) {
  return std::tuple{folded_view<i>(how, chain)...};
}

/// Folds the links of a chain from entry i on. A norm is merged into the affine map after it. Parts are consumed from
/// the last to the first, unless an earlier entry needs them again; views were folded before, as they need all parts.
template <std::size_t i, FoldedWeight W, class C, class Views>
[[nodiscard]] auto folded_links(Folding<W> how, C& chain, Views& views) {
  constexpr auto entries = links_of<C>();
  if constexpr (i == std::tuple_size_v<decltype(links_of<C>())>) {
    return std::tuple<>();
  } else if constexpr (norm_goes_into_next<C, i>()) {
    auto rest = folded_links<i + 2>(how, chain, views);
    FoldedLinear<W> map(std::get<i>(entries).of(chain), affine_map(std::get<i + 1>(entries).of(chain)));
    return std::tuple_cat(std::tuple(FoldedLink<FoldedLinear<W>>{std::get<i + 1>(entries).name, std::move(map)}),
                          std::move(rest));
  } else {
    auto rest = folded_links<i + 1>(how, chain, views);
    auto layers = [&] {
      if constexpr (is_view_entry<C, i>)
        return std::move(std::get<i>(views));
      else if constexpr (is_repeated_part<C, i>(std::make_index_sequence<i>()))
        return folded(how, LayersOfEntry<C, i>(std::get<i>(entries).of(chain)));
      else
        return folded(how, std::move(std::get<i>(entries).of(chain)));
    }();
    return std::tuple_cat(std::tuple(FoldedLink<decltype(layers)>{std::get<i>(entries).name, std::move(layers)}),
                          std::move(rest));
  }
}

/// A model's description other than its parameters, if it has one.
template <class C>
[[nodiscard]] auto description_of(C& chain) {
  if constexpr (requires { chain.about; })
    return std::move(chain.about);
  else
    return std::monostate();
}

template <Scalar S, class About, class... Layers>
[[nodiscard]] auto folded_chain(About about, std::tuple<FoldedLink<Layers>...> links) {
  return FoldedChain<S, About, Layers...>(std::move(about), std::move(links));
}

template <FoldedWeight W, class C>
requires std::derived_from<C, Chain<C, typename C::Scalar>>
[[nodiscard]] auto folded(Folding<W> how, C chain) {
  auto views = folded_views(how, chain, std::make_index_sequence<std::tuple_size_v<decltype(links_of<C>())>>());
  auto links = folded_links<0>(how, chain, views);
  return folded_chain<typename C::Scalar>(description_of(chain), std::move(links));
}

}  // namespace detail

/// A model, encoder, decoder, block or layer for inference only: fewer products, with weights arranged for the
/// processor and stored as W, which is the model's scalar or, for float models, bfloat16. It computes the same
/// function, up to rounding, with the same `forward`; layers without a rule for folding are kept unchanged. The model
/// is consumed layer by layer: pass it with std::move, and at most one layer per thread is held twice. Without
/// `threads`, one thread folds. Observers see the same half-steps, except those inside a half-step and norms that were
/// merged into the map after them. Matrices are allocated in common blocks of 32 MiB: a copy of a layer that outlives
/// its model keeps whole blocks.
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

/// The type that `fold<W>` returns for a model.
template <class Model, FoldedWeight W = typename Model::Scalar>
using Folded = decltype(fold<W>(std::declval<Model>()));

}  // namespace crate
