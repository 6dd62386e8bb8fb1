// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iomanip>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/threads.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/training/batch_gradient.hpp"
#include "crate/training/checkpoint.hpp"
#include "crate/training/communicator.hpp"
#include "crate/training/detail/rank_agreement.hpp"
#include "crate/training/examples.hpp"
#include "crate/training/history.hpp"
#include "crate/training/interruption.hpp"
#include "crate/training/joint_gradient.hpp"
#include "crate/training/measures.hpp"
#include "crate/training/objective.hpp"
#include "crate/training/progress.hpp"
#include "crate/training/recipe.hpp"
#include "crate/training/schedule.hpp"
#include "crate/training/training_extent.hpp"
#include "crate/training/training_state.hpp"

namespace crate {

struct TrainerOptions {
  Index epochs = 1;   ///< >= 0
  Index batch = 128;  ///< examples per step, >= 1; an epoch leaves out the examples after its last whole batch
  BatchCut cut = {};
  Schedule schedule = {};
  double largest_norm = 0;                       ///< to which the gradient is clipped; 0: no clipping
  bool clip_each = false;                        ///< clips each parameter by its own norm instead of the global norm
  std::optional<CosineRamp> decay_factor = {};   ///< factor of the optimiser's weight decay, over the training
  std::optional<CosineRamp> average_decay = {};  ///< decay of the moving average, in place of its own
  std::string frozen_part = {};                  ///< a part of the model that is not trained ...
  Index frozen_epochs = 0;                       ///< ... during this many epochs at the beginning
  std::uint64_t seed = 0;                        ///< of the order of examples, the augmentation and the dropout

  std::filesystem::path checkpoint = {};  ///< written at the start and after every epoch; empty: none
  Index checkpoint_every = 0;             ///< also written after this many steps each; 0: never
  Metadata notes = {};                    ///< texts that the checkpoint stores, such as a program's options
  std::filesystem::path history = {};     ///< receives one line per epoch; empty: none
  Index history_every = 0;                ///< also the loss, once in this many steps; 0: never

  Communicator* ranks = &single_process();  ///< processes that train together; must outlive the training

  void check() const {
    constexpr Index most_epochs = 1'000'000'000;
    check_option(epochs >= 0 && epochs <= most_epochs, "training: epochs in [0, 1e9]", epochs);
    check_option(batch >= 1, "training: batch >= 1", batch);
    check_option(largest_norm >= 0 && std::isfinite(largest_norm), "training: largest norm >= 0 and finite",
                 largest_norm);
    check_option(frozen_epochs >= 0, "training: epochs in which a part is frozen >= 0", frozen_epochs);
    if (decay_factor)
      for (const double factor : {decay_factor->begin, decay_factor->end})
        check_option(factor >= 0 && std::isfinite(factor), "training: factors of the weight decay >= 0 and finite",
                     factor);
    if (average_decay)
      for (const double decay : {average_decay->begin, average_decay->end})
        check_option(decay >= 0 && decay <= 1, "training: decay of the average in [0, 1]", decay);
    check_option(checkpoint_every >= 0, "training: steps between checkpoints >= 0", checkpoint_every);
    check_option(history_every >= 0, "training: steps between lines of history >= 0", history_every);
    check_option(ranks != nullptr, "training: ranks that train together", "none");
    cut.check();
    schedule.check();
  }
};

/// The results of an epoch.
template <Measures M>
struct EpochReport {
  Index epoch = 0;     ///< 1, 2, ...
  Index step = 0;      ///< steps taken since the beginning
  M training;          ///< of the training batches, each before its step
  M test;              ///< of the test examples, after the epoch
  double seconds = 0;  ///< wall time in this process, including the test

  /// The reported numbers of both, as "training_loss", ..., "test_loss", ...; without those that were not measured
  /// (nan).
  [[nodiscard]] std::vector<std::pair<std::string, double>> numbers() const {
    std::vector<std::pair<std::string, double>> numbers;
    for (const ListedNumber& number : list_numbers(training))
      if (number.reported_for == ReportedFor::training_and_test)
        numbers.emplace_back("training_" + number.name, number.value);
    for (const ListedNumber& number : list_numbers(test)) numbers.emplace_back("test_" + number.name, number.value);
    std::erase_if(numbers, [](const auto& number) { return std::isnan(number.second); });
    return numbers;
  }
};

namespace detail {

/// The class that computes the gradient of an objective over a batch.
template <class Model, class O>
struct GradientOf {
  using type = BatchGradient<Model, const O&>;
};
template <class Model, class O>
requires JointObjective<O, Model>
struct GradientOf<Model, O> {
  using type = JointGradient<Model, O>;
};

}  // namespace detail

/// Trains a model: batches in a new order in every epoch, gradients on several threads and ranks, scheduled steps, a
/// test after every epoch, history, progress on a terminal, and checkpoints. The same state, data and recipe give the
/// same bits for any number of threads, ranks and interruptions. Each rank holds the whole state and computes the same
/// steps; only the first writes files and shows progress. The teacher of a joint objective is the moving average of the
/// state, which must then exist.
template <class State, ExampleSource Source>
requires Objective<typename State::Objective, typename State::Model, typename Source::Examples> ||
    JointObjective<typename State::Objective, typename State::Model>
class Trainer {
 public:
  using Measures = typename State::Objective::Measures;
  using Report = EpochReport<Measures>;

  /// Trains `state`; it, the sources and the threads must outlive this. `recipe` adds what the trainer does not know,
  /// such as the options of the optimiser, to the recipe that a checkpoint must match. Throws OptionError if an option
  /// is out of range, if the model lacks the part to freeze, and if there are fewer examples than a batch needs.
  Trainer(State& state, const Source& training, const Source& test, TrainerOptions options, Threads& threads,
          Recipe recipe = {})
      : state_(state),
        training_(training),
        test_(test),
        options_(std::move(options)),
        threads_(threads),
        recipe_(std::move(recipe)),
        ranks_((options_.check(), *options_.ranks)),
        gradient_(state.model, state.objective, options_.cut, threads, ranks_) {
    if constexpr (is_joint)
      check_option(state.average.has_value(), "training: a moving average, the teacher of a joint objective", "none");
    check_frozen_part();
    check_option(training.size() >= options_.batch, concatenate("training: examples >= batch = ", options_.batch),
                 training.size());
    describe_options();
  }

  [[nodiscard]] Index steps_per_epoch() const { return training_.size() / options_.batch; }
  [[nodiscard]] Index total_steps() const { return options_.epochs * steps_per_epoch(); }
  [[nodiscard]] const Recipe& recipe() const { return recipe_; }
  [[nodiscard]] const Schedule& schedule() const { return options_.schedule; }

  /// The length of the schedule, in steps, when the resumed training was saved; nothing if not resumed, or constant.
  [[nodiscard]] std::optional<Index> schedule_before() const { return schedule_before_; }

  /// Resumes from the checkpoint if it exists; returns whether it does. If the number of epochs or the length of the
  /// schedule has changed, the following steps are those of a training that has had the new values from its start.
  /// Throws FileError as load_checkpoint, and if the checkpoint has taken more steps than the epochs allow; OptionError
  /// if no checkpoint is named.
  bool resume() {
    check_option(!options_.checkpoint.empty(), "training: a checkpoint to resume from", "none");
    if (!path_exists(options_.checkpoint)) return false;
    const TensorTable file = read_safetensors(options_.checkpoint);
    TrainingExtent extent{.steps = total_steps()};
    if (counts_examples<Measures>) {
      extent.steps_per_epoch = steps_per_epoch();
      extent.batch = options_.batch;
    }
    load_checkpoint(file, state_, recipe_, extent);
    schedule_before_ = scheduled_steps(file);
    owns_checkpoint_ = resumed_ = true;
    return true;
  }

  /// One batch: gradient, clipping, optimiser step, objective and moving average. Returns the sums over the batch,
  /// before the step.
  /// Throws Error if the loss, or the norm used for clipping, is not finite; the state is then unchanged.
  Measures step() {
    const Index epoch = state_.step / steps_per_epoch(), position = state_.step % steps_per_epoch();
    if (epoch != ordered_epoch_) order_ = epoch_order(training_.size(), options_.seed, epoch);
    ordered_epoch_ = epoch;
    const std::span<const Index> batch = std::span<const Index>(order_).subspan(
        static_cast<std::size_t>(position * options_.batch), static_cast<std::size_t>(options_.batch));
    const StepPlace place{.seed = options_.seed, .epoch = epoch, .step = state_.step};
    const Measures sums = compute_gradient(batch, place);
    check_finite("loss", sums.loss.mean());
    StepFactors factors = factors_of_step(epoch);
    if (options_.largest_norm > 0 && options_.clip_each)
      check_finite("norm of the gradient of each parameter",
                   clip_each_parameter(gradient_.gradient(), options_.largest_norm, threads_));
    else if (options_.largest_norm > 0)
      factors.gradient = clipping_factor(finite_norm(), options_.largest_norm);
    state_.optimiser.step(state_.model, gradient_.gradient(), factors, threads_);
    if constexpr (HasAfterStep<typename State::Objective, typename State::Model>)
      state_.objective.after_step(state_.model, sums, place, threads_);
    if constexpr (is_joint) state_.objective.update_centre(gradient_.teacher_features());
    if (state_.average && options_.average_decay)
      state_.average->update(state_.model, options_.average_decay->at(state_.step, total_steps()), threads_);
    else if (state_.average)
      state_.average->update(state_.model, threads_);
    if (position == 0) state_.epoch_sums = {};
    state_.epoch_sums += sums;
    ++state_.step;
    return sums;
  }

  /// The sums over the test examples with result(); for a joint objective, the result of its evaluate().
  [[nodiscard]] Measures test() {
    if constexpr (is_joint)
      return state_.objective.evaluate(state_.result(), threads_, ranks_);
    else
      return measure(test_);
  }

  /// The sums over the examples of another source, with result().
  template <ExampleSource Other>
  [[nodiscard]] Measures measure(const Other& source) {
    return gradient_.measure(state_.result(), source);
  }

  /// Trains to the end of the last epoch and calls on_epoch(report) after each, on the first rank only; there it must
  /// not call step(), test() or measure(), in which all ranks take part. SIGINT (Ctrl-C), SIGTERM or SIGHUP on any rank
  /// ends the training after the current step, with a checkpoint; run then returns false. Throws FileError if the
  /// checkpoint would replace that of another training, or if a file cannot be written, if possible before the first
  /// step; Error if the model is no longer finite (the checkpoint stays unchanged), or if ranks differ in options, data
  /// or state.
  bool run(const std::function<void(const Report&)>& on_epoch = {}) {
    check_ranks();
    const Interruption interruption;
    begin_checkpoint();
    const std::optional<HistoryFile> history = begin_history();
    ProgressLine progress(examples_in(total_steps()), examples_in(state_.step), "examples");
    auto start = std::chrono::steady_clock::now();
    while (state_.step < total_steps()) {
      const Measures sums = step();
      if (ranks_.is_first()) progress.show(examples_in(state_.step), place_text(), numbers_text());
      std::optional<Report> report;
      if (state_.step % steps_per_epoch() == 0) {
        report = end_epoch(start);
        detail::check_same_state(ranks_, state_);
        start = std::chrono::steady_clock::now();
      }
      if (history) add_to_history(*history, sums, report);
      const bool saved = report || is_due(options_.checkpoint_every);
      if (saved) save();
      if (report && ranks_.is_first()) {
        progress.clear();
        if (on_epoch) on_epoch(*report);
      }
      if (detail::is_interrupted(ranks_) && state_.step < total_steps()) {
        if (!saved) save();
        return false;
      }
    }
    return true;
  }

 private:
  static constexpr bool is_joint = JointObjective<typename State::Objective, typename State::Model>;

  Measures compute_gradient(std::span<const Index> batch, const StepPlace& place) {
    if constexpr (is_joint)
      return gradient_.compute(state_.model, state_.result(), training_, batch, place);
    else
      return gradient_.compute(state_.model, training_, batch, place);
  }

  [[nodiscard]] StepFactors factors_of_step(Index epoch) const {
    return {
        .rate = options_.schedule.factor(state_.step),
        .decay = options_.decay_factor ? options_.decay_factor->at(state_.step, total_steps()) : 1,
        .frozen_part = epoch < options_.frozen_epochs ? std::string_view(options_.frozen_part) : std::string_view()};
  }

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
    const auto describe_ramp = [&](const std::string& name, const std::optional<CosineRamp>& ramp) {
      if (ramp) recipe_.emplace_back(name, concatenate(exact_text(ramp->begin), " to ", exact_text(ramp->end)));
    };
    describe_ramp("average decay by step", options_.average_decay);
    describe_ramp("factor of the weight decay", options_.decay_factor);
    if (options_.clip_each) recipe_.emplace_back("clipping", "each parameter");
    if (options_.frozen_epochs > 0)
      recipe_.emplace_back("frozen", concatenate(options_.frozen_part, " for ", options_.frozen_epochs, " epochs"));
  }

  void check_frozen_part() const {
    if (options_.frozen_epochs == 0) return;
    const auto is_found = [&](const auto& parameter) {
      return detail::is_inside(parameter.name, options_.frozen_part);
    };
    const ParameterList parameters = list_parameters(state_.model);
    check_option(std::any_of(parameters.begin(), parameters.end(), is_found),
                 "training: a part of the model that is frozen", quote(options_.frozen_part));
  }

  /// What ranks must have in common before the first step.
  void check_ranks() {
    if (ranks_.size() == 1) return;
    using detail::exact_text;
    Recipe texts = recipe_;
    texts.insert(texts.end(), {{"epochs", exact_text(options_.epochs)},
                               {"steps between checkpoints", exact_text(options_.checkpoint_every)},
                               {"checkpoint", options_.checkpoint.empty() ? "none" : "some"},
                               {"training data", detail::source_text(training_)},
                               {"test data", detail::source_text(test_)},
                               {"steps taken", exact_text(state_.step)}});
    detail::check_same_program(ranks_);
    check_agreement(ranks_, "options and data", texts);
    detail::check_same_state(ranks_, state_);
  }

  [[nodiscard]] bool is_due(Index every) const { return every > 0 && state_.step % every == 0; }

  /// Detects before the first step whether the checkpoint can be written, and lets a training that is killed during its
  /// first epoch resume from its beginning.
  void begin_checkpoint() {
    if (options_.checkpoint.empty() || !ranks_.is_first()) return;
    if (owns_checkpoint_) return check_replaceable(options_.checkpoint);
    if (holds_training(options_.checkpoint))
      throw file_error(
          options_.checkpoint.string(),
          "expected no file where a new training begins its checkpoint, found one; resume it, or give another name");
    save();
  }

  [[nodiscard]] std::optional<HistoryFile> begin_history() const {
    if (options_.history.empty() || !ranks_.is_first()) return std::nullopt;
    return resumed_ ? HistoryFile(options_.history, state_.step) : HistoryFile(options_.history);
  }

  /// Never replaces a good checkpoint by a state with numbers that are not finite.
  void save() {
    if (options_.checkpoint.empty()) return detail::check_state(state_);
    if (!ranks_.is_first()) return;
    save_checkpoint(options_.checkpoint, state_, recipe_, options_.notes);
    owns_checkpoint_ = true;
  }

  void check_finite(std::string_view what, double found) const {
    if (!std::isfinite(found))
      throw Error(concatenate("training: expected a finite ", what, ", found ", found, " at step ", state_.step + 1,
                              "; a smaller rate, a warm-up or clipping may help"));
  }

  [[nodiscard]] double finite_norm() const {
    const double norm = gradient_norm(gradient_.gradient(), threads_);
    check_finite("norm of the gradient", norm);
    return norm;
  }

  [[nodiscard]] double examples_in(Index steps) const {
    return static_cast<double>(steps) * static_cast<double>(options_.batch);
  }

  [[nodiscard]] std::string place_text() const {
    return concatenate("epoch ", (state_.step - 1) / steps_per_epoch() + 1, '/', options_.epochs, "  step ",
                       (state_.step - 1) % steps_per_epoch() + 1, '/', steps_per_epoch());
  }

  [[nodiscard]] std::string numbers_text() const {
    std::ostringstream text;
    text << std::fixed << std::setprecision(4);
    for (const ListedNumber& number : list_numbers(state_.epoch_sums))
      if (number.reported_for == ReportedFor::training_and_test && !std::isnan(number.value))
        text << number.name << ' ' << number.value << "  ";
    return text.str();
  }

  Report end_epoch(std::chrono::steady_clock::time_point start) {
    Report report{
        .epoch = state_.step / steps_per_epoch(), .step = state_.step, .training = state_.epoch_sums, .test = test()};
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  }

  /// Written before the checkpoint: lines of later steps than that of the checkpoint are removed on resuming. If the
  /// history cannot be written, the checkpoint still is, so that no step is lost.
  void add_to_history(const HistoryFile& history, const Measures& step, const std::optional<Report>& report) try {
    if (is_due(options_.history_every)) history.write({{"step", state_.step}, {"loss", step.loss.mean()}});
    if (report) write_epoch(history, *report);
  } catch (const FileError&) {
    save();
    throw;
  }

  static void write_epoch(const HistoryFile& history, const Report& report) {
    nlohmann::ordered_json entry{{"step", report.step}, {"epoch", report.epoch}};
    for (const auto& [name, value] : report.numbers()) entry[name] = value;
    entry["seconds"] = report.seconds;
    history.write(entry);
  }

  State& state_;
  const Source& training_;
  const Source& test_;
  TrainerOptions options_;
  Threads& threads_;
  Recipe recipe_;
  Communicator& ranks_;
  typename detail::GradientOf<typename State::Model, typename State::Objective>::type gradient_;
  std::vector<Index> order_;
  Index ordered_epoch_ = -1;
  bool owns_checkpoint_ = false;  // this training wrote or loaded it
  bool resumed_ = false;
  std::optional<Index> schedule_before_;
};

}  // namespace crate
