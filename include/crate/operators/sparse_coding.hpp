// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/product.hpp"
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
    check_option(step >= 0, "sparse code step >= 0", step);
    check_option(lambda >= 0, "sparse code lambda >= 0", lambda);
    check_option(steps >= 1, "sparse code steps >= 1", steps);
  }
};

namespace detail {

/// codes = A after `options.steps` steps of the iteration below; `residual` is d x N room for Z - D A. No overlaps.
template <class Z, class D, class Residual, class Codes>
void sparse_code_into(const Z& z, const D& d, const SparseCodeOptions& options, Residual& residual, Codes& codes,
                      Threads& threads) {
  const auto take_off_threshold = [&](Index j, Index n) {
    apply_threshold(codes.middleCols(j, n), options.step * options.lambda, options.threshold);
  };
  for_each_columns(z.cols(), threads, [&](Index j, Index n) { codes.middleCols(j, n).setZero(); });
  multiply_add(options.step, d.transpose(), z, codes, threads);  // A^0 = 0, so the first residual is Z
  for_each_columns(z.cols(), threads, take_off_threshold);
  for (Index t = 1; t < options.steps; ++t) {
    for_each_columns(z.cols(), threads, [&](Index j, Index n) { residual.middleCols(j, n) = z.middleCols(j, n); });
    multiply_add(-1, d, codes, residual, threads);
    multiply_add(options.step, d.transpose(), residual, codes, threads);
    for_each_columns(z.cols(), threads, take_off_threshold);
  }
}

}  // namespace detail

/// T proximal-gradient steps towards min_{A >= 0} lambda ||A||_1 + 1/2 ||Z - D A||_F^2 from A^0 = 0:
///   A^{t+1} = ReLU(A^t - eta D^T (D A^t - Z) - eta lambda),                                    s x N,
/// or with a soft threshold in place of the ReLU. For eta <= 1/||D||^2 no step raises the objective.
/// The tokens are decoded as D A ("tied") or D' A with another matrix ("decoupled").
/// Source: arXiv 2405.20299 (CRATE-alpha). Cost: 2 T - 1 products of s x d by d x N.
/// Throws OptionError on an option out of range, ShapeError unless D has as many rows as Z.
template <class ZDerived, class DDerived>
[[nodiscard]] auto sparse_code(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<DDerived>& dictionary,
                               const SparseCodeOptions& options = {}) {
  using Codes = Plain<decltype(dictionary.transpose() * tokens)>;
  options.check();
  check_size("sparse code: rows of the dictionary", dictionary.rows(), tokens.rows());
  const auto& z = evaluated(tokens);
  Plain<ZDerived> residual(z.rows(), z.cols());
  Codes codes(dictionary.cols(), z.cols());
  Threads alone;
  detail::sparse_code_into(z, evaluated(dictionary), options, residual, codes, alone);
  return codes;
}

}  // namespace crate
