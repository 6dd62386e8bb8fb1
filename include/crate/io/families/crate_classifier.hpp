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

inline constexpr std::array crate_classifier_names = {
    PublishedName{"embedding.pixel_norm.", "to_patch_embedding.1."},
    PublishedName{"embedding.projection.", "to_patch_embedding.2."},
    PublishedName{"embedding.token_norm.", "to_patch_embedding.3."},
    PublishedName{"class_token", "cls_token", PublishedLayout::one_set},
    PublishedName{"positions", "pos_embedding", PublishedLayout::one_set},
    PublishedName{"layers.*.compress.norm.", "transformer.layers.*.0.norm."},
    PublishedName{"layers.*.compress.subspaces", "transformer.layers.*.0.fn.qkv.weight"},
    PublishedName{"layers.*.compress.output.", "transformer.layers.*.0.fn.to_out.0."},
    PublishedName{"layers.*.sparsify.norm.", "transformer.layers.*.1.norm."},
    PublishedName{"layers.*.sparsify.dictionary", "transformer.layers.*.1.fn.weight"},
    PublishedName{"head.norm.", "mlp_head.0."},
    PublishedName{"head.linear.", "mlp_head.1."},
};

/// The options of the CRATE classifier that has these weights.
/// Throws OptionError if an option is needed and missing, contradicts the weights, or does not apply to classifiers,
/// FileError if a tensor is missing.
[[nodiscard]] inline ImageClassifierOptions<CrateBlockOptions> crate_options(const TensorTable& weights,
                                                                             const LoadOptions& given = {}) {
  const LoadOptions options =
      detail::completed(given, weights, detail::load_option::of_classifiers, detail::classifier_kind);
  const ImageOptions image = detail::image_of_values(options, detail::dimension(weights, "pos_embedding", 3, 1) - 1,
                                                     detail::dimension(weights, "to_patch_embedding.1.weight", 1, 0));
  return detail::classifier_options<ImageClassifierOptions<CrateBlockOptions>>(weights, options, ".1.fn.weight", image);
}

/// The published classifier of arXiv 2311.13110.
struct CrateClassifierFamily {
  template <crate::Scalar S>
  using Model = CrateClassifier<S>;
  using Options = ImageClassifierOptions<CrateBlockOptions>;

  static constexpr std::string_view model_name = "CrateClassifier";
  static constexpr std::string_view name = "crate", title = "a CRATE classifier", kind = detail::classifier_kind;
  static constexpr std::string_view marker = "layers.0.sparsify.dictionary";
  static constexpr std::span<const PublishedName> names = crate_classifier_names;
  static constexpr auto load_options = detail::load_option::of_classifiers;

  static Options options(const TensorTable& weights, const LoadOptions& given) { return crate_options(weights, given); }
  static LoadOptions options_to_load(const auto& model) { return detail::options_to_load_classifier(model); }
  static detail::LeastWeights least_weights(const Options& options) {
    return detail::least_weights_of_classifier(options);
  }
  static Options smallest_like(const auto& model) {
    const detail::FirstLayer first = detail::first_layer(model);
    return {.image = detail::smallest_image,
            .classes = 1,
            .depth = 1,
            .block = {.dim = 1, .heads = 1, .head_dim = *first.head_dim, .step = *first.step, .lambda = *first.lambda}};
  }
};

}  // namespace crate
