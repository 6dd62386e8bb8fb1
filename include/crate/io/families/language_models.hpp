// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <tuple>

#include "crate/io/families/detail/absent_biases.hpp"
#include "crate/io/families/detail/changed_weights.hpp"
#include "crate/io/families/detail/joined_names.hpp"
#include "crate/io/families/first_layer.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/families/sizes_in_weights.hpp"
#include "crate/models/language_model.hpp"

// Language models in the format of nanoGPT, and of the code of CRATE-GPT2 and CRATE-LM, which is derived from it.

namespace crate {

namespace detail {

inline constexpr std::array text_names = {
    PublishedName{"embedding.weight", "transformer.wte.weight"},
    PublishedName{"positions", "transformer.wpe.weight"},
    PublishedName{"norm.", "transformer.ln_f."},
};
inline constexpr std::array crate_attention_names = {
    PublishedName{"layers.*.compress.norm.", "transformer.h.*.prenorm_1."},
    PublishedName{"layers.*.compress.subspaces", "transformer.h.*.attn.c_attn.weight"},
    PublishedName{"layers.*.compress.output.", "transformer.h.*.attn.c_proj."},
    PublishedName{"layers.*.sparsify.norm.", "transformer.h.*.prenorm_2."},
};
inline constexpr std::array crate_text_names = joined_names(text_names, crate_attention_names);

inline constexpr std::string_view language_model_kind = "a language model";

namespace load_option {

inline constexpr std::tuple of_language_models{heads, step, lambda, FixedText{"format", "pt"}};
inline constexpr std::tuple of_transformer_language_models{heads, gelu, FixedText{"format", "pt"}};

}  // namespace load_option

/// The number of heads, the only size of the blocks that weights do not determine; nanoGPT saves it in the metadata.
[[nodiscard]] inline Index heads_of_language_model(const LoadOptions& options, const TensorTable& weights) {
  LoadOptions completed = options;
  completed.heads = agreed("heads", options.heads, number_in_metadata<Index>(weights, "model_args.n_head"));
  return heads_of(completed);
}

/// Sizes that do not depend on the blocks; counts the tensors of the name `suffix` as blocks.
template <class Options>
[[nodiscard]] Options language_model_options(const TensorTable& weights, const LoadOptions& options,
                                             std::string_view suffix) {
  Options result;
  result.vocabulary = dimension(weights, "transformer.wte.weight", 2, 0);
  result.context = dimension(weights, "transformer.wpe.weight", 2, 0);
  result.depth = count_layers(weights, "transformer.h.", suffix);
  result.final_norm = weights.find("transformer.ln_f.weight") != nullptr;
  result.block.dim = dimension(weights, "transformer.wte.weight", 2, 1);
  result.block.heads = heads_of_language_model(options, weights);
  return result;
}

/// Sizes of a CRATE language model of any kind.
template <class Options>
[[nodiscard]] Options crate_language_model_options(const TensorTable& weights, const LoadOptions& given,
                                                   std::string_view suffix) {
  const LoadOptions options = completed(given, weights, load_option::of_language_models, language_model_kind);
  auto result = language_model_options<Options>(weights, options, suffix);
  result.block.head_dim =
      head_dim_of(result.block.heads, dimension(weights, "transformer.h.0.attn.c_attn.weight", 2, 0));
  result.block.step = options.step.value_or(result.block.step);
  result.block.lambda = options.lambda.value_or(result.block.lambda);
  return result;
}

/// Each layer has two norms, a projection and a second half: at least 6 tensors.
template <class BlockOptions>
[[nodiscard]] LeastWeights least_weights_of_language_model(const LanguageModelOptions<BlockOptions>& o,
                                                           Index width_of_layer) {
  return {.numbers =
              static_cast<double>(o.block.dim) * (static_cast<double>(o.vocabulary) + static_cast<double>(o.context) +
                                                  static_cast<double>(o.depth) * static_cast<double>(width_of_layer)),
          .tensors = 6 * static_cast<double>(o.depth)};
}

template <class Model>
[[nodiscard]] LoadOptions options_to_load_text(const Model& model) {
  const FirstLayer first = first_layer(model);
  return {.heads = first.heads, .step = first.step, .lambda = first.lambda};
}

/// Common parts of files of this format, for any blocks. Models trained with bias=False lack the biases of all norms
/// and maps: these are loaded as zeros, and then saved.
struct NanoGptFormat {
  static constexpr std::string_view kind = language_model_kind;
  /// Causal masks, which need not be loaded.
  static constexpr std::array<std::string_view, 4> buffers{"transformer.h.*.attn.bias", "h.*.attn.bias",
                                                           "transformer.h.*.attn.masked_bias", "h.*.attn.masked_bias"};
  static constexpr std::array tied{TiedName{"lm_head.weight", "transformer.wte.weight"}};
  static constexpr auto load_options = load_option::of_language_models;

  static LoadOptions options_to_load(const auto& model) { return options_to_load_text(model); }

  /// For a CRATE language model of any kind.
  template <class Model>
  static typename Model::Options smallest_like(const Model& model) {
    const FirstLayer first = first_layer(model);
    typename Model::Options options{.vocabulary = 1,
                                    .context = 1,
                                    .depth = 1,
                                    .final_norm = model.norm.has_value(),
                                    .block = {.dim = 1, .heads = 1}};
    options.block.head_dim = *first.head_dim;
    options.block.step = *first.step;
    options.block.lambda = *first.lambda;
    if constexpr (requires { options.block.atoms; }) options.block.atoms = 1;
    return options;
  }
};

/// Whether the file says that it is of this family or, if it says nothing, whether the dictionary of its first layer is
/// square, as `square` says.
[[nodiscard]] inline bool has_dictionary(const TensorTable& weights, bool square, std::string_view family) {
  if (const std::string* const stated = weights.find_metadata("crate.family")) return *stated == family;
  const Tensor& dictionary = weights.at("transformer.h.0.ista.weight");
  return square == (dictionary.shape.size() != 2 || dictionary.shape[0] == dictionary.shape[1]);
}

}  // namespace detail

inline constexpr std::array crate_language_model_names = detail::joined_names(
    detail::crate_text_names, std::array{PublishedName{"layers.*.sparsify.dictionary", "transformer.h.*.ista.weight"}});
inline constexpr std::array overcomplete_language_model_names = detail::joined_names(
    detail::crate_text_names, std::array{PublishedName{"layers.*.sparsify.dictionary", "transformer.h.*.ista.weight",
                                                       PublishedLayout::transposed}});
inline constexpr std::array crate_alpha_language_model_names = detail::joined_names(
    detail::crate_text_names, std::array{PublishedName{"layers.*.sparsify.dictionary", "transformer.h.*.ista.D"},
                                         PublishedName{"layers.*.sparsify.decoding", "transformer.h.*.ista.D1"}});
inline constexpr std::array transformer_language_model_names = detail::joined_names(
    detail::text_names, std::array{PublishedName{"layers.*.attend.norm.", "transformer.h.*.ln_1."},
                                   PublishedName{"layers.*.attend.projection.", "transformer.h.*.attn.c_attn."},
                                   PublishedName{"layers.*.attend.output.", "transformer.h.*.attn.c_proj."},
                                   PublishedName{"layers.*.transform.norm.", "transformer.h.*.ln_2."},
                                   PublishedName{"layers.*.transform.expand.", "transformer.h.*.mlp.c_fc."},
                                   PublishedName{"layers.*.transform.contract.", "transformer.h.*.mlp.c_proj."}});

/// CRATE-GPT2 of arXiv 2311.13110.
struct CrateLanguageModelFamily : detail::NanoGptFormat {
  template <crate::Scalar S>
  using Model = CrateLanguageModel<S>;
  using Options = LanguageModelOptions<CrateBlockOptions>;

  static constexpr std::string_view model_name = "CrateLanguageModel";
  static constexpr std::string_view name = "crate-gpt2", title = "a CRATE language model";
  static constexpr std::string_view marker = "layers.0.sparsify.dictionary";
  static constexpr std::span<const PublishedName> names = crate_language_model_names;

  static TensorTable as_published(const TensorTable& weights) { return detail::with_absent_biases(weights, names); }
  static bool fits(const TensorTable& weights) { return detail::has_dictionary(weights, true, name); }
  static Options options(const TensorTable& weights, const LoadOptions& given) {
    return detail::crate_language_model_options<Options>(weights, given, ".ista.weight");
  }
  static detail::LeastWeights least_weights(const Options& o) {
    return detail::least_weights_of_language_model(o, o.block.heads * o.block.head_dim + o.block.dim);
  }
};

/// CRATE-LM of arXiv 2410.16443, whose files hold the dictionary as D^T.
struct OvercompleteLanguageModelFamily : detail::NanoGptFormat {
  template <crate::Scalar S>
  using Model = OvercompleteLanguageModel<S>;
  using Options = LanguageModelOptions<OvercompleteBlockOptions>;

  static constexpr std::string_view model_name = "OvercompleteLanguageModel";
  static constexpr std::string_view name = "crate-lm", title = "an overcomplete CRATE language model";
  static constexpr std::string_view marker = "layers.0.sparsify.dictionary";
  static constexpr std::span<const PublishedName> names = overcomplete_language_model_names;

  static TensorTable as_published(const TensorTable& weights) { return detail::with_absent_biases(weights, names); }
  static bool fits(const TensorTable& weights) { return detail::has_dictionary(weights, false, name); }
  static Options options(const TensorTable& weights, const LoadOptions& given) {
    auto options = detail::crate_language_model_options<Options>(weights, given, ".ista.weight");
    options.block.atoms = detail::dimension(weights, "transformer.h.0.ista.weight", 2, 0);
    return options;
  }
  static detail::LeastWeights least_weights(const Options& o) {
    return detail::least_weights_of_language_model(o, o.block.heads * o.block.head_dim + o.block.atoms);
  }
};

/// CRATE-alpha as a language model. We know of no published weights: the names are ours.
struct CrateAlphaLanguageModelFamily : detail::NanoGptFormat {
  template <crate::Scalar S>
  using Model = CrateAlphaLanguageModel<S>;
  using Options = LanguageModelOptions<CrateAlphaBlockOptions>;

  static constexpr std::string_view model_name = "CrateAlphaLanguageModel";
  static constexpr std::string_view name = "crate-alpha-lm", title = "a CRATE-alpha language model";
  static constexpr std::string_view marker = "layers.0.sparsify.decoding";
  static constexpr std::span<const PublishedName> names = crate_alpha_language_model_names;

  static Options options(const TensorTable& weights, const LoadOptions& given) {
    auto options = detail::crate_language_model_options<Options>(weights, given, ".ista.D");
    options.block.atoms = detail::dimension(weights, "transformer.h.0.ista.D", 2, 1);
    return options;
  }
  static detail::LeastWeights least_weights(const Options& o) {
    return detail::least_weights_of_language_model(o, o.block.heads * o.block.head_dim + 2 * o.block.atoms);
  }
};

/// GPT-2 in the format of nanoGPT, with the exact GELU, and of Hugging Face: matrices transposed, tanh form of GELU,
/// often without the prefix 'transformer.'.
struct TransformerLanguageModelFamily : detail::NanoGptFormat {
  template <crate::Scalar S>
  using Model = TransformerLanguageModel<S>;
  using Options = LanguageModelOptions<TransformerBlockOptions>;

  static constexpr std::string_view model_name = "TransformerLanguageModel";
  static constexpr std::string_view name = "gpt2", title = "a GPT-2";
  static constexpr std::string_view optional_first_part = "transformer";
  static constexpr std::string_view marker = "layers.0.transform.expand.weight";
  static constexpr std::span<const PublishedName> names = transformer_language_model_names;
  static constexpr auto load_options = detail::load_option::of_transformer_language_models;

  static TensorTable as_published(const TensorTable& weights) {
    return detail::with_absent_biases(of_nano_gpt(weights), names);
  }

  static Options options(const TensorTable& weights, const LoadOptions& given) {
    const LoadOptions options = detail::completed(given, weights, load_options, kind);
    auto result = detail::language_model_options<Options>(weights, options, ".mlp.c_fc.weight");
    result.block.hidden = detail::dimension(weights, "transformer.h.0.mlp.c_fc.weight", 2, 0);
    result.block.norm_epsilon = 1e-5;
    result.block.gelu = options.gelu.value_or(GeluForm::exact);
    return result;
  }
  static LoadOptions options_to_load(const auto& model) {
    LoadOptions options_to_load = detail::options_to_load_text(model);
    options_to_load.gelu = model.encoder.layers.front().transform.branch.layer.activation.form;
    return options_to_load;
  }
  static detail::LeastWeights least_weights(const Options& o) {
    return detail::least_weights_of_language_model(o, 4 * o.block.dim + 2 * o.block.hidden);
  }
  static Options smallest_like(const auto& model) {
    return {.vocabulary = 1,
            .context = 1,
            .depth = 1,
            .final_norm = model.norm.has_value(),
            .block = {.dim = *detail::first_layer(model).head_dim,
                      .heads = 1,
                      .hidden = 1,
                      .gelu = *options_to_load(model).gelu,
                      .norm_epsilon = 1e-5}};
  }

 private:
  /// The weights in the layout of nanoGPT, converted if the shape of the first projection is that of Hugging Face.
  static TensorTable of_nano_gpt(const TensorTable& weights) {
    const Tensor* const projection = weights.find("transformer.h.0.attn.c_attn.weight");
    if (projection == nullptr || projection->shape.size() != 2 || projection->shape[1] != 3 * projection->shape[0])
      return weights;
    const TensorTable turned = detail::changed_weights(
        weights, [](const Tensor&) { return false; },
        [](Tensor& tensor) {
          const bool is_map = tensor.name.ends_with(".c_attn.weight") || tensor.name.ends_with(".c_proj.weight") ||
                              tensor.name.ends_with(".c_fc.weight");
          if (is_map) tensor = transposed(tensor);
        });
    Metadata metadata = turned.metadata();
    if (turned.find_metadata("crate.gelu") == nullptr) metadata.emplace_back("crate.gelu", "tanh");
    return {turned.source(), turned.tensors(), std::move(metadata), turned.owner()};
  }
};

}  // namespace crate
