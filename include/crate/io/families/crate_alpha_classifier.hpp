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
#include "crate/models/image_classifier.hpp"

namespace crate {

inline constexpr std::array crate_alpha_classifier_names = {
    PublishedName{"embedding.weight", "conv1.weight", PublishedLayout::convolution},
    PublishedName{"embedding.bias", "conv1.bias"},
    PublishedName{"class_token", "cls_token", PublishedLayout::one_set},
    PublishedName{"positions", "pos_embedding", PublishedLayout::one_set},
    PublishedName{"layers.*.compress.norm.", "transformer.layers.*.0.norm."},
    PublishedName{"layers.*.compress.subspaces", "transformer.layers.*.0.fn.qkv.weight"},
    PublishedName{"layers.*.compress.output.", "transformer.layers.*.0.fn.to_out.0."},
    PublishedName{"layers.*.sparsify.norm.", "transformer.layers.*.1.norm."},
    PublishedName{"layers.*.sparsify.dictionary", "transformer.layers.*.1.fn.D"},
    PublishedName{"layers.*.sparsify.decoding", "transformer.layers.*.1.fn.D1"},
    PublishedName{"head.norm.", "mlp_head.0."},
    PublishedName{"head.linear.", "mlp_head.1."},
};

/// The options of the CRATE-alpha classifier that has these weights. Throws as crate_options.
[[nodiscard]] inline ImageClassifierOptions<CrateAlphaBlockOptions> crate_alpha_options(const TensorTable& weights,
                                                                                        const LoadOptions& given = {}) {
  const LoadOptions options =
      detail::completed(given, weights, detail::load_option::of_classifiers, detail::classifier_kind);
  const ImageOptions image = detail::image_of_kernel(options, detail::dimension(weights, "pos_embedding", 3, 1) - 1,
                                                     weights.at("conv1.weight"));
  auto result =
      detail::classifier_options<ImageClassifierOptions<CrateAlphaBlockOptions>>(weights, options, ".1.fn.D", image);
  result.block.atoms = detail::dimension(weights, "transformer.layers.0.1.fn.D", 2, 1);
  return result;
}

/// The published classifier of arXiv 2405.20299.
struct CrateAlphaClassifierFamily {
  template <crate::Scalar S>
  using Model = CrateAlphaClassifier<S>;
  using Options = ImageClassifierOptions<CrateAlphaBlockOptions>;

  static constexpr std::string_view model_name = "CrateAlphaClassifier";
  static constexpr std::string_view name = "crate-alpha", title = "a CRATE-alpha classifier",
                                    kind = detail::classifier_kind;
  static constexpr std::string_view marker = "layers.0.sparsify.dictionary";
  static constexpr std::span<const PublishedName> names = crate_alpha_classifier_names;
  static constexpr auto load_options = detail::load_option::of_classifiers;

  static Options options(const TensorTable& weights, const LoadOptions& given) {
    return crate_alpha_options(weights, given);
  }
  static LoadOptions options_to_load(const auto& model) { return detail::options_to_load_classifier(model); }
  static detail::LeastWeights least_weights(const Options& options) {
    return detail::least_weights_of_classifier(options);
  }
  static Options smallest_like(const auto& model) {
    const detail::FirstLayer first = detail::first_layer(model);
    return {.image = detail::smallest_image,
            .classes = 1,
            .depth = 1,
            .block = {.dim = 1,
                      .heads = 1,
                      .head_dim = *first.head_dim,
                      .atoms = 1,
                      .step = *first.step,
                      .lambda = *first.lambda}};
  }
};

}  // namespace crate
