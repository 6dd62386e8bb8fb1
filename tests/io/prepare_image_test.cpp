// SPDX-License-Identifier: MIT
#include "crate/io/prepare_image.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "io/picture.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

// Computed with Pillow 9.4 as torchvision's Resize(32), CenterCrop((28, 21)), ToTensor and Normalize do.
TEST_CASE("a photograph is prepared as the published evaluation does") {
  const Vector<double> column = prepare_image<double>(picture(37, 50), 28, 21);
  REQUIRE(column.size() == 3 * 28 * 21);
  const std::vector<Index> places{0, 1, 21, 587, 588, 1175, 1176, 1763};
  Vector<double> expected(8);
  expected << 0.2795616063019097, 0.03981505265861818, 1.546793389845021, 0.26243685247024556, 0.2401960784313723,
      0.3802521008403359, -0.8981263616557735, 0.5310675381263616;
  CHECK(relative_error(column(places), expected) < 1e-14);
  CHECK(std::abs(column.sum() - 392.18083045542323) < 1e-10);
}

TEST_CASE("an image becomes a column in the order channel, row, column") {
  const Image image{1, 2, 2, {0, 255, 51, 102}};
  Vector<double> expected(4);
  expected << -1, -0.6, 2, 0.8;  // means 0.5 and 0, deviations 0.5
  const ImageNormalisation normalisation{.mean = {0.5, 0}, .deviation = {0.5, 0.5}};
  CHECK(relative_error(normalised_image<double>(image, normalisation), expected) < 1e-15);
}

TEST_CASE("what is no photograph is refused") {
  const Image grey{2, 2, 1, {1, 2, 3, 4}};
  CHECK_THAT(message_of<ShapeError>([&] { (void)prepare_image<float>(grey, 2, 2); }),
             ContainsSubstring("photograph: channels: expected 3, found 1"));
  CHECK_THAT(message_of<OptionError>([&] { (void)normalised_image<float>(grey, imagenet_normalisation()); }),
             ContainsSubstring("means of 1 channels"));
}
