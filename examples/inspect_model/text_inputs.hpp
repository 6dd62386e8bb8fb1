// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/models/labelled_tokens.hpp"
#include "crate/text/tokeniser.hpp"
#include "inspect_model/options.hpp"
#include "inspect_model/text_parts.hpp"
#include "run_model/texts.hpp"
#include "text_program/tokeniser_options.hpp"

// The texts on which a model is inspected.

namespace inspect_model {

/// The tokeniser that is named, or the one beside the weights, if there is one that fits the model. With --text there
/// is one, or it throws what read_tokeniser does.
[[nodiscard]] inline std::optional<crate::Tokeniser> find_tokeniser(const Options& options, Index vocabulary) {
  const text_program::TokeniserOptions& named = options.show.tokeniser;
  if (!options.text.empty() || !named.kind.empty() || !named.vocabulary.empty()) {
    text_program::ChosenTokeniser found = text_program::read_tokeniser(named, options.weights);
    text_program::check_vocabulary(found.tokeniser, vocabulary);
    return std::move(found.tokeniser);
  }
  try {
    std::optional<text_program::ChosenTokeniser> found = text_program::read_beside(options.weights);
    if (!found) return std::nullopt;
    text_program::check_vocabulary(found->tokeniser, vocabulary);
    return std::move(found->tokeniser);
  } catch (const crate::Error& error) {  // nobody asked for it
    std::cerr << "inspect_model: tokens are shown as numbers: " << error.what() << '\n';
    return std::nullopt;
  }
}

/// How a text is cut.
struct TextPieces {
  Index context;                             ///< tokens of a piece at most, with those around it
  Index most;                                ///< pieces
  std::optional<crate::TokenId> begin = {};  ///< put in front of every piece
  std::optional<crate::TokenId> end = {};    ///< put behind every piece
};

/// The first pieces of a text of at least one token, one behind the other. Tokens behind the last whole piece are left
/// out, unless the text has no whole one: then it is one piece. Throws OptionError where the context is too short.
[[nodiscard]] inline crate::LabelledTokens pieces_of(std::span<const crate::TokenId> ids, const TextPieces& cut) {
  const Index of_text = cut.context - (cut.begin ? 1 : 0) - (cut.end ? 1 : 0);
  crate::check_option(of_text >= 1, "context of the model with room for a token of the text", cut.context);
  const Index length = std::min<Index>(of_text, std::ssize(ids)), count = std::min(cut.most, std::ssize(ids) / length);
  std::vector<Index> all;
  for (Index piece = 0; piece < count; ++piece) {
    if (cut.begin) all.push_back(*cut.begin);
    all.insert(all.end(), ids.begin() + piece * length, ids.begin() + (piece + 1) * length);
    if (cut.end) all.push_back(*cut.end);
  }
  const Index with_ends = std::ssize(all) / count;
  return {.ids = std::move(all), .layout = crate::TokenLayout::equal(count, with_ends), .labels = {}};
}

/// The first pieces of --text, as long as the context. A model that sees the tokens behind gets each between [CLS] and
/// [SEP], or whatever its tokeniser calls them. Throws FileError on a text without tokens.
[[nodiscard]] inline crate::LabelledTokens read_text_pieces(const Options& options, Index context, Index vocabulary,
                                                            bool is_causal) {
  const crate::Tokeniser tokeniser = find_tokeniser(options, vocabulary).value();
  const std::vector<crate::TokenId> ids =
      text_program::encode(tokeniser, text_program::read_text(options.text), options.text);
  if (ids.empty()) throw crate::file_error(options.text, "expected a text of at least one token, found none");
  const crate::SpecialTokens special = is_causal ? crate::SpecialTokens() : tokeniser.special_tokens();
  return pieces_of(ids, {context, options.examples, special.sentence_begin, special.sentence_end});
}

/// The first texts of --input. Throws OptionError on images.
[[nodiscard]] inline crate::LabelledTokens read_given_texts(const Options& options) {
  if (options.input.empty())
    throw crate::OptionError(crate::concatenate("option ", options.data.empty() ? "--picture" : "--data",
                                                ": expected --text, or --input with `tokens`, as the model is one of "
                                                "texts; found images"));
  const crate::LabelledTokens texts = run_model::read_texts(crate::read_safetensors(options.input));
  return part_of(texts, 0, std::min(texts.layout.sets(), options.examples));
}

}  // namespace inspect_model
