// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "crate/io/formats/regular_file.hpp"
#include "crate/io/pictures/prepare.hpp"
#include "crate/io/pictures/read_image_data_set.hpp"
#include "crate/training/recipe.hpp"
#include "image_program/options.hpp"
#include "image_program/part_of.hpp"
#include "load_options.hpp"

// The images that a program trains on.

namespace image_program {

/// What images a model takes, and how pictures become such. A model to come takes what the data has.
struct Input {
  Index height = 224, width = 224;
  std::optional<Index> channels = {};
  crate::ImagePreprocessing preprocessing = {.fit = crate::PictureFit::cover};
};

template <class Model>
Input input_of(const Model& model) {
  return {patch_grid(model).image_height(), patch_grid(model).image_width(), patch_grid(model).channels,
          model.about.preprocessing};
}

/// A data set, and how its pictures were prepared: what the trained model shall expect.
struct Data {
  crate::TrainingAndTest sets;
  crate::ImagePreprocessing preprocessing;
};

/// Pictures in folders as the input says; `--image` gives them another size.
inline crate::ImageFolderOptions folder_options(const DataOptions& options, Input input) {
  if (options.as_stored) input.preprocessing.orientation = crate::PixelOrientation::as_stored;
  if (!options.image.empty()) std::tie(input.height, input.width) = examples::sides_from("--image", options.image);
  return {.height = input.height,
          .width = input.width,
          .channels = input.channels.value_or(3),
          .fit = input.preprocessing.fit,
          .orientation = input.preprocessing.orientation,
          .unreadable = options.strict ? crate::UnreadablePicture::fail : crate::UnreadablePicture::leave_out,
          .kept = options.decode_when_drawn ? crate::KeptPictures::in_files : crate::KeptPictures::in_memory};
}

/// What the options say of the pixels, or else the model to begin with, or else what the training images have.
inline crate::ImageNormalisation normalisation_of(const DataOptions& options, const Input& input,
                                                  const crate::ImageDataSet& training, crate::Threads& threads) {
  crate::ImageNormalisation normalisation = input.preprocessing.normalisation;
  if (!options.mean.empty())
    normalisation = {options.mean, options.deviation};
  else if (!input.preprocessing.is_known())
    normalisation = crate::measure_normalisation(training, threads);
  normalisation.check(training.channels);
  return normalisation;
}

/// The images in the folder, of which a tenth of the training images is held out where there are no test images and
/// the options allow that.
inline crate::ImageFoldersSplit read_or_hold_out(const DataOptions& options, const crate::ImageFolderOptions& pictures,
                                                 std::string_view program, crate::Threads& threads) {
  const std::filesystem::path folder = options.folder;
  const bool has_test = crate::find_image_data_set_kind(folder) != crate::ImageDataSetKind::picture_folders ||
                        crate::path_exists(crate::find_test_folder(folder));
  if (has_test || !options.may_lack_test) return crate::read_image_data_set(folder, pictures, threads);
  crate::ImageFolders read = crate::read_image_folders(folder / "train", pictures, threads);
  if (read.data.size() < 2)
    throw crate::file_error(folder.string(), "expected at least 2 pictures, of which one is held out, found ",
                            read.data.size());
  crate::TrainingAndTest sets = hold_out_tenth(std::move(read.data));
  std::cerr << program << ": no folder 'test' or 'val' in --data: of the training images a tenth, " << sets.test.size()
            << " chosen at random, the same in every run, is held out to measure on\n";
  return {std::move(sets), std::move(read.left_out)};
}

/// The data set in the folder, of whichever kind it is, for a model of this input. The program names pictures that it
/// leaves out. Images that are no pictures in folders stay of the size they have. Throws FileError if it is none,
/// OptionError if an option does not fit it.
inline Data read_data(const DataOptions& options, const Input& input, std::string_view program,
                      crate::Threads& threads) {
  const bool is_folders = crate::find_image_data_set_kind(options.folder) == crate::ImageDataSetKind::picture_folders;
  if (!is_folders && (!options.image.empty() || options.as_stored || options.strict || options.decode_when_drawn))
    throw crate::OptionError(
        crate::concatenate("option ",
                           !options.image.empty() ? "--image"
                           : options.as_stored    ? "--as-stored"
                           : options.strict       ? "--strict"
                                                  : "--decode-when-drawn",
                           " would have no effect: the images in --data are not pictures in folders"));
  const crate::ImageFolderOptions pictures = folder_options(options, input);
  crate::ImageFoldersSplit read = read_or_hold_out(options, pictures, program, threads);
  for (const std::string& reason : read.left_out) std::cerr << program << ": left out: " << reason << '\n';
  Data data{std::move(read.sets), {.fit = pictures.fit, .orientation = pictures.orientation}};
  if (!is_folders) data.preprocessing.fit = crate::PictureFit::cover;
  if (input.channels) {
    data.sets.training = crate::with_channels(std::move(data.sets.training), *input.channels);
    data.sets.test = crate::with_channels(std::move(data.sets.test), *input.channels);
  }
  if (std::optional<crate::ImageDataSet> part = part_of(data.sets.training, options.training_images))
    data.sets.training = std::move(*part);
  data.preprocessing.normalisation = normalisation_of(options, input, data.sets.training, threads);
  return data;
}

/// The images of a checkpoint's model; the trainer fills it, and compares the rest.
inline void check_images(const crate::ImageDataSet& images, const crate::PatchGrid& grid) {
  crate::check_size("images for the resumed training: height", images.height, grid.image_height());
  crate::check_size("images for the resumed training: width", images.width, grid.image_width());
}

/// Throws OptionError unless there is a batch of images.
inline void check_batch(const crate::ImageDataSet& training, Index batch) {
  if (training.size() < batch)
    throw crate::OptionError(crate::concatenate("option --batch: expected at most the number of training images, ",
                                                training.size(), ", found ", batch));
}

/// What a checkpoint must agree in of the images.
inline void describe(crate::Recipe& recipe, const crate::ImageAugmentation& augmentation,
                     const crate::ImageNormalisation& pixels) {
  using crate::detail::exact_text;
  recipe.emplace_back("crop", exact_text(augmentation.padding));
  recipe.emplace_back("flip", exact_text(augmentation.flip));
  if (augmentation.crop) recipe.emplace_back("least area", exact_text(augmentation.crop->least_area));
  for (std::size_t c = 0; c < pixels.mean.size(); ++c)
    recipe.emplace_back(crate::concatenate("pixels of channel ", c),
                        crate::concatenate(exact_text(pixels.mean[c]), " +- ", exact_text(pixels.deviation[c])));
}

}  // namespace image_program
