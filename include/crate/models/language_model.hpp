// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

#include "crate/blocks/crate_alpha_block.hpp"
#include "crate/blocks/crate_block.hpp"
#include "crate/blocks/overcomplete_block.hpp"
#include "crate/blocks/transformer_block.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/add_positions.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/choose_tokens.hpp"
#include "crate/layers/dropout.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/token_embedding.hpp"
#include "crate/layers/transposed.hpp"
#include "crate/models/encoder.hpp"

// Models that predict the next token: CRATE-GPT2, its variants, and GPT-2.

namespace crate {

template <class BlockOptions>
struct LanguageModelOptions {
  Index vocabulary = 50304;  ///< V >= 1; GPT-2's 50,257 ids, padded as published
  Index context = 1024;      ///< maximum number of tokens per set, >= 1
  Index depth = 12;          ///< blocks, >= 1
  bool final_norm = false;   ///< before the head; CRATE with a square dictionary has none
  double token_dropout = 0;  ///< of the input of the first block, in recorded passes only
  BlockOptions block = {};   ///< its attention is always causal
};

namespace detail {

template <class BlockOptions>
[[nodiscard]] BlockOptions with_mask(BlockOptions options, AttentionMask mask) {
  options.mask = mask;
  return options;
}

}  // namespace detail

/// Token ids to the logits of each next token, V x N, with weight tying between embedding W and head:
///   Z^1 = W[ids] + positions,   Z^{l+1} = block^l(Z^l),   logits = W^T Z^{L+1} or W^T LN(Z^{L+1});
/// only for the tokens that TokenLayout::with_chosen selects, if it was called.
/// Source: arXiv 2311.13110 (CRATE-GPT2), 2410.16443 (CRATE-LM).
template <class Block>
struct LanguageModel : Chain<LanguageModel<Block>, typename Block::Scalar> {
  using Scalar = typename Block::Scalar;
  using Input = TokenIds;
  using Options = LanguageModelOptions<typename Block::Options>;

  TokenEmbedding<Scalar> embedding;
  AddPositions<Scalar> positions;
  Dropout<Scalar> tokens;
  Encoder<Block> encoder;
  ChooseTokens<Scalar> chosen;
  std::optional<LayerNorm<Scalar>> norm;

  /// All parameters zero except norms. Throws OptionError if an option is out of range.
  explicit LanguageModel(const Options& o)
      : embedding(o.vocabulary, o.block.dim),
        positions(o.block.dim, o.context),
        tokens(o.block.dim, o.token_dropout),
        encoder(o.depth, detail::with_mask(o.block, AttentionMask::causal)),
        chosen{o.block.dim} {
    if (o.final_norm) norm.emplace(o.block.dim);
  }

  static constexpr auto parts() {
    using Self = LanguageModel;
    return std::tuple{part("embedding", &Self::embedding), part("", &Self::positions), part("tokens", &Self::tokens),
                      part("", &Self::encoder), part("norm", &Self::norm)};
  }

  static constexpr auto links() {
    using Self = LanguageModel;
    return std::tuple{part("embedding", &Self::embedding),
                      part("positions", &Self::positions),
                      part("tokens", &Self::tokens),
                      part("", &Self::encoder),
                      part("chosen", &Self::chosen),
                      part("norm", &Self::norm),
                      part("head", [](auto& model) { return Transposed{model.embedding}; })};
  }

  [[nodiscard]] Index vocabulary() const { return embedding.input_dim(); }
  [[nodiscard]] Index context() const { return positions.longest(); }
};

/// CRATE-GPT2 of arXiv 2311.13110.
template <crate::Scalar S>
using CrateLanguageModel = LanguageModel<CrateBlock<S>>;

/// CRATE-LM of arXiv 2410.16443, with an overcomplete dictionary that also decodes.
template <crate::Scalar S>
using OvercompleteLanguageModel = LanguageModel<OvercompleteBlock<S>>;

/// CRATE-alpha as a language model, whose sizes are published in arXiv 2405.20299.
template <crate::Scalar S>
using CrateAlphaLanguageModel = LanguageModel<CrateAlphaBlock<S>>;

/// GPT-2, the paper's baseline. Published weights have norm_epsilon = 1e-5, as presets::gpt2().
template <crate::Scalar S>
using TransformerLanguageModel = LanguageModel<TransformerBlock<S>>;

namespace detail {

/// The published initialisation of language models: every linear map, embedding and position normal with one deviation,
/// every bias zero; dictionaries and norms as in all models. `of_outputs` is the deviation of the maps whose output is
/// added to a residual. Throws OptionError unless the deviation is > 0 and finite.
template <class Model>
void initialise_language_model(Model& model, std::uint64_t seed, double deviation, double of_outputs) {
  check_option(deviation > 0 && std::isfinite(deviation), "deviation of the initial weights > 0, finite", deviation);
  initialise_parts(model, seed, std::string());
  const ParameterList parameters = list_parameters(model);
  for (const Parameter& parameter : parameters) {
    const std::string_view name = parameter.name;
    const bool is_dictionary = name.ends_with(".dictionary") || name.ends_with(".decoding");
    if (is_dictionary || parameter.is_vector) continue;
    const bool is_output = name.ends_with(".output.weight") || name.ends_with(".contract.weight");
    Random random(seed, stream_of_name(name));
    const auto fill = [&]<class S>(std::span<S> numbers) {
      for (S& number : numbers) number = static_cast<S>((is_output ? of_outputs : deviation) * random.normal());
    };
    parameter.scalar == ScalarType::f32 ? fill(parameter.numbers<float>()) : fill(parameter.numbers<double>());
  }
  for (const Parameter& parameter : parameters)
    if (parameter.is_vector && parameter.name.ends_with("bias")) std::memset(parameter.data, 0, parameter.bytes());
}

}  // namespace detail

/// Initialises with normal numbers of a deviation, 0.02 as published, and deviation / sqrt(2 L) before a
/// residual is added; biases zero, dictionaries and norms as in all models. Throws OptionError unless the
/// deviation is > 0 and finite.
template <class Block>
void initialise(LanguageModel<Block>& model, std::uint64_t seed, double deviation = 0.02) {
  const auto depth = static_cast<double>(model.encoder.layers.size());
  detail::initialise_language_model(model, seed, deviation, deviation / std::sqrt(2 * depth));
}

}  // namespace crate
