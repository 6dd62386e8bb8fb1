// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <tuple>

#include "crate/io/families/first_layer.hpp"
#include "crate/io/families/image_models.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/families/sizes_in_weights.hpp"
#include "crate/models/image_classifier.hpp"

// Common parts of the families of image classifiers.

namespace crate::detail {

inline constexpr std::string_view classifier_kind = "a classifier";

namespace load_option {

inline constexpr auto of_classifiers = std::tuple_cat(of_image_models, std::tuple{pooling, class_names});

}  // namespace load_option

/// The options of an image classifier with complete or overcomplete ISTA; each of its layers has a tensor `sparsify`.
template <class Options>
[[nodiscard]] Options classifier_options(const TensorTable& weights, const LoadOptions& options,
                                         std::string_view sparsify, const ImageOptions& image) {
  Options result;
  result.image = image;
  result.classes = dimension(weights, "mlp_head.1.weight", 2, 0);
  result.depth = count_layers(weights, "transformer.layers.", sparsify);
  result.pooling = options.pooling.value_or(Pooling::class_token);
  result.block.dim = dimension(weights, "pos_embedding", 3, 2);
  result.block.heads = heads_of(options);
  result.block.head_dim =
      head_dim_of(result.block.heads, dimension(weights, "transformer.layers.0.0.fn.qkv.weight", 2, 0));
  result.block.step = options.step.value_or(result.block.step);
  result.block.lambda = options.lambda.value_or(result.block.lambda);
  return result;
}

template <class Model>
[[nodiscard]] LoadOptions options_to_load_classifier(const Model& model) {
  LoadOptions options_to_load = options_to_load_images(patch_grid(model), first_layer(model));
  options_to_load.pooling = model.pool.pooling;
  return options_to_load;
}

/// Each layer has two norms, a projection and one or two dictionaries: at least 6 tensors.
template <class BlockOptions>
[[nodiscard]] LeastWeights least_weights_of_classifier(const ImageClassifierOptions<BlockOptions>& o) {
  const auto dim = static_cast<double>(o.block.dim), width = static_cast<double>(o.block.heads * o.block.head_dim);
  double atoms = dim;
  if constexpr (requires { o.block.atoms; }) atoms = 2 * static_cast<double>(o.block.atoms);
  const PatchGrid grid = o.image.grid();
  const auto depth = static_cast<double>(o.depth);
  return {.numbers = dim * (depth * (width + atoms) + static_cast<double>(o.classes) +
                            static_cast<double>(grid.values_per_patch()) + static_cast<double>(grid.patches())),
          .tensors = 6 * depth};
}

}  // namespace crate::detail
