// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "crate/core/errors.hpp"
#include "crate/io/detail/utf8.hpp"
#include "crate/io/file_error.hpp"

// JSON (RFC 8259) as far as files of tensors need it: read event by event, in memory for one text; texts as they are
// written. Nothing here knows what a document means.

namespace crate::detail {

/// Takes a JSON document apart.
class JsonReader {
 public:
  enum class Event { begin_object, end_object, begin_array, end_array, key, text, number, boolean, null, end };

  /// `json` must outlive this.
  explicit JsonReader(std::string_view json) : json_(json) {}

  /// What comes next; `end` behind the document. Throws Error that names the byte, counted from 1, where it is no JSON.
  [[nodiscard]] Event next();

  /// The last key or text, without escapes; or the last number, as it is written.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  enum class Expected { value, first_value, first_key, comma };

  [[nodiscard]] char look() const { return at_ < json_.size() ? json_[at_] : '\0'; }
  [[nodiscard]] bool is_digit() const { return look() >= '0' && look() <= '9'; }
  bool take(char wanted) {
    if (at_ == json_.size() || json_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  void skip_blanks() { at_ = std::min(json_.find_first_not_of(" \t\r\n", at_), json_.size()); }
  [[noreturn]] void fail(std::string_view expected) const;

  Event open(char bracket);
  Event close();
  Event key();
  Event value();
  Event literal(std::string_view word, Event event);
  Event number();
  void digits();
  void quoted_text();
  void escape();
  [[nodiscard]] std::uint32_t code_unit();

  std::string_view json_;
  std::size_t at_ = 0;
  std::string open_;  // the brackets that are not closed yet
  Expected expected_ = Expected::value;
  std::string text_;
};

[[gnu::cold]] inline void JsonReader::fail(std::string_view expected) const {
  throw Error(concatenate("an error at byte ", at_ + 1, ": expected ", expected, ", found ",
                          at_ < json_.size() ? quote(json_.substr(at_, 1)) : "the end"));
}

inline JsonReader::Event JsonReader::next() {
  skip_blanks();
  if (expected_ == Expected::first_key) return take('}') ? close() : key();
  if (expected_ == Expected::first_value && take(']')) return close();
  if (expected_ != Expected::comma) return value();
  if (open_.empty()) {
    if (at_ < json_.size()) fail("the end");
    return Event::end;
  }
  const bool in_object = open_.back() == '{';
  if (take(in_object ? '}' : ']')) return close();
  if (!take(',')) fail(in_object ? "',' or '}'" : "',' or ']'");
  skip_blanks();
  return in_object ? key() : value();
}

inline JsonReader::Event JsonReader::open(char bracket) {
  open_ += bracket;
  expected_ = bracket == '{' ? Expected::first_key : Expected::first_value;
  return bracket == '{' ? Event::begin_object : Event::begin_array;
}

inline JsonReader::Event JsonReader::close() {
  const bool is_object = open_.back() == '{';
  open_.pop_back();
  expected_ = Expected::comma;
  return is_object ? Event::end_object : Event::end_array;
}

inline JsonReader::Event JsonReader::key() {
  if (!take('"')) fail("a name in quotation marks");
  quoted_text();
  skip_blanks();
  if (!take(':')) fail("':'");
  expected_ = Expected::value;
  return Event::key;
}

inline JsonReader::Event JsonReader::value() {
  if (take('{')) return open('{');
  if (take('[')) return open('[');
  expected_ = Expected::comma;
  if (take('"')) {
    quoted_text();
    return Event::text;
  }
  if (look() == '-' || is_digit()) return number();
  if (look() == 't') return literal("true", Event::boolean);
  if (look() == 'f') return literal("false", Event::boolean);
  if (look() == 'n') return literal("null", Event::null);
  fail("a value");
}

inline JsonReader::Event JsonReader::literal(std::string_view word, Event event) {
  for (const char c : word)
    if (!take(c)) fail(concatenate("'", word, "'"));
  return event;
}

inline void JsonReader::digits() {
  if (!is_digit()) fail("a digit");
  while (is_digit()) ++at_;
}

inline JsonReader::Event JsonReader::number() {
  const std::size_t begin = at_;
  take('-');
  if (!take('0')) digits();
  if (take('.')) digits();
  if (take('e') || take('E')) {
    if (!take('-')) take('+');
    digits();
  }
  text_ = json_.substr(begin, at_ - begin);
  return Event::number;
}

/// Up to the closing quotation mark.
inline void JsonReader::quoted_text() {
  text_.clear();
  while (!take('"')) {
    if (take('\\')) {
      escape();
      continue;
    }
    const std::size_t bytes = utf8_character_bytes(json_, at_);
    if (bytes == 0 || static_cast<unsigned char>(json_[at_]) < 0x20U) fail("a character in UTF-8 or a quotation mark");
    text_ += json_.substr(at_, bytes);
    at_ += bytes;
  }
}

/// What stands behind a backslash.
inline void JsonReader::escape() {
  constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
  if (take('u')) {
    std::uint32_t code = code_unit();
    if (code >= 0xD800 && code < 0xDC00) {  // the first half of a pair
      const std::uint32_t second = take('\\') && take('u') ? code_unit() : 0;
      if (second < 0xDC00 || second >= 0xE000) fail("the second half of a pair of escapes");
      code = 0x10000 + ((code - 0xD800) << 10U) + (second - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
      fail("the first half of a pair of escapes before the second");
    }
    append_utf8(text_, code);
    return;
  }
  const std::size_t letter = letters.find(look());
  if (at_ == json_.size() || letter == std::string_view::npos) fail("an escape");
  text_ += meanings[letter];
  ++at_;
}

/// Four hexadecimal digits.
inline std::uint32_t JsonReader::code_unit() {
  constexpr std::string_view hexadecimal = "0123456789abcdef";
  std::uint32_t code = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    const char letter = look();
    const std::size_t digit =
        hexadecimal.find(letter >= 'A' && letter <= 'F' ? static_cast<char>(letter + 32) : letter);
    if (at_ == json_.size() || digit == std::string_view::npos) fail("a hexadecimal digit");
    code = code << 4U | static_cast<std::uint32_t>(digit);
  }
  return code;
}

/// Whether the whole is one JSON document.
[[nodiscard]] inline bool is_json(std::string_view text) {
  try {
    JsonReader reader(text);
    while (reader.next() != JsonReader::Event::end) continue;
    return true;
  } catch (const Error&) { return false; }
}

/// The text in UTF-8 as JSON, in quotation marks.
[[nodiscard]] inline std::string json_text(std::string_view text) {
  constexpr std::string_view escaped = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt", digits = "0123456789abcdef";
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (const std::size_t i = escaped.find(c); i != std::string_view::npos)
      json += {'\\', letters[i]};
    else if (byte < 0x20U)
      json += {'\\', 'u', '0', '0', digits[byte >> 4U], digits[byte & 15U]};
    else
      json += c;
  }
  return json += '"';
}

}  // namespace crate::detail
