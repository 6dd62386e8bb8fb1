// SPDX-License-Identifier: MIT
// The bodies of ista.hpp.

namespace crate {

namespace detail {

/// The proximal operator of level ||x||_1, entry by entry, in place.
template <class Block>
void apply_threshold(Block&& x, double level, Threshold threshold) {
  using S = typename std::decay_t<Block>::Scalar;
  const auto t = static_cast<S>(level);
  if (threshold == Threshold::non_negative)
    x.array() = (x.array() - t).max(S(0));
  else
    x.array() -= x.array().max(-t).min(t);
}

/// The proximal operator of level ||x||_1, as a product is finished by it.
[[nodiscard]] inline Activation activation_of(Threshold threshold) {
  return threshold == Threshold::soft ? Activation::soft_threshold : Activation::relu;
}

/// The adjoint of the proximal operator where it returned `result`: out = cotangent where the result is not zero, else
/// 0.
template <class Cotangent, class Result, class Out>
void threshold_adjoint(const Cotangent& cotangent, const Result& result, Out&& out) {
  using S = typename std::decay_t<Out>::Scalar;
  for (Index j = 0; j < out.cols(); ++j)
    for (Index i = 0; i < out.rows(); ++i) {
      const S number = cotangent(i, j);  // read whether it passes or not, so that no branch is in the way of vectors
      out(i, j) = result(i, j) == S(0) ? S(0) : number;
    }
}

/// The product scale P, with what the step adds, under its proximal operator.
template <Scalar S>
[[nodiscard]] ProductEpilogue<S> proximal(double scale, MatrixView<const S> addend, double level, Threshold threshold) {
  return {.scale = static_cast<S>(scale),
          .addend = addend,
          .activation = activation_of(threshold),
          .level = static_cast<S>(level)};
}

/// Whether so many tokens take a proximal-gradient step by its matrix, A = I + eta (D^T - D^T D): formed first, by
/// d^3 / 2 multiply-adds, it makes one product of two forward, and backward, with another d^3, two of four.
template <class Z>
[[nodiscard]] bool takes_step_matrix(const Z& z, const IstaOptions& options) {
  constexpr bool may_be_wide = Z::MaxColsAtCompileTime == Eigen::Dynamic;
  return may_be_wide && options.rule == SparsifyRule::proximal_gradient && 2 * z.cols() > z.rows();
}

/// The columns of a step's room, d rows high: for the step's matrix A, or for the residual Z - D Z. Majorisation and
/// minimisation takes none, unless the number of tokens is known at compile time.
template <class Z>
[[nodiscard]] Index ista_room_columns(const Z& z, const IstaOptions& options) {
  if (Z::ColsAtCompileTime == Eigen::Dynamic && options.rule == SparsifyRule::majorisation_minimisation) return 0;
  return takes_step_matrix(z, options) ? z.rows() : z.cols();
}

/// A = I + eta (D^T - D^T D).
template <class D, class A>
void step_matrix_into(const D& d, double step, A& a, Threads& threads) {
  using S = typename D::Scalar;
  gram_into(d, a, threads);
  for_each_columns(a.cols(), threads, [&](Index first, Index count) {
    for (Index j = first; j < first + count; ++j) {
      a.col(j) = static_cast<S>(step) * (d.row(j).transpose() - a.col(j));
      a(j, j) += S(1);
    }
  });
}

/// out = prox(Z + eta D^T (Z - D Z)), with A or the residual left in `room`. No overlaps.
template <class Z, class D, class Room, class Out>
void proximal_gradient_into(const Z& z, const D& d, const IstaOptions& options, Room& room, Out& out,
                            Threads& threads) {
  using S = typename Z::Scalar;
  const double level = options.step * options.lambda;
  const auto tokens = view_of<const S>(z);
  if constexpr (Z::MaxColsAtCompileTime == Eigen::Dynamic)
    if (takes_step_matrix(z, options)) {
      step_matrix_into(d, options.step, room, threads);
      return multiply(room, z, out, proximal<S>(1, {}, level, options.threshold), threads);
    }
  multiply(d, z, room, {.scale = S(-1), .addend = tokens}, threads);
  multiply(d.transpose(), room, out, proximal<S>(options.step, tokens, level, options.threshold), threads);
}

/// out = prox((1 + 4 / (9 (1 + alpha))) D^T Z), threshold 4 lambda / (9 alpha). No overlaps.
template <class Z, class D, class Out>
void majorisation_minimisation_into(const Z& z, const D& d, const IstaOptions& options, Out& out, Threads& threads) {
  const double gain = 1 + 4 / (9 * (1 + options.alpha)), level = 4 * options.lambda / (9 * options.alpha);
  multiply(d.transpose(), z, out, proximal<typename Z::Scalar>(gain, {}, level, options.threshold), threads);
}

/// M + M^T in place of M, and gradient += eta M^T.
template <class M, class DGradient>
void symmetrise_and_add(double step, M& m, DGradient& gradient, Threads& threads) {
  using S = typename M::Scalar;
  constexpr Index block = 32;
  const Index blocks = (m.cols() + block - 1) / block;
  for_each_columns(m.cols(), threads, [&](Index j, Index n) {
    gradient.middleRows(j, n).transpose() += static_cast<S>(step) * m.middleCols(j, n);
  });
  threads.for_each(blocks, [&](Index col, int) {
    const Index j = col * block, n = std::min(block, m.cols() - j);
    Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor, block, block> sum;
    for (Index i = 0; i <= j; i += block) {
      const Index rows = std::min(block, m.rows() - i);
      sum = m.block(i, j, rows, n) + m.block(j, i, n, rows).transpose();
      m.block(i, j, rows, n) = sum;
      m.block(j, i, n, rows) = sum.transpose();
    }
  });
}

/// By the step's matrix A, with G = cotangent where the step returned no zero and M = G Z^T:
///   dL/dZ = A^T G,   dL/dD += eta (M^T - D (M + M^T)).
/// `masked` is room for G, `products` for M. No overlaps.
template <class Z, class D, class A, class Masked, class M, class Out, class DGradient>
void step_matrix_adjoint_into(const Z& z, const D& d, double step, const A& a, const Masked& masked, M& products,
                              Out& z_cotangent, DGradient& d_gradient, Threads& threads) {
  multiply(a.transpose(), masked, z_cotangent, threads);
  multiply(masked, z.transpose(), products, threads);
  symmetrise_and_add(step, products, d_gradient, threads);
  multiply_add(-step, d, products, d_gradient, threads);
}

/// By the residual R = Z - D Z, with G = cotangent where the step returned no zero and E = D G:
///   dL/dZ = G + eta (E - D^T E),   dL/dD += eta (R G^T - E Z^T).
/// `masked` is room for G, `expanded` for E. No overlaps.
template <class Z, class D, class Residual, class Masked, class Room, class Out, class DGradient>
void residual_adjoint_into(const Z& z, const D& d, double step, const Residual& residual, const Masked& masked,
                           Room& expanded, Out& z_cotangent, DGradient& d_gradient, Threads& threads) {
  using S = typename Z::Scalar;
  multiply(d, masked, expanded, threads);
  for_each_columns(z.cols(), threads, [&](Index j, Index n) {
    z_cotangent.middleCols(j, n) = masked.middleCols(j, n) + static_cast<S>(step) * expanded.middleCols(j, n);
  });
  multiply_add(-step, d.transpose(), expanded, z_cotangent, threads);
  multiply_add(step, residual, masked.transpose(), d_gradient, threads);
  multiply_add(-step, expanded, z.transpose(), d_gradient, threads);
}

/// With G = cotangent where the step returned no zero and g its gain: dL/dZ = g D G, dL/dD += g Z G^T.
template <class Z, class D, class Masked, class Out, class DGradient>
void majorisation_minimisation_adjoint_into(const Z& z, const D& d, const IstaOptions& options, const Masked& masked,
                                            Out& z_cotangent, DGradient& d_gradient, Threads& threads) {
  const double gain = 1 + 4 / (9 * (1 + options.alpha));
  multiply(d, masked, z_cotangent, {.scale = static_cast<typename Z::Scalar>(gain)}, threads);
  multiply_add(gain, z, masked.transpose(), d_gradient, threads);
}

/// The adjoint of ista_into, which left `room` so. `masked` is d x N, `second` as large as `room`. No overlaps.
template <class Z, class D, class Room, class Result, class Cotangent, class Masked, class Second, class Out,
          class DGradient>
void ista_adjoint_into(const Z& z, const D& d, const IstaOptions& options, const Room& room, const Result& result,
                       const Cotangent& cotangent, Masked& masked, Second& second, Out& z_cotangent,
                       DGradient& d_gradient, Threads& threads) {
  for_each_columns(z.cols(), threads, [&](Index j, Index n) {
    threshold_adjoint(cotangent.middleCols(j, n), result.middleCols(j, n), masked.middleCols(j, n));
  });
  if (options.rule == SparsifyRule::majorisation_minimisation)
    return majorisation_minimisation_adjoint_into(z, d, options, masked, z_cotangent, d_gradient, threads);
  if constexpr (Z::MaxColsAtCompileTime == Eigen::Dynamic)
    if (takes_step_matrix(z, options))
      return step_matrix_adjoint_into(z, d, options.step, room, masked, second, z_cotangent, d_gradient, threads);
  residual_adjoint_into(z, d, options.step, room, masked, second, z_cotangent, d_gradient, threads);
}

template <class Z, class D, class Room, class Out>
void ista_into(const Z& z, const D& d, const IstaOptions& options, Room& room, Out& out, Threads& threads) {
  if (options.rule == SparsifyRule::proximal_gradient)
    proximal_gradient_into(z, d, options, room, out, threads);
  else
    majorisation_minimisation_into(z, d, options, out, threads);
}

}  // namespace detail

template <class ZDerived, class DDerived>
requires detail::OneScalar<ZDerived, DDerived> Plain<ZDerived> ista(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                    const Eigen::MatrixBase<DDerived>& dictionary,
                                                                    const IstaOptions& options) {
  options.check();
  check_shape("ISTA: dictionary", dictionary, tokens.rows(), tokens.rows());
  const auto& z = detail::viewable(tokens);
  Plain<ZDerived> room(z.rows(), detail::ista_room_columns(z, options)), result(z.rows(), z.cols());
  Threads alone;
  detail::ista_into(z, detail::viewable(dictionary), options, room, result, alone);
  return result;
}

template <class ZDerived, class DDerived, class CotangentDerived>
requires detail::OneScalar<ZDerived, DDerived, CotangentDerived> DictionaryGradient<Plain<ZDerived>, Plain<DDerived>>
ista_adjoint(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<DDerived>& dictionary,
             const Eigen::MatrixBase<CotangentDerived>& cotangent, const IstaOptions& options) {
  options.check();
  check_shape("ISTA: dictionary", dictionary, tokens.rows(), tokens.rows());
  check_shape("ISTA: cotangent", cotangent, tokens.rows(), tokens.cols());
  const auto& z = detail::viewable(tokens);
  const auto& d = detail::viewable(dictionary);
  using TokensPlain = Plain<ZDerived>;
  const Index room_columns = detail::ista_room_columns(z, options);
  TokensPlain room(z.rows(), room_columns), second(z.rows(), room_columns), result(z.rows(), z.cols()),
      masked(z.rows(), z.cols());
  DictionaryGradient<TokensPlain, Plain<DDerived>> gradient{TokensPlain(z.rows(), z.cols()),
                                                            Plain<DDerived>::Zero(d.rows(), d.cols())};
  Threads alone;
  detail::ista_into(z, d, options, room, result, alone);
  detail::ista_adjoint_into(z, d, options, room, result, evaluated(cotangent), masked, second, gradient.tokens,
                            gradient.dictionary, alone);
  return gradient;
}

template <class ZDerived, class DDerived, class ADerived>
double lasso_objective(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<DDerived>& dictionary,
                       const Eigen::MatrixBase<ADerived>& codes, double lambda) {
  check_shape("LASSO: dictionary", dictionary, tokens.rows(), codes.rows());
  check_size("LASSO: columns of the codes", codes.cols(), tokens.cols());
  const auto a = codes.template cast<double>();
  const auto residual = (tokens.template cast<double>() - dictionary.template cast<double>() * a).eval();
  return lambda * a.template lpNorm<1>() + 0.5 * residual.squaredNorm();
}

}  // namespace crate
