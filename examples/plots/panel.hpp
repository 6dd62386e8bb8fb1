// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "plots/axis.hpp"
#include "plots/drawing.hpp"

// What plots of all kinds share: the title, the legend, the axes.

namespace plots {

struct Size {
  double width, height;
};

/// The words, cut and ended by an ellipsis if they are wider.
[[nodiscard]] inline std::string shortened(std::string words, double width, double font_size) {
  if (width_of(words, font_size) <= width) return words;
  while (!words.empty() && width_of(words + "…", font_size) > width) {
    while (!words.empty() && (static_cast<unsigned char>(words.back()) & 0xC0U) == 0x80U) words.pop_back();
    if (!words.empty()) words.pop_back();
  }
  return words + "…";
}

/// The words, cut between words into lines of at most this width; words that are wider are shortened.
[[nodiscard]] inline std::vector<std::string> wrapped(std::string_view words, double width, double font_size) {
  std::vector<std::string> lines;
  while (!words.empty()) {
    const std::size_t space = std::min(words.find(' '), words.size());
    const std::string_view word = words.substr(0, space);
    if (!lines.empty() && width_of(lines.back(), font_size) + width_of(word, font_size) + font_size / 2 <= width)
      lines.back() += " " + std::string(word);
    else
      lines.push_back(shortened(std::string(word), width, font_size));
    words.remove_prefix(std::min(space + 1, words.size()));
  }
  return lines;
}

/// Draws the title and takes its height from the box.
inline void draw_title(Drawing& drawing, Box& box, std::string_view title) {
  for (const std::string& line : wrapped(title, box.width, title_size)) {
    drawing.text({box.centre(), box.top + title_size}, line, {.size = title_size, .bold = true});
    box.top += title_size + 4;
    box.height -= title_size + 4;
  }
  box.top += 6;
  box.height -= 6;
}

/// The dashes of a series' line and its marks tell it apart where colours do not.
[[nodiscard]] inline std::string_view dashes_of(std::size_t series) {
  constexpr std::array<std::string_view, 4> dashes = {"", "7 3", "2 3", "9 3 2 3"};
  return dashes[series % dashes.size()];
}

/// A disc, a square, a triangle or a diamond. `shown` appears where a pointer rests on it.
inline void draw_mark(Drawing& drawing, Point at, std::size_t series, std::string_view shown = {}) {
  constexpr double r = 3.2, pi = 3.141592653589793;
  constexpr std::array<int, 4> corners = {16, 4, 3, 4};
  const int count = corners[series % corners.size()];
  const double turn = series % 4 == 1 ? pi / 4 : -pi / 2, size = count == 16 ? r : 1.35 * r;
  std::vector<Point> points;
  for (int i = 0; i < count; ++i)
    points.push_back(
        {at.x + size * std::cos(turn + 2 * pi * i / count), at.y + size * std::sin(turn + 2 * pi * i / count)});
  drawing.polygon(points, series_class('f', series), shown);
}

enum class LegendKey { line, area };

/// Draws the names of the series in rows and takes their height from the box. One series needs no legend.
inline void draw_legend(Drawing& drawing, Box& box, const std::vector<std::string>& names, LegendKey key) {
  if (names.size() < 2) return;
  constexpr double key_width = 24, gap = 16, row = 17;
  double x = box.left, y = box.top + 11;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string name = shortened(names[i], box.width - key_width - 6, label_size);
    const double width = key_width + 6 + width_of(name, label_size);
    if (x > box.left && x + width > box.right()) x = box.left, y += row;
    if (key == LegendKey::line) {
      drawing.path({{x, y - 4}, {x + key_width, y - 4}}, series_class('s', i), dashes_of(i));
      draw_mark(drawing, {x + key_width / 2, y - 4}, i);
    } else {
      drawing.rectangle({x + key_width - 14, y - 10, 12, 12}, series_class('f', i));
    }
    drawing.text({x + key_width + 6, y}, name, {.anchor = Anchor::start});
    x += width + gap;
  }
  const double used = y + 12 - box.top;
  box.top += used;
  box.height -= used;
}

[[nodiscard]] inline double widest(const std::vector<Tick>& ticks) {
  double width = 0;
  for (const Tick& tick : ticks) width = std::max(width, width_of(tick.label, tick_size));
  return width;
}

/// Where the plot itself is, inside a box that has its axes too.
class Axes {
 public:
  Axes(const Axis& x, const Range& x_values, const Axis& y, const Range& y_values, const Box& outside)
      : x_label_(x.label), y_label_(y.label), dividers_(x.dividers), x_(x, x_values), y_(y, y_values) {
    const double left = widest(y_.ticks()) + 10 + (y_label_.empty() ? 0 : label_size + 8);
    const double plot_width = outside.width - left - 12;
    const double slot = plot_width / std::max(1.0, static_cast<double>(x_.ticks().size()));
    turned_ = widest(x_.ticks()) > slot - 4;
    if (turned_) every_ = std::max<std::size_t>(1, static_cast<std::size_t>(std::ceil((tick_size + 3) / slot)));
    below_ = turned_ ? std::min(90.0, 0.64 * widest(x_.ticks())) + 16 : tick_size + 10;
    const double bottom = below_ + (x_label_.empty() ? 0 : label_size + 8);
    inside_ = {outside.left + left, outside.top + 4, plot_width, outside.height - bottom - 4};
  }

  [[nodiscard]] const Box& inside() const { return inside_; }
  [[nodiscard]] const AxisScale& x() const { return x_; }
  [[nodiscard]] const AxisScale& y() const { return y_; }
  [[nodiscard]] Point point(double x, double y) const {
    return {inside_.left + inside_.width * x_.position(x), inside_.bottom() - inside_.height * y_.position(y)};
  }

  /// The frame, the grid, numbers and labels.
  void draw(Drawing& drawing) const {
    for (const double divider : dividers_) {
      const double x = inside_.left + inside_.width * x_.position(divider);
      drawing.line({x, inside_.top}, {x, inside_.bottom()}, "grid");
    }
    for (const Tick& tick : y_.ticks()) {
      const double y = inside_.bottom() - inside_.height * y_.position(tick.value);
      drawing.line({inside_.left, y}, {inside_.right(), y}, "grid");
      drawing.text({inside_.left - 6, y + 4}, tick.label, {.anchor = Anchor::end, .size = tick_size});
    }
    for (std::size_t i = 0; i < x_.ticks().size(); i += every_) {
      const Tick& tick = x_.ticks()[i];
      const double x = inside_.left + inside_.width * x_.position(tick.value);
      drawing.line({x, inside_.bottom()}, {x, inside_.bottom() + 4}, "frame");
      if (turned_)
        drawing.text({x + 4, inside_.bottom() + 14}, shortened(tick.label, 140, tick_size),
                     {.anchor = Anchor::end, .size = tick_size, .turn = -40});
      else
        drawing.text({x, inside_.bottom() + 17}, tick.label, {.size = tick_size});
    }
    drawing.rectangle(inside_, "frame");
    if (!x_label_.empty()) drawing.text({inside_.centre(), inside_.bottom() + below_ + label_size}, x_label_);
    if (!y_label_.empty())
      drawing.text({inside_.left - widest(y_.ticks()) - 16, inside_.middle()}, y_label_, {.turn = -90});
  }

 private:
  std::string x_label_, y_label_;
  std::vector<double> dividers_;
  AxisScale x_, y_;
  bool turned_ = false;
  std::size_t every_ = 1;
  double below_ = 0;
  Box inside_ = {};
};

}  // namespace plots
