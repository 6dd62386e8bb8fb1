// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"
#include "crate/layers/patch_embedding.hpp"
#include "crate/training/gradient.hpp"

namespace crate::detail {

/// The gradient of a model for images of another size, which is added to that of the model itself, each parameter once:
/// when it is complete, or at the end, as those must be whose size goes with that of the images.
template <class Model>
class JoinedGradient {
 public:
  Model gradient;

  /// Zero. `sum` must outlive this.
  JoinedGradient(const Model& resized, Model& sum)
      : gradient(zeros_like(resized)), sum_(list_parameters(sum)), is_joined_(sum_.size()) {}

  /// Adds those of these parameters of the gradient that have their size in the sum; returns these of the sum.
  ConstParameterList join(const ConstParameterList& complete) {
    return join_if([&](const ConstParameter& parameter, const Parameter& in_sum) {
      return parameter.size() == in_sum.size() && std::any_of(complete.begin(), complete.end(), [&](const auto& told) {
               return told.data == parameter.data;
             });
    });
  }

  /// Adds the others, for images that the model itself cuts by `grid`.
  void join_rest(const PatchGrid& grid) {
    resize_gradient(gradient, grid);
    join_if([](const ConstParameter&, const Parameter&) { return true; });
  }

 private:
  template <class IsChosen>
  ConstParameterList join_if(const IsChosen& is_chosen) {
    const ConstParameterList all = list_parameters(std::as_const(gradient));
    ParameterList sums;
    ConstParameterList addends, joined;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (is_joined_[i] || !is_chosen(all[i], sum_[i])) continue;
      is_joined_[i] = true;
      sums.push_back(sum_[i]);
      addends.push_back(all[i]);
      joined.push_back(all[i]);
      joined.back().data = sum_[i].data;
    }
    Threads alone;
    add_trained<typename Model::Scalar>(sums, {addends}, alone);
    return joined;
  }

  ParameterList sum_;
  std::vector<bool> is_joined_;
};

}  // namespace crate::detail
