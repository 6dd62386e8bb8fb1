// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "plots/indexed_png.hpp"
#include "plots/panel.hpp"

namespace plots {

struct NamedMatrix {
  std::string name;
  crate::Matrix<double> values;
};

/// The class of each row and column. Those of a class lie beside each other: a strip along both edges shows where one
/// ends.
struct ClassMarks {
  std::vector<crate::Index> of_rows;  ///< indices of names
  std::vector<std::string> names;
};

/// The colours of numbers: lighter for larger ones; or two, paler towards the middle, for numbers with signs.
enum class Palette { one_sided, two_sided };

/// Matrices side by side, of one colour scale and beside its bar.
struct HeatMap {
  std::string title;
  std::vector<NamedMatrix> maps;
  std::string value_label;          ///< of the colour bar, with the unit
  std::optional<Range> range = {};  ///< of the colours, clamped to it; that of the values if empty
  Palette palette = Palette::one_sided;
  std::string row_label = {}, column_label = {};
  std::optional<ClassMarks> marks = {};                        ///< of square matrices
  std::vector<std::string> row_names = {}, column_names = {};  ///< shown where there is room; none if empty
  double side = 240;  ///< of the longer side of a map, in pixels, until it is scaled
};

/// Throws ShapeError if a matrix is empty or does not fit the marks or names, or a mark has no name, OptionError if the
/// range of colours is empty, PrecisionError unless all values are finite.
inline void check(const HeatMap& plot) {
  if (plot.range)
    crate::check_option(plot.range->low < plot.range->high, "range of colours: low < high", plot.range->low);
  for (const NamedMatrix& map : plot.maps) {
    crate::check_not_empty(map.name, map.values);
    if (!plot.row_names.empty())
      crate::check_size("map '" + map.name + "': rows, as named", map.values.rows(),
                        static_cast<crate::Index>(plot.row_names.size()));
    if (!plot.column_names.empty())
      crate::check_size("map '" + map.name + "': columns, as named", map.values.cols(),
                        static_cast<crate::Index>(plot.column_names.size()));
    for (crate::Index i = 0; i < map.values.size(); ++i) check_drawable("map '" + map.name + "'", map.values.data()[i]);
    if (!plot.marks) continue;
    for (const crate::Index mark : plot.marks->of_rows)
      if (mark < 0 || mark >= static_cast<crate::Index>(plot.marks->names.size()))
        throw crate::ShapeError(crate::concatenate("class marks: expected indices of the ", plot.marks->names.size(),
                                                   " names, found ", mark));
    const auto marked = static_cast<crate::Index>(plot.marks->of_rows.size());
    crate::check_shape("map '" + map.name + "', as marked", map.values, marked, marked);
  }
}

inline constexpr int colour_levels = 128;

namespace detail {

/// The colour at part, 0..1, of the way over anchors, on straight lines in between.
template <std::size_t count>
[[nodiscard]] Colour colour_between(const std::array<Colour, count>& anchors, double part) {
  const double place = static_cast<double>(count - 1) * part;
  const auto below = std::min<std::size_t>(count - 2, static_cast<std::size_t>(place));
  const double beyond = place - static_cast<double>(below);
  Colour colour;
  for (std::size_t c = 0; c < 3; ++c)
    colour[c] =
        static_cast<std::uint8_t>(std::lround((1 - beyond) * anchors[below][c] + beyond * anchors[below + 1][c]));
  return colour;
}

}  // namespace detail

/// From dark blue through green to yellow, lighter for larger values: seen apart on light and dark pages, in grey, and
/// by the colour-blind. Ten colours of viridis (S. van der Walt, N. Smith, 2015). Two-sided, from blue over nearly
/// white to red: five colours of RdBu (C. Brewer, 2002).
[[nodiscard]] inline Colour colour_of_level(int level, Palette palette = Palette::one_sided) {
  constexpr std::array<Colour, 10> viridis = {{{68, 1, 84},
                                               {72, 40, 120},
                                               {62, 73, 137},
                                               {49, 104, 142},
                                               {38, 130, 142},
                                               {31, 158, 137},
                                               {53, 183, 121},
                                               {110, 206, 88},
                                               {181, 222, 43},
                                               {253, 231, 37}}};
  constexpr std::array<Colour, 5> blue_to_red = {
      {{5, 48, 97}, {67, 147, 195}, {247, 247, 247}, {214, 96, 77}, {103, 0, 31}}};
  const double part = static_cast<double>(level) / (colour_levels - 1);
  return palette == Palette::one_sided ? detail::colour_between(viridis, part)
                                       : detail::colour_between(blue_to_red, part);
}

namespace detail {

[[nodiscard]] inline std::string picture_of(const crate::Matrix<double>& values, const Range& range, Palette palette) {
  IndexedPicture picture{values.rows(), values.cols(), {}, {}};
  for (int level = 0; level < colour_levels; ++level) picture.colours.push_back(colour_of_level(level, palette));
  for (crate::Index i = 0; i < values.rows(); ++i)
    for (crate::Index j = 0; j < values.cols(); ++j) {
      const double part = std::clamp((values(i, j) - range.low) / (range.high - range.low), 0.0, 1.0);
      picture.pixels.push_back(static_cast<std::uint8_t>(std::lround(part * (colour_levels - 1))));
    }
  return base64(png_of(picture));
}

[[nodiscard]] inline Range colour_range(const HeatMap& plot) {
  Range range;
  if (plot.range) return *plot.range;
  for (const NamedMatrix& map : plot.maps) {
    range.include(map.values.minCoeff());
    range.include(map.values.maxCoeff());
  }
  if (range.is_empty()) return {0, 1};
  if (range.low == range.high) range.high += std::max(1.0, std::abs(range.high));
  return range;
}

struct HeatMapLayout {
  static constexpr double strip = 8, gap = 22, bar_width = 14, least_bar = 100;
  double marks, names, bar;  ///< widths: of strips with names, of the names alone, of the colour bar with its numbers
};

[[nodiscard]] inline HeatMapLayout layout_of(const HeatMap& plot) {
  double names = 0;
  if (plot.marks)
    for (const std::string& name : plot.marks->names) names = std::max(names, width_of(name, tick_size));
  for (const std::string& name : plot.row_names) names = std::max(names, width_of(name, tick_size));
  names = names > 0 ? std::min(names, 110.0) + 6 : 0;
  return {plot.marks ? HeatMapLayout::strip + 3 : 0, names, 90};
}

[[nodiscard]] inline Size map_size(const HeatMap& plot, const crate::Matrix<double>& values) {
  const double longer = static_cast<double>(std::max(values.rows(), values.cols()));
  return {std::max(20.0, plot.side * static_cast<double>(values.cols()) / longer),
          std::max(20.0, plot.side * static_cast<double>(values.rows()) / longer)};
}

/// Strips along the left and upper edges of a map, and the names left of it where they fit.
inline void draw_marks(Drawing& drawing, const ClassMarks& marks, const Box& map, bool with_names, double name_width) {
  const auto total = static_cast<double>(marks.of_rows.size());
  double last_name = -1e9;
  for (std::size_t begin = 0, run = 0; begin < marks.of_rows.size(); ++run) {
    std::size_t end = begin;
    while (end < marks.of_rows.size() && marks.of_rows[end] == marks.of_rows[begin]) ++end;
    const double from = static_cast<double>(begin) / total, part = static_cast<double>(end - begin) / total;
    const char* const colour = run % 2 == 0 ? "strong" : "soft";
    const std::string& name = marks.names[static_cast<std::size_t>(marks.of_rows[begin])];
    drawing.rectangle(
        {map.left - HeatMapLayout::strip - 3, map.top + map.height * from, HeatMapLayout::strip, map.height * part},
        colour, name);
    drawing.rectangle(
        {map.left + map.width * from, map.top - HeatMapLayout::strip - 3, map.width * part, HeatMapLayout::strip},
        colour, name);
    const double middle = map.top + map.height * (from + part / 2);
    if (with_names && middle - last_name >= tick_size) {
      drawing.text({map.left - HeatMapLayout::strip - 8, middle + 4}, shortened(name, name_width - 6, tick_size),
                   {.anchor = Anchor::end, .size = tick_size});
      last_name = middle;
    }
    begin = end;
  }
}

inline void draw_colour_bar(Drawing& drawing, const Box& bar, const HeatMap& plot) {
  const Range range = colour_range(plot);
  crate::Matrix<double> levels(colour_levels, 1);
  for (crate::Index i = 0; i < colour_levels; ++i)
    levels(i, 0) = range.high - (range.high - range.low) * static_cast<double>(i) / (colour_levels - 1);
  drawing.pixels(bar, picture_of(levels, range, plot.palette));
  drawing.rectangle(bar, "frame");
  const std::vector<Tick> ticks = linear_ticks(range);
  for (const Tick& tick : ticks) {
    const double y = bar.bottom() - bar.height * (tick.value - range.low) / (range.high - range.low);
    drawing.line({bar.right(), y}, {bar.right() + 4, y}, "frame");
    drawing.text({bar.right() + 7, y + 4}, tick.label, {.anchor = Anchor::start, .size = tick_size});
  }
  drawing.text({bar.right() + 7 + widest(ticks) + 14, bar.middle()}, plot.value_label, {.turn = -90});
}

}  // namespace detail

[[nodiscard]] inline Size size_of(const HeatMap& plot) {
  const detail::HeatMapLayout layout = detail::layout_of(plot);
  double width = 28 + layout.names + layout.bar, height = detail::HeatMapLayout::least_bar;
  for (const NamedMatrix& map : plot.maps) {
    const Size size = detail::map_size(plot, map.values);
    width += size.width + layout.marks + detail::HeatMapLayout::gap;
    height = std::max(height, size.height);
  }
  const double titles = static_cast<double>(wrapped(plot.title, width - 24, title_size).size()) * (title_size + 4);
  return {width, height + layout.marks + titles + (plot.column_names.empty() ? 66 : 66 + tick_size + 4)};
}

/// What the maps show, for those who cannot see them.
[[nodiscard]] inline std::string describe(const HeatMap& plot) {
  std::string text = plot.title + ": " + plot.value_label + ".";
  for (const NamedMatrix& map : plot.maps)
    text += " " + map.name + (map.name.empty() ? "" : ": ") + std::to_string(map.values.rows()) + " x " +
            std::to_string(map.values.cols()) + " values from " + short_number(map.values.minCoeff()) + " to " +
            short_number(map.values.maxCoeff()) + ".";
  return text;
}

namespace detail {

/// Every so many of the names are shown, that none touches the next.
[[nodiscard]] inline std::size_t step_between_names(double room_for_one, double size) {
  return std::max<std::size_t>(1, static_cast<std::size_t>(std::ceil(size / room_for_one)));
}

/// The names of rows left of a map, those of columns below it.
inline void draw_names(Drawing& drawing, const HeatMap& plot, const Box& map, bool with_rows) {
  const double height = map.height / static_cast<double>(std::max<std::size_t>(1, plot.row_names.size()));
  const std::size_t rows = with_rows ? plot.row_names.size() : 0;
  for (std::size_t i = 0; i < rows; i += step_between_names(height, tick_size + 2))
    drawing.text({map.left - 6, map.top + height * (static_cast<double>(i) + 0.5) + 4},
                 shortened(plot.row_names[i], 104, tick_size), {.anchor = Anchor::end, .size = tick_size});
  const double width = map.width / static_cast<double>(std::max<std::size_t>(1, plot.column_names.size()));
  double widest_name = 0;
  for (const std::string& name : plot.column_names) widest_name = std::max(widest_name, width_of(name, tick_size));
  for (std::size_t j = 0; j < plot.column_names.size(); j += step_between_names(width, widest_name + 6))
    drawing.text({map.left + width * (static_cast<double>(j) + 0.5), map.bottom() + tick_size + 4},
                 plot.column_names[j], {.size = tick_size});
}

/// One map and its marks, the first of them with their names.
inline void draw_map(Drawing& drawing, const HeatMap& plot, const NamedMatrix& map, const Box& inside, bool is_first) {
  const HeatMapLayout layout = layout_of(plot);
  drawing.text({inside.centre(), inside.top - layout.marks - 8}, map.name);
  drawing.pixels(inside, picture_of(map.values, colour_range(plot), plot.palette));
  drawing.rectangle(inside, "frame");
  if (plot.marks) draw_marks(drawing, *plot.marks, inside, is_first, layout.names);
  draw_names(drawing, plot, inside, is_first);
  const double below = plot.column_names.empty() ? 6 : tick_size + 10;
  if (!plot.column_label.empty())
    drawing.text({inside.centre(), inside.bottom() + label_size + below}, plot.column_label);
}

}  // namespace detail

inline void draw(Drawing& drawing, const HeatMap& plot, Box box) {
  using detail::HeatMapLayout;
  check(plot);
  draw_title(drawing, box, plot.title);
  const HeatMapLayout layout = detail::layout_of(plot);
  double left = box.left + (plot.row_label.empty() ? 0 : label_size + 8) + layout.names,
         tallest = HeatMapLayout::least_bar;
  const double top = box.top + label_size + 8 + layout.marks;
  for (const NamedMatrix& map : plot.maps) {
    const Size size = detail::map_size(plot, map.values);
    const Box inside = {left + layout.marks, top, size.width, size.height};
    const bool is_first = &map == plot.maps.data();
    if (is_first && !plot.row_label.empty())
      drawing.text({box.left + label_size - 2, inside.middle()}, plot.row_label, {.turn = -90});
    detail::draw_map(drawing, plot, map, inside, is_first);
    left = inside.right() + HeatMapLayout::gap;
    tallest = std::max(tallest, size.height);
  }
  detail::draw_colour_bar(drawing, {left, top, HeatMapLayout::bar_width, tallest}, plot);
}

}  // namespace plots
