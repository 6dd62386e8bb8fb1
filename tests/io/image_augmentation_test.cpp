// SPDX-License-Identifier: MIT
#include "crate/augmentation/image_augmentation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/augmentation/view_presets.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

namespace {

/// The picture that the reference numbers are of.
ImagePlanes ramp(Index height, Index width, Index channels) {
  ImagePlanes image{height, width, channels, Matrix<float>(width, height * channels)};
  for (Index i = 0; i < image.pixels.size(); ++i)
    image.pixels.data()[i] = static_cast<float>(static_cast<double>((i * 37) % 101) / 100);
  return image;
}

ImagePlanes drawn_image(Random& random, Index channels) {
  const Index height = draw_index(random, 1, 19), width = draw_index(random, 1, 23);
  ImagePlanes image{height, width, channels, Matrix<float>(width, height * channels)};
  random.fill_uniform(image.pixels, 0, 1);
  return image;
}

double largest_difference(const ImagePlanes& found, std::initializer_list<double> expected) {
  REQUIRE(found.pixels.size() == std::ssize(expected));
  double largest = 0;
  Index i = 0;
  for (const double value : expected)
    largest = std::max(largest, std::abs(static_cast<double>(found.pixels.data()[i++]) - value));
  return largest;
}

double largest_difference(const ImagePlanes& found, const ImagePlanes& expected) {
  REQUIRE(found.pixels.rows() == expected.pixels.rows());
  REQUIRE(found.pixels.cols() == expected.pixels.cols());
  return static_cast<double>((found.pixels - expected.pixels).cwiseAbs().maxCoeff());
}

/// Of sums of a few tens of numbers up to 1 in single precision, rounded a few times.
constexpr double in_single = 2e-6;

/// Of the reference's 8 bits: an output that is cut, a grey and a mean that are rounded before they are scaled by up to
/// 0.4.
constexpr double eight_bits = 1.4 / 255;

template <class Change>
ImagePlanes changed(ImagePlanes image, const Change& change) {
  change(image);
  return image;
}

/// Red ... blue planes of 2 x 3 bytes.
ImagePlanes bytes(std::initializer_list<double> values) {
  ImagePlanes image{2, 3, 3, Matrix<float>(3, 6)};
  Index i = 0;
  for (const double value : values) image.pixels.data()[i++] = static_cast<float>(value / 255);
  return image;
}

const ImagePlanes colours = bytes({0, 94, 189, 26, 120, 214, 51, 145, 240, 76, 171, 8, 102, 196, 33, 128, 222, 59});

ImageDataSet drawn_data(Index side, Index channels, Index count) {
  ImageDataSet data{.height = side, .width = side, .channels = channels};
  data.pixels.resize(channels * side * side, count);
  Random random(3);
  for (Index i = 0; i < data.pixels.size(); ++i) data.pixels.data()[i] = static_cast<std::uint8_t>(random.below(256));
  data.labels.assign(static_cast<std::size_t>(count), 0);
  data.class_names = {"one", "other"};
  return data;
}

const ImageNormalisation of_one{.mean = {0.3}, .deviation = {0.2}};

}  // namespace

// Computed with PyTorch 1.13, torch.nn.functional.interpolate with mode="bicubic", antialias=True in double, clamped.
TEST_CASE("a crop that is shrunk or enlarged is the reference's") {
  CHECK(largest_difference(crop_and_resize(ramp(9, 7, 1), {1, 2, 7, 5}, 3, 4),
                           {0.56709902, 0.39517801, 0.51561395, 0.65653645, 0.70184097, 0.58169220, 0.41010120,
                            0.44045011, 0.40723885, 0.48266044, 0.56613385, 0.32997795}) < in_single);
  CHECK(largest_difference(
            crop_and_resize(ramp(3, 4, 1), {0, 0, 3, 4}, 5, 6),
            {0.00000000, 0.11239734, 0.41794244, 0.77277297, 0.42782464, 0.01740814, 0.11648861, 0.34093942,
             0.58229460, 0.55182542, 0.40048288, 0.27320601, 0.44565789, 0.68176471, 0.78009259, 0.25990741,
             0.35823529, 0.59434211, 0.81499313, 0.66345917, 0.49314711, 0.49513025, 0.35190079, 0.22462392,
             1.00000000, 0.61217536, 0.27979909, 0.68491789, 0.35254162, 0.00000000}) < in_single);
}

TEST_CASE("a crop of the whole picture to its own size is the picture, and a crop is that of the part alone") {
  for_random_draws(20, [](Random& random) {
    const ImagePlanes image = drawn_image(random, 3);
    const PictureBox whole{0, 0, image.height, image.width};
    CHECK(largest_difference(crop_and_resize(image, whole, image.height, image.width), image) == 0);
    const Index height = draw_index(random, 1, image.height), width = draw_index(random, 1, image.width);
    const Index top = random.below(image.height - height + 1), left = random.below(image.width - width + 1);
    ImagePlanes part{height, width, 3, Matrix<float>(width, 3 * height)};
    for (Index c = 0; c < 3; ++c) part.plane(c) = image.plane(c).block(left, top, width, height);
    CHECK(largest_difference(crop_and_resize(image, {top, left, height, width}, 6, 5),
                             crop_and_resize(part, {0, 0, height, width}, 6, 5)) == 0);
  });
}

// Computed with numpy: the picture padded in mode "symmetric", and convolved with the Gaussian axis by axis.
TEST_CASE("a blur is a convolution with a Gaussian in a mirrored picture, narrower or wider than it") {
  CHECK(largest_difference(changed(ramp(3, 4, 1), [](ImagePlanes& image) { blur(image, 0.8); }),
                           {0.23626202, 0.41992868, 0.46922820, 0.31891351, 0.49889076, 0.52117632, 0.44993838,
                            0.35727037, 0.70402386, 0.54860006, 0.43583158, 0.26993627}) < in_single);
  CHECK(largest_difference(changed(ramp(3, 4, 1), [](ImagePlanes& image) { blur(image, 3); }),
                           {0.44100551, 0.43759475, 0.43276305, 0.42934553, 0.44175918, 0.43829189, 0.43338026,
                            0.42990629, 0.44250969, 0.43898584, 0.43399424, 0.43046377}) < in_single);
}

TEST_CASE("a blur keeps the mean of every channel, and one of deviation 0 the picture") {
  for_random_draws(20, [](Random& random) {
    const ImagePlanes image = drawn_image(random, 3);
    ImagePlanes blurred = image;
    blur(blurred, random.uniform(0.1, 4));
    for (Index c = 0; c < 3; ++c)
      CHECK(std::abs(static_cast<double>(blurred.plane(c).mean() - image.plane(c).mean())) < in_single);
    CHECK(largest_difference(changed(image, [](ImagePlanes& same) { blur(same, 0); }), image) == 0);
  });
}

// Computed with Pillow 9.4: ImageEnhance, convert("L"), ImageOps.solarize.
TEST_CASE("colours change as in the reference, up to its 8 bits") {
  const auto difference = [](const auto& change, std::initializer_list<double> expected) {
    return largest_difference(changed(colours, change), bytes(expected));
  };
  CHECK(difference([](ImagePlanes& image) { scale_brightness(image, 1.4); },
                   {0, 131, 255, 36, 168, 255, 71, 203, 255, 106, 239, 11, 142, 255, 46, 179, 255, 82}) < eight_bits);
  CHECK(difference([](ImagePlanes& image) { scale_contrast(image, 0.6); },
                   {45, 102, 159, 61, 117, 174, 76, 132, 189, 91, 148, 50, 106, 163, 65, 122, 178, 81}) < eight_bits);
  CHECK(difference([](ImagePlanes& image) { scale_contrast(image, 1.4); },
                   {0, 86, 219, 0, 122, 254, 25, 157, 255, 60, 193, 0, 97, 228, 0, 133, 255, 37}) < eight_bits);
  CHECK(difference([](ImagePlanes& image) { scale_saturation(image, 1.2); },
                   {0, 85, 186, 17, 111, 241, 52, 146, 247, 77, 172, 0, 114, 208, 0, 140, 234, 55}) < eight_bits);
  CHECK(difference(make_grey, {42, 136, 201, 67, 162, 75, 42, 136, 201, 67, 162, 75, 42, 136, 201, 67, 162, 75}) <
        eight_bits);
  CHECK(difference([](ImagePlanes& image) { solarise(image, 128.0 / 255); },
                   {0, 94, 66, 26, 120, 41, 51, 110, 15, 76, 84, 8, 102, 59, 33, 127, 33, 59}) < in_single);
}

// Computed with Python's colorsys.
TEST_CASE("a turned hue is that of the HSV model") {
  const auto turned = [](double turn) {
    return changed(ramp(2, 3, 3), [&](ImagePlanes& image) { turn_hue(image, turn); });
  };
  CHECK(largest_difference(turned(0.1), {0.04, 0.41, 0.254, 0.14, 0.51, 0.84, 0.00, 0.37, 0.94, 0.10, 0.47, 0.316, 0.40,
                                         0.77, 0.13, 0.50, 0.87, 0.03}) < in_single);
  CHECK(largest_difference(turned(-0.35), {0.24, 0.61, 0.94, 0.34, 0.71, 0.03, 0.40, 0.77, 0.13, 0.50, 0.87, 0.311,
                                           0.00, 0.37, 0.821, 0.10, 0.47, 0.84}) < in_single);
}

TEST_CASE("what changes nothing leaves the picture, what is done twice undoes itself, and grey stays grey") {
  for_random_draws(20, [](Random& random) {
    const ImagePlanes image = drawn_image(random, random.below(2) == 0 ? 1 : 3);
    const ColourChange nothing{.order = {3, 1, 0, 2}};
    CHECK(largest_difference(changed(image, [&](ImagePlanes& same) { detail::change_colours(same, nothing); }), image) <
          in_single);
    const auto twice = [&](const auto& change) {
      return changed(image, [&](ImagePlanes& same) {
        change(same);
        change(same);
      });
    };
    CHECK(largest_difference(twice(mirror), image) == 0);
    CHECK(largest_difference(twice([](ImagePlanes& same) { turn_hue(same, 0.5); }), image) < in_single);
    const ImagePlanes grey = changed(image, make_grey);
    CHECK(largest_difference(changed(grey, make_grey), grey) < in_single);
    CHECK(largest_difference(changed(grey, [](ImagePlanes& same) { turn_hue(same, 0.3); }), grey) < in_single);
    CHECK(largest_difference(changed(grey, [](ImagePlanes& same) { scale_saturation(same, 1.7); }), grey) < in_single);
  });
}

TEST_CASE("a picture of one value stays one under every view, and values stay in 0 to 1") {
  for_random_draws(50, [](Random& random) {
    const auto views = multi_crop_views(small_multi_crop(random.below(9) + 8, 8, 4));
    ImagePlanes image = drawn_image(random, 3), constant = image;
    constant.pixels.setConstant(0.25f);
    for (std::size_t v = 0; v < views.size(); ++v) {
      const ImageView drawn = draw_view(views[v], image.height, image.width, random, 5, static_cast<Index>(v), 6);
      const ImagePlanes flat = seen(constant, drawn, views[v]), other = seen(image, drawn, views[v]);
      CHECK(flat.pixels.maxCoeff() - flat.pixels.minCoeff() < static_cast<float>(in_single));
      CHECK(other.pixels.minCoeff() >= -static_cast<float>(in_single));
      CHECK(other.pixels.maxCoeff() <= 1 + static_cast<float>(in_single));
      CHECK(other.height == views[v].crop->height);
    }
  });
}

TEST_CASE("crops keep to their areas and aspects, reach every border, and are the middle where nothing fits") {
  const RandomCrop crop{.least_area = 0.2, .largest_area = 0.6, .least_aspect = 0.5, .largest_aspect = 2};
  std::set<Index> tops, ends;
  double area = 0, sum = 0;
  constexpr int trials = 4000;
  Random random(1);
  for (int trial = 0; trial < trials; ++trial) {
    const PictureBox part = detail::draw_part(crop, 100, 100, random);
    const double share = static_cast<double>(part.height * part.width) / 1e4;
    CHECK(share > 0.19);
    CHECK(share < 0.61);
    CHECK(std::abs(std::log2(static_cast<double>(part.width) / static_cast<double>(part.height))) < 1.05);
    area += share / trials;
    sum += std::log2(static_cast<double>(part.width) / static_cast<double>(part.height)) / trials;
    tops.insert(part.top);
    ends.insert(part.left + part.width);
  }
  CHECK(std::abs(area - 0.4) < 0.01);  // what does not fit is large: fewer than 1 in 20
  CHECK(std::abs(sum) < 0.05);
  CHECK(*tops.begin() == 0);
  CHECK(*ends.rbegin() == 100);
  const RandomCrop wide{.least_area = 1, .least_aspect = 4, .largest_aspect = 5};
  const PictureBox middle = detail::draw_part(wide, 40, 80, random);
  CHECK(std::array{middle.top, middle.left, middle.height, middle.width} == std::array<Index, 4>{10, 0, 20, 80});
}

TEST_CASE("what is drawn happens as often as it should, and every order of the colours comes") {
  const auto views = multi_crop_views();
  std::array<double, 5> counts{};
  std::set<std::array<int, 4>> orders;
  constexpr Index trials = 4000;
  for (Index i = 0; i < trials; ++i) {
    const ImageView view = draw_view(views[1], 64, 64, Random(5), i, 1, 10);
    const std::array<bool, 5> happened{view.mirrored, view.colours.has_value(), view.grey, view.blur.has_value(),
                                       view.solarised};
    for (std::size_t k = 0; k < counts.size(); ++k) counts[k] += happened[k] ? 1.0 / trials : 0;
    if (view.colours) {
      orders.insert(view.colours->order);
      CHECK(std::abs(view.colours->brightness - 1) <= 0.4);
      CHECK(std::abs(view.colours->saturation - 1) <= 0.2);
      CHECK(std::abs(view.colours->turn) <= 0.1);
    }
    if (view.blur) CHECK((*view.blur >= 0.1 && *view.blur <= 2));
  }
  const std::array<double, 5> expected{0.5, 0.8, 0.2, 0.1, 0.2};
  for (std::size_t k = 0; k < counts.size(); ++k) CHECK(std::abs(counts[k] - expected[k]) < 0.04);  // five deviations
  CHECK(orders.size() == 24);
}

TEST_CASE("views depend on seed, epoch, image and view alone, whichever images stand beside") {
  const ImageDataSet data = drawn_data(12, 1, 6);
  const ViewSource<float> source{data, of_one, multi_crop_views(small_grey_multi_crop(12, 8, 2))};
  const std::vector<Index> some{4, 1, 3}, alone{3};
  const ImageViews<float> views = source.draw(some, 7, 2);
  REQUIRE(views.views.size() == 4);
  CHECK(views.views[0].rows() == 144);
  CHECK(views.views[3].rows() == 64);
  for (std::size_t v = 0; v < 4; ++v) {
    CHECK(source.draw(alone, 7, 2).views[v].col(0) == views.views[v].col(2));
    CHECK(source.draw(alone, 7, 3).views[v].col(0) != views.views[v].col(2));
    CHECK(source.draw(alone, 8, 2).views[v].col(0) != views.views[v].col(2));
    CHECK(source.take(alone).views[v] == source.take(some).views[v].col(2));
  }
  CHECK(views.views[2].col(0) != views.views[3].col(0));
}

TEST_CASE("views of several kinds draw numbers of their own") {
  const ImageAugmentation moved{.padding = 100000}, greyed{.padding = 100000, .grey = 0.5};
  std::set<Index> tops;
  for (Index image = 0; image < 40; ++image) {
    tops.insert(draw_view(moved, 8, 8, Random(1), image, 0, 2).top);
    tops.insert(draw_view(greyed, 8, 8, Random(1), image, 1, 2).top);
  }
  CHECK(tops.size() == 80);
}

TEST_CASE("a mirrored crop is the crop in a mirror, and that of the whole picture is the picture in a mirror") {
  const ImagePlanes image = ramp(9, 7, 3);
  const ImageAugmentation cropped{.crop = RandomCrop{.height = 9, .width = 7}};
  const PictureBox part{.top = 2, .left = 1, .height = 5, .width = 4}, whole{.height = 9, .width = 7};
  ImagePlanes plain = seen(image, {.part = part}, cropped);
  mirror(plain);
  CHECK(seen(image, {.mirrored = true, .part = part}, cropped).pixels == plain.pixels);
  CHECK(largest_difference(seen(image, {.mirrored = true, .part = whole}, cropped),
                           seen(image, {.mirrored = true}, {})) < in_single);
}

TEST_CASE("an image that is cropped whole is normalised as one that is not varied") {
  const ImageDataSet data = drawn_data(9, 1, 3);
  const std::vector<Index> all{0, 1, 2};
  const ImageAugmentation whole{
      .crop = RandomCrop{.height = 9, .width = 9, .least_area = 1, .least_aspect = 1, .largest_aspect = 1}};
  CHECK(relative_error(augmented_images<double>(data, all, of_one, whole, 1, 2),
                       normalised_images<double>(data, all, of_one)) < in_single);
  ImageAugmentation moving = whole;
  moving.padding = 2;
  const ImagePlanes image = detail::planes_of(data, 1);
  const ImageView drawn = draw_view(moving, 9, 9, Random(1, 2), 1);
  CHECK(largest_difference(seen(image, drawn, moving), detail::moved(image, drawn.top, drawn.left)) == 0);
}

TEST_CASE("augmentations that cannot be meant are refused by name") {
  const auto refusal = [](const ImageAugmentation& augmentation) {
    return message_of<OptionError>([&] { augmentation.check(); });
  };
  CHECK_THAT(refusal({.crop = RandomCrop{.least_area = 0}}), ContainsSubstring("areas of a crop"));
  CHECK_THAT(refusal({.crop = RandomCrop{.least_aspect = 2, .largest_aspect = 1}}), ContainsSubstring("found 2 to 1"));
  CHECK_THAT(refusal({.crop = RandomCrop{.height = 0}}), ContainsSubstring("sides of a crop"));
  CHECK_THAT(refusal({.jitter = {.hue = 0.6}}), ContainsSubstring("hue in [0, 0.5], found 0.6"));
  CHECK_THAT(refusal({.grey = 1.5}), ContainsSubstring("grey"));
  CHECK_THAT(refusal({.blur = {.least_deviation = 3}}), ContainsSubstring("found 3 to 2"));
  CHECK_THAT(refusal({.blur = {.largest_deviation = 1e4}}), ContainsSubstring("<= 1000, found 0.1 to 10000"));
  CHECK_THAT(refusal({.solarise = -1}), ContainsSubstring("solarising"));
  const ImageView of_part{.part = PictureBox{.height = 1, .width = 1}};
  CHECK_THAT(message_of<OptionError>([&] { (void)seen(ramp(2, 2, 1), of_part, {}); }),
             ContainsSubstring("with a crop, as the view is a part"));
  const ImageDataSet two = drawn_data(4, 2, 1);
  const std::vector<Index> all{0};
  CHECK_THAT(message_of<OptionError>([&] {
               (void)augmented_images<float>(two, all, {.mean = {0, 0}, .deviation = {1, 1}}, {.grey = 1}, 0, 0);
             }),
             ContainsSubstring("1 or 3 channels"));
}
