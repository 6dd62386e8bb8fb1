// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/training/detail/trained_pieces.hpp"

// Gradients are models: they are cleared, added, measured and clipped.

namespace crate {

/// All trainable parameters become zero: a gradient starts anew.
template <class Model>
void clear_gradient(Model& gradient, Threads& threads) {
  detail::for_each_trained(
      threads, [](bool, auto numbers) { numbers.setZero(); }, gradient);
}

/// sum += addend, over the trainable parameters. Throws ShapeError if the models differ in structure.
template <class Model>
void add_gradient(Model& sum, const Model& addend, Threads& threads) {
  detail::for_each_trained(
      threads, [](bool, auto total, const auto& more) { total += more; }, sum, addend);
}

/// The Euclidean norm of all trainable parameters taken as one vector, summed in double in an order that does not depend on the
/// number of threads.
template <class Model>
[[nodiscard]] double gradient_norm(const Model& gradient, Threads& threads) {
  const auto pieces = detail::trained_pieces(gradient);
  std::vector<double> squares(pieces.size());
  threads.for_each(static_cast<Index>(pieces.size()), [&](Index i, int) {
    const auto& piece = pieces[static_cast<std::size_t>(i)];
    squares[static_cast<std::size_t>(i)] =
        detail::as_array(std::get<0>(piece.data), piece.size).template cast<double>().square().sum();
  });
  double sum = 0;
  for (const double square : squares) sum += square;
  return std::sqrt(sum);
}

/// What a gradient of norm `norm` is multiplied by so that its norm is at most `largest`: min(1, largest / (norm + 1e-6)), as
/// PyTorch's clip_grad_norm_ does.
[[nodiscard]] inline double clipping_factor(double norm, double largest) {
  return std::min(1.0, largest / (norm + 1e-6));
}

}  // namespace crate
