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

/// The gradient of a model resized for images of another size, which is added to the gradient of the model itself. Each
/// parameter is added once: as soon as it is complete, or at the end if it depends on the size of images.
template <class Model>
class JoinedGradient {
 public:
  /// Starts at zero. `sum` must outlive this.
  JoinedGradient(const Model& resized, Model& sum)
      : gradient_(zeros_like(resized)),
        own_(list_parameters(std::as_const(gradient_))),
        sums_(list_parameters(sum)),
        is_joined_(own_.size()) {}
  JoinedGradient(const JoinedGradient&) = delete;
  JoinedGradient& operator=(const JoinedGradient&) = delete;

  /// The gradient to which backward passes add.
  [[nodiscard]] Model& gradient() { return gradient_; }

  /// Adds those of these parameters that do not depend on the size of images; returns the corresponding parameters of
  /// the sum.
  ConstParameterList join(const ConstParameterList& complete) {
    return join_if([&](const ConstParameter& parameter) {
      return !depends_on_image_size(gradient_, parameter) &&
             std::any_of(complete.begin(), complete.end(),
                         [&](const auto& reported) { return reported.data == parameter.data; });
    });
  }

  /// Adds the remaining parameters; `grid` is that of the model itself.
  void join_rest(const PatchGrid& grid) {
    resize_gradient(gradient_, grid);
    own_ = list_parameters(std::as_const(gradient_));
    join_if([](const ConstParameter&) { return true; });
  }

 private:
  template <class IsChosen>
  ConstParameterList join_if(const IsChosen& is_chosen) {
    ParameterList sums;
    ConstParameterList addends, joined;
    for (std::size_t i = 0; i < own_.size(); ++i) {
      if (is_joined_[i] || !is_chosen(own_[i])) continue;
      is_joined_[i] = true;
      sums.push_back(sums_[i]);
      addends.push_back(own_[i]);
      joined.push_back(own_[i]);
      joined.back().data = sums_[i].data;
    }
    Threads alone;
    add_trained<typename Model::Scalar>(sums, {addends}, alone);
    return joined;
  }

  Model gradient_;
  ConstParameterList own_;
  ParameterList sums_;
  std::vector<bool> is_joined_;
};

}  // namespace crate::detail
