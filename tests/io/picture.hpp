// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "crate/io/formats/pixels.hpp"

namespace crate::test {

/// An RGB picture with detail in every channel, by a formula that other imaging libraries can be given too.
[[nodiscard]] inline Image picture(Index height, Index width) {
  Image image{height, width, 3, {}};
  for (Index y = 0; y < height; ++y)
    for (Index x = 0; x < width; ++x)
      for (Index c = 0; c < 3; ++c)
        image.pixels.push_back(static_cast<std::uint8_t>((37 * y * y + 91 * x + 53 * c * x + 17 * y * x * c) % 256));
  return image;
}

}  // namespace crate::test
