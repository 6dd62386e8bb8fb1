// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "compress_tokens/text.hpp"
#include "crate/io/formats/file_replacement.hpp"

// Line plots as SVG.

namespace compress_tokens {

struct Series {
  std::string name;
  std::vector<double> x, y;
  std::string colour;
  std::string dashes = {};  ///< of the line, as in SVG: "6 4"; none if empty
};

struct Plot {
  std::string title, x_label;
  std::vector<Series> series;
};

namespace detail {

struct Range {
  double low = std::numeric_limits<double>::max(), high = std::numeric_limits<double>::lowest();

  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  [[nodiscard]] Range widened() const {
    const double margin = high > low ? 0.06 * (high - low) : 1;
    return {low - margin, high + margin};
  }
};

/// The largest of 1, 2, 5 times a power of ten that gives at least four intervals.
[[nodiscard]] inline double tick_spacing(const Range& range) {
  const double wanted = (range.high - range.low) / 4;
  const double power = std::pow(10, std::floor(std::log10(wanted)));
  for (const double multiple : {5.0, 2.0})
    if (multiple * power <= wanted) return multiple * power;
  return power;
}

/// One plot of fixed size with its upper left corner at (left, 0).
class Panel {
 public:
  static constexpr double width = 380, height = 300;

  Panel(const Plot& plot, double left) : plot_(plot), left_(left + 62) {
    Range x, y;
    for (const Series& series : plot.series) {
      for (const double value : series.x) x.include(value);
      for (const double value : series.y) y.include(value);
    }
    x_ = x.widened();
    y_ = y.widened();
  }

  [[nodiscard]] std::string svg() const {
    std::string out = label(left_ + plot_width / 2, 24, plot_.title, "middle", 15);
    out += text("<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='none' stroke='#888'/>\n", left_, top,
                plot_width, plot_height);
    out += label(left_ + plot_width / 2, height - 8, plot_.x_label, "middle", 12) + ticks();
    for (const Series& series : plot_.series) out += line(series);
    if (plot_.series.size() > 1) out += legend();
    return out;
  }

 private:
  static constexpr double top = 38, plot_width = 300, plot_height = 210;

  [[nodiscard]] double x_of(double x) const { return left_ + plot_width * (x - x_.low) / (x_.high - x_.low); }
  [[nodiscard]] double y_of(double y) const { return top + plot_height * (y_.high - y) / (y_.high - y_.low); }

  [[nodiscard]] static std::string label(double x, double y, const std::string& words, const char* anchor, int size) {
    return text("<text x='%.1f' y='%.1f' text-anchor='%s' font-size='%d' fill='#222'>%s</text>\n", x, y, anchor, size,
                words.c_str());
  }

  [[nodiscard]] std::string ticks() const {
    std::string out;
    const double dx = tick_spacing(x_), dy = tick_spacing(y_);
    for (double x = std::ceil(x_.low / dx) * dx; x <= x_.high; x += dx) {
      out += text("<path d='M%.1f %.1fv5' stroke='#888'/>\n", x_of(x), top + plot_height);
      out += label(x_of(x), top + plot_height + 18, text("%.4g", std::abs(x) < dx / 2 ? 0 : x), "middle", 11);
    }
    for (double y = std::ceil(y_.low / dy) * dy; y <= y_.high; y += dy) {
      out += text("<path d='M%.1f %.1fh%.1f' stroke='#ddd'/>\n", left_, y_of(y), plot_width);
      out += label(left_ - 6, y_of(y) + 4, text("%.4g", std::abs(y) < dy / 2 ? 0 : y), "end", 11);
    }
    return out;
  }

  [[nodiscard]] std::string line(const Series& series) const {
    std::string points, marks;
    for (std::size_t i = 0; i < series.x.size(); ++i) {
      points += text("%.1f,%.1f ", x_of(series.x[i]), y_of(series.y[i]));
      marks += text("<circle cx='%.1f' cy='%.1f' r='3' fill='%s'/>\n", x_of(series.x[i]), y_of(series.y[i]),
                    series.colour.c_str());
    }
    return text("<polyline points='%s' fill='none' stroke='%s' stroke-width='2' stroke-dasharray='%s'/>\n",
                points.c_str(), series.colour.c_str(), series.dashes.empty() ? "none" : series.dashes.c_str()) +
           marks;
  }

  [[nodiscard]] std::string legend() const {
    std::string out;
    double y = top + plot_height - 12 - 16 * static_cast<double>(plot_.series.size() - 1);
    for (const Series& series : plot_.series) {
      out += text("<path d='M%.1f %.1fh24' stroke='%s' stroke-width='2' stroke-dasharray='%s'/>\n",
                  left_ + plot_width - 40, y - 4, series.colour.c_str(),
                  series.dashes.empty() ? "none" : series.dashes.c_str());
      out += label(left_ + plot_width - 46, y, series.name, "end", 12);
      y += 16;
    }
    return out;
  }

  const Plot& plot_;
  double left_;
  Range x_, y_;
};

}  // namespace detail

/// Writes plots side by side. Throws FileError if the file cannot be written.
inline void write_plots(const std::filesystem::path& path, const std::vector<Plot>& plots) {
  using detail::Panel;
  const double width = Panel::width * static_cast<double>(plots.size());
  std::string out = text(
      "<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' font-family='sans-serif'>\n"
      "<rect width='100%%' height='100%%' fill='white'/>\n",
      width, Panel::height);
  for (std::size_t i = 0; i < plots.size(); ++i) out += Panel(plots[i], Panel::width * static_cast<double>(i)).svg();
  out += "</svg>\n";
  crate::FileReplacement file(path);
  file.write(out);
  file.commit();
}

}  // namespace compress_tokens
