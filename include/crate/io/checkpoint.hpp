// SPDX-License-Identifier: MIT
#pragma once

// Models from and to files. Needs nlohmann/json (for safetensors).

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "crate/io/find_weights.hpp"
#include "crate/io/model_options.hpp"
#include "crate/io/pth.hpp"
#include "crate/io/published_names.hpp"
#include "crate/io/safetensors.hpp"
#include "crate/io/weights.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/masked_autoencoder.hpp"

namespace crate {

/// A model of any family.
template <Scalar S>
using AnyModel = std::variant<CrateClassifier<S>, CrateAlphaClassifier<S>, MaskedAutoencoder<S>>;

namespace detail {

/// Whether a file begins as torch.save begins one, with a zip member or a pickle of protocol 2, and not with the frame of a
/// safetensors file, whose length could look like either.
inline bool is_pth(const std::filesystem::path& path) {
  std::array<char, 9> start{};
  std::ifstream(path, std::ios::binary).read(start.data(), start.size());
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, start.data(), sizeof(header_bytes));
  const bool is_safetensors = header_bytes <= SafetensorsLimits::header_bytes && start[8] == '{';
  const std::string_view begin(start.data(), start.size());
  return !is_safetensors && (begin.starts_with("PK") || begin.starts_with("\x80\x02"));
}

}  // namespace detail

/// Everything in a safetensors or PyTorch file. Throws FileError if the file is neither.
[[nodiscard]] inline TensorTable read_tensors(const std::filesystem::path& path) {
  return detail::is_pth(path) ? read_pth(path) : read_safetensors(path);
}

/// The weights in a safetensors or PyTorch file, by their published names: prefixes and the dictionaries round them are gone.
/// Throws FileError if the file is neither or holds no weights.
[[nodiscard]] inline TensorTable read_weights(const std::filesystem::path& path) {
  return find_weights(read_tensors(path));
}

namespace detail {

/// The table, the options and the metadata of a model's published format.
template <class Model>
struct PublishedFormat;

template <crate::Scalar S>
struct PublishedFormat<CrateClassifier<S>> {
  static constexpr ModelFamily family = ModelFamily::crate;
  static constexpr std::span<const PublishedName> names = crate_classifier_names;
  static auto options(const TensorTable& weights, const LoadOptions& given) { return crate_options(weights, given); }
};

template <crate::Scalar S>
struct PublishedFormat<CrateAlphaClassifier<S>> {
  static constexpr ModelFamily family = ModelFamily::crate_alpha;
  static constexpr std::span<const PublishedName> names = crate_alpha_classifier_names;
  static auto options(const TensorTable& weights, const LoadOptions& given) {
    return crate_alpha_options(weights, given);
  }
};

template <crate::Scalar S>
struct PublishedFormat<MaskedAutoencoder<S>> {
  static constexpr ModelFamily family = ModelFamily::masked_autoencoder;
  static constexpr std::span<const PublishedName> names = masked_autoencoder_names;
  static auto options(const TensorTable& weights, const LoadOptions& given) {
    return masked_autoencoder_options(weights, given);
  }
};

inline double elements_in(const TensorTable& weights) {
  double elements = 0;
  for (const Tensor& tensor : weights.tensors())
    elements += 8.0 * static_cast<double>(tensor.bytes.size()) / static_cast<double>(dtype_bits(tensor.dtype));
  return elements;
}

/// At least so many parameters has a model of these options.
template <class BlockOptions>
double fewest_parameters(const ImageClassifierOptions<BlockOptions>& o) {
  const auto dim = static_cast<double>(o.block.dim), width = static_cast<double>(o.block.heads * o.block.head_dim);
  double atoms = dim;
  if constexpr (requires { o.block.atoms; }) atoms = 2 * static_cast<double>(o.block.atoms);
  const PatchGrid grid = o.image.grid();
  return dim * (static_cast<double>(o.depth) * (width + atoms) + static_cast<double>(o.classes) +
                static_cast<double>(grid.values_per_patch()) + static_cast<double>(grid.patches()));
}

inline double fewest_parameters(const MaskedAutoencoderOptions& o) {
  const auto dim = static_cast<double>(o.dim), width = static_cast<double>(o.heads * o.head_dim);
  const PatchGrid grid = o.image.grid();
  return dim * (static_cast<double>(o.depth + o.decoder_depth) * (width + dim) +
                2 * static_cast<double>(grid.values_per_patch()) + 2 * static_cast<double>(grid.patches()));
}

/// Keeps a lying file from making us allocate much more than it is large itself.
template <class Options>
void check_plausible(const TensorTable& weights, const Options& options) {
  const double needed = fewest_parameters(options), found = elements_in(weights);
  if (needed > 4 * found)
    throw file_error(weights.source(), "expected at least ", needed,
                     " numbers for a model of the sizes that some tensors have, found ", found);
}

inline Metadata image_metadata(const PatchGrid& grid, Index heads, double step, double lambda, ModelFamily family) {
  return {{"crate.family", std::string(family_name(family))},
          {"crate.heads", std::to_string(heads)},
          {"crate.image_height", std::to_string(grid.image_height())},
          {"crate.image_width", std::to_string(grid.image_width())},
          {"crate.patch_height", std::to_string(grid.height)},
          {"crate.patch_width", std::to_string(grid.width)},
          {"crate.channels", std::to_string(grid.channels)},
          {"crate.step", number_text(step)},
          {"crate.lambda", number_text(lambda)},
          {"format", "pt"}};
}

template <class Block, class Embedding>
Metadata metadata_of(const ImageClassifier<Block, Embedding>& model) {
  const auto& block = model.encoder.layers.front();
  const auto sparse = [&] {
    if constexpr (requires { block.sparsify.layer.options; })
      return block.sparsify.layer.options;
    else
      return block.sparsify.layer.layer.options;
  }();
  Metadata metadata = image_metadata(model.grid, block.compress.layer.layer.subspaces.heads(), sparse.step,
                                     sparse.lambda, PublishedFormat<ImageClassifier<Block, Embedding>>::family);
  metadata.emplace_back("crate.pooling", model.pooling == Pooling::mean ? "mean" : "class_token");
  return metadata;
}

template <crate::Scalar S>
Metadata metadata_of(const MaskedAutoencoder<S>& model) {
  const auto& block = model.encoder.layers.front();
  Metadata metadata =
      image_metadata(model.grid, block.compress.layer.layer.subspaces.heads(), block.sparsify.layer.options.step,
                     block.sparsify.layer.options.lambda, ModelFamily::masked_autoencoder);
  metadata.emplace_back("crate.mask_ratio", number_text(model.mask_ratio));
  metadata.emplace_back("crate.normalise_pixels", model.normalise_pixels ? "1" : "0");
  return metadata;
}

}  // namespace detail

/// The model of these weights. Throws OptionError if an option is needed and missing, or contradicts the weights, FileError
/// that lists all missing, surplus and misshapen tensors.
template <class Model>
[[nodiscard]] Model model_from(const TensorTable& weights, const LoadOptions& options = {}) {
  using Format = detail::PublishedFormat<Model>;
  const auto model_options = Format::options(weights, options);
  detail::check_plausible(weights, model_options);
  Model model(model_options);
  load_weights(model, weights, Format::names, model.grid);
  return model;
}

/// The model of these weights, of whichever family has such tensors. Throws as model_from.
template <Scalar S>
[[nodiscard]] AnyModel<S> any_model_from(const TensorTable& weights, const LoadOptions& options = {}) {
  switch (detail::find_family(weights)) {
    case ModelFamily::crate:
      return model_from<CrateClassifier<S>>(weights, options);
    case ModelFamily::crate_alpha:
      return model_from<CrateAlphaClassifier<S>>(weights, options);
    case ModelFamily::masked_autoencoder:
      break;
  }
  return model_from<MaskedAutoencoder<S>>(weights, options);
}

/// The model in a file: the published one (.pth or safetensors) or our own. Throws as read_weights and model_from.
template <Scalar S>
[[nodiscard]] CrateClassifier<S> load_classifier(const std::filesystem::path& path, const LoadOptions& options = {}) {
  return model_from<CrateClassifier<S>>(read_weights(path), options);
}
template <Scalar S>
[[nodiscard]] CrateAlphaClassifier<S> load_alpha_classifier(const std::filesystem::path& path,
                                                            const LoadOptions& options = {}) {
  return model_from<CrateAlphaClassifier<S>>(read_weights(path), options);
}
template <Scalar S>
[[nodiscard]] MaskedAutoencoder<S> load_masked_autoencoder(const std::filesystem::path& path,
                                                           const LoadOptions& options = {}) {
  return model_from<MaskedAutoencoder<S>>(read_weights(path), options);
}
template <Scalar S>
[[nodiscard]] AnyModel<S> load_model(const std::filesystem::path& path, const LoadOptions& options = {}) {
  return any_model_from<S>(read_weights(path), options);
}

/// The trainable parameters of a model, or of a gradient, which is a model, under their published names, to be written while
/// it lives.
template <class Model>
[[nodiscard]] std::vector<Tensor> trainable_tensors(const Model& model) {
  return published_tensors(model, detail::PublishedFormat<Model>::names, model.grid, ParameterKind::trainable);
}

/// Writes a model under its published names, so that the published code loads it strictly, with its sizes and settings in the
/// metadata, so that we load it without options. Throws FileError if the file cannot be written.
template <class Model>
void save_model(const std::filesystem::path& path, const Model& model) {
  write_safetensors(path, published_tensors(model, detail::PublishedFormat<Model>::names, model.grid),
                    detail::metadata_of(model));
}

}  // namespace crate
