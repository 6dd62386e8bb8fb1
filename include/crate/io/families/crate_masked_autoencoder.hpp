// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <tuple>

#include "crate/io/families/first_layer.hpp"
#include "crate/io/families/image_models.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/families/sizes_in_weights.hpp"
#include "crate/models/masked_autoencoder.hpp"

namespace crate {

inline constexpr std::array masked_autoencoder_names = {
    PublishedName{"embedding.weight", "patch_embed.proj.weight", PublishedLayout::convolution},
    PublishedName{"embedding.bias", "patch_embed.proj.bias"},
    PublishedName{"class_token", "cls_token", PublishedLayout::one_set},
    PublishedName{"mask_token", "mask_token", PublishedLayout::one_set},
    PublishedName{"positions", "decoder_pos_embed", PublishedLayout::one_set},
    PublishedName{"encoder.layers.*.compress.norm.", "blocks.*.layers.0.0.norm."},
    PublishedName{"encoder.layers.*.compress.subspaces", "blocks.*.layers.0.0.fn.qkv.weight"},
    PublishedName{"encoder.layers.*.compress.output.", "blocks.*.layers.0.0.fn.to_out.0."},
    PublishedName{"encoder.layers.*.sparsify.norm.", "blocks.*.layers.0.1.norm."},
    PublishedName{"encoder.layers.*.sparsify.dictionary", "blocks.*.layers.0.1.fn.weight"},
    PublishedName{"encoder_norm.", "norm."},
    PublishedName{"decoder.layers.*.expand.norm.", "decoder_blocks.*.layers.0.0.norm."},
    PublishedName{"decoder.layers.*.expand.dictionary", "decoder_blocks.*.layers.0.0.fn.weight"},
    PublishedName{"decoder.layers.*.decompress.norm.", "decoder_blocks.*.layers.0.1.norm."},
    PublishedName{"decoder.layers.*.decompress.subspaces", "decoder_blocks.*.layers.0.1.fn.qkv.weight"},
    PublishedName{"decoder.layers.*.decompress.output.", "decoder_blocks.*.layers.0.1.fn.to_out.0."},
    PublishedName{"decoder_norm.", "decoder_norm."},
    PublishedName{"prediction.", "decoder_pred."},
    PublishedName{"unused_positions", "pos_embed", PublishedLayout::one_set},
    PublishedName{"unused_embedding.", "decoder_embed."},
};

namespace detail {

inline constexpr std::string_view masked_autoencoder_kind = "a masked autoencoder";

namespace load_option {

inline constexpr auto of_masked_autoencoders =
    std::tuple_cat(of_image_models, std::tuple{decoder_heads, mask_ratio, normalise_pixels});

}  // namespace load_option

/// If a file states heads but no decoder heads, the decoder has as many as the encoder.
inline void complete_decoder_heads(LoadOptions& options, const TensorTable& weights) {
  const auto& [what, key, owner, member] = load_option::decoder_heads;
  if (weights.find_metadata(key) == nullptr)
    options.decoder_heads =
        agreed(what, options.decoder_heads, number_in_metadata<Index>(weights, load_option::heads.key));
}

/// p of the decoder's heads; 0 if the tensor that determines it is missing.
[[nodiscard]] inline Index decoder_head_dim(const TensorTable& weights, Index heads) {
  check_option(heads >= 1, "decoder heads >= 1", heads);
  constexpr std::string_view projection = "decoder_blocks.0.layers.0.1.fn.qkv.weight";
  return weights.find(projection) != nullptr ? head_dim_of(heads, dimension(weights, projection, 2, 0), "decoder heads")
                                             : 0;
}

/// Options of a masked autoencoder with any blocks that cannot be derived from its weights.
template <class Model>
[[nodiscard]] LoadOptions options_to_load_autoencoder(const Model& model) {
  const FirstLayer first = first_layer(model), of_decoder = first_layer(model, "decoder.");
  LoadOptions options_to_load = options_to_load_images(patch_grid(model), first);
  if (of_decoder.heads != first.heads) options_to_load.decoder_heads = of_decoder.heads;
  options_to_load.mask_ratio = model.about.mask_ratio;
  options_to_load.normalise_pixels = model.about.normalise_pixels;
  return options_to_load;
}

}  // namespace detail

/// The options of the masked autoencoder that has these weights. Throws OptionError if an option is needed and missing,
/// contradicts the weights, or does not apply to masked autoencoders, FileError if a tensor is missing.
[[nodiscard]] inline MaskedAutoencoderOptions masked_autoencoder_options(const TensorTable& weights,
                                                                         const LoadOptions& given = {}) {
  LoadOptions options =
      detail::completed(given, weights, detail::load_option::of_masked_autoencoders, detail::masked_autoencoder_kind);
  detail::complete_decoder_heads(options, weights);
  MaskedAutoencoderOptions result;
  result.image = detail::image_of_kernel(options, detail::dimension(weights, "decoder_pos_embed", 3, 1) - 1,
                                         weights.at("patch_embed.proj.weight"));
  result.dim = detail::dimension(weights, "decoder_pos_embed", 3, 2);
  result.heads = detail::heads_of(options);
  result.head_dim =
      detail::head_dim_of(result.heads, detail::dimension(weights, "blocks.0.layers.0.0.fn.qkv.weight", 2, 0));
  result.depth = detail::count_layers(weights, "blocks.", ".layers.0.1.fn.weight");
  result.decoder_heads = options.decoder_heads.value_or(result.heads);
  result.decoder_head_dim = detail::decoder_head_dim(weights, result.decoder_heads);
  result.decoder_depth = detail::count_layers(weights, "decoder_blocks.", ".layers.0.0.fn.weight");
  result.step = options.step.value_or(result.step);
  result.lambda = options.lambda.value_or(result.lambda);
  result.mask_ratio = options.mask_ratio.value_or(result.mask_ratio);
  result.normalise_pixels = options.normalise_pixels.value_or(result.normalise_pixels);
  return result;
}

/// The published masked autoencoder CRATE-MAE of arXiv 2404.02446.
struct CrateMaskedAutoencoderFamily {
  template <crate::Scalar S>
  using Model = CrateMaskedAutoencoder<S>;
  using Options = MaskedAutoencoderOptions;

  static constexpr std::string_view model_name = "CrateMaskedAutoencoder";
  static constexpr std::string_view name = "crate-mae", title = detail::masked_autoencoder_kind,
                                    kind = detail::masked_autoencoder_kind;
  static constexpr std::string_view marker = "decoder.layers.0.expand.dictionary";
  static constexpr std::span<const PublishedName> names = masked_autoencoder_names;
  static constexpr auto load_options = detail::load_option::of_masked_autoencoders;

  static Options options(const TensorTable& weights, const LoadOptions& given) {
    return masked_autoencoder_options(weights, given);
  }

  static LoadOptions options_to_load(const auto& model) { return detail::options_to_load_autoencoder(model); }

  /// Each layer has two norms, a projection and a dictionary: at least 6 tensors.
  static detail::LeastWeights least_weights(const Options& o) {
    const auto dim = static_cast<double>(o.dim), width = static_cast<double>(o.heads * o.head_dim),
               decoder_width = static_cast<double>(o.decoder_heads * o.decoder_head_dim);
    const auto depth = static_cast<double>(o.depth), decoder_depth = static_cast<double>(o.decoder_depth);
    const PatchGrid grid = o.image.grid();
    return {
        .numbers = dim * (depth * (width + dim) + decoder_depth * (decoder_width + dim) +
                          2 * static_cast<double>(grid.values_per_patch()) + 2 * static_cast<double>(grid.patches())),
        .tensors = 6 * (depth + decoder_depth)};
  }

  static Options smallest_like(const auto& model) {
    const detail::FirstLayer first = detail::first_layer(model), of_decoder = detail::first_layer(model, "decoder.");
    return {.image = detail::smallest_image,
            .dim = 4,
            .heads = *first.heads,
            .head_dim = *first.head_dim,
            .depth = 1,
            .decoder_depth = 1,
            .decoder_heads = *of_decoder.heads,
            .decoder_head_dim = *of_decoder.head_dim,
            .step = *first.step,
            .lambda = *first.lambda};
  }
};

}  // namespace crate
