// SPDX-License-Identifier: MIT

// Measures how well a language model predicts a text: nats per token, perplexity, bits per byte.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <numbers>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "crate/io/load_model.hpp"
#include "crate/training/text_windows.hpp"
#include "load_options.hpp"
#include "program_options/program_options.hpp"
#include "text_program/measure.hpp"
#include "text_program/tokeniser_options.hpp"

namespace {

using namespace crate;

struct Options {
  std::string weights, text;
  text_program::TokeniserOptions tokeniser;
  std::optional<Index> context, stride, batch;
  int threads = 1;
};

void add_options(CLI::App& app, Options& o, examples::LoadOptionsParser& model) {
  program_options::begin_group(app, "Input");
  app.add_option("--weights", o.weights, "safetensors or PyTorch file of a language model")
      ->required()
      ->type_name("FILE");
  app.add_option("--text", o.text, "text file to measure on; - for standard input")->required()->type_name("FILE");
  text_program::add_tokeniser_options(app, o.tokeniser);
  program_options::begin_group(app, "Windows");
  app.add_option("--context", o.context, "length of a window in tokens [the model's context]");
  app.add_option(
      "--stride", o.stride,
      "distance between windows in tokens; except at the beginning of the text, each token is predicted from at "
      "least CONTEXT - STRIDE others [half of --context]");
  app.add_option("--batch", o.batch,
                 "windows that one thread processes at a time [as many as have logits of at most 64 MB, up to 4]")
      ->check(CLI::PositiveNumber);
  program_options::add_threads(app, o.threads);
  program_options::begin_group(app, "Model, where the file does not determine it");
  model.add_heads(app);
  model.add_gelu(app);
}

/// As many windows, up to four, as have this many logits together; one has.
[[nodiscard]] Index windows_at_a_time(Index context, Index vocabulary) {
  constexpr Index most_logits = Index{1} << 24U;
  return std::clamp<Index>(most_logits / context / vocabulary, 1, 4);
}

template <class Model>
void measure_text(const Model& model, const Options& o) {
  const text_program::ChosenTokeniser chosen = text_program::read_tokeniser(o.tokeniser, o.weights);
  text_program::check_vocabulary(chosen.tokeniser, model.vocabulary());
  const std::string text = text_program::read_text(o.text);
  text_program::warn_of_replaced_bytes(chosen.tokeniser, text, o.text);
  const std::vector<TokenId> ids = text_program::encode(chosen.tokeniser, text, o.text);
  if (ids.size() < 2)
    throw file_error(o.text, "expected at least 2 tokens, of which one is predicted, found ", ids.size());
  const Index context = o.context.value_or(model.context());
  check_option(context >= 1 && context <= model.context(),
               concatenate("--context in 1 to ", model.context(), ", the context of the model"), context);
  const Index stride = o.stride.value_or((context + 1) / 2);
  check_option(stride >= 1 && stride <= context, concatenate("--stride in 1 to --context, ", context), stride);
  Threads threads(o.threads);
  const Index batch = o.batch.value_or(windows_at_a_time(context, model.vocabulary()));
  const auto sums = text_program::measure(model, TextWindows::sliding(ids, context, stride), batch, threads);
  std::printf("tokens predicted   %td\nnats per token     %.4f\nperplexity         %.3f\n", sums.loss.count,
              sums.loss.mean(), sums.perplexity());
  if (chosen.tokeniser.decode(ids) != text) {
    std::printf("bits per byte      unknown, because the tokens do not determine all bytes of the text\n");
    return;
  }
  const auto bytes = static_cast<double>(text.size() - chosen.tokeniser.decode({&ids[0], 1}).size());
  std::printf("bits per byte      %.4f\n",
              sums.loss.mean() * static_cast<double>(sums.loss.count) / bytes / std::numbers::ln2);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  examples::LoadOptionsParser model_options;
  CLI::App app("Measures how well a language model predicts a text, in nats per token and bits per byte.\n");
  program_options::set_up(app, "perplexity");
  add_options(app, options, model_options);
  return program_options::run(app, count, arguments, [&] {
    const auto any_model = load_model<float, LanguageModelFamilies>(options.weights, model_options.parsed());
    std::visit([&](const auto& model) { measure_text(model, options); }, any_model);
    return 0;
  });
}
