// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "crate/core/detail/count_of.hpp"
#include "crate/core/errors.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/text_file.hpp"
#include "crate/text/read_tokeniser.hpp"
#include "crate/text/train_byte_level_bpe.hpp"
#include "crate/text/train_word_piece.hpp"
#include "crate/text/write_tokeniser.hpp"
#include "program_options/program_options.hpp"
#include "text_program/read_text.hpp"

// The tokeniser of a program of texts. A trained model keeps its own in a folder next to its weights: "model.tokeniser"
// next to "model.safetensors", with a file "kind" that names the kind.

namespace text_program {

using crate::Index;

struct TokeniserOptions {
  std::string kind = {}, vocabulary = {};
  Index learned = 0;  ///< tokens of a vocabulary that is learned from the text; 0 for none
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  ///< of a byte-pair encoding that is learned
};

/// Of a byte-pair encoding for models that see masks, in the order of RoBERTa's.
[[nodiscard]] inline std::vector<std::string> special_tokens_of_masked_models() {
  return {"<s>", "</s>", "<pad>", "<mask>"};
}

/// Whether a vocabulary of that kind can be learned from a text.
[[nodiscard]] inline bool can_be_learned(crate::TokeniserKind kind) {
  using enum crate::TokeniserKind;
  return kind == bpe || kind == bert || kind == bert_cased;
}

/// `otherwise` and `otherwise_in` say which tokeniser is taken, and from where, if none is given.
inline void add_tokeniser_options(CLI::App& app, TokeniserOptions& o, const std::string& otherwise = "from its files",
                                  const std::string& otherwise_in = "next to the weights") {
  std::vector<std::string> names;
  for (const auto& [kind, name] : crate::tokeniser_kinds) names.emplace_back(name);
  program_options::add_choice(app, "--tokeniser", o.kind, names,
                              program_options::alternatives(names) + " [" + otherwise + "]");
  app.add_option("--vocabulary", o.vocabulary, "folder with the tokeniser's files [" + otherwise_in + "]")
      ->type_name("FOLDER");
}

/// Learning a vocabulary from `source`, such as "the text", by a tokeniser of the kind `otherwise` if none is given.
inline void add_learning_option(CLI::App& app, TokeniserOptions& o, const std::string& source,
                                const std::string& otherwise) {
  app.add_option("--learn-vocabulary", o.learned,
                 "learn a vocabulary of N tokens from " + source +
                     ", with --tokeniser bpe, bert or bert-cased (default " + otherwise + "); 0: do not learn one")
      ->check(CLI::NonNegativeNumber);
}

/// The folder of the tokeniser that belongs to these weights.
[[nodiscard]] inline std::filesystem::path tokeniser_folder(std::filesystem::path weights) {
  const std::string extension = weights.extension().string();
  if (extension == ".safetensors" || extension == ".pth" || extension == ".pt") weights.replace_extension();
  return weights += ".tokeniser";
}

/// A tokeniser and its kind, which its files alone do not determine.
struct ChosenTokeniser {
  crate::TokeniserKind kind;
  crate::Tokeniser tokeniser;
};

/// Throws FileError unless a folder for the tokeniser of these weights is there or can be made.
inline void check_tokeniser_folder(const std::filesystem::path& weights) {
  const std::filesystem::path folder = tokeniser_folder(weights);
  std::error_code ignored;
  if (crate::path_exists(folder) && !std::filesystem::is_directory(folder, ignored))
    throw crate::file_error(folder.string(), "expected a folder for the tokeniser of ", crate::quote(weights.string()),
                            ", found a file");
}

inline void write_beside(const std::filesystem::path& weights, const ChosenTokeniser& chosen) {
  const std::filesystem::path folder = tokeniser_folder(weights);
  crate::write_tokeniser(folder, chosen.tokeniser);
  crate::FileReplacement file(folder / "kind");
  file.write(std::string(crate::name_of(chosen.kind)) + "\n");
  file.commit();
}

/// The kind that the files of a folder determine; nothing if several kinds have such files.
[[nodiscard]] inline std::optional<crate::TokeniserKind> kind_in(const std::filesystem::path& folder) {
  const auto has = [&](std::string_view name) { return crate::path_exists(folder / name); };
  if (has("kind")) {
    const std::string file = (folder / "kind").string();
    const std::vector<std::string> lines = crate::read_lines(file);
    for (const auto& [kind, name] : crate::tokeniser_kinds)
      if (lines.size() == 1 && lines.front() == name) return kind;
    throw crate::file_error(
        file, "expected one line with the kind of a tokeniser, found ",
        lines.size() == 1 ? crate::quote(lines.front()) : crate::detail::count_of(lines.size(), "line"));
  }
  if (has("characters.json")) return crate::TokeniserKind::characters;
  if (has("vocab.json") || has("encoder.json"))
    return crate::TokeniserKind::bpe;  // GPT-2's and RoBERTa's are read alike
  return std::nullopt;
}

/// The tokeniser beside the weights; nothing if there is none.
[[nodiscard]] inline std::optional<ChosenTokeniser> read_beside(const std::filesystem::path& weights) {
  const std::filesystem::path folder = tokeniser_folder(weights);
  const auto kind = kind_in(folder);
  if (!kind) return std::nullopt;
  return ChosenTokeniser{*kind, crate::read_tokeniser(folder, *kind)};
}

/// The tokeniser that the options name: of that kind or, without one, of that which the files tell, in that folder or,
/// without one, beside the weights. Throws OptionError if there is none, or if it has no files and a folder is given.
[[nodiscard]] inline ChosenTokeniser read_tokeniser(const TokeniserOptions& o, const std::string& weights) {
  const std::filesystem::path folder =
      o.vocabulary.empty() ? tokeniser_folder(weights) : std::filesystem::path(o.vocabulary);
  const auto kind = o.kind.empty() ? kind_in(folder) : std::optional(crate::tokeniser_kind_named(o.kind));
  if (kind == crate::TokeniserKind::bytes && !o.vocabulary.empty() && !o.kind.empty())
    throw crate::OptionError("option --vocabulary would have no effect: --tokeniser bytes needs no files");
  if (!kind)
    throw crate::OptionError(crate::concatenate(
        "option --tokeniser is required: ",
        o.vocabulary.empty()
            ? crate::concatenate("there is no folder ", crate::quote(folder.string()),
                                 " next to the weights; give also --vocabulary if the tokeniser needs files")
            : crate::concatenate("the files in ", crate::quote(folder.string()), " do not determine its kind")));
  return {*kind, crate::read_tokeniser(folder, *kind)};
}

/// The ids of a text. Throws FileError that names its file if the tokeniser has none for it.
[[nodiscard]] inline std::vector<crate::TokenId> encode(const crate::Tokeniser& tokeniser, std::string_view text,
                                                        const std::string& path) {
  try {
    return tokeniser.encode(text);
  } catch (const crate::VocabularyError& error) { throw crate::file_error(path, error.what()); }
}

/// The tokeniser of that kind whose vocabulary the options want to be learned from a text. Throws OptionError if that
/// is too small or too large.
[[nodiscard]] inline ChosenTokeniser learned_tokeniser(const TokeniserOptions& o, crate::TokeniserKind kind,
                                                       std::string_view text) {
  try {
    if (kind == crate::TokeniserKind::bpe)
      return {kind, crate::Tokeniser(crate::train_byte_level_bpe(
                        text, {.vocabulary_size = o.learned, .special_tokens = o.special_tokens}))};
    return {kind, crate::Tokeniser(crate::train_word_piece(
                      text, {.vocabulary_size = o.learned, .lower_case = kind == crate::TokeniserKind::bert}))};
  } catch (const crate::OptionError& error) {
    throw crate::OptionError(crate::concatenate("option --learn-vocabulary: ", error.what()));
  }
}

/// The tokeniser of a model to be trained on a text, of whose characters or frequent pairs it is made where no folder
/// holds it.
[[nodiscard]] inline ChosenTokeniser tokeniser_for(const TokeniserOptions& o, std::string_view text) {
  const crate::TokeniserKind kind = crate::tokeniser_kind_named(o.kind);
  if (o.learned > 0) return learned_tokeniser(o, kind, text);
  if (kind == crate::TokeniserKind::characters && o.vocabulary.empty())
    return {kind, crate::Tokeniser(crate::CharacterTokeniser(text))};
  if (kind != crate::TokeniserKind::bytes && o.vocabulary.empty())
    throw crate::OptionError(crate::concatenate("option --vocabulary: expected the folder of the tokeniser ", o.kind,
                                                can_be_learned(kind) ? ", or --learn-vocabulary" : "",
                                                ", found nothing"));
  return {kind, crate::read_tokeniser(o.vocabulary, kind)};
}

/// Whether a vocabulary is one of those that are published with models which have some ids more, so that their count is
/// a multiple of 64 or 128: GPT-2's, RoBERTa's, BERT's, BERT's with upper case.
[[nodiscard]] inline bool is_padded_by_models(Index vocabulary) {
  return vocabulary == 50257 || vocabulary == 50265 || vocabulary == 30522 || vocabulary == 28996;
}

/// Throws OptionError unless a model has as many ids as its tokeniser, or some that pad it.
inline void check_vocabulary(const crate::Tokeniser& tokeniser, Index vocabulary) {
  const Index own = tokeniser.vocabulary_size();
  constexpr Index most_padding = 127;
  if (own == vocabulary || (is_padded_by_models(own) && own < vocabulary && vocabulary - own <= most_padding)) return;
  throw crate::OptionError(crate::concatenate("tokeniser: expected the ", vocabulary,
                                              " tokens that the weights have, found ", own,
                                              "; these weights belong to another tokeniser"));
}

}  // namespace text_program
