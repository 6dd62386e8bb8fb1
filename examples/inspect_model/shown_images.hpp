// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "crate/analysis/masks.hpp"
#include "crate/analysis/token_features.hpp"
#include "crate/core/matrix.hpp"
#include "crate/models/image_preprocessing.hpp"
#include "inspect_model/image_drawing.hpp"
#include "inspect_model/shown_model.hpp"
#include "inspect_model/table.hpp"

namespace inspect_model {

/// Images of which maps are shown.
struct ShownImages {
  std::vector<std::string> names;
  Matrix<double> values;                ///< as the model takes them, (C H W) x images
  std::vector<Image> pictures;          ///< the same in RGB
  std::vector<crate::Mask> masks = {};  ///< where the object of each is; empty if that is not known
};

/// What a layer makes of them.
struct ShownLayer {
  const ImageModel& model;
  const ShownImages& images;
  const crate::AttentionLayer& layer;
  crate::TokenFeatures<double> features;

  [[nodiscard]] const crate::PatchGrid& grid() const { return model.grid; }
  [[nodiscard]] Index count() const { return images.values.cols(); }
  [[nodiscard]] const std::string& name(Index image) const { return images.names[static_cast<std::size_t>(image)]; }
  [[nodiscard]] const Image& picture(Index image) const { return images.pictures[static_cast<std::size_t>(image)]; }
};

/// How well what was found covers the given masks.
class Overlaps {
 public:
  Overlaps() : table_("overlaps", {"image", "method", "part", "intersection_over_union"}) {}

  /// " (overlap 0.42)" of what was found in an image, and a line of the table; empty where no mask is given.
  std::string add(const ShownImages& images, Index image, const std::string& method, const std::string& part,
                  const crate::Mask& found);

  /// On standard output the best part of each image and method.
  void print() const;

  [[nodiscard]] const Table& table() const { return table_; }

 private:
  struct Best {
    std::string image, method, part;
    double overlap;
  };

  Table table_;
  std::vector<Best> best_;
};

/// Masks from picture files, for these pictures, which become images of the grid so: bright is inside. Throws FileError
/// unless each is of its picture's size and marks something.
[[nodiscard]] std::vector<crate::Mask> read_masks(const std::vector<std::string>& masks,
                                                  const std::vector<std::string>& pictures,
                                                  const crate::ImagePreprocessing& preprocessing,
                                                  const crate::PatchGrid& grid);

/// "chelsea" of "photos/chelsea.png", and "chelsea-2" of the second of these.
[[nodiscard]] std::vector<std::string> names_of_pictures(const std::vector<std::string>& paths);

}  // namespace inspect_model
