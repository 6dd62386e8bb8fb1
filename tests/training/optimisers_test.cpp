// SPDX-License-Identifier: MIT
// Optimisers against three steps of PyTorch's on the same numbers, and what they leave alone.

#include <cmath>
#include <limits>
#include <span>
#include <tuple>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/core/part.hpp"
#include "crate/training/adamw.hpp"
#include "crate/training/any_optimiser.hpp"
#include "crate/training/gradient.hpp"
#include "crate/training/lion.hpp"
#include "crate/training/moving_average.hpp"
#include "crate/training/recipe.hpp"
#include "crate/training/schedule.hpp"
#include "crate/training/sgd.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

namespace {

/// A matrix and a vector to train, and two tables that training leaves alone.
struct Affine {
  using Scalar = double;
  RowMajorMatrix<double> weight{{1, -2, 0.5}, {0.25, 3, -1}};
  Vector<double> bias{{0.5, -0.5}};
  Matrix<double> frozen = Matrix<double>::Constant(2, 2, 7), unused = frozen;

  static constexpr auto parts() {
    return std::tuple{part("weight", &Affine::weight), part("bias", &Affine::bias),
                      part("frozen", &Affine::frozen, ParameterKind::frozen),
                      part("unused", &Affine::unused, ParameterKind::unused)};
  }
};

static_assert(Optimiser<Sgd<Affine>> && Optimiser<AdamW<Affine>> && Optimiser<Lion<Affine>>);
static_assert(!Optimiser<Affine>);

Affine gradient_at(int step) {
  Affine gradient;
  gradient.frozen.setConstant(100);
  if (step == 0) {
    gradient.weight << 0.1, -0.2, 0.3, 1, 0, -0.5;
    gradient.bias << 0.2, -1;
  } else if (step == 1) {
    gradient.weight << -0.3, 0.1, 0, 2, -1, 0.25;
    gradient.bias << 0, 3;
  } else {
    gradient.weight << 0.5, 0.5, -0.5, -1, 0.1, 0.2;
    gradient.bias << -2, 0.01;
  }
  return gradient;
}

template <class Rule>
Affine after_three_steps(Rule rule, const StepFactors& factors = {}) {
  Affine model;
  Threads alone;
  for (int step = 0; step < 3; ++step) rule.step(model, gradient_at(step), factors, alone);
  return model;
}

template <class Rule>
void check_three_steps(const Rule& rule, const RowMajorMatrix<double>& weight, const Vector<double>& bias) {
  const Affine model = after_three_steps(rule);
  CHECK(relative_error(model.weight, weight) < rounding<double>);
  CHECK(relative_error(model.bias, bias) < rounding<double>);
  CHECK((model.frozen.array() == 7).all());
  CHECK((model.unused.array() == 7).all());
}

}  // namespace

TEST_CASE("SGD takes PyTorch's steps") {
  check_three_steps(Sgd(Affine(), {.rate = 0.1, .momentum = 0.9, .weight_decay = 0.05}),
                    RowMajorMatrix<double>{{0.952009625, -1.95926925, 0.45530418749999996},
                                           {-0.30508503125, 3.095709625, -0.9048936249999999}},
                    Vector<double>{{0.6322144375, -0.7864324375}});
  check_three_steps(Sgd(Affine(), {.rate = 0.1, .momentum = 0.9, .nesterov = true, .weight_decay = 0.05}),
                    RowMajorMatrix<double>{{0.9119835278750001, -1.97436955575, 0.47342047706249996},
                                           {-0.44713268684375, 3.1305005278749998, -0.896016518875}},
                    Vector<double>{{0.7922972918125001, -0.9507677738125001}});
}

TEST_CASE("AdamW takes PyTorch's steps") {
  check_three_steps(AdamW(Affine(), {.rate = 0.1, .beta2 = 0.99, .epsilon = 1e-3, .weight_decay = 0.2}),
                    RowMajorMatrix<double>{{0.8608456227066915, -1.8104612941637528, 0.33739001894997916},
                                           {0.0029742236852435197, 2.947022246369253, -0.8214263603169265}},
                    Vector<double>{{0.36779098735018007, -0.46137343296182903}});
}

TEST_CASE("Lion takes the published steps") {
  check_three_steps(Lion(Affine(), {.rate = 0.1, .beta2 = 0.8, .weight_decay = 0.2}),
                    RowMajorMatrix<double>{{0.8431519999999999, -1.7883439999999997, 0.376556},
                                           {-0.05874200000000004, 3.021576, -0.647152}},
                    Vector<double>{{0.376556, -0.572556}});
}

TEST_CASE("Vectors need not decay, and nothing else changes") {
  const auto check = [](const auto& everything, const auto& matrices_alone, const auto& nothing) {
    const Affine found = after_three_steps(matrices_alone);
    CHECK(found.weight == after_three_steps(everything).weight);
    CHECK(found.bias == after_three_steps(nothing).bias);
    CHECK(found.bias != after_three_steps(everything).bias);
  };
  const Affine start;
  check(Sgd(start, {.weight_decay = 0.1}), Sgd(start, {.weight_decay = 0.1, .decay_vectors = false}), Sgd(start));
  check(AdamW(start, {.weight_decay = 0.1}), AdamW(start, {.weight_decay = 0.1, .decay_vectors = false}),
        AdamW(start, {.weight_decay = 0}));
  check(Lion(start, {.weight_decay = 0.1}), Lion(start, {.weight_decay = 0.1, .decay_vectors = false}), Lion(start));
}

TEST_CASE("Factors of a step are factors of the rate and of the gradient") {
  const Affine start;
  CHECK(after_three_steps(Sgd(start, {.rate = 0.2}), {.rate = 0.5}).weight ==
        after_three_steps(Sgd(start, {.rate = 0.1})).weight);
  CHECK(relative_error(after_three_steps(Sgd(start, {.rate = 0.2}), {.gradient = 0.5}).weight,
                       after_three_steps(Sgd(start, {.rate = 0.1})).weight) < rounding<double>);
  const AdamW quick(start, {.rate = 0.2, .weight_decay = 0}), slow(start, {.rate = 0.1, .weight_decay = 0});
  CHECK(after_three_steps(quick, {.rate = 0.5}).bias == after_three_steps(slow).bias);
  CHECK(relative_error(after_three_steps(slow, {.gradient = 1e3}).bias, after_three_steps(slow).bias) < 1e-6);
  CHECK(after_three_steps(Lion(start, {.rate = 0.2}), {.rate = 0.5}).bias ==
        after_three_steps(Lion(start, {.rate = 0.1})).bias);
}

namespace {

struct Wide {
  using Scalar = float;
  Matrix<float> weight;
  Vector<float> bias;
  explicit Wide(std::uint64_t seed) : weight(211, 307), bias(20011) {
    Random random(seed);
    random.fill_normal(weight);
    random.fill_normal(bias);
  }
  static constexpr auto parts() { return std::tuple{part("weight", &Wide::weight), part("bias", &Wide::bias)}; }
};

}  // namespace

TEST_CASE("Behind epochs in which a part is frozen, its first step under a constant gradient is as long as the rate") {
  const auto check = [](auto rule) {
    Affine model;
    const Affine start, gradient = gradient_at(0);
    Threads alone;
    for (int step = 0; step < 30; ++step) rule.step(model, gradient, {.frozen_part = "weight"}, alone);
    CHECK(model.weight == start.weight);
    CHECK(model.bias != start.bias);
    rule.step(model, gradient, {.frozen_part = "wei"}, alone);
    for (Index i = 0; i < 6; ++i) {
      const double g = gradient.weight.data()[i], moved = model.weight.data()[i] - start.weight.data()[i];
      CHECK(std::abs(moved + (g > 0 ? 0.01 : g < 0 ? -0.01 : 0)) < 1e-6);
    }
  };
  const Affine start;
  check(AdamW(start, {.rate = 0.01, .weight_decay = 0}));
  check(AnyOptimiser(start, AdamWOptions{.rate = 0.01, .weight_decay = 0}));
  check(Lion(start, {.rate = 0.01}));
  Affine still;
  Threads alone;
  Sgd sgd(start, {.rate = 0.1, .momentum = 0.9});
  sgd.step(still, gradient_at(0), {.frozen_part = "weight"}, alone);
  CHECK(still.weight == start.weight);
}

TEST_CASE("Each parameter is clipped by its own norm, and a norm that is not finite is returned") {
  Threads two(2);
  Wide gradient(3);
  gradient.bias *= 1e-3f;
  const Wide before = gradient;
  const double norm = before.weight.cast<double>().norm();
  CHECK(relative_error(clip_each_parameter(gradient, 5, two), norm) < 1e-12);
  CHECK(relative_error(gradient.weight, (5 / norm * before.weight.cast<double>()).eval().cast<float>()) < 1e-6);
  CHECK(gradient.bias == before.bias);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    Wide spoilt = before;
    spoilt.bias(20000) = bad;
    CHECK(!std::isfinite(clip_each_parameter(spoilt, 5, two)));
    CHECK(spoilt.weight == before.weight);
  }
}

TEST_CASE("Norm and clipping are PyTorch's: frozen parameters do not count") {
  Threads alone;
  const Affine gradient = gradient_at(1);
  const double norm = gradient_norm(gradient, alone);
  CHECK(relative_error(norm, 3.763309713536743) < rounding<double>);
  CHECK(relative_error(2 * clipping_factor(norm, 1.5), 0.7971704247562947) < rounding<double>);
  CHECK(clipping_factor(norm, 4) == 1);
}

TEST_CASE("A moving average follows its model") {
  Threads alone;
  Affine model;
  MovingAverage average(model, 0.75);
  model.bias << 2.5, 1.5;
  average.update(model, alone);
  CHECK(average.average.bias == Vector<double>{{1, 0}});
  CHECK((average.average.frozen.array() == 7).all());
}

namespace {

/// Many parameters of a few numbers, some of many.
struct Ragged {
  using Scalar = float;
  std::vector<Matrix<float>> weights;
  explicit Ragged(std::uint64_t seed) {
    Random random(seed);
    for (Index i = 0; i < 4000; ++i) {
      weights.emplace_back(1 + i % 7, i % 1000 == 0 ? 9001 : 1 + i % 5);
      random.fill_normal(weights.back());
    }
  }
  static constexpr auto parts() { return std::tuple{part("weights", &Ragged::weights)}; }
};

}  // namespace

TEST_CASE("Threads take pieces of about as many numbers each, whatever the sizes of parameters") {
  const Ragged model(1);
  const ConstParameterList list = list_parameters(model);
  const auto pieces = crate::detail::cut_trained(list);
  Index all = 0;
  std::size_t run = 0;
  for (const std::size_t end : pieces.ends) {
    Index numbers = 0;
    for (; run < end; ++run) numbers += pieces.runs[run].size;
    CHECK((numbers >= 16384 || end == pieces.ends.back()));
    CHECK(numbers < 2 * 16384);
    all += numbers;
  }
  CHECK(run == pieces.runs.size());
  CHECK(all == parameter_count(model));
}

TEST_CASE("Gradients of several lanes are added up one after the other") {
  std::vector<Ragged> gradients;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) gradients.emplace_back(seed);
  Threads threads(3);
  Ragged sum = gradients[0];
  add_gradients(sum, std::span<const Ragged>(gradients).subspan(1), threads);
  for (std::size_t i = 0; i < sum.weights.size(); ++i) {
    const Matrix<float> expected =
        ((gradients[0].weights[i] + gradients[1].weights[i]) + gradients[2].weights[i]) + gradients[3].weights[i];
    REQUIRE(sum.weights[i] == expected);
  }
  clear_gradient(sum, threads);
  CHECK(gradient_norm(sum, threads) == 0);
}

TEST_CASE("Any number of threads takes the same steps, to the bit") {
  const Wide start(1), gradient(2);
  const auto check = [&](auto rule) {
    std::vector<Wide> results;
    for (const int count : {1, 2, 3}) {
      Threads threads(count);
      results.push_back(start);
      auto own_rule = rule;
      for (int step = 0; step < 3; ++step)
        own_rule.step(results.back(), gradient, {.gradient = 1 / gradient_norm(gradient, threads)}, threads);
    }
    for (const Wide& result : results) {
      CHECK(result.weight == results[0].weight);
      CHECK(result.bias == results[0].bias);
      CHECK(result.weight != start.weight);
    }
  };
  check(Sgd(start, {.momentum = 0.9}));
  check(AdamW(start));
  check(Lion(start));
}

TEST_CASE("An optimiser that is chosen at run time takes the steps of its rule, and its moments are called alike") {
  static_assert(Optimiser<AnyOptimiser<Affine>>);
  const auto check = [](const auto& rule) {
    using Rule = std::remove_cvref_t<decltype(rule)>;
    const AnyOptimiser any(Affine(), rule.options);
    const Affine found = after_three_steps(any), expected = after_three_steps(rule);
    CHECK(found.weight == expected.weight);
    CHECK(found.bias == expected.bias);
    const ConstParameterList moments = list_parameters(any), wanted = list_parameters(static_cast<const Rule&>(rule));
    check_same_structure(wanted, moments);
    Recipe described, as_rule;
    describe(described, any.options);
    describe(as_rule, rule.options);
    CHECK(described == as_rule);
  };
  const Affine start;
  check(AdamW(start, {.rate = 0.1}));
  check(Lion(start, {.rate = 0.1}));
  check(Sgd(start, {.rate = 0.1, .momentum = 0.9, .nesterov = true}));
  CHECK_THROWS_AS(AnyOptimiser(start, AdamWOptions{.beta1 = 1}), OptionError);
}

TEST_CASE("A schedule warms up in a line and decays to its final factor") {
  const Schedule cosine{.decay = Decay::cosine, .warm_up = 4, .steps = 12, .final_factor = 0.5};
  CHECK(cosine.factor(0) == 0.25);
  CHECK(cosine.factor(3) == 1);
  CHECK(cosine.factor(4) == 1);
  CHECK(relative_error(cosine.factor(8), 0.75) < rounding<double>);
  CHECK(relative_error(cosine.factor(6), 0.5 + 0.25 * (1 + std::sqrt(0.5))) < rounding<double>);
  CHECK(cosine.factor(12) == 0.5);
  CHECK(cosine.factor(100) == 0.5);
  const Schedule linear{.decay = Decay::linear, .steps = 10};
  CHECK(linear.factor(0) == 1);
  CHECK(relative_error(linear.factor(3), 0.7) < rounding<double>);
  CHECK(linear.factor(10) == 0);
  CHECK(Schedule{.warm_up = 2}.factor(0) == 0.5);
  CHECK(Schedule{.warm_up = 2}.factor(1000) == 1);
}

TEST_CASE("Optimisers refuse options out of range and models of another shape") {
  const Affine model;
  CHECK(message_of<OptionError>([&] { AdamW(model, {.beta1 = 1}); }) == "AdamW: expected beta1 in [0, 1), found 1");
  CHECK(message_of<OptionError>([&] { Lion(model, {.weight_decay = -1}); }) ==
        "Lion: expected weight decay >= 0, found -1");
  CHECK(message_of<OptionError>([&] { Sgd(model, {.nesterov = true}); }) ==
        "SGD: expected momentum > 0 for Nesterov's rule, found 0");
  CHECK(message_of<OptionError>([&] { MovingAverage(model, 1.5); }) ==
        "moving average: expected decay in [0, 1), found 1.5");
  // An average of decay 1 never moves: the untrained model was kept.
  CHECK(message_of<OptionError>([&] { MovingAverage(model, 1); }) ==
        "moving average: expected decay in [0, 1), found 1");
  CHECK_NOTHROW(Schedule{.decay = Decay::linear, .warm_up = 3, .steps = 0}.check());  // nothing is trained
  CHECK(message_of<OptionError>([&] { Schedule{.decay = Decay::linear, .warm_up = 3, .steps = 2}.check(); }) ==
        "schedule: expected steps >= warm-up = 3, found 2");
  Affine larger = model, changed = model;
  larger.bias.setZero(3);
  Threads alone;
  AdamW rule(model);
  CHECK(message_of<ShapeError>([&] { rule.step(changed, larger, {}, alone); }) == "bias: expected 2 x 1, found 3 x 1");
  CHECK(rule.steps == 0);
}
