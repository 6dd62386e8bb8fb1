// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/families/settings.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/models/image_preprocessing.hpp"

// A model's expected input, and the names of its outputs, in the metadata of a file:
//   crate.fit            "cover"; absent if as published
//   crate.orientation    "as_stored"; absent if upright
//   crate.mean           "0.286", "0.485 0.456 0.406": one number per channel; absent if as published
//   crate.deviation      as crate.mean
//   crate.head           "untrained" if the last map of a classifier was not trained; absent otherwise
//   crate.class_names.0  ["T-shirt", "Trouser"]: as many as fit into one text, the others in crate.class_names.1, ...

namespace crate::detail {

inline constexpr std::array<std::string_view, 4> preprocessing_keys{"crate.fit", "crate.mean", "crate.deviation",
                                                                    "crate.orientation"};
inline constexpr std::string_view head_key = "crate.head", untrained_head = "untrained";
inline constexpr std::string_view class_names_key = "crate.class_names.";

/// Models of pictures, and models with classes.
template <class Model>
concept HasPreprocessing = requires(const Model& model) {
  model.about.preprocessing;
};
template <class Model>
concept HasClassNames = requires(const Model& model) {
  model.about.class_names;
};
template <class Model>
concept KnowsItsHead = requires(const Model& model) {
  model.about.head_is_trained;
};

[[nodiscard]] inline std::string numbers_text(const std::vector<double>& numbers) {
  std::string text;
  for (const double number : numbers) {
    if (!text.empty()) text += ' ';
    text += number_text(number);
  }
  return text;
}

/// The numbers, separated by spaces, in a text of metadata.
[[nodiscard]] inline std::vector<double> numbers_in_metadata(const TensorTable& weights, std::string_view key,
                                                             std::string_view text) {
  std::vector<double> numbers;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const auto number = number_from_text<double>(text.substr(begin, end - begin));
    if (!number) throw file_error(weights.source(), "metadata ", quote(key), ": expected numbers, found ", quote(text));
    numbers.push_back(*number);
    begin = end + 1;
  }
  return numbers;
}

/// Appends the names as JSON arrays that each fit into a text of metadata. Invalid UTF-8 in a name is replaced.
inline void append_class_names(Metadata& metadata, const std::vector<std::string>& names) {
  constexpr std::size_t roomy = std::size_t{64} << 10U;
  nlohmann::json array = nlohmann::json::array();
  std::size_t bytes = 0, texts = 0;
  const auto finish_text = [&] {
    metadata.emplace_back(concatenate(class_names_key, texts++),
                          array.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    array.clear();
    bytes = 0;
  };
  for (const std::string& name : names) {
    if (!array.empty() && bytes + name.size() > roomy) finish_text();
    array.push_back(name);
    bytes += name.size();
  }
  if (!array.empty()) finish_text();
}

/// Appends what differs from the published preprocessing. Throws OptionError unless it fits the channels.
inline void append_preprocessing(Metadata& metadata, const ImagePreprocessing& input, Index channels) {
  const ImagePreprocessing published = ImagePreprocessing::published(channels);
  if (input.fit != published.fit) metadata.emplace_back("crate.fit", setting_text(input.fit));
  if (input.orientation != published.orientation)
    metadata.emplace_back("crate.orientation", setting_text(input.orientation));
  if (input.is_known() && !same_normalisation(input.normalisation, published.normalisation)) {
    input.normalisation.check(channels);
    metadata.emplace_back("crate.mean", numbers_text(input.normalisation.mean));
    metadata.emplace_back("crate.deviation", numbers_text(input.normalisation.deviation));
  }
}

/// Appends what is not as published. Throws OptionError unless it fits the channels, ShapeError unless
/// it fits the classes.
template <class Model>
void append_input(Metadata& metadata, const Model& model) {
  if constexpr (HasPreprocessing<Model>)
    append_preprocessing(metadata, model.about.preprocessing, patch_grid(model).channels);
  if constexpr (KnowsItsHead<Model>)
    if (!model.about.head_is_trained) metadata.emplace_back(head_key, untrained_head);
  if constexpr (HasClassNames<Model>) {
    if (model.about.class_names.empty()) return;
    check_size("class names", static_cast<Index>(model.about.class_names.size()), model.output_dim());
    append_class_names(metadata, model.about.class_names);
  }
}

/// The class names that append_class_names wrote, possibly none. Throws FileError on invalid ones.
[[nodiscard]] inline std::vector<std::string> class_names_in_metadata(const TensorTable& weights) {
  std::vector<std::string> names;
  for (std::size_t text = 0;; ++text) {
    const std::string key = concatenate(class_names_key, text);
    const std::string* const found = weights.find_metadata(key);
    if (found == nullptr) return names;
    const auto array = nlohmann::json::parse(*found, nullptr, /*allow_exceptions=*/false);
    const bool is_names =
        array.is_array() && std::all_of(array.begin(), array.end(), [](const auto& name) { return name.is_string(); });
    if (!is_names)
      throw file_error(weights.source(), "metadata ", quote(key), ": expected a JSON array of texts, found ",
                       quote(*found));
    for (const auto& name : array) names.push_back(name.template get<std::string>());
  }
}

/// The preprocessing in the file's metadata; entries that are absent are as published.
[[nodiscard]] inline ImagePreprocessing preprocessing_in_metadata(const TensorTable& weights, Index channels) {
  ImagePreprocessing input = ImagePreprocessing::published(channels);
  const auto read = [&](std::string_view key, const auto& use) {
    if (const std::string* const text = weights.find_metadata(key)) use(*text);
  };
  try {
    read("crate.fit", [&](const std::string& text) { input.fit = setting_from_text<PictureFit>(text); });
    read("crate.orientation",
         [&](const std::string& text) { input.orientation = setting_from_text<PixelOrientation>(text); });
    read("crate.mean",
         [&](const std::string& text) { input.normalisation.mean = numbers_in_metadata(weights, "crate.mean", text); });
    read("crate.deviation", [&](const std::string& text) {
      input.normalisation.deviation = numbers_in_metadata(weights, "crate.deviation", text);
    });
    if (input.is_known() || !input.normalisation.deviation.empty()) input.normalisation.check(channels);
  } catch (const FileError&) { throw; } catch (const Error& error) {
    throw file_error(weights.source(), "metadata of the preprocessing: ", error.what());
  }
  return input;
}

/// The preprocessing given by the caller, or else that of the file.
/// Throws FileError if the file's metadata are invalid, OptionError if the caller's do not fit.
[[nodiscard]] inline ImagePreprocessing preprocessing_of(const TensorTable& weights, const LoadOptions& given,
                                                         Index channels) {
  ImagePreprocessing input = preprocessing_in_metadata(weights, channels);
  if (given.fit) input.fit = *given.fit;
  if (given.orientation) input.orientation = *given.orientation;
  if (given.normalisation) {
    given.normalisation->check(channels);
    input.normalisation = *given.normalisation;
  }
  return input;
}

/// The names of `classes` classes given by the caller, or else those of the file.
/// Throws FileError or ShapeError if their number differs.
[[nodiscard]] inline std::vector<std::string> class_names_of(const TensorTable& weights, const LoadOptions& given,
                                                             Index classes) {
  std::vector<std::string> names = class_names_in_metadata(weights);
  if (!names.empty() && names.size() != static_cast<std::size_t>(classes))
    throw file_error(weights.source(), "metadata: expected the names of ", classes, " classes, found ", names.size());
  if (!given.class_names) return names;
  check_size("class names", static_cast<Index>(given.class_names->size()), classes);
  return *given.class_names;
}

/// False if the file says that the last map was not trained. Throws FileError on any other text.
[[nodiscard]] inline bool head_is_trained_in_metadata(const TensorTable& weights) {
  const std::string* const text = weights.find_metadata(head_key);
  if (text != nullptr && *text != untrained_head)
    throw file_error(weights.source(), "metadata ", quote(head_key), ": expected ", quote(untrained_head), ", found ",
                     quote(*text));
  return text == nullptr;
}

/// Sets a model's input from the caller's options, or else from the file. Throws as the functions above.
template <class Model>
void apply_input(Model& model, const TensorTable& weights, const LoadOptions& given) {
  if constexpr (HasPreprocessing<Model>)
    model.about.preprocessing = preprocessing_of(weights, given, patch_grid(model).channels);
  if constexpr (HasClassNames<Model>) model.about.class_names = class_names_of(weights, given, model.output_dim());
  if constexpr (KnowsItsHead<Model>) model.about.head_is_trained = head_is_trained_in_metadata(weights);
}

}  // namespace crate::detail
