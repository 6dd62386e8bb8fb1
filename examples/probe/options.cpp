// SPDX-License-Identifier: MIT
#include "probe/options.hpp"

#include <algorithm>
#include <string_view>

#include "crate/core/errors.hpp"
#include "output_file.hpp"

namespace probe {

void add_options(CLI::App& app, Options& options, examples::LoadOptionsParser& model_options) {
  using program_options::begin_group;
  begin_group(app, "Model and data");
  app.add_option("--weights", options.weights,
                 "classifier or masked autoencoder of images: safetensors or PyTorch file, or a checkpoint")
      ->type_name("FILE");
  app.add_option("--data", options.data, "data set of images (see train_classifier --help)")->type_name("FOLDER");
  app.add_flag("--strict", options.strict,
               "stop if a picture cannot be read, instead of reporting it and leaving it out");
  app.add_option("--from-features", options.from_features,
                 "probe these features instead of --weights and --data: a safetensors file written by --features "
                 "(training_features [N, d], training_labels [N], test_features [M, d], test_labels [M])")
      ->type_name("FILE");
  begin_group(app, "Features");
  app.add_option("--layer", options.layer, "take the features after this many layers of the encoder [all]")
      ->check(CLI::Range(Index{1}, Index{1000000}));
  program_options::add_choice(app, "--pool", options.token, {"cls", "mean"},
                              "cls (the class token) or mean (the mean of all patches) [what a classifier's head "
                              "reads; mean for a masked autoencoder]");
  app.add_flag("--no-norm", options.no_norm, "take the features before the final layer norm (always so with --layer)");
  begin_group(app, "Probes");
  app.add_option("--neighbours", options.neighbours,
                 "number of nearest neighbours that vote [20, or all if there are fewer]")
      ->check(CLI::Range(Index{1}, Index{1000000}));
  app.add_option("--temperature", options.temperature,
                 "temperature of the neighbours' votes, which have weight exp(cosine / temperature)");
  app.add_flag("--alone", options.alone, "skip the comparison with an untrained encoder and with pixels");
  app.add_flag("--confusion", options.confusion, "print the confusion matrix of logistic regression");
  app.add_option("--features", options.features, "write features and labels as safetensors")->type_name("FILE");
  begin_group(app, "Model, where the file does not determine it");
  model_options.add_sizes(app);
  begin_group(app, "Preparation of pictures");
  model_options.add_input(app);
  begin_group(app, "Run");
  app.add_option("--batch", options.batch, "images that one thread processes at a time")
      ->check(CLI::Range(Index{1}, Index{1000000}));
  program_options::add_seed(app, options.seed);
  program_options::add_threads(app, options.threads);
}

namespace {

[[nodiscard]] std::string_view why_without_effect(std::string_view name, const Options& options) {
  const bool is_of_probes = name == "--neighbours" || name == "--temperature" || name == "--confusion" ||
                            name == "--threads" || name == "--from-features";
  if (!options.from_features.empty() && !is_of_probes) return "--from-features gives the features";
  if (name == "--no-norm" && options.layer != 0) return "features of a --layer are taken before the norm";
  if (name == "--seed" && options.alone) return "--alone leaves out the untrained encoder";
  return {};
}

}  // namespace

void check_options(const CLI::App& app, const Options& options) {
  program_options::check_effects(app, [&](std::string_view name) { return why_without_effect(name, options); });
  if (options.from_features.empty() && (options.weights.empty() || options.data.empty()))
    throw crate::OptionError("expected --weights and --data, or --from-features");
  neighbours_among(options, 1).check();
  if (!options.features.empty()) examples::check_output(options.features, {options.weights}, "--features");
}

crate::NearestNeighbourOptions neighbours_among(const Options& options, Index examples) {
  crate::NearestNeighbourOptions voting{.temperature = options.temperature};
  voting.neighbours = options.neighbours != 0 ? options.neighbours : std::min(voting.neighbours, examples);
  return voting;
}

}  // namespace probe
