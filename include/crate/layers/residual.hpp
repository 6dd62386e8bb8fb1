// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/dropout.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

namespace detail {

/// Z + sign branch(Z), sign = 1 or -1. With drop-path (stochastic depth), a recorded pass leaves the branch of a token
/// set out by chance, and divides that of the others by the probability with which it stays. Source: arXiv 1603.09382.
template <class Inner, int sign>
struct SignedResidual {
  using Scalar = typename Inner::Scalar;
  static constexpr bool is_tokenwise = Tokenwise<Inner>;

  Inner branch;
  double drop_path = 0;  ///< probability in [0, 1) with which a set goes without the branch, in recorded passes alone

  explicit SignedResidual(Inner inner) : branch(std::move(inner)) {
    static_assert(!ChangesLayout<Inner>, "a residual's branch must hand on the tokens that it is given");
    check_size("residual: output dimension of the branch", branch.output_dim(), branch.input_dim());
  }

  struct Tape {
    typename TapeOf<Inner>::type branch;
    std::uint64_t place = 0;  ///< of drop-path, whose numbers backward draws again
  };

  static constexpr auto parts() { return std::tuple{part("", &SignedResidual::branch)}; }

  [[nodiscard]] Index input_dim() const { return branch.input_dim(); }
  [[nodiscard]] Index output_dim() const { return branch.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    const std::string change = branch.formula(argument);
    return argument + (sign > 0 ? " + " + change : " - " + as_factor(change));
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return branch.multiply_adds(layout); }
  void list_cached_rows(std::vector<Index>& rows) const { detail::list_cached_rows(branch, rows); }

  /// Bytes of weights, of a branch that was folded.
  [[nodiscard]] std::size_t bytes_held() const requires requires(const Inner& inner) { inner.bytes_held(); }
  { return branch.bytes_held(); }

  /// The bytes of workspace that a pass takes which is not recorded, where the branch knows.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& layout, int threads) const requires
      requires(const Inner& inner) {
    inner.workspace_bytes(layout, threads);
  }
  { return branch.workspace_bytes(layout, threads); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    check_size("residual: rows of the output", out.rows(), z.rows());
    branch.forward(z, out, pass);
    combine(z, out, out, pass);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    check_size("residual: rows of the output", out.rows(), z.rows());
    auto change = pass.keep(z.rows(), z.cols());  // not in place: the inner tape may view it
    branch.forward(z, change, tape.branch, pass);
    if (drop_path == 0) return combine(z, change, out, pass);
    tape.place = pass.dropout.take_place();
    out = change;
    drop_whole_sets(pass.layout(), drop_path, pass.dropout, tape.place, out);
    combine(z, out, out, pass);
  }

  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, Tokens<Scalar> z_cotangent,
                SignedResidual& gradient, Pass<Scalar>& pass) const {
    if (sign > 0 && drop_path == 0) {
      branch.backward(out_cotangent, tape.branch, z_cotangent, gradient.branch, pass);
    } else {
      Workspace::Frame frame(pass.workspace);
      auto of_branch = frame.template matrix<Scalar>(out_cotangent.rows(), out_cotangent.cols());
      of_branch = Scalar(sign) * out_cotangent;
      if (drop_path > 0) drop_whole_sets(pass.layout(), drop_path, pass.dropout, tape.place, of_branch);
      branch.backward(of_branch, tape.branch, z_cotangent, gradient.branch, pass);
    }
    for_each_columns(z_cotangent.cols(), pass.threads,
                     [&](Index j, Index n) { z_cotangent.middleCols(j, n) += out_cotangent.middleCols(j, n); });
  }

 private:
  static void combine(ConstTokens<Scalar> z, ConstTokens<Scalar> change, Tokens<Scalar> out, Pass<Scalar>& pass) {
    for_each_columns(z.cols(), pass.threads, [&](Index j, Index n) {
      if constexpr (sign > 0)
        out.middleCols(j, n) = z.middleCols(j, n) + change.middleCols(j, n);
      else
        out.middleCols(j, n) = z.middleCols(j, n) - change.middleCols(j, n);
    });
  }
};

}  // namespace detail

/// Z + branch(Z).
template <class Inner>
using Residual = detail::SignedResidual<Inner, 1>;

/// Z - branch(Z).
template <class Inner>
using Subtract = detail::SignedResidual<Inner, -1>;

}  // namespace crate
