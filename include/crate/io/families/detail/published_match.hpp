// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/families/published_names.hpp"

// Recognising published names inside longer ones: dicts and wrappers add prefixes to a model's names; wrappers
// of its parts insert words.

namespace crate::detail {

inline constexpr std::string_view name_separators = "./";

[[nodiscard]] inline bool is_index(std::string_view part) {
  return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Removes and returns the last part of a name.
inline std::string_view take_last_part(std::string_view& name) {
  const std::size_t separator = name.find_last_of(name_separators);
  if (separator == std::string_view::npos) return std::exchange(name, {});
  const std::string_view part = name.substr(separator + 1);
  name = name.substr(0, separator);
  return part;
}

/// A published name in which "*" matches any index, and an empty part at the end any word.
class PublishedPattern {
 public:
  /// `published` as in PublishedName; a first part equal to `optional` may be missing.
  explicit PublishedPattern(std::string_view published, std::string_view optional = {})
      : may_lack_first_(!optional.empty() && published.starts_with(optional)) {
    while (!published.empty()) parts_.emplace_back(take_last_part(published));
  }

  /// The place of the pattern in a name, and the parts of the name that match.
  struct Match {
    std::size_t begin = 0;                        ///< of the first part
    bool contiguous = true;                       ///< whether no other parts are in between
    std::size_t size = 0;                         ///< number of parts
    std::array<std::string_view, 12> parts = {};  ///< from the last to the first

    /// The parts as a name.
    [[nodiscard]] std::string name() const {
      std::string joined(parts[size - 1]);
      for (std::size_t i = size - 1; i > 0; --i) (joined += '.') += parts[i - 1];
      return joined;
    }
  };

  /// The match whose last part is that of the name. Before it there may be anything, as in 'model.ema_transformer';
  /// between its parts other words, but no indices, since these count layers.
  [[nodiscard]] std::optional<Match> find_in(std::string_view name) const;

 private:
  [[nodiscard]] static bool fits(std::string_view wanted, std::string_view part) {
    if (wanted == "*") return is_index(part);
    return wanted.empty() ? !part.empty() && !is_index(part) : part == wanted;
  }

  std::vector<std::string> parts_;  // from the last to the first
  bool may_lack_first_;
};

inline std::optional<PublishedPattern::Match> PublishedPattern::find_in(std::string_view name) const {
  if (!fits(parts_.front(), name.substr(name.find_last_of(name_separators) + 1)) && parts_.size() > 1)
    return std::nullopt;
  Match match;
  std::optional<Match> without_first;
  while (!name.empty()) {
    const std::size_t end = name.size();
    const std::string_view wanted = parts_[match.size];
    const std::string_view part = take_last_part(name);
    if (match.size + 1 == parts_.size() && part.ends_with(wanted)) {
      match.parts[match.size++] = wanted;
      match.begin = end - wanted.size();
      return match;
    }
    if (fits(wanted, part)) {
      match.parts[match.size++] = part;
      if (may_lack_first_ && match.size + 1 == parts_.size()) {
        without_first = match;
        without_first->begin = end - part.size();
        without_first->contiguous = false;
        without_first->parts[without_first->size++] = parts_.back();
      }
    } else if (match.size == 0 || is_index(part)) {
      return without_first;
    } else {
      match.contiguous = false;
    }
  }
  return without_first;
}

/// The names of a family of published weights, for finding them inside longer ones.
struct FamilyPatterns {
  std::vector<PublishedPattern> names;
  std::vector<PublishedPattern> markers;  ///< of a tensor that every model of the family has, one for each of its names

  /// `our_marker` is our name of that tensor; `optional_first` a first part that some files omit.
  FamilyPatterns(std::span<const PublishedName> table, std::string_view our_marker,
                 std::string_view optional_first = {}) {
    add(table, our_marker, optional_first);
  }

  /// Adds the names that some files have instead.
  void add(std::span<const PublishedName> table, std::string_view our_marker, std::string_view optional_first = {}) {
    markers.emplace_back(published_name(table, our_marker).name, optional_first);
    for (const PublishedName& name : table) names.emplace_back(name.published, optional_first);
  }
};

}  // namespace crate::detail
