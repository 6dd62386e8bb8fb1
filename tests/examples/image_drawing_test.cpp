// SPDX-License-Identifier: MIT
// How inspect_model draws maps and masks over images.

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "catch.hpp"
#include "crate/analysis/masks.hpp"
#include "inspect_model/image_drawing.hpp"

using namespace inspect_model;

namespace {

std::vector<int> pixel(const Image& image, Index y, Index x) {
  const auto at = image.pixels.begin() + static_cast<std::ptrdiff_t>(3 * (y * image.width + x));
  return {at, at + 3};
}

constexpr crate::PatchGrid grid{.rows = 2, .columns = 3, .height = 2, .width = 2, .channels = 3};

}  // namespace

TEST_CASE("what a model takes becomes the picture that it was made of") {
  const crate::ImageNormalisation normalisation{{0.5, 0.25, 0}, {0.5, 0.25, 1}};
  crate::Vector<double> values(3 * 4 * 6);
  values << crate::Vector<double>::Constant(24, 1), crate::Vector<double>::Constant(24, -1),
      crate::Vector<double>::Constant(24, 0.2);
  const Image image = image_of_values(values, grid, normalisation);
  CHECK(image.height == 4);
  CHECK(pixel(image, 3, 5) == std::vector<int>{255, 0, 51});
  const Image untold = image_of_values(values, grid, {});
  CHECK(pixel(untold, 0, 0) == std::vector<int>{255, 0, 153});
  const Image constant = image_of_values(crate::Vector<double>::Constant(72, 7).eval(), grid, {});
  CHECK(pixel(constant, 0, 0) == std::vector<int>{0, 0, 0});
}

TEST_CASE(
    "a mask fades what is outside of it, so that black and white stand out, and a map of zeros is of one colour") {
  crate::Mask mask = crate::Mask::Constant(4, 6, false);
  mask(1, 2) = true;
  for (const auto& [value, faded] : std::map<std::uint8_t, int>{{0, 102}, {200, 142}, {255, 153}}) {
    const Image image = masked(blank_image(4, 6, value), mask);
    CHECK(pixel(image, 1, 2) == std::vector<int>(3, value));
    CHECK(pixel(image, 2, 1) == std::vector<int>(3, faded));
  }
  const Image cold = heated(blank_image(4, 6, 200), Matrix<double>::Zero(4, 6), 0);
  CHECK(pixel(cold, 0, 0) == pixel(cold, 3, 5));
  Matrix<double> map = Matrix<double>::Zero(4, 6);
  map(3, 5) = 1e-9;
  CHECK(pixel(heated(blank_image(4, 6, 200), map, 1e-9), 3, 5) != pixel(cold, 3, 5));
  CHECK(pixel(heated(blank_image(4, 6, 200), map, 1), 3, 5) == pixel(cold, 3, 5));
}

TEST_CASE("a patch is framed among its neighbours, and grey stands beyond the border of the image") {
  const Image image = blank_image(4, 6, 10);
  const Image corner = surroundings(image, grid, 0);
  const Index factor = magnification(6);
  REQUIRE(corner.height == 6 * factor);
  CHECK(pixel(corner, 0, 0) == std::vector<int>{128, 128, 128});
  CHECK(pixel(corner, 2 * factor, 2 * factor) == std::vector<int>{255, 40, 40});
  CHECK(pixel(corner, 3 * factor, 3 * factor) == std::vector<int>{10, 10, 10});
  CHECK(pixel(corner, 6 * factor - 1, 6 * factor - 1) == std::vector<int>{10, 10, 10});
}

TEST_CASE("rows of images of any size stand on white, small ones magnified") {
  const Image all = montage({{{{"small", blank_image(28, 28, 0)}, {"large", blank_image(200, 100, 9)}}, "a row"},
                             {{{"below", blank_image(112, 300, 7)}}, "another"}});
  CHECK(all.height == 6 + 200 + 6 + 112 + 6);
  CHECK(all.width == 6 + 300 + 6);
  CHECK(pixel(all, 0, 0) == std::vector<int>{255, 255, 255});
  CHECK(pixel(all, 6 + 111, 6 + 111) == std::vector<int>{0, 0, 0});
  CHECK(pixel(all, 6 + 199, 6 + 112 + 6) == std::vector<int>{9, 9, 9});
  CHECK(pixel(all, 6 + 200 + 6, 6) == std::vector<int>{7, 7, 7});
}
