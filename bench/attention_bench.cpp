// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <utility>

#include "crate/crate.hpp"
#include "measurement.hpp"
#include "operator_arguments.hpp"
#include "plain_operators.hpp"

// Subspace attention, as an operator and as layers compute it, each on one thread, and compared with its plain formula
// before it is timed.

namespace crate::bench {
namespace {

template <Scalar S>
void ssa(benchmark::State& state) {
  const Arguments<S> x(state);
  const Matrix<S> basis = x.subspaces.basis(0);
  const AttentionOptions options{.logit_scale = 0.125};
  const auto run = [&] { return crate::ssa(x.tokens, basis, options); };
  const double multiply_adds = x.dense(head_dim) + x.pairs() / static_cast<double>(x.subspaces.heads());
  if (agrees<S>(state, run(), plain_attention(x.u(0).transpose() * x.z(), 0.125, false, x.count)))
    time_work<S>(state, x.work(multiply_adds), run);
}

template <Scalar S>
void time_mssa(benchmark::State& state, const Arguments<S>& x, const AttentionOptions& options) {
  const auto run = [&] { return crate::mssa(x.tokens, x.subspaces, options); };
  if (agrees<S>(state, run(), plain_mssa(x, x.u(), options)))
    time_work<S>(state, x.work(2 * x.dense(x.dim) + x.pairs()), run);
}

template <Scalar S>
void mssa_tied(benchmark::State& state) {
  time_mssa(state, Arguments<S>(state), {.logit_scale = 0.125});
}

/// Masked pairs are counted as if they were compared.
template <Scalar S>
void mssa_tied_causal(benchmark::State& state) {
  time_mssa(state, Arguments<S>(state), {.mask = AttentionMask::causal, .logit_scale = 0.125});
}

/// With a quarter of the tokens padding.
template <Scalar S>
void mssa_tied_padded(benchmark::State& state) {
  const Arguments<S> x(state);
  time_mssa(state, x, {.visible = x.count - x.count / 4, .logit_scale = 0.125});
}

template <Scalar S>
void mssa_free(benchmark::State& state) {
  const Arguments<S> x(state);
  const Matrix<S> weight = x.subspaces.bases().transpose();
  const Vector<S> bias = x.tokens.col(0);
  const AttentionOptions options{.logit_scale = 0.125};
  const auto run = [&] { return crate::mssa(x.tokens, x.subspaces, weight, bias, options); };
  Matrix<double> plain = plain_mssa(x, x.u().transpose(), options);
  plain.colwise() += bias.template cast<double>();
  if (agrees<S>(state, run(), plain)) time_work<S>(state, x.work(2 * x.dense(x.dim) + x.pairs()), run);
}

template <Scalar S>
void mssa_tied_adjoint(benchmark::State& state) {
  const Arguments<S> x(state);
  const AttentionOptions options{.logit_scale = 0.125};
  const auto run = [&] { return crate::mssa_adjoint(x.tokens, x.subspaces, x.cotangent(), options); };
  const Subspaces<Matrix<double>> u(x.u(), x.subspaces.heads());
  const auto plain = crate::mssa_adjoint(x.z(), u, wide(x.cotangent()), options);
  const auto found = run();
  if (agrees<S>(state, found.tokens, plain.tokens) && agrees<S>(state, found.bases, plain.bases))
    time_work<S>(state, x.work(3 * (2 * x.dense(x.dim) + x.pairs())), run);
}

// --- attention of projected tokens: as users call it, and as layers do -----------------------------------------------

/// H = U^T Z and a cotangent.
template <Scalar S>
struct Projected {
  Index heads;
  TokenLayout layout;
  AttentionOptions options{.logit_scale = 0.125};
  Matrix<S> h, cotangent, out, softmax, h_cotangent;
  Threads threads;
  Workspace workspace;

  explicit Projected(const Arguments<S>& x)
      : heads(x.subspaces.heads()),
        layout(TokenLayout::single(x.count)),
        h(x.subspaces.bases().transpose() * x.tokens),
        cotangent(h.rowwise().reverse()),
        out(x.dim, x.count),
        softmax(x.count, 2 * heads),
        h_cotangent(x.dim, x.count) {}

  void attend() {
    detail::attend_heads_recorded<S>(instruction_set(), attention(), {}, detail::softmax_terms(softmax),
                                     detail::columns_of(out), workspace, threads);
  }
  void attend_adjoint() {
    detail::attend_heads_adjoint<S>(instruction_set(), attention(), {}, detail::softmax_terms(std::as_const(softmax)),
                                    detail::columns_of(std::as_const(out)),
                                    detail::columns_of(std::as_const(cotangent)), detail::columns_of(h_cotangent),
                                    workspace, threads);
  }
  [[nodiscard]] detail::AttentionHeads<S> attention() const {
    return detail::attention_heads(detail::columns_of(h), heads, head_dim, layout, options);
  }
};

template <Scalar S>
void subspace_attention(benchmark::State& state) {
  const Arguments<S> x(state);
  const Projected<S> projected(x);
  const auto run = [&] { return crate::subspace_attention(projected.h, projected.heads, projected.options); };
  const auto plain = plain_mssa(x, Matrix<double>::Identity(x.dim, x.dim), projected.options);
  if (agrees<S>(state, run(), plain)) time_work<S>(state, x.work(x.pairs()), run);
}

template <Scalar S>
void attend_heads(benchmark::State& state) {
  const Arguments<S> x(state);
  Projected<S> projected(x);
  const auto run = [&] {
    projected.attend();
    return projected.out.data();
  };
  run();
  const auto plain = plain_mssa(x, Matrix<double>::Identity(x.dim, x.dim), projected.options);
  if (agrees<S>(state, projected.out, plain)) time_work<S>(state, x.work(x.pairs()), run);
}

/// Products count as often as they must be computed, 3.5 times for each pair of tokens: the logits are symmetric.
template <Scalar S>
double adjoint_multiply_adds(const Arguments<S>& x) {
  return 1.75 * x.pairs();
}

template <Scalar S>
void subspace_attention_adjoint(benchmark::State& state) {
  const Arguments<S> x(state);
  const Projected<S> projected(x);
  const Matrix<S>&h = projected.h, &c = projected.cotangent;
  const auto run = [&] { return crate::subspace_attention_adjoint(h, projected.heads, c, projected.options); };
  const auto plain = crate::subspace_attention_adjoint(wide(h), projected.heads, wide(c), projected.options);
  if (agrees<S>(state, run(), plain)) time_work<S>(state, x.work(adjoint_multiply_adds(x)), run);
}

template <Scalar S>
void attend_heads_adjoint(benchmark::State& state) {
  const Arguments<S> x(state);
  Projected<S> projected(x);
  projected.attend();
  const auto run = [&] {
    projected.attend_adjoint();
    return projected.h_cotangent.data();
  };
  run();
  const auto plain = crate::subspace_attention_adjoint(wide(projected.h), projected.heads, wide(projected.cotangent),
                                                       projected.options);
  if (agrees<S>(state, projected.h_cotangent, plain)) time_work<S>(state, x.work(adjoint_multiply_adds(x)), run);
}

/// The tokens of an image in patches of 4 and of 16, and many; 12 heads.
void lengths(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"dim", "tokens"})
      ->ArgsProduct({{768}, {65, 197, 1024}})
      ->MinTime(0.2)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

BENCHMARK(mssa_tied<float>)->Apply(growth<4096>);
BENCHMARK(ssa<float>)->Apply(grid);
BENCHMARK(mssa_tied<double>)->Apply(grid);
BENCHMARK(mssa_tied_causal<float>)->Apply(grid);
BENCHMARK(mssa_tied_padded<float>)->Apply(grid);
BENCHMARK(mssa_free<float>)->Apply(grid);
BENCHMARK(mssa_tied_adjoint<float>)->Apply(grid);
BENCHMARK(subspace_attention<float>)->Apply(lengths);
BENCHMARK(attend_heads<float>)->Apply(lengths);
BENCHMARK(attend_heads<double>)->Apply(lengths);
BENCHMARK(subspace_attention_adjoint<float>)->Apply(lengths);
BENCHMARK(attend_heads_adjoint<float>)->Apply(lengths);
BENCHMARK(attend_heads_adjoint<double>)->Apply(lengths);

}  // namespace
}  // namespace crate::bench
