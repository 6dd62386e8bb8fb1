// SPDX-License-Identifier: MIT
#pragma once

#include "crate/models/image_classifier.hpp"
#include "crate/models/masked_autoencoder.hpp"
#include "crate/models/transformer.hpp"

// The published sizes, by their published names. The same letter means other widths at patch 8 than at patch 16.

namespace crate::presets {

namespace detail {

inline CrateClassifier<float>::Options crate(Index patch, Index dim, Index heads, Index depth, Index classes) {
  return {.image = {.patch_height = patch, .patch_width = patch},
          .classes = classes,
          .depth = depth,
          .block = {.dim = dim, .heads = heads}};
}

inline CrateAlphaClassifier<float>::Options alpha(Index patch, Index dim, Index heads, Index depth, Index classes) {
  return {.image = {.patch_height = patch, .patch_width = patch},
          .classes = classes,
          .depth = depth,
          .block = {.dim = dim, .heads = heads}};
}

inline TransformerClassifier<float>::Options vit(Index patch, Index dim, Index heads, Index depth, Index classes) {
  return {.image = {.patch_height = patch, .patch_width = patch},
          .classes = classes,
          .depth = depth,
          .head_norm_epsilon = 1e-6,
          .block = {.dim = dim, .heads = heads}};
}

inline MaskedAutoencoderOptions mae(Index dim, Index heads, Index depth) {
  return {.dim = dim, .heads = heads, .depth = depth, .decoder_depth = depth};
}

}  // namespace detail

// Classifiers of arXiv 2311.13110: patch 16, ImageNet-1k.
[[nodiscard]] inline auto crate_tiny(Index classes = 1000) { return detail::crate(16, 384, 6, 12, classes); }
[[nodiscard]] inline auto crate_small(Index classes = 1000) { return detail::crate(16, 576, 12, 12, classes); }
[[nodiscard]] inline auto crate_base(Index classes = 1000) { return detail::crate(16, 768, 12, 12, classes); }
[[nodiscard]] inline auto crate_large(Index classes = 1000) { return detail::crate(16, 1024, 16, 24, classes); }

// Classifiers of arXiv 2308.16271: patch 8, ImageNet-21k.
[[nodiscard]] inline auto crate_tiny_8(Index classes = 21841) { return detail::crate(8, 192, 3, 12, classes); }
[[nodiscard]] inline auto crate_small_8(Index classes = 21841) { return detail::crate(8, 384, 6, 12, classes); }
[[nodiscard]] inline auto crate_base_8(Index classes = 21841) { return detail::crate(8, 768, 12, 12, classes); }

// Classifiers of arXiv 2405.20299.
[[nodiscard]] inline auto crate_alpha_base_32(Index classes = 1000) { return detail::alpha(32, 768, 12, 12, classes); }
[[nodiscard]] inline auto crate_alpha_base_16(Index classes = 1000) { return detail::alpha(16, 768, 12, 12, classes); }
[[nodiscard]] inline auto crate_alpha_base_8(Index classes = 1000) { return detail::alpha(8, 768, 12, 12, classes); }
[[nodiscard]] inline auto crate_alpha_large_32(Index classes = 1000) {
  return detail::alpha(32, 1024, 16, 24, classes);
}
[[nodiscard]] inline auto crate_alpha_large_14(Index classes = 1000) {
  return detail::alpha(14, 1024, 16, 24, classes);
}
[[nodiscard]] inline auto crate_alpha_large_8(Index classes = 1000) { return detail::alpha(8, 1024, 16, 24, classes); }

// Transformers of arXiv 2010.11929 and 2012.12877: patch 16.
[[nodiscard]] inline auto vit_tiny(Index classes = 1000) { return detail::vit(16, 192, 3, 12, classes); }
[[nodiscard]] inline auto vit_small(Index classes = 1000) { return detail::vit(16, 384, 6, 12, classes); }
[[nodiscard]] inline auto vit_base(Index classes = 1000) { return detail::vit(16, 768, 12, 12, classes); }

// Masked autoencoders of arXiv 2404.02446: patch 16.
[[nodiscard]] inline auto crate_mae_tiny() { return detail::mae(384, 6, 12); }
[[nodiscard]] inline auto crate_mae_small() { return detail::mae(576, 12, 12); }
[[nodiscard]] inline auto crate_mae_base() { return detail::mae(768, 12, 12); }
[[nodiscard]] inline auto crate_mae_large() { return detail::mae(1024, 16, 24); }

}  // namespace crate::presets
