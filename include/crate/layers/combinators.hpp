// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

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

  struct Tape {
    typename LayerNorm<Scalar>::Tape norm;
    typename Inner::Tape layer;
  };

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

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    auto normalised = pass.keep(z.rows(), z.cols());
    norm.forward(z, normalised, tape.norm, pass);
    layer.forward(normalised, out, tape.layer, pass);
  }

  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, Tokens<Scalar> z_cotangent, PreNorm& gradient,
                Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto normalised_cotangent = frame.template matrix<Scalar>(z_cotangent.rows(), z_cotangent.cols());
    layer.backward(out_cotangent, tape.layer, normalised_cotangent, gradient.layer, pass);
    norm.backward(normalised_cotangent, tape.norm, z_cotangent, gradient.norm, pass);
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

  struct Tape {
    typename Inner::Tape layer;
  };

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
    combine(z, out, out, pass);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    check_size("residual: rows of the output", out.rows(), z.rows());
    auto change = pass.keep(z.rows(), z.cols());  // not in place: the inner tape may view it
    layer.forward(z, change, tape.layer, pass);
    combine(z, change, out, pass);
  }

  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, Tokens<Scalar> z_cotangent,
                SignedResidual& gradient, Pass<Scalar>& pass) const {
    if constexpr (sign > 0) {
      layer.backward(out_cotangent, tape.layer, z_cotangent, gradient.layer, pass);
    } else {
      Workspace::Frame frame(pass.workspace);
      auto negative = frame.template matrix<Scalar>(out_cotangent.rows(), out_cotangent.cols());
      negative = -out_cotangent;
      layer.backward(negative, tape.layer, z_cotangent, gradient.layer, pass);
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

/// layer(Z), of whose activations a tape keeps only Z: the backward pass computes the others again, at the cost of one more
/// forward pass.
template <class Inner>
struct Recompute {
  using Scalar = typename Inner::Scalar;

  Inner layer;

  struct Tape {
    Kept<Scalar> tokens;      ///< Z, from which all follows again
    std::uint64_t place = 0;  ///< of the layer's first dropout, so that the same is dropped again
  };

  explicit Recompute(Inner inner) : layer(std::move(inner)) {}

  static constexpr auto parts() { return std::tuple{part("", &Recompute::layer)}; }

  [[nodiscard]] Index input_dim() const { return layer.input_dim(); }
  [[nodiscard]] Index output_dim() const { return layer.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return layer.formula(argument); }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return layer.multiply_adds(layout); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const { layer.forward(z, out, pass); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    tape = {z, pass.dropout.place};
    const typename Pass<Scalar>::KeepForNow for_now(pass);
    typename Inner::Tape inner;
    layer.forward(z, out, inner, pass);
  }

  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, Tokens<Scalar> z_cotangent, Recompute& gradient,
                Pass<Scalar>& pass) const {
    const typename Pass<Scalar>::KeepForNow for_now(pass);
    pass.dropout.place = tape.place;
    auto out = pass.keep(out_cotangent.rows(), out_cotangent.cols());
    typename Inner::Tape inner;
    layer.forward(tape.tokens.view(), out, inner, pass);
    layer.backward(out_cotangent, inner, z_cotangent, gradient.layer, pass);
  }
};

/// Z + layer(Z).
template <class Inner>
using Residual = detail::SignedResidual<Inner, 1>;

/// Z - layer(Z).
template <class Inner>
using Subtract = detail::SignedResidual<Inner, -1>;

namespace detail {

template <class Link>
struct TapesOf {
  using type = typename Link::Tape;
};
template <class Link>
struct TapesOf<std::vector<Link>> {
  using type = std::vector<typename Link::Tape>;
};

/// The tapes of a chain's parts.
template <class Self>
struct ChainTape {
  template <class... Links>
  static std::tuple<typename TapesOf<Links>::type...> tapes_of(const std::tuple<Part<Self, Links>...>&);

  decltype(tapes_of(Self::parts())) links;  ///< in the order of the parts; of a vector of layers, a vector
};

/// What layers one after another are together. Self::for_each_link(visit) calls visit(name, layer, i) for the i-th.
template <class Self>
struct Linked {
  [[nodiscard]] Index input_dim() const {
    Index dim = 0;
    self().for_each_link(
        [&](std::string_view, const auto& link, std::size_t i) { dim = i == 0 ? link.input_dim() : dim; });
    return dim;
  }

  [[nodiscard]] Index output_dim() const {
    Index dim = 0;
    self().for_each_link([&](std::string_view, const auto& link, std::size_t) { dim = link.output_dim(); });
    return dim;
  }

  [[nodiscard]] std::string formula(const std::string& argument) const {
    std::string text = argument;
    self().for_each_link([&](std::string_view, const auto& link, std::size_t) { text = link.formula(text); });
    return text;
  }

  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    double total = 0;
    self().for_each_link([&](std::string_view, const auto& link, std::size_t) { total += link.multiply_adds(layout); });
    return total;
  }

 protected:
  [[nodiscard]] std::size_t link_count() const {
    std::size_t count = 0;
    self().for_each_link([&](std::string_view, const auto&, std::size_t) { ++count; });
    return count;
  }

  [[nodiscard]] Index widest_link() const {
    Index widest = 0;
    self().for_each_link(
        [&](std::string_view, const auto& link, std::size_t) { widest = std::max(widest, link.output_dim()); });
    return widest;
  }

  [[nodiscard]] const Self& self() const { return static_cast<const Self&>(*this); }
};

}  // namespace detail

/// A layer that is its parts, one after another, in the order in which parts() lists them: `struct Block : Chain<Block>`.
/// Every part is a half-step that observers see under its name. A part may be a std::vector of layers.
template <class Self, crate::Scalar S>
struct Chain : detail::Linked<Self> {
  using Scalar = S;
  using Tape = detail::ChainTape<Self>;

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

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    std::optional<Eigen::Ref<const Matrix<S>>> current(std::in_place, z);
    std::size_t left = link_count();
    for_each_part([&](const auto& entry, auto index) {
      const auto& member = self().*entry.member;
      auto& tapes = std::get<index>(tape.links);
      const auto record = [&](std::string_view name, const auto& link, auto& link_tape) {
        const typename Pass<S>::Scope scope(pass, name);
        if (--left == 0) return step(link, *current, out, link_tape, pass);
        auto next = pass.keep(link.output_dim(), z.cols());
        step(link, *current, next, link_tape, pass);
        current.emplace(next);
      };
      if constexpr (detail::is_vector_of_parts<std::remove_cvref_t<decltype(member)>>) {
        tapes.resize(member.size());
        for (std::size_t i = 0; i < member.size(); ++i)
          record(join_names(entry.name, std::to_string(i)), member[i], tapes[i]);
      } else {
        record(entry.name, member, tapes);
      }
    });
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, Self& gradient,
                Pass<S>& pass) const {
    Workspace::Frame frame(pass.workspace);
    std::optional<Eigen::Map<Matrix<S>, Eigen::AlignedMax>> rooms[2];
    std::optional<Eigen::Ref<const Matrix<S>>> current(std::in_place, out_cotangent);
    std::size_t left = link_count();
    const auto go_back = [&](const auto& link, const auto& link_tape, auto& link_gradient) {
      if (--left == 0) return link.backward(*current, link_tape, z_cotangent, link_gradient, pass);
      auto& room = rooms[left % 2];
      if (!room) room.emplace(frame.template matrix<S>(widest_link(), out_cotangent.cols()));
      Eigen::Map<Matrix<S>, Eigen::AlignedMax> next(room->data(), link.input_dim(), out_cotangent.cols());
      link.backward(*current, link_tape, next, link_gradient, pass);
      current.emplace(next);
    };
    for_each_part_backwards([&](const auto& entry, auto index) {
      const auto& member = self().*entry.member;
      const auto& tapes = std::get<index>(tape.links);
      auto& member_gradient = gradient.*entry.member;
      if constexpr (detail::is_vector_of_parts<std::remove_cvref_t<decltype(member)>>)
        for (std::size_t i = member.size(); i > 0; --i) go_back(member[i - 1], tapes[i - 1], member_gradient[i - 1]);
      else
        go_back(member, tapes, member_gradient);
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
  using detail::Linked<Self>::link_count, detail::Linked<Self>::self, detail::Linked<Self>::widest_link;

  /// Calls visit(part, index) for every part, the index known at compile time.
  template <class Visit>
  static void for_each_part(const Visit& visit) {
    static constexpr auto entries = Self::parts();
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      (visit(std::get<i>(entries), std::integral_constant<std::size_t, i>()), ...);
    }
    (std::make_index_sequence<std::tuple_size_v<decltype(Self::parts())>>());
  }

  /// The same, from the last to the first.
  template <class Visit>
  static void for_each_part_backwards(const Visit& visit) {
    static constexpr auto entries = Self::parts();
    constexpr std::size_t count = std::tuple_size_v<decltype(Self::parts())>;
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      (visit(std::get<count - 1 - i>(entries), std::integral_constant<std::size_t, count - 1 - i>()), ...);
    }
    (std::make_index_sequence<count>());
  }

  /// A link that is a chain itself shows its own half-steps, the last of which is its result.
  template <class Link>
  static void step(const Link& link, ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) {
    link.forward(z, out, pass);
    if constexpr (!std::derived_from<Link, Chain<Link, S>>) pass.observe("", out);
  }
  template <class Link>
  static void step(const Link& link, ConstTokens<S> z, Tokens<S> out, typename Link::Tape& tape, Pass<S>& pass) {
    link.forward(z, out, tape, pass);
    if constexpr (!std::derived_from<Link, Chain<Link, S>>) pass.observe("", out);
  }
};

}  // namespace crate
