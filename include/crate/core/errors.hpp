// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

#include "crate/core/matrix.hpp"

namespace crate {

/// Base of everything this library throws.
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

/// The numbers are too badly conditioned for a result that could be relied on, in any arithmetic that is at hand.
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

// As streams print, without the sums of overloads that a stream is asked for at every call.
[[nodiscard]] inline std::string printed(std::string_view text) { return std::string(text); }
[[nodiscard]] inline std::string printed(char character) { return std::string(1, character); }
[[nodiscard]] inline std::string printed(double number) {
  constexpr int digits = 6;
  std::array<char, 32> text{};
  char* const end =
      std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::general, digits).ptr;
  return {text.data(), end};
}
template <std::integral Number>
requires(!std::same_as<Number, char>) [[nodiscard]] std::string printed(Number number) {
  return std::to_string(number);
}

[[nodiscard]] inline std::string joined(std::initializer_list<std::string> parts) {
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

}  // namespace detail

/// The parts, texts and numbers, printed one after another.
template <class... Parts>
[[nodiscard]] std::string concatenate(const Parts&... parts) {
  return detail::joined({detail::printed(parts)...});
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

/// Throws OptionError unless `holds`; `condition` states the requirement, as in "epsilon > 0".
template <class Value>
void check_option(bool holds, std::string_view condition, const Value& found) {
  if (!holds) throw OptionError(concatenate("option: expected ", condition, ", found ", found));
}

}  // namespace crate
