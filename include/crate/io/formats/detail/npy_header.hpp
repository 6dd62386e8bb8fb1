// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor_table.hpp"

namespace crate::detail {

/// The description of an array in the header of an .npy file.
struct NpyHeader {
  Dtype dtype = Dtype::f64;
  bool is_big_endian = false;
  bool is_column_major = false;
  std::vector<Index> shape;
};

/// Parses the header, a dict as Python prints it: {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4)}.
class NpyHeaderReader {
 public:
  NpyHeaderReader(std::string_view text, std::string_view source) : rest_(text), source_(source) {}

  /// Throws FileError for other texts, and for elements that are not real numbers, integers or booleans.
  [[nodiscard]] NpyHeader read() {
    NpyHeader header;
    std::array<bool, 3> found = {};
    expect('{');
    while (!accept('}')) {
      const std::string_view key = take_text();
      expect(':');
      if (key == "descr" && !found[0])
        found[0] = true, set_type(header);
      else if (key == "fortran_order" && !found[1])
        found[1] = true, header.is_column_major = take_boolean();
      else if (key == "shape" && !found[2])
        found[2] = true, header.shape = take_shape();
      else
        throw error("'descr', 'fortran_order' and 'shape', once each", quote(key));
      if (!accept(',') && next() != '}') throw error("',' or '}'", quote(rest_.substr(0, 16)));
    }
    if (next() != '\0' || !found[0] || !found[1] || !found[2])
      throw error("'descr', 'fortran_order', 'shape' and no more",
                  rest_.empty() ? "fewer" : quote(rest_.substr(0, 16)));
    return header;
  }

 private:
  [[nodiscard]] FileError error(std::string_view expected, std::string_view found) const {
    return file_error(source_, "header of the array: expected ", expected, ", found ", found);
  }

  /// The next character that is not white space; '\0' at the end.
  [[nodiscard]] char next() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool accept(char character) {
    if (next() != character) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool accept(std::string_view word) {
    static_cast<void>(next());
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  void expect(char character) {
    if (!accept(character)) throw error(quote(std::string_view(&character, 1)), quote(rest_.substr(0, 16)));
  }

  [[nodiscard]] std::string_view take_text() {
    const char mark = next();
    if (mark != '\'' && mark != '"') throw error("a text in quotation marks", quote(rest_.substr(0, 16)));
    const std::size_t end = rest_.find(mark, 1);
    if (end == std::string_view::npos) throw error("a text in quotation marks", quote(rest_.substr(0, 16)));
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }

  [[nodiscard]] bool take_boolean() {
    if (accept("True")) return true;
    if (accept("False")) return false;
    throw error("True or False", quote(rest_.substr(0, 16)));
  }

  /// "(3, 4)", "(3,)", "()"; the integers of Python 2 may end in L.
  [[nodiscard]] std::vector<Index> take_shape() {
    constexpr std::size_t most = 64;  // numpy's limit on dimensions
    std::vector<Index> shape;
    expect('(');
    while (!accept(')')) {
      static_cast<void>(next());
      Index size = 0;
      const auto [end, problem] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (problem != std::errc() || size < 0 || shape.size() == most)
        throw error("a shape of at most 64 sizes", quote(rest_.substr(0, 24)));
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      accept('L');
      shape.push_back(size);
      if (!accept(',') && next() != ')') throw error("',' or ')'", quote(rest_.substr(0, 16)));
    }
    return shape;
  }

  void set_type(NpyHeader& header) {
    constexpr std::string_view expected = "elements that are real numbers, integers or booleans";
    if (next() == '[') throw error(expected, "records of several fields: save one of them");
    const std::string_view type = take_text();
    const std::optional<Dtype> dtype = dtype_of_numpy(type.substr(std::min<std::size_t>(1, type.size())));
    if (!dtype || std::string_view("<>=|").find(type.front()) == std::string_view::npos)
      throw error(expected, concatenate(quote(type), meaning_of(type)));
    header.dtype = *dtype;
    header.is_big_endian = type.front() == '>';
  }

  [[nodiscard]] static std::optional<Dtype> dtype_of_numpy(std::string_view type) {
    struct Name {
      std::string_view numpy;
      Dtype dtype;
    };
    constexpr std::array<Name, 12> names = {{{"b1", Dtype::boolean},
                                             {"i1", Dtype::i8},
                                             {"u1", Dtype::u8},
                                             {"i2", Dtype::i16},
                                             {"u2", Dtype::u16},
                                             {"i4", Dtype::i32},
                                             {"u4", Dtype::u32},
                                             {"i8", Dtype::i64},
                                             {"u8", Dtype::u64},
                                             {"f2", Dtype::f16},
                                             {"f4", Dtype::f32},
                                             {"f8", Dtype::f64}}};
    for (const Name& name : names)
      if (name.numpy == type) return name.dtype;
    return std::nullopt;
  }

  /// What such elements are, and what to save instead.
  [[nodiscard]] static std::string_view meaning_of(std::string_view type) {
    if (type.find('O') != std::string_view::npos) return ", Python objects: save a.astype(float)";
    if (type.find('c') != std::string_view::npos) return ", complex numbers: save a.real or abs(a)";
    if (type.find('U') != std::string_view::npos || type.find('S') != std::string_view::npos) return ", texts";
    if (type.ends_with("f16") || type.ends_with("f12")) return ", long doubles: save a.astype('f8')";
    return "";
  }

  std::string_view rest_;
  std::string_view source_;
};

}  // namespace crate::detail
