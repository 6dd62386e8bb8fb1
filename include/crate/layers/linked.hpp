// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/pass.hpp"

// What layers one after another are together, whether they are the links of a Chain or have been folded.

namespace crate::detail {

/// The token sets that come to each of several layers in turn.
class LayoutCourse {
 public:
  explicit LayoutCourse(const TokenLayout& entering) : current_(&entering) {}
  LayoutCourse(const LayoutCourse&) = delete;
  LayoutCourse& operator=(const LayoutCourse&) = delete;

  [[nodiscard]] const TokenLayout& current() const { return *current_; }

  /// Goes on behind a layer.
  template <class L>
  void pass_through(const L& layer) {
    if constexpr (ChangesLayout<L>) change_to(layer.layout_after(*current_));
  }

  /// Goes on with the first token of each set alone.
  void keep_first_tokens() { change_to(TokenLayout::equal(current_->sets(), 1)); }

 private:
  void change_to(TokenLayout layout) {
    changed_ = std::move(layout);
    current_ = &*changed_;
  }

  const TokenLayout* current_;
  std::optional<TokenLayout> changed_;
};

/// Two buffers that activations take in turn: what a layer reads lies in one, what it writes in the other.
template <crate::Scalar S>
class PingPongBuffers {
 public:
  PingPongBuffers(Workspace& workspace, Index numbers) : frame_(workspace), numbers_(numbers) {}

  [[nodiscard]] Eigen::Map<Matrix<S>, Eigen::AlignedMax> next(Index rows, Index cols) {
    S*& buffer = buffers_[turn_ ^= 1U];
    if (buffer == nullptr) buffer = frame_.template array<S>(numbers_);
    return {buffer, rows, cols};
  }

 private:
  Workspace::Frame frame_;
  Index numbers_;
  S* buffers_[2] = {nullptr, nullptr};
  unsigned turn_ = 0;
};

/// Where a layer stands: the i-th of an entry of the list of links, which is one layer, several or none.
template <std::size_t entry_index>
struct Slot {
  static constexpr std::size_t entry = entry_index;
  std::size_t i;
};

/// The input itself, or what the expression computes that a caller gave.
template <class In>
[[nodiscard]] decltype(auto) settled(const In& input) {
  if constexpr (std::derived_from<In, Eigen::EigenBase<In>>) {
    if constexpr (is_viewable<In> && !In::IsRowMajor)
      return (input);
    else
      return Matrix<typename In::Scalar>(input);
  } else {
    return (input);
  }
}

/// A layer that shows its half-steps to the observer itself, the last of which is its result.
template <class L>
concept ShowsHalfSteps = requires {
  requires L::shows_half_steps;
};

/// Self::walk(visit) calls visit(name, layer, slot) for each layer in order.
template <class Self, crate::Scalar S>
struct Linked {
  static constexpr bool shows_half_steps = true;

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

  /// Of token sets that enter with this layout; of images, with one column each.
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    double total = 0;
    LayoutCourse course(layout);
    for_each_link([&](std::string_view, const auto& link, std::size_t) {
      total += link.multiply_adds(course.current());
      course.pass_through(link);
    });
    return total;
  }

  /// Sends tokens, token sets, images or whatever it takes through, with what the caller lends. See crate::forward.
  template <class In>
  [[nodiscard]] auto forward(const In& input, const Run<S>& run = {}) const {
    if constexpr (FrontEnd<Self>) {
      const auto& given = settled(input);
      return crate::forward(self(), static_cast<const typename Self::Input&>(given), run).tokens;
    } else if constexpr (std::is_same_v<In, TokenSets<S>>) {
      return crate::forward(self(), input, run);
    } else {
      return crate::forward(self(), static_cast<const Matrix<S>&>(input), run);
    }
  }

  /// The same into room of the caller's, which must not overlap the tokens. See crate::forward.
  template <class In>
  void forward(const In& input, Tokens<S> out, const Run<S>& run = {}) const {
    if constexpr (FrontEnd<Self>) {
      const auto& given = settled(input);
      crate::forward(self(), static_cast<const typename Self::Input&>(given), out, run);
    } else if constexpr (std::is_same_v<In, TokenSets<S>>) {
      crate::forward(self(), input.tokens, input.layout, out, run);
    } else {
      crate::forward(self(), input, TokenLayout::single(input.cols()), out, run);
    }
  }

  void list_cached_rows(std::vector<Index>& rows) const {
    for_each_link([&](std::string_view, const auto& link, std::size_t) { detail::list_cached_rows(link, rows); });
  }

  /// Calls visit(name, link, i) for the i-th layer; the name of one in a vector is "part.index".
  template <class Visit>
  void for_each_link(const Visit& visit) const {
    std::size_t count = 0;
    self().walk([&](const std::string& name, const auto& link, auto) { visit(name, link, count++); });
  }

 protected:
  static constexpr std::size_t no_link = static_cast<std::size_t>(-1);

  /// Sends the input from layer to layer. What a layer hands to the next lies where `room(rows, cols)` says, and
  /// `step(link, z, out, slot)` lets a layer run. The `narrowing`-th computes the first token of each set alone.
  template <class Input, class Room, class Step>
  void send_through(const Input& input, Tokens<S> out, Pass<S>& pass, const Room& room, const Step& step,
                    std::size_t narrowing = no_link) const {
    const TokenLayout& entering = pass.layout();
    LayoutCourse course(entering);
    std::optional<Eigen::Ref<const Matrix<S>>> current;
    if constexpr (!FrontEnd<Self>) current.emplace(input);
    std::size_t left = link_count(), until_narrow = narrowing;
    self().walk([&]<class Link>(const std::string& name, const Link& link, auto slot) {
      const typename Pass<S>::Scope scope(pass, name);
      if constexpr (!FrontEnd<Link>) check_width(name, *current, link.input_dim());
      const auto run = [&](Tokens<S> next, bool narrows) {
        if constexpr (FrontEnd<Link>)
          step(link, input, next, slot);
        else if constexpr (MixesTokens<Link>)
          narrows ? link.forward_first(*current, next, pass) : step(link, *current, next, slot);
        else
          step(link, *current, next, slot);
        narrows ? course.keep_first_tokens() : course.pass_through(link);
        pass.enter(course.current());
        if constexpr (!ShowsHalfSteps<Link>) pass.observe("", next);
      };
      const bool narrows = until_narrow-- == 0;
      if (--left == 0) return run(out, narrows);
      auto next = room(link.output_dim(), narrows ? course.current().sets() : tokens_after(link, course.current()));
      run(next, narrows);
      current.emplace(next);
    });
    pass.enter(entering);
  }

  static void check_width(const std::string& link, ConstTokens<S> tokens, Index dim) {
    if (tokens.rows() == dim) return;
    const std::string part = link.empty() ? "the part without a name" : concatenate("'", link, "'");
    if (dim == 0)
      throw ShapeError(concatenate(part, ": expected layers for tokens of ", tokens.rows(), " rows, found none"));
    throw ShapeError(concatenate("tokens that come to ", part, ": expected ", dim, " rows, found ", tokens.rows()));
  }

  [[nodiscard]] std::size_t link_count() const {
    std::size_t count = 0;
    for_each_link([&](std::string_view, const auto&, std::size_t) { ++count; });
    return count;
  }

  /// The most numbers that a layer hands on.
  [[nodiscard]] Index largest_activation(const TokenLayout& layout) const {
    Index largest = 0;
    LayoutCourse course(layout);
    for_each_link([&](std::string_view, const auto& link, std::size_t) {
      course.pass_through(link);
      largest = std::max(largest, link.output_dim() * course.current().tokens());
    });
    return largest;
  }

  [[nodiscard]] TokenLayout layout_behind_all(const TokenLayout& layout) const {
    LayoutCourse course(layout);
    for_each_link([&](std::string_view, const auto& link, std::size_t) { course.pass_through(link); });
    return course.current();
  }

  [[nodiscard]] const Self& self() const { return static_cast<const Self&>(*this); }
};

}  // namespace crate::detail
