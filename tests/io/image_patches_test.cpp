// SPDX-License-Identifier: MIT
#include "crate/io/pictures/image_patches.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"

namespace {

using namespace crate;
using Catch::Matchers::ContainsSubstring;
using crate::test::message_of;

/// Pixels that count up in memory, modulo 256.
Image counting(Index height, Index width, Index channels) {
  Image image{height, width, channels, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * channels))};
  std::iota(image.pixels.begin(), image.pixels.end(), std::uint8_t{0});
  return image;
}

TEST_CASE("a patch is a column, its pixels by row, column and channel") {
  const Image image = counting(4, 6, 2);
  const PatchGrid grid = patch_grid(image, 2, 3);
  CHECK(grid.rows == 2);
  CHECK(grid.columns == 2);
  const Matrix<double> tokens = tokens_from_image<double>(image, grid) * 255;
  REQUIRE(tokens.rows() == 12);
  REQUIRE(tokens.cols() == 4);
  Vector<double> second(12);  // the upper right patch
  second << 6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23;
  CHECK((tokens.col(1) - second).cwiseAbs().maxCoeff() < 1e-12);
  CHECK(std::abs(tokens(0, 2) - 24) < 1e-12);
}

TEST_CASE("an image of whole patches is the same after cutting and joining") {
  for (const Index channels : {1, 3}) {
    const Image image = counting(6, 10, channels);
    for (const Index side : {1, 2}) {
      const PatchGrid grid = patch_grid(image, 3 * side, 5);
      CHECK(image_from_tokens(tokens_from_image<float>(image, grid), grid).pixels == image.pixels);
      CHECK(image_from_tokens(tokens_from_image<double>(image, grid), grid).pixels == image.pixels);
    }
  }
}

TEST_CASE("pixels that fill no whole patch are dropped evenly on both sides") {
  const Image image = counting(7, 8, 1);
  const PatchGrid grid = patch_grid(image, 4, 5);
  const Image cropped = image_from_tokens(tokens_from_image<double>(image, grid), grid);
  CHECK(cropped.height == 4);
  CHECK(cropped.width == 5);
  CHECK(cropped.pixels.front() == 1 * 8 + 1);
  CHECK(cropped.pixels.back() == 4 * 8 + 5);
}

TEST_CASE("values beyond the range of pixels are clamped") {
  const PatchGrid grid{1, 1, 1, 5, 1};
  Vector<double> values(5);
  values << -0.5, 1.5, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 0.5;
  CHECK(image_from_tokens(values, grid).pixels == std::vector<std::uint8_t>{0, 255, 0, 255, 128});
  CHECK(image_from_tokens(2 * values, grid).pixels[4] == 255);
}

TEST_CASE("patches and tokens of other sizes than the image and grid are refused") {
  const Image image = counting(4, 6, 1);
  const auto cut = [&](Index height, Index width) {
    return message_of<ShapeError>([&] { static_cast<void>(patch_grid(image, height, width)); });
  };
  CHECK(cut(5, 1) == "patches: expected sides from 1 x 1 to 4 x 6, found 5 x 1");
  CHECK_THAT(cut(0, 1), ContainsSubstring("found 0 x 1"));
  const PatchGrid grid = patch_grid(image, 2, 2);
  CHECK(message_of<ShapeError>([&] { static_cast<void>(image_from_tokens(Matrix<float>::Zero(4, 5), grid)); }) ==
        "patches: expected 4 x 6, found 4 x 5");
  CHECK_THAT(message_of<ShapeError>([&] { static_cast<void>(tokens_from_image<float>(counting(3, 6, 1), grid)); }),
             ContainsSubstring("expected a grid within 3 x 6 pixels"));
  CHECK_THAT(message_of<ShapeError>([&] {
               static_cast<void>(tokens_from_image<float>(image, {2, 3, 2, 0, 1}));
             }),
             ContainsSubstring("expected sizes of at least 1, found 2 x 3 patches of 2 x 0 x 1"));
  CHECK_THAT(message_of<ShapeError>([&] { static_cast<void>(tokens_from_image<float>(counting(4, 6, 3), grid)); }),
             ContainsSubstring("patches: channels: expected 3, found 1"));
}

}  // namespace
