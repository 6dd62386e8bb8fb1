// SPDX-License-Identifier: MIT
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/io/published_names.hpp"
#include "crate/io/tensor.hpp"
#include "crate/operators/patches.hpp"

// Parameters of a model from and to tensors with published names.

namespace crate {

namespace detail {

/// The published shape of a parameter.
template <class Parameter>
std::vector<Index> published_shape(const Parameter& parameter, PublishedLayout layout, const PatchGrid& grid) {
  if (layout == PublishedLayout::convolution) return {parameter.rows(), grid.channels, grid.height, grid.width};
  std::vector<Index> shape{parameter.rows(), parameter.cols()};
  if constexpr (Parameter::IsVectorAtCompileTime)
    shape = {parameter.size()};
  else if (!Parameter::IsRowMajor)
    shape = {parameter.cols(), parameter.rows()};
  if (layout == PublishedLayout::one_set) shape.insert(shape.begin(), 3 - shape.size(), 1);
  return shape;
}

template <class Parameter>
auto values_of(Parameter& parameter) {
  return std::span(parameter.data(), static_cast<std::size_t>(parameter.size()));
}

[[nodiscard]] inline bool holds_real_numbers(const Tensor& tensor) {
  return tensor.dtype == Dtype::f64 || tensor.dtype == Dtype::f32 || tensor.dtype == Dtype::f16 ||
         tensor.dtype == Dtype::bf16;
}

/// What keeps `found` from being the tensor wanted, or nothing.
inline std::string complaint(const std::string& name, const std::vector<Index>& shape, const Tensor* found) {
  if (found == nullptr) return concatenate("missing: ", quote(name), " ", shape_text(shape));
  if (found->shape != shape)
    return concatenate("misshapen: ", quote(name), ": expected ", shape_text(shape), ", found ",
                       shape_text(found->shape));
  if (!holds_real_numbers(*found))
    return concatenate("of another type: ", quote(name), ": expected F64, F32, F16 or BF16, found ",
                       dtype_name(found->dtype));
  return {};
}

}  // namespace detail

/// Fills every parameter of a model from the tensor of its published name, and gives back the memory of the mapped file behind it. `grid` tells the shape of convolution kernels.
/// Throws FileError that lists all missing, surplus and misshapen tensors, by name and with both shapes; then the model is
/// as before.
template <class Model>
void load_weights(Model& model, const TensorTable& weights, std::span<const PublishedName> names,
                  const PatchGrid& grid) {
  std::string complaints;
  const auto complain = [&](const std::string& text) { complaints += text.empty() ? "" : "\n  " + text; };
  std::set<std::string, std::less<>> wanted;
  for_each_parameter(
      [&](std::string_view ours, ParameterKind, const auto& parameter) {
        const PublishedTensorName published = published_name(names, ours);
        complain(detail::complaint(published.name, detail::published_shape(parameter, published.layout, grid),
                                   weights.find(published.name)));
        wanted.insert(published.name);
      },
      model);
  for (const Tensor& tensor : weights.tensors())
    if (!wanted.contains(tensor.name))
      complain(concatenate("surplus: ", quote(tensor.name), " ", shape_text(tensor.shape)));
  if (!complaints.empty()) throw file_error(weights.source(), "the weights do not fit the model:", complaints);
  for_each_parameter(
      [&](std::string_view ours, ParameterKind, auto& parameter) {
        const Tensor& tensor = weights.at(published_name(names, ours).name);
        copy_values(tensor, detail::values_of(parameter));
        release(tensor);
      },
      model);
}

/// The parameters of a model, of the kinds up to the last one named, under their published names, to be written while the
/// model lives.
template <class Model>
[[nodiscard]] std::vector<Tensor> published_tensors(const Model& model, std::span<const PublishedName> names,
                                                    const PatchGrid& grid,
                                                    ParameterKind last_kind = ParameterKind::unused) {
  std::vector<Tensor> tensors;
  for_each_parameter(
      [&](std::string_view ours, ParameterKind kind, const auto& parameter) {
        if (kind > last_kind) return;
        PublishedTensorName published = published_name(names, ours);
        using S = typename std::remove_cvref_t<decltype(parameter)>::Scalar;
        tensors.push_back(tensor_of(std::move(published.name),
                                    detail::published_shape(parameter, published.layout, grid),
                                    std::span<const S>(detail::values_of(parameter))));
      },
      model);
  return tensors;
}

}  // namespace crate
