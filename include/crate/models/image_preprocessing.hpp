// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// Normalises pixels per channel: (pixel / 255 - mean) / deviation.
struct ImageNormalisation {
  std::vector<double> mean = {};
  std::vector<double> deviation = {};

  /// Throws OptionError unless every channel has a finite mean and a finite positive deviation.
  void check(Index channels) const {
    const auto count = static_cast<std::size_t>(channels);
    check_option(mean.size() == count, concatenate("a mean for each of ", channels, " channels"), mean.size());
    check_option(deviation.size() == count, concatenate("a deviation for each of ", channels, " channels"),
                 deviation.size());
    for (const double m : mean) check_option(std::isfinite(m), "means of pixels that are finite", m);
    for (const double d : deviation) check_option(d > 0 && std::isfinite(d), "finite deviations of pixels > 0", d);
  }
};

/// Whether all numbers are bit-identical.
[[nodiscard]] inline bool same_normalisation(const ImageNormalisation& a, const ImageNormalisation& b) {
  return a.mean == b.mean && a.deviation == b.deviation;
}

/// The means and deviations of red, green and blue in ImageNet, used by the published models.
[[nodiscard]] inline ImageNormalisation imagenet_normalisation() {
  return {.mean = {0.485, 0.456, 0.406}, .deviation = {0.229, 0.224, 0.225}};
}

/// A camera stores pixels in the sensor's orientation, and records in the file (EXIF) how to rotate the picture.
enum class PixelOrientation {
  upright,    ///< rotated as recorded, as viewers show it
  as_stored,  ///< not rotated, as in the published evaluation
};

/// How a picture of any size is fitted to a model's height x width.
enum class PictureFit {
  published,  ///< as the published evaluation: shorter side to 256/224 of the image's longer one, centre cropped
  cover,      ///< resized to just cover height x width, centre cropped; a picture of that size is unchanged
};

/// How a model's input is made from a picture, in addition to the image size. Stored and saved with the model.
struct ImagePreprocessing {
  PictureFit fit = PictureFit::published;
  PixelOrientation orientation = PixelOrientation::upright;  ///< orientation of the pixels
  ImageNormalisation normalisation = {};                     ///< empty if unknown

  /// As in the published evaluation, but rotated as recorded by the camera. Images that are not RGB have
  /// no known normalisation.
  [[nodiscard]] static ImagePreprocessing published(Index channels) {
    return {.normalisation = channels == 3 ? imagenet_normalisation() : ImageNormalisation{}};
  }

  [[nodiscard]] bool is_known() const { return !normalisation.mean.empty(); }
};

}  // namespace crate
