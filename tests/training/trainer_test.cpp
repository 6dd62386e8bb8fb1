// SPDX-License-Identifier: MIT
// A training gives the same bits on any number of threads, in one go, stopped and continued, or killed and continued.

#include "crate/training/trainer.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "io/temporary_folder.hpp"
#include "training/softmax_regression.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

namespace {

template <class O>
using StateFor = TrainingState<SoftmaxRegression, AdamW<SoftmaxRegression>, O>;
using State = StateFor<SoftmaxObjective>;
using TestTrainer = Trainer<State, ImageSource<float>>;

template <class O = SoftmaxObjective>
StateFor<O> fresh_state() {
  const SoftmaxRegression model(30, 3);
  return {.model = model, .optimiser = AdamW(model, {.rate = 0.05}), .average = MovingAverage(model, 0.9)};
}

/// 70 images in batches of 16: 4 steps an epoch, and some images left over; every random thing is in it.
struct Setting {
  ImageDataSet training_data = banded_images(70, 1), test_data = banded_images(30, 2);
  ImageNormalisation normalisation = measure_normalisation(training_data);
  ImageSource<float> training{training_data, normalisation, {.padding = 1, .flip = true}};
  ImageSource<float> test{test_data, normalisation};
  TrainerOptions options{.epochs = 5,
                         .batch = 16,
                         .cut = {.micro_batch = 3, .lanes = 3},
                         .schedule = {.decay = Decay::cosine, .warm_up = 3, .steps = 20},
                         .largest_norm = 0.5,
                         .seed = 3};

  template <class O>
  [[nodiscard]] auto trainer(StateFor<O>& state, Threads& threads) const {
    return Trainer<StateFor<O>, ImageSource<float>>(state, training, test, options, threads);
  }
};

template <class S>
void check_same(const S& found, const S& expected) {
  CHECK(found.step == expected.step);
  CHECK(found.epoch_sums.loss.sum == expected.epoch_sums.loss.sum);
  for_each_parameter(
      [](std::string_view name, ParameterKind, const auto& a, const auto& b) {
        INFO(name);
        CHECK(a == b);
      },
      found, expected);
}

template <class O = SoftmaxObjective>
StateFor<O> undisturbed(const Setting& setting) {
  auto state = fresh_state<O>();
  Threads alone;
  REQUIRE(setting.trainer(state, alone).run());
  return state;
}

}  // namespace

TEST_CASE("Every epoch goes once through all examples, in an order of its own") {
  std::set<std::vector<Index>> orders;
  for (Index epoch = 0; epoch < 5; ++epoch) {
    std::vector<Index> order = epoch_order(50, 7, epoch);
    CHECK(epoch_order(50, 7, epoch) == order);
    orders.insert(order);
    std::sort(order.begin(), order.end());
    for (Index i = 0; i < 50; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  }
  orders.insert(epoch_order(50, 8, 0));
  CHECK(orders.size() == 6);
}

TEST_CASE("The gradient of a batch is that of its examples together, however it is cut, to the bit on any threads") {
  const Setting setting;
  SoftmaxRegression model(30, 3);
  Random random(4);
  random.fill_normal(model.weight);
  const std::vector<Index> batch = epoch_order(70, 1, 0);
  const LabelledImages<float> all = setting.training.draw(batch, 9, 2);
  SoftmaxRegression expected(30, 3);
  SoftmaxObjective::Memory memory;
  const auto sums = SoftmaxObjective().accumulate(model, all, 1.0 / 70, expected, memory, {});
  for (const BatchCut cut : {BatchCut{100, 1}, BatchCut{7, 3}, BatchCut{1, 4}, BatchCut{16, 8}}) {
    std::vector<SoftmaxRegression> found;
    for (const int count : {1, 2, 4}) {
      Threads threads(count);
      BatchGradient gradient(model, SoftmaxObjective(), cut, threads);
      for (int again = 0; again < 2; ++again) {
        const auto part_sums = gradient.compute(model, setting.training, batch, {.seed = 9, .epoch = 2, .step = 5});
        CHECK(part_sums.loss.count == 70);
        CHECK(part_sums.correct == sums.correct);
        CHECK(relative_error(part_sums.loss.sum, sums.loss.sum) < rounding<float>);
      }
      found.push_back(gradient.gradient());
    }
    CHECK(relative_error(found[0].weight, expected.weight) < rounding<float>);
    CHECK(found[1] == found[0]);
    CHECK(found[2] == found[0]);
  }
}

TEST_CASE("A training learns, and ends with the same bits on any number of threads") {
  const Setting setting;
  const State expected = undisturbed(setting);
  CHECK(expected.step == 20);
  for (const int count : {2, 4}) {
    State state = fresh_state();
    Threads threads(count);
    TestTrainer trainer = setting.trainer(state, threads);
    std::vector<TestTrainer::Report> reports;
    CHECK(trainer.run([&](const TestTrainer::Report& report) { reports.push_back(report); }));
    check_same(state, expected);
    REQUIRE(reports.size() == 5);
    CHECK(reports[4].training.loss.count == 64);
    CHECK(reports[4].training.loss.mean() < 0.9 * reports[0].training.loss.mean());
    CHECK(reports[4].test.loss.count == 30);
    CHECK(reports[4].test.accuracy() > 0.5);
    CHECK(reports[4].test.top_5_accuracy() == 1);
  }
}

TEST_CASE("A training that is stopped after any step and continued ends as if never stopped") {
  const TemporaryFolder folder;
  Setting setting;
  const State expected = undisturbed(setting);
  Threads threads(2);
  for (Index stop = 1; stop < 20; stop += 3) {
    State first = fresh_state();
    TestTrainer before = setting.trainer(first, threads);
    for (Index i = 0; i < stop; ++i) before.step();
    save_checkpoint(folder.file("checkpoint"), first, before.recipe());
    State second = fresh_state();
    Setting continued = setting;
    continued.options.checkpoint = folder.file("checkpoint");
    TestTrainer after = TestTrainer(second, continued.training, continued.test, continued.options, threads);
    REQUIRE(after.resume());
    check_same(second, first);
    REQUIRE(after.run());
    check_same(second, expected);
  }
}

TEST_CASE("Ctrl-C and SIGTERM end a training after the step, with a checkpoint to continue from") {
  const TemporaryFolder folder;
  Setting setting;
  const State expected = undisturbed(setting);
  setting.options.checkpoint = folder.file("checkpoint");
  setting.options.history = folder.file("history");
  Threads alone;
  State state = fresh_state();
  for (const int signal : {SIGINT, SIGTERM}) {
    state = fresh_state();
    TestTrainer trainer = setting.trainer(state, alone);
    trainer.resume();
    const Index before = state.step;
    CHECK_FALSE(trainer.run([&](const TestTrainer::Report&) { std::raise(signal); }));
    CHECK(state.step == before + 4);
  }
  state = fresh_state();
  TestTrainer trainer = setting.trainer(state, alone);
  REQUIRE(trainer.resume());
  CHECK(state.step == 8);
  CHECK(trainer.run());
  check_same(state, expected);
}

namespace {

/// Trains in a child process, a millisecond a step, which is killed after so many; returns whether it finished before.
bool train_and_kill(const Setting& setting, int milliseconds) {
  const pid_t child = fork();
  if (child == 0) {
    State state = fresh_state();
    Threads alone;
    TestTrainer trainer = setting.trainer(state, alone);
    trainer.resume();
    while (state.step < trainer.total_steps()) {
      trainer.step();
      save_checkpoint(setting.options.checkpoint, state, trainer.recipe());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    _exit(0);
  }
  REQUIRE(child > 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  kill(child, SIGKILL);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("A training that is killed at random moments and continued ends as if never killed") {
  const TemporaryFolder folder;
  Setting setting;
  const State expected = undisturbed(setting);
  setting.options.checkpoint = folder.file("checkpoint");
  Random random(5);
  int kills = 0;
  while (!train_and_kill(setting, 5 + kills / 4 + static_cast<int>(random.below(20)))) ++kills;
  CHECK(kills > 0);
  State state = fresh_state();
  Threads alone;
  REQUIRE(setting.trainer(state, alone).resume());
  check_same(state, expected);
}

TEST_CASE("The history has a line for every epoch, and what a killed training wrote too much of goes") {
  const TemporaryFolder folder;
  Setting setting;
  setting.options.history = folder.file("history.jsonl");
  setting.options.history_every = 2;
  setting.options.epochs = 2;
  Threads alone;
  State state = fresh_state();
  REQUIRE(setting.trainer(state, alone).run());
  const auto steps = [&] {
    std::vector<Index> found;
    std::ifstream file(setting.options.history);
    for (std::string line; std::getline(file, line);) found.push_back(nlohmann::json::parse(line)["step"].get<Index>());
    return found;
  };
  CHECK(steps() == std::vector<Index>{2, 4, 4, 6, 8, 8});
  write_content(setting.options.history, content_of(setting.options.history) + "{\"step\": 1");
  (void)HistoryFile(setting.options.history, 6);
  CHECK(steps() == std::vector<Index>{2, 4, 4, 6});
}

TEST_CASE("A checkpoint that does not fit is refused, and the state stays as it was") {
  const TemporaryFolder folder;
  const auto path = folder.file("checkpoint");
  Setting setting;
  Threads alone;
  State state = fresh_state();
  TestTrainer trainer = setting.trainer(state, alone);
  trainer.step();
  save_checkpoint(path, state, trainer.recipe());
  State other = fresh_state();
  const State before = other;
  const auto message = [&](auto& target, const Recipe& recipe) {
    return message_of<FileError>([&] { load_checkpoint(path, target, recipe); });
  };

  Setting reseeded = setting;
  reseeded.options.seed = 4;
  State reseeded_state = fresh_state();
  CHECK_THAT(
      message(other, TestTrainer(reseeded_state, reseeded.training, reseeded.test, reseeded.options, alone).recipe()),
      EndsWith("begun with another recipe: seed: '3' in the checkpoint, '4' now"));

  const SoftmaxRegression larger(31, 3);
  State larger_state{.model = larger, .optimiser = AdamW(larger)};
  const std::string complaints = message(larger_state, {});
  CHECK_THAT(complaints, ContainsSubstring("'model.weight': expected F32 [3, 31], found F32 [3, 30]"));
  CHECK_THAT(complaints, ContainsSubstring("surplus: 'average.weight'"));
  TrainingState<SoftmaxRegression, Sgd<SoftmaxRegression>, SoftmaxObjective> descent{.model = before.model,
                                                                                     .optimiser = Sgd(before.model)};
  CHECK_THAT(message(descent, {}), ContainsSubstring("missing: 'optimiser.velocity.weight' [3, 30]"));

  const std::string whole = content_of(path);
  for (const std::size_t size : {std::size_t{0}, whole.size() / 2, whole.size() - 1}) {
    write_content(path, whole.substr(0, size));
    CHECK_THAT(message(other, trainer.recipe()), ContainsSubstring("checkpoint': "));
  }
  check_same(other, before);
  write_content(path, whole);
  load_checkpoint(path, other, trainer.recipe());
  check_same(other, state);
}

namespace {

/// The checkpoint as it was written before there were checksums, with one text of its metadata changed.
void write_old_checkpoint(const std::filesystem::path& path, const State& state, const Recipe& recipe,
                          const std::string& key = "", const std::string& text = "") {
  save_checkpoint(path, state, recipe);
  const TensorTable file = read_safetensors(path, FileAccess::copy);
  Metadata metadata;
  for (const auto& entry : file.metadata())
    if (!entry.first.starts_with("checkpoint "))
      metadata.emplace_back(entry.first, entry.first == key ? text : entry.second);
  write_safetensors(path, file.tensors(), metadata);
}

}  // namespace

// A negative step was an index: --resume ended in a segmentation fault.
TEST_CASE("Every counter of a checkpoint is bounded, also of old ones, which load") {
  const TemporaryFolder folder;
  Setting setting;
  setting.options.checkpoint = folder.file("checkpoint");
  Threads alone;
  State state = fresh_state();
  TestTrainer trainer = setting.trainer(state, alone);
  for (int i = 0; i < 6; ++i) trainer.step();
  const auto message = [&](const std::string& key, const std::string& text) {
    write_old_checkpoint(setting.options.checkpoint, state, trainer.recipe(), key, text);
    State other = fresh_state();
    TestTrainer resumed = setting.trainer(other, alone);
    std::string found = message_of<FileError>([&] { resumed.resume(); });
    check_same(other, fresh_state());
    return found;
  };
  const std::vector<std::pair<std::string, std::vector<std::string>>> wrong{
      {"step", {"-1", "-9", "5", "7", "21", "9223372036854775807", "-9223372036854775808", "1e3", ""}},
      {"optimiser steps", {"-1", "5", "7", "9223372036854775807"}},
      {"loss", {"nan", "inf", "-inf"}},
      {"examples", {"-1", "33", "9223372036854775807"}},
      {"correct", {"-1", "33", "9223372036854775807"}},
      {"correct in top 5", {"-1", "33"}}};
  for (const auto& [key, texts] : wrong)
    for (const std::string& text : texts) {
      INFO(key << " = " << text);
      CHECK_THAT(message(key, text), ContainsSubstring("metadata '"));
    }
  CHECK_THAT(message("step", "-1"), EndsWith("metadata 'step': expected at least 0, found -1"));
  write_old_checkpoint(setting.options.checkpoint, state, trainer.recipe());
  State other = fresh_state();
  REQUIRE(setting.trainer(other, alone).resume());
  check_same(other, state);
}

// 95 of 300 were taken: there was no checksum.
TEST_CASE("A checkpoint of which any bit is flipped, or that is cut, is refused") {
  const TemporaryFolder folder;
  const auto path = folder.file("checkpoint");
  const SoftmaxRegression model(2, 2);
  State state{.model = model, .optimiser = AdamW(model)};
  save_checkpoint(path, state, {{"seed", "1"}});
  const std::string whole = content_of(path);
  const State before = state;
  const auto is_refused = [&](const std::string& content) {
    write_content(path, content);
    try {
      load_checkpoint(path, state, {});
    } catch (const FileError&) { return true; }
    return false;
  };
  int taken = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << i % 8));
    taken += is_refused(damaged) ? 0 : 1;
    taken += is_refused(whole.substr(0, i)) ? 0 : 1;
  }
  CHECK(taken == 0);
  CHECK(is_refused(whole + '\n'));
  check_same(state, before);
  CHECK_FALSE(is_refused(whole));
}

TEST_CASE("What is not finite is neither read from a checkpoint nor written over a good one") {
  const TemporaryFolder folder;
  Setting setting;
  setting.options.checkpoint = folder.file("checkpoint");
  Threads alone;
  State state = fresh_state();
  TestTrainer trainer = setting.trainer(state, alone);
  REQUIRE(trainer.run());
  const std::string good = content_of(setting.options.checkpoint);
  state.optimiser.second_moment.bias(1) = std::nanf("");
  CHECK_THAT(message_of<Error>([&] { save_checkpoint(setting.options.checkpoint, state, trainer.recipe()); }),
             ContainsSubstring("found nan or infinity in 'optimiser.second_moment.bias' after step 20"));
  CHECK(content_of(setting.options.checkpoint) == good);

  const TensorTable file = read_safetensors(setting.options.checkpoint, FileAccess::copy);
  const std::vector<float> spoilt{0, 1, std::numeric_limits<float>::infinity()};
  std::vector<Tensor> tensors = file.tensors();
  for (Tensor& tensor : tensors)
    if (tensor.name == "model.bias") tensor.bytes = std::as_bytes(std::span(spoilt));
  Metadata old;
  for (const auto& entry : file.metadata())
    if (!entry.first.starts_with("checkpoint ")) old.push_back(entry);
  write_safetensors(folder.file("spoilt"), tensors, old);
  State other = fresh_state();
  CHECK_THAT(message_of<FileError>([&] { load_checkpoint(folder.file("spoilt"), other, trainer.recipe()); }),
             EndsWith("tensor 'model.bias': expected finite numbers, found nan or infinity"));
  check_same(other, fresh_state());
}

TEST_CASE("A training whose parameters are not finite any more ends with an error, the checkpoint as it was") {
  const TemporaryFolder folder;
  Setting setting;
  setting.options.checkpoint = folder.file("checkpoint");
  setting.options.largest_norm = 0;
  Threads alone;
  State state = fresh_state();
  TestTrainer trainer = setting.trainer(state, alone);
  std::string good;
  CHECK_THAT(message_of<Error>([&] {
               trainer.run([&](const TestTrainer::Report&) {
                 good = content_of(setting.options.checkpoint);
                 state.average->average.bias(0) = std::numeric_limits<float>::infinity();
               });
             }),
             ContainsSubstring("expected finite numbers, found nan or infinity in 'average.bias'"));
  CHECK(content_of(setting.options.checkpoint) == good);
}

// --checkpoint of an existing run without --resume overwrote it.
TEST_CASE("A new training does not replace the checkpoint of another, but one in which no step was taken") {
  const TemporaryFolder folder;
  Setting setting;
  setting.options.checkpoint = folder.file("checkpoint");
  Threads alone;
  State state = fresh_state();
  save_checkpoint(setting.options.checkpoint, state, {});
  REQUIRE(setting.trainer(state, alone).run());
  const std::string begun = content_of(setting.options.checkpoint);
  State other = fresh_state();
  CHECK_THAT(message_of<FileError>([&] { setting.trainer(other, alone).run(); }),
             EndsWith("found one; resume it, or give another name"));
  CHECK(other.step == 0);
  CHECK(content_of(setting.options.checkpoint) == begun);
  write_content(setting.options.checkpoint, "notes");
  CHECK_THROWS_AS(setting.trainer(other, alone).run(), FileError);
  CHECK(content_of(setting.options.checkpoint) == "notes");
  setting.options.checkpoint = "";
  CHECK_THAT(message_of<OptionError>([&] { setting.trainer(other, alone).resume(); }),
             EndsWith("training: expected a checkpoint to resume from, found none"));
  setting.options.checkpoint = folder.file("none") / "checkpoint";
  CHECK_THROWS_AS(setting.trainer(other, alone).run(), FileError);
  CHECK(other.step == 0);
}

TEST_CASE(
    "A training goes on for more epochs: of a constant schedule to the same bits, else as one that was begun so") {
  const TemporaryFolder folder;
  Threads alone;
  for (const Decay decay : {Decay::constant, Decay::cosine}) {
    Setting setting;
    setting.options.schedule.decay = decay;
    setting.options.checkpoint = folder.file(decay == Decay::constant ? "constant" : "cosine");
    State longer = fresh_state(), found = fresh_state();
    Setting short_setting = setting, long_setting = setting;
    short_setting.options.epochs = 2;
    short_setting.options.schedule.steps = 8;
    REQUIRE(short_setting.trainer(found, alone).run());
    found = fresh_state();
    TestTrainer resumed = setting.trainer(found, alone);
    REQUIRE(resumed.resume());
    CHECK(resumed.schedule_before() == (decay == Decay::constant ? std::nullopt : std::optional<Index>(8)));
    REQUIRE(resumed.run());
    CHECK(found.step == 20);

    long_setting.options.checkpoint = "";
    TestTrainer undisturbed = long_setting.trainer(longer, alone);
    short_setting.options.checkpoint = "";
    TestTrainer before = short_setting.trainer(longer, alone);
    for (int i = 0; i < 8; ++i) before.step();
    for (int i = 8; i < 20; ++i) undisturbed.step();
    check_same(found, longer);

    State fewer = fresh_state();
    short_setting.options.checkpoint = setting.options.checkpoint;
    CHECK_THAT(
        message_of<FileError>([&] { short_setting.trainer(fewer, alone).resume(); }),
        EndsWith("metadata 'step': the training is further already than the epochs asked for: expected at most 8 "
                 "steps, found 20"));
  }
}

// Any text file was emptied.
TEST_CASE("A history is continued, one of another training added to, and a file that is none stays as it is") {
  const TemporaryFolder folder;
  const auto path = folder.file("history");
  const auto history = [&](const auto& change) {
    change();
    return content_of(path);
  };
  for (const std::string text : {"notes\n", "notes", "{}\n", "{\"step\":-1}\n", "{\"step\":1}\nnotes\n{\"step\":2}\n",
                                 "{\"step\":\"one\"}\n", "[1]\n"}) {
    INFO(text);
    write_content(path, text);
    CHECK_THAT(message_of<FileError>([&] { (void)HistoryFile(path); }),
               ContainsSubstring("expected the history of a training"));
    CHECK_THROWS_AS(HistoryFile(path, 5), FileError);
    CHECK_THROWS_AS(check_history(path), FileError);
    CHECK(content_of(path) == text);
  }
  const auto lines = [](std::initializer_list<int> steps) {
    std::string text;
    for (const int step : steps) text += "{\"step\":" + std::to_string(step) + "}\n";
    return text;
  };
  write_content(path, lines({2, 4, 4, 2, 4}) + R"({"step":6,"lo)");
  CHECK(history([&] { check_history(path); }).size() > lines({2, 4, 4, 2, 4}).size());
  CHECK(history([&] { HistoryFile(path).write({{"step", 2}}); }) == lines({2, 4, 4, 2, 4, 2}));
  write_content(path, lines({2, 4, 4, 2, 4, 6}));
  CHECK(history([&] { (void)HistoryFile(path, 4); }) == lines({2, 4, 4, 2, 4}));
  CHECK(history([&] { (void)HistoryFile(path, 0); }) == lines({2, 4, 4}));
  CHECK(history([&] { (void)HistoryFile(path, 9); }) == lines({2, 4, 4}));
}

// The checkpoint of an epoch was not written if its line of history could not be.
TEST_CASE("A history that cannot be written any more ends a training, but costs no step of it") {
  for (const Index history_every : {Index{0}, Index{3}}) {
    const TemporaryFolder folder;
    Setting setting;
    setting.options.history = folder.file("history");
    setting.options.history_every = history_every;
    setting.options.checkpoint = folder.file("checkpoint");
    Threads alone;
    State state = fresh_state();
    const auto lose_history = [&](const TestTrainer::Report&) {
      std::filesystem::remove(setting.options.history);
      std::filesystem::create_directory(setting.options.history);
    };
    CHECK_THAT(message_of<FileError>([&] { setting.trainer(state, alone).run(lose_history); }),
               EndsWith("history': expected a regular file, found a folder"));
    State saved = fresh_state();
    REQUIRE(setting.trainer(saved, alone).resume());
    CHECK(saved.step == (history_every == 0 ? 8 : 6));
    check_same(saved, state);
  }
}

// It was noticed after the first epoch.
TEST_CASE("A checkpoint that cannot be written any more is noticed before a training goes on from it") {
  const TemporaryFolder folder;
  Setting setting;
  setting.options.checkpoint = folder.file("checkpoint");
  Threads alone;
  State state = fresh_state();
  TestTrainer trainer = setting.trainer(state, alone);
  save_checkpoint(setting.options.checkpoint, state, trainer.recipe());
  REQUIRE(trainer.resume());
  std::filesystem::remove(setting.options.checkpoint);
  std::filesystem::create_directory(setting.options.checkpoint);
  CHECK_THROWS_AS(trainer.run(), FileError);
  CHECK(state.step == 0);
}

// Such a path could not be trained on with a checkpoint, and that was said when all pictures had been read.
TEST_CASE("Notes of a checkpoint may be any bytes, and come back as they were") {
  const TemporaryFolder folder;
  const auto path = folder.file("checkpoint");
  const Metadata notes{
      {"plain", "100%25 \u00e9t\u00e9\n"}, {"Latin-1", "/data/100%/\xE9t\xE9 %E9"}, {"cut", "\xE2\x82"}, {"empty", ""}};
  save_checkpoint(path, fresh_state(), {}, notes);
  const TensorTable checkpoint = read_safetensors(path, FileAccess::copy);
  CHECK(checkpoint_notes(checkpoint) == notes);
  CHECK(*checkpoint.find_metadata("note: plain") == notes[0].second);  // as older versions wrote it

  for (const std::string damaged : {"%", "a%4", "%e9", "%ZZ"}) {
    save_checkpoint(path, fresh_state(), {}, {{"a", "\xFF"}});
    const TensorTable file = read_safetensors(path, FileAccess::copy);
    Metadata metadata = file.metadata();
    metadata.erase(metadata.begin());  // the checksum
    for (auto& [key, text] : metadata)
      if (text == "%FF") text = damaged;
    write_checked_safetensors(path, file.tensors(), metadata);
    CHECK_THAT(message_of<FileError>([&] { static_cast<void>(checkpoint_notes(read_safetensors(path))); }),
               ContainsSubstring("metadata 'percent-encoded note: a': expected '%' and two hexadecimal digits"));
  }
}

namespace {

/// The loss, the sum of the logits, of which nobody but the objective knows, and that of their squares.
struct LogitMeasures {
  LossSum loss = {};
  Eigen::Vector3d logits = Eigen::Vector3d::Zero();
  double squares = 0;

  LogitMeasures& operator+=(const LogitMeasures& other) {
    loss += other.loss;
    logits += other.logits;
    squares += other.squares;
    return *this;
  }
  [[nodiscard]] double mean_square() const { return squares / static_cast<double>(loss.count); }
  static constexpr auto numbers() { return std::tuple{measured_number("square", &LogitMeasures::mean_square)}; }
  static constexpr auto sums() { return std::tuple{measured_sum("squares", &LogitMeasures::squares)}; }
};

/// Cross-entropy of the logits of the model and a teacher together, less a centre. Both follow the model.
struct CentredObjective {
  using Measures = LogitMeasures;
  struct Memory {};

  Vector<double> centre = Vector<double>::Zero(3);
  SoftmaxRegression teacher{30, 3};
  std::vector<Index> steps = {};  ///< that it was told of
  LogitMeasures last = {};
  SoftmaxRegression last_model{30, 3};

  static constexpr auto parts() {
    return std::tuple{part("centre", &CentredObjective::centre), part("teacher", &CentredObjective::teacher)};
  }

  Measures accumulate(const SoftmaxRegression& model, const LabelledImages<float>& examples, double weight,
                      SoftmaxRegression& gradient, Memory&, const Run<float>& run) const {
    const Matrix<float> d_logits = cross_entropy_gradient(centred(model, examples), examples.labels, weight);
    gradient.weight += d_logits * examples.images.transpose();
    gradient.bias += d_logits.rowwise().sum();
    return measure(model, examples, run);
  }

  Measures measure(const SoftmaxRegression& model, const LabelledImages<float>& examples, const Run<float>&) const {
    const Eigen::MatrixXd logits = model.logits(examples.images).cast<double>();
    return {.loss = cross_entropy(centred(model, examples), examples.labels),
            .logits = logits.rowwise().sum(),
            .squares = logits.squaredNorm()};
  }

  void after_step(const SoftmaxRegression& model, const Measures& measures, const StepPlace& place, Threads&) {
    centre = 0.9 * centre + 0.1 / static_cast<double>(measures.loss.count) * measures.logits;
    teacher.weight = 0.9F * teacher.weight + 0.1F * model.weight;
    teacher.bias = 0.9F * teacher.bias + 0.1F * model.bias;
    steps.push_back(place.step);
    last = measures;
    last_model = model;
  }

 private:
  [[nodiscard]] Matrix<float> centred(const SoftmaxRegression& model, const LabelledImages<float>& examples) const {
    return (model.logits(examples.images) + teacher.logits(examples.images)).colwise() - centre.cast<float>();
  }
};

/// The hook of an objective of any model.
struct GenericHook {
  using Measures = LossMeasures;
  void after_step(const auto&, const Measures&, const StepPlace&, Threads&) {}
};
static_assert(HasAfterStep<GenericHook, SoftmaxRegression> && HasAfterStep<CentredObjective, SoftmaxRegression>);
static_assert(!HasAfterStep<SoftmaxObjective, SoftmaxRegression>);

/// Cross-entropy alone.
struct LossObjective {
  using Measures = LossMeasures;
  using Memory = SoftmaxObjective::Memory;

  Measures accumulate(const SoftmaxRegression& model, const LabelledImages<float>& examples, double weight,
                      SoftmaxRegression& gradient, Memory& memory, const Run<float>& run) const {
    return {SoftmaxObjective().accumulate(model, examples, weight, gradient, memory, run).loss};
  }
  Measures measure(const SoftmaxRegression& model, const LabelledImages<float>& examples, const Run<float>& run) const {
    return {SoftmaxObjective().measure(model, examples, run).loss};
  }
};

/// The keys of the last line of the history of a training.
template <class O>
std::vector<std::string> keys_of_history() {
  const TemporaryFolder folder;
  Setting setting;
  setting.options.epochs = 1;
  setting.options.history = folder.file("history");
  Threads alone;
  auto state = fresh_state<O>();
  REQUIRE(setting.trainer(state, alone).run());
  std::vector<std::string> keys;
  const auto line = nlohmann::ordered_json::parse(content_of(setting.options.history));
  for (const auto& [key, value] : line.items()) keys.push_back(key);
  return keys;
}

/// Writes a checkpoint anew, after change(tensors, metadata).
template <class Change>
void rewrite_checkpoint(const std::filesystem::path& path, const Change& change) {
  const TensorTable file = read_safetensors(path, FileAccess::copy);
  std::vector<Tensor> tensors = file.tensors();
  Metadata metadata = file.metadata();
  metadata.erase(metadata.begin());  // the checksum
  change(tensors, metadata);
  write_checked_safetensors(path, tensors, metadata);
}

}  // namespace

// The history of a masked autoencoder said "test_accuracy":0.0.
TEST_CASE("A history tells the numbers that the objective measures, and no others") {
  CHECK(keys_of_history<SoftmaxObjective>() ==
        std::vector<std::string>{"step", "epoch", "training_loss", "training_accuracy", "test_loss", "test_accuracy",
                                 "test_top_5_accuracy", "seconds"});
  CHECK(keys_of_history<LossObjective>() ==
        std::vector<std::string>{"step", "epoch", "training_loss", "test_loss", "seconds"});
  CHECK(keys_of_history<CentredObjective>() == std::vector<std::string>{"step", "epoch", "training_loss",
                                                                        "training_square", "test_loss", "test_square",
                                                                        "seconds"});
}

TEST_CASE("A checkpoint keeps the sums that the objective measures, and one that says more is read") {
  const TemporaryFolder folder;
  const auto path = folder.file("checkpoint");
  Setting setting;
  Threads alone;
  auto state = fresh_state<LossObjective>();
  auto trainer = setting.trainer(state, alone);
  trainer.step();
  save_checkpoint(path, state, trainer.recipe());
  rewrite_checkpoint(path, [](auto&, Metadata& metadata) {  // as that of a masked autoencoder was written
    metadata.emplace_back("correct", "0");
    metadata.emplace_back("correct in top 5", "0");
  });
  auto loaded = fresh_state<LossObjective>();
  load_checkpoint(path, loaded, trainer.recipe());
  check_same(loaded, state);

  save_checkpoint(path, state, trainer.recipe());
  State classification = fresh_state();
  CHECK_THAT(message_of<FileError>([&] { load_checkpoint(path, classification, trainer.recipe()); }),
             EndsWith("expected a checkpoint of a training with 'correct' in its metadata"));
}

TEST_CASE("A training whose objective has a state goes on with the same bits after it was stopped at any step") {
  const TemporaryFolder folder;
  Setting setting;
  Threads threads(2);
  const auto expected = undisturbed<CentredObjective>(setting);
  for (Index stop = 1; stop < 20; stop += 3) {
    auto first = fresh_state<CentredObjective>();
    auto before = setting.trainer(first, threads);
    for (Index i = 0; i < stop; ++i) before.step();
    save_checkpoint(folder.file("checkpoint"), first, before.recipe());
    auto second = fresh_state<CentredObjective>();
    Setting continued = setting;
    continued.options.checkpoint = folder.file("checkpoint");
    auto after = continued.trainer(second, threads);
    REQUIRE(after.resume());
    check_same(second, first);
    CHECK(second.epoch_sums.squares == first.epoch_sums.squares);
    auto without_state = second;
    without_state.objective = {};
    continued.options.checkpoint = "";
    REQUIRE(continued.trainer(without_state, threads).run());
    CHECK_FALSE(without_state.model == expected.model);
    REQUIRE(after.run());
    check_same(second, expected);
    CHECK(second.epoch_sums.squares == expected.epoch_sums.squares);
  }
}

TEST_CASE(
    "A checkpoint that lacks the state or a sum of the objective, or has one that cannot be, is refused by name") {
  const TemporaryFolder folder;
  const auto path = folder.file("checkpoint");
  Setting setting;
  Threads alone;
  auto state = fresh_state<CentredObjective>();
  auto trainer = setting.trainer(state, alone);
  trainer.step();
  const auto message = [&](auto target, const auto& change) {
    save_checkpoint(path, state, trainer.recipe());
    rewrite_checkpoint(path, change);
    const auto before = target;
    std::string found = message_of<FileError>([&] { load_checkpoint(path, target, trainer.recipe()); });
    check_same(target, before);
    return found;
  };
  const auto fresh = fresh_state<CentredObjective>();
  CHECK_THAT(message(fresh,
                     [](auto& tensors, auto&) {
                       std::erase_if(tensors, [](const Tensor& tensor) { return tensor.name == "objective.centre"; });
                     }),
             EndsWith("the checkpoint does not fit the training:\n  missing: 'objective.centre' [3]"));
  CHECK_THAT(message(fresh_state<LossObjective>(), [](auto&, auto&) {}),
             ContainsSubstring("surplus: 'objective.centre'\n  surplus: 'objective.teacher.bias'"));
  CHECK_THAT(message(fresh,
                     [](auto&, Metadata& metadata) {
                       std::erase_if(metadata, [](const auto& entry) { return entry.first == "squares"; });
                     }),
             EndsWith("expected a checkpoint of a training with 'squares' in its metadata"));
  CHECK_THAT(message(fresh,
                     [](auto&, Metadata& metadata) {
                       for (auto& [key, text] : metadata)
                         if (key == "squares") text = "nan";
                     }),
             EndsWith("metadata 'squares': expected a finite number, found nan"));
}

TEST_CASE("An objective is told of every step when it is taken, once, with the measures of its batch") {
  const Setting setting;
  Threads alone;
  auto state = fresh_state<CentredObjective>();
  auto trainer = setting.trainer(state, alone);
  for (Index step = 0; step < 6; ++step) {
    const LogitMeasures sums = trainer.step();
    const CentredObjective& objective = state.objective;
    REQUIRE(std::ssize(objective.steps) == step + 1);
    CHECK(objective.steps.back() == step);
    CHECK(objective.last.loss.count == 16);
    CHECK(objective.last.logits == sums.logits);
    CHECK(objective.last_model == state.model);
    if (step == 0) CHECK(objective.teacher.weight == 0.1F * state.model.weight);
  }
}

TEST_CASE("Two trainings with one history both stand in it") {
  const TemporaryFolder folder;
  Setting setting;
  setting.options.history = folder.file("history");
  setting.options.epochs = 2;
  Threads alone;
  for (int training = 0; training < 2; ++training) {
    State state = fresh_state();
    REQUIRE(setting.trainer(state, alone).run());
  }
  const std::string text = content_of(setting.options.history);
  CHECK(std::count(text.begin(), text.end(), '\n') == 4);
}

TEST_CASE(
    "A hang-up ends a training in order, any number of times, but not one that ignores it, and a lost reader ends "
    "nothing") {
  Setting setting;
  Threads alone;
  const auto finishes = [&](const auto& on_epoch) {
    State state = fresh_state();
    return setting.trainer(state, alone).run([&](const TestTrainer::Report&) { on_epoch(); });
  };
  const auto hang_up_twice = [] {
    std::raise(SIGHUP);
    std::raise(SIGHUP);
  };
  CHECK_FALSE(finishes(hang_up_twice));
  CHECK(finishes([] { std::raise(SIGPIPE); }));
  const auto before = std::signal(SIGHUP, SIG_IGN);
  CHECK(finishes(hang_up_twice));
  CHECK(std::signal(SIGHUP, before) == SIG_IGN);
}

TEST_CASE("A second Ctrl-C ends the program at once, whatever the first signal was") {
  for (const int first : {SIGINT, SIGTERM, SIGHUP}) {
    const pid_t child = fork();
    if (child == 0) {
      const Interruption interruption;
      std::raise(first);
      std::raise(SIGINT);
      _exit(0);
    }
    REQUIRE(child > 0);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGINT));
  }
}

TEST_CASE("A training refuses options out of range, too few examples, and a loss that is not finite") {
  Setting setting;
  Threads alone;
  State state = fresh_state();
  setting.options.batch = 71;
  CHECK(message_of<OptionError>([&] { (void)setting.trainer(state, alone); }) ==
        "training: expected examples >= batch = 71, found 70");
  setting.options.batch = 16;
  setting.options.cut.lanes = 0;
  CHECK(message_of<OptionError>([&] { (void)setting.trainer(state, alone); }) ==
        "option: expected lanes >= 1, found 0");
  setting.options.cut.lanes = 1;
  setting.options.ranks = nullptr;
  CHECK(message_of<OptionError>([&] { (void)setting.trainer(state, alone); }) ==
        "training: expected ranks that train together, found none");
  setting.options.ranks = &single_process();
  TestTrainer trainer = setting.trainer(state, alone);
  trainer.step();
  state.model.bias.setConstant(std::nanf(""));
  CHECK_THAT(message_of<Error>([&] { trainer.step(); }),
             ContainsSubstring("expected a finite loss, found nan at step 2"));
  CHECK(state.step == 1);
}

TEST_CASE("Durations are hours, minutes and seconds") {
  CHECK(duration_text(7) == "0:07");
  CHECK(duration_text(127.9) == "2:07");
  CHECK(duration_text(3723) == "1:02:03");
  CHECK(duration_text(-1) == "0:00");
}
