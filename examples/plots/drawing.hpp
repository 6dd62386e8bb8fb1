// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plots/xml_text.hpp"

namespace plots {

using Colour = std::array<std::uint8_t, 3>;  ///< red, green, blue

struct Point {
  double x, y;
};

/// Left upper corner and size, in pixels; y grows downwards.
struct Box {
  double left, top, width, height;

  [[nodiscard]] double right() const { return left + width; }
  [[nodiscard]] double bottom() const { return top + height; }
  [[nodiscard]] double centre() const { return left + width / 2; }
  [[nodiscard]] double middle() const { return top + height / 2; }
};

enum class Anchor { start, middle, end };

struct TextStyle {
  Anchor anchor = Anchor::middle;
  double size = 12;
  bool bold = false;
  double turn = 0;  ///< degrees, clockwise
};

inline constexpr double title_size = 14, label_size = 12, tick_size = 11;

/// How many colours tell series apart; after the last the first comes again.
inline constexpr std::size_t series_colours = 8;

/// The elements of a picture. Colours are classes of the style sheet below, which has them for light and dark pages.
class Drawing {
 public:
  void text(Point at, std::string_view words, const TextStyle& style = {}) {
    const char* const anchor = style.anchor == Anchor::start ? "start" : style.anchor == Anchor::end ? "end" : "middle";
    out_ += "<text x=\"" + coordinate(at.x) + "\" y=\"" + coordinate(at.y) + "\" text-anchor=\"" + anchor +
            "\" font-size=\"" + coordinate(style.size) + "\"";
    if (style.bold) out_ += " font-weight=\"bold\"";
    if (style.turn != 0)
      out_ += " transform=\"rotate(" + coordinate(style.turn) + " " + coordinate(at.x) + " " + coordinate(at.y) + ")\"";
    out_ += ">" + xml_text(words) + "</text>\n";
  }

  void line(Point from, Point to, std::string_view colour) {
    out_ += "<path class=\"" + std::string(colour) + "\" d=\"M" + pair(from) + "L" + pair(to) + "\"/>\n";
  }

  /// Through the points. Dashes as in SVG, "6 4"; none if empty.
  void path(const std::vector<Point>& points, std::string_view colour, std::string_view dashes = {}) {
    if (points.empty()) return;
    out_ += "<path class=\"line " + std::string(colour) + "\"";
    if (!dashes.empty()) out_ += " stroke-dasharray=\"" + std::string(dashes) + "\"";
    out_ += " d=\"" + through(points) + "\"/>\n";
  }

  /// Closed and filled. `shown` appears where a pointer rests on it.
  void polygon(const std::vector<Point>& points, std::string_view colour, std::string_view shown = {}) {
    if (points.empty()) return;
    out_ += "<path class=\"" + std::string(colour) + "\" d=\"" + through(points) + "Z\"" + ending("path", shown);
  }

  void rectangle(const Box& box, std::string_view colour, std::string_view shown = {}) {
    out_ += "<rect class=\"" + std::string(colour) + "\"" + place(box) + ending("rect", shown);
  }

  /// In this colour on every page.
  void swatch(const Box& box, const Colour& colour) {
    std::string rgb;
    for (const std::uint8_t channel : colour) rgb += (rgb.empty() ? "" : ",") + std::to_string(channel);
    out_ += "<rect fill=\"rgb(" + rgb + ")\"" + place(box) + "/>\n";
  }

  void picture(const Box& box, std::string_view png_in_base64) { image(box, png_in_base64, ""); }

  /// A picture whose pixels stay sharp rectangles.
  void pixels(const Box& box, std::string_view png_in_base64) {
    image(box, png_in_base64, " style=\"image-rendering:pixelated\"");
  }

  [[nodiscard]] const std::string& elements() const { return out_; }

 private:
  void image(const Box& box, std::string_view png_in_base64, std::string_view style) {
    out_ += "<image" + place(box) + " preserveAspectRatio=\"none\"" + std::string(style) +
            " href=\"data:image/png;base64," + std::string(png_in_base64) + "\"/>\n";
  }
  [[nodiscard]] static std::string pair(Point p) { return coordinate(p.x) + " " + coordinate(p.y); }
  [[nodiscard]] static std::string through(const std::vector<Point>& points) {
    std::string text;
    for (const Point& p : points) text += (text.empty() ? "M" : "L") + pair(p);
    return text;
  }
  [[nodiscard]] static std::string place(const Box& box) {
    return " x=\"" + coordinate(box.left) + "\" y=\"" + coordinate(box.top) + "\" width=\"" + coordinate(box.width) +
           "\" height=\"" + coordinate(box.height) + "\"";
  }
  [[nodiscard]] static std::string ending(const std::string& element, std::string_view shown) {
    return shown.empty() ? "/>\n" : "><title>" + xml_text(shown) + "</title></" + element + ">\n";
  }

  std::string out_;
};

/// The classes of lines (s0 to s7), areas (f0 to f7) and bands (b0 to b7) of series, and those of frames and grids.
/// All lies on paper of its own, as a page may be dark where the reader's system is light, or the other way round.
[[nodiscard]] inline std::string style_sheet() {
  struct Palette {
    const char *paper, *ink, *frame, *grid, *soft_mark, *strong_mark;
    const char* series[series_colours];
  };
  constexpr Palette light = {"#ffffff",
                             "#1f2328",
                             "#8c959f",
                             "#dde2e7",
                             "#b9c1c9",
                             "#57606a",
                             {"#0b62b8", "#c4511a", "#2b7f3f", "#8a4fb0", "#8f6b00", "#007f8c", "#b8336a", "#5f6b76"}};
  constexpr Palette dark = {"#0d1117",
                            "#e6edf3",
                            "#7d8590",
                            "#30363d",
                            "#484f58",
                            "#9aa4ae",
                            {"#58a6ff", "#ff9b5e", "#56c271", "#c99bff", "#e3b341", "#39c5cf", "#ff7eb6", "#9aa4ae"}};
  const auto rules = [](const Palette& p) {
    std::string css = std::string(".plot .paper{fill:") + p.paper + "}.plot text{fill:" + p.ink +
                      "}.plot .frame{stroke:" + p.frame + "}.plot .grid{stroke:" + p.grid +
                      "}.plot .soft{fill:" + p.soft_mark + "}.plot .strong{fill:" + p.strong_mark + "}\n";
    for (std::size_t i = 0; i < series_colours; ++i) {
      const std::string n = std::to_string(i), colour = p.series[i];
      css += ".plot .s" + n + "{stroke:" + colour + "}.plot .f" + n + ",.plot .b" + n + "{fill:" + colour + "}";
    }
    return css + "\n";
  };
  std::string bands;
  for (std::size_t i = 0; i < series_colours; ++i) bands += (i > 0 ? ",.plot .b" : ".plot .b") + std::to_string(i);
  return "<style>\n.plot text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}"
         ".plot .frame,.plot .grid{fill:none;stroke-width:1}"
         ".plot .line{fill:none;stroke-width:2;stroke-linejoin:round}" +
         bands + "{opacity:.2}\n" + rules(light) + "@media (prefers-color-scheme:dark){\n" + rules(dark) +
         "}\n</style>\n";
}

/// "s", "f" or "b" and the number of the series.
[[nodiscard]] inline std::string series_class(char kind, std::size_t series) {
  return kind + std::to_string(series % series_colours);
}

}  // namespace plots
