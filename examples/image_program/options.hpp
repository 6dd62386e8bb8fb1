// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "crate/models/image_classifier.hpp"
#include "load_options.hpp"
#include "program_options/program_options.hpp"
#include "training_program/begun_training.hpp"

// What the command lines of programs that train on images have in common.

namespace image_program {

using crate::Index;

/// The images, and what is done to them.
struct DataOptions {
  std::string folder = {};
  std::vector<double> mean = {}, deviation = {};  // empty: those that the model expects, or of the training images
  std::string image = {};                         // HEIGHTxWIDTH, empty: as the model expects, or the data
  Index training_images = 0;                      // how many to train on; 0: all
  bool as_stored = false, strict = false, decode_when_drawn = false;
  bool may_lack_test = false;  // whether a tenth of the training images takes the place of test images
  double least_area = 0;       // of random crops; 0 for none
  crate::ImageAugmentation augmentation = {};

  /// How training images of this size are varied.
  [[nodiscard]] crate::ImageAugmentation augmentation_of(const crate::ImageDataSet& images) const {
    crate::ImageAugmentation varied = augmentation;
    if (least_area > 0)
      varied.crop = crate::RandomCrop{.height = images.height, .width = images.width, .least_area = least_area};
    return varied;
  }
};

inline void add_decoding_option(CLI::App& app, bool& when_drawn) {
  app.add_flag("--decode-when-drawn", when_drawn,
               "leave pictures of folders in their files and decode them each time they are needed: for more pictures "
               "than memory holds");
}

inline void add_folder_option(CLI::App& app, DataOptions& o, const std::string& further = {}) {
  app.add_option(
         "--data", o.folder,
         "folder with the data set: IDX files (MNIST, Fashion-MNIST), CIFAR in binary form, or PNG or JPEG pictures "
         "as train/CLASS/*.png and test/CLASS/*.png" +
             std::string(o.may_lack_test ? "; without test, a tenth of the training pictures is held out to measure on"
                                         : "") +
             further)
      ->type_name("FOLDER");
}

inline void add_images_option(CLI::App& app, Index& images) {
  app.add_option("--images", images, "train on a random subset of N images, the same in every run; 0: all")
      ->check(CLI::NonNegativeNumber);
}

/// `otherwise` says where the pixels' mean and deviation come from, and the size of images in folders, beside the data.
inline void add_data_options(CLI::App& app, DataOptions& o, const std::string& otherwise) {
  program_options::begin_group(app, "Data");
  const auto add_pixels = [&](const std::string& name, std::vector<double>& numbers, const std::string& what) {
    app.add_option(name, numbers,
                   what + " of the pixels (0 to 1), one number per channel, such as 0.49,0.48,0.45 [" + otherwise +
                       "measured on the training images]")
        ->delimiter(',')
        ->type_name("X,X,...");
  };
  add_folder_option(app, o);
  add_pixels("--mean", o.mean, "mean");
  add_pixels("--deviation", o.deviation, "standard deviation");
  app.add_option("--image", o.image, "resize pictures in folders to this size [" + otherwise + "224x224]")
      ->type_name("HEIGHTxWIDTH");
  app.add_flag("--as-stored", o.as_stored,
               "ignore the orientation that a camera recorded (EXIF), as the published evaluation did");
  app.add_flag("--strict", o.strict, "stop if a picture cannot be read, instead of reporting it and leaving it out");
  add_decoding_option(app, o.decode_when_drawn);
  add_images_option(app, o.training_images);
  app.add_option("--crop", o.augmentation.padding, "shift training images at random by up to N pixels")
      ->check(CLI::NonNegativeNumber);
  app.add_option(
         "--crop-area", o.least_area,
         "crop a random part, with at least this share of the area, from each training image, and resize it to the "
         "image size; 0: no cropping")
      ->check(CLI::Range(0.0, 1.0));
  app.add_flag("--flip", o.augmentation.flip, "mirror each training image with probability 1/2");
}

/// Throws OptionError unless the pixels' mean and deviation can be used.
inline void check_data_options(const DataOptions& o) { examples::check_pixels(o.mean, o.deviation); }

/// Which options may change when a training on images is resumed, and which are paths.
[[nodiscard]] inline training_program::ContinuedOptions continued_options() {
  return {.changeable = {"--data", "--output", "--history", "--epochs", "--checkpoint-every", "--history-every",
                         "--strict", "--decode-when-drawn"},
          .paths = {"--data", "--output", "--history", "--from"}};
}

inline void add_patch_option(
    CLI::App& app, std::string& patch,
    const std::string& otherwise = "the smallest of 4x4, 8x8, 16x16, 32x32 that gives at most 256 patches") {
  app.add_option("--patch", patch, "size of the patches [" + otherwise + "]")->type_name("HEIGHTxWIDTH");
}

/// "1, 2, 4 or 8" for 8
[[nodiscard]] inline std::string divisors_of(Index side) {
  std::vector<std::string> divisors;
  for (Index d = 1; d <= side; ++d)
    if (side % d == 0) divisors.push_back(std::to_string(d));
  return program_options::alternatives(divisors);
}

/// Throws OptionError, with the sizes that would do, unless patches of that size fill an image.
inline void check_patch(Index patch_height, Index patch_width, const crate::ImageDataSet& images) {
  if (images.height % patch_height == 0 && images.width % patch_width == 0) return;
  throw crate::OptionError(crate::concatenate(
      "option --patch: expected patches that fill images of ", images.height, " x ", images.width, ": ",
      divisors_of(images.height), " high",
      images.height == images.width ? " and wide" : crate::concatenate(", ", divisors_of(images.width), " wide"),
      "; found ", patch_height, " x ", patch_width));
}

/// The sides of the patches that are asked for, or else the smallest of a few that cut an image into at most 256:
/// memory and time grow with their number, and its square.
[[nodiscard]] inline std::pair<Index, Index> patch_of(const std::string& given, const crate::ImageDataSet& images) {
  if (!given.empty()) return examples::sides_from("--patch", given);
  for (const Index side : {4, 8, 16, 32})
    if (images.height % side == 0 && images.width % side == 0 && images.height / side * (images.width / side) <= 256)
      return {side, side};
  throw crate::OptionError(crate::concatenate("option --patch: expected to be given for images of ", images.height,
                                              " x ", images.width,
                                              ", which square patches of 4, 8, 16 or 32 do not fill; found nothing"));
}

/// What a new model takes: images of this size, cut into those patches.
[[nodiscard]] inline crate::ImageOptions image_options(const std::string& patch, const crate::ImageDataSet& images) {
  const auto [patch_height, patch_width] = patch_of(patch, images);
  check_patch(patch_height, patch_width, images);
  return {.height = images.height,
          .width = images.width,
          .channels = images.channels,
          .patch_height = patch_height,
          .patch_width = patch_width};
}

}  // namespace image_program
