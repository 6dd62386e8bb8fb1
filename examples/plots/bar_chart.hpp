// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "crate/core/errors.hpp"
#include "plots/panel.hpp"

namespace plots {

struct Bars {
  std::string name;
  std::vector<double> values;  ///< one for each category
};

/// Lying bars, those of a category beside each other, the value at the end of each.
struct BarChart {
  std::string title;
  std::vector<std::string> categories;  ///< from top to bottom
  Axis value;                           ///< begins at 0 unless it is logarithmic
  std::vector<Bars> bars;
  double width = 420;  ///< in pixels, until it is scaled
};

/// Throws ShapeError unless there is a value for each category, PrecisionError unless all are finite.
inline void check(const BarChart& chart) {
  for (const Bars& bars : chart.bars) {
    crate::check_size("bars '" + bars.name + "'", static_cast<crate::Index>(bars.values.size()),
                      static_cast<crate::Index>(chart.categories.size()));
    for (const double value : bars.values) check_drawable("bars '" + bars.name + "'", value);
  }
}

namespace detail {

inline constexpr double bar_height = 14, category_gap = 9;

[[nodiscard]] inline double category_height(const BarChart& chart) {
  return bar_height * static_cast<double>(std::max<std::size_t>(1, chart.bars.size())) + category_gap;
}

}  // namespace detail

[[nodiscard]] inline Size size_of(const BarChart& chart) {
  const double around = 100 + 17 * static_cast<double>(chart.bars.size());
  return {chart.width, detail::category_height(chart) * static_cast<double>(chart.categories.size()) + around};
}

/// What the chart shows, for those who cannot see it.
[[nodiscard]] inline std::string describe(const BarChart& chart) {
  std::string text = chart.title + ": " + chart.value.label + ".";
  for (std::size_t c = 0; c < chart.categories.size(); ++c) {
    text += " " + chart.categories[c] + ":";
    for (const Bars& bars : chart.bars) text += " " + bars.name + " " + short_number(bars.values[c]);
    text += ".";
  }
  return text;
}

namespace detail {

[[nodiscard]] inline double label_width(const BarChart& chart) {
  double widest_label = 0;
  for (const std::string& category : chart.categories)
    widest_label = std::max(widest_label, width_of(category, label_size));
  return std::min(widest_label, chart.width / 2);
}

/// The axis of values, which lies below, and where its values stand inside the box of bars.
class ValueAxis {
 public:
  ValueAxis(const BarChart& chart, const Box& inside) : inside_(inside), scale_(axis_of(chart), range_of(chart)) {
    origin_ = chart.value.scale == Scale::linear ? at(0) : inside.left;
  }

  [[nodiscard]] double at(double value) const { return inside_.left + inside_.width * scale_.position(value); }
  [[nodiscard]] double origin() const { return origin_; }

  void draw(Drawing& drawing, const std::string& label) const {
    for (const Tick& tick : scale_.ticks()) {
      drawing.line({at(tick.value), inside_.top}, {at(tick.value), inside_.bottom()}, "grid");
      drawing.text({at(tick.value), inside_.bottom() + 15}, tick.label, {.size = tick_size});
    }
    drawing.text({inside_.centre(), inside_.bottom() + 34}, label);
    drawing.line({origin_, inside_.top}, {origin_, inside_.bottom()}, "frame");
  }

 private:
  [[nodiscard]] static Axis axis_of(const BarChart& chart) {
    Axis axis = chart.value;
    axis.from_zero = axis.scale == Scale::linear;
    return axis;
  }
  [[nodiscard]] static Range range_of(const BarChart& chart) {
    Range range;
    for (const Bars& bars : chart.bars)
      for (const double value : bars.values) range.include(value);
    return range;
  }

  Box inside_;
  AxisScale scale_;
  double origin_;
};

/// The bars of one category, whose upper edge is given.
inline void draw_category(Drawing& drawing, const BarChart& chart, std::size_t category, const ValueAxis& axis,
                          double top) {
  for (std::size_t i = 0; i < chart.bars.size(); ++i) {
    const double value = chart.bars[i].values[category], y = top + bar_height * static_cast<double>(i);
    const double left = std::min(axis.origin(), axis.at(value)), right = std::max(axis.origin(), axis.at(value));
    drawing.rectangle({left, y, right - left, bar_height - 1}, series_class('f', i),
                      chart.bars[i].name + ", " + chart.categories[category] + ": " + short_number(value));
    drawing.text({right + 4, y + bar_height - 3.5}, short_number(value), {.anchor = Anchor::start, .size = tick_size});
  }
}

}  // namespace detail

inline void draw(Drawing& drawing, const BarChart& chart, Box box) {
  check(chart);
  draw_title(drawing, box, chart.title);
  std::vector<std::string> names;
  for (const Bars& bars : chart.bars) names.push_back(bars.name);
  draw_legend(drawing, box, names, LegendKey::area);
  constexpr double number_width = 44, gap = 8;
  const double labels = detail::label_width(chart), height = detail::category_height(chart);
  const Box inside = {box.left + labels + gap, box.top, box.width - labels - gap - number_width,
                      height * static_cast<double>(chart.categories.size())};
  const detail::ValueAxis axis(chart, inside);
  axis.draw(drawing, chart.value.label);
  for (std::size_t c = 0; c < chart.categories.size(); ++c) {
    const double top = inside.top + height * static_cast<double>(c);
    drawing.text({inside.left - gap, top + height / 2 + 4}, shortened(chart.categories[c], labels, label_size),
                 {.anchor = Anchor::end});
    detail::draw_category(drawing, chart, c, axis, top + detail::category_gap / 2);
  }
}

}  // namespace plots
