// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/training/any_optimiser.hpp"
#include "crate/training/recipe.hpp"
#include "crate/training/trainer.hpp"
#include "program_options/program_options.hpp"

// The command lines of programs that train: what they share.

namespace training_program {

using crate::Index;

struct Options {
  // the recipe
  std::string rule = "adamw", schedule = "cosine";
  double rate = 1e-3, weight_decay = 0.05, momentum = 0.9, beta1 = 0.9;
  std::optional<double> beta2 = {};     // empty: as usual for the rule
  std::string weight_decay_of = "all";  // parameters that are decayed: all or matrices
  double final_factor = 0;              // final rate / rate, unless final_rate is given
  std::optional<double> final_rate = {};
  double label_smoothing = 0, average_decay = 0;
  double warm_up_epochs = 0;  // in programs whose trainings are as long as --epochs
  crate::TrainerOptions trainer = {};
  int threads = 1;

  // files
  std::string output = {}, checkpoint = {}, history = {};
  bool resume = false, discard = false;

  std::string program = {};  // its name, which begins what it prints on standard error
};

/// The rule of steps and the schedule of the rate.
inline void add_rule_options(CLI::App& app, Options& o) {
  using program_options::add_choice;
  add_choice(app, "--optimiser", o.rule, {"adamw", "lion", "sgd"}, "adamw, lion or sgd");
  app.add_option("--rate", o.rate, "learning rate after the warm-up");
  app.add_option("--weight-decay", o.weight_decay,
                 "weight decay; adamw, lion: decoupled from the gradient, sgd: added to it");
  add_choice(app, "--weight-decay-of", o.weight_decay_of, {"all", "matrices"},
             "which parameters decay: all or matrices (no one-dimensional ones, such as biases and norms)");
  app.add_option("--momentum", o.momentum, "momentum of sgd");
  app.add_option("--beta1", o.beta1, "decay rate of the first moment (adamw), of the moment in the step (lion)");
  app.add_option("--beta2", o.beta2,
                 "decay rate of the second moment (adamw), of the moment (lion) [" +
                     (o.beta2 ? crate::concatenate(*o.beta2) : "0.999 or 0.99") + "]");
  add_choice(app, "--schedule", o.schedule, {"constant", "linear", "cosine"},
             "schedule of the learning rate: constant, linear or cosine");
  app.add_option("--final-rate", o.final_rate,
                 "learning rate at the end of the schedule, at most --rate [" +
                     (o.final_factor == 0 ? "0" : crate::concatenate(o.final_factor, " of --rate")) + "]");
  app.add_option("--clip", o.trainer.largest_norm, "clip the gradient to this norm; 0: no clipping");
  app.add_option(
      "--average-decay", o.average_decay,
      "keep an exponential moving average of the weights, with this decay (below 1), and write it instead of the "
      "weights; 0: no average");
}

/// The length of a training and of its warm-up, in epochs.
inline void add_length_options(CLI::App& app, Options& o) {
  app.add_option("--warm-up", o.warm_up_epochs,
                 "length of the warm-up in epochs, in which the learning rate rises linearly")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--epochs", o.trainer.epochs, "number of passes over the data, including those before --resume");
}

inline void add_ista_options(CLI::App& app, double& step, double& lambda) {
  app.add_option("--step-size", step, "step size eta of ISTA");
  app.add_option("--lambda", lambda, "threshold lambda of ISTA");
}

inline void add_dropout_options(CLI::App& app, double& attention, double& tokens) {
  app.add_option("--dropout", attention, "dropout probability in the attention");
  app.add_option("--token-dropout", tokens, "dropout probability of the tokens that enter the first block");
}

/// How batches of `examples`, such as "images", are cut and drawn.
inline void add_batch_options(CLI::App& app, Options& o, const std::string& examples) {
  app.add_option("--batch", o.trainer.batch, examples + " per step");
  app.add_option("--micro-batch", o.trainer.cut.micro_batch,
                 examples + " that one thread processes at a time; fewer need less memory");
  app.add_option(
      "--lanes", o.trainer.cut.lanes,
      "number of partial gradients that are computed in parallel; more threads, over all processes, do not help; the "
      "result depends on it in the last bits");
  program_options::add_seed(app, o.trainer.seed);
  program_options::add_threads(app, o.threads);
}

/// The files; a training is measured once per `period`. The help of --resume names the options that are `changeable`.
inline void add_file_options(CLI::App& app, Options& o, const std::string& period,
                             const std::vector<std::string_view>& changeable) {
  std::string may_change;
  for (const std::string_view name : changeable) may_change.append(name).append(", ");
  program_options::begin_group(app, "Output");
  program_options::add_exit_code(app, "130 interrupted");
  app.add_option("--output", o.output, "safetensors file for the trained weights, under their published names [none]")
      ->type_name("FILE");
  app.add_option("--checkpoint", o.checkpoint,
                 "file for the state of the training, written after every " + period +
                     "; other programs read it as weights [none]")
      ->type_name("FILE");
  app.add_option("--checkpoint-every", o.trainer.checkpoint_every, "also write the checkpoint every N steps; 0: never");
  app.add_flag("--resume", o.resume,
               "continue from --checkpoint if it exists, with the options stored in it; only these may be changed: " +
                   may_change + "--threads; other training data must have as many examples");
  app.add_option("--history", o.history,
                 "append the measures of every " + period + " to this file, one JSON object per line [none]")
      ->type_name("FILE");
  app.add_option("--history-every", o.trainer.history_every, "also append the loss every N steps; 0: never");
  app.add_flag("--discard", o.discard,
               "write no weights, for trials and measurements, in place of --output or --checkpoint");
#ifdef CRATE_MPI
  app.footer(
      app.get_footer() +
      "\nUnder mpirun -n N, N processes train one model, with the same result. After Ctrl-C mpirun gives them one\n"
      "second to write the checkpoint; mpirun --mca odls_base_sigkill_timeout 10 gives them ten.");
#endif
}

[[nodiscard]] inline crate::OptimiserOptions optimiser_options(const Options& o) {
  const bool vectors = o.weight_decay_of == "all";
  if (o.rule == "lion")
    return crate::LionOptions{.rate = o.rate,
                              .beta1 = o.beta1,
                              .beta2 = o.beta2.value_or(0.99),
                              .weight_decay = o.weight_decay,
                              .decay_vectors = vectors};
  if (o.rule == "sgd")
    return crate::SgdOptions{
        .rate = o.rate, .momentum = o.momentum, .weight_decay = o.weight_decay, .decay_vectors = vectors};
  return crate::AdamWOptions{.rate = o.rate,
                             .beta1 = o.beta1,
                             .beta2 = o.beta2.value_or(0.999),
                             .weight_decay = o.weight_decay,
                             .decay_vectors = vectors};
}

/// The learning rate at the end of the schedule over that after the warm-up.
[[nodiscard]] inline double final_factor_of(const Options& o) {
  if (!o.final_rate) return o.final_factor;
  return o.rate > 0 ? *o.final_rate / o.rate : 0;
}

[[nodiscard]] inline crate::Schedule schedule_of(const Options& o, Index warm_up_steps, Index steps) {
  const crate::Decay decay = o.schedule == "constant" ? crate::Decay::constant
                             : o.schedule == "linear" ? crate::Decay::linear
                                                      : crate::Decay::cosine;
  return {.decay = decay, .warm_up = warm_up_steps, .steps = steps, .final_factor = final_factor_of(o)};
}

/// The schedule of a training of --epochs over so many examples.
[[nodiscard]] inline crate::Schedule schedule_in_epochs(const Options& o, Index examples) {
  const Index steps_per_epoch = examples / o.trainer.batch;
  const double warm_up = std::min(o.warm_up_epochs * static_cast<double>(steps_per_epoch), 1e15);
  return schedule_of(o, std::lround(warm_up), o.trainer.epochs * steps_per_epoch);
}

/// The options of a trainer with this schedule, whose checkpoint carries these texts.
[[nodiscard]] inline crate::TrainerOptions trainer_options(const Options& o, crate::Schedule schedule,
                                                           crate::Metadata notes) {
  crate::TrainerOptions result = o.trainer;
  result.schedule = schedule;
  result.notes = std::move(notes);
  result.checkpoint = o.checkpoint;
  result.history = o.history;
  return result;
}

}  // namespace training_program
