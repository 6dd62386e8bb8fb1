// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// How a parameter is treated by training, saving and counting. A part's kind applies to everything inside it.
enum class ParameterKind {
  trainable,  ///< learnt
  frozen,     ///< a table that training leaves alone
  unused,     ///< read, kept and written back because the published model carries it, but never computed with
};

/// A member of a layer, under the name that files, printed summaries and observers use. The empty name is transparent:
/// what the member holds is named as if the owner held it. `get` is a pointer to the member, or, among links, a
/// MemberOf or what makes a view of other parts.
template <class Get>
struct Part {
  std::string_view name;
  Get get;
  ParameterKind kind;

  /// The member of this owner, or the view that is made of it.
  template <class Owner>
  [[nodiscard]] constexpr decltype(auto) of(Owner& owner) const {
    if constexpr (std::is_member_object_pointer_v<Get>)
      return (owner.*get);
    else
      return get(owner);
  }
};

template <class Get>
constexpr Part<Get> part(std::string_view name, Get get, ParameterKind kind = ParameterKind::trainable) {
  return {name, get, kind};
}

/// A member of a member, as the `get` of a link: MemberOf{&Model::head, &Head::norm} is model.head.norm. `inner` may
/// be a MemberOf again.
template <class Outer, class Inner>
struct MemberOf {
  Outer outer;
  Inner inner;

  template <class Whole>
  [[nodiscard]] constexpr auto& operator()(Whole& whole) const {
    if constexpr (std::is_member_object_pointer_v<Inner>)
      return (whole.*outer).*inner;
    else
      return inner(whole.*outer);
  }
};
template <class Outer, class Inner>
MemberOf(Outer, Inner) -> MemberOf<Outer, Inner>;

namespace detail {

template <class Get>
inline constexpr bool is_member = std::is_member_object_pointer_v<Get>;
template <class Outer, class Inner>
inline constexpr bool is_member<MemberOf<Outer, Inner>> = true;

}  // namespace detail

/// A layer lists its parts: `static constexpr auto parts()` returns a tuple of `part(name, &Layer::member)`, in order.
/// A part is a matrix or vector (then it is a parameter; an empty one is absent), a layer, a std::vector of layers
/// (named 0, 1, ...), or a std::optional one. Loading, saving, counting, initialising and optimising all walk this one
/// list.
template <class T>
concept HasParts = requires {
  std::remove_cvref_t<T>::parts();
};

/// "a" and "b" make "a.b"; an empty one is left out.
[[nodiscard]] inline std::string join_names(std::string_view outer, std::string_view inner) {
  std::string joined(outer);
  if (!outer.empty() && !inner.empty()) joined += '.';
  return joined += inner;
}

namespace detail {

template <class T>
inline constexpr bool is_vector_of_parts = false;
template <class T>
inline constexpr bool is_vector_of_parts<std::vector<T>> = true;

template <class T>
inline constexpr bool is_optional_part = false;
template <class T>
inline constexpr bool is_optional_part<std::optional<T>> = true;

template <class Visit, class... Entries, std::size_t... i>
constexpr void for_each_entry(const std::tuple<Entries...>& entries, const Visit& visit, std::index_sequence<i...>) {
  (visit(std::get<i>(entries)), ...);
}

/// Calls visit(entry) for every entry. Compilers take longer over std::apply, which tells whether the call can throw.
template <class Visit, class... Entries>
constexpr void for_each_entry(const std::tuple<Entries...>& entries, const Visit& visit) {
  for_each_entry(entries, visit, std::index_sequence_for<Entries...>());
}

/// Throws ShapeError unless layers visited side by side have as many entries under this name.
inline void check_entries(const std::string& name, std::size_t found, std::size_t expected) {
  if (found != expected)
    throw ShapeError(
        concatenate("parameters visited side by side: expected ", expected, " of '", name, "', found ", found));
}

template <class Visit, class First, class... Others>
void visit_parameters(const Visit& visit, const std::string& name, ParameterKind kind, First& first,
                      Others&... others) {
  using Member = std::remove_const_t<First>;
  if constexpr (HasParts<Member>) {
    const auto visit_part = [&](const auto& entry) {
      visit_parameters(visit, join_names(name, entry.name), std::max(kind, entry.kind), entry.of(first),
                       entry.of(others)...);
    };
    for_each_entry(Member::parts(), visit_part);
  } else if constexpr (is_vector_of_parts<Member>) {
    (check_entries(name, others.size(), first.size()), ...);
    for (std::size_t i = 0; i < first.size(); ++i)
      visit_parameters(visit, join_names(name, std::to_string(i)), kind, first[i], others[i]...);
  } else if constexpr (is_optional_part<Member>) {
    (check_entries(name, others.has_value() ? 1 : 0, first.has_value() ? 1 : 0), ...);
    if (first) visit_parameters(visit, name, kind, *first, *others...);
  } else if (first.size() != 0) {
    visit(std::string_view(name), kind, first, others...);
  }
}

}  // namespace detail

/// Calls visit(name, kind, parameter, same parameter of each other...) for every parameter of `layer`, in the order of
/// its parts. The others are layers of the same structure: a gradient, moments, a teacher, a copy in other precision.
/// `visit` is compiled for every type of parameter of every model; what needs no types loops over list_parameters.
/// Throws ShapeError if they have other numbers of layers or other optional parts.
template <class Visit, class Layer, class... Others>
void for_each_parameter(const Visit& visit, Layer& layer, Others&... others) {
  detail::visit_parameters(visit, std::string(), ParameterKind::trainable, layer, others...);
}

}  // namespace crate
