// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "crate/core/errors.hpp"

// Names and layouts of published weights: one reversible table per family, in io/families/.
//
// Our matrices have the bytes of the published tensors: a column-major d x N matrix is [N, d], a
// row-major one [rows, cols].

namespace crate {

/// How the shape of a published tensor follows from our parameter.
enum class PublishedLayout {
  same,        ///< [n], [rows, cols] of a row-major matrix, [cols, rows] of a column-major one
  one_set,     ///< as `same`, with leading ones up to three dimensions
  transposed,  ///< as `same`, of the transposed matrix
  convolution  ///< [rows, channels, patch height, patch width] of a row-major matrix
};

/// Our name of a parameter and the published one. "*" matches any index, the same in both; names that end in "." stand
/// for all names that begin so, and an empty one for all names.
struct PublishedName {
  std::string_view ours, published;
  PublishedLayout layout = PublishedLayout::same;
};

/// A tensor that files contain as a copy of another, because its part is tied to that of the other.
struct TiedName {
  std::string_view copy, original;
};

namespace detail {

/// Translates `name` from the pattern `from` to the pattern `to`; nothing if it does not match `from`.
inline std::optional<std::string> translate(std::string_view name, std::string_view from, std::string_view to) {
  if (from.empty()) return std::string(to) += name;
  std::string_view index, rest;
  if (const std::size_t star = from.find('*'); star != std::string_view::npos) {
    if (!name.starts_with(from.substr(0, star))) return std::nullopt;
    name.remove_prefix(star);
    index = name.substr(0, name.find_first_not_of("0123456789"));
    if (index.empty()) return std::nullopt;
    name.remove_prefix(index.size());
    from.remove_prefix(star + 1);
  }
  if (!name.starts_with(from)) return std::nullopt;
  rest = name.substr(from.size());
  if (!rest.empty() && !from.ends_with('.')) return std::nullopt;
  std::string result(to);
  if (const std::size_t star = result.find('*'); star != std::string::npos) result.replace(star, 1, index);
  return result += rest;
}

}  // namespace detail

/// The published tensor of one of our parameters.
struct PublishedTensorName {
  std::string name;
  PublishedLayout layout;
};

/// The published tensor of the parameter with our name `ours`; nothing if the table has none.
[[nodiscard]] inline std::optional<PublishedTensorName> find_published_name(std::span<const PublishedName> names,
                                                                            std::string_view ours) {
  for (const PublishedName& entry : names)
    if (auto name = detail::translate(ours, entry.ours, entry.published))
      return PublishedTensorName{std::move(*name), entry.layout};
  return std::nullopt;
}

/// The published tensor of the parameter with our name `ours`. Throws Error if the table has none.
[[nodiscard]] inline PublishedTensorName published_name(std::span<const PublishedName> names, std::string_view ours) {
  if (auto found = find_published_name(names, ours)) return *std::move(found);
  throw Error(concatenate("published names: expected an entry for the parameter '", ours, "', found none"));
}

/// Our name of a published tensor; nothing if the table has none.
[[nodiscard]] inline std::optional<std::string> our_name(std::span<const PublishedName> names,
                                                         std::string_view published) {
  for (const PublishedName& entry : names)
    if (auto name = detail::translate(published, entry.published, entry.ours)) return name;
  return std::nullopt;
}

}  // namespace crate
