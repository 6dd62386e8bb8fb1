// SPDX-License-Identifier: MIT
#include "generate/options.hpp"

#include <CLI/CLI.hpp>
#include <string>

#include "load_options.hpp"
#include "program_options/program_options.hpp"

namespace generate {

using crate::Index;

namespace {

void add_writing_options(CLI::App& app, Options& o) {
  crate::SamplingOptions& sampling = o.generation.sampling;
  program_options::begin_group(app, "Writing");
  app.add_option("--tokens", o.tokens, "most tokens to write [128, or as many as the model's context has room for]")
      ->check(CLI::Range(Index{1}, Index{1} << 30));
  app.add_option("--temperature", sampling.temperature,
                 "of the softmax that tokens are drawn by; 0 writes the likeliest");
  app.add_option("--top-k", sampling.top_k, "draw among the K likeliest tokens; 0 for all");
  app.add_option("--top-p", sampling.top_p, "draw among the fewest likeliest tokens of probability P together");
  app.add_option("--repetition-penalty", sampling.repetition_penalty,
                 "divides positive logits of tokens that the text has, multiplies negative ones");
  app.add_option("--seed", sampling.seed, "of the numbers drawn");
  app.add_option("--stop", o.stop, "end the text in front of this string; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_flag("--ignore-end", o.keeps_end, "go on behind the tokeniser's token for the end of a text");
  app.add_option("--slide", o.generation.slide,
                 "where the text outgrows the model's context, forget so many of the first tokens; 0 refuses such a "
                 "text; 1 is as published, and slow");
}

}  // namespace

std::optional<int> Options::parse(int count, char** arguments) {
  CLI::App app(
      "Goes on with a text by a language model: CRATE, overcomplete CRATE, CRATE-alpha or GPT-2. The text appears as\n"
      "it is written; of several prompts each text when all are done. Speed and memory are told on standard error.\n");
  examples::LoadOptionsParser model_options;
  program_options::set_up(app, "generate");
  program_options::begin_group(app, "Input");
  app.add_option("--weights", weights, "safetensors or PyTorch file of a language model")
      ->required()
      ->type_name("FILE");
  text_program::add_tokeniser_options(app, tokeniser);
  app.add_option("--prompt", prompts, "text to go on with; several are written side by side")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_option(
         "--prompt-file", prompt_files,
         "file with such a text, up to a line break at its end; - for standard input; may be given several times")
      ->type_name("FILE")
      ->allow_extra_args(false);
  add_writing_options(app, *this);
  program_options::begin_group(app, "The model");
  std::string precision = "f32";
  program_options::add_choice(app, "--precision", precision, {"f32", "bf16"}, "of the weights: f32 or bf16");
  program_options::add_threads(app, threads);
  model_options.add_heads(app);
  model_options.add_gelu(app);
  if (const auto ended = program_options::parse(app, count, arguments)) return ended;
  if (prompts.empty() && prompt_files.empty())
    throw crate::OptionError("options --prompt and --prompt-file: expected one of them, found neither");
  model = model_options.parsed();
  bfloat16 = precision == "bf16";
  return std::nullopt;
}

}  // namespace generate
