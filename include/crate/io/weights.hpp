// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
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

/// The first of many complaints, a line each, and how many more there are.
class Complaints {
 public:
  void add(const std::string& complaint) {
    if (complaint.empty()) return;
    if (++count_ <= most_listed) (list_ += "\n  ") += complaint;
  }

  [[nodiscard]] bool empty() const { return count_ == 0; }

  [[nodiscard]] std::string text() const {
    return count_ <= most_listed ? list_ : concatenate(list_, "\n  and ", count_ - most_listed, " more");
  }

 private:
  static constexpr std::size_t most_listed = 40;
  std::size_t count_ = 0;
  std::string list_;
};

/// Throws FileError that lists missing, surplus and misshapen tensors.
template <class Model>
void check_fit(const Model& model, const TensorTable& weights, std::span<const PublishedName> names,
               const PatchGrid& grid) {
  Complaints complaints;
  const std::vector<Tensor>& tensors = weights.tensors();
  std::vector<bool> wanted(tensors.size(), false);
  for_each_parameter(
      [&](std::string_view ours, ParameterKind, const auto& parameter) {
        const PublishedTensorName published = published_name(names, ours);
        const Tensor* const found = weights.find(published.name);
        complaints.add(complaint(published.name, published_shape(parameter, published.layout, grid), found));
        if (found != nullptr) wanted[static_cast<std::size_t>(found - tensors.data())] = true;
      },
      model);
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (!wanted[i]) complaints.add(concatenate("surplus: ", quote(tensors[i].name), " ", shape_text(tensors[i].shape)));
  if (!complaints.empty()) throw file_error(weights.source(), "the weights do not fit the model:", complaints.text());
}

/// Fills a model that nobody sees if this fails. Throws as load_weights; then some parameters are filled.
template <class Model>
void fill_new_model(Model& model, const TensorTable& weights, std::span<const PublishedName> names,
                    const PatchGrid& grid) {
  check_fit(model, weights, names, grid);
  for_each_parameter(
      [&](std::string_view ours, ParameterKind, auto& parameter) {
        const Tensor& tensor = weights.at(published_name(names, ours).name);
        copy_finite_values(tensor, values_of(parameter));
        release(tensor);
      },
      model);
}

}  // namespace detail

/// Fills every parameter of a model from the tensor of its published name, and gives back the memory of the mapped file
/// behind it. `grid` tells the shape of convolution kernels. Throws FileError that lists missing, surplus and misshapen
/// tensors, by name and with both shapes, or names a tensor with numbers that are NaN, infinite or too large for the
/// model's scalar; then the model is as before.
template <class Model>
void load_weights(Model& model, const TensorTable& weights, std::span<const PublishedName> names,
                  const PatchGrid& grid) {
  Model filled = model;
  detail::fill_new_model(filled, weights, names, grid);
  model = std::move(filled);
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
