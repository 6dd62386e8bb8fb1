// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "crate/crate.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "crate/io/pictures/prepare.hpp"
#include "crate/io/pictures/read_image_data_set.hpp"
#include "image_program/input_images.hpp"
#include "inspect_model/options.hpp"
#include "inspect_model/text_inputs.hpp"
#include "inspect_model/text_parts.hpp"

// The images or texts on which a model is inspected.

namespace inspect_model {

/// Whether a model writes texts: then no token sees those behind it.
template <class Model>
inline constexpr bool writes_text = false;
template <class Block>
inline constexpr bool writes_text<crate::LanguageModel<Block>> = true;

/// Images, as a model takes them.
template <crate::Scalar S>
class ExampleImages {
 public:
  explicit ExampleImages(crate::Matrix<S> images) : images_(std::move(images)) {}
  ExampleImages(crate::ImageDataSet data, crate::ImageNormalisation normalisation)
      : images_(Pictures{std::move(data), std::move(normalisation)}) {}

  [[nodiscard]] Index size() const {
    const auto* const images = std::get_if<crate::Matrix<S>>(&images_);
    return images != nullptr ? images->cols() : std::get<Pictures>(images_).data.size();
  }

  /// Images first to first + count - 1, (C H W) x count.
  [[nodiscard]] crate::Matrix<S> take(Index first, Index count) const {
    if (const auto* const images = std::get_if<crate::Matrix<S>>(&images_)) return images->middleCols(first, count);
    const Pictures& pictures = std::get<Pictures>(images_);
    std::vector<Index> indices(static_cast<std::size_t>(count));
    std::iota(indices.begin(), indices.end(), first);
    return crate::normalised_images<S>(pictures.data, indices, pictures.normalisation);
  }

 private:
  struct Pictures {
    crate::ImageDataSet data;
    crate::ImageNormalisation normalisation;
  };

  std::variant<crate::Matrix<S>, Pictures> images_;
};

/// The first images of [B, C, H, W] of a file, as (C H W) x `most`, or fewer if it has fewer. Throws FileError unless
/// they are finite and of the size that the model takes.
template <crate::Scalar S>
crate::Matrix<S> read_input_images(const std::string& path, const crate::PatchGrid& grid, Index most) {
  const crate::TensorTable table = crate::read_safetensors(path);
  image_program::InputImages<S> images = image_program::read_images<S>(table, most);
  const std::vector<Index> wanted{grid.channels, grid.image_height(), grid.image_width()};
  if (wanted != std::vector<Index>{images.channels, images.height, images.width})
    throw crate::tensor_error(table.at("images"), "expected images of shape ", crate::shape_text(wanted), ", found ",
                              crate::shape_text(table.at("images").shape));
  if (!images.pixels.allFinite())
    throw crate::tensor_error(table.at("images"), "expected finite numbers, found NaN or infinity");
  return std::move(images.pixels);
}

/// The first images of a data set, at most; all others are forgotten.
inline crate::ImageDataSet first_images(crate::ImageDataSet data, Index most) {
  if (data.size() <= most) return data;
  data.pixels.conservativeResize(Eigen::NoChange, most);
  data.labels.resize(static_cast<std::size_t>(most));
  return data;
}

/// One part of folders of pictures: as many of each class as the examples ask for.
inline crate::ImageDataSet read_folders(const Options& options, const std::string& split,
                                        crate::ImageFolderOptions pictures, crate::Threads& threads) {
  const std::filesystem::path data(options.data);
  const auto folder = split == "training" ? data / "train" : crate::find_test_folder(data);
  const auto classes = std::ssize(crate::find_class_folders(folder));
  pictures.most_of_class = (options.examples - 1) / classes + 1;
  crate::ImageFolders read = crate::read_image_folders(folder, pictures, threads);
  for (const std::string& reason : read.left_out) std::cerr << "inspect_model: left out: " << reason << '\n';
  return std::move(read.data);
}

/// Of each part of --data that is asked for, the images that the examples ask for.
inline std::vector<crate::ImageDataSet> read_parts(const Options& options, const crate::ImageFolderOptions& pictures,
                                                   crate::Threads& threads) {
  std::vector<crate::ImageDataSet> parts;
  if (crate::find_image_data_set_kind(options.data) == crate::ImageDataSetKind::picture_folders) {
    for (const std::string& split : options.splits())
      parts.push_back(first_images(read_folders(options, split, pictures, threads), options.examples));
    return parts;
  }
  crate::TrainingAndTest sets = crate::read_image_data_set(options.data, pictures, threads, options.examples).sets;
  for (const std::string& split : options.splits())
    parts.push_back(std::move(split == "training" ? sets.training : sets.test));
  return parts;
}

/// The images of --data as the model takes them, of each part that is asked for.
template <class Model>
std::vector<crate::ImageDataSet> read_data(const Model& model, const Options& options, crate::Threads& threads) {
  const crate::PatchGrid& grid = patch_grid(model);
  const crate::ImageFolderOptions pictures{.height = grid.image_height(),
                                           .width = grid.image_width(),
                                           .channels = grid.channels,
                                           .fit = model.about.preprocessing.fit,
                                           .orientation = model.about.preprocessing.orientation};
  std::vector<crate::ImageDataSet> parts = read_parts(options, pictures, threads);
  for (crate::ImageDataSet& data : parts) {
    if (data.height != grid.image_height() || data.width != grid.image_width() || data.size() == 0)
      throw crate::OptionError(crate::concatenate(
          "option --data: expected images of ", grid.image_height(), " x ", grid.image_width(), ", as the model in '",
          options.weights, "' takes them, found ", data.size(), " of ", data.height, " x ", data.width));
    data = with_channels(std::move(data), grid.channels);
  }
  return parts;
}

/// The pictures in files, as the model takes them, (C H W) x pictures. Throws FileError if one cannot be read or
/// fitted.
template <class Model>
crate::Matrix<typename Model::Scalar> read_pictures(const Model& model, const std::vector<std::string>& paths) {
  crate::Matrix<typename Model::Scalar> images(patch_grid(model).values_per_image(), std::ssize(paths));
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const crate::Image picture = crate::read_image(paths[i], model.about.preprocessing.orientation);
    try {
      images.col(static_cast<Index>(i)) = prepare(model, picture);
    } catch (const crate::ShapeError& error) { throw crate::file_error(paths[i], error.what()); }
  }
  return images;
}

/// What a model computes of images; a masked autoencoder, of which nothing is hidden.
template <class Model, class ImagesMatrix>
auto forward_images(const Model& model, const ImagesMatrix& images, const crate::Run<typename Model::Scalar>& run) {
  using S = typename Model::Scalar;
  if constexpr (std::is_same_v<typename Model::Input, crate::MaskedImages<S>>) {
    const crate::Matrix<S> nothing_hidden = crate::Matrix<S>::Zero(patch_grid(model).patches(), images.cols());
    return model.forward(crate::MaskedImages<S>(images, nothing_hidden), run);
  } else {
    return model.forward(images, run);
  }
}

/// On what a model is inspected: LabelledTokens or ExampleImages, whichever it takes.
template <class Values>
struct Inputs {
  std::string data;  ///< "test", "training", "input", "text", "pictures"
  Values values;
};

/// The texts of --text or --input, or the images of --input, of the parts of --data, or else the pictures.
template <class Model>
auto read_inputs(const Model& model, const Options& options, crate::Threads& threads) {
  using S = typename Model::Scalar;
  if constexpr (requires { model.context(); }) {
    std::vector<Inputs<crate::LabelledTokens>> all;
    if (options.text.empty())
      all.push_back({"input", read_given_texts(options)});
    else
      all.push_back({"text", read_text_pieces(options, model.context(), model.vocabulary(), writes_text<Model>)});
    return all;
  } else {
    std::vector<Inputs<ExampleImages<S>>> all;
    if (!options.text.empty())
      throw crate::OptionError(
          "option --text: expected --input, --data or --picture, as the model is one of images; found a text");
    const auto add = [&](const std::string& data, ExampleImages<S> images) {
      all.push_back({data, std::move(images)});
    };
    if (!options.input.empty()) {
      add("input", ExampleImages<S>(read_input_images<S>(options.input, patch_grid(model), options.examples)));
    } else if (options.data.empty()) {
      add("pictures", ExampleImages<S>(read_pictures(model, options.show.pictures)));
    } else {
      std::vector<crate::ImageDataSet> parts = read_data(model, options, threads);
      for (std::size_t part = 0; part < parts.size(); ++part)
        add(options.splits()[part], {std::move(parts[part]), model.about.preprocessing.normalisation});
    }
    return all;
  }
}

[[nodiscard]] inline Index count_of(const crate::LabelledTokens& texts) { return texts.layout.sets(); }
template <crate::Scalar S>
[[nodiscard]] Index count_of(const ExampleImages<S>& images) {
  return images.size();
}

/// Sends inputs through the model, a batch at a time.
template <class Model, class Values>
void run_on(const Model& model, const Values& inputs, Index batch, const crate::Run<typename Model::Scalar>& run) {
  for (Index first = 0; first < count_of(inputs); first += batch) {
    const Index count = std::min(batch, count_of(inputs) - first);
    if constexpr (std::is_same_v<Values, crate::LabelledTokens>) {
      const crate::LabelledTokens texts = part_of(inputs, first, count);
      (void)model.forward(texts.input(), run);
    } else {
      const crate::Matrix<typename Model::Scalar> images = inputs.take(first, count);
      (void)forward_images(model, images, run);
    }
  }
}

}  // namespace inspect_model
