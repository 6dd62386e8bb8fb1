// SPDX-License-Identifier: MIT
// From a picture to a column of images, by what the model says of its input.
#include "crate/io/pictures/prepare.hpp"

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "io/picture.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

namespace {

/// All that `prepare` asks of a model.
struct Model {
  using Scalar = double;
  struct About {
    ImagePreprocessing preprocessing;
  };

  PatchGrid grid;
  About about = {ImagePreprocessing::published(grid.channels)};
};

const PatchGrid& patch_grid(const Model& model) { return model.grid; }

Model model_of(Index height, Index width, Index channels) { return {{1, 1, height, width, channels}}; }

}  // namespace

// Computed with Pillow 9.4 as torchvision's Resize(32), CenterCrop((28, 21)), ToTensor and Normalize do.
TEST_CASE("without a word of its own, a model takes photographs as the published evaluation prepares them") {
  const Matrix<double> images = prepare(model_of(28, 21, 3), picture(37, 50));
  REQUIRE(images.rows() == 3 * 28 * 21);
  REQUIRE(images.cols() == 1);
  const std::vector<Index> places{0, 1, 21, 587, 588, 1175, 1176, 1763};
  Vector<double> expected(8);
  expected << 0.2795616063019097, 0.03981505265861818, 1.546793389845021, 0.26243685247024556, 0.2401960784313723,
      0.3802521008403359, -0.8981263616557735, 0.5310675381263616;
  CHECK(relative_error(images.col(0)(places), expected) < 1e-14);
  CHECK(std::abs(images.sum() - 392.18083045542323) < 1e-10);
}

TEST_CASE("an image becomes a column in the order channel, row, column") {
  const Image image{1, 2, 2, {0, 255, 51, 102}};
  Vector<double> expected(4);
  expected << -1, -0.6, 2, 0.8;  // means 0.5 and 0, deviations 0.5
  const ImageNormalisation normalisation{.mean = {0.5, 0}, .deviation = {0.5, 0.5}};
  CHECK(relative_error(normalised_image<double>(image, normalisation), expected) < 1e-15);
}

TEST_CASE("a picture that covers the image is not resized, and the model's own normalisation holds") {
  Model model = model_of(2, 2, 1);
  model.about.preprocessing = {.fit = PictureFit::cover, .normalisation = {.mean = {0.2}, .deviation = {0.5}}};
  const Image grey{2, 2, 1, {51, 0, 255, 102}};
  Vector<double> expected(4);
  expected << 0, -0.4, 1.6, 0.4;
  CHECK((prepare(model, grey).col(0) - expected).norm() < 1e-15);
  const Image as_colours{2, 2, 3, {51, 51, 51, 0, 0, 0, 255, 255, 255, 102, 102, 102}};
  CHECK(prepare(model, as_colours) == prepare(model, grey));
}

TEST_CASE("a grey picture is what an RGB model makes of three equal channels") {
  Image grey = picture(9, 7);
  grey = with_channels(grey, 1);
  CHECK(prepare(model_of(4, 4, 3), grey) == prepare(model_of(4, 4, 3), with_channels(grey, 3)));
}

TEST_CASE("several pictures become columns side by side") {
  const Model model = model_of(4, 6, 3);
  const std::vector<Image> pictures{picture(9, 7), picture(6, 8)};
  const Matrix<double> images = prepare(model, pictures);
  CHECK(images.col(0) == prepare(model, pictures[0]).col(0));
  CHECK(images.col(1) == prepare(model, pictures[1]).col(0));
  CHECK(prepare(model, std::vector<Image>{}).cols() == 0);
}

TEST_CASE("a normalisation that nobody told is an error, not a guess") {
  CHECK_THAT(message_of<OptionError>([] {
               (void)prepare(model_of(2, 2, 1), Image{2, 2, 1, {1, 2, 3, 4}});
             }),
             ContainsSubstring(
                 "model.about.preprocessing.normalisation: expected mean and deviation of the pixels of 1 channel,"));
  CHECK_THAT(message_of<OptionError>([] {
               (void)normalised_image<float>(Image{2, 2, 1, {1, 2, 3, 4}}, imagenet_normalisation());
             }),
             ContainsSubstring("a mean for each of 1 channels, found 3"));
}
