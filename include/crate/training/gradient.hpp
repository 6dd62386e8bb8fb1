// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"
#include "crate/training/detail/trained_pieces.hpp"

// Gradients have the type of the model. Here they are cleared, added, measured and clipped.

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

/// The sums of squares of a few runs, interleaved so that additions of different runs overlap.
template <std::size_t runs>
void sum_squares(const std::array<std::span<const float>, runs>& numbers, double* sums) {
  std::array<double, runs> squares{};
  std::array<const float*, runs> first{};
  std::size_t common = numbers[0].size();
  for (std::size_t k = 0; k < runs; ++k) {
    first[k] = numbers[k].data();
    common = std::min(common, numbers[k].size());
  }
  const auto square = [&](std::size_t k, std::size_t i) { return static_cast<double>(first[k][i]) * first[k][i]; };
  for (std::size_t i = 0; i < common; ++i)
    for (std::size_t k = 0; k < runs; ++k) squares[k] += square(k, i);
  for (std::size_t k = 0; k < runs; ++k) {
    for (std::size_t i = common; i < numbers[k].size(); ++i) squares[k] += square(k, i);
    sums[k] = squares[k];
  }
}

/// The sum of squares of each run, in double.
template <Scalar S>
[[nodiscard]] std::vector<double> squares_of_runs(const ConstParameterList& gradient,
                                                  const std::vector<TrainedNumbers>& runs, Threads& threads) {
  constexpr std::size_t together = std::is_same_v<S, float> ? 8 : 1;
  std::vector<double> squares((runs.size() + together - 1) / together * together);
  threads.for_each(static_cast<Index>(squares.size() / together), [&](Index piece, int) {
    const std::size_t begin = static_cast<std::size_t>(piece) * together;
    if constexpr (std::is_same_v<S, float>) {
      std::array<std::span<const float>, together> numbers{};
      for (std::size_t k = 0; k < together && begin + k < runs.size(); ++k) {
        const auto run = runs[begin + k].of<float>(gradient);
        numbers[k] = {run.data(), static_cast<std::size_t>(run.size())};
      }
      sum_squares(numbers, &squares[begin]);
    } else {
      squares[begin] = runs[begin].of<double>(gradient).square().sum();
    }
  });
  squares.resize(runs.size());
  return squares;
}

template <Scalar S>
[[nodiscard]] double norm_of_trained(const ConstParameterList& gradient, Threads& threads) {
  double sum = 0;
  for (const double square : squares_of_runs<S>(gradient, cut_trained(gradient).runs, threads)) sum += square;
  return std::sqrt(sum);
}

/// The norm of each trainable parameter; 0 for all others.
template <Scalar S>
[[nodiscard]] std::vector<double> norms_of_trained(const ConstParameterList& gradient, Threads& threads) {
  const std::vector<TrainedNumbers> runs = cut_trained(gradient).runs;
  const std::vector<double> squares = squares_of_runs<S>(gradient, runs, threads);
  std::vector<double> norms(gradient.size());
  for (std::size_t i = 0; i < runs.size(); ++i) norms[runs[i].parameter] += squares[i];
  for (double& norm : norms) norm = std::sqrt(norm);
  return norms;
}

}  // namespace detail

/// Sets all trainable parameters of a gradient to zero.
template <class Model>
void clear_gradient(Model& gradient, Threads& threads) {
  detail::clear_trained(list_parameters(gradient), threads);
}

/// sum += addend for each addend in turn, over the trainable parameters. Throws ShapeError if the models differ in
/// structure.
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

/// The Euclidean norm of all trainable parameters taken as one vector, summed in double in an order that does not
/// depend on the number of threads.
template <class Model>
[[nodiscard]] double gradient_norm(const Model& gradient, Threads& threads) {
  return detail::norm_of_trained<typename Model::Scalar>(list_parameters(gradient), threads);
}

/// The factor that clips a gradient of norm `norm` to the norm `largest`:
///   min(1, largest / (norm + 1e-6)), as PyTorch's clip_grad_norm_ does.
[[nodiscard]] inline double clipping_factor(double norm, double largest) {
  return std::min(1.0, largest / (norm + 1e-6));
}

/// Clips every trainable parameter by its own norm: G_i <- min(1, largest / (||G_i|| + 1e-6)) G_i. Norms are summed in
/// double, in an order that does not depend on the number of threads. Returns the largest norm before clipping; if a
/// norm is not finite, returns that one and clips nothing.
template <class Model>
double clip_each_parameter(Model& gradient, double largest, Threads& threads) {
  using S = typename Model::Scalar;
  const std::vector<double> norms = detail::norms_of_trained<S>(list_parameters(std::as_const(gradient)), threads);
  double largest_found = 0;
  for (const double norm : norms) {
    if (!std::isfinite(norm)) return norm;
    largest_found = std::max(largest_found, norm);
  }
  const ParameterList parameters = list_parameters(gradient);
  detail::for_each_trained(parameters, threads, [&](const detail::TrainedNumbers& numbers) {
    const double factor = clipping_factor(norms[numbers.parameter], largest);
    if (factor < 1) numbers.of<S>(parameters) *= static_cast<S>(factor);
  });
  return largest_found;
}

}  // namespace crate
