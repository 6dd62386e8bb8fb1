// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "crate/io/families/crate_masked_autoencoder.hpp"
#include "crate/io/families/first_layer.hpp"
#include "crate/io/families/image_models.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/families/sizes_in_weights.hpp"
#include "crate/models/transformer.hpp"

namespace crate {

/// No such model is published. The names of layers differ from those of the masked autoencoder of arXiv 2111.06377,
/// whose encoder sees no hidden patches, so that the two cannot be confused.
inline constexpr std::array transformer_masked_autoencoder_names = {
    PublishedName{"embedding.weight", "patch_embed.proj.weight", PublishedLayout::convolution},
    PublishedName{"embedding.bias", "patch_embed.proj.bias"},
    PublishedName{"class_token", "cls_token", PublishedLayout::one_set},
    PublishedName{"mask_token", "mask_token", PublishedLayout::one_set},
    PublishedName{"positions", "decoder_pos_embed", PublishedLayout::one_set},
    PublishedName{"encoder.layers.*.attend.norm.", "encoder_blocks.*.attend.norm."},
    PublishedName{"encoder.layers.*.attend.projection.", "encoder_blocks.*.attend.qkv."},
    PublishedName{"encoder.layers.*.attend.output.", "encoder_blocks.*.attend.proj."},
    PublishedName{"encoder.layers.*.transform.norm.", "encoder_blocks.*.transform.norm."},
    PublishedName{"encoder.layers.*.transform.expand.", "encoder_blocks.*.transform.fc1."},
    PublishedName{"encoder.layers.*.transform.contract.", "encoder_blocks.*.transform.fc2."},
    PublishedName{"encoder_norm.", "norm."},
    PublishedName{"decoder.layers.*.attend.norm.", "decoder_blocks.*.attend.norm."},
    PublishedName{"decoder.layers.*.attend.projection.", "decoder_blocks.*.attend.qkv."},
    PublishedName{"decoder.layers.*.attend.output.", "decoder_blocks.*.attend.proj."},
    PublishedName{"decoder.layers.*.transform.norm.", "decoder_blocks.*.transform.norm."},
    PublishedName{"decoder.layers.*.transform.expand.", "decoder_blocks.*.transform.fc1."},
    PublishedName{"decoder.layers.*.transform.contract.", "decoder_blocks.*.transform.fc2."},
    PublishedName{"decoder_norm.", "decoder_norm."},
    PublishedName{"prediction.", "decoder_pred."},
    PublishedName{"unused_positions", "pos_embed", PublishedLayout::one_set},
    PublishedName{"unused_embedding.", "decoder_embed."},
};

namespace detail::load_option {

inline constexpr auto of_transformer_autoencoders =
    std::tuple_cat(image_sizes, picture_input, std::tuple{decoder_heads, mask_ratio, normalise_pixels});

}  // namespace detail::load_option

/// The options of the masked autoencoder of transformer blocks that has these weights. Throws as
/// masked_autoencoder_options.
[[nodiscard]] inline BlockwiseAutoencoderOptions<TransformerBlockOptions, TransformerBlockOptions>
transformer_masked_autoencoder_options(const TensorTable& weights, const LoadOptions& given = {}) {
  LoadOptions options = detail::completed(given, weights, detail::load_option::of_transformer_autoencoders,
                                          detail::masked_autoencoder_kind);
  detail::complete_decoder_heads(options, weights);
  BlockwiseAutoencoderOptions<TransformerBlockOptions, TransformerBlockOptions> result;
  result.image = detail::image_of_kernel(options, detail::dimension(weights, "decoder_pos_embed", 3, 1) - 1,
                                         weights.at("patch_embed.proj.weight"));
  const Index dim = detail::dimension(weights, "decoder_pos_embed", 3, 2), heads = detail::heads_of(options);
  result.encoder = {
      .dim = dim, .heads = heads, .hidden = detail::dimension(weights, "encoder_blocks.0.transform.fc1.weight", 2, 0)};
  result.decoder = {.dim = dim,
                    .heads = options.decoder_heads.value_or(heads),
                    .hidden = detail::dimension(weights, "decoder_blocks.0.transform.fc1.weight", 2, 0)};
  result.depth = detail::count_layers(weights, "encoder_blocks.", ".attend.qkv.weight");
  result.decoder_depth = detail::count_layers(weights, "decoder_blocks.", ".attend.qkv.weight");
  result.mask_ratio = options.mask_ratio.value_or(result.mask_ratio);
  result.normalise_pixels = options.normalise_pixels.value_or(result.normalise_pixels);
  return result;
}

/// CRATE-MAE with transformer blocks in place of its own, as a baseline.
struct TransformerMaskedAutoencoderFamily {
  template <crate::Scalar S>
  using Model = TransformerMaskedAutoencoder<S>;
  using Options = BlockwiseAutoencoderOptions<TransformerBlockOptions, TransformerBlockOptions>;

  static constexpr std::string_view model_name = "TransformerMaskedAutoencoder";
  static constexpr std::string_view name = "transformer-mae", title = "a masked autoencoder of transformer blocks",
                                    kind = detail::masked_autoencoder_kind;
  static constexpr std::string_view marker = "encoder.layers.0.attend.projection.weight";
  static constexpr std::span<const PublishedName> names = transformer_masked_autoencoder_names;
  static constexpr auto load_options = detail::load_option::of_transformer_autoencoders;

  static Options options(const TensorTable& weights, const LoadOptions& given) {
    return transformer_masked_autoencoder_options(weights, given);
  }

  static LoadOptions options_to_load(const auto& model) { return detail::options_to_load_autoencoder(model); }

  /// Each layer has two norms and four linear maps: 12 tensors.
  static detail::LeastWeights least_weights(const Options& o) {
    const auto dim = static_cast<double>(o.encoder.dim);
    const auto numbers = [&](Index depth, Index hidden) {
      return static_cast<double>(depth) * (4 * dim + 2 * static_cast<double>(hidden));
    };
    const PatchGrid grid = o.image.grid();
    return {.numbers = dim * (numbers(o.depth, o.encoder.hidden) + numbers(o.decoder_depth, o.decoder.hidden) +
                              2 * static_cast<double>(grid.values_per_patch() + grid.patches())),
            .tensors = 12 * static_cast<double>(o.depth + o.decoder_depth)};
  }

  static Options smallest_like(const auto& model) {
    const detail::FirstLayer first = detail::first_layer(model), of_decoder = detail::first_layer(model, "decoder.");
    const Index dim = 4 * *first.head_dim * *of_decoder.head_dim;
    Options options;
    options.image = detail::smallest_image;
    options.encoder = {.dim = dim, .heads = dim / *first.head_dim, .hidden = 1};
    options.decoder = {.dim = dim, .heads = dim / *of_decoder.head_dim, .hidden = 1};
    options.depth = options.decoder_depth = 1;
    return options;
  }
};

}  // namespace crate
