// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/matrix.hpp"

namespace examples {

/// A probe of images of more numbers than this takes minutes, and the square of their number in memory.
inline constexpr crate::Index most_probed_pixels = 4096;

}  // namespace examples
