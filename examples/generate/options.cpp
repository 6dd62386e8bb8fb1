// SPDX-License-Identifier: MIT
#include "generate/options.hpp"

#include <CLI/CLI.hpp>

#include "load_options.hpp"

namespace generate {

using crate::Index;
using crate::OptionError;
using crate::TokeniserKind;

std::optional<int> Options::parse(int count, char** arguments) {
  CLI::App app(
      "Goes on with a text by a language model: CRATE, overcomplete CRATE, CRATE-alpha or GPT-2. The text appears as "
      "it "
      "is\n"
      "written; of several prompts each text when all are done. Speed and memory are told on standard error.");
  std::string kind = "gpt2", precision = "f32";
  std::vector<std::string> kinds;
  for (const auto& [known, name] : crate::tokeniser_kinds) kinds.emplace_back(name);
  examples::LoadOptionsParser model_options;
  crate::SamplingOptions& sampling = generation.sampling;
  app.add_option("--weights", weights, "language model: safetensors or PyTorch file")->required();
  app.add_option("--tokeniser", kind, "whose tokeniser (gpt2)")->check(CLI::IsMember(kinds));
  app.add_option("--vocabulary", vocabulary, "folder with the files of the tokeniser; bytes need none");
  app.add_option("--prompt", prompts, "text to go on with; several are written side by side")
      ->allow_extra_args(false)
      ->required();
  app.add_option("--tokens", generation.tokens, "most tokens to write (128)")
      ->check(CLI::Range(Index{1}, Index{1} << 30));
  app.add_option("--temperature", sampling.temperature,
                 "of the softmax that tokens are drawn by (1); 0 writes the "
                 "likeliest");
  app.add_option("--top-k", sampling.top_k, "draw among the K likeliest tokens (all)");
  app.add_option("--top-p", sampling.top_p, "draw among the fewest likeliest tokens of probability P together (1)");
  app.add_option("--repetition-penalty", sampling.repetition_penalty,
                 "divides positive logits of tokens that the text has, multiplies negative ones (1)");
  app.add_option("--seed", sampling.seed, "of the numbers drawn (0)");
  app.add_option("--stop", stop, "end the text in front of this string; may be given several times")
      ->allow_extra_args(false);
  app.add_flag("--ignore-end", keeps_end, "go on behind the tokeniser's token for the end of a text");
  app.add_option("--slide", generation.slide,
                 "where the text outgrows the model's context, forget so many of the first tokens (0 refuses; 1 is as "
                 "published, and slow)");
  app.add_option("--precision", precision, "of the weights: f32 or bf16 (f32)")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--threads", threads, "threads (1)")->check(CLI::Range(1, 4096));
  app.add_option("--heads", model.heads, "number of heads; files of this library carry it, others never do");
  model_options.add_gelu(app);
  std::string weights_at;
  examples::add_weights_at(app, weights_at);
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) { return app.exit(error); }
  const std::optional<Index> heads = model.heads;
  model = model_options.parsed();
  model.heads = heads;
  if (!weights_at.empty()) model.weights_at = weights_at;
  tokeniser = crate::tokeniser_kind_named(kind);
  bfloat16 = precision == "bf16";
  if (vocabulary.empty() == (tokeniser != TokeniserKind::bytes))
    throw OptionError("option --vocabulary: expected the folder of the tokeniser, and none for bytes");
  return std::nullopt;
}

}  // namespace generate
