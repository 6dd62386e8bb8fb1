// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "plots/indexed_png.hpp"
#include "plots/panel.hpp"

namespace plots {

struct NamedPicture {
  std::string name;
  std::string png;  ///< the bytes of a PNG file
  crate::Index height, width;
  bool is_sharp = false;  ///< whether pixels stay rectangles, however far they are magnified
};

/// What a colour of the pictures means.
struct ColourName {
  std::string name;
  Colour colour;
};

/// Pictures side by side, of one height, each under its name.
struct PictureRow {
  std::string title;
  std::vector<NamedPicture> pictures;
  std::vector<ColourName> colours = {};  ///< shown below, in rows
  double height = 240;                   ///< of the pictures, in pixels, until it is scaled
};

/// Throws ShapeError if a picture has no pixels.
inline void check(const PictureRow& row) {
  for (const NamedPicture& picture : row.pictures)
    if (picture.height < 1 || picture.width < 1)
      throw crate::ShapeError(crate::concatenate("picture '", picture.name, "': expected at least 1 x 1 pixels, found ",
                                                 picture.height, " x ", picture.width));
}

namespace detail {

inline constexpr double picture_gap = 14, around_picture_row = 24, colour_row = 18;

[[nodiscard]] inline double width_in(const PictureRow& row, const NamedPicture& picture) {
  return row.height * static_cast<double>(picture.width) / static_cast<double>(picture.height);
}

[[nodiscard]] inline double inner_width(const PictureRow& row) {
  double width = 0;
  for (const NamedPicture& picture : row.pictures) width += width_in(row, picture) + picture_gap;
  return std::max(120.0, width - picture_gap);
}

/// Where each name of a colour begins, below the upper left corner of all.
[[nodiscard]] inline std::vector<Point> places_of_colours(const PictureRow& row) {
  std::vector<Point> places;
  Point next = {0, 0};
  for (const ColourName& colour : row.colours) {
    const double width = 18 + width_of(colour.name, tick_size) + 12;
    if (next.x > 0 && next.x + width > inner_width(row)) next = {0, next.y + colour_row};
    places.push_back(next);
    next.x += width;
  }
  return places;
}

/// The names over a picture, in lines as wide as it is.
[[nodiscard]] inline std::size_t lines_of_names(const PictureRow& row) {
  std::size_t most = 1;
  for (const NamedPicture& picture : row.pictures)
    most = std::max(most, wrapped(picture.name, width_in(row, picture), label_size).size());
  return most;
}

}  // namespace detail

[[nodiscard]] inline Size size_of(const PictureRow& row) {
  const double width = detail::inner_width(row);
  const auto titles = static_cast<double>(wrapped(row.title, width, title_size).size());
  const std::vector<Point> colours = detail::places_of_colours(row);
  return {width + detail::around_picture_row, row.height + titles * (title_size + 4) + 40 +
                                                  static_cast<double>(detail::lines_of_names(row)) * (label_size + 3) +
                                                  (colours.empty() ? 0 : colours.back().y + detail::colour_row + 6)};
}

/// What the pictures are, for those who cannot see them.
[[nodiscard]] inline std::string describe(const PictureRow& row) {
  std::string text = row.title + ": pictures side by side.";
  for (const NamedPicture& picture : row.pictures) text += " " + picture.name + ".";
  return text;
}

inline void draw(Drawing& drawing, const PictureRow& row, Box box) {
  check(row);
  draw_title(drawing, box, row.title);
  double left = box.left;
  const double top = box.top + static_cast<double>(detail::lines_of_names(row)) * (label_size + 3) + 4;
  for (const NamedPicture& picture : row.pictures) {
    const Box inside = {left, top, detail::width_in(row, picture), row.height};
    double y = box.top + label_size;
    for (const std::string& line : wrapped(picture.name, inside.width, label_size)) {
      drawing.text({inside.centre(), y}, line);
      y += label_size + 3;
    }
    picture.is_sharp ? drawing.pixels(inside, base64(picture.png)) : drawing.picture(inside, base64(picture.png));
    left = inside.right() + detail::picture_gap;
  }
  const std::vector<Point> places = detail::places_of_colours(row);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const Point at = {box.left + places[i].x, top + row.height + 10 + places[i].y};
    drawing.swatch({at.x, at.y, 12, 12}, row.colours[i].colour);
    drawing.text({at.x + 18, at.y + 10}, row.colours[i].name, {.anchor = Anchor::start, .size = tick_size});
  }
}

}  // namespace plots
