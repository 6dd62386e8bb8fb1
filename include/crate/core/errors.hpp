// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "crate/core/matrix.hpp"

namespace crate {

/// Base of everything this library throws, but for std::bad_alloc where memory runs out.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A matrix, token set or parameter has another size than the operation needs.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// An option lies outside its range, or contradicts another.
class OptionError : public Error {
 public:
  using Error::Error;
};

/// The result cannot be computed reliably: the input is too ill-conditioned, or not finite.
class PrecisionError : public Error {
 public:
  using Error::Error;
};

/// A file cannot be read or written, or its content is not what it should be.
class FileError : public Error {
 public:
  using Error::Error;
};

namespace detail {

/// A part of a text without its type, to be printed while it lives: so messages cost little to compile, of which there
/// are hundreds.
struct TextPart {
  const void* part;
  void (*print)(std::ostream& out, const void* part);
};

template <class Part>
[[nodiscard]] TextPart text_part(const Part& part) {
  if constexpr (std::is_array_v<Part>)  // one function for texts of all lengths
    return {&part[0], [](std::ostream& out, const void* text) { out << static_cast<const char*>(text); }};
  else
    return {&part, [](std::ostream& out, const void* printed) { out << *static_cast<const Part*>(printed); }};
}

[[gnu::cold]] [[nodiscard]] inline std::string print(const TextPart* parts, std::size_t count) {
  std::ostringstream text;
  for (std::size_t i = 0; i < count; ++i) parts[i].print(text, parts[i].part);
  return text.str();
}

}  // namespace detail

/// The parts, printed one after another.
template <class... Parts>
[[gnu::cold]] [[nodiscard]] std::string concatenate(const Parts&... parts) {
  const std::array<detail::TextPart, sizeof...(Parts)> list{detail::text_part(parts)...};
  return detail::print(list.data(), list.size());
}

/// "'a', 'b' and 'c'", for messages that list what is available; "none" if there is nothing.
[[nodiscard]] inline std::string quoted_list(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += concatenate(i == 0 ? "" : i + 1 == names.size() ? " and " : ", ", "'", names[i], "'");
  return text.empty() ? "none" : text;
}

/// Throws ShapeError unless `found == expected`; `what` names the size, as in "tokens: rows".
inline void check_size(std::string_view what, Index found, Index expected) {
  if (found != expected) throw ShapeError(concatenate(what, ": expected ", expected, ", found ", found));
}

/// Throws ShapeError unless `matrix` is rows x cols.
template <class Derived>
void check_shape(std::string_view what, const Eigen::EigenBase<Derived>& matrix, Index rows, Index cols) {
  if (matrix.rows() != rows || matrix.cols() != cols)
    throw ShapeError(
        concatenate(what, ": expected ", rows, " x ", cols, ", found ", matrix.rows(), " x ", matrix.cols()));
}

/// Throws ShapeError if the matrix has no entries.
template <class Derived>
void check_not_empty(std::string_view what, const Eigen::EigenBase<Derived>& matrix) {
  if (matrix.size() == 0)
    throw ShapeError(concatenate(what, ": expected at least 1 x 1, found ", matrix.rows(), " x ", matrix.cols()));
}

/// a b, or a + b, of sizes, which are not negative. Throws ShapeError if an Index cannot hold it.
[[nodiscard]] inline Index checked_product(std::string_view what, Index a, Index b) {
  if (b != 0 && a > std::numeric_limits<Index>::max() / b)
    throw ShapeError(concatenate(what, ": expected a number that can be counted, found ", a, " * ", b));
  return a * b;
}
[[nodiscard]] inline Index checked_sum(std::string_view what, Index a, Index b) {
  if (a > std::numeric_limits<Index>::max() - b)
    throw ShapeError(concatenate(what, ": expected a number that can be counted, found ", a, " + ", b));
  return a + b;
}

/// Throws PrecisionError, with the first place in the order of columns, if a number of the matrix is nan or infinite.
template <class Derived>
void check_finite(std::string_view what, const Eigen::DenseBase<Derived>& matrix) {
  if (matrix.derived().allFinite()) return;
  for (Index j = 0; j < matrix.cols(); ++j)
    for (Index i = 0; i < matrix.rows(); ++i)
      if (const auto number = static_cast<double>(matrix.derived().coeff(i, j)); !std::isfinite(number))
        throw PrecisionError(
            concatenate(what, ": expected finite numbers, found ", number, " in row ", i, " of column ", j));
}

/// Throws OptionError unless `holds`. `condition` states the requirement, if possible after the name of the operation:
/// "ISTA: step >= 0" gives the message "ISTA: expected step >= 0, found -1".
template <class Value>
void check_option(bool holds, std::string_view condition, const Value& found) {
  if (holds) return;
  const std::size_t colon = condition.find(": ");
  const bool is_named = colon != std::string_view::npos;
  throw OptionError(concatenate(is_named ? condition.substr(0, colon) : "option", ": expected ",
                                is_named ? condition.substr(colon + 2) : condition, ", found ", found));
}

}  // namespace crate
