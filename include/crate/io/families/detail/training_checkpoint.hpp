// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/families.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/formats/detail/checksum.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

// The checkpoint of a training (training/checkpoint.hpp) as a file of weights: its tensors are named as in the
// training, such as "model.head.linear.bias", and its metadata describe the model as those of a file of weights do.

namespace crate::detail {

inline constexpr std::string_view checkpoint_steps_key = "optimiser steps";  // all checkpoints have it
inline constexpr std::string_view checkpoint_format = "2";  // 1, without this entry: no checksum, no model
inline constexpr std::string_view unpublished_key = "model without published form";  // with the reason
inline constexpr std::string_view published_part_key = "part with published form";   // for models with further parts
inline constexpr std::string_view model_metadata_prefix = "crate.";
inline constexpr std::string_view recipe_prefix = "recipe: ";

[[nodiscard]] inline bool is_training_checkpoint(const TensorTable& table) {
  return table.find_metadata(checkpoint_steps_key) != nullptr;
}

/// Throws FileError if the file has another checkpoint format.
inline void check_checkpoint_format(const TensorTable& file) {
  const std::string* const format = file.find_metadata(checkpoint_format_key);
  const bool has_checksum = file.find_metadata(checksum_key) != nullptr;
  if (format == nullptr && !has_checksum) return;
  if (format == nullptr || !has_checksum)
    throw file_error(file.source(), "the checkpoint is damaged: expected ",
                     quote(has_checksum ? checkpoint_format_key : checksum_key), " in its metadata, found nothing");
  if (*format != checkpoint_format)
    throw file_error(file.source(), "expected a checkpoint of format ", checkpoint_format, ", found ", quote(*format),
                     "; a newer version of this library may know it");
}

[[nodiscard]] inline bool is_in_dict(const Tensor& tensor, std::string_view dict) {
  return tensor.name.starts_with(dict) && tensor.name[dict.size()] == '.';
}

/// The part of a tensor's name after the dict that contains it.
[[nodiscard]] inline std::string_view name_in_dict(const Tensor& tensor, std::string_view dict) {
  return std::string_view(tensor.name).substr(dict.size() + 1);
}

/// The table of names of the family that the file states, or of the first family that names all tensors of the dict.
/// Throws FileError if there is none.
[[nodiscard]] inline std::span<const PublishedName> names_of_checkpoint(const TensorTable& file,
                                                                        const std::string& dict) {
  const auto is_named = [&](std::span<const PublishedName> names) {
    return std::all_of(file.tensors().begin(), file.tensors().end(), [&](const Tensor& tensor) {
      return !is_in_dict(tensor, dict) || find_published_name(names, name_in_dict(tensor, dict));
    });
  };
  std::span<const PublishedName> found;
  std::vector<std::string> known;
  const std::string* const family = file.find_metadata("crate.family");
  for_each_family([&]<class Family>(Family) {
    known.emplace_back(Family::title);
    if (found.empty() && (family == nullptr || *family == Family::name) && is_named(Family::names))
      found = Family::names;
  });
  if (found.empty())
    throw file_error(file.source(), "expected the checkpoint of a training of ", alternatives(known), ", found ",
                     quote(dict), " to be another");
  return found;
}

/// The number of channels that the recipe states for the pixels, if it does.
[[nodiscard]] inline std::optional<Index> channels_of_recipe(const TensorTable& file) {
  Index channels = 0;
  while (file.find_metadata(concatenate(recipe_prefix, "pixels of channel ", channels)) != nullptr) ++channels;
  if (channels == 0) return std::nullopt;
  return channels;
}

/// [channels, height, width] of the patches for a convolution kernel [d, values]. Checkpoints that do not state them
/// have the channels in their recipe, and square patches.
[[nodiscard]] inline std::array<Index, 3> patch_of_checkpoint(const TensorTable& file, Index values) {
  const auto number = [&](std::string_view key) -> Index {
    const std::string* const text = file.find_metadata(key);
    Index found = 0;
    if (text != nullptr) std::from_chars(text->data(), text->data() + text->size(), found);
    return found;
  };
  std::array<Index, 3> patch{number("crate.channels"), number("crate.patch_height"), number("crate.patch_width")};
  if (const auto channels = channels_of_recipe(file); channels && patch[0] == 0) {
    patch[0] = *channels;
    patch[1] = patch[2] = std::lround(std::sqrt(static_cast<double>(values) / static_cast<double>(*channels)));
  }
  const auto fits = [&] {
    Index rest = values;
    for (const Index size : patch) {
      if (size < 1 || rest % size != 0) return false;
      rest /= size;
    }
    return rest == 1;
  };
  if (!fits())
    throw file_error(file.source(), "expected patches of ", values, " values, found ", patch[0], " channels of ",
                     patch[1], " x ", patch[2]);
  return patch;
}

[[nodiscard]] inline std::vector<Index> shape_as_published(const TensorTable& file, std::vector<Index> shape,
                                                           PublishedLayout layout) {
  if (layout == PublishedLayout::one_set && shape.size() < 3) shape.insert(shape.begin(), 3 - shape.size(), 1);
  if (layout == PublishedLayout::convolution && shape.size() == 2) {
    const auto [channels, height, width] = patch_of_checkpoint(file, shape[1]);
    shape = {shape[0], channels, height, width};
  }
  return shape;
}

/// The recipe's "mean +- deviation" of each channel, in the form of a file of weights; nothing if the
/// recipe has another form.
[[nodiscard]] inline Metadata pixels_of_recipe(const TensorTable& file) {
  constexpr std::string_view between = " +- ";
  std::string means, deviations;
  for (Index c = 0; c < channels_of_recipe(file).value_or(0); ++c) {
    const std::string& text = *file.find_metadata(concatenate(recipe_prefix, "pixels of channel ", c));
    const std::size_t split = text.find(between);
    if (split == std::string::npos) return {};
    means += (c == 0 ? "" : " ") + text.substr(0, split);
    deviations += (c == 0 ? "" : " ") + text.substr(split + between.size());
  }
  if (means.empty()) return {};
  return {{"crate.fit", "cover"}, {"crate.mean", means}, {"crate.deviation", deviations}};
}

/// The checkpoint's description of its model. Old ones have none; their recipe has the step, the lambda and the pixels.
[[nodiscard]] inline Metadata model_metadata_of_checkpoint(const TensorTable& file) {
  Metadata metadata;
  bool says_model = false;
  for (const auto& entry : file.metadata()) {
    const bool is_of_model = entry.first.starts_with(model_metadata_prefix);
    if (is_of_model || entry.first == "format") metadata.push_back(entry);
    says_model = says_model || is_of_model;
  }
  if (says_model) return metadata;
  const auto add = [&](std::string_view key, std::string_view recipe_name) {
    const std::string* const text = file.find_metadata(concatenate(recipe_prefix, recipe_name));
    if (text != nullptr) metadata.emplace_back(key, *text);
  };
  add("crate.step", "eta");
  add("crate.lambda", "lambda");
  if (const auto channels = channels_of_recipe(file))
    metadata.emplace_back("crate.channels", std::to_string(*channels));
  for (auto& entry : pixels_of_recipe(file)) metadata.push_back(std::move(entry));
  return metadata;
}

/// The weights in the checkpoint of a training, under their published names: of the moving average if
/// there is one, otherwise of the model, unless `weights_at` names one of the two. Throws FileError if the
/// model has no published form.
[[nodiscard]] inline TensorTable weights_of_checkpoint(const TensorTable& file,
                                                       std::optional<std::string_view> weights_at = {}) {
  check_checkpoint_format(file);
  if (const std::string* const reason = file.find_metadata(unpublished_key))
    throw file_error(file.source(), "the model of this training cannot be read as weights: ", *reason);
  const auto& tensors = file.tensors();
  const auto holds = [&](std::string_view dict) {
    return std::any_of(tensors.begin(), tensors.end(), [&](const Tensor& tensor) { return is_in_dict(tensor, dict); });
  };
  const bool has_average = holds("average");
  std::string dict(weights_at.value_or(has_average ? "average" : "model"));
  if ((dict != "average" && dict != "model") || !holds(dict))
    throw file_error(file.source(), "expected ", has_average ? "'model' or 'average'" : "'model'",
                     ", the weights in this checkpoint of a training, found ", quote(dict));
  if (const std::string* const inner = file.find_metadata(published_part_key)) dict += '.' + *inner;

  const std::span<const PublishedName> names = names_of_checkpoint(file, dict);
  std::vector<Tensor> weights;
  for (const Tensor& tensor : tensors) {
    if (!is_in_dict(tensor, dict)) continue;
    PublishedTensorName published = published_name(names, name_in_dict(tensor, dict));
    weights.push_back(published.layout == PublishedLayout::transposed ? transposed(tensor) : tensor);
    weights.back().name = std::move(published.name);
    weights.back().shape = shape_as_published(file, weights.back().shape, published.layout);
  }
  return TensorTable(file.source(), std::move(weights), model_metadata_of_checkpoint(file),
                     std::make_shared<const TensorTable>(file));
}

}  // namespace crate::detail
