// SPDX-License-Identifier: MIT
#pragma once

#include <utility>
#include <vector>

#include "crate/io/formats/tensor.hpp"

namespace crate::detail {

/// The weights without those for which `is_left_out(tensor)` is true, after `change(tensor)` of each.
template <class LeftOut, class Change>
[[nodiscard]] TensorTable changed_weights(const TensorTable& weights, const LeftOut& is_left_out,
                                          const Change& change) {
  std::vector<Tensor> tensors;
  for (const Tensor& tensor : weights.tensors()) {
    if (is_left_out(tensor)) continue;
    tensors.push_back(tensor);
    change(tensors.back());
  }
  return {weights.source(), std::move(tensors), weights.metadata(), weights.owner()};
}

}  // namespace crate::detail
