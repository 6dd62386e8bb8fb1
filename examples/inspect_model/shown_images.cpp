// SPDX-License-Identifier: MIT
#include "inspect_model/shown_images.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <filesystem>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/pictures/image.hpp"
#include "crate/io/pictures/prepare.hpp"

namespace inspect_model {

std::string Overlaps::add(const ShownImages& images, Index image, const std::string& method, const std::string& part,
                          const crate::Mask& found) {
  if (images.masks.empty()) return "";
  const auto at = static_cast<std::size_t>(image);
  const double overlap = crate::intersection_over_union(found, images.masks[at]);
  table_.add(images.names[at]).add(method).add(part).add(overlap).end_row();
  const auto known = std::find_if(best_.begin(), best_.end(), [&](const Best& best) {
    return best.image == images.names[at] && best.method == method;
  });
  if (known == best_.end())
    best_.push_back({images.names[at], method, part, overlap});
  else if (overlap > known->overlap)
    *known = {images.names[at], method, part, overlap};
  char text[32];
  std::snprintf(text, sizeof text, " (overlap %.2f)", overlap);
  return text;
}

void Overlaps::print() const {
  if (!best_.empty()) std::printf("\noverlap with the given mask (intersection over union), the best of each method\n");
  for (const Best& best : best_)
    std::printf("  %-20s  %-18s  %.3f  %s\n", best.image.c_str(), best.method.c_str(), best.overlap, best.part.c_str());
}

std::vector<crate::Mask> read_masks(const std::vector<std::string>& masks, const std::vector<std::string>& pictures,
                                    const crate::ImagePreprocessing& preprocessing, const crate::PatchGrid& grid) {
  std::vector<crate::Mask> found;
  for (std::size_t i = 0; i < masks.size(); ++i) {
    const Image mask = crate::read_image(masks[i], preprocessing.orientation),
                picture = crate::read_image(pictures[i], preprocessing.orientation);
    if (mask.height != picture.height || mask.width != picture.width)
      throw crate::file_error(masks[i], "expected a mask of ", picture.height, " x ", picture.width, ", as ",
                              crate::quote(pictures[i]), " has, found ", mask.height, " x ", mask.width);
    const Image fitted = crate::fit_picture(mask, preprocessing.fit, grid.image_height(), grid.image_width(), 1);
    crate::Mask inside(fitted.height, fitted.width);
    for (Index y = 0; y < fitted.height; ++y)
      for (Index x = 0; x < fitted.width; ++x)
        inside(y, x) = fitted.pixels[static_cast<std::size_t>(y * fitted.width + x)] >= 128;
    if (!inside.any())
      throw crate::file_error(masks[i], "expected pixels of at least half brightness where the object is, found none",
                              " in the part that the model sees");
    found.push_back(std::move(inside));
  }
  return found;
}

std::vector<std::string> names_of_pictures(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) {
    const std::string stem = std::filesystem::path(path).stem().string();
    std::string name = stem;
    for (int again = 2; std::find(names.begin(), names.end(), name) != names.end(); ++again)
      name = stem + "-" + std::to_string(again);
    names.push_back(std::move(name));
  }
  return names;
}

}  // namespace inspect_model
