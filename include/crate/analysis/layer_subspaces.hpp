// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/product.hpp"
#include "crate/layers/compression.hpp"
#include "crate/layers/dictionary.hpp"
#include "crate/layers/find_layer.hpp"
#include "crate/layers/ista.hpp"
#include "crate/layers/mssa.hpp"
#include "crate/layers/on_directions.hpp"
#include "crate/layers/overcomplete_ista.hpp"
#include "crate/layers/pass.hpp"
#include "crate/layers/pre_norm.hpp"
#include "crate/layers/self_attention.hpp"
#include "crate/operators/subspaces.hpp"

// The subspaces and dictionaries of all layers of a model, whatever its blocks are.

namespace crate {

/// U_[K] of one layer, a view, and the tokens on which it acts. For MSSA and compression steps these are the layer's
/// own subspaces; for ordinary self-attention, U_k^T is the map to the keys of head k, with its bias.
template <Scalar S>
struct LayerSubspaces {
  std::string name;                                 ///< of the half-layer: "layers.3.compress", "layers.3.attend"
  Subspaces<MatrixMap<S>> subspaces;                ///< U_[K], d x (K p)
  Vector<S> bias = {};                              ///< K p, of the keys; empty if there is none
  Index first_row = 0;                              ///< first row of H in the half-step "projection" of the layer
  Index projected_rows = subspaces.bases().cols();  ///< of that half-step
  std::function<void(ConstTokens<S>, Tokens<S>, Threads&)> norm = {};  ///< maps Z to X; empty if X = Z
  bool steps_on_seen = false;  ///< whether the step goes from X to X + S, as on directions, instead of adding S to Z

  /// X, d x N, the tokens on which U acts: LN(Z) after a layer norm, directions of Z, or Z itself.
  [[nodiscard]] Matrix<S> seen(ConstTokens<S> tokens, Threads& threads) const {
    check_size(name + ": rows of the tokens", tokens.rows(), subspaces.dim());
    if (!norm) return tokens;
    Matrix<S> x(tokens.rows(), tokens.cols());
    norm(tokens, x, threads);
    return x;
  }

  /// H = U^T X, (K p) x N, plus the bias.
  [[nodiscard]] Matrix<S> project(const Matrix<S>& seen, Threads& threads) const {
    Matrix<S> h(subspaces.bases().cols(), seen.cols());
    multiply(subspaces.bases().transpose(), seen, h, threads);
    if (bias.size() != 0) h.colwise() += bias;
    return h;
  }

  /// S, d x N: the step, in the space that the subspaces see, of a layer with this input and output.
  [[nodiscard]] Matrix<S> step(ConstTokens<S> before, ConstTokens<S> after, Threads& threads) const {
    return steps_on_seen ? Matrix<S>(seen(after, threads) - seen(before, threads)) : Matrix<S>(after - before);
  }
};

namespace detail {

/// The layer norm before an `Inner` of this name as a function, if there is one.
template <class Inner, class Model>
[[nodiscard]] auto norm_before(const Model& model, std::string_view name) {
  using S = typename Inner::Scalar;
  std::function<void(ConstTokens<S>, Tokens<S>, Threads&)> normalise;
  if (const auto* const found = find_layer<PreNorm<Inner>>(model, name))
    normalise = [norm = &found->norm](ConstTokens<S> z, Tokens<S> out, Threads& threads) {
      Workspace workspace;
      const TokenLayout layout = TokenLayout::single(z.cols());
      Pass<S> pass(layout, threads, workspace);
      norm->forward(z, out, pass);
    };
  return normalise;
}

template <Scalar S, class Model>
[[nodiscard]] LayerSubspaces<S> subspaces_of(const Model& model, std::string_view name, const Mssa<S>& layer) {
  return {.name = std::string(name),
          .subspaces = {map_of(layer.subspaces.bases()), layer.subspaces.heads()},
          .norm = norm_before<Mssa<S>>(model, name)};
}

template <Scalar S, class Model>
[[nodiscard]] LayerSubspaces<S> subspaces_of(const Model& model, std::string_view name, const Compression<S>& layer) {
  LayerSubspaces<S> result{.name = std::string(name),
                           .subspaces = {map_of(layer.subspaces.bases()), layer.subspaces.heads()}};
  if (const auto* const found = find_layer<OnDirections<Compression<S>>>(model, name)) {
    result.norm = [softening = found->options.softening](ConstTokens<S> z, Tokens<S> out, Threads&) {
      out = directions(z, softening);
    };
    result.steps_on_seen = true;
  }
  return result;
}

template <Scalar S, class Model>
[[nodiscard]] LayerSubspaces<S> subspaces_of(const Model& model, std::string_view name, const SelfAttention<S>& layer) {
  const Index width = layer.output.input_dim();
  const MatrixMap<S> bases(layer.projection.weight.row(width).data(), layer.input_dim(), width,
                           Eigen::OuterStride<>(layer.input_dim()));
  Vector<S> bias;
  if (layer.projection.bias.size() != 0) bias = layer.projection.bias.segment(width, width);
  return {.name = std::string(name),
          .subspaces = Subspaces<MatrixMap<S>>(bases, layer.heads),
          .bias = std::move(bias),
          .first_row = width,
          .projected_rows = layer.projection.output_dim(),
          .norm = norm_before<SelfAttention<S>>(model, name)};
}

}  // namespace detail

/// The subspaces of every layer of a model, in its order. They are views: the model must outlive them, and not move.
template <class Model>
[[nodiscard]] auto layer_subspaces(const Model& model) {
  using S = typename Model::Scalar;
  std::vector<LayerSubspaces<S>> list;
  for_each_layer<Mssa<S>, Compression<S>, SelfAttention<S>>(model, [&](std::string_view name, const auto& layer) {
    list.push_back(detail::subspaces_of<S>(model, name, layer));
  });
  return list;
}

/// D of one layer, a copy; each column is an atom.
template <Scalar S>
struct LayerDictionary {
  std::string name;  ///< "layers.3.sparsify"
  Matrix<S> atoms;   ///< D, d x s
};

/// The dictionaries of every layer of a model, in its order: of ISTA, complete or overcomplete, and of decoders.
template <class Model>
[[nodiscard]] auto layer_dictionaries(const Model& model) {
  using S = typename Model::Scalar;
  std::vector<LayerDictionary<S>> list;
  for_each_layer<Ista<S>, OvercompleteIsta<S>, Dictionary<S>>(model, [&](std::string_view name, const auto& layer) {
    list.push_back({std::string(name), layer.dictionary});
  });
  return list;
}

}  // namespace crate
