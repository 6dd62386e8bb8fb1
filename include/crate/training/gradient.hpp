// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"
#include "crate/training/detail/trained_pieces.hpp"

// Gradients are models: they are cleared, added, measured and clipped.

namespace crate {

namespace detail {

inline void clear_trained(const ParameterList& gradient, Threads& threads) {
  for_each_run(cut_trained(gradient), threads, [&](const TrainedNumbers& run, std::size_t) {
    const Parameter& parameter = gradient[run.parameter];
    const std::size_t number = parameter.bytes() / static_cast<std::size_t>(parameter.size());
    std::memset(static_cast<std::byte*>(parameter.data) + static_cast<std::size_t>(run.first) * number, 0,
                static_cast<std::size_t>(run.size) * number);
  });
}

template <Scalar S>
void add_trained(const ParameterList& sum, const std::vector<ConstParameterList>& addends, Threads& threads) {
  for (const ConstParameterList& addend : addends) check_same_structure(sum, addend);
  for_each_trained(sum, threads, [&](const TrainedNumbers& numbers) {
    auto total = numbers.of<S>(sum);
    for (const ConstParameterList& addend : addends) total += numbers.of<S>(addend);
  });
}

template <Scalar S>
[[nodiscard]] double norm_of_trained(const ConstParameterList& gradient, Threads& threads) {
  const TrainedPieces pieces = cut_trained(gradient);
  std::vector<double> squares(pieces.runs.size());
  for_each_run(pieces, threads, [&](const TrainedNumbers& numbers, std::size_t run) {
    squares[run] = numbers.of<S>(gradient).template cast<double>().square().sum();
  });
  double sum = 0;
  for (const double square : squares) sum += square;
  return std::sqrt(sum);
}

}  // namespace detail

/// All trainable parameters become zero: a gradient starts anew.
template <class Model>
void clear_gradient(Model& gradient, Threads& threads) {
  detail::clear_trained(list_parameters(gradient), threads);
}

/// sum += addend, for one addend after the other, over the trainable parameters. Throws ShapeError if the models differ
/// in structure.
template <class Model>
void add_gradients(Model& sum, std::span<const Model> addends, Threads& threads) {
  std::vector<ConstParameterList> lists;
  for (const Model& addend : addends) lists.push_back(list_parameters(addend));
  detail::add_trained<typename Model::Scalar>(list_parameters(sum), lists, threads);
}
template <class Model>
void add_gradient(Model& sum, const Model& addend, Threads& threads) {
  add_gradients(sum, std::span<const Model>(&addend, 1), threads);
}

/// The Euclidean norm of all trainable parameters taken as one vector, summed in double in an order that does not depend on the
/// number of threads.
template <class Model>
[[nodiscard]] double gradient_norm(const Model& gradient, Threads& threads) {
  return detail::norm_of_trained<typename Model::Scalar>(list_parameters(gradient), threads);
}

/// What a gradient of norm `norm` is multiplied by so that its norm is at most `largest`: min(1, largest / (norm + 1e-6)), as
/// PyTorch's clip_grad_norm_ does.
[[nodiscard]] inline double clipping_factor(double norm, double largest) {
  return std::min(1.0, largest / (norm + 1e-6));
}

}  // namespace crate
