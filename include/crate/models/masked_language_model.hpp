// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/blocks/crate_block.hpp"
#include "crate/blocks/transformer_block.hpp"
#include "crate/layers/add_positions.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/choose_tokens.hpp"
#include "crate/layers/dropout.hpp"
#include "crate/layers/gelu.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/pooling.hpp"
#include "crate/layers/token_embedding.hpp"
#include "crate/layers/transposed.hpp"
#include "crate/models/encoder.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/language_model.hpp"

// Models that see both sides of a token: CRATE-BERT, and the ordinary transformer in its place.

namespace crate {

template <class BlockOptions>
struct TextEncoderOptions {
  Index vocabulary = 50265;     ///< V >= 1; RoBERTa's ids
  Index context = 512;          ///< most tokens of a set, >= 1
  Index types = 2;              ///< of tokens, >= 0
  Index first_position = 2;     ///< behind those of padding, whose id is first_position - 1 in RoBERTa
  Index depth = 12;             ///< blocks, >= 1
  double norm_epsilon = 1e-12;  ///< of the embeddings' norm and of the head's
  double token_dropout = 0;     ///< of what enters the first block, in recorded passes alone
  BlockOptions block = {};      ///< whose attention sees all that is no padding, whatever this says of it
};

/// Ids, and types, of tokens to tokens, d x N:
///   Z^1 = LN(W[ids] + T[types] + positions),   Z^{l+1} = block^l(Z^l).
/// Padding, the tokens of a set behind its visible ones, serves no other as a key. Positions as in RoBERTa.
template <class Block>
struct TextEncoder : Chain<TextEncoder<Block>, typename Block::Scalar> {
  using Scalar = typename Block::Scalar;
  using Input = TokenIds;
  using Options = TextEncoderOptions<typename Block::Options>;

  TokenEmbedding<Scalar> embedding;
  AddPositions<Scalar> positions;
  LayerNorm<Scalar> norm;
  Dropout<Scalar> tokens;
  Encoder<Block> encoder;

  /// All zero but the norms. Throws OptionError on an option out of range.
  explicit TextEncoder(const Options& o)
      : embedding(o.vocabulary, o.block.dim, o.types),
        positions(o.block.dim, o.context, o.first_position),
        norm(o.block.dim, {.epsilon = o.norm_epsilon}),
        tokens(o.block.dim, o.token_dropout),
        encoder(o.depth, detail::with_mask(o.block, AttentionMask::none)) {}

  static constexpr auto parts() {
    using Self = TextEncoder;
    return std::tuple{part("embedding", &Self::embedding), part("", &Self::positions),
                      part("embedding_norm", &Self::norm), part("tokens", &Self::tokens), part("", &Self::encoder)};
  }

  static constexpr auto links() {
    using Self = TextEncoder;
    return std::tuple{part("embedding", &Self::embedding), part("positions", &Self::positions),
                      part("embedding_norm", &Self::norm), part("tokens", &Self::tokens), part("", &Self::encoder)};
  }

  [[nodiscard]] Index vocabulary() const { return embedding.input_dim(); }
  [[nodiscard]] Index context() const { return positions.longest(); }
};

/// LN(GELU(W z + b)): what the decoder of a masked language model is given.
template <crate::Scalar S>
struct MaskedLanguageHead : Chain<MaskedLanguageHead<S>, S> {
  static constexpr bool is_tokenwise = true;

  Linear<S> dense;
  Gelu<S> activation;
  LayerNorm<S> norm;

  MaskedLanguageHead(Index dim, const LayerNormOptions& options)
      : dense(dim, dim), activation{dim, GeluForm::exact}, norm(dim, options) {}

  static constexpr auto parts() {
    return std::tuple{part("dense", &MaskedLanguageHead::dense), part("activation", &MaskedLanguageHead::activation),
                      part("norm", &MaskedLanguageHead::norm)};
  }
};

template <class BlockOptions>
struct MaskedLanguageModelOptions {
  TextEncoderOptions<BlockOptions> text = {};
  bool tied = true;  ///< the decoder is the embedding
};

/// Ids of tokens, some of them masked, to the logits of what stands at each place, V x N:
///   logits = W^T head(text(ids)) + b, with the embedding's W, or with another;
/// of the tokens alone that TokenLayout::with_chosen names, if it does.
/// Source: CRATE-BERT of arXiv 2311.13110, as in pull request 27759 of huggingface/transformers.
template <class Block>
struct MaskedLanguageModel : Chain<MaskedLanguageModel<Block>, typename Block::Scalar> {
  using Scalar = typename Block::Scalar;
  using Input = TokenIds;
  using Options = MaskedLanguageModelOptions<typename Block::Options>;

  TextEncoder<Block> text;
  ChooseTokens<Scalar> chosen;
  MaskedLanguageHead<Scalar> head;
  std::optional<Linear<Scalar>> decoder;  ///< absent if it is tied to the embedding
  Vector<Scalar> decoder_bias;            ///< b of a tied decoder, otherwise empty

  /// All zero but the norms. Throws OptionError on an option out of range.
  explicit MaskedLanguageModel(const Options& o)
      : text(o.text), chosen{o.text.block.dim}, head(o.text.block.dim, {.epsilon = o.text.norm_epsilon}) {
    if (o.tied)
      decoder_bias.setZero(o.text.vocabulary);
    else
      decoder.emplace(o.text.block.dim, o.text.vocabulary);
  }

  static constexpr auto parts() {
    using Self = MaskedLanguageModel;
    return std::tuple{part("", &Self::text), part("head", &Self::head), part("decoder", &Self::decoder),
                      part("decoder.bias", &Self::decoder_bias)};
  }

  static constexpr auto links() {
    using Self = MaskedLanguageModel;
    return std::tuple{part("", &Self::text), part("chosen", &Self::chosen), part("head", &Self::head),
                      part("decoder", &Self::decoder), part("decoder", [](auto& model) {
                        using Tied = decltype(Transposed{model.text.embedding, model.decoder_bias});
                        return model.decoder
                                   ? std::optional<Tied>()
                                   : std::optional<Tied>(std::in_place, model.text.embedding, model.decoder_bias);
                      })};
  }

  [[nodiscard]] Index vocabulary() const { return text.vocabulary(); }
  [[nodiscard]] Index context() const { return text.context(); }
};

/// What a classifier of sentences says of itself beside its numbers.
struct SentenceClassifierDescription {
  std::vector<std::string> class_names = {};  ///< of each logit; empty if nobody named them
};

template <class BlockOptions>
struct SentenceClassifierOptions {
  TextEncoderOptions<BlockOptions> text = {};
  Index classes = 2;  ///< >= 1
  Pooling pooling = Pooling::class_token;
};

/// Ids of tokens to the logits of their set's class, classes x sets: W LN(z) + b of the first token behind the encoder,
/// or of the mean of all tokens that are no padding.
template <class Block>
struct SentenceClassifier : Chain<SentenceClassifier<Block>, typename Block::Scalar> {
  using Scalar = typename Block::Scalar;
  using Input = TokenIds;
  using Options = SentenceClassifierOptions<typename Block::Options>;

  TextEncoder<Block> text;
  Pool<Scalar> pool;
  ClassifierHead<Scalar> head;
  SentenceClassifierDescription about = {};

  /// All zero but the norms. Throws OptionError on an option out of range.
  explicit SentenceClassifier(const Options& o)
      : text(o.text), pool{o.text.block.dim, o.pooling}, head(o.text.block.dim, o.classes) {}

  /// The encoder of a masked language model with a new head of zeros, to be fine-tuned.
  SentenceClassifier(TextEncoder<Block> encoder, Index classes, Pooling pooling = Pooling::class_token)
      : text(std::move(encoder)), pool{text.output_dim(), pooling}, head(text.output_dim(), classes) {}

  static constexpr auto parts() {
    using Self = SentenceClassifier;
    return std::tuple{part("", &Self::text), part("head", &Self::head)};
  }

  static constexpr auto links() {
    using Self = SentenceClassifier;
    return std::tuple{part("", &Self::text), part("pool", &Self::pool), part("head", &Self::head)};
  }

  [[nodiscard]] Index vocabulary() const { return text.vocabulary(); }
  [[nodiscard]] Index context() const { return text.context(); }
};

/// CRATE-BERT of arXiv 2311.13110. Published ones have no bias behind attention, as presets::crate_bert_base().
template <crate::Scalar S>
using CrateMaskedLanguageModel = MaskedLanguageModel<CrateBlock<S>>;
template <crate::Scalar S>
using CrateSentenceClassifier = SentenceClassifier<CrateBlock<S>>;

/// The same with pre-norm transformer blocks in the place of CRATE's.
template <crate::Scalar S>
using TransformerMaskedLanguageModel = MaskedLanguageModel<TransformerBlock<S>>;
template <crate::Scalar S>
using TransformerSentenceClassifier = SentenceClassifier<TransformerBlock<S>>;

/// The random start: maps, embeddings and positions normal with a deviation, BERT's 0.02, biases zero, dictionaries and
/// norms as everywhere. Throws OptionError unless the deviation is > 0 and finite.
template <class Block>
void initialise(MaskedLanguageModel<Block>& model, std::uint64_t seed, double deviation = 0.02) {
  detail::initialise_language_model(model, seed, deviation, deviation);
}
template <class Block>
void initialise(SentenceClassifier<Block>& model, std::uint64_t seed, double deviation = 0.02) {
  detail::initialise_language_model(model, seed, deviation, deviation);
}

}  // namespace crate
