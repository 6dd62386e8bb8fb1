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
#include <vector>

#include "crate/crate.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "crate/io/pictures/read_image_data_set.hpp"
#include "inspect_model/options.hpp"
#include "run_model/texts.hpp"

// The images or texts on which a model is inspected, a batch at a time.

namespace inspect_model {

/// Texts first to first + count - 1 of several.
inline crate::LabelledTokens part_of(const crate::LabelledTokens& texts, Index first, Index count) {
  std::vector<Index> lengths, visible;
  for (Index s = first; s < first + count; ++s) {
    lengths.push_back(texts.layout.length(s));
    visible.push_back(texts.layout.visible(s));
  }
  const auto cut = [&](const std::vector<Index>& numbers) {
    const auto begin = numbers.begin() + texts.layout.begin(first);
    return std::vector<Index>(begin, begin + std::accumulate(lengths.begin(), lengths.end(), Index{0}));
  };
  return {.ids = cut(texts.ids),
          .layout = crate::TokenLayout(lengths).with_visible(visible),
          .labels = {},
          .types = texts.types.empty() ? std::vector<Index>() : cut(texts.types)};
}

/// Calls body(texts) for every batch of them. Returns how many texts there were.
template <class Body>
Index for_each_batch_of_texts(const Options& options, const Body& body) {
  if (options.input.empty())
    throw crate::OptionError(
        "option --data: expected --input with `tokens`, as the model is one of texts; found --data");
  const crate::LabelledTokens texts = run_model::read_texts(crate::read_safetensors(options.input));
  const Index count = std::min(texts.layout.sets(), options.examples);
  for (Index first = 0; first < count; first += options.batch)
    body(part_of(texts, first, std::min(options.batch, count - first)));
  return count;
}

/// The first images of [B, C, H, W] of a file, as (C H W) x `most`, or fewer if it has fewer. Throws FileError unless
/// they are of the size that the model takes.
template <crate::Scalar S>
crate::Matrix<S> read_input_images(const std::string& path, const crate::PatchGrid& grid, Index most) {
  const crate::TensorTable table = crate::read_safetensors(path);
  crate::Tensor tensor = table.at("images");
  const std::vector<Index> wanted{grid.channels, grid.image_height(), grid.image_width()};
  if (tensor.shape.size() != 4 || tensor.shape[0] < 1 ||
      !std::equal(wanted.begin(), wanted.end(), tensor.shape.begin() + 1))
    throw crate::tensor_error(tensor, "expected images of shape ", crate::shape_text(wanted), ", found ",
                              crate::shape_text(tensor.shape));
  const Index count = std::min(most, tensor.shape[0]);
  const std::size_t bytes_per_image = tensor.bytes.size() / static_cast<std::size_t>(tensor.shape[0]);
  tensor.bytes = tensor.bytes.first(static_cast<std::size_t>(count) * bytes_per_image);
  tensor.shape[0] = count;
  crate::Matrix<S> images(grid.values_per_image(), count);
  crate::copy_values(tensor, std::span<S>(images.data(), static_cast<std::size_t>(images.size())));
  return images;
}

/// The images of one part of a data set, of folders of pictures as many of each class as the examples ask for.
inline crate::ImageDataSet read_part(const Options& options, crate::ImageFolderOptions pictures,
                                     crate::Threads& threads) {
  const bool is_training = options.split == "training";
  if (crate::find_image_data_set_kind(options.data) != crate::ImageDataSetKind::picture_folders) {
    crate::TrainingAndTest sets = crate::read_image_data_set(options.data, pictures, threads).sets;
    return std::move(is_training ? sets.training : sets.test);
  }
  const std::filesystem::path data(options.data), folder = is_training ? data / "train" : crate::find_test_folder(data);
  const auto classes = std::ssize(crate::find_class_folders(folder));
  pictures.most_of_class = (options.examples - 1) / classes + 1;
  crate::ImageFolders read = crate::read_image_folders(folder, pictures, threads);
  for (const std::string& reason : read.left_out) std::cerr << "inspect_model: left out: " << reason << '\n';
  return std::move(read.data);
}

/// The images of --data as the model takes them.
template <class Model>
crate::ImageDataSet read_data(const Model& model, const Options& options, crate::Threads& threads) {
  const crate::PatchGrid& grid = patch_grid(model);
  crate::ImageDataSet data = with_channels(read_part(options,
                                                     {.height = grid.image_height(),
                                                      .width = grid.image_width(),
                                                      .channels = grid.channels,
                                                      .fit = model.about.preprocessing.fit,
                                                      .orientation = model.about.preprocessing.orientation},
                                                     threads),
                                           grid.channels);
  if (data.height != grid.image_height() || data.width != grid.image_width() || data.size() == 0)
    throw crate::OptionError(crate::concatenate(
        "option --data: expected images of ", grid.image_height(), " x ", grid.image_width(), ", as the model in '",
        options.weights, "' takes them, found ", data.size(), " of ", data.height, " x ", data.width));
  return data;
}

/// Calls body(images), (C H W) x (a batch), for every batch of them. Returns how many images there were.
template <class Model, class Body>
Index for_each_batch_of_images(const Model& model, const Options& options, crate::Threads& threads, const Body& body) {
  using S = typename Model::Scalar;
  const auto in_batches = [&](Index size, const auto& take) {
    const Index count = std::min(size, options.examples);
    for (Index first = 0; first < count; first += options.batch) {
      const crate::Matrix<S> images = take(first, std::min(options.batch, count - first));
      body(images);
    }
    return count;
  };
  if (!options.input.empty()) {
    const crate::Matrix<S> images = read_input_images<S>(options.input, patch_grid(model), options.examples);
    return in_batches(images.cols(), [&](Index first, Index count) { return images.middleCols(first, count); });
  }
  const crate::ImageDataSet data = read_data(model, options, threads);
  return in_batches(data.size(), [&](Index first, Index count) {
    std::vector<Index> indices(static_cast<std::size_t>(count));
    std::iota(indices.begin(), indices.end(), first);
    return crate::normalised_images<S>(data, indices, model.about.preprocessing.normalisation);
  });
}

/// Sends every batch through the model under the eyes of the observer. Returns how many examples there were.
template <class Model>
Index run_on_all(const Model& model, const Options& options, const crate::Run<typename Model::Scalar>& run) {
  using S = typename Model::Scalar;
  if constexpr (requires { model.context(); }) {
    return for_each_batch_of_texts(
        options, [&](const crate::LabelledTokens& texts) { (void)model.forward(texts.input(), run); });
  } else if constexpr (std::is_same_v<typename Model::Input, crate::MaskedImages<S>>) {
    return for_each_batch_of_images(model, options, *run.threads, [&](const crate::Matrix<S>& images) {
      const crate::Matrix<S> nothing_hidden = crate::Matrix<S>::Zero(patch_grid(model).patches(), images.cols());
      (void)model.forward(crate::MaskedImages<S>(images, nothing_hidden), run);
    });
  } else {
    return for_each_batch_of_images(model, options, *run.threads,
                                    [&](const crate::Matrix<S>& images) { (void)model.forward(images, run); });
  }
}

}  // namespace inspect_model
