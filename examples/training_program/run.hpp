// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <string>

#include "crate/core/errors.hpp"
#include "crate/io/save_model.hpp"
#include "crate/training/trainer.hpp"
#include "training_program/options.hpp"
#include "training_program/ranks.hpp"

// A training from its first step, or the one it is resumed at, to its last, and what is kept of it.

namespace training_program {

/// How long a training is, in words: the option that says it, and "5 epochs", "2000 steps".
struct Length {
  std::string option, text;
};

/// Goes on from the checkpoint, if that is wanted and there is one, and says so.
template <class Trainer, class State>
void resume(Trainer& trainer, const State& state, const Options& o, const Length& length) {
  if (!o.resume) return;
  if (!trainer.resume()) {
    std::printf("\nbegins anew, as there is no checkpoint '%s' yet\n", o.checkpoint.c_str());
    return;
  }
  std::printf("\ngoes on after step %td of %td", state.step, trainer.total_steps());
  if (state.step >= trainer.total_steps())
    std::printf(", the last; %s trains on for more of them", length.option.c_str());
  if (!o.output.empty()) std::printf("; weights go to %s", o.output.c_str());
  std::printf("\n");
  if (const auto before = trainer.schedule_before(); before && *before != trainer.total_steps())
    std::printf(
        "the schedule of the rate was laid over %td steps; from here on it is that of a training of %s from the\n"
        "beginning, %td steps: the rate goes on at %.3g\n",
        *before, length.text.c_str(), trainer.total_steps(), o.rate * trainer.schedule().factor(state.step));
}

/// Writes the weights if that is wanted, once for all ranks.
template <class Model>
void keep_weights(const Options& o, const Model& model) {
  if (!o.output.empty() && o.trainer.ranks->is_first()) crate::save_model(o.output, model);
}

/// Says what is left of a training that was interrupted, and keeps what nobody else keeps.
template <class Model>
void end_interrupted(const Options& o, const Model& model, Index step, Index total) {
  if (o.checkpoint.empty()) keep_weights(o, model);
  std::printf("\ninterrupted after step %td of %td", step, total);
  if (!o.checkpoint.empty())
    std::printf("; --checkpoint %s --resume goes on from here, and the file can be used as weights",
                o.checkpoint.c_str());
  else if (!o.output.empty())
    std::printf("; the weights as they are now are in %s", o.output.c_str());
  std::printf("\n");
}

/// Trains to the end or to an interruption. An error in the middle of it costs no weights: without a checkpoint they
/// are kept as they are.
template <class Trainer, class State, class OnEpoch>
bool run_keeping_weights(Trainer& trainer, const State& state, const Options& o, const OnEpoch& on_epoch) {
  const Index begun_at = state.step;
  try {
    return trainer.run(on_epoch);
  } catch (const crate::Error&) {
    if (o.checkpoint.empty() && !o.output.empty() && state.step > begun_at) {
      o.trainer.ranks->ask_to_wait();
      keep_weights(o, state.result());
      std::printf("\nthe weights after step %td are in %s\n", state.step, o.output.c_str());
    }
    throw;
  }
}

/// Trains, from the checkpoint on if that is wanted, and keeps the weights. Returns whether it came to the end; calls
/// begin() before the first step.
template <class Trainer, class State, class Begin, class OnEpoch>
[[nodiscard]] bool run(Trainer& trainer, const State& state, const Options& o, const Length& length, const Begin& begin,
                       const OnEpoch& on_epoch) {
  tell_of_idle_ranks(o);
  resume(trainer, state, o, length);
  begin();
  const bool finished = run_keeping_weights(trainer, state, o, on_epoch);
  if (!finished)
    end_interrupted(o, state.result(), state.step, trainer.total_steps());
  else
    keep_weights(o, state.result());
  return finished;
}

}  // namespace training_program
