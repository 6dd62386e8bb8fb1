// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "crate/core/detail/number_text.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/kernels/gelu_form.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/image_preprocessing.hpp"

// Properties of a model that its weights do not determine: from the caller, or from the metadata of our
// own files ("crate.heads").

namespace crate {

/// Properties of a model that its weights do not always determine. The number of heads is never guessed: it comes from
/// here or from the file's metadata. A size given here must agree with the weights; a setting overrides the file's.
struct LoadOptions {
  std::optional<Index> heads = {};
  std::optional<Index> decoder_heads = {};                   ///< default: as in the encoder
  std::optional<Index> image_height = {}, image_width = {};  ///< default: a square grid of patches
  std::optional<Index> patch_height = {}, patch_width = {};  ///< default: square patches
  std::optional<Index> channels = {};                        ///< default: 3, unless the weights determine it
  std::optional<Pooling> pooling = {};                       ///< default: the class token
  std::optional<double> step = {}, lambda = {};              ///< default: 0.1; lambda of autoencoders 0.5
  std::optional<double> mask_ratio = {};                     ///< default: 0.75
  std::optional<bool> normalise_pixels = {};                 ///< default: false
  std::optional<PictureFit> fit = {};                        ///< default: as the published evaluation
  std::optional<PixelOrientation> orientation = {};          ///< default: upright
  std::optional<ImageNormalisation> normalisation = {};      ///< default: ImageNet's if there are three channels
  std::optional<std::vector<std::string>> class_names = {};  ///< default: none
  std::optional<GeluForm> gelu = {};           ///< default: tanh if weights have the layout of Hugging Face
  std::optional<std::string> weights_at = {};  ///< one of several sets of weights, as in find_weights
};

namespace detail {

/// A member of LoadOptions that our own files store as a text in their metadata.
template <class Value>
struct LoadOption {
  std::string_view what;   ///< the name in messages
  std::string_view key;    ///< of the metadata
  std::string_view owner;  ///< the models that have it, such as "a classifier"
  std::optional<Value> LoadOptions::*member;
};

/// A member that input_metadata.hpp reads and writes.
template <class Value>
struct InputOption {
  std::string_view what, owner;
  std::optional<Value> LoadOptions::*member;
};

/// A fixed text that is stored among the options in every file.
struct FixedText {
  std::string_view key, text;
};

namespace load_option {

inline constexpr LoadOption<Index> heads{"heads", "crate.heads", "a model with attention", &LoadOptions::heads};
inline constexpr LoadOption<Index> image_height{"image height", "crate.image_height", "a model of images",
                                                &LoadOptions::image_height};
inline constexpr LoadOption<Index> image_width{"image width", "crate.image_width", "a model of images",
                                               &LoadOptions::image_width};
inline constexpr LoadOption<Index> patch_height{"patch height", "crate.patch_height", "a model of images",
                                                &LoadOptions::patch_height};
inline constexpr LoadOption<Index> patch_width{"patch width", "crate.patch_width", "a model of images",
                                               &LoadOptions::patch_width};
inline constexpr LoadOption<Index> channels{"channels", "crate.channels", "a model of images", &LoadOptions::channels};
inline constexpr LoadOption<double> step{"step", "crate.step", "a model with ISTA", &LoadOptions::step};
inline constexpr LoadOption<double> lambda{"lambda", "crate.lambda", "a model with ISTA", &LoadOptions::lambda};
inline constexpr LoadOption<Pooling> pooling{"pooling", "crate.pooling", "a classifier", &LoadOptions::pooling};
inline constexpr LoadOption<Index> decoder_heads{"decoder heads", "crate.decoder_heads", "a masked autoencoder",
                                                 &LoadOptions::decoder_heads};
inline constexpr LoadOption<double> mask_ratio{"mask ratio", "crate.mask_ratio", "a masked autoencoder",
                                               &LoadOptions::mask_ratio};
inline constexpr LoadOption<bool> normalise_pixels{"normalised pixels", "crate.normalise_pixels",
                                                   "a masked autoencoder", &LoadOptions::normalise_pixels};
inline constexpr LoadOption<GeluForm> gelu{"GELU", "crate.gelu", "a language model of transformer blocks",
                                           &LoadOptions::gelu};
inline constexpr InputOption<PictureFit> fit{"fit", "a model of images", &LoadOptions::fit};
inline constexpr InputOption<PixelOrientation> orientation{"orientation", "a model of images",
                                                           &LoadOptions::orientation};
inline constexpr InputOption<ImageNormalisation> normalisation{"normalisation", "a model of images",
                                                               &LoadOptions::normalisation};
inline constexpr InputOption<std::vector<std::string>> class_names{"class names", "a classifier",
                                                                   &LoadOptions::class_names};

/// All members.
inline constexpr std::tuple all{heads, image_height, image_width, patch_height,  patch_width, channels,
                                step,  lambda,       pooling,     decoder_heads, mask_ratio,  normalise_pixels,
                                gelu,  fit,          orientation, normalisation, class_names};

// The options of image models with attention, in the order of their files.
inline constexpr std::tuple image_sizes{heads, image_height, image_width, patch_height, patch_width, channels};
inline constexpr std::tuple picture_input{FixedText{"format", "pt"}, fit, orientation, normalisation};

/// The options of image models with attention and ISTA.
inline constexpr auto of_image_models = std::tuple_cat(image_sizes, std::tuple{step, lambda}, picture_input);

}  // namespace load_option

/// The number under `key` in the file's metadata, if there is one. Throws FileError on any other text.
template <class Number>
[[nodiscard]] std::optional<Number> number_in_metadata(const TensorTable& weights, std::string_view key) {
  const std::string* const text = weights.find_metadata(key);
  if (text == nullptr) return std::nullopt;
  const auto number = number_from_text<Number>(*text);
  if (!number) throw file_error(weights.source(), "metadata ", quote(key), ": expected a number, found ", quote(*text));
  return number;
}

[[nodiscard]] inline std::optional<Pooling> pooling_in_metadata(const TensorTable& weights, std::string_view key) {
  const std::string* const text = weights.find_metadata(key);
  if (text == nullptr) return std::nullopt;
  if (*text == "mean") return Pooling::mean;
  if (*text == "class_token") return Pooling::class_token;
  throw file_error(weights.source(), "metadata ", quote(key), ": expected 'mean' or 'class_token', found ",
                   quote(*text));
}

[[nodiscard]] inline std::optional<bool> flag_in_metadata(const TensorTable& weights, std::string_view key) {
  const auto number = number_in_metadata<int>(weights, key);
  if (!number) return std::nullopt;
  if (*number != 0 && *number != 1)
    throw file_error(weights.source(), "metadata ", quote(key), ": expected 0 or 1, found ", *number);
  return *number == 1;
}

[[nodiscard]] inline std::optional<GeluForm> gelu_in_metadata(const TensorTable& weights, std::string_view key) {
  const std::string* const text = weights.find_metadata(key);
  if (text == nullptr) return std::nullopt;
  if (*text == "exact") return GeluForm::exact;
  if (*text == "tanh") return GeluForm::tanh;
  throw file_error(weights.source(), "metadata ", quote(key), ": expected 'exact' or 'tanh', found ", quote(*text));
}

/// The value whose option_text is in the file's metadata under `key`, if there is one. Throws FileError
/// on any other text.
template <class Value>
[[nodiscard]] std::optional<Value> option_in_metadata(const TensorTable& weights, std::string_view key) {
  if constexpr (std::is_same_v<Value, Pooling>)
    return pooling_in_metadata(weights, key);
  else if constexpr (std::is_same_v<Value, GeluForm>)
    return gelu_in_metadata(weights, key);
  else if constexpr (std::is_same_v<Value, bool>)
    return flag_in_metadata(weights, key);
  else
    return number_in_metadata<Value>(weights, key);
}

template <class Value>
[[nodiscard]] std::string option_text(const Value& value) {
  if constexpr (std::is_same_v<Value, Pooling>)
    return value == Pooling::mean ? "mean" : "class_token";
  else if constexpr (std::is_same_v<Value, GeluForm>)
    return value == GeluForm::tanh ? "tanh" : "exact";
  else if constexpr (std::is_same_v<Value, bool>)
    return value ? "1" : "0";
  else
    return number_text(value);
}

/// The given size and that of the file, which must agree if both exist.
[[nodiscard]] inline std::optional<Index> agreed(std::string_view what, std::optional<Index> given,
                                                 std::optional<Index> in_file) {
  if (given && in_file && *given != *in_file)
    throw OptionError(concatenate(what, ": expected ", *in_file, ", as the weights have, found ", *given));
  return given ? given : in_file;
}

/// Completes an option of the caller from the metadata: sizes must agree, the caller's settings override the file's.
template <class Value>
void complete(LoadOptions& options, const LoadOption<Value>& option, const TensorTable& weights) {
  std::optional<Value>& value = options.*option.member;
  if constexpr (std::is_same_v<Value, Index>)
    value = agreed(option.what, value, number_in_metadata<Index>(weights, option.key));
  else if (!value)
    value = option_in_metadata<Value>(weights, option.key);
}
template <class Value>
void complete(LoadOptions&, const InputOption<Value>&, const TensorTable&) {}
inline void complete(LoadOptions&, const FixedText&, const TensorTable&) {}

/// Appends the option, if it has a value, to the metadata.
template <class Value>
void append(Metadata& metadata, const LoadOption<Value>& option, const LoadOptions& options) {
  if (const std::optional<Value>& value = options.*option.member)
    metadata.emplace_back(option.key, option_text(*value));
}
template <class Value>
void append(Metadata&, const InputOption<Value>&, const LoadOptions&) {}
inline void append(Metadata& metadata, const FixedText& fixed, const LoadOptions&) {
  metadata.emplace_back(fixed.key, fixed.text);
}

/// The names of the options that a caller can give.
template <class... Options>
[[nodiscard]] std::vector<std::string_view> names_of(const std::tuple<Options...>& options) {
  std::vector<std::string_view> names;
  for_each_entry(options, [&](const auto& option) {
    if constexpr (requires { option.what; }) names.push_back(option.what);
  });
  return names;
}

template <class... Options>
[[nodiscard]] bool has_option(const std::tuple<Options...>& options, std::string_view name) {
  const std::vector<std::string_view> names = names_of(options);
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Throws OptionError if the caller gives options that a model of this kind does not have.
inline void check_given(const LoadOptions& given, const std::vector<std::string_view>& known, std::string_view kind) {
  for_each_entry(load_option::all, [&](const auto& option) {
    if (given.*option.member && std::find(known.begin(), known.end(), option.what) == known.end())
      throw OptionError(
          concatenate(option.what, ": expected the weights of ", option.owner, ", found those of ", kind));
  });
}

/// The caller's options, completed from the metadata of our own files, for a model of this kind with these options.
/// Throws OptionError if other options are given, or sizes contradict the file, FileError on invalid metadata.
template <class Options>
[[nodiscard]] LoadOptions completed(LoadOptions given, const TensorTable& weights, const Options& options,
                                    std::string_view kind) {
  check_given(given, names_of(options), kind);
  for_each_entry(options, [&](const auto& option) { complete(given, option, weights); });
  return given;
}

}  // namespace detail

}  // namespace crate
