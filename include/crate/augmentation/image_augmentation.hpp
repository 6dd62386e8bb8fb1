// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "crate/augmentation/colour.hpp"
#include "crate/augmentation/crop_and_blur.hpp"
#include "crate/augmentation/image_planes.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"

// Data augmentation of pictures: options, random choices, and their application to a picture.

namespace crate {

/// A random part of the picture, resized. Its area and the logarithm of its width / height are uniform in their ranges,
/// its place is uniform. A part that does not fit is drawn again; after ten failures it is the centre of the picture.
struct RandomCrop {
  Index height = 224, width = 224;  ///< size after resizing
  double least_area = 0.08;         ///< relative to the area of the picture, > 0
  double largest_area = 1;          ///< at most 1
  double least_aspect = 0.75;       ///< width / height, > 0
  double largest_aspect = 4.0 / 3;

  void check() const {
    check_option(height >= 1 && width >= 1, "sides of a crop >= 1", concatenate(height, " x ", width));
    check_option(least_area > 0 && least_area <= largest_area && largest_area <= 1,
                 "areas of a crop with 0 < least <= largest <= 1", concatenate(least_area, " to ", largest_area));
    check_option(least_aspect > 0 && least_aspect <= largest_aspect && std::isfinite(largest_aspect),
                 "aspects of a crop with 0 < least <= largest", concatenate(least_aspect, " to ", largest_aspect));
  }
};

/// Changes of brightness, contrast, saturation and hue, in random order: the first three by factors uniform in
/// [max(0, 1 - b), 1 + b], the hue by a rotation uniform in [-hue, hue] of the circle.
struct ColourJitter {
  double probability = 0;  ///< probability of the jitter for each picture
  double brightness = 0, contrast = 0, saturation = 0;
  double hue = 0;  ///< at most 1/2

  void check() const {
    check_option(probability >= 0 && probability <= 1, "probability of colour jitter in [0, 1]", probability);
    for (const double b : {brightness, contrast, saturation})
      check_option(b >= 0 && std::isfinite(b), "jitter of brightness, contrast and saturation >= 0", b);
    check_option(hue >= 0 && hue <= 0.5, "jitter of the hue in [0, 0.5]", hue);
  }
};

/// A Gaussian blur with a standard deviation uniform in a range, in pixels.
struct RandomBlur {
  double probability = 0;
  double least_deviation = 0.1, largest_deviation = 2;

  void check() const {
    check_option(probability >= 0 && probability <= 1, "probability of blur in [0, 1]", probability);
    check_option(least_deviation >= 0 && least_deviation <= largest_deviation && largest_deviation <= largest_blur,
                 concatenate("deviations of a blur with 0 <= least <= largest <= ", largest_blur),
                 concatenate(least_deviation, " to ", largest_deviation));
  }
};

/// Augmentation of pictures in training, in this order. The default changes nothing.
struct ImageAugmentation {
  /// Maximum random shift in pixels, in both directions; pixels from outside are black.
  Index padding = 0;
  bool flip = false;  ///< mirrors each picture with probability 1/2
  std::optional<RandomCrop> crop = {};
  ColourJitter jitter = {};
  double grey = 0;  ///< probability of removing the colours
  RandomBlur blur = {};
  double solarise = 0;              ///< probability of solarisation, which inverts bright values
  double solarise_threshold = 0.5;  ///< values from here on are inverted

  /// Whether pixels keep their values, and only their places may change.
  [[nodiscard]] bool moves_alone() const {
    return !crop && jitter.probability == 0 && grey == 0 && blur.probability == 0 && solarise == 0;
  }

  /// Throws OptionError if an option is out of range.
  void check() const {
    check_option(padding >= 0, "padding >= 0", padding);
    if (crop) crop->check();
    jitter.check();
    check_option(grey >= 0 && grey <= 1, "probability of grey in [0, 1]", grey);
    blur.check();
    check_option(solarise >= 0 && solarise <= 1, "probability of solarising in [0, 1]", solarise);
  }
};

/// The change of colours drawn from ColourJitter.
struct ColourChange {
  double brightness = 1, contrast = 1, saturation = 1;  ///< factors
  double turn = 0;                                      ///< rotation of the hue
  std::array<int, 4> order{0, 1, 2, 3};                 ///< of brightness, contrast, saturation, hue
};

/// The random choices for one picture.
struct ImageView {
  Index top = 0, left = 0;  ///< top left corner in the picture, which is black outside
  bool mirrored = false;
  std::optional<PictureBox> part = {};
  std::optional<ColourChange> colours = {};
  bool grey = false;
  std::optional<double> blur = {};  ///< its standard deviation
  bool solarised = false;
};

namespace detail {

/// Random numbers reserved per view: for the only view of a picture if it is just moved, and for any other view.
inline constexpr std::uint64_t draws_per_move = 16, draws_per_view = 64;

inline PictureBox draw_part(const RandomCrop& crop, Index height, Index width, Random& random) {
  const double h = static_cast<double>(height), w = static_cast<double>(width);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = h * w * random.uniform(crop.least_area, crop.largest_area);
    const double aspect = std::exp(random.uniform(std::log(crop.least_aspect), std::log(crop.largest_aspect)));
    const Index part_width = std::lrint(std::sqrt(area * aspect)), part_height = std::lrint(std::sqrt(area / aspect));
    if (part_width < 1 || part_width > width || part_height < 1 || part_height > height) continue;
    const Index top = random.below(height - part_height + 1);
    return {top, random.below(width - part_width + 1), part_height, part_width};
  }
  const double aspect = std::clamp(w / h, crop.least_aspect, crop.largest_aspect);
  const Index part_height = std::clamp<Index>(std::lrint(std::min(h, w / aspect)), 1, height);
  const Index part_width = std::clamp<Index>(std::lrint(std::min(w, h * aspect)), 1, width);
  return {(height - part_height) / 2, (width - part_width) / 2, part_height, part_width};
}

inline ColourChange draw_colours(const ColourJitter& jitter, Random& random) {
  const auto factor = [&](double b) { return random.uniform(std::max(0.0, 1 - b), 1 + b); };
  ColourChange change;
  change.brightness = factor(jitter.brightness);
  change.contrast = factor(jitter.contrast);
  change.saturation = factor(jitter.saturation);
  change.turn = random.uniform(-jitter.hue, jitter.hue);
  for (std::size_t i = 3; i > 0; --i)
    std::swap(change.order[i], change.order[static_cast<std::size_t>(random.below(static_cast<Index>(i) + 1))]);
  return change;
}

}  // namespace detail

/// Draws the augmentation of picture `index` of height x width, of which there are several views. The result depends
/// only on the seed, the stream, the index and the view. Use a separate stream for each epoch.
[[nodiscard]] inline ImageView draw_view(const ImageAugmentation& augmentation, Index height, Index width,
                                         Random random, Index index, Index view = 0, Index views = 1) {
  const std::uint64_t draws =
      views == 1 && augmentation.moves_alone() ? detail::draws_per_move : detail::draws_per_view;
  const std::uint64_t start = draws * static_cast<std::uint64_t>(index * views + view);
  random.seek(start);
  ImageView drawn;
  drawn.top = random.below(2 * augmentation.padding + 1) - augmentation.padding;
  drawn.left = random.below(2 * augmentation.padding + 1) - augmentation.padding;
  drawn.mirrored = augmentation.flip && random.below(2) == 1;
  if (augmentation.moves_alone()) return drawn;
  random.seek(start + 4);
  const bool is_jittered = random.uniform() < augmentation.jitter.probability;
  const ColourChange colours = detail::draw_colours(augmentation.jitter, random);
  if (is_jittered) drawn.colours = colours;
  drawn.grey = random.uniform() < augmentation.grey;
  const bool is_blurred = random.uniform() < augmentation.blur.probability;
  const double deviation = random.uniform(augmentation.blur.least_deviation, augmentation.blur.largest_deviation);
  if (is_blurred) drawn.blur = deviation;
  drawn.solarised = random.uniform() < augmentation.solarise;
  if (augmentation.crop) drawn.part = detail::draw_part(*augmentation.crop, height, width, random);
  return drawn;
}

namespace detail {

/// The picture shifted, black outside.
[[nodiscard]] inline ImagePlanes moved(const ImagePlanes& image, Index top, Index left) {
  ImagePlanes result{image.height, image.width, image.channels,
                     Matrix<float>::Zero(image.pixels.rows(), image.pixels.cols())};
  const Index height = image.height - std::abs(top), width = image.width - std::abs(left);
  if (height <= 0 || width <= 0) return result;
  for (Index c = 0; c < image.channels; ++c)
    result.plane(c).block(std::max<Index>(0, -left), std::max<Index>(0, -top), width, height) =
        image.plane(c).block(std::max<Index>(0, left), std::max<Index>(0, top), width, height);
  return result;
}

inline void change_colours(ImagePlanes& image, const ColourChange& change) {
  for (const int which : change.order) {
    if (which == 0)
      scale_brightness(image, change.brightness);
    else if (which == 1)
      scale_contrast(image, change.contrast);
    else if (which == 2)
      scale_saturation(image, change.saturation);
    else
      turn_hue(image, change.turn);
  }
}

}  // namespace detail

/// Applies a view to a picture. Throws ShapeError unless the picture's sizes are consistent, and it has 1 or 3 channels
/// if colours change; OptionError if the view is a part and the augmentation has no crop.
[[nodiscard]] inline ImagePlanes seen(const ImagePlanes& image, const ImageView& view,
                                      const ImageAugmentation& augmentation) {
  image.check();
  if (view.part)
    check_option(augmentation.crop.has_value(), "an augmentation with a crop, as the view is a part", "none");
  const auto part_of = [&](const ImagePlanes& whole) {
    return crop_and_resize(whole, *view.part, augmentation.crop->height, augmentation.crop->width);
  };
  const bool is_moved = view.top != 0 || view.left != 0;
  ImagePlanes result = is_moved ? detail::moved(image, view.top, view.left) : view.part ? part_of(image) : image;
  if (is_moved && view.part) result = part_of(result);
  if (view.mirrored) mirror(result);
  if (view.colours) detail::change_colours(result, *view.colours);
  if (view.grey) make_grey(result);
  if (view.blur) blur(result, *view.blur);
  if (view.solarised) solarise(result, augmentation.solarise_threshold);
  return result;
}

}  // namespace crate
