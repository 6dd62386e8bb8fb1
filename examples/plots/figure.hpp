// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "crate/io/formats/file_replacement.hpp"
#include "plots/bar_chart.hpp"
#include "plots/heat_map.hpp"
#include "plots/line_plot.hpp"
#include "plots/picture_row.hpp"

// Plots as SVG: text that scales to any width, in the colours of light and dark pages.

namespace plots {

using Plot = std::variant<LinePlot, HeatMap, BarChart, PictureRow>;

/// Plots beside each other, in rows.
struct Figure {
  std::string title;  ///< above all of them; none if empty
  std::vector<Plot> plots;
  std::size_t columns = 3;
};

namespace detail {

inline constexpr double figure_margin = 12;

struct Row {
  std::vector<const Plot*> plots;
  Size size = {0, 0};
};

[[nodiscard]] inline Size size_of_plot(const Plot& plot) {
  return std::visit([](const auto& any) { return size_of(any); }, plot);
}

[[nodiscard]] inline std::vector<Row> rows_of(const Figure& figure) {
  std::vector<Row> rows;
  for (const Plot& plot : figure.plots) {
    if (rows.empty() || rows.back().plots.size() >= figure.columns) rows.emplace_back();
    const Size size = size_of_plot(plot);
    rows.back().plots.push_back(&plot);
    rows.back().size.width += size.width;
    rows.back().size.height = std::max(rows.back().size.height, size.height);
  }
  return rows;
}

[[nodiscard]] inline Size size_of(const std::vector<Row>& rows) {
  Size size = {0, 0};
  for (const Row& row : rows) {
    size.width = std::max(size.width, row.size.width);
    size.height += row.size.height;
  }
  return size;
}

/// The title of the figure, or that of its first plot.
[[nodiscard]] inline std::string title_of(const Figure& figure) {
  if (!figure.title.empty() || figure.plots.empty()) return figure.title;
  return std::visit([](const auto& any) { return any.title; }, figure.plots.front());
}

[[nodiscard]] inline std::string describe(const Figure& figure) {
  std::string text;
  for (const Plot& plot : figure.plots)
    text += (text.empty() ? "" : " ") + std::visit([](const auto& any) { return plots::describe(any); }, plot);
  return text;
}

inline void draw_row(Drawing& drawing, const Row& row, double left, double top) {
  for (const Plot* const plot : row.plots) {
    const double width = size_of_plot(*plot).width, margin = figure_margin;
    const Box inside = {left + margin, top + margin, width - 2 * margin, row.size.height - 2 * margin};
    std::visit([&](const auto& any) { draw(drawing, any, inside); }, *plot);
    left += width;
  }
}

/// The whole file.
[[nodiscard]] inline std::string document(const Size& size, const Figure& figure, const Drawing& drawing) {
  const std::string width = coordinate(size.width), height = coordinate(size.height);
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" role=\"img\" viewBox=\"0 0 " + width + " " + height +
         "\" width=\"" + width + "\" height=\"" + height + "\" style=\"max-width:100%;height:auto\">\n<title>" +
         xml_text(title_of(figure)) + "</title>\n<desc>" + xml_text(describe(figure)) + "</desc>\n" + style_sheet() +
         "<rect class=\"paper\" width=\"" + width + "\" height=\"" + height + "\"/>\n" + drawing.elements() +
         "</svg>\n";
}

}  // namespace detail

/// The figure as the text of an SVG file. Throws ShapeError if lengths do not fit each other, PrecisionError if a
/// number is not finite, OptionError if an axis or the colours cannot show the values.
[[nodiscard]] inline std::string svg(const Figure& figure) {
  const std::vector<detail::Row> rows = detail::rows_of(figure);
  const Size size = detail::size_of(rows);
  Drawing drawing;
  Box rest = {0, 0, size.width, size.height};
  if (!figure.title.empty()) draw_title(drawing, rest, figure.title);
  const double title_height = rest.top;
  for (const detail::Row& row : rows) {
    detail::draw_row(drawing, row, (size.width - row.size.width) / 2, rest.top);
    rest.top += row.size.height;
  }
  return detail::document({size.width, size.height + title_height}, figure, drawing);
}

/// One plot.
[[nodiscard]] inline std::string svg(Plot plot) { return svg(Figure{.title = {}, .plots = {std::move(plot)}}); }

/// Writes a figure or a plot. Throws FileError if the file cannot be written.
template <class Picture>
void write_svg(const std::filesystem::path& path, const Picture& picture) {
  const std::string text = svg(picture);
  crate::FileReplacement file(path);
  file.write(text);
  file.commit();
}

}  // namespace plots
