// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/families/published_names.hpp"
#include "crate/io/formats/tensor.hpp"

namespace crate::detail {

/// The published name of the bias that belongs to a published weight; nothing if the table has no such pair.
[[nodiscard]] inline std::optional<std::string> bias_beside(std::string_view weight,
                                                            std::span<const PublishedName> names) {
  constexpr std::string_view end = "weight";
  if (!weight.ends_with(end)) return std::nullopt;
  for (const PublishedName& entry : names)
    if (entry.published.ends_with('.') && translate(weight, entry.published, "") == end)
      return std::string(weight.substr(0, weight.size() - end.size())) + "bias";
  return std::nullopt;
}

/// A tensor of zeros with the weight's type, one for each of its rows.
[[nodiscard]] inline Tensor zero_bias(std::string name, const Tensor& weight) {
  const auto zeros = std::make_shared<const std::vector<std::byte>>(
      weight.bytes.size() / static_cast<std::size_t>(weight.shape.size() == 1 ? 1 : weight.shape[1]));
  Tensor bias = weight;
  bias.name = std::move(name);
  bias.key_begin = 0;
  bias.shape.resize(1);
  bias.bytes = *zeros;
  bias.file = nullptr;
  bias.owner = zeros;
  return bias;
}

/// Adds zero biases to all norms if none of them has a bias, and to all linear maps if none of them has one. Norms have
/// weights of one dimension, maps of two.
[[nodiscard]] inline TensorTable with_absent_biases(const TensorTable& weights, std::span<const PublishedName> names) {
  std::vector<Tensor> tensors = weights.tensors();
  for (const std::size_t rank : {std::size_t{1}, std::size_t{2}}) {
    std::vector<Tensor> biases;
    bool has_any = false;
    for (const Tensor& tensor : weights.tensors()) {
      if (tensor.shape.size() != rank || tensor.bytes.empty()) continue;
      auto name = bias_beside(tensor.name, names);
      if (!name) continue;
      has_any = has_any || weights.find(*name) != nullptr;
      biases.push_back(zero_bias(*std::move(name), tensor));
    }
    if (!has_any) tensors.insert(tensors.end(), biases.begin(), biases.end());
  }
  return {weights.source(), std::move(tensors), weights.metadata(), weights.owner()};
}

}  // namespace crate::detail
