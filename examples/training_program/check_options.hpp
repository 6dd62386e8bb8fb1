// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/training/checkpoint.hpp"
#include "crate/training/history.hpp"
#include "output_file.hpp"
#include "training_program/options.hpp"

// Checks of the options, made before any data is read.

namespace training_program {

using crate::concatenate;
using crate::OptionError;

/// Throws OptionError that names the condition unless it holds.
inline void check_number(bool holds, std::string_view condition, double found) {
  if (!holds) throw OptionError(concatenate("option ", condition, ", found ", found));
}

inline void check_ranges(const Options& o) {
  check_number(o.average_decay >= 0 && o.average_decay < 1,
               "--average-decay: expected a number in [0, 1), because an average with decay 1 never moves",
               o.average_decay);
  check_number(std::isfinite(o.rate) && o.rate >= 0, "--rate: expected a number >= 0", o.rate);
  check_number(std::isfinite(o.weight_decay) && o.weight_decay >= 0, "--weight-decay: expected a number >= 0",
               o.weight_decay);
  if (o.final_rate)
    check_number(*o.final_rate >= 0 && *o.final_rate <= o.rate, "--final-rate: expected a number from 0 to --rate",
                 *o.final_rate);
  check_number(std::isfinite(o.warm_up_epochs) && o.warm_up_epochs >= 0, "--warm-up: expected a number of epochs",
               o.warm_up_epochs);
  o.trainer.check();
  const auto epochs = static_cast<double>(o.trainer.epochs);
  check_number(o.schedule == "constant" || epochs == 0 || o.warm_up_epochs <= epochs,
               concatenate("--warm-up: expected at most --epochs, ", epochs), o.warm_up_epochs);
}

inline void check_that_something_is_kept(const Options& o) {
  if (o.discard && !(o.output.empty() && o.checkpoint.empty()))
    throw OptionError("option --discard contradicts --output and --checkpoint");
  const bool trains = o.trainer.epochs > 0;
  if (trains && o.output.empty() && o.checkpoint.empty() && !o.discard)
    throw OptionError(
        "this training would save nothing: give --output or --checkpoint (or --discard if that is intended)");
}

/// Options and the paths that they name.
using NamedPaths = std::vector<std::pair<std::string_view, std::string>>;

/// Throws OptionError if two of the files are one, of which one would be written.
inline void check_distinct(const Options& o, const NamedPaths& what_is_read) {
  NamedPaths files{{"--output", o.output}, {"--checkpoint", o.checkpoint}, {"--history", o.history}};
  const std::size_t written = files.size();
  files.insert(files.end(), what_is_read.begin(), what_is_read.end());
  for (std::size_t i = 0; i < written; ++i)
    for (std::size_t j = i + 1; j < files.size(); ++j)
      if (!files[i].second.empty() && !files[j].second.empty() && examples::same_file(files[i].second, files[j].second))
        throw OptionError(concatenate("options ", files[i].first, " and ", files[j].first,
                                      ": expected two files, found one: ", crate::quote(files[i].second)));
}

inline void check_checkpoint(const std::string& path, bool resume) {
  crate::check_replaceable(path);
  if (!crate::path_exists(path)) return;
  const examples::FileContent content = examples::content_of(path);
  if (content == examples::FileContent::tensors)
    throw crate::file_error(path,
                            "--checkpoint names a file of weights, which would be replaced: choose another name (to "
                            "start from these weights, use --from)");
  if (!resume && content == examples::FileContent::other)
    throw crate::file_error(path, "--checkpoint would replace a file that is not a checkpoint; choose another name");
  if (!resume && crate::holds_training(path))
    throw crate::file_error(
        path,
        "--checkpoint names the checkpoint of another training: continue it with --resume, or choose another name");
}

/// Throws OptionError if the option `name` of what is trained on was not given.
inline void check_given(const Options& o, std::string_view name, std::string_view expected, const std::string& value) {
  if (!value.empty()) return;
  throw OptionError(concatenate(
      "option ", name, ": expected ", expected, ", found nothing",
      o.resume ? concatenate("; the checkpoint ", crate::quote(o.checkpoint), " to resume from does not exist") : ""));
}

/// Why an option would have no effect; empty if it has one.
[[nodiscard]] inline std::string_view why_without_effect(std::string_view name, const Options& o) {
  if (name == "--momentum" && o.rule != "sgd") return "--optimiser is not sgd";
  if ((name == "--beta1" || name == "--beta2") && o.rule == "sgd") return "--optimiser is sgd";
  if (name == "--final-rate" && o.schedule == "constant") return "--schedule is constant";
  if (name == "--resume" && o.checkpoint.empty()) return "--checkpoint is not given";
  if (name == "--checkpoint-every" && o.checkpoint.empty()) return "--checkpoint is not given";
  if (name == "--history-every" && o.history.empty()) return "--history is not given";
  return {};
}

/// Throws OptionError if an option is out of range, or if nothing would be kept; FileError if a file cannot be written,
/// or is one that this training must not replace.
inline void check_options(const Options& o, const NamedPaths& what_is_read) {
  check_ranges(o);
  check_that_something_is_kept(o);
  check_distinct(o, what_is_read);
  if (!o.output.empty()) examples::check_output(o.output);
  if (!o.checkpoint.empty()) check_checkpoint(o.checkpoint, o.resume);
  if (!o.history.empty()) crate::check_history(o.history);
}

}  // namespace training_program
