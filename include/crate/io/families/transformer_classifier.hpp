// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <tuple>

#include "crate/io/families/first_layer.hpp"
#include "crate/io/families/image_classifiers.hpp"
#include "crate/io/families/image_models.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/families/sizes_in_weights.hpp"
#include "crate/models/transformer.hpp"

namespace crate {

/// The names of timm.
inline constexpr std::array transformer_classifier_names = {
    PublishedName{"embedding.weight", "patch_embed.proj.weight", PublishedLayout::convolution},
    PublishedName{"embedding.bias", "patch_embed.proj.bias"},
    PublishedName{"class_token", "cls_token", PublishedLayout::one_set},
    PublishedName{"positions", "pos_embed", PublishedLayout::one_set},
    PublishedName{"layers.*.attend.norm.", "blocks.*.norm1."},
    PublishedName{"layers.*.attend.projection.", "blocks.*.attn.qkv."},
    PublishedName{"layers.*.attend.output.", "blocks.*.attn.proj."},
    PublishedName{"layers.*.transform.norm.", "blocks.*.norm2."},
    PublishedName{"layers.*.transform.expand.", "blocks.*.mlp.fc1."},
    PublishedName{"layers.*.transform.contract.", "blocks.*.mlp.fc2."},
    PublishedName{"head.norm.", "norm."},
    PublishedName{"head.linear.", "head."},
};

namespace detail {

inline constexpr std::string_view transformer_kind = "a vision transformer";

namespace load_option {

inline constexpr auto of_transformers = std::tuple_cat(image_sizes, picture_input, std::tuple{pooling, class_names});

}  // namespace load_option

}  // namespace detail

/// The options of the vision transformer that has these weights. Throws OptionError if an option is needed and missing,
/// contradicts the weights, or does not apply to vision transformers, FileError if a tensor is missing.
[[nodiscard]] inline ImageClassifierOptions<TransformerBlockOptions> transformer_options(
    const TensorTable& weights, const LoadOptions& given = {}) {
  const LoadOptions options =
      detail::completed(given, weights, detail::load_option::of_transformers, detail::transformer_kind);
  const Index patches = detail::dimension(weights, "pos_embed", 3, 1) - 1;
  return {.image = detail::image_of_kernel(options, patches, weights.at("patch_embed.proj.weight")),
          .classes = detail::dimension(weights, "head.weight", 2, 0),
          .depth = detail::count_layers(weights, "blocks.", ".attn.qkv.weight"),
          .pooling = options.pooling.value_or(Pooling::class_token),
          .head_norm_epsilon = 1e-6,
          .block = {.dim = detail::dimension(weights, "pos_embed", 3, 2),
                    .heads = detail::heads_of(options),
                    .hidden = detail::dimension(weights, "blocks.0.mlp.fc1.weight", 2, 0)}};
}

/// ViT, arXiv 2010.11929, in the format of timm.
struct TransformerClassifierFamily {
  template <crate::Scalar S>
  using Model = TransformerClassifier<S>;
  using Options = ImageClassifierOptions<TransformerBlockOptions>;

  static constexpr std::string_view model_name = "TransformerClassifier";
  static constexpr std::string_view name = "vit", title = detail::transformer_kind, kind = detail::transformer_kind;
  static constexpr std::string_view marker = "layers.0.attend.projection.weight";
  static constexpr std::span<const PublishedName> names = transformer_classifier_names;
  static constexpr auto load_options = detail::load_option::of_transformers;

  static Options options(const TensorTable& weights, const LoadOptions& given) {
    return transformer_options(weights, given);
  }
  static LoadOptions options_to_load(const auto& model) { return detail::options_to_load_classifier(model); }
  /// Each layer has two norms and four linear maps: 12 tensors.
  static detail::LeastWeights least_weights(const Options& o) {
    const auto dim = static_cast<double>(o.block.dim), hidden = static_cast<double>(o.block.hidden);
    const auto depth = static_cast<double>(o.depth);
    const PatchGrid grid = o.image.grid();
    return {.numbers = dim * (depth * (4 * dim + 2 * hidden) + static_cast<double>(o.classes) +
                              static_cast<double>(grid.values_per_patch()) + static_cast<double>(grid.patches())),
            .tensors = 12 * depth};
  }
  static Options smallest_like(const auto& model) {
    return {.image = detail::smallest_image,
            .classes = 1,
            .depth = 1,
            .head_norm_epsilon = 1e-6,
            .block = {.dim = *detail::first_layer(model).head_dim, .heads = 1, .hidden = 1}};
  }
};

}  // namespace crate
