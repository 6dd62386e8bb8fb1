// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), beside Eigen.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iomanip>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/threads.hpp"
#include "crate/training/batch_gradient.hpp"
#include "crate/training/checkpoint.hpp"
#include "crate/training/examples.hpp"
#include "crate/training/history.hpp"
#include "crate/training/interruption.hpp"
#include "crate/training/progress.hpp"
#include "crate/training/recipe.hpp"
#include "crate/training/schedule.hpp"
#include "crate/training/training_state.hpp"

namespace crate {

struct TrainerOptions {
  Index epochs = 1;  ///< >= 0
  Index batch =
      128;  ///< examples of a step, >= 1; what is left of an epoch behind the last whole batch waits for the next
  BatchCut cut = {};
  Schedule schedule = {};
  double largest_norm = 0;  ///< to which the gradient is clipped; 0 for as it is
  std::uint64_t seed = 0;   ///< of the order, the augmentation and the dropout

  std::filesystem::path checkpoint = {};  ///< written after every epoch; empty for none
  Index checkpoint_every = 0;             ///< and after so many steps; 0 for never
  std::filesystem::path history = {};     ///< a line for every epoch; empty for none
  Index history_every = 0;                ///< and for the loss of every so many steps; 0 for none

  void check() const {
    check_option(epochs >= 0, "training: epochs >= 0", epochs);
    check_option(batch >= 1, "training: batch >= 1", batch);
    check_option(largest_norm >= 0, "training: largest norm >= 0", largest_norm);
    check_option(checkpoint_every >= 0, "training: steps between checkpoints >= 0", checkpoint_every);
    check_option(history_every >= 0, "training: steps between lines of history >= 0", history_every);
    cut.check();
    schedule.check();
  }
};

/// What an epoch brought.
struct EpochReport {
  Index epoch = 0;     ///< 1, 2, ...
  Index step = 0;      ///< steps taken since the beginning
  Measures training;   ///< of the batches as they came
  Measures test;       ///< of the test examples, after the epoch
  double seconds = 0;  ///< in this program, test included
};

/// Trains a model: batches in an order drawn anew for every epoch, gradients on several threads, steps by a schedule, test
/// after every epoch, history, progress on a terminal, and checkpoints. The same state, data and recipe give the same bits on any
/// number of threads, in one go or in several.
template <class State, class O, ExampleSource Source>
class Trainer {
 public:
  /// Works on `state`; it, the sources and the threads must outlive this. `recipe` adds to what checkpoints must agree in:
  /// whatever the trainer does not know of, such as the options of the optimiser.
  /// Throws OptionError on an option out of range and if there are fewer examples than a batch takes.
  Trainer(State& state, O objective, const Source& training, const Source& test, TrainerOptions options,
          Threads& threads, Recipe recipe = {})
      : state_(state),
        training_(training),
        test_(test),
        options_(std::move(options)),
        threads_(threads),
        recipe_(std::move(recipe)),
        gradient_((options_.check(), state.model), std::move(objective), options_.cut, threads) {
    check_option(training.size() >= options_.batch, concatenate("training: examples >= batch = ", options_.batch),
                 training.size());
    describe_options();
  }

  [[nodiscard]] Index steps_per_epoch() const { return training_.size() / options_.batch; }
  [[nodiscard]] Index total_steps() const { return options_.epochs * steps_per_epoch(); }
  [[nodiscard]] const Recipe& recipe() const { return recipe_; }

  /// Goes on from the checkpoint if there is one; returns whether there was. Throws FileError as load_checkpoint.
  bool resume() {
    if (options_.checkpoint.empty() || !std::filesystem::exists(options_.checkpoint)) return false;
    load_checkpoint(options_.checkpoint, state_, recipe_);
    return true;
  }

  /// One batch: gradient, clipping, step, moving average. Returns the sums over the batch, before the step.
  /// Throws Error if the loss is not finite; then the state is as before.
  Measures step() {
    const Index epoch = state_.step / steps_per_epoch(), position = state_.step % steps_per_epoch();
    if (epoch != ordered_epoch_) order_ = epoch_order(training_.size(), options_.seed, epoch);
    ordered_epoch_ = epoch;
    const std::span<const Index> batch = std::span<const Index>(order_).subspan(
        static_cast<std::size_t>(position * options_.batch), static_cast<std::size_t>(options_.batch));
    const Measures sums =
        gradient_.compute(state_.model, training_, batch, {.seed = options_.seed, .epoch = epoch, .step = state_.step});
    if (!std::isfinite(sums.loss.sum))
      throw Error(concatenate("training: expected a finite loss, found ", sums.loss.mean(), " at step ",
                              state_.step + 1, "; a smaller rate, a warm-up or clipping may help"));
    StepFactors factors{.rate = options_.schedule.factor(state_.step)};
    if (options_.largest_norm > 0)
      factors.gradient = clipping_factor(gradient_norm(gradient_.gradient(), threads_), options_.largest_norm);
    state_.optimiser.step(state_.model, gradient_.gradient(), factors, threads_);
    if (state_.average) state_.average->update(state_.model, threads_);
    if (position == 0) state_.epoch_sums = {};
    state_.epoch_sums += sums;
    ++state_.step;
    return sums;
  }

  /// The sums over the test examples of what would be kept.
  [[nodiscard]] Measures test() { return gradient_.measure(state_.result(), test_); }

  /// Trains to the end of the last epoch and calls on_epoch(report) after each. Ctrl-C and SIGTERM end it after the step they
  /// fall in, with a checkpoint; then it returns false.
  bool run(const std::function<void(const EpochReport&)>& on_epoch = {}) {
    const Interruption interruption;
    std::optional<HistoryFile> history;
    if (!options_.history.empty()) history.emplace(options_.history, state_.step);
    ProgressLine progress(examples_in(total_steps()), examples_in(state_.step), "examples");
    auto start = std::chrono::steady_clock::now();
    while (state_.step < total_steps()) {
      const Measures sums = step();
      progress.show(examples_in(state_.step), progress_text());
      if (history && options_.history_every > 0 && state_.step % options_.history_every == 0)
        history->write({{"step", state_.step}, {"loss", sums.loss.mean()}});
      const bool epoch_ends = state_.step % steps_per_epoch() == 0;
      if (epoch_ends) {
        const EpochReport report = end_epoch(start);
        start = std::chrono::steady_clock::now();
        if (history) write_history(*history, report);
        progress.clear();
        if (on_epoch) on_epoch(report);
      }
      const bool due = options_.checkpoint_every > 0 && state_.step % options_.checkpoint_every == 0;
      const bool interrupted = Interruption::noticed() && state_.step < total_steps();
      if (!options_.checkpoint.empty() && (epoch_ends || due || interrupted))
        save_checkpoint(options_.checkpoint, state_, recipe_);
      if (interrupted) return false;
    }
    return true;
  }

 private:
  void describe_options() {
    using detail::exact_text;
    recipe_.insert(recipe_.end(), {{"seed", exact_text(options_.seed)},
                                   {"batch", exact_text(options_.batch)},
                                   {"micro-batch", exact_text(options_.cut.micro_batch)},
                                   {"lanes", exact_text(options_.cut.lanes)},
                                   {"largest norm", exact_text(options_.largest_norm)},
                                   {"training examples", exact_text(training_.size())}});
    describe(recipe_, options_.schedule);
    if (state_.average) recipe_.emplace_back("average decay", exact_text(state_.average->decay));
  }

  [[nodiscard]] double examples_in(Index steps) const {
    return static_cast<double>(steps) * static_cast<double>(options_.batch);
  }

  [[nodiscard]] std::string progress_text() const {
    std::ostringstream text;
    text << "epoch " << (state_.step - 1) / steps_per_epoch() + 1 << '/' << options_.epochs << "  step "
         << (state_.step - 1) % steps_per_epoch() + 1 << '/' << steps_per_epoch() << "  loss " << std::fixed
         << std::setprecision(4) << state_.epoch_sums.loss.mean();
    return text.str();
  }

  EpochReport end_epoch(std::chrono::steady_clock::time_point start) {
    EpochReport report{
        .epoch = state_.step / steps_per_epoch(), .step = state_.step, .training = state_.epoch_sums, .test = test()};
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  }

  static void write_history(const HistoryFile& history, const EpochReport& report) {
    history.write({{"step", report.step},
                   {"epoch", report.epoch},
                   {"training_loss", report.training.loss.mean()},
                   {"training_accuracy", report.training.accuracy()},
                   {"test_loss", report.test.loss.mean()},
                   {"test_accuracy", report.test.accuracy()},
                   {"test_top_5_accuracy", report.test.top_5_accuracy()},
                   {"seconds", report.seconds}});
  }

  State& state_;
  const Source& training_;
  const Source& test_;
  TrainerOptions options_;
  Threads& threads_;
  Recipe recipe_;
  BatchGradient<typename State::Model, O> gradient_;
  std::vector<Index> order_;
  Index ordered_epoch_ = -1;
};

}  // namespace crate
