// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/kernels/product.hpp"

// ISTA: one proximal-gradient step towards a sparse code of the tokens in a dictionary.
//
// Letters: Z tokens, d x N; D dictionary, d x d, its columns are the atoms; eta step size; lambda weight of the l1
// norm.

namespace crate {

/// The proximal operator of t ||x||_1, with or without the constraint x >= 0.
enum class Threshold {
  non_negative,  ///< max(x - t, 0), the ReLU of the paper
  soft           ///< sign(x) max(|x| - t, 0), for codes of both signs
};

/// Which of the paper's two sparsification steps.
enum class SparsifyRule {
  proximal_gradient,          ///< eq. (17)
  majorisation_minimisation,  ///< eq. (92)
};

struct IstaOptions {
  double step = 0.1;    ///< eta >= 0
  double lambda = 0.1;  ///< lambda >= 0
  Threshold threshold = Threshold::non_negative;
  SparsifyRule rule = SparsifyRule::proximal_gradient;
  double alpha = 1.0;  ///< of eq. (92) alone, which has no step: rate_factor(d, N, epsilon) = d / (N epsilon^2) > 0

  void check() const {
    check_option(step >= 0, "ISTA step >= 0", step);
    check_option(lambda >= 0, "ISTA lambda >= 0", lambda);
    check_option(alpha > 0, "ISTA alpha > 0", alpha);
  }
};

/// dL/dZ and dL/dD of a step that codes tokens in a dictionary.
template <class TokensPlain, class DictionaryPlain>
struct DictionaryGradient {
  TokensPlain tokens;          ///< d x N
  DictionaryPlain dictionary;  ///< as D
};

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

/// The adjoint of the proximal operator where it returned `result`: out = cotangent where the result is not zero, else
/// 0.
template <class Cotangent, class Result, class Out>
void threshold_adjoint(const Cotangent& cotangent, const Result& result, Out&& out) {
  using S = typename std::decay_t<Out>::Scalar;
  out = (result.array() != S(0)).select(cotangent, S(0));
}

/// out = prox(Z + eta D^T (Z - D Z)), with the residual Z - D Z left in `residual`. No overlaps.
template <class Z, class D, class Residual, class Out>
void proximal_gradient_into(const Z& z, const D& d, const IstaOptions& options, Residual& residual, Out& out,
                            Threads& threads) {
  for_each_columns(z.cols(), threads, [&](Index j, Index n) { residual.middleCols(j, n) = z.middleCols(j, n); });
  multiply_add(-1, d, z, residual, threads);
  for_each_columns(z.cols(), threads, [&](Index j, Index n) { out.middleCols(j, n) = z.middleCols(j, n); });
  multiply_add(options.step, d.transpose(), residual, out, threads);
  for_each_columns(z.cols(), threads, [&](Index j, Index n) {
    apply_threshold(out.middleCols(j, n), options.step * options.lambda, options.threshold);
  });
}

/// out = prox((1 + 4 / (9 (1 + alpha))) D^T Z), threshold 4 lambda / (9 alpha). No overlaps.
template <class Z, class D, class Out>
void majorisation_minimisation_into(const Z& z, const D& d, const IstaOptions& options, Out& out, Threads& threads) {
  using S = typename Z::Scalar;
  const auto gain = static_cast<S>(1 + 4 / (9 * (1 + options.alpha)));
  multiply(d.transpose(), z, out, threads);
  for_each_columns(z.cols(), threads, [&](Index j, Index n) {
    auto columns = out.middleCols(j, n);
    columns *= gain;
    apply_threshold(columns, 4 * options.lambda / (9 * options.alpha), options.threshold);
  });
}

/// With G = cotangent where the step returned no zero, R = Z - D Z and E = D G:
///   dL/dZ = G + eta (E - D^T E),   dL/dD += eta (R G^T - E Z^T).
/// `masked` and `expanded` are room for G and E. No overlaps.
template <class Z, class D, class Residual, class Result, class Cotangent, class Room, class Out, class DGradient>
void proximal_gradient_adjoint_into(const Z& z, const D& d, const IstaOptions& options, const Residual& residual,
                                    const Result& result, const Cotangent& cotangent, Room& masked, Room& expanded,
                                    Out& z_cotangent, DGradient& d_gradient, Threads& threads) {
  const auto eta = static_cast<typename Z::Scalar>(options.step);
  for_each_columns(z.cols(), threads, [&](Index j, Index n) {
    threshold_adjoint(cotangent.middleCols(j, n), result.middleCols(j, n), masked.middleCols(j, n));
  });
  multiply(d, masked, expanded, threads);
  for_each_columns(z.cols(), threads, [&](Index j, Index n) {
    z_cotangent.middleCols(j, n) = masked.middleCols(j, n) + eta * expanded.middleCols(j, n);
  });
  multiply_add(-options.step, d.transpose(), expanded, z_cotangent, threads);
  multiply_add(options.step, residual, masked.transpose(), d_gradient, threads);
  multiply_add(-options.step, expanded, z.transpose(), d_gradient, threads);
}

/// With G = cotangent where the step returned no zero and g its gain: dL/dZ = g D G, dL/dD += g Z G^T.
template <class Z, class D, class Result, class Cotangent, class Room, class Out, class DGradient>
void majorisation_minimisation_adjoint_into(const Z& z, const D& d, const IstaOptions& options, const Result& result,
                                            const Cotangent& cotangent, Room& masked, Out& z_cotangent,
                                            DGradient& d_gradient, Threads& threads) {
  const double gain = 1 + 4 / (9 * (1 + options.alpha));
  for_each_columns(z.cols(), threads, [&](Index j, Index n) {
    threshold_adjoint(cotangent.middleCols(j, n), result.middleCols(j, n), masked.middleCols(j, n));
    masked.middleCols(j, n) *= static_cast<typename Z::Scalar>(gain);
  });
  multiply(d, masked, z_cotangent, threads);
  multiply_add(1, z, masked.transpose(), d_gradient, threads);
}

template <class Z, class D, class Residual, class Result, class Cotangent, class Room, class Out, class DGradient>
void ista_adjoint_into(const Z& z, const D& d, const IstaOptions& options, const Residual& residual,
                       const Result& result, const Cotangent& cotangent, Room& masked, Room& expanded, Out& z_cotangent,
                       DGradient& d_gradient, Threads& threads) {
  if (options.rule == SparsifyRule::proximal_gradient)
    proximal_gradient_adjoint_into(z, d, options, residual, result, cotangent, masked, expanded, z_cotangent,
                                   d_gradient, threads);
  else
    majorisation_minimisation_adjoint_into(z, d, options, result, cotangent, masked, z_cotangent, d_gradient, threads);
}

template <class Z, class D, class Residual, class Out>
void ista_into(const Z& z, const D& d, const IstaOptions& options, Residual& residual, Out& out, Threads& threads) {
  if (options.rule == SparsifyRule::proximal_gradient)
    proximal_gradient_into(z, d, options, residual, out, threads);
  else
    majorisation_minimisation_into(z, d, options, out, threads);
}

}  // namespace detail

/// One step towards min_{A >= 0} lambda ||A||_1 + 1/2 ||Z - D A||_F^2, started at A = Z:
///   ISTA(Z | D) = ReLU(Z + eta D^T (Z - D Z) - eta lambda),                                   d x N,
/// or, by rule, the majorisation-minimisation step ReLU((1 + 4/(9 (1 + alpha))) D^T Z - 4 lambda/(9 alpha)).
/// With Threshold::soft both signs are allowed. For eta <= 1/||D||^2 a proximal-gradient step from a feasible Z (that
/// is, Z >= 0 unless the threshold is soft) never raises its objective.
/// Source: arXiv 2311.13110, eqs. (17) and (92). Cost: two products of d x d by d x N, or one.
/// Throws OptionError on an option out of range, ShapeError unless D is d x d.
template <class ZDerived, class DDerived>
[[nodiscard]] Plain<ZDerived> ista(const Eigen::MatrixBase<ZDerived>& tokens,
                                   const Eigen::MatrixBase<DDerived>& dictionary, const IstaOptions& options = {}) {
  options.check();
  check_shape("ISTA: dictionary", dictionary, tokens.rows(), tokens.rows());
  const auto& z = evaluated(tokens);
  Plain<ZDerived> residual(z.rows(), z.cols()), result(z.rows(), z.cols());
  Threads alone;
  detail::ista_into(z, evaluated(dictionary), options, residual, result, alone);
  return result;
}

/// The adjoint of ista: what dL/dISTA(Z | D) = `cotangent`, d x N, becomes of the tokens and the dictionary.
/// With G = cotangent where ISTA returned no zero, R = Z - D Z and E = D G:
///   dL/dZ = G + eta (E - D^T E),   dL/dD = eta (R G^T - E Z^T),
/// or, of the majorisation-minimisation step with gain g = 1 + 4/(9 (1 + alpha)): g D G and g Z G^T.
/// At the kink, where an entry is exactly on the threshold, the slope 0 is taken. Cost: twice that of the step.
/// Throws as ista, and ShapeError unless the cotangent is d x N.
template <class ZDerived, class DDerived, class CotangentDerived>
[[nodiscard]] DictionaryGradient<Plain<ZDerived>, Plain<DDerived>> ista_adjoint(
    const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<DDerived>& dictionary,
    const Eigen::MatrixBase<CotangentDerived>& cotangent, const IstaOptions& options = {}) {
  options.check();
  check_shape("ISTA: dictionary", dictionary, tokens.rows(), tokens.rows());
  check_shape("ISTA: cotangent", cotangent, tokens.rows(), tokens.cols());
  const auto& z = evaluated(tokens);
  const auto& d = evaluated(dictionary);
  using Tokens = Plain<ZDerived>;
  Tokens residual(z.rows(), z.cols()), result(z.rows(), z.cols()), masked(z.rows(), z.cols()),
      expanded(z.rows(), z.cols());
  DictionaryGradient<Tokens, Plain<DDerived>> gradient{Tokens(z.rows(), z.cols()),
                                                       Plain<DDerived>::Zero(d.rows(), d.cols())};
  Threads alone;
  detail::ista_into(z, d, options, residual, result, alone);
  detail::ista_adjoint_into(z, d, options, residual, result, evaluated(cotangent), masked, expanded, gradient.tokens,
                            gradient.dictionary, alone);
  return gradient;
}

/// lambda ||A||_1 + 1/2 ||Z - D A||_F^2, what ISTA makes small. Z is d x N, D is d x s, A is s x N.
template <class ZDerived, class DDerived, class ADerived>
[[nodiscard]] double lasso_objective(const Eigen::MatrixBase<ZDerived>& tokens,
                                     const Eigen::MatrixBase<DDerived>& dictionary,
                                     const Eigen::MatrixBase<ADerived>& codes, double lambda) {
  check_shape("LASSO: dictionary", dictionary, tokens.rows(), codes.rows());
  check_size("LASSO: columns of the codes", codes.cols(), tokens.cols());
  const auto a = codes.template cast<double>();
  const auto residual = (tokens.template cast<double>() - dictionary.template cast<double>() * a).eval();
  return lambda * a.template lpNorm<1>() + 0.5 * residual.squaredNorm();
}

}  // namespace crate
