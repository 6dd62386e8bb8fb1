// SPDX-License-Identifier: MIT
#include "crate/io/pictures/resize.hpp"

#include <cstdint>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "io/picture.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

namespace {

using Pixels = std::vector<std::uint8_t>;

}  // namespace

// Computed with Pillow 9.4, Image.resize with BILINEAR.
TEST_CASE("a resized picture is the reference's, pixel for pixel: shrunk, enlarged, and one side each") {
  CHECK(resize(picture(11, 17), 3, 4).pixels == Pixels{114, 116, 143, 121, 129, 151, 131, 126, 136, 141, 132, 123,
                                                       124, 92,  135, 118, 129, 126, 131, 142, 133, 138, 127, 120,
                                                       126, 98,  146, 129, 128, 124, 131, 116, 112, 125, 138, 116});
  CHECK(resize(picture(3, 4), 5, 6).pixels ==
        Pixels{0,   0,   0,   46,  72,  99,  106, 125, 187, 167, 51,  148, 100, 104, 109, 17,  176, 79,
               15,  15,  15,  61,  90,  69,  121, 148, 133, 182, 78,  170, 115, 85,  158, 32,  109, 135,
               37,  37,  37,  83,  118, 25,  143, 182, 51,  204, 119, 204, 137, 56,  231, 54,  8,   218,
               104, 104, 104, 150, 113, 102, 184, 133, 116, 143, 178, 180, 127, 148, 195, 121, 105, 192,
               148, 148, 148, 194, 109, 153, 211, 100, 159, 102, 218, 164, 120, 209, 171, 165, 170, 175});
  CHECK(resize(picture(9, 5), 14, 3).pixels ==
        Pixels{39,  62,  84,  125, 89,  138, 69,  112, 45,  56,  82,  57,  142, 95,  160, 86,  106, 119,
               88,  107, 40,  159, 112, 184, 102, 103, 201, 159, 113, 121, 139, 169, 171, 80,  119, 186,
               159, 90,  130, 103, 176, 165, 100, 121, 200, 116, 51,  96,  60,  155, 164, 146, 117, 226,
               118, 58,  107, 62,  179, 173, 148, 158, 141, 144, 88,  107, 88,  163, 160, 127, 141, 116,
               193, 142, 96,  137, 106, 125, 82,  65,  149, 132, 86,  107, 162, 60,  135, 105, 34,  161,
               83,  42,  110, 169, 33,  138, 113, 24,  163, 63,  27,  100, 149, 35,  125, 93,  43,  150,
               83,  51,  70,  169, 76,  152, 113, 102, 158, 103, 74,  46,  189, 112, 177, 133, 150, 166});
}

TEST_CASE("a size that stays is left alone") {
  CHECK(resize(picture(5, 7), 5, 7).pixels == picture(5, 7).pixels);
  CHECK(resize_shorter_side(picture(5, 7), 5).pixels == picture(5, 7).pixels);
}

TEST_CASE("the shorter side becomes what is asked for, the other follows, rounded down") {
  const Image wide = resize_shorter_side(picture(4, 7), 6), tall = resize_shorter_side(picture(7, 4), 6);
  CHECK(wide.height == 6);
  CHECK(wide.width == 10);
  CHECK(tall.height == 10);
  CHECK(tall.width == 6);
}

TEST_CASE("a needle is not blown up to a picture that memory cannot hold") {
  const Image needle{400'000, 1, 1, Pixels(400'000)};
  CHECK_THAT(message_of<ShapeError>([&] { (void)resize_shorter_side(needle, 256); }),
             ContainsSubstring("at most 100000000 pixels, found 102400000 x 256 from 400000 x 1"));
}

TEST_CASE("a size beyond all pictures is refused before it overflows") {
  const Index huge = Index{1} << 62U;
  const auto refused = [](const auto& call) { return message_of<ShapeError>(call); };
  CHECK_THAT(refused([&] { (void)resize_shorter_side(picture(2, 3), huge); }), ContainsSubstring("at most 100000000"));
  CHECK_THAT(refused([&] { (void)resize_to_cover(picture(2, 3), huge, huge); }),
             ContainsSubstring("at most 100000000"));
  CHECK_THAT(refused([&] { (void)resize_to_cover(picture(2, 3), 0, 1); }), ContainsSubstring("at least 1 x 1"));
}

// 0.299 R + 0.587 G + 0.114 B as (19595 R + 38470 G + 7471 B + 32768) / 65536 rounded down: 76.7, 150.2, 29.6, 255.5,
// 2.3, 124.3. Pillow 9.4 gives the same by convert("L").
TEST_CASE("a picture becomes grey by its brightness, and RGB by repetition") {
  const Image colours{2, 3, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3, 10, 200, 30}};
  const Image grey = with_channels(colours, 1);
  CHECK(grey.height == 2);
  CHECK(grey.width == 3);
  CHECK(grey.channels == 1);
  CHECK(grey.pixels == Pixels{76, 150, 29, 255, 2, 124});
  const Image repeated = with_channels(grey, 3);
  CHECK(repeated.channels == 3);
  CHECK(repeated.pixels == Pixels{76, 76, 76, 150, 150, 150, 29, 29, 29, 255, 255, 255, 2, 2, 2, 124, 124, 124});
  CHECK(with_channels(colours, 3).pixels == colours.pixels);
  Image all{16, 16, 1, {}};
  for (int value = 0; value < 256; ++value) all.pixels.push_back(static_cast<std::uint8_t>(value));
  CHECK(with_channels(with_channels(all, 3), 1).pixels == all.pixels);
}

TEST_CASE("other channels than grey and RGB are refused") {
  const auto refused = [](const Image& image, Index channels) {
    return message_of<ShapeError>([&] { (void)with_channels(image, channels); });
  };
  CHECK(refused({1, 1, 1, {0}}, 2) == "image: expected 1 or 3 channels, found 2");
  CHECK(refused({1, 1, 4, {0, 0, 0, 0}}, 3) == "image: expected 1 or 3 channels, found 4");
  CHECK(refused({1, 1, 3, {0}}, 3) == "image: values: expected 3, found 1");
}
