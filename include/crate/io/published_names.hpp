// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "crate/core/errors.hpp"

// The names and layouts of the published weights: one reversible table a format.
//
// A matrix of ours has the bytes of the published tensor: a column-major d x N one is [N, d],
// a row-major one [rows, cols].

namespace crate {

/// How the shape of a published tensor follows from a parameter of ours.
enum class PublishedLayout {
  same,        ///< [n], [rows, cols] of a row-major matrix, [cols, rows] of a column-major one
  one_set,     ///< the same with leading ones up to three dimensions
  convolution  ///< [rows, channels, patch height, patch width] of a row-major matrix
};

/// Our name of a parameter and the published one. "*" stands for any index, the same on both sides; names that end in
/// "." stand for all that begin so.
struct PublishedName {
  std::string_view ours, published;
  PublishedLayout layout = PublishedLayout::same;
};

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

/// The name that `to` gives to what `from` gives the name `name`; nothing if `from` does not match.
inline std::optional<std::string> translate(std::string_view name, std::string_view from, std::string_view to) {
  std::string_view index, rest;
  if (const std::size_t star = from.find('*'); star != std::string_view::npos) {
    if (!name.starts_with(from.substr(0, star))) return std::nullopt;
    name.remove_prefix(star);
    index = name.substr(0, name.find_first_not_of("0123456789"));
    if (index.empty()) return std::nullopt;
    name.remove_prefix(index.size());
    from.remove_prefix(star + 1);
  }
  if (!name.starts_with(from)) return std::nullopt;
  rest = name.substr(from.size());
  if (!rest.empty() && !from.ends_with('.')) return std::nullopt;
  std::string result(to);
  if (const std::size_t star = result.find('*'); star != std::string::npos) result.replace(star, 1, index);
  return result += rest;
}

}  // namespace detail

/// A published tensor that a parameter of ours stands for.
struct PublishedTensorName {
  std::string name;
  PublishedLayout layout;
};

/// The published tensor of the parameter that we call `ours`. Throws Error if the table has none.
[[nodiscard]] inline PublishedTensorName published_name(std::span<const PublishedName> names, std::string_view ours) {
  for (const PublishedName& entry : names)
    if (auto name = detail::translate(ours, entry.ours, entry.published)) return {std::move(*name), entry.layout};
  throw Error(concatenate("published names: expected an entry for the parameter '", ours, "', found none"));
}

/// Our name of a published tensor, or nothing if the table has none.
[[nodiscard]] inline std::optional<std::string> our_name(std::span<const PublishedName> names,
                                                         std::string_view published) {
  for (const PublishedName& entry : names)
    if (auto name = detail::translate(published, entry.published, entry.ours)) return name;
  return std::nullopt;
}

}  // namespace crate
