// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

#include "crate/io/families/detail/joined_names.hpp"
#include "crate/io/families/first_layer.hpp"
#include "crate/io/families/language_models.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/families/sizes_in_weights.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/models/masked_language_model.hpp"

// CRATE-BERT in the format of pull request 27759 of huggingface/transformers. We know of no published weights of its
// counterparts with transformer blocks and of sentence classifiers: their names are ours.

namespace crate {

namespace detail {

inline constexpr std::array crate_encoder_names = {
    PublishedName{"embedding.weight", "crate.embeddings.word_embeddings.weight"},
    PublishedName{"positions", "crate.embeddings.position_embeddings.weight"},
    PublishedName{"embedding.types", "crate.embeddings.token_type_embeddings.weight"},
    PublishedName{"embedding_norm.", "crate.embeddings.LayerNorm."},
    PublishedName{"layers.*.compress.norm.", "crate.encoder.layer.*.attention.self.prenorm."},
    PublishedName{"layers.*.compress.subspaces", "crate.encoder.layer.*.attention.self.qkv.weight"},
    PublishedName{"layers.*.compress.output.", "crate.encoder.layer.*.attention.output.dense."},
    PublishedName{"layers.*.sparsify.norm.", "crate.encoder.layer.*.output.prenorm."},
    PublishedName{"layers.*.sparsify.dictionary", "crate.encoder.layer.*.output.weight"},
};
inline constexpr std::array transformer_encoder_names = {
    PublishedName{"embedding.weight", "bert.embeddings.word_embeddings.weight"},
    PublishedName{"positions", "bert.embeddings.position_embeddings.weight"},
    PublishedName{"embedding.types", "bert.embeddings.token_type_embeddings.weight"},
    PublishedName{"embedding_norm.", "bert.embeddings.LayerNorm."},
    PublishedName{"layers.*.attend.norm.", "bert.encoder.layer.*.attention.self.prenorm."},
    PublishedName{"layers.*.attend.projection.", "bert.encoder.layer.*.attention.self.qkv."},
    PublishedName{"layers.*.attend.output.", "bert.encoder.layer.*.attention.output.dense."},
    PublishedName{"layers.*.transform.norm.", "bert.encoder.layer.*.output.prenorm."},
    PublishedName{"layers.*.transform.expand.", "bert.encoder.layer.*.intermediate.dense."},
    PublishedName{"layers.*.transform.contract.", "bert.encoder.layer.*.output.dense."},
};
inline constexpr std::array masked_language_head_names = {
    PublishedName{"head.dense.", "lm_head.dense."},
    PublishedName{"head.norm.", "lm_head.layer_norm."},
    PublishedName{"decoder.weight", "lm_head.decoder.weight"},
    PublishedName{"decoder.bias", "lm_head.bias"},
};
inline constexpr std::array sentence_head_names = {
    PublishedName{"head.norm.", "classifier.norm."},
    PublishedName{"head.linear.", "classifier.out_proj."},
};

inline constexpr Index first_roberta_position = 2;

namespace load_option {

inline constexpr std::tuple of_sentence_classifiers{heads,   step,       lambda, FixedText{"format", "pt"},
                                                    pooling, class_names};
inline constexpr std::tuple of_transformer_text{heads, gelu, FixedText{"format", "pt"}};
inline constexpr std::tuple of_transformer_sentence_classifiers{heads, gelu, FixedText{"format", "pt"}, pooling,
                                                                class_names};

}  // namespace load_option

/// Sizes that do not depend on the blocks, for names that begin with `model`.
template <class BlockOptions>
[[nodiscard]] TextEncoderOptions<BlockOptions> text_encoder_options(const TensorTable& weights,
                                                                    const LoadOptions& options,
                                                                    const std::string& model) {
  const std::string embeddings = model + ".embeddings.";
  TextEncoderOptions<BlockOptions> result;
  result.vocabulary = dimension(weights, embeddings + "word_embeddings.weight", 2, 0);
  result.block.dim = dimension(weights, embeddings + "word_embeddings.weight", 2, 1);
  const Index positions = dimension(weights, embeddings + "position_embeddings.weight", 2, 0);
  if (positions <= first_roberta_position)
    throw file_error(weights.source(), "expected more than the ", first_roberta_position,
                     " positions of padding, found ", positions);
  result.context = positions - first_roberta_position;
  const std::string types = embeddings + "token_type_embeddings.weight";
  result.types = weights.find(types) != nullptr ? dimension(weights, types, 2, 0) : 0;
  result.depth = count_layers(weights, model + ".encoder.layer.", ".attention.self.qkv.weight");
  result.block.heads = heads_of(options);
  return result;
}

[[nodiscard]] inline TextEncoderOptions<CrateBlockOptions> crate_encoder_options(const TensorTable& weights,
                                                                                 const LoadOptions& options) {
  auto result = text_encoder_options<CrateBlockOptions>(weights, options, "crate");
  const std::string layer = "crate.encoder.layer.0.";
  result.block.head_dim =
      head_dim_of(result.block.heads, dimension(weights, layer + "attention.self.qkv.weight", 2, 0));
  result.block.output_bias = weights.find(layer + "attention.output.dense.bias") != nullptr;
  result.block.step = options.step.value_or(result.block.step);
  result.block.lambda = options.lambda.value_or(result.block.lambda);
  return result;
}

[[nodiscard]] inline TextEncoderOptions<TransformerBlockOptions> transformer_encoder_options(
    const TensorTable& weights, const LoadOptions& options) {
  auto result = text_encoder_options<TransformerBlockOptions>(weights, options, "bert");
  result.block.hidden = dimension(weights, "bert.encoder.layer.0.intermediate.dense.weight", 2, 0);
  result.block.gelu = options.gelu.value_or(GeluForm::exact);
  return result;
}

/// Each layer has two norms, a projection and a second half: at least 6 tensors.
template <class BlockOptions>
[[nodiscard]] LeastWeights least_weights_of_text(const TextEncoderOptions<BlockOptions>& o, Index width_of_layer) {
  return {.numbers =
              static_cast<double>(o.block.dim) * (static_cast<double>(o.vocabulary) + static_cast<double>(o.context) +
                                                  static_cast<double>(o.depth) * static_cast<double>(width_of_layer)),
          .tensors = 6 * static_cast<double>(o.depth)};
}
[[nodiscard]] inline LeastWeights least_weights_of_text(const TextEncoderOptions<CrateBlockOptions>& o) {
  return least_weights_of_text(o, o.block.heads * o.block.head_dim + o.block.dim);
}
[[nodiscard]] inline LeastWeights least_weights_of_text(const TextEncoderOptions<TransformerBlockOptions>& o) {
  return least_weights_of_text(o, 4 * o.block.dim + 2 * o.block.hidden);
}

[[nodiscard]] inline TextEncoderOptions<CrateBlockOptions> smallest_encoder_like(const FirstLayer& first,
                                                                                 CrateBlockOptions block) {
  block.dim = block.heads = 1;
  block.head_dim = *first.head_dim;
  block.step = *first.step;
  block.lambda = *first.lambda;
  return {.vocabulary = 1, .context = 1, .types = 1, .depth = 1, .block = block};
}
[[nodiscard]] inline TextEncoderOptions<TransformerBlockOptions> smallest_encoder_like(const FirstLayer& first,
                                                                                       TransformerBlockOptions block) {
  block.dim = *first.head_dim;
  block.heads = block.hidden = 1;
  return {.vocabulary = 1, .context = 1, .types = 1, .depth = 1, .block = block};
}

/// Whether the encoder has a head for classes.
[[nodiscard]] inline bool is_sentence_classifier(const TensorTable& weights) {
  return weights.find("classifier.out_proj.weight") != nullptr;
}

/// Common parts of files of text encoders, for any blocks and heads.
struct BertFormat {
  static constexpr std::string_view kind = "a masked language model";
  static constexpr std::array<std::string_view, 4> buffers{
      "crate.embeddings.position_ids", "crate.embeddings.token_type_ids", "bert.embeddings.position_ids",
      "bert.embeddings.token_type_ids"};

  /// The options of a text encoder; with transformer blocks also the form of GELU, in classifiers also the pooling.
  static LoadOptions options_to_load(const auto& model) {
    LoadOptions options_to_load = options_to_load_text(model);
    const auto& block = model.text.encoder.layers.front();
    if constexpr (requires { block.transform; }) options_to_load.gelu = block.transform.branch.layer.activation.form;
    if constexpr (requires { model.pool; }) options_to_load.pooling = model.pool.pooling;
    return options_to_load;
  }
  static LeastWeights least_weights(const auto& options) { return least_weights_of_text(options.text); }

  template <class Model>
  static typename Model::Options smallest_like(const Model& model) {
    typename Model::Options options;
    if constexpr (requires { options.text.block.gelu; }) options.text.block.gelu = *options_to_load(model).gelu;
    options.text = smallest_encoder_like(first_layer(model), options.text.block);
    if constexpr (requires { options.classes; }) options.classes = 1;
    return options;
  }
};

}  // namespace detail

inline constexpr std::array crate_masked_language_model_names =
    detail::joined_names(detail::crate_encoder_names, detail::masked_language_head_names);
inline constexpr std::array crate_sentence_classifier_names =
    detail::joined_names(detail::crate_encoder_names, detail::sentence_head_names);
inline constexpr std::array transformer_masked_language_model_names =
    detail::joined_names(detail::transformer_encoder_names, detail::masked_language_head_names);
inline constexpr std::array transformer_sentence_classifier_names =
    detail::joined_names(detail::transformer_encoder_names, detail::sentence_head_names);

/// The short names of an independent implementation of CRATE-BERT.
inline constexpr std::array crate_masked_language_model_short_names = {
    PublishedName{"embedding.weight", "word_embeddings.weight"},
    PublishedName{"positions", "position_embeddings.weight"},
    PublishedName{"embedding.types", "token_type_embeddings.weight"},
    PublishedName{"embedding_norm.", "embedding_norm."},
    PublishedName{"layers.*.compress.norm.", "layers.*.attention_norm."},
    PublishedName{"layers.*.compress.subspaces", "layers.*.qkv.weight"},
    PublishedName{"layers.*.compress.output.", "layers.*.attention_out."},
    PublishedName{"layers.*.sparsify.norm.", "layers.*.ista_norm."},
    PublishedName{"layers.*.sparsify.dictionary", "layers.*.dictionary"},
    PublishedName{"head.dense.", "head_dense."},
    PublishedName{"head.norm.", "head_norm."},
    PublishedName{"decoder.", "head_decoder."},
};

/// CRATE-BERT of arXiv 2311.13110, with a tied or a separate decoder.
struct CrateMaskedLanguageModelFamily : detail::BertFormat {
  template <crate::Scalar S>
  using Model = CrateMaskedLanguageModel<S>;
  using Options = MaskedLanguageModelOptions<CrateBlockOptions>;

  static constexpr std::string_view model_name = "CrateMaskedLanguageModel";
  static constexpr std::string_view name = "crate-bert", title = "a CRATE masked language model";
  static constexpr std::string_view marker = "layers.0.sparsify.norm.weight";
  static constexpr std::span<const PublishedName> names = crate_masked_language_model_names;
  static constexpr std::span<const PublishedName> other_names = crate_masked_language_model_short_names;
  static constexpr std::array tied{TiedName{"lm_head.decoder.weight", "crate.embeddings.word_embeddings.weight"},
                                   TiedName{"lm_head.decoder.bias", "lm_head.bias"}};
  static constexpr auto load_options = detail::load_option::of_language_models;

  static bool fits(const TensorTable& weights) { return !detail::is_sentence_classifier(weights); }
  static Options options(const TensorTable& weights, const LoadOptions& given) {
    return {.text = detail::crate_encoder_options(weights, detail::completed(given, weights, load_options, kind)),
            .tied = weights.find("lm_head.decoder.weight") == nullptr};
  }
};

/// CRATE-BERT as a sentence classifier.
struct CrateSentenceClassifierFamily : detail::BertFormat {
  template <crate::Scalar S>
  using Model = CrateSentenceClassifier<S>;
  using Options = SentenceClassifierOptions<CrateBlockOptions>;

  static constexpr std::string_view model_name = "CrateSentenceClassifier";
  static constexpr std::string_view name = "crate-bert-classifier", title = "a CRATE classifier of sentences",
                                    kind = "a classifier of sentences";
  static constexpr std::string_view marker = "layers.0.sparsify.norm.weight";
  static constexpr std::span<const PublishedName> names = crate_sentence_classifier_names;
  static constexpr auto load_options = detail::load_option::of_sentence_classifiers;

  static bool fits(const TensorTable& weights) { return detail::is_sentence_classifier(weights); }
  static Options options(const TensorTable& weights, const LoadOptions& given) {
    const LoadOptions options = detail::completed(given, weights, load_options, kind);
    return {.text = detail::crate_encoder_options(weights, options),
            .classes = detail::dimension(weights, "classifier.out_proj.weight", 2, 0),
            .pooling = options.pooling.value_or(Pooling::class_token)};
  }
};

/// The masked language model with transformer blocks.
struct TransformerMaskedLanguageModelFamily : detail::BertFormat {
  template <crate::Scalar S>
  using Model = TransformerMaskedLanguageModel<S>;
  using Options = MaskedLanguageModelOptions<TransformerBlockOptions>;

  static constexpr std::string_view model_name = "TransformerMaskedLanguageModel";
  static constexpr std::string_view name = "transformer-bert", title = "a masked language model of transformer blocks";
  static constexpr std::string_view marker = "layers.0.transform.norm.weight";
  static constexpr std::span<const PublishedName> names = transformer_masked_language_model_names;
  static constexpr std::array tied{TiedName{"lm_head.decoder.weight", "bert.embeddings.word_embeddings.weight"},
                                   TiedName{"lm_head.decoder.bias", "lm_head.bias"}};
  static constexpr auto load_options = detail::load_option::of_transformer_text;

  static bool fits(const TensorTable& weights) { return !detail::is_sentence_classifier(weights); }
  static Options options(const TensorTable& weights, const LoadOptions& given) {
    return {.text = detail::transformer_encoder_options(weights, detail::completed(given, weights, load_options, kind)),
            .tied = weights.find("lm_head.decoder.weight") == nullptr};
  }
};

/// The text encoder with transformer blocks as a sentence classifier.
struct TransformerSentenceClassifierFamily : detail::BertFormat {
  template <crate::Scalar S>
  using Model = TransformerSentenceClassifier<S>;
  using Options = SentenceClassifierOptions<TransformerBlockOptions>;

  static constexpr std::string_view model_name = "TransformerSentenceClassifier";
  static constexpr std::string_view name = "transformer-bert-classifier",
                                    title = "a classifier of sentences of transformer blocks",
                                    kind = "a classifier of sentences";
  static constexpr std::string_view marker = "layers.0.transform.norm.weight";
  static constexpr std::span<const PublishedName> names = transformer_sentence_classifier_names;
  static constexpr auto load_options = detail::load_option::of_transformer_sentence_classifiers;

  static bool fits(const TensorTable& weights) { return detail::is_sentence_classifier(weights); }
  static Options options(const TensorTable& weights, const LoadOptions& given) {
    const LoadOptions options = detail::completed(given, weights, load_options, kind);
    return {.text = detail::transformer_encoder_options(weights, options),
            .classes = detail::dimension(weights, "classifier.out_proj.weight", 2, 0),
            .pooling = options.pooling.value_or(Pooling::class_token)};
  }
};

}  // namespace crate
