// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/io/families.hpp"
#include "crate/io/families/detail/published_match.hpp"
#include "crate/io/formats/detail/is_among.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

// Finds the sets of published weights among the tensors of a file, each under a prefix.

namespace crate::detail {

/// Names of dicts that training programs save in addition to the weights.
inline constexpr std::array<std::string_view, 20> training_state = {"optimizer",
                                                                    "optimizer_state",
                                                                    "optimizer_state_dict",
                                                                    "optim",
                                                                    "optimizers",
                                                                    "optimizer_states",
                                                                    "opt",
                                                                    "scheduler",
                                                                    "lr_scheduler",
                                                                    "scheduler_state_dict",
                                                                    "lr_schedulers",
                                                                    "scaler",
                                                                    "loss_scaler",
                                                                    "rng_state",
                                                                    "grad",
                                                                    "grads",
                                                                    "gradients",
                                                                    "momentum",
                                                                    "exp_avg",
                                                                    "exp_avg_sq"};

[[nodiscard]] inline bool has_training_state(std::string_view path) {
  while (!path.empty())
    if (is_among(training_state, take_last_part(path))) return true;
  return false;
}

/// A path as it appears in messages and in `weights_at`: without separators at its end, "." for the top level.
[[nodiscard]] inline std::string_view path_of(std::string_view prefix) {
  while (!prefix.empty() && std::string_view("./_").find(prefix.back()) != std::string_view::npos)
    prefix.remove_suffix(1);
  return prefix.empty() ? "." : prefix;
}

/// Whether the prefix is the wanted path or inside it.
[[nodiscard]] inline bool is_at(std::string_view prefix, std::string_view wanted) {
  const std::string_view path = path_of(prefix), place = path_of(wanted);
  return path == place || (place != "." && path.starts_with(place) &&
                           name_separators.find(path[place.size()]) != std::string_view::npos);
}

/// "'model' (36 tensors), 'model_ema' (36 tensors), and 3 more", for pairs of a path and a number.
template <class Places>
[[nodiscard]] std::string list_places(const Places& places) {
  constexpr std::size_t most = 8;
  std::string list;
  std::size_t listed = 0;
  for (const auto& [prefix, tensors] : places) {
    if (listed++ == most) return concatenate(list, ", and ", places.size() - most, " more");
    const std::string_view path = path_of(prefix);
    list += concatenate(list.empty() ? "" : ", ", path == "." ? "the top level '.'" : quote(path));
    if (tensors > 0) list += concatenate(" (", tensors, " tensors)");
  }
  return list.empty() ? "none" : list;
}

inline constexpr std::string_view how_to_choose = ": choose one by its name as weights_at, in programs --weights-at";

/// The largest number of names in a family's table.
[[nodiscard]] constexpr std::size_t longest_table() {
  std::size_t longest = 0;
  for_each_family(
      [&]<class Family>(Family) { longest = std::max(longest, Family::names.size() + other_names<Family>().size()); });
  return longest;
}

/// The names of a family's table that were found.
using NamesFound = std::bitset<longest_table()>;

/// The patterns of all families, in the order of the list.
[[nodiscard]] inline std::vector<FamilyPatterns> family_patterns() {
  std::vector<FamilyPatterns> patterns;
  for_each_family([&]<class Family>(Family) {
    patterns.emplace_back(Family::names, Family::marker, optional_first_part<Family>());
    if (!other_names<Family>().empty()) patterns.back().add(other_names<Family>(), Family::marker);
  });
  return patterns;
}

/// Tensors whose names after the prefix are those of a family, possibly with the words of wrappers in them.
struct WeightSet {
  std::string_view prefix;
  std::size_t family = 0;
  std::size_t tensors = 0;       ///< counted only if several sets are compared
  NamesFound names_found = {};   ///< determined only if several sets are compared
  std::string_view marker = {};  ///< the whole name of the tensor by which the set was found
};

/// A tensor of a set, and the name to give it.
struct FoundWeight {
  std::size_t position = 0;                 ///< in the table
  std::size_t begin = 0;                    ///< start of its name after the prefix
  std::optional<std::string> renamed = {};  ///< its new name, if the name after the prefix contains words of wrappers
};

class WeightSets {
 public:
  /// Finds the sets in the table, which must outlive this.
  explicit WeightSets(const TensorTable& table, std::vector<FamilyPatterns> families = family_patterns());

  [[nodiscard]] bool empty() const { return sets_.empty(); }

  /// The set at the wanted path or inside it; without a wanted path, the one that is not a training
  /// state or, of several, the one with the most names. Nothing if there is none. Throws FileError that
  /// lists them if several remain.
  [[nodiscard]] std::optional<WeightSet> choose(std::optional<std::string_view> wanted) const;

  /// The tensors of the set under their published names, and other tensors of the same dicts under their own names,
  /// in the order of the table.
  [[nodiscard]] std::vector<FoundWeight> weights_of(const WeightSet& set) const;

  /// The paths of all sets, for messages.
  [[nodiscard]] std::string list() const { return list_places(places(sets_)); }

 private:
  [[nodiscard]] static std::vector<std::pair<std::string_view, std::size_t>> places(const std::vector<WeightSet>& sets);
  void compare(std::vector<WeightSet>& sets) const;
  [[nodiscard]] std::vector<std::string_view> sets_inside(const WeightSet& set, std::string_view scope) const;
  [[nodiscard]] NamesFound names_found(const WeightSet& set, std::string_view scope) const;
  [[nodiscard]] std::string_view widest_scope(const WeightSet& set) const;
  [[nodiscard]] bool is_part_of_another(const WeightSet& set) const;
  void resolve_wrapped(std::vector<FoundWeight>& weights, std::string_view scope) const;

  const TensorTable& table_;
  std::vector<FamilyPatterns> families_;
  std::vector<WeightSet> sets_;  // sorted by prefix; prefixes are unique
};

/// A published name found in the part of a tensor's name after its set's prefix.
struct NameInSet {
  std::size_t row = 0;  ///< in the family's table
  bool exact = true;    ///< whether it contains no words of wrappers
  PublishedPattern::Match match;
};

/// The published name in `rest`, after removing the words of wrappers.
[[nodiscard]] inline std::optional<NameInSet> name_in_set(const FamilyPatterns& family, std::string_view rest) {
  std::optional<NameInSet> found;
  for (std::size_t row = 0; row < family.names.size(); ++row) {
    const auto match = family.names[row].find_in(rest);
    if (!match) continue;
    std::string_view before = rest.substr(0, match->begin);
    if (!before.empty() && name_separators.find(before.back()) == std::string_view::npos) continue;
    bool skips_index = false;
    while (!before.empty()) skips_index = is_index(take_last_part(before)) || skips_index;
    if (skips_index) continue;
    const bool exact = match->begin == 0 && match->contiguous && rest.find('/') == std::string_view::npos;
    if (!found || match->size > found->match.size) found = {row, exact, *match};
    if (exact) return found;
  }
  return found;
}

inline WeightSets::WeightSets(const TensorTable& table, std::vector<FamilyPatterns> families)
    : table_(table), families_(std::move(families)) {
  for (const Tensor& tensor : table.tensors())
    for (std::size_t family = 0; family < families_.size(); ++family)
      for (const PublishedPattern& marker : families_[family].markers)
        if (const auto match = marker.find_in(tensor.name))
          sets_.push_back({.prefix = std::string_view(tensor.name).substr(0, match->begin),
                           .family = family,
                           .marker = tensor.name});
  std::sort(sets_.begin(), sets_.end(), [](const WeightSet& a, const WeightSet& b) {
    return std::tie(a.prefix, a.family) < std::tie(b.prefix, b.family);
  });
  const auto same = [](const WeightSet& a, const WeightSet& b) { return a.prefix == b.prefix; };
  sets_.erase(std::unique(sets_.begin(), sets_.end(), same), sets_.end());
  std::vector<WeightSet> own;
  for (const WeightSet& set : sets_)
    if (!is_part_of_another(set)) own.push_back(set);
  sets_ = std::move(own);
}

/// Whether another set with a shorter prefix contains this set's marker: 'decoder_blocks.0' ends like 'blocks.0'.
inline bool WeightSets::is_part_of_another(const WeightSet& set) const {
  const std::string_view outer = set.prefix.substr(0, set.prefix.find_last_of(name_separators) + 1);
  if (outer == set.prefix) return false;
  const auto found = std::lower_bound(sets_.begin(), sets_.end(), outer,
                                      [](const WeightSet& a, std::string_view prefix) { return a.prefix < prefix; });
  if (found == sets_.end() || found->prefix != outer) return false;
  const auto name = name_in_set(families_[found->family], set.marker.substr(outer.size()));
  return name && name->exact;
}

inline std::vector<std::pair<std::string_view, std::size_t>> WeightSets::places(const std::vector<WeightSet>& sets) {
  std::vector<std::pair<std::string_view, std::size_t>> places;
  places.reserve(sets.size());
  for (const WeightSet& set : sets) places.emplace_back(set.prefix, set.tensors);
  return places;
}

inline std::optional<WeightSet> WeightSets::choose(std::optional<std::string_view> wanted) const {
  constexpr std::size_t most_compared = 64;
  std::vector<WeightSet> found;
  for (const WeightSet& set : sets_)
    if (!wanted || is_at(set.prefix, *wanted)) found.push_back(set);
  for (const WeightSet& set : found)
    if (wanted && path_of(set.prefix) == path_of(*wanted)) return set;
  const auto is_state = [](const WeightSet& set) { return has_training_state(set.prefix); };
  if (!wanted && !std::all_of(found.begin(), found.end(), is_state)) std::erase_if(found, is_state);
  if (found.size() > 1 && found.size() <= most_compared) compare(found);
  if (found.size() > 1)
    throw file_error(table_.source(), "expected one set of weights", wanted ? " at " + quote(*wanted) : "", ", found ",
                     list_places(places(found)), how_to_choose);
  if (found.empty()) return std::nullopt;
  return found.front();
}

/// Counts the published names in each set, and keeps the sets of each family that have the most. A tensor belongs to
/// the innermost set that contains it.
inline void WeightSets::compare(std::vector<WeightSet>& sets) const {
  for (const Tensor& tensor : table_.tensors()) {
    WeightSet* innermost = nullptr;
    for (WeightSet& set : sets)
      if (tensor.name.starts_with(set.prefix) && (innermost == nullptr || set.prefix.size() > innermost->prefix.size()))
        innermost = &set;
    if (innermost == nullptr) continue;
    const std::string_view rest = std::string_view(tensor.name).substr(innermost->prefix.size());
    const auto name = name_in_set(families_[innermost->family], rest);
    if (!name) continue;
    ++innermost->tensors;
    innermost->names_found.set(name->row);
  }
  const std::vector<WeightSet> all = sets;
  std::erase_if(sets, [&](const WeightSet& set) {
    return std::any_of(all.begin(), all.end(), [&](const WeightSet& other) {
      return other.family == set.family && other.names_found.count() > set.names_found.count();
    });
  });
}

/// Prefixes of the other sets that begin with `scope`, sorted, without those that begin with another of them.
inline std::vector<std::string_view> WeightSets::sets_inside(const WeightSet& set, std::string_view scope) const {
  std::vector<std::string_view> inside;
  for (const WeightSet& other : sets_)
    if (other.prefix != set.prefix && other.prefix.size() > scope.size() && other.prefix.starts_with(scope) &&
        (inside.empty() || !other.prefix.starts_with(inside.back())))
      inside.push_back(other.prefix);
  return inside;
}

/// Whether the name begins with one of the prefixes, none of which begins with another.
[[nodiscard]] inline bool is_inside(const std::vector<std::string_view>& sorted, std::string_view name) {
  const auto after = std::upper_bound(sorted.begin(), sorted.end(), name);
  return after != sorted.begin() && name.starts_with(*(after - 1));
}

inline NamesFound WeightSets::names_found(const WeightSet& set, std::string_view scope) const {
  const std::vector<std::string_view> others = sets_inside(set, scope);
  NamesFound found;
  for (const Tensor& tensor : table_.tensors()) {
    if (!tensor.name.starts_with(scope) || is_inside(others, tensor.name)) continue;
    const auto name = name_in_set(families_[set.family], std::string_view(tensor.name).substr(scope.size()));
    if (name) found.set(name->row);
  }
  return found;
}

/// The set's prefix, or a shorter one under which more of the family's names are found, for models whose
/// parts have separate prefixes.
inline std::string_view WeightSets::widest_scope(const WeightSet& set) const {
  constexpr int furthest = 8;
  const auto holds_set = [&](std::string_view scope) {
    return std::any_of(sets_.begin(), sets_.end(), [&](const WeightSet& other) {
      return other.prefix != set.prefix && other.prefix.size() >= scope.size() && set.prefix.starts_with(other.prefix);
    });
  };
  std::string_view best = set.prefix, scope = set.prefix;
  std::size_t most = names_found(set, scope).count();
  for (int i = 0; i < furthest && !scope.empty() && most < families_[set.family].names.size(); ++i) {
    scope.remove_suffix(1);
    scope = scope.substr(0, scope.find_last_of(name_separators) + 1);
    if (holds_set(scope)) break;
    const std::size_t found = names_found(set, scope).count();
    if (found > most) best = scope;
    most = std::max(most, found);
  }
  return best;
}

inline std::vector<FoundWeight> WeightSets::weights_of(const WeightSet& set) const {
  const std::string_view scope = widest_scope(set);
  const std::vector<std::string_view> others = sets_inside(set, scope);
  const auto& tensors = table_.tensors();
  std::vector<FoundWeight> weights;
  std::vector<std::size_t> beside;
  std::set<std::string_view> dicts;  // dicts that contain published names
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::string_view full = tensors[i].name;
    if (!full.starts_with(scope) || is_inside(others, full)) continue;
    const std::string_view rest = full.substr(scope.size());
    if (const auto name = name_in_set(families_[set.family], rest)) {
      weights.push_back({i, scope.size(), name->exact ? std::optional<std::string>() : name->match.name()});
      dicts.insert(full.substr(0, tensors[i].key_begin));
    } else if (full.starts_with(set.prefix) && !has_training_state(rest)) {
      beside.push_back(i);
    }
  }
  resolve_wrapped(weights, scope);
  for (const std::size_t i : beside)
    if (dicts.contains(std::string_view(tensors[i].name).substr(0, tensors[i].key_begin)))
      weights.push_back({i, set.prefix.size()});
  std::sort(weights.begin(), weights.end(), [](const auto& a, const auto& b) { return a.position < b.position; });
  return weights;
}

/// Restores the full names of tensors that would share a name after the words of wrappers are removed.
inline void WeightSets::resolve_wrapped(std::vector<FoundWeight>& weights, std::string_view scope) const {
  std::vector<FoundWeight*> renamed;
  for (FoundWeight& weight : weights)
    if (weight.renamed) renamed.push_back(&weight);
  std::sort(renamed.begin(), renamed.end(), [](const auto* a, const auto* b) { return a->renamed < b->renamed; });
  for (auto first = renamed.begin(); first != renamed.end();) {
    const auto last =
        std::find_if(first, renamed.end(), [&](const auto* w) { return w->renamed != (*first)->renamed; });
    const bool is_alone = last - first == 1 && table_.find(std::string(scope) + *(*first)->renamed) == nullptr;
    std::for_each(is_alone ? last : first, last, [](FoundWeight* twin) { twin->renamed.reset(); });
    first = last;
  }
}

}  // namespace crate::detail
