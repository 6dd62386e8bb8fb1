// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/linked.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

namespace detail {

/// A link of a folded chain, with its name: a layer, several in a std::vector, or a std::optional one.
template <class Layers>
struct FoldedLink {
  std::string_view name;
  Layers layers;
};

/// A chain has the input type of its first link.
template <class First>
struct TakesInputOf {};
template <FrontEnd First>
struct TakesInputOf<First> {
  using Input = typename First::Input;
};

/// A layer that reads only the first token of each set if reads_first_token() is true.
template <class L>
concept MayReadFirstToken = requires(const L& layer) {
  { layer.reads_first_token() } -> std::same_as<bool>;
};

/// Bytes of weights, of a folded layer or of one that was kept unchanged.
template <class L>
[[nodiscard]] std::size_t bytes_held(const L& layer) {
  if constexpr (requires { layer.bytes_held(); })
    return layer.bytes_held();
  else if constexpr (HasParts<L>)
    return static_cast<std::size_t>(parameter_count(layer)) * sizeof(typename L::Scalar);
  else
    return 0;
}

/// The bytes of workspace that a pass needs, if the layer states them.
template <class L>
[[nodiscard]] std::size_t workspace_bytes(const L& layer, const TokenLayout& layout, int threads) {
  if constexpr (requires { layer.workspace_bytes(layout, threads); })
    return layer.workspace_bytes(layout, threads);
  else
    return 0;
}

}  // namespace detail

/// Folded layers, one after another. Half-steps are observed under their names in the original chain, except those
/// inside a folded layer and norms that were merged into the map after them. Without an observer, tokens that no later
/// layer reads are not computed: before a layer that reads the first token of each set only, the last layer that mixes
/// tokens computes only this token.
template <crate::Scalar S, class About, class... Layers>
class FoldedChain
    : public detail::Linked<FoldedChain<S, About, Layers...>, S>,
      public detail::TakesInputOf<typename detail::LayerOf<std::tuple_element_t<0, std::tuple<Layers...>>>::type> {
 public:
  using Scalar = S;
  using detail::Linked<FoldedChain, S>::forward;
  static constexpr bool is_tokenwise = (Tokenwise<typename detail::LayerOf<Layers>::type> && ...);

  explicit FoldedChain(About description, std::tuple<detail::FoldedLink<Layers>...> links)
      : about(std::move(description)), links_(std::move(links)) {}

  About about;  ///< the model's description other than its parameters

  /// Bytes of weights.
  [[nodiscard]] std::size_t bytes_held() const {
    std::size_t total = 0;
    this->for_each_link([&](const std::string&, const auto& link, std::size_t) { total += detail::bytes_held(link); });
    return total;
  }

  template <class In>
  void forward(const In& input, Tokens<S> out, Pass<S>& pass) const {
    const typename detail::InputOf<FoldedChain>::type& entering = input;
    run(entering, out, pass, pass.is_observed() ? this->no_link : narrowing_link().before_reader);
  }

  /// Forward pass whose output holds the first token of each set only, consecutively.
  void forward_first(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    run(z, out, pass, narrowing_link().before_end);
  }
  [[nodiscard]] bool computes_first_alone() const { return narrowing_link().before_end != this->no_link; }

  [[nodiscard]] TokenLayout layout_after(const TokenLayout& layout) const
      requires((ChangesLayout<typename detail::LayerOf<Layers>::type> || ...)) {
    return this->layout_behind_all(layout);
  }

  [[nodiscard]] const auto& front() const { return detail::layer_at(std::get<0>(links_).layers, 0); }

  /// The bytes of workspace that a pass needs for token sets of this layout and this number of threads; see
  /// Workspace::reserve. Layers that were not folded and do not state their needs are not counted.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& layout, int threads) const {
    std::size_t largest = 0;
    detail::LayoutCourse course(layout);
    this->for_each_link([&](const std::string&, const auto& link, std::size_t) {
      largest = std::max(largest, detail::workspace_bytes(link, course.current(), threads));
      course.pass_through(link);
    });
    const std::size_t rooms = std::min<std::size_t>(this->link_count(), 3) - 1;
    return rooms * Workspace::room<S>(this->largest_activation(layout)) + largest;
  }

  /// Calls visit(name, layer, slot) for each layer.
  template <class Visit>
  void walk(const Visit& visit) const {
    const auto visit_link = [&]<class L, std::size_t entry>(const detail::FoldedLink<L>& link,
                                                            std::integral_constant<std::size_t, entry>) {
      for (std::size_t i = 0; i < detail::layer_count(link.layers); ++i)
        visit(detail::layer_name<L>(link.name, i), detail::layer_at(link.layers, i), detail::Slot<entry>{i});
    };
    [&]<std::size_t... entry>(std::index_sequence<entry...>) {
      (visit_link(std::get<entry>(links_), std::integral_constant<std::size_t, entry>()), ...);
    }
    (std::index_sequence_for<Layers...>());
  }

 private:
  /// The last link that mixes tokens such that all later links, up to one that reads first tokens only or to the end,
  /// act on each token separately.
  struct NarrowingLink {
    std::size_t before_reader, before_end;
  };
  [[nodiscard]] NarrowingLink narrowing_link() const {
    NarrowingLink found{this->no_link, this->no_link};
    std::size_t& last = found.before_end;
    this->for_each_link([&]<class L>(const std::string&, const L& link, std::size_t i) {
      if constexpr (detail::MayReadFirstToken<L>) {
        if (link.reads_first_token() && found.before_reader == this->no_link) found.before_reader = last;
        last = this->no_link;
      } else if constexpr (!Tokenwise<L>) {
        last = this->no_link;
        if constexpr (MixesTokens<L> && !FrontEnd<L>)
          if (link.computes_first_alone()) last = i;
      }
    });
    return found;
  }

  template <class Input>
  void run(const Input& input, Tokens<S> out, Pass<S>& pass, std::size_t narrowing) const {
    detail::PingPongBuffers<S> rooms(pass.workspace, this->largest_activation(pass.layout()));
    this->send_through(
        input, out, pass, [&](Index rows, Index cols) { return rooms.next(rows, cols); },
        [&](const auto& link, const auto& z, Tokens<S> next, auto) { link.forward(z, next, pass); }, narrowing);
  }

  std::tuple<detail::FoldedLink<Layers>...> links_;
};

}  // namespace crate
