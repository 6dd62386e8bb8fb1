// SPDX-License-Identifier: MIT
// The bodies of softmax.hpp.

namespace crate {

namespace detail {

/// Replaces each column x by exp(x - max x) / sum exp(x - max x).
template <class Block>
void softmax_columns_in_place(Block&& block) {
  for (Index j = 0; j < block.cols(); ++j) {
    auto column = block.col(j).array();
    column = (column - column.maxCoeff()).exp();
    column *= 1 / column.sum();
  }
}

/// Replaces each column of cotangents c, of probabilities y, by y .* (c - y^T c).
template <class Probabilities, class Block>
void softmax_columns_adjoint_in_place(const Probabilities& probabilities, Block&& cotangent) {
  for (Index j = 0; j < cotangent.cols(); ++j) {
    auto column = cotangent.col(j).array();
    const auto y = probabilities.col(j).array();
    column = y * (column - (y * column).sum());
  }
}

}  // namespace detail

template <class Derived>
Plain<Derived> softmax_columns(const Eigen::MatrixBase<Derived>& logits) {
  check_not_empty("softmax: logits", logits);
  Plain<Derived> result = logits;
  detail::softmax_columns_in_place(result);
  return result;
}

template <class Derived, class CotangentDerived>
Plain<Derived> softmax_columns_adjoint(const Eigen::MatrixBase<Derived>& probabilities,
                                       const Eigen::MatrixBase<CotangentDerived>& cotangent) {
  check_shape("softmax: cotangent", cotangent, probabilities.rows(), probabilities.cols());
  Plain<Derived> result = cotangent;
  detail::softmax_columns_adjoint_in_place(evaluated(probabilities), result);
  return result;
}

}  // namespace crate
