// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/kernels/product.hpp"
#include "crate/operators/detail/one_scalar.hpp"
#include "crate/operators/ista.hpp"

// Sparse codes over an overcomplete dictionary, from zero, and their decoding.
//
// Letters: Z tokens, d x N; D dictionary, d x s, usually s = 4 d; A codes, s x N.

namespace crate {

struct SparseCodeOptions {
  double step = 0.1;    ///< eta >= 0
  double lambda = 0.1;  ///< lambda >= 0
  Index steps = 2;      ///< T >= 1
  Threshold threshold = Threshold::non_negative;

  void check() const {
    check_option(std::isfinite(step) && step >= 0, "a finite sparse code step >= 0", step);
    check_option(std::isfinite(lambda) && lambda >= 0, "a finite sparse code lambda >= 0", lambda);
    check_option(steps >= 1, "sparse code steps >= 1", steps);
  }
};

/// T proximal-gradient steps towards min_{A >= 0} lambda ||A||_1 + 1/2 ||Z - D A||_F^2 from A^0 = 0:
///   A^{t+1} = ReLU(A^t - eta D^T (D A^t - Z) - eta lambda),                                    s x N,
/// or with a soft threshold in place of the ReLU. For eta <= 1/||D||^2 no step raises the objective.
/// The tokens are decoded as D A ("tied") or D' A with another matrix ("decoupled").
/// Source: arXiv 2405.20299 (CRATE-alpha). Cost: 2 T - 1 products of s x d by d x N.
/// Throws OptionError on an option out of range, ShapeError unless D has as many rows as Z.
template <class ZDerived, class DDerived>
requires detail::OneScalar<ZDerived, DDerived>
[[nodiscard]] auto sparse_code(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<DDerived>& dictionary,
                               const SparseCodeOptions& options = {});

/// The adjoint of sparse_code: what dL/dA^T = `cotangent`, s x N, becomes of the tokens and the dictionary. Back
/// through the steps, with G = dL/dA^{t+1} where A^{t+1} is not zero, R = Z - D A^t and E = eta D G:
///   dL/dA^t = G - D^T E,   dL/dZ += E,   dL/dD += eta R G^T - E (A^t)^T,   A^0 = 0.
/// Throws as sparse_code, and ShapeError unless the cotangent is s x N.
template <class ZDerived, class DDerived, class CotangentDerived>
requires detail::OneScalar<ZDerived, DDerived, CotangentDerived>
[[nodiscard]] DictionaryGradient<Plain<ZDerived>, Plain<DDerived>> sparse_code_adjoint(
    const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<DDerived>& dictionary,
    const Eigen::MatrixBase<CotangentDerived>& cotangent, const SparseCodeOptions& options = {});

}  // namespace crate

#include "crate/operators/detail/sparse_coding.ipp"
