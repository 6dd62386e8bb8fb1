// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"

namespace crate::detail {

struct MinimiserOptions {
  Index most_steps = 500;
  double gradient_share = 1e-4;  ///< stops when the norm of the gradient is this share of its norm at zero
  std::size_t memory = 10;       ///< number of stored pairs of steps and changes of the gradient
};

/// L-BFGS: an approximate inverse of the Hessian from the last steps. Nocedal and Wright, "Numerical Optimization", 2nd
/// edition, algorithm 7.4.
class InverseHessian {
 public:
  explicit InverseHessian(std::size_t memory) : memory_(memory) {}

  /// Stores a step s and the change y of the gradient along it, unless the curvature is not positive.
  void learn(Matrix<double> s, Matrix<double> y) {
    const double curvature = s.cwiseProduct(y).sum();
    if (!(curvature > 1e-12 * s.norm() * y.norm())) return;
    if (pairs_.size() == memory_) pairs_.pop_front();
    pairs_.push_back({std::move(s), std::move(y), 1 / curvature});
  }

  void forget() { pairs_.clear(); }
  [[nodiscard]] bool knows_nothing() const { return pairs_.empty(); }

  [[nodiscard]] Matrix<double> times(Matrix<double> q) const {
    std::vector<double> alpha(pairs_.size());
    for (std::size_t i = pairs_.size(); i-- > 0;) {
      alpha[i] = pairs_[i].rho * pairs_[i].s.cwiseProduct(q).sum();
      q -= alpha[i] * pairs_[i].y;
    }
    if (!pairs_.empty()) q *= 1 / (pairs_.back().rho * pairs_.back().y.squaredNorm());
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const double beta = pairs_[i].rho * pairs_[i].y.cwiseProduct(q).sum();
      q += (alpha[i] - beta) * pairs_[i].s;
    }
    return q;
  }

 private:
  struct Pair {
    Matrix<double> s, y;
    double rho;
  };
  std::size_t memory_;
  std::deque<Pair> pairs_;
};

/// A point, with its gradient and value.
struct Descent {
  Matrix<double> at, gradient;
  double value = 0;
};

/// Backtracking line search: halves the step until the function decreases by 1e-4 of what the slope predicts; nothing
/// if no step does, because of rounding.
template <class Function>
[[nodiscard]] std::optional<Descent> step_down(const Function& function, const Descent& from,
                                               const Matrix<double>& direction, double length) {
  const double slope = direction.cwiseProduct(from.gradient).sum();
  if (!(slope < 0)) return std::nullopt;
  Descent next;
  for (int attempt = 0; attempt < 30; ++attempt, length /= 2) {
    next.at = from.at + length * direction;
    next.value = function(next.at, next.gradient);
    if (next.value <= from.value + 1e-4 * length * slope) return next;
  }
  return std::nullopt;
}

/// Minimises a convex function(at, gradient), which returns its value, starting at `at`.
template <class Function>
void minimise(const Function& function, Matrix<double>& at, const MinimiserOptions& options) {
  Descent place{at, {}, 0};
  const double start = function(Matrix<double>::Zero(at.rows(), at.cols()), place.gradient);
  const double enough = options.gradient_share * place.gradient.norm();
  place.value = at.isZero(0) ? start : function(at, place.gradient);
  InverseHessian inverse(options.memory);
  for (Index step = 0; step < options.most_steps && place.gradient.norm() > enough; ++step) {
    const double length = inverse.knows_nothing() ? 1 / place.gradient.norm() : 1;
    std::optional<Descent> next = step_down(function, place, -inverse.times(place.gradient), length);
    if (!next && inverse.knows_nothing()) break;
    if (!next) {
      inverse.forget();
      continue;
    }
    inverse.learn(next->at - place.at, next->gradient - place.gradient);
    place = *std::move(next);
  }
  at = place.at;
}

}  // namespace crate::detail
