// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>

#include "crate/core/dropout.hpp"
#include "crate/kernels/dropout.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// Z, of which recorded passes drop entries. See core/dropout.hpp.
template <crate::Scalar S>
struct Dropout {
  using Scalar = S;
  static constexpr bool is_tokenwise = true;

  Index dim;           ///< d
  double dropout = 0;  ///< in [0, 1)

  struct Tape {
    std::uint64_t place = 0;  ///< of its numbers, which backward draws again
  };

  /// Throws OptionError on a probability out of range.
  explicit Dropout(Index width, double probability = 0) : dim(width), dropout(probability) { check_dropout(dropout); }

  static constexpr auto parts() { return std::tuple{}; }

  [[nodiscard]] Index input_dim() const { return dim; }
  [[nodiscard]] Index output_dim() const { return dim; }
  [[nodiscard]] std::string formula(const std::string& argument) const { return argument; }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout&, int) const { return 0; }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>&) const { out = z; }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    out = z;
    tape = {pass.dropout.take_place()};
    detail::drop_sets(pass.layout(), dropout, pass.dropout, tape.place, out, pass.threads);
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, Dropout&, Pass<S>& pass) const {
    z_cotangent = out_cotangent;
    detail::drop_sets(pass.layout(), dropout, pass.dropout, tape.place, z_cotangent, pass.threads);
  }
};

}  // namespace crate
