// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/kernels/product.hpp"
#include "crate/operators/detail/one_scalar.hpp"

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
    check_option(std::isfinite(step) && step >= 0, "a finite ISTA step >= 0", step);
    check_option(std::isfinite(lambda) && lambda >= 0, "a finite ISTA lambda >= 0", lambda);
    check_option(std::isfinite(alpha) && alpha > 0, "a finite ISTA alpha > 0", alpha);
  }
};

/// dL/dZ and dL/dD of a step that codes tokens in a dictionary.
template <class TokensPlain, class DictionaryPlain>
struct DictionaryGradient {
  TokensPlain tokens;          ///< d x N
  DictionaryPlain dictionary;  ///< as D
};

/// One step towards min_{A >= 0} lambda ||A||_1 + 1/2 ||Z - D A||_F^2, started at A = Z:
///   ISTA(Z | D) = ReLU(Z + eta D^T (Z - D Z) - eta lambda),                                   d x N,
/// or, by rule, the majorisation-minimisation step ReLU((1 + 4/(9 (1 + alpha))) D^T Z - 4 lambda/(9 alpha)).
/// With Threshold::soft both signs are allowed. For eta <= 1/||D||^2 a proximal-gradient step from a feasible Z (that
/// is, Z >= 0 unless the threshold is soft) never raises its objective.
/// Source: arXiv 2311.13110, eqs. (17) and (92). Cost: two products of d x d by d x N, or one; for N > d / 2 one and
/// half of d x d by d x d. Throws OptionError on an option out of range, ShapeError unless D is d x d.
template <class ZDerived, class DDerived>
requires detail::OneScalar<ZDerived, DDerived>
[[nodiscard]] Plain<ZDerived> ista(const Eigen::MatrixBase<ZDerived>& tokens,
                                   const Eigen::MatrixBase<DDerived>& dictionary, const IstaOptions& options = {});

/// The adjoint of ista: what dL/dISTA(Z | D) = `cotangent`, d x N, becomes of the tokens and the dictionary.
/// With G = cotangent where ISTA returned no zero, R = Z - D Z and E = D G:
///   dL/dZ = G + eta (E - D^T E),   dL/dD = eta (R G^T - E Z^T),
/// or, of the majorisation-minimisation step with gain g = 1 + 4/(9 (1 + alpha)): g D G and g Z G^T.
/// With A = I + eta (D^T - D^T D) and M = G Z^T these are A^T G and eta (M^T - D (M + M^T)), as which they are computed
/// for N > d / 2. At the kink, where an entry is exactly on the threshold, the slope 0 is taken. Cost: twice that of
/// the step. Throws as ista, and ShapeError unless the cotangent is d x N.
template <class ZDerived, class DDerived, class CotangentDerived>
requires detail::OneScalar<ZDerived, DDerived, CotangentDerived>
[[nodiscard]] DictionaryGradient<Plain<ZDerived>, Plain<DDerived>> ista_adjoint(
    const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<DDerived>& dictionary,
    const Eigen::MatrixBase<CotangentDerived>& cotangent, const IstaOptions& options = {});

/// lambda ||A||_1 + 1/2 ||Z - D A||_F^2, what ISTA makes small. Z is d x N, D is d x s, A is s x N.
template <class ZDerived, class DDerived, class ADerived>
[[nodiscard]] double lasso_objective(const Eigen::MatrixBase<ZDerived>& tokens,
                                     const Eigen::MatrixBase<DDerived>& dictionary,
                                     const Eigen::MatrixBase<ADerived>& codes, double lambda);

}  // namespace crate

#include "crate/operators/detail/ista.ipp"
