// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "crate/core/parameter_list.hpp"
#include "crate/io/formats/tensor.hpp"

// Parameters of a list as tensors.

namespace crate::detail {

/// The shape for which the parameter's memory is row-major.
template <class Memory>
[[nodiscard]] std::vector<Index> shape_in_memory(const ListedParameter<Memory>& parameter) {
  if (parameter.is_vector) return {parameter.size()};
  if (parameter.is_row_major) return {parameter.rows, parameter.cols};
  return {parameter.cols, parameter.rows};
}

template <class Memory>
[[nodiscard]] Dtype dtype_of_parameter(const ListedParameter<Memory>& parameter) {
  return parameter.scalar == ScalarType::f32 ? Dtype::f32 : Dtype::f64;
}

/// Calls visit(numbers) with a span of the parameter's numbers.
template <class Memory, class Visit>
void with_numbers(const ListedParameter<Memory>& parameter, const Visit& visit) {
  if (parameter.scalar == ScalarType::f32)
    visit(parameter.template numbers<float>());
  else
    visit(parameter.template numbers<double>());
}

/// A tensor of this name and shape that views the parameter, for writing. Throws ShapeError unless the shape has the
/// parameter's number of elements.
[[nodiscard]] inline Tensor tensor_of_parameter(std::string name, std::vector<Index> shape,
                                                const ConstParameter& parameter) {
  if (parameter.scalar == ScalarType::f32)
    return tensor_of(std::move(name), std::move(shape), parameter.numbers<float>());
  return tensor_of(std::move(name), std::move(shape), parameter.numbers<double>());
}

}  // namespace crate::detail
