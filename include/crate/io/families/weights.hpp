// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/io/families/detail/listed_tensors.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/operators/patches.hpp"

// Converts between a model's parameters and tensors with published names.

namespace crate {

namespace detail {

/// The patches of an image model, which determine the shape of its convolution kernels.
template <class Model>
[[nodiscard]] std::optional<PatchGrid> patches_of(const Model& model) {
  if constexpr (requires { patch_grid(model); })
    return patch_grid(model);
  else
    return std::nullopt;
}

/// The published shape of a parameter. Throws Error if it is a convolution kernel and the model has no patches.
template <class Memory>
[[nodiscard]] std::vector<Index> published_shape(const ListedParameter<Memory>& parameter, PublishedLayout layout,
                                                 const std::optional<PatchGrid>& patches) {
  if (layout == PublishedLayout::convolution) {
    if (!patches)
      throw Error(concatenate("published names: expected a model with a grid of patches for the convolution kernel ",
                              quote(parameter.name), ", found none"));
    return {parameter.rows, patches->channels, patches->height, patches->width};
  }
  std::vector<Index> shape = shape_in_memory(parameter);
  if (layout == PublishedLayout::transposed) std::swap(shape.front(), shape.back());
  if (layout == PublishedLayout::one_set) shape.insert(shape.begin(), 3 - shape.size(), 1);
  return shape;
}

[[nodiscard]] inline bool holds_real_numbers(const Tensor& tensor) {
  return tensor.dtype == Dtype::f64 || tensor.dtype == Dtype::f32 || tensor.dtype == Dtype::f16 ||
         tensor.dtype == Dtype::bf16;
}

/// Why `found` is not the wanted tensor; nothing if it is.
inline std::optional<std::string> complaint(const std::string& name, const std::vector<Index>& shape,
                                            const Tensor* found) {
  if (found == nullptr) return concatenate("missing: ", quote(name), " ", shape_text(shape));
  if (found->shape != shape)
    return concatenate("misshapen: ", quote(name), ": expected ", shape_text(shape), ", found ",
                       shape_text(found->shape));
  if (!holds_real_numbers(*found))
    return concatenate("of another type: ", quote(name), ": expected F64, F32, F16 or BF16, found ",
                       dtype_name(found->dtype));
  return std::nullopt;
}

/// The first of many complaints, one per line, and the number of further ones.
class Complaints {
 public:
  void add(const std::optional<std::string>& complaint) {
    if (complaint && ++count_ <= most_listed) (list_ += "\n  ") += *complaint;
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
inline void check_fit(const ParameterList& model, const TensorTable& weights, std::span<const PublishedName> names,
                      const std::optional<PatchGrid>& patches) {
  Complaints complaints;
  const std::vector<Tensor>& tensors = weights.tensors();
  std::vector<bool> wanted(tensors.size(), false);
  for (const Parameter& parameter : model) {
    const PublishedTensorName published = published_name(names, parameter.name);
    const Tensor* const found = weights.find(published.name);
    complaints.add(complaint(published.name, published_shape(parameter, published.layout, patches), found));
    if (found != nullptr) wanted[static_cast<std::size_t>(found - tensors.data())] = true;
  }
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (!wanted[i]) complaints.add(concatenate("surplus: ", quote(tensors[i].name), " ", shape_text(tensors[i].shape)));
  if (!complaints.empty()) throw file_error(weights.source(), "the weights do not fit the model:", complaints.text());
}

/// Fills a new model, which must be discarded on failure. Throws as load_weights; some parameters may be
/// filled by then.
inline void fill_new_model(const ParameterList& model, const TensorTable& weights, std::span<const PublishedName> names,
                           const std::optional<PatchGrid>& patches) {
  check_fit(model, weights, names, patches);
  for (const Parameter& parameter : model) {
    const PublishedTensorName published = published_name(names, parameter.name);
    const Tensor& tensor = weights.at(published.name);
    with_numbers(parameter, [&](auto numbers) {
      copy_finite_values(published.layout == PublishedLayout::transposed ? transposed(tensor) : tensor, numbers);
    });
    release(tensor);
  }
}

[[nodiscard]] inline std::vector<Tensor> published_tensors(const ConstParameterList& model,
                                                           std::span<const PublishedName> names,
                                                           const std::optional<PatchGrid>& patches,
                                                           ParameterKind last_kind) {
  std::vector<Tensor> tensors;
  for (const ConstParameter& parameter : model) {
    if (parameter.kind > last_kind) continue;
    PublishedTensorName published = published_name(names, parameter.name);
    const bool turns = published.layout == PublishedLayout::transposed;
    Tensor tensor = tensor_of_parameter(
        std::move(published.name),
        turns ? shape_in_memory(parameter) : published_shape(parameter, published.layout, patches), parameter);
    tensors.push_back(turns ? transposed(tensor) : std::move(tensor));
  }
  return tensors;
}

}  // namespace detail

/// Fills every parameter of a model from the tensor with its published name, and releases the memory of a mapped file
/// as it goes. Throws FileError that lists missing, surplus and misshapen tensors, by name and with both shapes, or
/// names a tensor with numbers that are nan, infinite or too large for the model's scalar; the model is then unchanged.
template <class Model>
void load_weights(Model& model, const TensorTable& weights, std::span<const PublishedName> names) {
  Model filled = model;
  detail::fill_new_model(list_parameters(filled), weights, names, detail::patches_of(filled));
  model = std::move(filled);
}

/// Tensors that view a model's parameters, of the kinds up to the last one given, under their published
/// names, for writing.
template <class Model>
[[nodiscard]] std::vector<Tensor> published_tensors(const Model& model, std::span<const PublishedName> names,
                                                    ParameterKind last_kind = ParameterKind::unused) {
  return detail::published_tensors(list_parameters(model), names, detail::patches_of(model), last_kind);
}

}  // namespace crate
