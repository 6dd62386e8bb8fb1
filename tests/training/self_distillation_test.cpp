// SPDX-License-Identifier: MIT
// Self-distillation: the layers of its head, its gradient in two phases, and its training.

#include <algorithm>
#include <array>
#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <future>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/testing/backward.hpp"
#include "crate/training/trainer.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

namespace {

using Student = SelfDistilled<CrateClassifier<double>>;
using SelfDistillation = SelfDistillationObjective<Student>;
using StudentState = TrainingState<Student, AnyOptimiser<Student>, SelfDistillation>;

Student draw_student(Index outputs, Index width = 8) {
  CrateClassifier<double> encoder(
      {.image = {.height = 8, .width = width, .channels = 1, .patch_height = 2, .patch_width = 2},
       .classes = 3,
       .depth = 2,
       .pooling = Pooling::mean,
       .block = {.dim = 12, .heads = 3}});
  Student student(std::move(encoder), {.hidden = 7, .bottleneck = 5, .outputs = outputs});
  initialise(student, 1);
  Random random(2);  // larger than at the start of a training, so that views differ
  for (auto* const map : {&student.projection.first, &student.projection.second, &student.projection.bottleneck})
    random.fill_normal(map->weight);
  random.fill_normal(student.encoder.tokens.positions);
  return student;
}

SelfDistillation objective_of(const SelfDistillationRule& rule, Index outputs) {
  return SelfDistillation(rule, outputs > 0 ? outputs : 5, 2, {.height = 4, .width = 4});
}

ImageDataSet draw_data(Index width = 8) {
  ImageDataSet data{.height = 8, .width = width, .channels = 1};
  Random random(4);
  data.pixels.resize(8 * width, 12);
  for (Index i = 0; i < data.pixels.size(); ++i) data.pixels(i) = static_cast<std::uint8_t>(random.below(256));
  for (Index i = 0; i < data.size(); ++i) data.labels.push_back(i % 3);
  data.class_names = {"a", "b", "c"};
  return data;
}

ViewSource<double> views_of(const ImageDataSet& data) {
  std::vector<ImageAugmentation> views = multi_crop_views(small_grey_multi_crop(8, 4, 2));
  for (std::size_t global = 0; global < 2; ++global) views[global].crop->width = data.width;
  return {data, {{0.5}, {0.3}}, views};
}

struct RuleOfTest {
  SelfDistillationRule rule;
  Index outputs;
};
const std::vector<RuleOfTest> rules{
    {CodingRateDistillationOptions{.squared_epsilon = 0.5}, 0},
    {DinoTrainingOptions{.first_teacher_temperature = 0.07, .temperature_steps = 5}, 9}};

constexpr std::uint64_t seed = 3;
const std::vector<Index> batch{5, 2, 11, 0, 7};

/// A training of 2 epochs of 3 steps with everything that self-distillation schedules.
struct Training {
  ImageDataSet data = draw_data();
  ViewSource<double> source = views_of(data);
  StudentState state;
  Threads threads;
  Trainer<StudentState, ViewSource<double>> trainer;

  Training(const RuleOfTest& r, int thread_count, const std::string& checkpoint)
      : state{.model = draw_student(r.outputs),
              .optimiser = AnyOptimiser<Student>(draw_student(r.outputs), AdamWOptions{.rate = 1e-2}),
              .objective = objective_of(r.rule, r.outputs),
              .average = MovingAverage<Student>(draw_student(r.outputs), 0.9)},
        threads(thread_count),
        trainer(state, source, source,
                {.epochs = 2,
                 .batch = 4,
                 .cut = {.micro_batch = 1, .lanes = 3},
                 .largest_norm = 0.05,
                 .clip_each = true,
                 .decay_factor = CosineRamp{1, 10},
                 .average_decay = CosineRamp{0.9, 1},
                 .frozen_part = "projection.outputs",
                 .frozen_epochs = r.outputs > 0 ? 1 : 0,
                 .seed = seed,
                 .checkpoint = checkpoint},
                threads) {
    set_drop_path(state.model.encoder.encoder, 0.3);
  }
};

Matrix<double> all_numbers(const StudentState& state) {
  Matrix<double> numbers(0, 1);
  for (const ConstParameter& parameter : list_parameters(state)) {
    const auto of = parameter.numbers<double>();
    const Index before = numbers.rows();
    numbers.conservativeResize(before + parameter.size(), 1);
    for (Index i = 0; i < parameter.size(); ++i) numbers(before + i) = of[static_cast<std::size_t>(i)];
  }
  return numbers;
}

/// What two threads need to be ranks of each other. One that fails drops out, so that the other does not wait for it.
struct TwoRanks {
  std::barrier<> meeting{2};
  std::array<std::string, 2> at, given;
  std::string passed_on;
};

class RankOfTwo final : public Communicator {
 public:
  RankOfTwo(int rank, TwoRanks& both) : rank_(rank), both_(both) {}
  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return 2; }
  [[nodiscard]] std::string name_of(int rank) const override { return concatenate("thread ", rank); }
  [[nodiscard]] std::vector<std::string> gather(std::string_view what, std::string_view own) override {
    both_.given[static_cast<std::size_t>(rank_)] = own;
    meet_at(what);
    std::vector<std::string> all(both_.given.begin(), both_.given.end());
    both_.meeting.arrive_and_wait();
    return all;
  }
  void add_in_order(std::span<const std::span<std::byte>> pieces, const Addend& addend) override {
    meet_at("a sum");
    for (std::size_t piece = 0; piece < pieces.size(); ++piece) {
      while (!addend.is_complete(piece)) addend.pause();
      const std::span<std::byte> bytes = pieces[piece];
      for (int adding = 0; adding < 2; ++adding) {
        if (rank_ == adding) {
          if (rank_ > 0) std::memcpy(bytes.data(), both_.passed_on.data(), bytes.size());
          addend.add(piece);
          both_.passed_on.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        }
        both_.meeting.arrive_and_wait();
      }
      std::memcpy(bytes.data(), both_.passed_on.data(), bytes.size());
      both_.meeting.arrive_and_wait();
    }
  }
  void ask_to_wait() override {}

 private:
  /// Throws Error on both ranks unless they are at the same.
  void meet_at(std::string_view what) {
    both_.at[static_cast<std::size_t>(rank_)] = what;
    both_.meeting.arrive_and_wait();
    const auto [first, second] = both_.at;
    both_.meeting.arrive_and_wait();
    if (first != second) throw Error(concatenate("ranks are at '", first, "' and '", second, "'"));
  }

  int rank_;
  TwoRanks& both_;
};

/// What compute(communicator) returns on each of two ranks. Throws what it throws on one of them.
template <class Compute>
auto on_two_ranks(const Compute& compute) {
  TwoRanks both;
  const auto compute_at = [&](int rank) {
    try {
      RankOfTwo ranks(rank, both);
      return compute(ranks);
    } catch (...) {
      both.at[static_cast<std::size_t>(rank)] = "an error";
      both.meeting.arrive_and_drop();
      throw;
    }
  };
  auto second = std::async(std::launch::async, compute_at, 1);  // whose destructor waits
  auto first = compute_at(0);
  return std::array{std::move(first), second.get()};
}

}  // namespace

TEST_CASE("the layers of the projection head have their adjoints") {
  Random random(7);  // not 1, with which cotangents are drawn: one along the tokens has no gradient
  const TokenSets<double> sets(draw_normal(random, 5, 4));
  CHECK(testing::check_backward(UnitLength<double>{5}, sets));
  WeightNormalisedLinear<double> map(5, 7);
  initialise(map, 1);
  CHECK(testing::check_backward(map, sets));
  ProjectionHead<double> head(5, {.hidden = 6, .bottleneck = 4, .outputs = 3});
  initialise(head, 2);
  CHECK(testing::check_backward(head, sets));
  const Matrix<double> outputs = head.forward(sets.tokens);
  CHECK(outputs.cwiseAbs().maxCoeff() < 1);  // directions against directions
}

TEST_CASE("drop-path leaves out branches of whole sets, and its adjoint the same ones") {
  Random random(1);
  const TokenSets<double> sets(draw_normal(random, 6, 24), TokenLayout::equal(8, 3));
  TransformerBlock<double> block({.dim = 6, .heads = 2});
  initialise(block, 1);
  const Matrix<double> whole = forward(block, sets).tokens;
  block.attend.drop_path = block.transform.drop_path = 0.5;
  CHECK(forward(block, sets).tokens == whole);  // recorded passes alone drop
  Run<double> run;
  run.dropout = {.seed = 1, .step = 2, .first_set = 3};
  Recording<TransformerBlock<double>> recording;
  const Matrix<double> dropped = forward(block, sets, recording, run).tokens;
  Index kept = 0;
  for (Index s = 0; s < 8; ++s) kept += dropped.middleCols(3 * s, 3) == sets.tokens.middleCols(3 * s, 3) ? 1 : 0;
  CHECK(kept > 0);  // of which both branches were left out
  CHECK(kept < 8);
  CHECK(testing::check_backward(block, sets, {.step = 1e-5, .tolerance = 1e-7}, run));
}

TEST_CASE("the two phases give the gradient of the loss of the whole batch, through views of two sizes") {
  const StepPlace place{.seed = seed, .epoch = 1, .step = 2};
  for (const auto& [r, width] : {std::pair{rules[0], Index{8}}, {rules[1], 8}, {rules[0], 12}}) {
    INFO("outputs " << r.outputs << ", width " << width);
    const ImageDataSet data = draw_data(width);
    const ViewSource<double> source = views_of(data);
    const Student student = draw_student(r.outputs, width), teacher = student;
    const SelfDistillation objective = objective_of(r.rule, r.outputs);
    Threads alone;
    JointGradient<Student, SelfDistillation> joint(student, objective, {.micro_batch = 2, .lanes = 2}, alone);
    CHECK(joint.compute(student, teacher, source, batch, place).loss.count == 5);
    const Student gradient = joint.gradient();
    const double norm = gradient_norm(gradient, alone), step = 1e-6;
    CHECK(norm > 1e-3);
    const auto loss_at = [&](double along) {
      Student moved = student;
      for_each_parameter([&](std::string_view, ParameterKind, auto& p, const auto& g) { p += along / norm * g; }, moved,
                         gradient);
      return joint.compute(moved, teacher, source, batch, place).loss.mean();
    };
    CHECK(relative_error((loss_at(step) - loss_at(-step)) / (2 * step), norm) < 1e-5);
    CHECK(gradient.encoder.tokens.positions.norm() > 0);

    JointGradient<Student, SelfDistillation> whole(student, objective, {.micro_batch = 5, .lanes = 1}, alone);
    (void)whole.compute(student, teacher, source, batch, place);
    for_each_parameter(
        [&](std::string_view, ParameterKind, const auto& a, const auto& b) { CHECK((a - b).norm() < 1e-12 * norm); },
        gradient, std::as_const(whole).gradient());
  }
}

TEST_CASE("the gradient that two ranks add while the last view goes back has the bits of one process") {
  const StepPlace place{.seed = seed, .epoch = 1, .step = 2};
  // Images of 8 x 2 have as many patches as views of 4 x 4, elsewhere.
  for (const auto& [r, width] : {std::pair{rules[0], Index{8}}, {rules[1], 8}, {rules[0], 2}}) {
    INFO("outputs " << r.outputs << ", width " << width);
    const ImageDataSet data = draw_data(width);
    const ViewSource<double> source = views_of(data);
    const Student student = draw_student(r.outputs, width);
    const SelfDistillation objective = objective_of(r.rule, r.outputs);
    const auto gradient_at = [&](Communicator& ranks) {
      Threads threads(2);
      JointGradient<Student, SelfDistillation> joint(student, objective, {.micro_batch = 1, .lanes = 3}, threads,
                                                     ranks);
      (void)joint.compute(student, student, source, batch, place);
      return joint.gradient();
    };
    const Student expected = gradient_at(single_process());
    for (const Student& gradient : on_two_ranks(gradient_at))
      for_each_parameter([](std::string_view, ParameterKind, const auto& a, const auto& b) { CHECK(a == b); }, expected,
                         gradient);
  }
}

TEST_CASE("a backward pass of self-distillation tells of all that it adds to, and that is joined once") {
  using Encoder = CrateClassifier<double>;
  constexpr auto head = MemberOf{&Student::encoder, &Encoder::head};
  constexpr auto norm = MemberOf{&Student::encoder, MemberOf{&Encoder::head, &ClassifierHead<double>::norm}};
  constexpr auto linear = MemberOf{&Student::encoder, MemberOf{&Encoder::head, &ClassifierHead<double>::linear}};
  STATIC_REQUIRE(detail::are_different_members(norm, linear));
  STATIC_REQUIRE(detail::are_different_members(&Student::projection, head));
  STATIC_REQUIRE(!detail::are_different_members(norm, head));  // one is part of the other
  STATIC_REQUIRE(!detail::are_different_members(head, &Student::encoder));

  const Student student = draw_student(9), resized_student = resized(student, 4, 4);
  const Matrix<double> images = Matrix<double>::Constant(16, 2, 0.5);
  Recording<Student> recording;
  const Matrix<double> out = forward(resized_student, Images<double>(images), recording).tokens;
  Student sum = zeros_like(student), at_the_end = zeros_like(resized_student);
  Threads alone;
  detail::JoinedGradient<Student> by_resized(resized_student, sum);
  const ConstParameterList expected = detail::list_as_completed(sum);
  std::vector<std::string> told;
  Run<double> run;
  run.on_complete = [&](const ConstParameterList& complete) {
    for (const ConstParameter& parameter : by_resized.join(complete)) told.push_back(parameter.name);
  };
  backward(resized_student, out, recording, by_resized.gradient(), run);
  std::vector<std::string> names;
  for (const ConstParameter& parameter : expected)
    if (parameter.name != "encoder.positions" && !parameter.name.starts_with("encoder.head.linear."))
      names.push_back(parameter.name);
  CHECK(told == names);

  by_resized.join_rest(patch_grid(student));
  backward(resized_student, out, recording, at_the_end);
  resize_gradient(at_the_end, patch_grid(student));
  for_each_parameter([](std::string_view, ParameterKind, const auto& a, const auto& b) { CHECK(a == b); }, at_the_end,
                     sum);
}

TEST_CASE("a step compares with the teacher and the centre from before, and moves both behind") {
  for (const RuleOfTest& r : rules) {
    Training training(r, 1, "");
    StudentState& state = training.state;
    for (Index step = 0; step < 2; ++step) {
      const Student student = state.model, teacher = state.average->average;
      const SelfDistillation objective = state.objective;
      JointGradient<Student, SelfDistillation> joint(student, objective, {.micro_batch = 1, .lanes = 3},
                                                     training.threads);
      const std::vector<Index> order = epoch_order(12, seed, 0);
      const auto expected = joint.compute(student, teacher, training.source,
                                          std::span<const Index>(order).subspan(static_cast<std::size_t>(4 * step), 4),
                                          {.seed = seed, .epoch = 0, .step = step});
      CHECK(training.trainer.step().loss.sum == expected.loss.sum);
      if (r.outputs > 0) CHECK(state.objective.centre == dino_centre(objective.centre, joint.teacher_features(), 0.9));

      const double m = CosineRamp{0.9, 1}.at(step, 6);
      const Matrix<double> moved = m * teacher.projection.first.weight + (1 - m) * state.model.projection.first.weight;
      CHECK(relative_error(state.average->average.projection.first.weight, moved) < rounding<double>);
      CHECK(state.model.projection.first.weight != student.projection.first.weight);
    }
  }
}

TEST_CASE("a part to freeze that the model does not have is refused by name") {
  Training training(rules[1], 1, "");
  using SelfTrainer = Trainer<StudentState, ViewSource<double>>;
  const auto refusal = [&](const TrainerOptions& options) {
    return message_of<OptionError>(
        [&] { SelfTrainer(training.state, training.source, training.source, options, training.threads); });
  };
  CHECK(refusal({.batch = 4, .frozen_part = "projection.out", .frozen_epochs = 1}) ==
        "training: expected a part of the model that is frozen, found 'projection.out'");
  CHECK(refusal({.batch = 4, .average_decay = CosineRamp{0.5, 1.5}}) ==
        "training: expected decay of the average in [0, 1], found 1.5");
}

TEST_CASE("an epoch reports nothing of what was not measured") {
  EpochReport<SelfDistillationMeasures> report;
  report.training.loss = {.sum = 2, .count = 1};
  const std::vector<std::pair<std::string, double>> only{{"training_loss", 2}};
  CHECK(report.numbers() == only);
}

TEST_CASE("steps of self-distillation have the same bits on any number of threads") {
  for (const RuleOfTest& r : rules) {
    Training one(r, 1, ""), three(r, 3, "");
    for (int step = 0; step < 4; ++step) {
      const auto a = one.trainer.step(), b = three.trainer.step();
      CHECK(a.loss.sum == b.loss.sum);
      CHECK(a.spreads == b.spreads);
    }
    CHECK(all_numbers(one.state) == all_numbers(three.state));
  }
}

TEST_CASE(
    "self-distillation goes on from its checkpoint with the same bits, and the teacher is read from it as weights") {
  const std::string path = "self_distillation_test.safetensors";
  for (const RuleOfTest& r : rules) {
    std::remove(path.c_str());
    Training whole(r, 2, "");
    for (int step = 0; step < 6; ++step) (void)whole.trainer.step();
    {
      Training first(r, 1, path);
      for (int step = 0; step < 4; ++step) (void)first.trainer.step();
      save_checkpoint(path, first.state, first.trainer.recipe());
    }
    Training second(r, 2, path);
    REQUIRE(second.trainer.resume());
    CHECK(second.state.step == 4);
    for (int step = 4; step < 6; ++step) (void)second.trainer.step();
    CHECK(all_numbers(second.state) == all_numbers(whole.state));

    save_checkpoint(path, second.state, second.trainer.recipe());
    const auto teacher = load_classifier<double>(path);
    CHECK(teacher.encoder.layers[1].sparsify.layer.dictionary ==
          second.state.average->average.encoder.encoder.layers[1].sparsify.layer.dictionary);
    std::remove(path.c_str());
  }
}

TEST_CASE("the last layer of DINO is frozen in the first epoch, and moves in the second") {
  Training training(rules[1], 1, "");
  const auto outputs = [&] { return Matrix<double>(training.state.model.projection.outputs->directions); };
  const Matrix<double> start = outputs();
  for (int step = 0; step < 3; ++step) (void)training.trainer.step();
  CHECK(outputs() == start);
  (void)training.trainer.step();
  CHECK(outputs() != start);
}

TEST_CASE("a collapse is named with what mends it, of either objective and either kind") {
  const auto advice = [](double spread, double entropy, Index told) {
    return why_collapsed({.spreads = 10 * spread, .images = 10, .entropies = entropy, .entropy_images = told});
  };
  CHECK(!advice(0.5, 0, 0));
  CHECK(!why_collapsed({}));
  const auto names = [](const std::optional<std::string>& text, const std::string& cure) {
    return text && text->find(cure) != std::string::npos;
  };
  CHECK(names(advice(0.01, 0, 0), "a smaller squared epsilon"));
  CHECK(names(advice(std::nan(""), 0, 0), "no finite spread"));
  CHECK(names(advice(0.01, 0.9, 1), "every output is used alike"));
  CHECK(names(advice(0.01, 0.1, 1), "a few outputs win everywhere; centring"));
}

TEST_CASE("each parameter is clipped by its own norm") {
  Student gradient = draw_student(0);
  Threads alone;
  const Matrix<double> before = gradient.projection.first.weight;
  const Matrix<double> small = gradient.projection.first.bias = Vector<double>::Constant(7, 0.01);
  clip_each_parameter(gradient, 0.5, alone);
  CHECK(relative_error(gradient.projection.first.weight, before * (0.5 / (before.norm() + 1e-6))) < rounding<double>);
  CHECK(gradient.projection.first.bias == small);
}
