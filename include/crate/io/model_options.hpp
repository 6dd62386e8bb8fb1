// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/io/settings.hpp"
#include "crate/io/tensor.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/masked_autoencoder.hpp"

// What a model is, as far as weights reveal it: sizes from shapes,
// the rest from the metadata of our own files or the caller.

namespace crate {

/// What weights do not reveal, or not always. Heads are never guessed: they come from here or from the file's metadata.
/// A size given here must agree with the weights; a setting overrides the file's.
struct LoadOptions {
  std::optional<Index> heads = {};
  std::optional<Index> image_height = {}, image_width = {};  ///< without them the grid of patches is taken to be square
  std::optional<Index> patch_height = {}, patch_width = {};  ///< without them patches are taken to be square
  std::optional<Index> channels = {};                        ///< 3 unless the weights tell
  std::optional<Pooling> pooling = {};                       ///< class token
  std::optional<double> step = {}, lambda = {};              ///< 0.1 and 0.1; 0.5 for lambda of a masked autoencoder
  std::optional<double> mask_ratio = {};                     ///< 0.75
  std::optional<bool> normalise_pixels = {};                 ///< no
  std::optional<PictureFit> fit = {};                        ///< as the published evaluation
  std::optional<PixelOrientation> orientation = {};          ///< upright
  std::optional<ImageNormalisation> normalisation = {};      ///< ImageNet's, of three channels
  std::optional<std::vector<std::string>> class_names = {};  ///< none
  std::string weights_at = {};  ///< which of several sets of weights, as find_weights takes it
};

/// The families of published weights that this library knows.
enum class ModelFamily { crate, crate_alpha, masked_autoencoder };

[[nodiscard]] constexpr std::string_view family_name(ModelFamily family) {
  switch (family) {
    case ModelFamily::crate:
      return "crate";
    case ModelFamily::crate_alpha:
      return "crate-alpha";
    case ModelFamily::masked_autoencoder:
      return "crate-mae";
  }
  return {};
}

[[nodiscard]] constexpr bool is_classifier(ModelFamily family) { return family != ModelFamily::masked_autoencoder; }

namespace detail {

/// The family that has these weights, if any.
inline std::optional<ModelFamily> known_family(const TensorTable& weights) {
  if (weights.find("transformer.layers.0.1.fn.weight") != nullptr) return ModelFamily::crate;
  if (weights.find("transformer.layers.0.1.fn.D") != nullptr) return ModelFamily::crate_alpha;
  if (weights.find("decoder_blocks.0.layers.0.0.fn.weight") != nullptr) return ModelFamily::masked_autoencoder;
  return std::nullopt;
}

/// The family that has these weights. Throws FileError if none has.
inline ModelFamily find_family(const TensorTable& weights) {
  if (const auto family = known_family(weights)) return *family;
  throw file_error(weights.source(),
                   "expected the weights of a CRATE classifier ('transformer.layers.0.1.fn.weight'), a CRATE-alpha "
                   "classifier ('transformer.layers.0.1.fn.D') or a masked autoencoder "
                   "('decoder_blocks.0.layers.0.0.fn.weight'), found none of these tensors");
}

/// Throws FileError if the weights are another family's.
inline void check_family(const TensorTable& weights, ModelFamily expected) {
  const auto found = known_family(weights);
  if (found && *found != expected)
    throw file_error(weights.source(), "expected the weights of family ", quote(family_name(expected)),
                     ", found those of ", quote(family_name(*found)));
}

/// The number that the file's metadata holds under `key`, if it does. Throws FileError on anything else.
template <class Number>
std::optional<Number> number_in_metadata(const TensorTable& weights, std::string_view key) {
  const std::string* const text = weights.find_metadata(key);
  if (text == nullptr) return std::nullopt;
  const auto number = number_from_text<Number>(*text);
  if (!number) throw file_error(weights.source(), "metadata ", quote(key), ": expected a number, found ", quote(*text));
  return number;
}

/// The size that is given, if it agrees with what the file says; the one that is there, if only one is.
inline std::optional<Index> agreed(std::string_view what, std::optional<Index> given, std::optional<Index> in_file) {
  if (given && in_file && *given != *in_file)
    throw OptionError(concatenate(what, ": expected ", *in_file, ", as the weights have, found ", *given));
  return given ? given : in_file;
}

/// The options of the caller, completed from the metadata of our own files.
inline LoadOptions with_metadata(LoadOptions options, const TensorTable& weights) {
  const auto complete_size = [&](std::optional<Index>& size, std::string_view what, std::string_view key) {
    size = agreed(what, size, number_in_metadata<Index>(weights, key));
  };
  const auto complete_setting = [&](std::optional<double>& setting, std::string_view key) {
    if (!setting) setting = number_in_metadata<double>(weights, key);
  };
  complete_size(options.heads, "heads", "crate.heads");
  complete_size(options.image_height, "image height", "crate.image_height");
  complete_size(options.image_width, "image width", "crate.image_width");
  complete_size(options.patch_height, "patch height", "crate.patch_height");
  complete_size(options.patch_width, "patch width", "crate.patch_width");
  complete_size(options.channels, "channels", "crate.channels");
  complete_setting(options.step, "crate.step");
  complete_setting(options.lambda, "crate.lambda");
  complete_setting(options.mask_ratio, "crate.mask_ratio");
  if (const std::string* const pooling = weights.find_metadata("crate.pooling");
      pooling != nullptr && !options.pooling) {
    if (*pooling != "mean" && *pooling != "class_token")
      throw file_error(weights.source(), "metadata 'crate.pooling': expected 'mean' or 'class_token', found ",
                       quote(*pooling));
    options.pooling = *pooling == "mean" ? Pooling::mean : Pooling::class_token;
  }
  if (const auto normalise = number_in_metadata<int>(weights, "crate.normalise_pixels");
      normalise && !options.normalise_pixels) {
    if (*normalise != 0 && *normalise != 1)
      throw file_error(weights.source(), "metadata 'crate.normalise_pixels': expected 0 or 1, found ", *normalise);
    options.normalise_pixels = *normalise == 1;
  }
  return options;
}

/// The whole square root of a size, if it has one.
inline std::optional<Index> whole_root(Index size) {
  const auto root = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(size))));
  return root * root == size ? std::optional(root) : std::nullopt;
}

/// Throws FileError if a dimension of the tensor is 0: such a tensor takes no bytes, however large the others are.
inline void check_not_empty(const Tensor& tensor) {
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end())
    throw tensor_error(tensor, "expected dimensions of at least 1, found shape ", shape_text(tensor.shape));
}

struct Sides {
  Index height, width;
};

/// The sides of an area, of which none, one or both are given; a square if none is.
/// Throws OptionError if they contradict the area, or cannot be told.
inline Sides sides_of(std::string_view what, Index area, std::optional<Index> height, std::optional<Index> width) {
  if (!height && !width) {
    const auto root = whole_root(area);
    if (!root)
      throw OptionError(concatenate(what, ": expected height and width to be given, because the weights have ", area,
                                    ", which is no square; found neither"));
    height = width = root;
  }
  const auto other = [&](Index side) { return side >= 1 && area % side == 0 ? area / side : 0; };
  const Sides sides{height ? *height : other(*width), width ? *width : other(*height)};
  if (sides.height < 1 || sides.width < 1 || sides.height > area || sides.width != other(sides.height))
    throw OptionError(concatenate(what, ": expected sides whose product is ", area, ", as the weights have, found ",
                                  height ? std::to_string(*height) : "?", " x ", width ? std::to_string(*width) : "?"));
  return sides;
}

/// The number of patches across a side of an image, if the side is given.
inline std::optional<Index> patches_across(std::string_view what, std::optional<Index> side, Index patch) {
  if (!side) return std::nullopt;
  check_option(*side >= 1 && *side % patch == 0, concatenate(what, " a multiple of ", patch), *side);
  return *side / patch;
}

/// Images of `patches` patches of the size that the options or a convolution kernel [d, C, h, w] tell.
inline ImageOptions image_options(const LoadOptions& options, Index patches, Index channels, Sides patch) {
  const Sides grid =
      sides_of("number of patches", patches, patches_across("image height", options.image_height, patch.height),
               patches_across("image width", options.image_width, patch.width));
  return {.height = grid.height * patch.height,
          .width = grid.width * patch.width,
          .channels = channels,
          .patch_height = patch.height,
          .patch_width = patch.width};
}

/// Of patches that are known by their number of values alone.
inline ImageOptions image_of_values(const LoadOptions& options, Index patches, Index values) {
  Index channels = options.channels.value_or(3);
  if (!options.channels && options.patch_height && options.patch_width && *options.patch_height >= 1 &&
      *options.patch_width >= 1)
    channels = values / *options.patch_height / *options.patch_width;
  check_option(channels >= 1 && values % channels == 0,
               concatenate("channels that divide the ", values, " values of a patch"), channels);
  return image_options(options, patches, channels,
                       sides_of("pixels of a patch", values / channels, options.patch_height, options.patch_width));
}

/// Of patches that a convolution kernel [d, C, h, w] cuts.
inline ImageOptions image_of_kernel(const LoadOptions& options, Index patches, const Tensor& kernel) {
  check_rank(kernel, 4);
  check_not_empty(kernel);
  const auto& shape = kernel.shape;
  (void)agreed("channels", options.channels, shape[1]);
  return image_options(
      options, patches, shape[1],
      {*agreed("patch height", options.patch_height, shape[2]), *agreed("patch width", options.patch_width, shape[3])});
}

/// How many consecutive indices i there are such that a tensor prefix + i + suffix exists.
inline Index count_layers(const TensorTable& weights, std::string_view prefix, std::string_view suffix) {
  Index count = 0;
  while (weights.find(concatenate(prefix, count, suffix)) != nullptr) ++count;
  return count;
}

/// Dimension `axis` of a tensor of `rank` dimensions, at least 1. Throws FileError if it is not like that.
inline Index dimension(const TensorTable& weights, std::string_view name, std::size_t rank, std::size_t axis) {
  const Tensor& tensor = weights.at(name);
  check_rank(tensor, rank);
  check_not_empty(tensor);
  return tensor.shape[axis];
}

inline Index heads_of(const LoadOptions& options) {
  if (!options.heads)
    throw OptionError("heads: expected to be given, because weights do not reveal them; found nothing");
  check_option(*options.heads >= 1, "heads >= 1", *options.heads);
  return *options.heads;
}

/// p, given that U has `width` = K p columns.
inline Index head_dim_of(Index heads, Index width) {
  check_option(width % heads == 0, concatenate("heads that divide the ", width, " rows of the projection"), heads);
  return width / heads;
}

/// Throws OptionError if the caller sets what only a masked autoencoder has.
inline void check_of_classifier(const LoadOptions& given) {
  if (given.mask_ratio || given.normalise_pixels)
    throw OptionError(concatenate(given.mask_ratio ? "mask ratio" : "normalised pixels",
                                  ": expected the weights of a masked autoencoder, found those of a classifier"));
}

/// The options of an image classifier of either family.
template <class Options>
Options classifier_options(const TensorTable& weights, const LoadOptions& options, std::string_view sparsify,
                           const ImageOptions& image) {
  Options result;
  result.image = image;
  result.classes = dimension(weights, "mlp_head.1.weight", 2, 0);
  result.depth = count_layers(weights, "transformer.layers.", sparsify);
  result.pooling = options.pooling.value_or(Pooling::class_token);
  result.block.dim = dimension(weights, "pos_embedding", 3, 2);
  result.block.heads = heads_of(options);
  result.block.head_dim =
      head_dim_of(result.block.heads, dimension(weights, "transformer.layers.0.0.fn.qkv.weight", 2, 0));
  result.block.step = options.step.value_or(result.block.step);
  result.block.lambda = options.lambda.value_or(result.block.lambda);
  return result;
}

}  // namespace detail

/// The options of the CRATE classifier that has these weights.
/// Throws OptionError if an option is needed and missing, or contradicts the weights, FileError if a tensor is missing.
[[nodiscard]] inline ImageClassifierOptions<CrateBlockOptions> crate_options(const TensorTable& weights,
                                                                             const LoadOptions& given = {}) {
  detail::check_of_classifier(given);
  const LoadOptions options = detail::with_metadata(given, weights);
  const ImageOptions image = detail::image_of_values(options, detail::dimension(weights, "pos_embedding", 3, 1) - 1,
                                                     detail::dimension(weights, "to_patch_embedding.1.weight", 1, 0));
  return detail::classifier_options<ImageClassifierOptions<CrateBlockOptions>>(weights, options, ".1.fn.weight", image);
}

/// The options of the CRATE-alpha classifier that has these weights. Throws as crate_options.
[[nodiscard]] inline ImageClassifierOptions<CrateAlphaBlockOptions> crate_alpha_options(const TensorTable& weights,
                                                                                        const LoadOptions& given = {}) {
  detail::check_of_classifier(given);
  const LoadOptions options = detail::with_metadata(given, weights);
  const ImageOptions image = detail::image_of_kernel(options, detail::dimension(weights, "pos_embedding", 3, 1) - 1,
                                                     weights.at("conv1.weight"));
  auto result =
      detail::classifier_options<ImageClassifierOptions<CrateAlphaBlockOptions>>(weights, options, ".1.fn.D", image);
  result.block.atoms = detail::dimension(weights, "transformer.layers.0.1.fn.D", 2, 1);
  return result;
}

/// The options of the masked autoencoder that has these weights. Throws as crate_options.
[[nodiscard]] inline MaskedAutoencoderOptions masked_autoencoder_options(const TensorTable& weights,
                                                                         const LoadOptions& given = {}) {
  if (given.pooling)
    throw OptionError("pooling: expected the weights of a classifier, found those of a masked autoencoder");
  const LoadOptions options = detail::with_metadata(given, weights);
  MaskedAutoencoderOptions result;
  result.image = detail::image_of_kernel(options, detail::dimension(weights, "decoder_pos_embed", 3, 1) - 1,
                                         weights.at("patch_embed.proj.weight"));
  result.dim = detail::dimension(weights, "decoder_pos_embed", 3, 2);
  result.heads = detail::heads_of(options);
  result.head_dim =
      detail::head_dim_of(result.heads, detail::dimension(weights, "blocks.0.layers.0.0.fn.qkv.weight", 2, 0));
  result.depth = detail::count_layers(weights, "blocks.", ".layers.0.1.fn.weight");
  result.decoder_depth = detail::count_layers(weights, "decoder_blocks.", ".layers.0.0.fn.weight");
  result.step = options.step.value_or(result.step);
  result.lambda = options.lambda.value_or(result.lambda);
  result.mask_ratio = options.mask_ratio.value_or(result.mask_ratio);
  result.normalise_pixels = options.normalise_pixels.value_or(result.normalise_pixels);
  return result;
}

}  // namespace crate
