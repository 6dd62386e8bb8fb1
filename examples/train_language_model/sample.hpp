// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "crate/core/random.hpp"
#include "crate/core/threads.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/pass.hpp"
#include "crate/layers/token_embedding.hpp"
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
  app.add_option("--sample", o.tokens, "tokens that the model writes after every measurement; 0 for none")
      ->check(CLI::Range(Index{0}, Index{1} << 20));
  app.add_option("--prompt", o.prompt, "text that it goes on with [a line break]")->type_name("TEXT")->default_str("");
  app.add_option("--temperature", o.temperature, "0 takes the most likely token always")->check(CLI::Range(0.0, 100.0));
}

/// A token by softmax(logits / temperature); of temperature 0 the most likely one.
template <class Logits>
[[nodiscard]] Index choose_token(const Logits& logits, double temperature, crate::Random& random) {
  Index best = 0;
  const double largest = static_cast<double>(logits.maxCoeff(&best));
  if (temperature == 0) return best;
  const auto weight = [&](Index i) { return std::exp((static_cast<double>(logits(i)) - largest) / temperature); };
  double total = 0;
  for (Index i = 0; i < logits.size(); ++i) total += weight(i);
  double left = total * random.uniform();
  for (Index i = 0; i < logits.size(); ++i)
    if ((left -= weight(i)) < 0) return i;
  return best;
}

/// Goes on with the prompt and prints all of it, indented. Of a text longer than the context the model sees the end.
template <class Model>
void print_sample(const Model& model, const crate::Tokeniser& tokeniser, const SampleOptions& o, std::uint64_t seed,
                  crate::Threads& threads) {
  if (o.tokens == 0) return;
  std::vector<crate::TokenId> text;
  try {
    text = tokeniser.encode(o.prompt);
  } catch (const crate::VocabularyError&) {}  // a text without line breaks: it begins with the first token
  if (text.empty()) text.push_back(0);
  crate::Random random(seed, crate::detail::stream_of_name("sample"));
  const Index known = tokeniser.vocabulary_size();  // a padded vocabulary has more ids than tokens
  for (Index i = 0; i < o.tokens; ++i) {
    const Index seen = std::min(model.context(), std::ssize(text));
    const std::vector<Index> ids(text.end() - seen, text.end());
    const crate::TokenIds input(ids, crate::TokenLayout::single(seen).with_chosen({seen - 1}));
    const auto logits = model.forward(input, {.threads = &threads});
    text.push_back(static_cast<crate::TokenId>(choose_token(logits.col(0).head(known), o.temperature, random)));
  }
  std::string written = crate::valid_utf8(tokeniser.decode(text));
  for (std::size_t at = written.find('\n'); at != std::string::npos; at = written.find('\n', at + 1))
    written.replace(at, 1, "\n      | ");
  std::printf("      | %s\n", written.c_str());
  std::fflush(stdout);
}

}  // namespace train_language_model
