// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "crate/io/families/first_layer.hpp"
#include "crate/io/families/image_classifiers.hpp"
#include "crate/io/families/image_models.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/families/sizes_in_weights.hpp"
#include "crate/models/masked_classifier.hpp"

namespace crate {

/// The names of the masked autoencoder's encoder, with trained positions and a head.
inline constexpr std::array crate_masked_classifier_names = {
    PublishedName{"embedding.weight", "patch_embed.proj.weight", PublishedLayout::convolution},
    PublishedName{"embedding.bias", "patch_embed.proj.bias"},
    PublishedName{"class_token", "cls_token", PublishedLayout::one_set},
    PublishedName{"positions", "pos_embed", PublishedLayout::one_set},
    PublishedName{"layers.*.compress.norm.", "blocks.*.layers.0.0.norm."},
    PublishedName{"layers.*.compress.subspaces", "blocks.*.layers.0.0.fn.qkv.weight"},
    PublishedName{"layers.*.compress.output.", "blocks.*.layers.0.0.fn.to_out.0."},
    PublishedName{"layers.*.sparsify.norm.", "blocks.*.layers.0.1.norm."},
    PublishedName{"layers.*.sparsify.dictionary", "blocks.*.layers.0.1.fn.weight"},
    PublishedName{"head.norm.", "norm."},
    PublishedName{"head.linear.", "head."},
};

/// The options of the classifier on a masked autoencoder's encoder that has these weights. Throws as crate_options.
[[nodiscard]] inline ImageClassifierOptions<CrateBlockOptions> crate_masked_classifier_options(
    const TensorTable& weights, const LoadOptions& given = {}) {
  const LoadOptions options =
      detail::completed(given, weights, detail::load_option::of_classifiers, detail::classifier_kind);
  ImageClassifierOptions<CrateBlockOptions> result = detail::options_of_masked_classifier();
  result.image = detail::image_of_kernel(options, detail::dimension(weights, "pos_embed", 3, 1) - 1,
                                         weights.at("patch_embed.proj.weight"));
  result.classes = detail::dimension(weights, "head.weight", 2, 0);
  result.depth = detail::count_layers(weights, "blocks.", ".layers.0.1.fn.weight");
  result.pooling = options.pooling.value_or(Pooling::class_token);
  result.block.dim = detail::dimension(weights, "pos_embed", 3, 2);
  result.block.heads = detail::heads_of(options);
  result.block.head_dim =
      detail::head_dim_of(result.block.heads, detail::dimension(weights, "blocks.0.layers.0.0.fn.qkv.weight", 2, 0));
  result.block.step = options.step.value_or(result.block.step);
  result.block.lambda = options.lambda.value_or(result.block.lambda);
  return result;
}

/// The encoder of CRATE-MAE as a classifier.
struct CrateMaskedClassifierFamily {
  template <crate::Scalar S>
  using Model = CrateMaskedClassifier<S>;
  using Options = ImageClassifierOptions<CrateBlockOptions>;

  static constexpr std::string_view model_name = "CrateMaskedClassifier";
  static constexpr std::string_view name = "crate-mae-classifier", title = "a classifier on the encoder of CRATE-MAE",
                                    kind = detail::classifier_kind;
  static constexpr std::string_view marker = "layers.0.compress.subspaces";
  static constexpr std::span<const PublishedName> names = crate_masked_classifier_names;
  static constexpr auto load_options = detail::load_option::of_classifiers;

  /// An encoder without a head does not fit.
  static bool fits(const TensorTable& weights) { return weights.find("head.weight") != nullptr; }
  static Options options(const TensorTable& weights, const LoadOptions& given) {
    return crate_masked_classifier_options(weights, given);
  }
  static LoadOptions options_to_load(const auto& model) { return detail::options_to_load_classifier(model); }
  static detail::LeastWeights least_weights(const Options& options) {
    return detail::least_weights_of_classifier(options);
  }
  static Options smallest_like(const auto& model) {
    const detail::FirstLayer first = detail::first_layer(model);
    Options options = detail::options_of_masked_classifier();
    options.image = detail::smallest_image;
    options.classes = options.depth = 1;
    options.block.dim = options.block.heads = 1;
    options.block.head_dim = *first.head_dim;
    options.block.step = *first.step;
    options.block.lambda = *first.lambda;
    return options;
  }
};

}  // namespace crate
