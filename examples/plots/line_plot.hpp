// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <vector>

#include "crate/core/errors.hpp"
#include "plots/panel.hpp"

namespace plots {

/// Points that a line joins.
struct Series {
  std::string name;
  std::vector<double> x, y;
  std::vector<double> low = {}, high = {};  ///< of an error band about y; none if empty
  std::vector<std::size_t> begins = {};     ///< points, rising, that no line joins to the one before
};

/// Lines over a common axis.
struct LinePlot {
  std::string title;
  Axis x, y;
  std::vector<Series> series;
  Size size = {420, 320};  ///< in pixels, until it is scaled
};

/// Throws ShapeError unless all vectors of a series are of one length, and its lines begin at points that it has;
/// PrecisionError unless all numbers are finite.
inline void check(const LinePlot& plot) {
  for (const Series& series : plot.series) {
    const auto points = static_cast<crate::Index>(series.x.size());
    const std::string what = "series '" + series.name + "': ";
    crate::check_size(what + "y", static_cast<crate::Index>(series.y.size()), points);
    crate::check_size(what + "high", static_cast<crate::Index>(series.high.size()),
                      static_cast<crate::Index>(series.low.size()));
    if (!series.low.empty()) crate::check_size(what + "low", static_cast<crate::Index>(series.low.size()), points);
    for (const std::size_t begin : series.begins)
      if (begin >= series.x.size())
        throw crate::ShapeError(crate::concatenate(what, "expected lines that begin at one of the ", points,
                                                   " points, found one at ", begin));
    for (const auto* values : {&series.x, &series.y, &series.low, &series.high})
      for (const double value : *values) check_drawable(what + "coordinates", value);
  }
}

[[nodiscard]] inline Size size_of(const LinePlot& plot) { return plot.size; }

namespace detail {

/// What stands at this place of an axis; empty if nothing does.
[[nodiscard]] inline std::string name_at(const Axis& axis, double value) {
  for (std::size_t i = 0; i < axis.names.size(); ++i)
    if (place_of_name(axis, i) == value) return axis.names[i];
  return "";
}

/// "head 0 at 3: 12.5", what appears where a pointer rests on a point; of a place between names only the value.
[[nodiscard]] inline std::string tooltip(const Axis& x, const Series& series, std::size_t i) {
  const std::string place = x.names.empty() ? short_number(series.x[i]) : name_at(x, series.x[i]);
  std::string text = series.name;
  if (!place.empty()) text += (text.empty() ? "at " : " at ") + place;
  return text + (text.empty() ? "" : ": ") + short_number(series.y[i]);
}

}  // namespace detail

/// What the plot shows, for those who cannot see it.
[[nodiscard]] inline std::string describe(const LinePlot& plot) {
  const auto at = [&](double x) {
    const std::string name = detail::name_at(plot.x, x);
    return name.empty() ? short_number(x) : name;
  };
  std::string text = plot.title + ": " + plot.y.label + " against " + plot.x.label + ".";
  for (const Series& series : plot.series)
    if (!series.x.empty())
      text += " " + (series.name.empty() ? "The line" : series.name) + " goes from " + short_number(series.y.front()) +
              " at " + at(series.x.front()) + " to " + short_number(series.y.back()) + " at " + at(series.x.back()) +
              ".";
  return text;
}

namespace detail {

/// Of the coordinates, bands included.
[[nodiscard]] inline Range range_of(const std::vector<Series>& all,
                                    std::initializer_list<std::vector<double> Series::*> members) {
  Range range;
  for (const Series& series : all)
    for (const auto member : members)
      for (const double value : series.*member) range.include(value);
  return range;
}

/// Calls body(first, last) for the points first to last - 1 of every line of a series.
template <class Body>
void for_each_line(const Series& series, const Body& body) {
  std::size_t first = 0;
  for (const std::size_t begin : series.begins) {
    if (begin > first) body(first, begin);
    first = begin;
  }
  if (first < series.x.size()) body(first, series.x.size());
}

/// About a line; of a single point a bar.
inline void draw_band(Drawing& drawing, const Axes& axes, const Series& series, std::size_t number) {
  if (series.low.empty()) return;
  for_each_line(series, [&](std::size_t first, std::size_t last) {
    std::vector<Point> edge;
    for (std::size_t i = first; i < last; ++i) edge.push_back(axes.point(series.x[i], series.high[i]));
    for (std::size_t i = last; i > first; --i) edge.push_back(axes.point(series.x[i - 1], series.low[i - 1]));
    if (last - first > 1) return drawing.polygon(edge, series_class('b', number));
    constexpr double half_width = 5;
    const double x = edge[0].x, top = edge[0].y, height = edge[1].y - top;
    drawing.rectangle({x - half_width, top, 2 * half_width, height}, series_class('b', number));
  });
}

inline void draw_series(Drawing& drawing, const Axes& axes, const Axis& x, const Series& series, std::size_t number) {
  std::vector<Point> points;
  for (std::size_t i = 0; i < series.x.size(); ++i) points.push_back(axes.point(series.x[i], series.y[i]));
  constexpr std::size_t most_marks = 40;
  for_each_line(series, [&](std::size_t first, std::size_t last) {
    const auto begin = points.begin();
    drawing.path({begin + static_cast<std::ptrdiff_t>(first), begin + static_cast<std::ptrdiff_t>(last)},
                 series_class('s', number), dashes_of(number));
    if (points.size() > most_marks && last - first > 1) return;
    for (std::size_t i = first; i < last; ++i) draw_mark(drawing, points[i], number, tooltip(x, series, i));
  });
}

}  // namespace detail

inline void draw(Drawing& drawing, const LinePlot& plot, Box box) {
  check(plot);
  draw_title(drawing, box, plot.title);
  std::vector<std::string> names;
  for (const Series& series : plot.series) names.push_back(series.name);
  draw_legend(drawing, box, names, LegendKey::line);
  const Axes axes(plot.x, detail::range_of(plot.series, {&Series::x}), plot.y,
                  detail::range_of(plot.series, {&Series::y, &Series::low, &Series::high}), box);
  axes.draw(drawing);
  for (std::size_t i = 0; i < plot.series.size(); ++i) detail::draw_band(drawing, axes, plot.series[i], i);
  for (std::size_t i = 0; i < plot.series.size(); ++i) detail::draw_series(drawing, axes, plot.x, plot.series[i], i);
}

}  // namespace plots
