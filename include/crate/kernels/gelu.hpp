// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/threads.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/gelu_form.hpp"
#include "crate/kernels/views.hpp"

namespace crate::detail {

/// out = GELU(z) for rows x cols numbers, with an error below 8 epsilon max(|z|, 1/2). Out may be z.
template <Scalar S>
void gelu_into(Columns<const S> z, Index rows, Index cols, GeluForm form, Columns<S> out, Threads& threads) {
  with_kernels(instruction_set(), [&]<class K>(K) { K::template gelu_into<S>(z, rows, cols, form, out, threads); });
}

/// The adjoint of gelu_into: out = dL/dZ of the cotangent dL/dGELU(Z). Out may be the cotangent.
template <Scalar S>
void gelu_adjoint_into(Columns<const S> z, Columns<const S> cotangent, Index rows, Index cols, GeluForm form,
                       Columns<S> out, Threads& threads) {
  with_kernels(instruction_set(),
               [&]<class K>(K) { K::template gelu_adjoint_into<S>(z, cotangent, rows, cols, form, out, threads); });
}

}  // namespace crate::detail
