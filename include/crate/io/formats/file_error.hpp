// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "crate/core/errors.hpp"

namespace crate {

namespace detail {

/// Appends the character; a control character as "\n", "\r", "\t" or "\x07".
inline void append_visibly(std::string& text, char c) {
  constexpr std::string_view digits = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x20U && byte != 0x7FU)
    text += c;
  else if (c == '\n' || c == '\r' || c == '\t')
    text.append("\\").push_back(c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
  else
    text.append("\\x").append({digits[byte / 16U], digits[byte % 16U]});
}

}  // namespace detail

/// The text in quotation marks, suitable for one line of an error message: control characters are escaped, as "\n" and
/// "\x07", and a long text is truncated.
[[nodiscard]] inline std::string quote(std::string_view text) {
  constexpr std::size_t limit = 120;
  const bool cut = text.size() > limit;
  std::size_t shown = cut ? limit : text.size();
  const auto continues_character = [&](std::size_t i) {
    return (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U;
  };
  while (cut && shown > 0 && continues_character(shown)) --shown;

  std::string result = "'";
  for (const char c : text.substr(0, shown)) detail::append_visibly(result, c);
  return result += cut ? "...'" : "'";
}

/// An error with the name of its file: "file 'a.csv': line 3: ...".
template <class... Parts>
[[gnu::cold]] [[nodiscard]] FileError file_error(std::string_view source, const Parts&... parts) {
  return FileError(concatenate("file ", quote(source), ": ", parts...));
}

}  // namespace crate
