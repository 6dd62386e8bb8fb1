// SPDX-License-Identifier: MIT

// Continues a text with a language model, and prints it as it is generated.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "crate/core/detail/count_of.hpp"
#include "crate/inference/fold.hpp"
#include "crate/inference/generate.hpp"
#include "crate/io/load_model.hpp"
#include "crate/text/stop_strings.hpp"
#include "crate/text/streaming_decoder.hpp"
#include "generate/options.hpp"
#include "program_options/program_options.hpp"
#include "text_program/read_text.hpp"

namespace {

using namespace crate;
using ::generate::Options;
using Clock = std::chrono::steady_clock;

void show(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw Error("standard output cannot be written");
}

/// A prompt and its continuation: whole characters, up to a stop string.
class WrittenText {
 public:
  WrittenText(const Tokeniser& tokeniser, const Options& options, std::string prompt)
      : decoder_(tokeniser, prompt), stop_(options.stop), text_(std::move(prompt)) {}

  /// Returns what is new.
  std::string add(Index id) { return append(stop_.next(decoder_.next(static_cast<TokenId>(id)))); }
  std::string finish() {
    std::string rest = append(stop_.next(decoder_.finish()));
    return rest + append(stop_.finish());
  }
  [[nodiscard]] bool stopped() const { return stop_.stopped(); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string append(std::string piece) {
    text_ += piece;
    return piece;
  }

  StreamingDecoder<Tokeniser> decoder_;
  StopStrings stop_;
  std::string text_;
};

/// Ids of each prompt. Throws OptionError on one without any, or with characters that the tokeniser does not have.
std::vector<std::vector<Index>> encode(const Tokeniser& tokeniser, const std::vector<std::string>& prompts) {
  std::vector<std::vector<Index>> ids;
  try {
    for (const std::string& prompt : prompts) {
      const std::vector<TokenId> encoded = tokeniser.encode_with_special_tokens(prompt);
      if (encoded.empty()) throw OptionError("option --prompt: expected at least 1 token, found an empty text");
      ids.emplace_back(encoded.begin(), encoded.end());
    }
  } catch (const VocabularyError& error) {
    throw OptionError(concatenate("prompt ", ids.size() + 1, ": ", error.what()));
  }
  return ids;
}

/// The text of a file without the line break at its end, which editors put there.
std::string read_prompt(const std::string& path) {
  std::string text = text_program::read_text(path);
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

/// How many tokens to generate for each prompt: --tokens or, without it, as many as fit into the context after the
/// longest prompt. Throws OptionError if the context has no room for them and --slide is 0.
Index tokens_to_write(const Options& options, const std::vector<std::vector<Index>>& prompts, Index context) {
  const Index wanted = options.tokens.value_or(options.generation.tokens);
  if (options.generation.slide > 0) return wanted;
  const auto longest = std::max_element(prompts.begin(), prompts.end(),
                                        [](const auto& a, const auto& b) { return a.size() < b.size(); });
  const Index length = std::ssize(*longest), room = context - length + 1;  // the last token is not read
  if (room >= 1 && (!options.tokens || wanted <= room)) return std::min(wanted, room);
  const std::string found =
      room < 1 ? "" : concatenate("; of --tokens ", wanted, " only ", room, room == 1 ? " fits" : " fit");
  throw OptionError(concatenate(
      "prompt ", longest - prompts.begin() + 1, ": expected a text within the model's context of ", context,
      " tokens, found ", detail::count_of(length, "token"), found,
      "; --slide N drops the first N tokens whenever the context is full, as in --slide ", (context + 1) / 2));
}

/// When the prompts were passed, and how many tokens were written since.
class Speed {
 public:
  /// Returns whether this is the first.
  bool count() {
    const bool is_first = written_++ == 0;
    if (is_first) first_ = Clock::now();
    return is_first;
  }
  void print(Index prompt_tokens, std::size_t weight_bytes, std::size_t cache_bytes) const {
    const std::chrono::duration<double> prompt = first_ - begin_, writing = Clock::now() - first_;
    std::fprintf(stderr, "prompt: %s in %.3f s (%.0f tokens/s)\n", detail::count_of(prompt_tokens, "token").c_str(),
                 prompt.count(), static_cast<double>(prompt_tokens) / prompt.count());
    if (written_ > 1)
      std::fprintf(stderr, "text: %td tokens, %.2f ms each (%.1f tokens/s)\n", written_,
                   1e3 * writing.count() / static_cast<double>(written_ - 1),
                   static_cast<double>(written_ - 1) / writing.count());
    std::fprintf(stderr, "memory: %.1f MB of weights, %.1f MB for the token cache at full context\n",
                 1e-6 * static_cast<double>(weight_bytes), 1e-6 * static_cast<double>(cache_bytes));
  }

 private:
  Clock::time_point begin_ = Clock::now(), first_ = begin_;
  Index written_ = 0;
};

using Prompts = std::vector<std::vector<Index>>;

template <class Model>
void write_texts(const Model& model, const Tokeniser& tokeniser, const Prompts& prompts, const GenerationOptions& how,
                 const Options& options, Threads& threads) {
  using S = typename Model::Scalar;
  const bool streams = prompts.size() == 1;
  std::vector<WrittenText> texts;
  for (const std::string& prompt : options.prompts) texts.emplace_back(tokeniser, options, prompt);
  const auto show_new = [&](const std::string& text) {
    if (streams) show(text);
  };
  Workspace workspace;
  Speed speed;
  (void)crate::generate(model, prompts, how, Run<S>{.threads = &threads, .workspace = &workspace},
                        [&](Index prompt, Index id) {
                          if (speed.count()) show_new(options.prompts.front());
                          if (std::find(how.end_tokens.begin(), how.end_tokens.end(), id) != how.end_tokens.end())
                            return false;
                          WrittenText& text = texts[static_cast<std::size_t>(prompt)];
                          show_new(text.add(id));
                          return !text.stopped();
                        });
  for (WrittenText& text : texts) show_new(text.finish());
  if (streams) show("\n");
  for (std::size_t i = 0; !streams && i < texts.size(); ++i)
    show(concatenate("== prompt ", i + 1, "\n") + texts[i].text() + "\n");
  Index prompt_tokens = 0;
  for (const auto& prompt : prompts) prompt_tokens += std::ssize(prompt);
  speed.print(prompt_tokens, model.bytes_held(), token_cache_bytes(model, context_of(model)));
}

template <class Model>
void run(Model model, const Options& options) {
  const Tokeniser tokeniser = text_program::read_tokeniser(options.tokeniser, options.weights).tokeniser;
  text_program::check_vocabulary(tokeniser, model.output_dim());
  const Prompts prompts = encode(tokeniser, options.prompts);
  GenerationOptions how = options.generation;
  how.vocabulary = tokeniser.vocabulary_size();
  if (const auto end = tokeniser.special_tokens().end_of_text; end && !options.keeps_end) how.end_tokens = {*end};
  how.tokens = tokens_to_write(options, prompts, context_of(model));
  Threads threads(options.threads);
  if (options.precision == "bf16")
    write_texts(fold<bfloat16>(std::move(model), &threads), tokeniser, prompts, how, options, threads);
  else
    write_texts(fold(std::move(model), &threads), tokeniser, prompts, how, options, threads);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Continues a text with a language model: CRATE, overcomplete CRATE, CRATE-alpha or GPT-2. With one prompt\n"
      "the text is printed as it is generated; with several, at the end. Speed and memory are reported on\n"
      "standard error.\n");
  program_options::set_up(app, "generate");
  examples::LoadOptionsParser model_options;
  generate::add_options(app, options, model_options);
  return program_options::run(app, count, arguments, [&] {
    generate::check_options(options);
    options.model = model_options.parsed();
    for (const std::string& path : options.prompt_files) options.prompts.push_back(read_prompt(path));
    std::visit([&](auto model) { run(std::move(model), options); },
               load_model<float, LanguageModelFamilies>(options.weights, options.model));
    return 0;
  });
}
