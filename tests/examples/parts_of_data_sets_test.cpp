// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <vector>

#include "catch.hpp"
#include "image_program/part_of.hpp"

using crate::ImageDataSet;
using crate::Index;

namespace {

/// Image i has the pixels i, i + 1 and the label i % 3, in memory or in files.
ImageDataSet numbered_images(Index count, bool in_files) {
  ImageDataSet data{.height = 1, .width = 2, .channels = 1, .class_names = {"a", "b", "c"}};
  for (Index i = 0; i < count; ++i) data.labels.push_back(i % 3);
  const auto draw = [](Index i, std::uint8_t* pixels) {
    for (Index p = 0; p < 2; ++p) pixels[p] = static_cast<std::uint8_t>(i + p);
  };
  if (in_files) {
    data.files = {.read = draw, .fingerprint = 1};
    return data;
  }
  data.pixels.resize(2, count);
  for (Index i = 0; i < count; ++i) draw(i, data.pixels.col(i).data());
  return data;
}

/// The numbers of the images of a part, each of which must be a whole image with its own label.
std::vector<Index> numbers_of(const ImageDataSet& part) {
  part.check();
  REQUIRE(part.class_names.size() == 3);
  std::vector<std::uint8_t> memory;
  std::vector<Index> numbers;
  for (Index i = 0; i < part.size(); ++i) {
    const std::uint8_t* const pixels = part.image(i, memory);
    REQUIRE(pixels[1] == pixels[0] + 1);
    REQUIRE(part.labels[static_cast<std::size_t>(i)] == pixels[0] % 3);
    numbers.push_back(pixels[0]);
  }
  return numbers;
}

std::vector<Index> numbers_below(Index count) {
  std::vector<Index> numbers;
  for (Index i = 0; i < count; ++i) numbers.push_back(i);
  return numbers;
}

}  // namespace

TEST_CASE("a tenth that is held out and the rest are all images, each once, in the order of the data") {
  for (const bool in_files : {false, true})
    for (const Index count : {2, 9, 10, 19, 20, 200}) {
      const crate::TrainingAndTest sets = image_program::hold_out_tenth(numbered_images(count, in_files));
      const std::vector<Index> training = numbers_of(sets.training), test = numbers_of(sets.test);
      REQUIRE(std::ssize(test) == std::max<Index>(1, count / 10));
      REQUIRE(std::is_sorted(training.begin(), training.end()));
      REQUIRE(std::is_sorted(test.begin(), test.end()));
      std::vector<Index> all;
      std::merge(training.begin(), training.end(), test.begin(), test.end(), std::back_inserter(all));
      REQUIRE(all == numbers_below(count));
    }
}

TEST_CASE("the same tenth is held out every time, wherever the images are, and is not the first one") {
  const auto held_out = [](bool in_files) {
    return numbers_of(image_program::hold_out_tenth(numbered_images(200, in_files)).test);
  };
  REQUIRE(held_out(false) == held_out(false));
  REQUIRE(held_out(false) == held_out(true));
  REQUIRE(held_out(false) != numbers_below(20));
}

TEST_CASE("a part has as many images as asked for, in the order of the data, the same ones every time") {
  for (const bool in_files : {false, true}) {
    const ImageDataSet data = numbered_images(50, in_files);
    const std::vector<Index> part = numbers_of(image_program::part_of(data, 12).value());
    REQUIRE(part.size() == 12);
    REQUIRE(std::adjacent_find(part.begin(), part.end(), std::greater_equal<>()) == part.end());
    REQUIRE(part == numbers_of(image_program::part_of(data, 12).value()));
    for (const Index all : {0, 50, 51}) REQUIRE(!image_program::part_of(data, all));
  }
}

TEST_CASE("parts of images in files have fingerprints of their own") {
  const ImageDataSet data = numbered_images(50, true);
  const crate::TrainingAndTest sets = image_program::hold_out_tenth(data);
  REQUIRE(sets.training.files->fingerprint != sets.test.files->fingerprint);
  REQUIRE(sets.training.files->fingerprint != data.files->fingerprint);
}
