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

// Models that see the tokens on both sides: CRATE-BERT, and its counterpart with transformer blocks.

namespace crate {

template <class BlockOptions>
struct TextEncoderOptions {
  Index vocabulary = 50265;     ///< V >= 1; RoBERTa's ids
  Index context = 512;          ///< maximum number of tokens per set, >= 1
  Index types = 2;              ///< number of token types, >= 0
  Index first_position = 2;     ///< position of the first token; in RoBERTa padding has position first_position - 1
  Index depth = 12;             ///< blocks, >= 1
  double norm_epsilon = 1e-12;  ///< of the norms of the embeddings and of the head
  double token_dropout = 0;     ///< of the input of the first block, in recorded passes only
  BlockOptions block = {};      ///< its attention always sees all tokens but padding
};

/// Token ids and types to tokens, d x N:
///   Z^1 = LN(W[ids] + T[types] + positions),   Z^{l+1} = block^l(Z^l).
/// Padding, i.e. tokens of a set after its visible ones, is never a key. Positions as in RoBERTa.
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

  /// All parameters zero except norms. Throws OptionError if an option is out of range.
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

/// LN(GELU(W z + b)): the input of a masked language model's decoder.
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
  bool tied = true;  ///< weight tying: the decoder is the transposed embedding
};

/// Token ids, some of them masked, to the logits of the token at each place, V x N:
///   logits = W^T head(text(ids)) + b, with the embedding's W (weight tying), or a separate W;
/// only for the tokens that TokenLayout::with_chosen selects, if it was called.
/// Source: CRATE-BERT of arXiv 2311.13110, as in pull request 27759 of huggingface/transformers.
template <class Block>
struct MaskedLanguageModel : Chain<MaskedLanguageModel<Block>, typename Block::Scalar> {
  using Scalar = typename Block::Scalar;
  using Input = TokenIds;
  using Options = MaskedLanguageModelOptions<typename Block::Options>;

  TextEncoder<Block> text;
  ChooseTokens<Scalar> chosen;
  MaskedLanguageHead<Scalar> head;
  std::optional<Linear<Scalar>> decoder;  ///< empty if it is tied to the embedding
  Vector<Scalar> decoder_bias;            ///< b of a tied decoder, otherwise empty

  /// All parameters zero except norms. Throws OptionError if an option is out of range.
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

/// A sentence classifier's description other than its parameters.
struct SentenceClassifierDescription {
  std::vector<std::string> class_names = {};  ///< of each logit; empty if unknown
};

template <class BlockOptions>
struct SentenceClassifierOptions {
  TextEncoderOptions<BlockOptions> text = {};
  Index classes = 2;  ///< >= 1
  Pooling pooling = Pooling::class_token;
};

/// Token ids to the logits of each set's class, classes x sets: W LN(z) + b of the encoder's output for the first
/// token, or of the mean over all tokens but padding.
template <class Block>
struct SentenceClassifier : Chain<SentenceClassifier<Block>, typename Block::Scalar> {
  using Scalar = typename Block::Scalar;
  using Input = TokenIds;
  using Options = SentenceClassifierOptions<typename Block::Options>;

  TextEncoder<Block> text;
  Pool<Scalar> pool;
  ClassifierHead<Scalar> head;
  SentenceClassifierDescription about = {};

  /// All parameters zero except norms. Throws OptionError if an option is out of range.
  explicit SentenceClassifier(const Options& o)
      : text(o.text), pool{o.text.block.dim, o.pooling}, head(o.text.block.dim, o.classes) {}

  /// The encoder of a masked language model with a new head of zeros, for fine-tuning.
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

/// CRATE-BERT of arXiv 2311.13110. Published weights have no bias after attention, as presets::crate_bert_base().
template <crate::Scalar S>
using CrateMaskedLanguageModel = MaskedLanguageModel<CrateBlock<S>>;
template <crate::Scalar S>
using CrateSentenceClassifier = SentenceClassifier<CrateBlock<S>>;

/// A masked language model with pre-norm transformer blocks in place of CRATE's.
template <crate::Scalar S>
using TransformerMaskedLanguageModel = MaskedLanguageModel<TransformerBlock<S>>;
template <crate::Scalar S>
using TransformerSentenceClassifier = SentenceClassifier<TransformerBlock<S>>;

/// Initialises maps, embeddings and positions as normal numbers of a deviation, BERT's 0.02; biases zero, dictionaries
/// and norms as in all models. Throws OptionError unless the deviation is > 0 and finite.
template <class Block>
void initialise(MaskedLanguageModel<Block>& model, std::uint64_t seed, double deviation = 0.02) {
  detail::initialise_language_model(model, seed, deviation, deviation);
}
template <class Block>
void initialise(SentenceClassifier<Block>& model, std::uint64_t seed, double deviation = 0.02) {
  detail::initialise_language_model(model, seed, deviation, deviation);
}

}  // namespace crate
