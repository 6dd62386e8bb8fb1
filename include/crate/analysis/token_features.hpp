// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/find_layer.hpp"
#include "crate/layers/mssa.hpp"
#include "crate/layers/pass.hpp"
#include "crate/layers/self_attention.hpp"
#include "crate/operators/softmax.hpp"

// Queries and keys of one attention layer: its attention maps, and the features by which tokens are compared.

namespace crate {

/// Queries and keys of all tokens in one attention layer. In MSSA both are U^T LN(Z).
template <Scalar S>
struct TokenFeatures {
  Matrix<S> queries;           ///< (K p) x (total tokens)
  Matrix<S> keys;              ///< (K p) x (total tokens), head after head: the published "key features"
  Index heads;                 ///< number of heads, K
  AttentionOptions attention;  ///< mask and scale of the logits
  TokenLayout layout;          ///< the token sets

  /// The keys of the patches of one set, (K p) x (tokens - 1): all tokens but the class token.
  [[nodiscard]] Matrix<S> patch_keys(Index set) const {
    check_set(set);
    return keys.middleCols(layout.begin(set) + 1, layout.length(set) - 1);
  }

  /// Throws OptionError unless the set exists.
  void check_set(Index set) const {
    check_option(set >= 0 && set < layout.sets(), concatenate("a token set from 0 to ", layout.sets() - 1), set);
  }
};

/// softmax(logit_scale K_k^T q_k) for the query token of one set and head: its attention to each token of the set,
/// which sums to 1; 0 for masked tokens. Computed for this query only: large images cost N numbers, not N^2. Throws
/// OptionError if the set, head or token does not exist.
template <Scalar S>
[[nodiscard]] Vector<S> attention_of(const TokenFeatures<S>& features, Index set, Index head, Index query) {
  features.check_set(set);
  const Index begin = features.layout.begin(set), length = features.layout.length(set);
  check_option(head >= 0 && head < features.heads, concatenate("a head from 0 to ", features.heads - 1), head);
  check_option(query >= 0 && query < length, concatenate("a query token from 0 to ", length - 1), query);
  const Index p = features.keys.rows() / features.heads;
  const bool is_causal = features.attention.mask == AttentionMask::causal;
  const Index seen = std::min(features.layout.visible(set), is_causal ? query + 1 : length);
  const Vector<S> logits =
      static_cast<S>(features.attention.logit_scale) * (features.keys.block(head * p, begin, p, seen).transpose() *
                                                        features.queries.col(begin + query).segment(head * p, p));
  Vector<S> attention = Vector<S>::Zero(length);
  attention.head(seen) = softmax_columns(logits);
  return attention;
}

/// An attention layer of a model, and the rows of its half-step "projection" that hold queries and keys.
struct AttentionLayer {
  std::string name;  ///< "layers.5.compress", "layers.5.attend"
  Index heads;
  Index width;      ///< rows of the queries, which come first, and of the keys
  Index first_key;  ///< first row of the keys; 0 in MSSA, whose keys are its queries
  AttentionOptions attention;
};

/// The attention layers of a model, in its order.
template <class Model>
[[nodiscard]] std::vector<AttentionLayer> attention_layers(const Model& model) {
  using S = typename Model::Scalar;
  std::vector<AttentionLayer> layers;
  for_each_layer<Mssa<S>, SelfAttention<S>>(model, [&]<class L>(std::string_view name, const L& layer) {
    if constexpr (std::is_same_v<L, Mssa<S>>) {
      const auto& subspaces = layer.subspaces;
      layers.push_back({std::string(name), subspaces.heads(), subspaces.bases().cols(), 0, layer.attention});
    } else {
      const Index width = layer.output.input_dim();
      layers.push_back({std::string(name), layer.heads, width, width, layer.attention});
    }
  });
  return layers;
}

/// Runs a model on images, words or tokens and returns the queries and keys of one of its attention layers. For larger
/// images than the model was trained on, see ImageClassifier::resize_images.
template <class Model, class Input>
[[nodiscard]] TokenFeatures<typename Model::Scalar> token_features(const Model& model, const Input& input,
                                                                   const AttentionLayer& layer,
                                                                   Run<typename Model::Scalar> run = {}) {
  using S = typename Model::Scalar;
  TokenFeatures<S> features{{}, {}, layer.heads, layer.attention, TokenLayout::equal(0, 1)};
  const std::string wanted = join_names(layer.name, "projection");
  const Observer<S> before = run.observer;
  run.observer = [&](HalfStep<S> step) {
    if (before) before(step);
    if (step.name != wanted) return;
    features.queries = step.activation.topRows(layer.width);
    features.keys = step.activation.middleRows(layer.first_key, layer.width);
    features.layout = step.layout;
  };
  (void)model.forward(input, run);
  return features;
}

/// token_features of the layer with this name, such as "layers.5.compress". Throws OptionError that lists the layers if
/// none has this name.
template <class Model, class Input>
[[nodiscard]] TokenFeatures<typename Model::Scalar> token_features(const Model& model, const Input& input,
                                                                   std::string_view layer,
                                                                   Run<typename Model::Scalar> run = {}) {
  std::vector<std::string> names;
  for (const AttentionLayer& found : attention_layers(model)) {
    if (found.name == layer) return token_features(model, input, found, std::move(run));
    names.push_back(found.name);
  }
  throw OptionError(concatenate("attention layer: expected one of ", quoted_list(names), ", found '", layer, "'"));
}

}  // namespace crate
