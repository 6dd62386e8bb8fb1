// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>

#include "crate/blocks/crate_block.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/language_model.hpp"
#include "crate/models/masked_autoencoder.hpp"
#include "crate/models/masked_language_model.hpp"
#include "crate/models/transformer.hpp"

// The published sizes, under their published names. A name has another width with patches of 8 than with patches of 16.

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

/// All but CRATE with a square dictionary have a norm before the head.
template <class Model>
[[nodiscard]] typename Model::Options language_model(Index depth, Index dim, Index heads) {
  using CrateOptions = CrateLanguageModel<float>::Options;
  typename Model::Options options;
  options.depth = depth;
  options.block.dim = dim;
  options.block.heads = heads;
  options.final_norm = !std::same_as<typename Model::Options, CrateOptions>;
  if constexpr (requires { options.block.gelu; }) options.block.norm_epsilon = 1e-5;
  return options;
}

/// GPT-2 with OpenAI's vocabulary, without padding, and the GELU of its weights.
[[nodiscard]] inline TransformerLanguageModel<float>::Options gpt2(Index depth, Index dim, Index heads) {
  auto options = language_model<TransformerLanguageModel<float>>(depth, dim, heads);
  options.vocabulary = 50257;
  options.block.gelu = GeluForm::tanh;
  return options;
}

[[nodiscard]] inline CrateMaskedLanguageModel<float>::Options crate_bert(Index dim, Index heads, Index depth) {
  return {.text = {.depth = depth,
                   .token_dropout = 0.1,
                   .block = {.dim = dim, .heads = heads, .dropout = 0.1, .output_bias = false}}};
}

}  // namespace detail

// Classifiers of arXiv 2311.13110: patch 16, ImageNet-1k.
[[nodiscard]] inline auto crate_tiny(Index classes = 1000) { return detail::crate(16, 384, 6, 12, classes); }
[[nodiscard]] inline auto crate_small(Index classes = 1000) { return detail::crate(16, 576, 12, 12, classes); }
[[nodiscard]] inline auto crate_base(Index classes = 1000) { return detail::crate(16, 768, 12, 12, classes); }
[[nodiscard]] inline auto crate_large(Index classes = 1000) { return detail::crate(16, 1024, 16, 24, classes); }

// Classifiers of arXiv 2308.16271: patch 8, ImageNet-21k. The tiny one's heads are not published: 3, as in ViT-T.
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

/// A masked autoencoder for images of about 30 x 30 pixels, in patches of 4 x 4, that trains in minutes.
[[nodiscard]] inline MaskedAutoencoderOptions crate_mae_small_images(const ImageOptions& image) {
  MaskedAutoencoderOptions options = detail::mae(128, 4, 4);
  options.image = image;
  options.decoder_depth = 2;
  options.lambda = 0.1;
  return options;
}

// Language models of arXiv 2311.13110, and CRATE-LM of 2410.16443: context 1024, GPT-2's ids padded to 50,304.
[[nodiscard]] inline auto crate_gpt2_base() { return detail::language_model<CrateLanguageModel<float>>(12, 768, 12); }
[[nodiscard]] inline auto crate_lm_1() { return detail::language_model<OvercompleteLanguageModel<float>>(1, 512, 4); }
[[nodiscard]] inline auto crate_lm_6() { return detail::language_model<OvercompleteLanguageModel<float>>(6, 768, 12); }
[[nodiscard]] inline auto crate_lm_12() {
  return detail::language_model<OvercompleteLanguageModel<float>>(12, 768, 12);
}

// CRATE-alpha as a language model, in the sizes of arXiv 2405.20299.
[[nodiscard]] inline auto crate_alpha_lm_small() {
  return detail::language_model<CrateAlphaLanguageModel<float>>(12, 512, 8);
}
[[nodiscard]] inline auto crate_alpha_lm_base() {
  return detail::language_model<CrateAlphaLanguageModel<float>>(12, 768, 12);
}

// GPT-2.
[[nodiscard]] inline auto gpt2() { return detail::gpt2(12, 768, 12); }
[[nodiscard]] inline auto gpt2_medium() { return detail::gpt2(24, 1024, 16); }
[[nodiscard]] inline auto gpt2_large() { return detail::gpt2(36, 1280, 20); }
[[nodiscard]] inline auto gpt2_xl() { return detail::gpt2(48, 1600, 25); }

/// A language model, such as CrateLanguageModel<float>, that learns the characters of a short text in minutes.
template <class Model>
[[nodiscard]] typename Model::Options small_text(Index vocabulary = 65) {
  auto options = detail::language_model<Model>(4, 128, 4);
  options.vocabulary = vocabulary;
  options.context = 64;
  return options;
}

/// A language model of the size that nanoGPT and CRATE-LM use for the characters of Shakespeare.
template <class Model>
[[nodiscard]] typename Model::Options shakespeare_characters(Index vocabulary = 65) {
  auto options = detail::language_model<Model>(6, 384, 6);
  options.vocabulary = vocabulary;
  options.context = 256;
  options.token_dropout = options.block.dropout = 0.2;
  return options;
}

// Masked language models of arXiv 2311.13110, with RoBERTa's ids.
[[nodiscard]] inline auto crate_bert_base() { return detail::crate_bert(768, 12, 12); }
[[nodiscard]] inline auto crate_bert_large() { return detail::crate_bert(1024, 16, 24); }

}  // namespace crate::presets
