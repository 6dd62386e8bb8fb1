// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <Eigen/Cholesky>
#include <cmath>

#include "crate/crate.hpp"
#include "measurement.hpp"

// The operators, each on one thread: tokens d x N; K = d / 64 subspaces of dimension p = 64; a dictionary d x d or
// d x 4 d. Each is compared with the formula in its comment, written out in double, before it is timed.

namespace crate::bench {
namespace {

constexpr Index head_dim = 64;
constexpr double epsilon = 0.5;

Matrix<double> wide(const auto& matrix) { return matrix.template cast<double>(); }

template <Scalar S>
struct Arguments {
  Index dim, count;
  Matrix<S> tokens;
  Subspaces<Matrix<S>> subspaces;

  explicit Arguments(const benchmark::State& state)
      : dim(state.range(0)),
        count(state.range(1)),
        tokens(random_tokens<S>(dim, count)),
        subspaces(random_tokens<S>(dim, dim) / std::sqrt(static_cast<S>(dim)), dim / head_dim) {}

  /// dL/df of the adjoints.
  [[nodiscard]] Matrix<S> cotangent() const { return tokens.rowwise().reverse(); }

  [[nodiscard]] Matrix<double> z() const { return tokens.template cast<double>(); }
  [[nodiscard]] Matrix<double> u() const { return subspaces.bases().template cast<double>(); }
  [[nodiscard]] Matrix<double> u(Index k) const { return subspaces.basis(k).template cast<double>(); }

  /// Multiplications of a product with a matrix of `rows` rows and as many columns as a token has rows.
  [[nodiscard]] double dense(Index rows) const { return static_cast<double>(rows * dim) * static_cast<double>(count); }
  /// Those of all heads comparing and averaging all tokens.
  [[nodiscard]] double pairs() const { return 2.0 * static_cast<double>(dim) * static_cast<double>(count * count); }
  [[nodiscard]] Work work(double multiply_adds) const { return {.tokens = count, .multiply_adds = multiply_adds}; }
};

// --- rates -----------------------------------------------------------------------------------------------------------

Matrix<double> plain_gram(const Matrix<double>& w) {
  const double a = rate_factor(w.rows(), w.cols(), epsilon);
  return Matrix<double>::Identity(w.rows(), w.rows()) + a * w * w.transpose();
}

double plain_rate(const Matrix<double>& w) {
  const Eigen::LLT<Matrix<double>> factor(plain_gram(w));
  return factor.matrixLLT().diagonal().array().log().sum();
}

Matrix<double> plain_rate_gradient(const Matrix<double>& w) {
  return rate_factor(w.rows(), w.cols(), epsilon) * plain_gram(w).llt().solve(w);
}

/// The sum of f(U_k^T Z, k).
template <Scalar S, class F>
auto sum_of_heads(const Arguments<S>& arguments, const F& f) {
  auto sum = f(arguments.u(0).transpose() * arguments.z(), 0);
  for (Index k = 1; k < arguments.subspaces.heads(); ++k) sum += f(arguments.u(k).transpose() * arguments.z(), k);
  return sum;
}

template <Scalar S>
double plain_subspace_rate(const Arguments<S>& arguments) {
  return sum_of_heads(arguments, [](const Matrix<double>& w, Index) { return plain_rate(w); });
}

template <Scalar S>
Matrix<double> plain_subspace_rate_gradient(const Arguments<S>& arguments) {
  return sum_of_heads(arguments, [&](const Matrix<double>& w, Index k) {
    return Matrix<double>(arguments.u(k) * plain_rate_gradient(w));
  });
}

/// A symmetric Gram matrix of n x n over m entries, and its Cholesky factor.
double rate_multiply_adds(Index n, Index m) {
  const auto rows = static_cast<double>(n), cols = static_cast<double>(m);
  return rows * rows * cols / 2 + rows * rows * rows / 6;
}

/// The same, the inverse and its product with what the Gram matrix was made from.
double rate_gradient_multiply_adds(Index n, Index m) {
  const auto rows = static_cast<double>(n), cols = static_cast<double>(m);
  return rate_multiply_adds(n, m) + rows * rows * rows + rows * rows * cols;
}

template <Scalar S>
double all_multiply_adds(const Arguments<S>& x) {
  return rate_multiply_adds(std::min(x.dim, x.count), std::max(x.dim, x.count));
}

template <Scalar S>
double all_gradient_multiply_adds(const Arguments<S>& x) {
  return rate_gradient_multiply_adds(std::min(x.dim, x.count), std::max(x.dim, x.count));
}

template <Scalar S>
double subspace_multiply_adds(const Arguments<S>& x) {
  return x.dense(x.dim) + static_cast<double>(x.subspaces.heads()) * rate_multiply_adds(head_dim, x.count);
}

/// The gradient by the tokens and that by the bases take a dense product each.
template <Scalar S>
double subspace_gradient_multiply_adds(const Arguments<S>& x) {
  return 3 * x.dense(x.dim) + static_cast<double>(x.subspaces.heads()) * rate_gradient_multiply_adds(head_dim, x.count);
}

// The condition number of I + a Z Z^T, which is solved with in the gradients, at the sizes below.
constexpr double gradient_conditioning = 1e4;

template <Scalar S>
void coding_rate(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::coding_rate(x.tokens, {.epsilon = epsilon}); };
  if (agrees<S>(state, run(), plain_rate(x.z()))) time_work<double>(state, x.work(all_multiply_adds(x)), run);
}

template <Scalar S>
void coding_rate_gradient(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::coding_rate_gradient(x.tokens, {.epsilon = epsilon}); };
  if (agrees<S>(state, run(), plain_rate_gradient(x.z()), gradient_conditioning))
    time_work<double>(state, x.work(all_gradient_multiply_adds(x)), run);
}

template <Scalar S>
void subspace_coding_rate(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::subspace_coding_rate(x.tokens, x.subspaces, {.epsilon = epsilon}); };
  if (agrees<S>(state, run(), plain_subspace_rate(x))) time_work<S>(state, x.work(subspace_multiply_adds(x)), run);
}

template <Scalar S>
void subspace_coding_rate_gradient(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::subspace_coding_rate_gradient(x.tokens, x.subspaces, {.epsilon = epsilon}); };
  if (agrees<S>(state, run().tokens, plain_subspace_rate_gradient(x), gradient_conditioning))
    time_work<S>(state, x.work(subspace_gradient_multiply_adds(x)), run);
}

template <Scalar S>
void rate_reduction(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::rate_reduction(x.tokens, x.subspaces, {.epsilon = epsilon}); };
  if (agrees<S>(state, run(), plain_rate(x.z()) - plain_subspace_rate(x), gradient_conditioning))
    time_work<S>(state, x.work(all_multiply_adds(x) + subspace_multiply_adds(x)), run);
}

template <Scalar S>
void rate_reduction_gradient(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::rate_reduction_gradient(x.tokens, x.subspaces, {.epsilon = epsilon}); };
  if (agrees<S>(state, run().tokens, plain_rate_gradient(x.z()) - plain_subspace_rate_gradient(x),
                gradient_conditioning))
    time_work<S>(state, x.work(all_gradient_multiply_adds(x) + subspace_gradient_multiply_adds(x)), run);
}

template <Scalar S>
void sparse_rate_reduction(benchmark::State& state) {
  const Arguments<S> x(state);
  constexpr SparseRateReductionOptions options{.epsilon = epsilon, .lambda = 0.1, .norm = SparsityNorm::l1};
  const auto run = [&] { return crate::sparse_rate_reduction(x.tokens, x.subspaces, options); };
  const double plain = plain_rate(x.z()) - plain_subspace_rate(x) - 0.1 * x.z().cwiseAbs().sum();
  if (agrees<S>(state, run(), plain))
    time_work<S>(state, x.work(all_multiply_adds(x) + subspace_multiply_adds(x)), run);
}

// --- compression -----------------------------------------------------------------------------------------------------

Matrix<double> plain_attention(const Matrix<double>& h, double logit_scale, bool causal, Index visible) {
  Matrix<double> scores = (logit_scale * (h.transpose() * h)).array().exp();
  if (causal) scores = scores.triangularView<Eigen::Upper>();
  scores.bottomRows(h.cols() - visible).setZero();
  return h * (scores * scores.colwise().sum().cwiseInverse().asDiagonal());
}

/// out_k applied to the attention of every head.
template <Scalar S>
Matrix<double> plain_mssa(const Arguments<S>& x, const Matrix<double>& out, const AttentionOptions& options) {
  const Index visible = options.visible == -1 ? x.count : options.visible;
  return sum_of_heads(x, [&](const Matrix<double>& w, Index k) {
    const bool causal = options.mask == AttentionMask::causal;
    return Matrix<double>(out.middleCols(k * head_dim, head_dim) *
                          plain_attention(w, options.logit_scale, causal, visible));
  });
}

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

void grid(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"dim", "tokens"})
      ->ArgsProduct({{384, 768}, {197, 1024}})
      ->MinTime(0.1)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

/// The width of CRATE-Base; what costs what with more and more tokens.
template <Index longest>
void growth(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"dim", "tokens"})->MinTime(0.2)->UseRealTime()->Unit(benchmark::kMicrosecond);
  benchmark->Args({768, 197});
  for (Index tokens = 256; tokens <= longest; tokens *= 2) benchmark->Args({768, tokens});
}

/// The tokens of an image in patches of 4 and of 16, and many; 12 heads.
void lengths(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"dim", "tokens"})
      ->ArgsProduct({{768}, {65, 197, 1024}})
      ->MinTime(0.2)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

constexpr auto proximal_gradient = SparsifyRule::proximal_gradient;
constexpr auto majorisation_minimisation = SparsifyRule::majorisation_minimisation;
constexpr auto exact = CompressionStep::exact;
constexpr auto first_order = CompressionStep::first_order;
constexpr auto softmax = CompressionStep::softmax;
constexpr auto rate_reduction_step = CompressionStep::rate_reduction;
constexpr auto soft_partition_step = CompressionStep::soft_partition;  // the plain names are functions

BENCHMARK(coding_rate<float>)->Apply(grid);
BENCHMARK(coding_rate<double>)->Apply(grid);
BENCHMARK(coding_rate_gradient<float>)->Apply(grid);
BENCHMARK(coding_rate_gradient<double>)->Apply(grid);
BENCHMARK(subspace_coding_rate<float>)->Apply(grid);
BENCHMARK(subspace_coding_rate<double>)->Apply(grid);
BENCHMARK(subspace_coding_rate_gradient<float>)->Apply(grid);
BENCHMARK(subspace_coding_rate_gradient<double>)->Apply(grid);
BENCHMARK(rate_reduction<float>)->Apply(grid);
BENCHMARK(rate_reduction<double>)->Apply(grid);
BENCHMARK(rate_reduction_gradient<float>)->Apply(grid);
BENCHMARK(rate_reduction_gradient<double>)->Apply(grid);
BENCHMARK(sparse_rate_reduction<double>)->Apply(grid);
BENCHMARK(compress<float, exact>)->Apply(growth<16384>);
BENCHMARK(mssa_tied<float>)->Apply(growth<4096>);
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
