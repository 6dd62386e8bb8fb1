// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/matrix.hpp"
#include "crate/io/formats/tensor_table.hpp"
#include "inspect_model/options.hpp"

namespace inspect_model {

/// Looks into the model with these weights, of numbers of type S: float or double.
template <crate::Scalar S>
void inspect_in(const crate::TensorTable& weights, const Options& options);

}  // namespace inspect_model
