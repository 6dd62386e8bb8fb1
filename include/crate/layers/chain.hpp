// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/linked.hpp"
#include "crate/layers/pass.hpp"
#include "crate/layers/recording.hpp"

namespace crate {

template <class Self, crate::Scalar S>
struct Chain;

namespace detail {

/// What a chain computes, in order: its links(), or all its parts.
template <class Self>
[[nodiscard]] constexpr auto links_of() {
  if constexpr (requires { Self::links(); })
    return Self::links();
  else
    return Self::parts();
}

// An entry of this list stands for a layer, for each of a vector of layers, or for none if it is an optional one that
// is absent. So do the tapes and the gradients beside it.

template <class T>
[[nodiscard]] std::size_t layer_count(const T& entry) {
  if constexpr (is_vector_of_parts<T>)
    return entry.size();
  else if constexpr (is_optional_part<T>)
    return entry ? 1 : 0;
  else
    return 1;
}

template <class T>
[[nodiscard]] auto& layer_at(T& entry, std::size_t i) {
  if constexpr (is_vector_of_parts<std::remove_const_t<T>>)
    return entry[i];
  else if constexpr (is_optional_part<std::remove_const_t<T>>)
    return *entry;
  else
    return entry;
}

template <class T>
[[nodiscard]] std::string layer_name(std::string_view entry, std::size_t i) {
  return is_vector_of_parts<T> ? join_names(entry, std::to_string(i)) : std::string(entry);
}

template <class T>
[[nodiscard]] constexpr bool owns_parts() {
  if constexpr (HasParts<T>)
    return std::tuple_size_v<decltype(T::parts())> > 0;
  else
    return false;
}

template <class T>
struct LayerOf {
  using type = T;
};
template <class T>
struct LayerOf<std::vector<T>> {
  using type = T;
};
template <class T>
struct LayerOf<std::optional<T>> {
  using type = T;
};

template <class Get, class Self>
using Entry = std::remove_cvref_t<decltype(std::declval<const Part<Get>&>().of(std::declval<const Self&>()))>;

template <class Self>
inline constexpr bool any_link_changes_layout = []<class... Gets>(const std::tuple<Part<Gets>...>&) {
  return (ChangesLayout<typename LayerOf<Entry<Gets, Self>>::type> || ...);
}(links_of<Self>());

template <class L>
concept IsChain = requires {
  typename L::Scalar;
}
&&std::is_base_of_v<Chain<L, typename L::Scalar>, L>;

/// A chain that uses Chain's own backward (both overloads), which visits each link once. A chain with its own backward
/// may visit a link twice, so completeness cannot be told on the way.
template <class L>
concept GoesBackAsChain = IsChain<L> &&
    requires(void (*take_with)(void (Chain<L, typename L::Scalar>::*)(ConstTokens<typename L::Scalar>,
                                                                      const typename L::Tape&,
                                                                      Tokens<typename L::Scalar>, L&,
                                                                      Pass<typename L::Scalar>&) const),
             void (*take_without)(void (Chain<L, typename L::Scalar>::*)(ConstTokens<typename L::Scalar>,
                                                                         const typename L::Tape&, L&,
                                                                         Pass<typename L::Scalar>&) const)) {
  take_with(&L::backward);
  take_without(&L::backward);
};

template <class Get, class OtherGet>
[[nodiscard]] constexpr bool are_different_members(const Get& get, const OtherGet& other) {
  constexpr bool is_inner = !std::is_member_object_pointer_v<Get>;
  constexpr bool is_other_inner = !std::is_member_object_pointer_v<OtherGet>;
  if constexpr (!is_member<Get> || !is_member<OtherGet>)
    return false;  // a view may be of any part
  else if constexpr (is_inner && is_other_inner)
    return are_different_members(get.outer, other.outer) || are_different_members(get.inner, other.inner);
  else if constexpr (is_inner)
    return are_different_members(get.outer, other);
  else if constexpr (is_other_inner)
    return are_different_members(get, other.outer);
  else if constexpr (std::is_same_v<Get, OtherGet>)
    return get != other;
  else
    return true;
}

/// Whether no earlier link shares parts with this one, so that its gradient is complete once the backward pass has left
/// it. Of a link that is a view nobody knows.
template <class Self, std::size_t entry>
[[nodiscard]] constexpr bool completes_gradient() {
  const auto links = links_of<Self>();
  const auto& own = std::get<entry>(links).get;
  if (!is_member<std::remove_cvref_t<decltype(own)>>) return false;
  return [&]<std::size_t... i>(std::index_sequence<i...>) {
    return (are_different_members(std::get<i>(links).get, own) && ...);
  }
  (std::make_index_sequence<entry>());
}

/// Who reports, in a backward pass, that the gradient of this link is complete.
enum class ReportedBy {
  nobody,    ///< it is known at the end of the pass alone, or the link has no parts
  chain,     ///< the chain that it is a link of, behind it
  own_links  ///< the link itself, which is a chain: part by part, as each is complete
};

template <class Self, std::size_t entry>
[[nodiscard]] constexpr ReportedBy reported_by() {
  using Link = typename LayerOf<Entry<decltype(std::get<entry>(links_of<Self>()).get), Self>>::type;
  if (!completes_gradient<Self, entry>()) return ReportedBy::nobody;
  if constexpr (GoesBackAsChain<Link>) return ReportedBy::own_links;
  return HasParts<Link> ? ReportedBy::chain : ReportedBy::nobody;
}

/// Whether a layer's tape does not view its output, so that the output may be overwritten before the backward pass. A
/// layer says so by `static constexpr bool frees_output = true`; a chain is as its last link.
template <class L>
[[nodiscard]] constexpr bool frees_output() {
  if constexpr (requires { L::frees_output; })
    return L::frees_output;
  else if constexpr (IsChain<L>)
    return []<class... Gets>(const std::tuple<Part<Gets>...>&) {
      using Last = std::tuple_element_t<sizeof...(Gets) - 1, std::tuple<Gets...>>;
      return frees_output<typename LayerOf<Entry<Last, L>>::type>();
    }(links_of<L>());
  else
    return false;
}

/// What a link keeps for the backward pass, with the token sets that came to it if it hands on others.
template <class L>
struct LinkTape {
  typename L::Tape tape;
};
template <ChangesLayout L>
struct LinkTape<L> {
  typename L::Tape tape;
  std::optional<TokenLayout> entering;
};

template <class T>
struct EntryTape {
  using type = LinkTape<typename LayerOf<T>::type>;
};
template <class T>
struct EntryTape<std::vector<T>> {
  using type = std::vector<LinkTape<T>>;
};

template <class Self>
struct ChainTape {
  template <class... Gets>
  static std::tuple<typename EntryTape<Entry<Gets, Self>>::type...> tapes_of(const std::tuple<Part<Gets>...>&);

  decltype(tapes_of(links_of<Self>())) links;  ///< in their order; of a vector of layers, a vector
};

}  // namespace detail

/// A layer that is other layers, its links, one after another. It lists them, and has forward and backward from Chain:
///   struct Block : Chain<Block, float> {
///     Residual<Mssa<float>> compress;
///     Ista<float> sparsify;
///     static constexpr auto parts() {
///       return std::tuple{part("compress", &Block::compress), part("sparsify", &Block::sparsify)};
///     }
///   };
/// Its links are its parts, unless it lists others, `static constexpr auto links()`: a link is a part, or a part of one
/// (MemberOf), each of a std::vector of them, a std::optional one, or a view of parts that `get` makes on the spot, for
/// which a part may stand in the chain more than once:
///   return std::tuple{part("embedding", &Model::embedding), part("encoder", &Model::encoder),
///                     part("head", [](auto& model) { return Transposed{model.embedding}; })};
/// `get` is called with the model, const, and with the gradient, which is none: the view's backward takes such a view
/// of the gradient. Every link is a half-step that observers see under its name. If the first is a front end, so is the
/// chain, and says so by the same `using Input = ...`.
template <class Self, crate::Scalar S>
struct Chain : detail::Linked<Self, S> {
  using Scalar = S;
  using Tape = detail::ChainTape<Self>;
  using detail::Linked<Self, S>::forward;

  template <class In>
  void forward(const In& input, Tokens<S> out, Pass<S>& pass) const {
    const typename detail::InputOf<Self>::type& entering = input;
    detail::PingPongBuffers<S> buffers(pass.workspace, largest_activation(pass.layout()));
    send_through(
        entering, out, pass, [&](Index rows, Index cols) { return buffers.next(rows, cols); },
        [&](const auto& link, const auto& z, Tokens<S> next, auto) { link.forward(z, next, pass); });
  }

  template <class In>
  void forward(const In& input, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    const typename detail::InputOf<Self>::type& entering = input;
    make_room(tape);
    send_through(
        entering, out, pass, [&](Index rows, Index cols) { return pass.keep(rows, cols); },
        [&]<class Slot>(const auto& link, const auto& z, Tokens<S> next, Slot slot) {
          auto& link_tape = detail::layer_at(std::get<Slot::entry>(tape.links), slot.i);
          if constexpr (requires { link_tape.entering; }) link_tape.entering = pass.layout();
          link.forward(z, next, link_tape.tape, pass);
        });
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, Self& gradient,
                Pass<S>& pass) const {
    go_back(out_cotangent, tape, &z_cotangent, gradient, pass);
  }

  /// Where nobody asks dL/dZ, or it is none of tokens.
  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Self& gradient, Pass<S>& pass) const {
    go_back(out_cotangent, tape, nullptr, gradient, pass);
  }

  [[nodiscard]] TokenLayout layout_after(const TokenLayout& layout) const
      requires(detail::any_link_changes_layout<Self>) {
    return this->layout_behind_all(layout);
  }

  /// Calls visit(part of the gradient) in the order in which the backward pass tells that they are complete.
  template <class Visit>
  static void for_each_complete(const Self& gradient, const Visit& visit) {
    for_each_link_backwards(gradient, [&]<std::size_t index>(const auto& entry, detail::Slot<index> slot) {
      constexpr detail::ReportedBy reported_by = detail::reported_by<Self, index>();
      if constexpr (reported_by != detail::ReportedBy::nobody) {
        const auto& link = detail::layer_at(entry.of(gradient), slot.i);
        if constexpr (reported_by == detail::ReportedBy::own_links)
          std::remove_cvref_t<decltype(link)>::for_each_complete(link, visit);
        else
          visit(link);
      }
    });
  }

  /// The first link.
  [[nodiscard]] const auto& front() const {
    return detail::layer_at(std::get<0>(detail::links_of<Self>()).of(self()), 0);
  }

  /// Calls visit(name, link, slot) for each layer of the chain.
  template <class Visit>
  void walk(const Visit& visit) const {
    for_each_entry([&]<std::size_t entry>(const auto& part, std::integral_constant<std::size_t, entry>) {
      const auto& layers = part.of(self());
      using Layers = std::remove_cvref_t<decltype(layers)>;
      static_assert(FrontEnd<typename detail::LayerOf<Layers>::type> == (FrontEnd<Self> && entry == 0) &&
                        FrontEnd<Layers> == FrontEnd<typename detail::LayerOf<Layers>::type>,
                    "the first link alone may be a front end, always one, and then the chain has the same Input");
      static_assert(std::is_reference_v<decltype(part.of(self()))> || !detail::owns_parts<Layers>(),
                    "a link that `get` makes on the spot views parts and has none: their gradient would be lost");
      for (std::size_t i = 0; i < detail::layer_count(layers); ++i)
        visit(detail::layer_name<Layers>(part.name, i), detail::layer_at(layers, i), detail::Slot<entry>{i});
    });
  }

 private:
  using detail::Linked<Self, S>::link_count, detail::Linked<Self, S>::self, detail::Linked<Self, S>::send_through,
      detail::Linked<Self, S>::largest_activation;

  void go_back(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S>* z_cotangent, Self& gradient,
               Pass<S>& pass) const {
    const TokenLayout& entering = pass.layout();
    std::optional<TokenLayout> leaving;
    if constexpr (ChangesLayout<Self>) pass.enter(leaving.emplace(layout_after(entering)));
    detail::PingPongBuffers<S> buffers(pass.workspace, largest_activation(entering));
    std::optional<Eigen::Ref<const Matrix<S>>> current(std::in_place, out_cotangent);
    std::size_t left = link_count();
    const auto* const observer = pass.set_gradient_observer(nullptr);
    const auto go_back_through = [&](const auto& link, const auto& link_tape, auto& link_gradient) {
      if constexpr (requires { link_tape.entering; }) pass.enter(*link_tape.entering);
      if (--left == 0 && z_cotangent == nullptr)
        return detail::add_gradient(link, *current, link_tape.tape, link_gradient, pass);
      if constexpr (!FrontEnd<std::remove_cvref_t<decltype(link)>>) {
        if (left == 0) return link.backward(*current, link_tape.tape, *z_cotangent, link_gradient, pass);
        auto next = buffers.next(link.input_dim(), pass.layout().tokens());
        link.backward(*current, link_tape.tape, next, link_gradient, pass);
        current.emplace(next);
      }
    };
    for_each_link_backwards(self(), [&]<std::size_t index>(const auto& entry, detail::Slot<index> slot) {
      constexpr detail::ReportedBy reported_by = detail::reported_by<Self, index>();
      const auto& layers = entry.of(self());
      auto&& gradients = entry.of(gradient);
      auto& link_gradient = detail::layer_at(gradients, slot.i);
      pass.set_gradient_observer(reported_by == detail::ReportedBy::own_links ? observer : nullptr);
      go_back_through(detail::layer_at(layers, slot.i), detail::layer_at(std::get<index>(tape.links), slot.i),
                      link_gradient);
      if constexpr (reported_by == detail::ReportedBy::chain)
        if (observer != nullptr && *observer) (*observer)(list_parameters(std::as_const(link_gradient)));
    });
    pass.set_gradient_observer(observer);
    pass.enter(entering);
  }

  /// A tape for each layer of a vector.
  void make_room(Tape& tape) const {
    for_each_entry([&](const auto& entry, auto index) {
      const auto& layers = entry.of(self());
      auto& tapes = std::get<index>(tape.links);
      if constexpr (detail::is_vector_of_parts<std::remove_cvref_t<decltype(tapes)>>) tapes.resize(layers.size());
    });
  }

  /// Calls visit(entry, index) for every entry of the list of links, the index known at compile time.
  template <class Visit>
  static void for_each_entry(const Visit& visit) {
    static constexpr auto entries = detail::links_of<Self>();
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      (visit(std::get<i>(entries), std::integral_constant<std::size_t, i>()), ...);
    }
    (std::make_index_sequence<std::tuple_size_v<decltype(detail::links_of<Self>())>>());
  }

  /// Calls visit(entry, slot) for every link of this chain, or of a gradient of it, from the last to the first.
  template <class Visit>
  static void for_each_link_backwards(const Self& chain, const Visit& visit) {
    static constexpr auto entries = detail::links_of<Self>();
    constexpr std::size_t count = std::tuple_size_v<decltype(detail::links_of<Self>())>;
    const auto visit_entry = [&]<std::size_t index>(std::integral_constant<std::size_t, index>) {
      const auto& entry = std::get<index>(entries);
      for (std::size_t i = detail::layer_count(entry.of(chain)); i > 0; --i) visit(entry, detail::Slot<index>{i - 1});
    };
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      (visit_entry(std::integral_constant<std::size_t, count - 1 - i>()), ...);
    }
    (std::make_index_sequence<count>());
  }
};

}  // namespace crate
