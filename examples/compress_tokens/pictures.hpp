// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "compress_tokens/text.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/pictures/image.hpp"
#include "crate/operators/patches.hpp"
#include "crate/white_box/white_box_report.hpp"
#include "plots/figure.hpp"

// The pictures of a run, made of what its tables and its files hold.

namespace compress_tokens {

/// A group for each token: its class where there are labels, otherwise its subspace.
struct TokenGroups {
  std::string kind;                     ///< "class" or "subspace"
  std::vector<crate::Index> of_tokens;  ///< indices of names
  std::vector<std::string> names;
};

/// Groups called 1, 2, ...
[[nodiscard]] TokenGroups numbered_groups(std::string kind, std::vector<crate::Index> of_tokens, crate::Index count);

/// |cosine| between tokens before and after encoding, each less their mean, sorted by group. At most 192 tokens are
/// shown, of each group in proportion.
[[nodiscard]] plots::HeatMap similarity_plot(const crate::Matrix<double>& before, const crate::Matrix<double>& after,
                                             const TokenGroups& groups);

/// The table of layers, two panels a row.
[[nodiscard]] plots::Figure layer_figure(const crate::WhiteBoxReport& report);

/// A method at several precisions.
struct TradeOffCurve {
  std::string method;
  std::vector<double> bits, decibels;
};

/// Quality against rate. `unit` is what bits are counted for, "pixel" or "token"; of pixels the quality is the PSNR.
[[nodiscard]] plots::LinePlot trade_off_plot(const std::vector<TradeOffCurve>& curves, const std::string& unit);

/// The photograph, what was decoded at so many bits a pixel, and each patch in the colour of its subspace.
[[nodiscard]] plots::PictureRow photograph_row(const crate::Image& photograph, const crate::Image& decoded,
                                               double bits_per_pixel, const TokenGroups& subspaces,
                                               const crate::PatchGrid& grid);

namespace detail {

using crate::Index;
using Matrix = crate::Matrix<double>;

/// Which tokens the picture shows, sorted by group.
[[nodiscard]] inline std::vector<Index> shown_tokens(const std::vector<Index>& groups) {
  std::vector<Index> order(groups.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) {
    return groups[static_cast<std::size_t>(i)] < groups[static_cast<std::size_t>(j)];
  });
  constexpr std::size_t most = 192;
  const std::size_t count = std::min(most, order.size());
  std::vector<Index> shown;
  for (std::size_t i = 0; i < count; ++i) shown.push_back(order[i * order.size() / count]);
  return shown;
}

/// |cosine| between the given tokens, less the mean of all. A token that is the mean is similar to none.
[[nodiscard]] inline Matrix similarities(const Matrix& tokens, const std::vector<Index>& shown) {
  Matrix unit = tokens(Eigen::all, shown).colwise() - tokens.rowwise().mean();
  const double least = 1e-12 * std::sqrt(tokens.squaredNorm() / static_cast<double>(tokens.cols()));
  for (Index i = 0; i < unit.cols(); ++i) {
    const double norm = unit.col(i).norm();
    unit.col(i) *= norm > least ? 1 / norm : 0.0;
  }
  return (unit.transpose() * unit).cwiseAbs();
}

[[nodiscard]] inline plots::NamedPicture named_picture(std::string name, const crate::Image& image) {
  const std::vector<std::byte> png = crate::encode_png(image);
  return {std::move(name), std::string(reinterpret_cast<const char*>(png.data()), png.size()), image.height,
          image.width};
}

/// Colours around the circle of hues, of two strengths by turns.
[[nodiscard]] inline plots::Colour colour_of_group(std::size_t group, std::size_t groups) {
  const double turn = 6.283185307179586 * static_cast<double>(group) / static_cast<double>(groups);
  const auto channel = [&](double phase) {
    return static_cast<std::uint8_t>(std::lround(150 + (group % 2 == 0 ? 90 : 60) * std::cos(turn - phase)));
  };
  return {channel(0), channel(2.1), channel(4.2)};
}

/// A pixel for each patch. PNG has 256 colours: beyond them the first come again.
[[nodiscard]] inline plots::NamedPicture picture_of_groups(const TokenGroups& groups, const crate::PatchGrid& grid) {
  plots::IndexedPicture picture = {grid.rows, grid.columns, {}, {}};
  for (std::size_t i = 0; i < std::min<std::size_t>(256, groups.names.size()); ++i)
    picture.colours.push_back(colour_of_group(i, groups.names.size()));
  for (const Index group : groups.of_tokens) picture.pixels.push_back(static_cast<std::uint8_t>(group % 256));
  return {"the " + groups.kind + " that holds most of each patch", plots::png_of(picture), grid.rows, grid.columns,
          /*is_sharp*/ true};
}

/// A column of the table of layers, under the name that it has there.
struct LayerColumn {
  std::string name;
  double (*value)(const crate::WhiteBoxMeasures& row);
};

/// Columns that are shown over one axis.
struct LayerPanel {
  std::string title, unit;
  std::vector<LayerColumn> columns;
};

[[nodiscard]] inline plots::LinePlot plot_of(const LayerPanel& panel, const crate::WhiteBoxReport& report) {
  plots::LinePlot plot = {.title = panel.title, .x = {.label = "half-layer"}, .y = {.label = panel.unit}, .series = {}};
  for (const crate::WhiteBoxMeasures& row : report.half_layers) plot.x.names.push_back(row.name);
  for (const LayerColumn& column : panel.columns) {
    plots::Series series = {column.name, {}, {}};
    for (const crate::WhiteBoxMeasures& row : report.half_layers) {
      series.x.push_back(static_cast<double>(series.x.size()));
      series.y.push_back(column.value(row));
    }
    plot.series.push_back(std::move(series));
  }
  return plot;
}

}  // namespace detail

inline TokenGroups numbered_groups(std::string kind, std::vector<crate::Index> of_tokens, crate::Index count) {
  TokenGroups groups = {std::move(kind), std::move(of_tokens), {}};
  for (crate::Index i = 1; i <= count; ++i) groups.names.push_back(std::to_string(i));
  return groups;
}

inline plots::HeatMap similarity_plot(const crate::Matrix<double>& before, const crate::Matrix<double>& after,
                                      const TokenGroups& groups) {
  const std::vector<crate::Index> shown = detail::shown_tokens(groups.of_tokens);
  plots::ClassMarks marks = {{}, groups.names};
  for (const crate::Index i : shown) marks.of_rows.push_back(groups.of_tokens[static_cast<std::size_t>(i)]);
  const std::string label = text("%zu of %td tokens, by %s", shown.size(), before.cols(), groups.kind.c_str());
  return {.title = "Similarity of tokens",
          .maps = {{"before: tokens, centred", detail::similarities(before, shown)},
                   {"after: codes, centred", detail::similarities(after, shown)}},
          .value_label = "|cosine|",
          .range = plots::Range{0, 1},
          .row_label = label,
          .column_label = label,
          .marks = std::move(marks)};
}

inline plots::Figure layer_figure(const crate::WhiteBoxReport& report) {
  using Measures = crate::WhiteBoxMeasures;
  const std::string nats = "nats per token";
  std::vector<detail::LayerPanel> panels = {
      {"coding rates",
       nats,
       {{"R(Z)", [](const Measures& row) { return row.rate; }},
        {"R^c(U)", [](const Measures& row) { return row.subspace_rate; }},
        {"R^c(Pi)", [](const Measures& row) { return row.partition_rate; }}}},
      {"what knowing the subspaces saves",
       nats,
       {{"R - R^c", [](const Measures& row) { return row.reduction(); }},
        {"R - R^c(Pi)", [](const Measures& row) { return row.partition_reduction(); }}}},
      {"non-zero entries", "%", {{"non-zero", [](const Measures& row) { return 100 * row.non_zero; }}}},
      {"sparse rate reduction", nats, {{"objective", [](const Measures& row) { return row.objective(); }}}}};
  const auto is_finite = [](const Measures& row) { return row.classes && std::isfinite(row.classes->separation); };
  if (std::all_of(report.half_layers.begin(), report.half_layers.end(), is_finite))
    panels.push_back({"classes, not used in fitting",
                      "|cosine| within a class / between two",
                      {{"separation", [](const Measures& row) { return row.classes->separation; }}}});
  plots::Figure figure = {.title = "What each half-layer does", .plots = {}, .columns = 2};
  for (const detail::LayerPanel& panel : panels) figure.plots.emplace_back(detail::plot_of(panel, report));
  return figure;
}

inline plots::LinePlot trade_off_plot(const std::vector<TradeOffCurve>& curves, const std::string& unit) {
  plots::LinePlot plot = {.title = "Rate and error of an actual code",
                          .x = {.label = "bits per " + unit},
                          .y = {.label = unit == "pixel" ? "PSNR, dB" : "signal to error, dB"},
                          .series = {}};
  for (const TradeOffCurve& curve : curves) plot.series.push_back({curve.method, curve.bits, curve.decibels});
  return plot;
}

inline plots::PictureRow photograph_row(const crate::Image& photograph, const crate::Image& decoded,
                                        double bits_per_pixel, const TokenGroups& subspaces,
                                        const crate::PatchGrid& grid) {
  plots::PictureRow row = {.title = "The photograph and its code", .pictures = {}};
  row.pictures = {detail::named_picture("before", photograph),
                  detail::named_picture(text("after: decoded from %.3f bits per pixel", bits_per_pixel), decoded),
                  detail::picture_of_groups(subspaces, grid)};
  constexpr std::size_t most_names = 24;
  for (std::size_t i = 0; i < subspaces.names.size() && subspaces.names.size() <= most_names; ++i)
    row.colours.push_back(
        {subspaces.kind + " " + subspaces.names[i], detail::colour_of_group(i, subspaces.names.size())});
  return row;
}

}  // namespace compress_tokens
