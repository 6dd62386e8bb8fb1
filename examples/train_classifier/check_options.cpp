// SPDX-License-Identifier: MIT
#include "train_classifier/check_options.hpp"

#include <array>
#include <cmath>
#include <filesystem>
#include <utility>

#include "crate/io/formats/detail/is_among.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/training/checkpoint.hpp"
#include "crate/training/history.hpp"
#include "output_file.hpp"
#include "program_options/program_options.hpp"

namespace train_classifier {

namespace {

using crate::concatenate;
using crate::OptionError;

constexpr std::array<std::string_view, 8> of_new_models = {"--family",   "--patch", "--dim",       "--depth",
                                                           "--head-dim", "--pool",  "--step-size", "--lambda"};

constexpr std::array<std::string_view, 2> of_ista = {"--step-size", "--lambda"};

void check_ranges(const Options& o) {
  const auto check = [](bool holds, std::string_view condition, double found) {
    if (!holds) throw OptionError(concatenate("option ", condition, ", found ", found));
  };
  check(o.average_decay >= 0 && o.average_decay < 1,
        "--average-decay: expected a number in [0, 1), as an average of decay 1 never moves", o.average_decay);
  check(std::isfinite(o.warm_up_epochs) && o.warm_up_epochs >= 0, "--warm-up: expected a number of epochs",
        o.warm_up_epochs);
  check(std::isfinite(o.rate) && o.rate >= 0, "--rate: expected a number >= 0", o.rate);
  check(std::isfinite(o.weight_decay) && o.weight_decay >= 0, "--weight-decay: expected a number >= 0", o.weight_decay);
  o.trainer.check();
}

void check_that_something_is_kept(const Options& o) {
  if (o.discard && !(o.output.empty() && o.checkpoint.empty()))
    throw OptionError("option --discard: expected without --output and --checkpoint, found beside one of them");
  const bool trains = o.trainer.epochs > 0;
  if (trains && o.output.empty() && o.checkpoint.empty() && !o.discard)
    throw OptionError(
        "nothing would be kept of this training: expected --output or --checkpoint, or --discard if that is meant");
}

void check_distinct(const Options& o) {
  using Given = std::pair<std::string_view, const std::string*>;
  const std::array<Given, 5> files = {{{"--output", &o.output},
                                       {"--checkpoint", &o.checkpoint},
                                       {"--history", &o.history},
                                       {"--from", &o.from},
                                       {"--data", &o.data}}};
  for (std::size_t i = 0; i < 3; ++i)  // those that are written
    for (std::size_t j = i + 1; j < files.size(); ++j)
      if (!files[i].second->empty() && !files[j].second->empty() &&
          examples::same_file(*files[i].second, *files[j].second))
        throw OptionError(concatenate("options ", files[i].first, " and ", files[j].first,
                                      ": expected two files, found one: ", crate::quote(*files[i].second)));
}

void check_checkpoint(const std::string& path, bool resume) {
  crate::check_replaceable(path);
  if (crate::path_exists(path) && examples::holds_tensors(path))
    throw crate::file_error(path,
                            "expected a checkpoint, found weights; give another name, and --from to begin with them");
  if (!resume && crate::holds_training(path))
    throw crate::file_error(
        path,
        "expected no file where --checkpoint of a new training is written, found one; give --resume to go "
        "on with the training in it, or another name");
}

}  // namespace

std::string_view why_without_effect(std::string_view name, const Options& o) {
  if (!o.from.empty() && crate::detail::is_among(of_new_models, name)) return "the model is that of --from";
  if (crate::detail::is_among(of_ista, name) && !block_traits(o.family).ista) return "models of --family have no ISTA";
  if (name == "--head-dim" && !block_traits(o.family).head_dim) return "heads of --family are dim / heads wide";
  if (name == "--weights-at" && o.from.empty()) return "there is no --from";
  if (name == "--momentum" && o.rule != "sgd") return "--optimiser is not sgd";
  if ((name == "--beta1" || name == "--beta2") && o.rule == "sgd") return "--optimiser is sgd";
  if (name == "--final-factor" && o.schedule == "constant") return "--schedule is constant";
  if (name == "--resume" && o.checkpoint.empty()) return "there is no --checkpoint to go on from";
  if (name == "--checkpoint-every" && o.checkpoint.empty()) return "there is no --checkpoint";
  if (name == "--history-every" && o.history.empty()) return "there is no --history";
  return {};
}

void check_options(const CLI::App& app, const Options& options) {
  program_options::check_effects(app, [&](std::string_view name) { return why_without_effect(name, options); });
  if (options.data.empty())
    throw OptionError(concatenate(
        "option --data: expected a folder, found nothing",
        options.resume ? concatenate("; there is no checkpoint ", crate::quote(options.checkpoint), " that knows it")
                       : ""));
  check_ranges(options);
  check_that_something_is_kept(options);
  check_distinct(options);
  if (!options.output.empty()) examples::check_output(options.output);
  if (!options.checkpoint.empty()) check_checkpoint(options.checkpoint, options.resume);
  if (!options.history.empty()) crate::check_history(options.history);
}

}  // namespace train_classifier
