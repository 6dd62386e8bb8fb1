// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "crate/io/families/weights.hpp"
#include "crate/io/formats/safetensors.hpp"

// Files of what the published code computed, and models of the weights in them.

namespace crate::test {

inline TensorTable fixture(const std::string& name) {
  return read_safetensors(std::string(CRATE_TEST_FIXTURES) + "/" + name + ".safetensors");
}

/// The tensors under "param/", by the names that the published code gives them.
inline TensorTable parameters_in(const TensorTable& file) {
  std::vector<Tensor> tensors;
  for (Tensor tensor : file.tensors())
    if (tensor.name.starts_with("param/")) {
      tensor.name.erase(0, 6);
      tensors.push_back(tensor);
    }
  return {file.source(), tensors, {}, std::make_shared<TensorTable>(file)};
}

/// [B, ...] as a column for each of B.
template <Scalar S>
Matrix<S> columns_from(const Tensor& tensor) {
  Matrix<S> columns(Index{1}, Index{1});
  Index size = 1;
  for (const Index dimension : tensor.shape) size *= dimension;
  columns.resize(size / tensor.shape[0], tensor.shape[0]);
  copy_values(tensor, std::span<S>(columns.data(), static_cast<std::size_t>(columns.size())));
  return columns;
}

template <class Model, class Options>
Model loaded(const TensorTable& weights, const Options& options, std::span<const PublishedName> names) {
  Model model(options);
  load_weights(model, weights, names);
  return model;
}

}  // namespace crate::test
