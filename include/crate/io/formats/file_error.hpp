// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "crate/core/errors.hpp"

namespace crate {

/// The text in quotation marks, suitable for one line of an error message: control characters become '?', and
/// a long text is truncated.
[[nodiscard]] inline std::string quote(std::string_view text) {
  constexpr std::size_t limit = 120;
  const bool cut = text.size() > limit;
  std::size_t shown = cut ? limit : text.size();
  const auto continues_character = [&](std::size_t i) {
    return (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U;
  };
  while (cut && shown > 0 && continues_character(shown)) --shown;

  std::string result = "'";
  for (const char c : text.substr(0, shown)) {
    const bool is_control = static_cast<unsigned char>(c) < 0x20U || c == 0x7F;
    result += is_control ? '?' : c;
  }
  return result += cut ? "...'" : "'";
}

/// An error with the name of its file: "file 'a.csv': line 3: ...".
template <class... Parts>
[[gnu::cold]] [[nodiscard]] FileError file_error(std::string_view source, const Parts&... parts) {
  return FileError(concatenate("file ", quote(source), ": ", parts...));
}

}  // namespace crate
