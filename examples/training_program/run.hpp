// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <string>
#include <utility>

#include "crate/core/detail/count_of.hpp"
#include "crate/core/errors.hpp"
#include "crate/io/save_model.hpp"
#include "crate/training/any_optimiser.hpp"
#include "crate/training/trainer.hpp"
#include "crate/training/training_state.hpp"
#include "training_program/options.hpp"
#include "training_program/ranks.hpp"

// Runs a training, new or resumed, to its last step, and saves the results.

namespace training_program {

/// The state that a training of the model begins with: the rule of steps and the average are those of the options.
template <class Objective, class Model>
[[nodiscard]] crate::TrainingState<Model, crate::AnyOptimiser<Model>, Objective> first_state(Model model,
                                                                                             const Options& o,
                                                                                             Objective objective = {}) {
  crate::AnyOptimiser<Model> rule(model, optimiser_options(o));
  crate::TrainingState<Model, crate::AnyOptimiser<Model>, Objective> state{
      .model = std::move(model), .optimiser = std::move(rule), .objective = std::move(objective)};
  if (o.average_decay > 0) state.average.emplace(state.model, o.average_decay);
  return state;
}

/// How long a training is, in words: the option that says it, and "5 epochs", "2000 steps".
struct Length {
  std::string option, text;
};

[[nodiscard]] inline Length length_in_epochs(const Options& o) {
  return {"--epochs", crate::detail::count_of(o.trainer.epochs, "epoch")};
}

/// Writes the weights of --output.
struct SaveWeights {
  template <class Model>
  void operator()(const std::string& path, const Model& model) const {
    crate::save_model(path, model);
  }
};

/// With --resume, continues from the checkpoint if it exists, and says so.
template <class Trainer, class State>
void resume(Trainer& trainer, const State& state, const Options& o, const Length& length) {
  if (!o.resume) return;
  if (!trainer.resume()) {
    std::printf("\nstarting a new training: there is no checkpoint '%s'\n", o.checkpoint.c_str());
    return;
  }
  std::printf("\nresuming after step %td of %td", state.step, trainer.total_steps());
  if (state.step >= trainer.total_steps())
    std::printf("; the training is complete: increase %s to continue", length.option.c_str());
  if (!o.output.empty()) std::printf("; weights will be written to %s", o.output.c_str());
  std::printf("\n");
  if (const auto before = trainer.schedule_before(); before && *before != trainer.total_steps())
    std::printf("the learning-rate schedule had %s and now has %td (%s); the rate continues at %.3g\n",
                crate::detail::count_of(*before, "step").c_str(), trainer.total_steps(), length.text.c_str(),
                o.rate * trainer.schedule().factor(state.step));
}

/// After an interruption: saves the weights if there is no checkpoint, and says how to continue.
template <class Model, class Save>
void end_interrupted(const Options& o, const Model& model, Index step, Index total, const Save& save) {
  if (o.checkpoint.empty() && !o.output.empty()) save(o.output, model);
  std::printf("\ninterrupted after step %td of %td", step, total);
  if (!o.checkpoint.empty())
    std::printf("; continue with --checkpoint %s --resume; the file can also be used as weights", o.checkpoint.c_str());
  else if (!o.output.empty())
    std::printf("; the weights after this step are in %s", o.output.c_str());
  std::printf("\n");
}

/// Trains to the end or to an interruption. If an error occurs and there is no checkpoint, saves the weights.
template <class Trainer, class State, class OnEpoch, class Save>
bool run_keeping_weights(Trainer& trainer, const State& state, const Options& o, const OnEpoch& on_epoch,
                         const Save& save) {
  const Index begun_at = state.step;
  try {
    return trainer.run(on_epoch);
  } catch (const crate::Error&) {
    if (o.checkpoint.empty() && !o.output.empty() && state.step > begun_at) {
      o.trainer.ranks->ask_to_wait();
      save(o.output, state.result());
      std::printf("\nthe weights after step %td are in %s\n", state.step, o.output.c_str());
    }
    throw;
  }
}

/// Trains, from the checkpoint with --resume, and saves the weights with save(path, model) on the first rank. Calls
/// begin() before the first step. Returns whether the training was completed.
template <class Trainer, class State, class Begin, class OnEpoch, class Save = SaveWeights>
[[nodiscard]] bool run(Trainer& trainer, const State& state, const Options& o, const Length& length, const Begin& begin,
                       const OnEpoch& on_epoch, const Save& save = {}) {
  const auto save_once = [&](const std::string& path, const auto& model) {
    if (o.trainer.ranks->is_first()) save(path, model);
  };
  warn_of_idle_ranks(o);
  resume(trainer, state, o, length);
  begin();
  const bool finished = run_keeping_weights(trainer, state, o, on_epoch, save_once);
  if (!finished)
    end_interrupted(o, state.result(), state.step, trainer.total_steps(), save_once);
  else if (!o.output.empty())
    save_once(o.output, state.result());
  return finished;
}

}  // namespace training_program
