// SPDX-License-Identifier: MIT
// one_rank RANK WHAT: ranks compute gradients of five steps and measure. At RANK one thing is different: in the third
// step it "draws" or "goes back" with an error, or it "measures" with one; or in the third step it "waits" in the
// middle of backward passes, or "starts late". Rank 0 prints a number by which gradients are told apart; after an
// error it says that it keeps what it has, and ends all.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/launched_process.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/recording.hpp"
#include "crate/training/batch_gradient.hpp"
#include "crate/training/detail/rank_agreement.hpp"
#include "crate/training/measures.hpp"
#include "crate/training/mpi.hpp"

namespace {

using namespace crate;

constexpr Index width = 130;  // each link has more numbers than are sent at a time

struct Model : Chain<Model, float> {
  Linear<float> first, second, third;

  Model() : first(width, width), second(width, width), third(width, width) {}
  static constexpr auto parts() {
    return std::tuple{part("first", &Model::first), part("second", &Model::second), part("third", &Model::third)};
  }
};

/// What happens at this rank, and where.
struct Event {
  std::string_view what = {};
  Index step = 0;

  void at(std::string_view place, Index now) const {
    if (what != place || step != now) return;
    if (place == "waits" || place == "starts late")
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    else
      throw Error("this rank alone " + std::string(place) + " no more");
  }
};

struct Source {
  using Examples = std::vector<Index>;
  Event event;

  [[nodiscard]] static Index size() { return 24; }
  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t, Index epoch) const {
    event.at("starts late", epoch);
    event.at("draws", epoch);
    return {indices.begin(), indices.end()};
  }
  [[nodiscard]] Examples take(std::span<const Index> indices) const {
    event.at("measures", event.step);
    return {indices.begin(), indices.end()};
  }
};

/// |f(Z)|^2 / 2 of a token that depends on the example.
struct SquaredOutput {
  using Memory = Recording<Model>;
  using Measures = LossMeasures;
  using OnceBackward = SquaredOutput;
  Event event;

  LossMeasures accumulate(const Model& model, const Source::Examples& examples, double weight, Model& gradient,
                          Memory& recording, Run<float> run) const {
    if (const GradientObserver told = run.on_complete)
      run.on_complete = [this, told, step = static_cast<Index>(run.dropout.step)](const ConstParameterList& complete) {
        told(complete);
        event.at("waits", step);
        event.at("goes back", step);
      };
    TokenSets<float> tokens(Matrix<float>(width, std::ssize(examples)));
    for (Index i = 0; i < std::ssize(examples); ++i)
      tokens.tokens.col(i).setLinSpaced(-1, static_cast<float>(1 + examples[static_cast<std::size_t>(i)]));
    const Matrix<float> out = forward(model, tokens, recording, run).tokens;
    static_cast<void>(backward(model, static_cast<float>(weight) * out, recording, gradient, run));
    return {.loss = {.sum = out.squaredNorm() / 2, .count = std::ssize(examples)}};
  }
  static LossMeasures measure(const Model&, const Source::Examples&, const Run<float>&) { return {}; }
};

static_assert(std::is_move_constructible_v<BatchGradient<Model, SquaredOutput>>);

int train(Communicator& ranks, const Event& event) {
  Threads threads;
  Model model;
  Index next = 0;
  for (Linear<float>* const link : {&model.first, &model.second, &model.third})
    link->weight = Matrix<float>::NullaryExpr(
        width, width, [&] { return static_cast<float>((next = (next * 1103 + 12345) % 2003)) / 2003 / width; });
  BatchGradient<Model, SquaredOutput> gradient(model, {event}, {.micro_batch = 2, .lanes = 4}, threads, ranks);
  std::vector<Index> batch(24);
  std::iota(batch.begin(), batch.end(), 0);
  std::uint64_t found = 0;
  for (Index step = 1; step <= 5; ++step) {
    gradient.compute(model, Source{event}, batch, {.seed = 0, .epoch = step, .step = step});
    found = 31 * found + detail::fingerprint_of(list_parameters(std::as_const(gradient.gradient())));
  }
  static_cast<void>(gradient.measure(model, Source{event}));
  if (ranks.is_first()) std::printf("gradients %llu\n", static_cast<unsigned long long>(found));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  if (!is_launched()) return train(single_process(), {});
  Mpi ranks;
  try {
    return train(ranks, std::to_string(ranks.rank()) == argv[1] ? Event{argv[2], 3} : Event{});
  } catch (const Error& error) {
    if (ranks.is_first()) {
      ranks.ask_to_wait();
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      std::printf("what rank 0 has is kept\n");
    }
    ranks.end_all(1, error.what());
  }
}
