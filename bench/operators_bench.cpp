// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <Eigen/Cholesky>
#include <cmath>

#include "crate/crate.hpp"
#include "measurement.hpp"
#include "operator_arguments.hpp"
#include "plain_operators.hpp"

// Steps of compression, sparse codes over a dictionary d x d or d x 4 d, and norms of columns, each on one thread, and
// compared with its plain formula before it is timed.

namespace crate::bench {
namespace {

// --- compression -----------------------------------------------------------------------------------------------------

/// sum_k (I + d / (n_k epsilon^2) Z diag(pi_k) Z^T)^{-1} Z diag(pi_k) times d / (N epsilon^2).
Matrix<double> plain_partition_gradient(const Matrix<double>& z, const Matrix<double>& partition) {
  Matrix<double> sum = Matrix<double>::Zero(z.rows(), z.cols());
  for (Index k = 0; k < partition.rows(); ++k) {
    const Matrix<double> members = z * partition.row(k).asDiagonal();
    const double factor = static_cast<double>(z.rows()) / (partition.row(k).sum() * epsilon * epsilon);
    sum += (Matrix<double>::Identity(z.rows(), z.rows()) + factor * members * z.transpose()).llt().solve(members);
  }
  return rate_factor(z.rows(), z.cols(), epsilon) * sum;
}

template <Scalar S>
Matrix<double> plain_step(const Arguments<S>& x, const CompressionOptions& options) {
  const double a = rate_factor(head_dim, x.count, epsilon), scale = options.kappa * a;
  if (options.step == CompressionStep::rate_reduction)
    return x.z() + options.kappa * (plain_rate_gradient(x.z()) - plain_subspace_rate_gradient(x));
  if (options.step == CompressionStep::soft_partition) {
    const Subspaces<Matrix<double>> u(x.u(), x.subspaces.heads());
    const Matrix<double> partition = soft_partition(x.z(), u, options.logit_scale);
    return x.z() + options.kappa * (plain_rate_gradient(x.z()) - plain_partition_gradient(x.z(), partition));
  }
  if (options.step == CompressionStep::softmax)
    return (1 - scale) * x.z() + scale * plain_mssa(x, x.u(), {.logit_scale = options.logit_scale});
  return x.z() - options.kappa * sum_of_heads(x, [&](const Matrix<double>& w, Index k) {
                   const Matrix<double> direction = options.step == CompressionStep::exact
                                                        ? plain_rate_gradient(w)
                                                        : Matrix<double>(a * (w - a * w * (w.transpose() * w)));
                   return Matrix<double>(x.u(k) * direction);
                 });
}

/// The soft partition's logits are energies of tokens of length sqrt(d), and scaled by less.
template <CompressionStep step>
constexpr CompressionOptions step_options{.kappa = 0.05,
                                          .epsilon = epsilon,
                                          .step = step,
                                          .logit_scale = step == CompressionStep::soft_partition ? 0.02 : 0.125};

template <Scalar S>
double step_multiply_adds(const Arguments<S>& x, const CompressionOptions& options) {
  return Compression<S>(x.subspaces, options).multiply_adds(TokenLayout::single(x.count));
}

template <Scalar S, CompressionStep step>
void compress(benchmark::State& state) {
  const Arguments<S> x(state);
  constexpr CompressionOptions options = step_options<step>;
  const auto run = [&] { return crate::compress(x.tokens, x.subspaces, options); };
  if (agrees<S>(state, run(), plain_step(x, options))) time_work<S>(state, x.work(step_multiply_adds(x, options)), run);
}

/// Two products for each one of the step, and the step itself, which is computed again.
template <Scalar S, CompressionStep step>
void compress_adjoint(benchmark::State& state) {
  const Arguments<S> x(state);
  constexpr CompressionOptions options = step_options<step>;
  const auto run = [&] { return crate::compress_adjoint(x.tokens, x.subspaces, x.cotangent(), options); };
  const Subspaces<Matrix<double>> u(x.u(), x.subspaces.heads());
  const auto plain = crate::compress_adjoint(x.z(), u, wide(x.cotangent()), options);
  const auto found = run();
  if (agrees<S>(state, found.tokens, plain.tokens, gradient_conditioning) &&
      agrees<S>(state, found.bases, plain.bases, gradient_conditioning))
    time_work<S>(state, x.work(3 * step_multiply_adds(x, options)), run);
}

// --- sparse codes ----------------------------------------------------------------------------------------------------

template <Scalar S, SparsifyRule rule>
void ista(benchmark::State& state) {
  const Arguments<S> x(state);
  const Matrix<S> d = x.subspaces.bases();
  constexpr IstaOptions options{.rule = rule};
  constexpr bool proximal = rule == SparsifyRule::proximal_gradient;
  const auto run = [&] { return crate::ista(x.tokens, d, options); };
  const Matrix<double> plain =
      proximal ? Matrix<double>((x.z() + 0.1 * x.u().transpose() * (x.z() - x.u() * x.z())).array() - 0.01)
               : Matrix<double>((1 + 2.0 / 9) * (x.u().transpose() * x.z()).array() - 0.4 / 9);
  if (agrees<S>(state, run(), plain.cwiseMax(0))) time_work<S>(state, x.work((proximal ? 2 : 1) * x.dense(x.dim)), run);
}

// Adjoints differ where rounding takes an entry across the kink of the ReLU.
constexpr double kink_conditioning = 1e4;

/// Two products for each one of the step, which is computed again.
template <Scalar S>
void ista_adjoint(benchmark::State& state) {
  const Arguments<S> x(state);
  const Matrix<S> d = x.subspaces.bases();
  const auto run = [&] { return crate::ista_adjoint(x.tokens, d, x.cotangent()); };
  const auto plain = crate::ista_adjoint(x.z(), x.u(), wide(x.cotangent()));
  const auto found = run();
  if (agrees<S>(state, found.tokens, plain.tokens, kink_conditioning) &&
      agrees<S>(state, found.dictionary, plain.dictionary, kink_conditioning))
    time_work<S>(state, x.work(6 * x.dense(x.dim)), run);
}

template <Scalar S>
void sparse_code(benchmark::State& state) {
  const Arguments<S> x(state);
  const Matrix<S> d = random_tokens<S>(x.dim, 4 * x.dim) / std::sqrt(static_cast<S>(x.dim));
  const auto run = [&] { return crate::sparse_code(x.tokens, d); };
  const Matrix<double> wide = d.template cast<double>();
  Matrix<double> plain = (0.1 * (wide.transpose() * x.z()).array() - 0.01).cwiseMax(0);
  plain = ((plain + 0.1 * (wide.transpose() * (x.z() - wide * plain))).array() - 0.01).cwiseMax(0).eval();
  if (agrees<S>(state, run(), plain)) time_work<S>(state, x.work(3 * x.dense(4 * x.dim)), run);
}

template <Scalar S>
void sparse_code_adjoint(benchmark::State& state) {
  const Arguments<S> x(state);
  const Matrix<S> d = random_tokens<S>(x.dim, 4 * x.dim) / std::sqrt(static_cast<S>(x.dim));
  const Matrix<S> cotangent = random_tokens<S>(4 * x.dim, x.count).rowwise().reverse();
  const auto run = [&] { return crate::sparse_code_adjoint(x.tokens, d, cotangent); };
  const auto plain = crate::sparse_code_adjoint(x.z(), wide(d), wide(cotangent));
  const auto found = run();
  if (agrees<S>(state, found.tokens, plain.tokens, kink_conditioning) &&
      agrees<S>(state, found.dictionary, plain.dictionary, kink_conditioning))
    time_work<S>(state, x.work(9 * x.dense(4 * x.dim)), run);
}

// --- columns ---------------------------------------------------------------------------------------------------------

template <Scalar S>
void layer_norm(benchmark::State& state) {
  const Arguments<S> x(state);
  const Vector<S> weight = x.subspaces.bases().col(0), bias = x.subspaces.bases().col(1);
  const auto run = [&] { return crate::layer_norm(x.tokens, weight, bias); };
  const Matrix<double> centred = x.z().rowwise() - x.z().colwise().mean();
  const Eigen::RowVectorXd variance = centred.colwise().squaredNorm() / static_cast<double>(x.dim);
  Matrix<double> plain =
      weight.template cast<double>().asDiagonal() * centred * (variance.array() + 1e-5).rsqrt().matrix().asDiagonal();
  plain.colwise() += bias.template cast<double>();
  if (agrees<S>(state, run(), plain)) time_work<S>(state, x.work(0), run);
}

template <Scalar S>
void softmax_columns(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::softmax_columns(x.tokens); };
  const Matrix<double> exponentials = x.z().array().exp();
  const Matrix<double> plain = exponentials * exponentials.colwise().sum().cwiseInverse().asDiagonal();
  if (agrees<S>(state, run(), plain)) time_work<S>(state, x.work(0), run);
}

// --- sizes -----------------------------------------------------------------------------------------------------------

constexpr auto proximal_gradient = SparsifyRule::proximal_gradient;
constexpr auto majorisation_minimisation = SparsifyRule::majorisation_minimisation;
constexpr auto exact = CompressionStep::exact;
constexpr auto first_order = CompressionStep::first_order;
constexpr auto softmax = CompressionStep::softmax;
constexpr auto rate_reduction_step = CompressionStep::rate_reduction;
constexpr auto soft_partition_step = CompressionStep::soft_partition;  // the plain names are functions

BENCHMARK(compress<float, exact>)->Apply(growth<16384>);
BENCHMARK(compress<double, exact>)->Apply(grid);
BENCHMARK(compress<float, first_order>)->Apply(grid);
BENCHMARK(compress<float, softmax>)->Apply(grid);
BENCHMARK(compress<float, rate_reduction_step>)->Apply(grid);
BENCHMARK(compress<float, soft_partition_step>)->Apply(grid);
BENCHMARK(compress<double, rate_reduction_step>)->Apply(grid);
BENCHMARK(compress<double, soft_partition_step>)->Apply(grid);
BENCHMARK(compress_adjoint<float, exact>)->Apply(grid);
BENCHMARK(compress_adjoint<float, first_order>)->Apply(grid);
BENCHMARK(compress_adjoint<float, softmax>)->Apply(grid);
BENCHMARK(compress_adjoint<float, rate_reduction_step>)->Apply(grid);
BENCHMARK(compress_adjoint<float, soft_partition_step>)->Apply(grid);
BENCHMARK(ista<float, proximal_gradient>)->Apply(grid);
BENCHMARK(ista<float, majorisation_minimisation>)->Apply(grid);
BENCHMARK(ista<double, proximal_gradient>)->Apply(grid);
BENCHMARK(sparse_code<float>)->Apply(grid);
BENCHMARK(ista_adjoint<float>)->Apply(grid);
BENCHMARK(sparse_code_adjoint<float>)->Apply(grid);
BENCHMARK(layer_norm<float>)->Apply(grid);
BENCHMARK(softmax_columns<float>)->Apply(grid);

}  // namespace
}  // namespace crate::bench
