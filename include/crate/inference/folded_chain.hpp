// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/packed_product.hpp"
#include "crate/layers/combinators.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// A folded layer that lets tokens see each other, and can do so for the first token of each set alone, from tokens that are all there.
template <class L>
concept MixesTokens = requires(const L& layer, Eigen::Ref<const Matrix<typename L::Scalar>> in,
                               Eigen::Ref<Matrix<typename L::Scalar>> out, Pass<typename L::Scalar>& pass) {
  layer.forward_first(in, out, pass);
};

namespace detail {

template <class Link>
inline constexpr bool mixes_tokens = MixesTokens<Link>;
template <class Link>
inline constexpr bool mixes_tokens<std::vector<Link>> = MixesTokens<Link>;

}  // namespace detail

/// z + layer(z), the sum taken where the layer's last product is finished. A minus is inside the layer.
template <class Inner>
class FoldedResidual {
 public:
  using Scalar = typename Inner::Scalar;

  explicit FoldedResidual(Inner inner, int sign = 1) : inner_(std::move(inner)), sign_(sign) {}

  [[nodiscard]] Index input_dim() const { return inner_.input_dim(); }
  [[nodiscard]] Index output_dim() const { return inner_.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return argument + (sign_ > 0 ? " + " : " - ") + inner_.formula(argument);
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return inner_.multiply_adds(layout); }
  [[nodiscard]] std::size_t bytes_held() const { return inner_.bytes_held(); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    inner_.compute(z, detail::columns_of(z), out, pass);
  }

  void forward_first(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const requires requires {
    &Inner::compute_first;
  }
  {
    Workspace::Frame frame(pass.workspace);
    auto firsts = frame.template matrix<Scalar>(z.rows(), pass.layout.sets());
    for (Index s = 0; s < pass.layout.sets(); ++s) firsts.col(s) = z.col(pass.layout.begin(s));
    inner_.compute_first(z, detail::columns_of(std::as_const(firsts)), out, pass);
  }

  [[nodiscard]] std::size_t room(const TokenLayout& layout, int threads) const {
    return inner_.room(layout, threads) + Workspace::room<Scalar>(input_dim() * layout.sets());
  }

 private:
  Inner inner_;
  int sign_;
};

/// Folded layers, one after another; one of them may be a std::vector of layers. Half-steps are observed under the names that they
/// had in the chain it was folded from, but for what lies inside of one.
template <crate::Scalar S, class... Links>
class FoldedChain : public detail::Linked<FoldedChain<S, Links...>> {
 public:
  using Scalar = S;
  using Names = std::array<std::string_view, sizeof...(Links)>;

  explicit FoldedChain(const Names& names, Links... links) : names_(names), links_(std::move(links)...) {}

  [[nodiscard]] std::size_t bytes_held() const {
    std::size_t total = 0;
    for_each_link([&](std::string_view, const auto& link, std::size_t) { total += link.bytes_held(); });
    return total;
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const { run(z, out, pass, link_count()); }

  /// For the first token of each set alone, side by side: the last layer that mixes tokens computes no others, nor do those after
  /// it. What comes after it is not observed.
  void forward_first(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const
      requires(detail::mixes_tokens<Links> || ...) {
    std::size_t last = 0;
    for_each_link(
        [&]<class Link>(std::string_view, const Link&, std::size_t i) { last = MixesTokens<Link> ? i : last; });
    run(z, out, pass, last);
  }

  [[nodiscard]] Matrix<S> forward(const Matrix<S>& tokens, const Run<S>& run = {}) const {
    return crate::forward(*this, tokens, run);
  }
  [[nodiscard]] TokenSets<S> forward(const TokenSets<S>& sets, const Run<S>& run = {}) const {
    return crate::forward(*this, sets, run);
  }

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t room(const TokenLayout& layout, int threads) const {
    std::size_t largest = 0;
    for_each_link([&](std::string_view, const auto& link, std::size_t) {
      largest = std::max(largest, link.room(layout, threads));
    });
    return (std::min<std::size_t>(link_count(), 3) - 1) * Workspace::room<S>(widest_link() * layout.tokens()) + largest;
  }

  /// Calls visit(name, link, i) for the i-th layer; the name of one in a vector is "part.index".
  template <class Visit>
  void for_each_link(const Visit& visit) const {
    std::size_t count = 0, part = 0;
    const auto visit_part = [&]<class Link>(const Link& link) {
      const std::string_view name = names_[part++];
      if constexpr (detail::is_vector_of_parts<Link>)
        for (std::size_t i = 0; i < link.size(); ++i) visit(join_names(name, std::to_string(i)), link[i], count++);
      else
        visit(name, link, count++);
    };
    std::apply([&](const Links&... links) { (visit_part(links), ...); }, links_);
  }

 private:
  using detail::Linked<FoldedChain>::link_count, detail::Linked<FoldedChain>::widest_link;

  /// Link `narrowing` leaves the first token of each set alone.
  void run(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass, std::size_t narrowing) const {
    Workspace::Frame frame(pass.workspace);
    S* rooms[2] = {nullptr, nullptr};  // odd and even half-steps take turns
    const TokenLayout narrow = TokenLayout::equal(pass.layout.sets(), 1);
    const Observer<S> nobody;
    Pass<S> narrow_pass(narrow, pass.threads, pass.workspace, nobody);
    std::optional<Eigen::Ref<const Matrix<S>>> current(std::in_place, z);
    const std::size_t links = link_count();
    for_each_link([&](std::string_view name, const auto& link, std::size_t i) {
      const typename Pass<S>::Scope scope(pass, name);
      Pass<S>& of_link = i > narrowing ? narrow_pass : pass;
      if (i + 1 == links) return step(link, *current, out, of_link, i == narrowing);
      S*& room = rooms[i % 2];
      if (room == nullptr) room = frame.template array<S>(widest_link() * z.cols());
      Eigen::Map<Matrix<S>> next(room, link.output_dim(), i < narrowing ? z.cols() : narrow.sets());
      step(link, *current, next, of_link, i == narrowing);
      current.emplace(next);
    });
  }

  template <class Link>
  static void step(const Link& link, ConstTokens<S> z, Tokens<S> out, Pass<S>& pass, bool narrows) {
    if constexpr (MixesTokens<Link>)
      if (narrows) return link.forward_first(z, out, pass);
    link.forward(z, out, pass);
    if constexpr (!requires { link.for_each_link([](std::string_view, const auto&, std::size_t) {}); })
      pass.observe("", out);
  }

  Names names_;
  std::tuple<Links...> links_;
};

}  // namespace crate
