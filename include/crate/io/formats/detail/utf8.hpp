// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace crate::detail {

/// Whether the bytes are valid UTF-8, without surrogates and overlong forms.
[[nodiscard]] inline bool is_utf8(std::string_view text) {
  constexpr std::array<std::uint32_t, 4> smallest = {0, 0x80, 0x800, 0x10000};
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t more = first < 0x80U ? 0 : first >> 5U == 6U ? 1 : first >> 4U == 14U ? 2 : 3;
    if ((more == 3 && first >> 3U != 30U) || text.size() - i <= more) return false;
    std::uint32_t code = more == 0 ? first : first & (0x3FU >> more);
    for (std::size_t k = 1; k <= more; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if (next >> 6U != 2U) return false;
      code = code << 6U | (next & 0x3FU);
    }
    if (code < smallest[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
    i += more + 1;
  }
  return true;
}

}  // namespace crate::detail
