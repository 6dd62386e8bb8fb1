// SPDX-License-Identifier: MIT
#include "generate/options.hpp"

#include "program_options/program_options.hpp"

namespace generate {

using crate::Index;

namespace {

void add_writing_options(CLI::App& app, Options& o) {
  crate::SamplingOptions& sampling = o.generation.sampling;
  program_options::begin_group(app, "Generation");
  app.add_option("--tokens", o.tokens,
                 "maximum number of tokens to generate [128, or fewer if the context is full before]")
      ->check(CLI::Range(Index{1}, Index{1} << 30));
  app.add_option("--temperature", sampling.temperature, "sampling temperature; 0: always the most probable token");
  app.add_option("--top-k", sampling.top_k, "draw from the K most probable tokens; 0: from all");
  app.add_option("--top-p", sampling.top_p,
                 "draw from the smallest set of most probable tokens whose total probability is at least this");
  app.add_option("--repetition-penalty", sampling.repetition_penalty,
                 "divide positive (multiply negative) logits of tokens that already occur by this");
  app.add_option("--seed", sampling.seed, "seed of the random numbers");
  app.add_option("--stop", o.stop, "stop before this string; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_flag("--ignore-end", o.keeps_end, "do not stop at the end-of-text token");
  app.add_option("--slide", o.generation.slide,
                 "when the text reaches the model's context length, drop its first N tokens and continue; 0: do not "
                 "continue (an error); 1: as in the published code, slow");
}

}  // namespace

void add_options(CLI::App& app, Options& options, examples::LoadOptionsParser& model_options) {
  program_options::begin_group(app, "Input");
  app.add_option("--weights", options.weights, "safetensors or PyTorch file of a language model")
      ->required()
      ->type_name("FILE");
  text_program::add_tokeniser_options(app, options.tokeniser);
  app.add_option("--prompt", options.prompts, "text to continue; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_option("--prompt-file", options.prompt_files,
                 "file with a text to continue (a line break at its end is ignored); - for standard input; may be "
                 "given several times")
      ->type_name("FILE")
      ->allow_extra_args(false);
  add_writing_options(app, options);
  program_options::begin_group(app, "Model");
  program_options::add_choice(app, "--precision", options.precision, {"f32", "bf16"},
                              "number format of the weights: f32 or bf16");
  program_options::add_threads(app, options.threads);
  model_options.add_heads(app);
  model_options.add_gelu(app);
}

void check_options(const Options& options) {
  if (options.prompts.empty() && options.prompt_files.empty())
    throw crate::OptionError("options --prompt and --prompt-file: expected one of them, found neither");
}

}  // namespace generate
