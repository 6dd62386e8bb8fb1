// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "crate/core/threads.hpp"
#include "crate/inference/generate.hpp"
#include "crate/text/streaming_decoder.hpp"
#include "crate/text/tokeniser.hpp"
#include "program_options/program_options.hpp"

// What a language model writes while it is trained.

namespace train_language_model {

using crate::Index;

struct SampleOptions {
  Index tokens = 100;
  std::string prompt = "\n";
  double temperature = 0.8;
};

inline void add_sample_options(CLI::App& app, SampleOptions& o) {
  program_options::begin_group(app, "Samples");
  app.add_option("--sample", o.tokens, "length in tokens of the sample printed after every measurement; 0: no sample")
      ->check(CLI::Range(Index{0}, Index{1} << 20));
  app.add_option("--prompt", o.prompt, "beginning of the sample [a line break]")->type_name("TEXT")->default_str("");
  app.add_option("--temperature", o.temperature, "sampling temperature; 0: always the most probable token")
      ->check(CLI::Range(0.0, 100.0));
}

/// Throws OptionError if a prompt that was given holds what the tokeniser does not have.
inline void check_prompt(const crate::Tokeniser& tokeniser, const SampleOptions& o) {
  if (o.tokens == 0 || o.prompt == SampleOptions().prompt) return;
  try {
    (void)tokeniser.encode(o.prompt);
  } catch (const crate::VocabularyError& error) {
    throw crate::OptionError(crate::concatenate("option --prompt: ", error.what()));
  }
}

/// Continues the prompt and prints all of it, indented. When the context is full, the first half of the text is
/// dropped.
template <class Model>
void print_sample(const Model& model, const crate::Tokeniser& tokeniser, const SampleOptions& o, std::uint64_t seed,
                  crate::Threads& threads) {
  if (o.tokens == 0) return;
  std::vector<crate::TokenId> text;
  try {
    text = tokeniser.encode(o.prompt);
  } catch (const crate::VocabularyError&) {}  // a text without line breaks: it begins with the first token
  if (text.empty()) text.push_back(0);
  const std::vector<std::vector<Index>> prompts{{text.begin(), text.end()}};
  const auto ids = crate::generate(model, prompts,
                                   {.tokens = o.tokens,
                                    .slide = (model.context() + 1) / 2,
                                    .vocabulary = tokeniser.vocabulary_size(),  // a padded one has more ids than tokens
                                    .sampling = {.temperature = o.temperature, .seed = seed}},
                                   {.threads = &threads});
  text.insert(text.end(), ids.front().begin(), ids.front().end());
  std::string written = crate::valid_utf8(tokeniser.decode(text));
  for (std::size_t at = written.find('\n'); at != std::string::npos; at = written.find('\n', at + 1))
    written.replace(at, 1, "\n      | ");
  std::printf("      | %s\n", written.c_str());
  std::fflush(stdout);
}

}  // namespace train_language_model
