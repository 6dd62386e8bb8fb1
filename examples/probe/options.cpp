// SPDX-License-Identifier: MIT
#include "probe/options.hpp"

#include <algorithm>
#include <string_view>

#include "crate/core/errors.hpp"
#include "output_file.hpp"

namespace probe {

void add_options(CLI::App& app, Options& options, examples::LoadOptionsParser& model_options) {
  using program_options::begin_group;
  begin_group(app, "What is probed, and on which data");
  app.add_option("--weights", options.weights,
                 "classifier or masked autoencoder of images: safetensors or PyTorch file, or a checkpoint")
      ->type_name("FILE");
  app.add_option("--data", options.data, "data set of images, as train_classifier takes it")->type_name("FOLDER");
  app.add_flag("--strict", options.strict, "end if a picture cannot be read, rather than leave it out");
  app.add_option("--from-features", options.from_features,
                 "instead of both: safetensors of training_features [N, d], training_labels [N], test_features [M, d] "
                 "and test_labels [M], as --features writes them")
      ->type_name("FILE");
  begin_group(app, "The features");
  app.add_option("--layer", options.layer, "how many layers of the encoder the images pass [all]")
      ->check(CLI::Range(Index{1}, Index{1000000}));
  program_options::add_choice(app, "--token", options.token, {"class", "mean"},
                              "class (the class token) or mean (of all patches) [what a classifier's head reads; mean "
                              "of a masked autoencoder]");
  app.add_flag("--no-norm", options.no_norm,
               "features before the norm behind the encoder; with --layer they always are");
  begin_group(app, "The probes");
  app.add_option("--neighbours", options.neighbours, "how many nearest neighbours vote [20, or all if there are fewer]")
      ->check(CLI::Range(Index{1}, Index{1000000}));
  app.add_option("--temperature", options.temperature, "of their votes, exp(cosine / temperature)");
  app.add_flag("--alone", options.alone,
               "without the same probes of an untrained encoder of this shape and of the pixels");
  app.add_flag("--confusion", options.confusion, "print which classes logistic regression takes for which");
  app.add_option("--features", options.features, "write features and labels as safetensors")->type_name("FILE");
  begin_group(app, "The model, where its file does not tell");
  model_options.add_sizes(app);
  begin_group(app, "What the model expects of pictures");
  model_options.add_input(app);
  begin_group(app, "Run");
  app.add_option("--batch", options.batch, "images that a thread sends through the model at a time")
      ->check(CLI::Range(Index{1}, Index{1000000}));
  program_options::add_seed(app, options.seed);
  program_options::add_threads(app, options.threads);
}

namespace {

[[nodiscard]] std::string_view why_without_effect(std::string_view name, const Options& options) {
  const bool is_of_probes = name == "--neighbours" || name == "--temperature" || name == "--confusion" ||
                            name == "--threads" || name == "--from-features";
  if (!options.from_features.empty() && !is_of_probes) return "--from-features holds the features";
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
  if (!options.features.empty()) examples::check_output(options.features, {options.weights});
}

crate::NearestNeighbourOptions neighbours_among(const Options& options, Index examples) {
  crate::NearestNeighbourOptions voting{.temperature = options.temperature};
  voting.neighbours = options.neighbours != 0 ? options.neighbours : std::min(voting.neighbours, examples);
  return voting;
}

}  // namespace probe
