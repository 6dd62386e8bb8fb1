// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "crate/core/part.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/pass.hpp"

// What makes layers of layers: PreNorm, Residual, Subtract and Chain.

namespace crate {

/// layer(LN(Z)).
template <class Inner>
struct PreNorm {
  using Scalar = typename Inner::Scalar;

  LayerNorm<Scalar> norm;
  Inner layer;

  explicit PreNorm(Inner inner, const LayerNormOptions& options = {})
      : norm(inner.input_dim(), options), layer(std::move(inner)) {}

  static constexpr auto parts() { return std::tuple{part("norm", &PreNorm::norm), part("", &PreNorm::layer)}; }

  [[nodiscard]] Index input_dim() const { return norm.input_dim(); }
  [[nodiscard]] Index output_dim() const { return layer.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return layer.formula(norm.formula(argument)); }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return layer.multiply_adds(layout); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto normalised = frame.template matrix<Scalar>(z.rows(), z.cols());
    norm.forward(z, normalised, pass);
    layer.forward(normalised, out, pass);
  }
};

namespace detail {

/// Z + sign layer(Z), sign = 1 or -1.
template <class Inner, int sign>
struct SignedResidual {
  using Scalar = typename Inner::Scalar;

  Inner layer;

  explicit SignedResidual(Inner inner) : layer(std::move(inner)) {
    check_size("residual: output dimension of the layer", layer.output_dim(), layer.input_dim());
  }

  static constexpr auto parts() { return std::tuple{part("", &SignedResidual::layer)}; }

  [[nodiscard]] Index input_dim() const { return layer.input_dim(); }
  [[nodiscard]] Index output_dim() const { return layer.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return argument + (sign > 0 ? " + " : " - ") + layer.formula(argument);
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return layer.multiply_adds(layout); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    check_size("residual: rows of the output", out.rows(), z.rows());
    layer.forward(z, out, pass);
    for_each_columns(z.cols(), pass.threads, [&](Index j, Index n) {
      auto columns = out.middleCols(j, n);
      if constexpr (sign > 0)
        columns += z.middleCols(j, n);
      else
        columns = z.middleCols(j, n) - columns;
    });
  }
};

}  // namespace detail

/// Z + layer(Z).
template <class Inner>
using Residual = detail::SignedResidual<Inner, 1>;

/// Z - layer(Z).
template <class Inner>
using Subtract = detail::SignedResidual<Inner, -1>;

/// A layer that is its parts, one after another, in the order in which parts() lists them: `struct Block : Chain<Block>`.
/// Every part is a half-step that observers see under its name. A part may be a std::vector of layers.
template <class Self, crate::Scalar S>
struct Chain {
  using Scalar = S;

  [[nodiscard]] Index input_dim() const {
    Index dim = 0;
    for_each_link([&](std::string_view, const auto& link, std::size_t i) { dim = i == 0 ? link.input_dim() : dim; });
    return dim;
  }

  [[nodiscard]] Index output_dim() const {
    Index dim = 0;
    for_each_link([&](std::string_view, const auto& link, std::size_t) { dim = link.output_dim(); });
    return dim;
  }

  [[nodiscard]] std::string formula(const std::string& argument) const {
    std::string text = argument;
    for_each_link([&](std::string_view, const auto& link, std::size_t) { text = link.formula(text); });
    return text;
  }

  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    double total = 0;
    for_each_link([&](std::string_view, const auto& link, std::size_t) { total += link.multiply_adds(layout); });
    return total;
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    Workspace::Frame frame(pass.workspace);
    std::optional<Eigen::Map<Matrix<S>, Eigen::AlignedMax>> rooms[2];  // odd and even half-steps take turns
    std::optional<Eigen::Ref<const Matrix<S>>> current(std::in_place, z);
    const std::size_t links = link_count();
    for_each_link([&](std::string_view name, const auto& link, std::size_t i) {
      const typename Pass<S>::Scope scope(pass, name);
      if (i + 1 == links) return step(link, *current, out, pass);
      auto& room = rooms[i % 2];
      if (!room) room.emplace(frame.template matrix<S>(widest_link(), z.cols()));
      Eigen::Map<Matrix<S>, Eigen::AlignedMax> next(room->data(), link.output_dim(), z.cols());
      step(link, *current, next, pass);
      current.emplace(next);
    });
  }

  /// Sends tokens or token sets through, with what the caller lends. See crate::forward.
  [[nodiscard]] Matrix<S> forward(const Matrix<S>& tokens, const Run<S>& run = {}) const {
    return crate::forward(self(), tokens, run);
  }
  [[nodiscard]] TokenSets<S> forward(const TokenSets<S>& sets, const Run<S>& run = {}) const {
    return crate::forward(self(), sets, run);
  }

  /// Calls visit(name, link, i) for the i-th layer of the chain; the name of one in a vector is "part.index".
  template <class Visit>
  void for_each_link(const Visit& visit) const {
    std::size_t count = 0;
    const auto visit_part = [&](const auto& entry) {
      const auto& member = self().*entry.member;
      if constexpr (detail::is_vector_of_parts<std::remove_cvref_t<decltype(member)>>)
        for (std::size_t i = 0; i < member.size(); ++i)
          visit(join_names(entry.name, std::to_string(i)), member[i], count++);
      else
        visit(entry.name, member, count++);
    };
    std::apply([&](const auto&... entries) { (visit_part(entries), ...); }, Self::parts());
  }

 private:
  [[nodiscard]] const Self& self() const { return static_cast<const Self&>(*this); }

  [[nodiscard]] std::size_t link_count() const {
    std::size_t count = 0;
    for_each_link([&](std::string_view, const auto&, std::size_t) { ++count; });
    return count;
  }

  [[nodiscard]] Index widest_link() const {
    Index widest = 0;
    for_each_link(
        [&](std::string_view, const auto& link, std::size_t) { widest = std::max(widest, link.output_dim()); });
    return widest;
  }

  /// A link that is a chain itself shows its own half-steps, the last of which is its result.
  template <class Link>
  static void step(const Link& link, ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) {
    link.forward(z, out, pass);
    if constexpr (!std::derived_from<Link, Chain<Link, S>>) pass.observe("", out);
  }
};

}  // namespace crate
