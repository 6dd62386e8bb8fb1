// SPDX-License-Identifier: MIT
#include "compress_tokens/pictures.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "compress_tokens/svg.hpp"
#include "crate/io/pictures/image.hpp"

namespace compress_tokens {

namespace {

using Colour = std::array<std::uint8_t, 3>;

[[nodiscard]] crate::Image blank(Index height, Index width) {
  return {height, width, 3, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3), 255)};
}

void set_pixel(crate::Image& image, Index row, Index column, const Colour& colour) {
  std::copy(colour.begin(), colour.end(), image.pixels.begin() + (row * image.width + column) * 3);
}

/// RGB pictures of one height in a row, a white gap between them.
[[nodiscard]] crate::Image side_by_side(const std::vector<crate::Image>& images) {
  constexpr Index gap = 8;
  Index width = -gap;
  for (const crate::Image& image : images) width += image.width + gap;
  crate::Image row = blank(images.front().height, width);
  Index left = 0;
  for (const crate::Image& image : images) {
    crate::check_size("pictures side by side: height", image.height, row.height);
    for (Index y = 0; y < image.height; ++y)
      std::copy_n(image.pixels.begin() + y * image.width * 3, image.width * 3,
                  row.pixels.begin() + (y * row.width + left) * 3);
    left += image.width + gap;
  }
  return row;
}

/// White at 0, through blue, to almost black at 1. Few shades, so that files stay small.
[[nodiscard]] Colour shade(double value) {
  constexpr int shades = 24;
  const double t = std::round(std::clamp(value, 0.0, 1.0) * shades) / shades;
  const auto mix = [&](double light, double middle, double dark) {
    const double level = t < 0.5 ? light + (middle - light) * 2 * t : middle + (dark - middle) * (2 * t - 1);
    return static_cast<std::uint8_t>(std::lround(level));
  };
  return {mix(255, 70, 5), mix(255, 130, 15), mix(255, 190, 60)};
}

/// Which tokens the pictures show: at most 192, as many of each subspace as it has in proportion, sorted by subspace.
[[nodiscard]] std::vector<Index> shown_tokens(const std::vector<Index>& membership) {
  std::vector<Index> order(membership.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) {
    return membership[static_cast<std::size_t>(i)] < membership[static_cast<std::size_t>(j)];
  });
  constexpr std::size_t most = 192;
  const std::size_t count = std::min(most, order.size());
  std::vector<Index> shown;
  for (std::size_t i = 0; i < count; ++i) shown.push_back(order[i * order.size() / count]);
  return shown;
}

/// |cosine| between the given tokens, 2 x 2 pixels a pair. A zero token is similar to none.
[[nodiscard]] crate::Image similarity_picture(const Matrix& tokens, const std::vector<Index>& shown) {
  Matrix unit = tokens(Eigen::all, shown);
  for (Index i = 0; i < unit.cols(); ++i)
    if (unit.col(i).norm() > 0) unit.col(i).normalize();
  const Matrix cosines = (unit.transpose() * unit).cwiseAbs();
  crate::Image image = blank(2 * cosines.rows(), 2 * cosines.cols());
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x) set_pixel(image, y, x, shade(cosines(y / 2, x / 2)));
  return image;
}

/// Each patch in the colour of the subspace that holds most of its energy.
[[nodiscard]] crate::Image membership_picture(const std::vector<Index>& membership, Index subspaces,
                                              const crate::PatchGrid& grid) {
  crate::Image image = blank(grid.rows * grid.height, grid.columns * grid.width);
  const auto colour_of = [&](Index k) -> Colour {
    const double turn = 6.283185307179586 * static_cast<double>(k) / static_cast<double>(subspaces);
    const auto channel = [&](double phase) {
      return static_cast<std::uint8_t>(std::lround(150 + (k % 2 == 0 ? 90 : 60) * std::cos(turn - phase)));
    };
    return {channel(0), channel(2.1), channel(4.2)};
  };
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x) {
      const Index patch = y / grid.height * grid.columns + x / grid.width;
      set_pixel(image, y, x, colour_of(membership[static_cast<std::size_t>(patch)]));
    }
  return image;
}

/// R^c, the share of non-zeros and the objective by layer, half-steps in between.
[[nodiscard]] std::vector<Plot> layer_plots(const std::vector<LayerMeasures>& measures) {
  Series rate{"R^c", {}, {}, "#1f5fa8"}, nonzero{"non-zero", {}, {}, "#b5482a"},
      objective{"objective", {}, {}, "#3a7d34"};
  for (std::size_t i = 0; i < measures.size(); ++i) {
    const double layer = static_cast<double>(i) / 2;
    rate.x.push_back(layer);
    rate.y.push_back(measures[i].subspace_rate);
    if (i % 2 != 0) continue;
    nonzero.x.push_back(layer);
    nonzero.y.push_back(100 * measures[i].nonzero_share);
    objective.x.push_back(layer);
    objective.y.push_back(measures[i].objective);
  }
  return {{"coding rate of the subspaces, nats", "layer (half: after compressing)", {rate}},
          {"non-zero entries, %", "layer", {nonzero}},
          {"sparse rate reduction, nats", "layer", {objective}}};
}

}  // namespace

void write_similarity(const std::filesystem::path& folder, const Matrix& before, const Matrix& after,
                      const std::vector<Index>& membership) {
  const std::vector<Index> shown = shown_tokens(membership);
  crate::write_png(folder / "similarity.png",
                   side_by_side({similarity_picture(before, shown), similarity_picture(after, shown)}));
}

void write_layers(const std::filesystem::path& folder, const std::vector<LayerMeasures>& measures) {
  write_plots(folder / "layers.svg", layer_plots(measures));
}

void write_trade_off(const std::filesystem::path& folder, const std::vector<TradeOffPoint>& points,
                     const Source& source) {
  Series white_box{"white box", {}, {}, "#1f5fa8"}, pca{"PCA", {}, {}, "#b5482a"},
      thresholded{"PCA, thresholded", {}, {}, "#b5482a", "5 4"};
  for (const TradeOffPoint& point : points) {
    const auto add = [&](Series& series, const CodedTokens& coded) {
      series.x.push_back(coded.bits / source.rate_units());
      series.y.push_back(source.decibels(coded.squared_error(source.tokens)));
    };
    add(white_box, point.white_box);
    add(thresholded, point.pca_thresholded);
    add(pca, point.pca);
  }
  const bool pixels = source.photograph.has_value();
  write_plots(folder / "trade_off.svg", {{pixels ? "PSNR, dB" : "signal to error, dB",
                                          pixels ? "bits per pixel" : "bits per token",
                                          {white_box, thresholded, pca}}});
}

void write_photographs(const std::filesystem::path& folder, const Source& source, const Matrix& decoded,
                       const std::vector<Index>& membership, Index subspaces) {
  const Photograph& photograph = *source.photograph;
  crate::write_png(folder / "reconstruction.png",
                   side_by_side({photograph.picture(source.tokens), photograph.picture(decoded)}));
  crate::write_png(folder / "subspaces.png", membership_picture(membership, subspaces, photograph.grid));
}

}  // namespace compress_tokens
