// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/views.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// A folded layer that can add to its output on the way: `compute(z, addend, out, pass)` is out = addend + layer(z).
template <class L>
concept AddsToOutput = requires(const L& layer, Eigen::Ref<const Matrix<typename L::Scalar>> z,
                                detail::Columns<const typename L::Scalar> addend,
                                Eigen::Ref<Matrix<typename L::Scalar>> out, Pass<typename L::Scalar>& pass) {
  layer.compute(z, addend, out, pass);
};

/// z + layer(z), the sum taken where the layer's last product is finished. A minus is inside the layer.
template <AddsToOutput Inner>
class FoldedResidual {
 public:
  using Scalar = typename Inner::Scalar;
  static constexpr bool is_tokenwise = Tokenwise<Inner>;

  explicit FoldedResidual(Inner inner, int sign = 1) : inner_(std::move(inner)), sign_(sign) {}

  [[nodiscard]] Index input_dim() const { return inner_.input_dim(); }
  [[nodiscard]] Index output_dim() const { return inner_.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    const std::string change = inner_.formula(argument);
    return argument + (sign_ > 0 ? " + " + change : " - " + as_factor(change));
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return inner_.multiply_adds(layout); }
  void list_cached_rows(std::vector<Index>& rows) const { detail::list_cached_rows(inner_, rows); }
  [[nodiscard]] std::size_t bytes_held() const { return inner_.bytes_held(); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    inner_.compute(z, detail::columns_of(z), out, pass);
  }

  [[nodiscard]] bool computes_first_alone() const { return true; }

  void forward_first(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const requires requires {
    &Inner::compute_first;
  }
  {
    Workspace::Frame frame(pass.workspace);
    auto firsts = frame.template matrix<Scalar>(z.rows(), pass.layout().sets());
    for (Index s = 0; s < pass.layout().sets(); ++s) firsts.col(s) = z.col(pass.layout().begin(s));
    inner_.compute_first(z, detail::columns_of(std::as_const(firsts)), out, pass);
  }

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& layout, int threads) const {
    return inner_.workspace_bytes(layout, threads) + Workspace::room<Scalar>(input_dim() * layout.sets());
  }

 private:
  Inner inner_;
  int sign_;
};

}  // namespace crate
