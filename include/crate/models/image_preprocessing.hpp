// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// Pixels become (pixel / 255 - mean) / deviation, by channel.
struct ImageNormalisation {
  std::vector<double> mean = {};
  std::vector<double> deviation = {};

  /// Throws OptionError unless there are as many finite means and finite positive deviations as channels.
  void check(Index channels) const {
    const auto count = static_cast<std::size_t>(channels);
    check_option(mean.size() == count, concatenate("means of ", channels, " channels"), mean.size());
    check_option(deviation.size() == count, concatenate("deviations of ", channels, " channels"), deviation.size());
    for (const double m : mean) check_option(std::isfinite(m), "means of pixels that are finite", m);
    for (const double d : deviation) check_option(d > 0 && std::isfinite(d), "finite deviations of pixels > 0", d);
  }
};

/// Equal numbers, to the bit.
[[nodiscard]] inline bool same_normalisation(const ImageNormalisation& a, const ImageNormalisation& b) {
  return a.mean == b.mean && a.deviation == b.deviation;
}

/// The means and deviations of red, green and blue in ImageNet, with which the published models were trained.
[[nodiscard]] inline ImageNormalisation imagenet_normalisation() {
  return {.mean = {0.485, 0.456, 0.406}, .deviation = {0.229, 0.224, 0.225}};
}

/// A camera stores pixels as its sensor lies, and notes in the file (EXIF) how the picture is to be turned.
enum class PixelOrientation {
  upright,    ///< turned as noted, as every viewer shows it
  as_stored,  ///< left alone, as the published evaluation read pictures
};

/// How a picture of any size becomes an image of a model's height x width.
enum class PictureFit {
  published,  ///< as the published evaluation: shorter side to 256/224 of the image's longer one, centre cropped
  cover,      ///< resized until it just covers height x width, centre cropped; a picture of that size stays as it is
};

/// What a model expects of a picture beside the size of its images. Belongs to the model, and is saved with it.
struct ImagePreprocessing {
  PictureFit fit = PictureFit::published;
  PixelOrientation orientation = PixelOrientation::upright;  ///< in which pictures are read
  ImageNormalisation normalisation = {};                     ///< without numbers if it is not known

  /// What the published evaluation does, but for pictures that a camera notes to be turned, which are; of images that
  /// are not RGB it does not tell the normalisation.
  [[nodiscard]] static ImagePreprocessing published(Index channels) {
    return {.normalisation = channels == 3 ? imagenet_normalisation() : ImageNormalisation{}};
  }

  [[nodiscard]] bool is_known() const { return !normalisation.mean.empty(); }
};

}  // namespace crate
