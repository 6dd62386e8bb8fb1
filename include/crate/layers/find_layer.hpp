// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

#include "crate/core/part.hpp"
#include "crate/layers/chain.hpp"

namespace crate {

namespace detail {

template <class... Ls, class Visit, class Member>
void visit_layers(const Visit& visit, const std::string& name, const Member& member) {
  if constexpr ((std::is_same_v<Member, Ls> || ...)) {
    visit(std::string_view(name), member);
  } else if constexpr (HasParts<Member>) {
    const auto visit_entry = [&](const auto& entry) {
      if constexpr (std::is_reference_v<decltype(entry.of(member))>)  // not a view made on the spot
        visit_layers<Ls...>(visit, join_names(name, entry.name), entry.of(member));
    };
    for_each_entry(links_of<Member>(), visit_entry);
  } else if constexpr (is_vector_of_parts<Member>) {
    for (std::size_t i = 0; i < member.size(); ++i)
      visit_layers<Ls...>(visit, join_names(name, std::to_string(i)), member[i]);
  } else if constexpr (is_optional_part<Member>) {
    if (member) visit_layers<Ls...>(visit, name, *member);
  }
}

}  // namespace detail

/// Calls visit(name, layer) for every layer of one of these types that a model computes with, in its order, under the
/// name that observers use, such as "layers.3.compress" for the Mssa of a block.
template <class... Ls, class Model, class Visit>
void for_each_layer(const Model& model, const Visit& visit) {
  detail::visit_layers<Ls...>(visit, std::string(), model);
}

/// The layer of type L that has this name in the model, or nullptr, as in
///   find_layer<Mssa<float>>(model, "layers.3.compress")
template <class L, class Model>
[[nodiscard]] const L* find_layer(const Model& model, std::string_view name) {
  const L* found = nullptr;
  for_each_layer<L>(model, [&](std::string_view of_layer, const L& layer) {
    if (of_layer == name) found = &layer;
  });
  return found;
}

}  // namespace crate
