// SPDX-License-Identifier: MIT
#pragma once

// Models from and to files. Needs nlohmann/json (for safetensors).

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "crate/io/detail/first_bytes.hpp"
#include "crate/io/file_bytes.hpp"
#include "crate/io/find_weights.hpp"
#include "crate/io/input_metadata.hpp"
#include "crate/io/model_options.hpp"
#include "crate/io/pth.hpp"
#include "crate/io/published_names.hpp"
#include "crate/io/safetensors.hpp"
#include "crate/io/settings.hpp"
#include "crate/io/weights.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/masked_autoencoder.hpp"

namespace crate {

/// A model of any family.
template <Scalar S>
using AnyModel = std::variant<CrateClassifier<S>, CrateAlphaClassifier<S>, CrateMaskedAutoencoder<S>>;

/// Everything in a safetensors or PyTorch file. Throws FileError if the file is neither, which says what it is instead.
[[nodiscard]] inline TensorTable read_tensors(const std::filesystem::path& path) {
  auto file = std::make_shared<const FileBytes>(path);
  const std::span<const std::byte> bytes = file->bytes();
  if (detail::begins_as_safetensors(bytes)) return detail::parse_safetensors(bytes, path.string(), std::move(file));
  if (detail::begins_as_pth(bytes)) return detail::parse_pth(bytes, path.string(), std::move(file));
  throw detail::other_file_error(path.string(), "a PyTorch or safetensors file", bytes);
}

/// The weights in a safetensors or PyTorch file, by their published names: prefixes and the dictionaries round them are
/// gone. `weights_at` chooses among several, as `find_weights` says.
/// Throws FileError if the file is neither or holds no weights.
[[nodiscard]] inline TensorTable read_weights(const std::filesystem::path& path, std::string_view weights_at = "") {
  return find_weights(read_tensors(path), weights_at);
}

namespace detail {

/// The table and the options of a model's published format; and the options of a model that has the same settings, as
/// published, and is small.
template <class Model>
struct PublishedFormat;

inline constexpr ImageOptions smallest_image{
    .height = 1, .width = 1, .channels = 1, .patch_height = 1, .patch_width = 1};

template <crate::Scalar S>
struct PublishedFormat<CrateClassifier<S>> {
  static constexpr ModelFamily family = ModelFamily::crate;
  static constexpr std::span<const PublishedName> names = crate_classifier_names;
  static auto options(const TensorTable& weights, const LoadOptions& given) { return crate_options(weights, given); }
  static typename CrateClassifier<S>::Options smallest(Index head_dim, double step, double lambda) {
    return {.image = smallest_image,
            .classes = 1,
            .depth = 1,
            .block = {.dim = 1, .heads = 1, .head_dim = head_dim, .step = step, .lambda = lambda}};
  }
};

template <crate::Scalar S>
struct PublishedFormat<CrateAlphaClassifier<S>> {
  static constexpr ModelFamily family = ModelFamily::crate_alpha;
  static constexpr std::span<const PublishedName> names = crate_alpha_classifier_names;
  static auto options(const TensorTable& weights, const LoadOptions& given) {
    return crate_alpha_options(weights, given);
  }
  static typename CrateAlphaClassifier<S>::Options smallest(Index head_dim, double step, double lambda) {
    return {.image = smallest_image,
            .classes = 1,
            .depth = 1,
            .block = {.dim = 1, .heads = 1, .head_dim = head_dim, .atoms = 1, .step = step, .lambda = lambda}};
  }
};

template <crate::Scalar S>
struct PublishedFormat<CrateMaskedAutoencoder<S>> {
  static constexpr ModelFamily family = ModelFamily::masked_autoencoder;
  static constexpr std::span<const PublishedName> names = masked_autoencoder_names;
  static auto options(const TensorTable& weights, const LoadOptions& given) {
    return masked_autoencoder_options(weights, given);
  }
  static MaskedAutoencoderOptions smallest(Index head_dim, double step, double lambda) {
    return {.image = smallest_image,
            .dim = 4,
            .heads = 1,
            .head_dim = head_dim,
            .depth = 1,
            .decoder_depth = 1,
            .step = step,
            .lambda = lambda};
  }
};

/// How many real numbers the tensors hold.
inline double elements_in(const TensorTable& weights) {
  double elements = 0;
  for (const Tensor& tensor : weights.tensors())
    if (holds_real_numbers(tensor))
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

/// At least so many tensors has a model of these options: two norms, a projection and a dictionary a layer.
template <class Options>
double fewest_tensors(const Options& o) {
  auto layers = static_cast<double>(o.depth);
  if constexpr (requires { o.decoder_depth; }) layers += static_cast<double>(o.decoder_depth);
  return 6 * layers;
}

/// Keeps a lying file from making us allocate much more than it is large itself. One that lacks some tensors passes, so
/// that those can be named.
template <class Options>
void check_plausible(const TensorTable& weights, const Options& options) {
  const double needed = fewest_parameters(options), found = elements_in(weights);
  if (needed > 2 * found)
    throw file_error(weights.source(), "expected at least ", needed,
                     " numbers for a model of the sizes that some tensors have, found ", found);
  constexpr double most_missing = 1000;
  const double needed_tensors = fewest_tensors(options), found_tensors = static_cast<double>(weights.tensors().size());
  if (needed_tensors > found_tensors + most_missing)
    throw file_error(weights.source(), "expected at least ", needed_tensors,
                     " tensors for the layers that it has names of, found ", found_tensors);
}

/// The step and lambda of a model's first layer, and its heads.
struct FirstLayer {
  Index heads, head_dim;
  double step, lambda;
};

template <class Model>
FirstLayer first_layer(const Model& model) {
  const auto& block = model.encoder.layers.front();
  const auto& subspaces = block.compress.branch.layer.subspaces;
  const auto& options = [&]() -> const auto& {
    if constexpr (requires { block.sparsify.layer.options; })
      return block.sparsify.layer.options;
    else
      return block.sparsify.branch.layer.options;
  }
  ();
  return {subspaces.heads(), subspaces.head_dim(), options.step, options.lambda};
}

/// Throws OptionError if the model is built in a way that its published tensors cannot tell.
inline void check_publishable(const std::vector<ListedLayer>& layers, Index heads) {
  for (const ListedLayer& layer : layers) {
    if (const auto& attention = layer.attention) {
      check_option(attention->heads == heads, concatenate(layer.name, ": as many heads as in the first layer, ", heads),
                   attention->heads);
      const MssaOutput published = published_output(attention->dim, heads, attention->head_dim);
      check_option(attention->output == published,
                   concatenate(layer.name, published == MssaOutput::free ? ": a free output map" : ": no output map",
                               ", as the published format has"),
                   attention->output == MssaOutput::tied ? "a tied one" : "another");
    }
    check_option(layer.has_own_decoding.value_or(true), concatenate(layer.name, ": a decoding of its own"),
                 "a tied one");
  }
}

/// "a.12.b" as "a.0.b": what the same setting is called in the first of several layers.
inline std::string in_first_layer(std::string_view name) {
  std::string first;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool is_index = i > 0 && name[i - 1] == '.' && name[i] >= '0' && name[i] <= '9';
    first += is_index ? '0' : name[i];
    while (is_index && i + 1 < name.size() && name[i + 1] != '.') ++i;
  }
  return first;
}

/// The settings that differ from the published ones, as metadata.
inline Metadata unpublished_settings(const std::vector<ListedLayer>& layers,
                                     const std::vector<ListedLayer>& published_layers) {
  std::map<std::string, std::string> published;
  for (const ListedLayer& layer : published_layers)
    for (const ListedSetting& setting : layer.settings) published.emplace(setting.name, setting.text());
  Metadata metadata;
  for (const ListedLayer& layer : layers)
    for (const ListedSetting& setting : layer.settings)
      if (std::string text = setting.text(); text != published.at(in_first_layer(setting.name)))
        metadata.emplace_back("crate." + setting.name, std::move(text));
  return metadata;
}

/// What every file says of a model.
inline Metadata sizes_in_metadata(ModelFamily family, const FirstLayer& first, const PatchGrid& grid) {
  return {{"crate.family", std::string(family_name(family))},
          {"crate.heads", number_text(first.heads)},
          {"crate.image_height", number_text(grid.image_height())},
          {"crate.image_width", number_text(grid.image_width())},
          {"crate.patch_height", number_text(grid.height)},
          {"crate.patch_width", number_text(grid.width)},
          {"crate.channels", number_text(grid.channels)},
          {"crate.step", number_text(first.step)},
          {"crate.lambda", number_text(first.lambda)},
          {"format", "pt"}};
}

/// What a file says of a model beside its tensors: sizes that they do not tell, and all settings that are not as
/// published.
template <class Model>
Metadata metadata_of(const Model& model) {
  const FirstLayer first = first_layer(model);
  const std::vector<ListedLayer> layers = list_layers(model);
  check_publishable(layers, first.heads);
  Metadata metadata = sizes_in_metadata(PublishedFormat<Model>::family, first, patch_grid(model));
  if constexpr (requires { model.pool.pooling; })
    metadata.emplace_back("crate.pooling", model.pool.pooling == Pooling::mean ? "mean" : "class_token");
  if constexpr (requires { model.about.mask_ratio; }) {
    metadata.emplace_back("crate.mask_ratio", number_text(model.about.mask_ratio));
    metadata.emplace_back("crate.normalise_pixels", model.about.normalise_pixels ? "1" : "0");
  }
  append_input(metadata, model);
  const Model published(PublishedFormat<Model>::smallest(first.head_dim, first.step, first.lambda));
  for (auto& setting : unpublished_settings(layers, list_layers(published))) metadata.push_back(std::move(setting));
  return metadata;
}

/// Throws FileError if our metadata is of another family, or says what a model of these layers does not know.
inline void check_metadata(const TensorTable& weights, ModelFamily family, const std::vector<ListedLayer>& layers) {
  std::set<std::string, std::less<>> known{
      "crate.family",   "crate.heads",        "crate.image_height", "crate.image_width",
      "crate.channels", "crate.patch_height", "crate.patch_width",  "crate.step",
      "crate.lambda",   "crate.pooling",      "crate.mask_ratio",   "crate.normalise_pixels",
      "crate.fit",      "crate.mean",         "crate.deviation",    "crate.orientation"};
  for (const ListedLayer& layer : layers)
    for (const ListedSetting& setting : layer.settings) known.insert("crate." + setting.name);
  for (const auto& [key, text] : weights.metadata()) {
    if (key == "crate.family" && text != family_name(family))
      throw file_error(weights.source(), "metadata 'crate.family': expected ", quote(family_name(family)), ", found ",
                       quote(text));
    const bool names_classes = is_classifier(family) && key.starts_with(class_names_key);
    if (key.starts_with("crate.") && !known.contains(key) && !names_classes)
      throw file_error(weights.source(), "metadata ", quote(key), ": expected a setting of a model of family ",
                       quote(family_name(family)), ", found one that it does not have");
  }
}

/// Gives the layers the settings that our metadata holds, but for a step and a lambda that the caller gives.
/// Throws FileError if one is not what it should be.
inline void apply_settings(const std::vector<ListedLayer>& layers, const TensorTable& weights,
                           const LoadOptions& given) {
  std::string key;
  try {
    for (const ListedLayer& layer : layers)
      for (const ListedSetting& setting : layer.settings) {
        key = "crate." + setting.name;
        const std::string* const text = weights.find_metadata(key);
        const bool is_given = (given.step && key.ends_with(".step")) || (given.lambda && key.ends_with(".lambda"));
        if (text != nullptr && !is_given) setting.set(*text);
      }
    for (const ListedLayer& layer : layers) {
      key = "crate." + layer.name;
      layer.check_settings();
    }
  } catch (const Error& error) { throw file_error(weights.source(), "metadata ", quote(key), ": ", error.what()); }
}

}  // namespace detail

/// The model of these weights. Throws OptionError if an option is needed and missing, or contradicts the weights,
/// FileError that names another family, lists all missing, surplus and misshapen tensors, or names the metadata of our
/// own that it cannot follow.
template <class Model>
[[nodiscard]] Model model_from(const TensorTable& weights, const LoadOptions& options = {}) {
  using Format = detail::PublishedFormat<Model>;
  detail::check_family(weights, Format::family);
  const auto model_options = Format::options(weights, options);
  detail::check_plausible(weights, model_options);
  try {
    Model model(model_options);
    const auto layers = detail::list_layers(model);
    detail::check_metadata(weights, Format::family, layers);
    detail::apply_settings(layers, weights, options);
    detail::apply_input(model, weights, options);
    detail::fill_new_model(list_parameters(model), weights, Format::names, patch_grid(model));
    return model;
  } catch (const std::bad_alloc&) {
    throw file_error(weights.source(), "the model in it needs more memory than there is");
  }
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
  return model_from<CrateMaskedAutoencoder<S>>(weights, options);
}

/// The model in a file: the published one (.pth or safetensors) or our own. Throws as read_weights and model_from.
template <Scalar S>
[[nodiscard]] CrateClassifier<S> load_classifier(const std::filesystem::path& path, const LoadOptions& options = {}) {
  return model_from<CrateClassifier<S>>(read_weights(path, options.weights_at), options);
}
template <Scalar S>
[[nodiscard]] CrateAlphaClassifier<S> load_alpha_classifier(const std::filesystem::path& path,
                                                            const LoadOptions& options = {}) {
  return model_from<CrateAlphaClassifier<S>>(read_weights(path, options.weights_at), options);
}
template <Scalar S>
[[nodiscard]] CrateMaskedAutoencoder<S> load_masked_autoencoder(const std::filesystem::path& path,
                                                                const LoadOptions& options = {}) {
  return model_from<CrateMaskedAutoencoder<S>>(read_weights(path, options.weights_at), options);
}
template <Scalar S>
[[nodiscard]] AnyModel<S> load_model(const std::filesystem::path& path, const LoadOptions& options = {}) {
  return any_model_from<S>(read_weights(path, options.weights_at), options);
}

/// The trainable parameters of a model, or of a gradient, which is a model, under their published names, to be written
/// while it lives.
template <class Model>
[[nodiscard]] std::vector<Tensor> trainable_tensors(const Model& model) {
  return published_tensors(model, detail::PublishedFormat<Model>::names, patch_grid(model), ParameterKind::trainable);
}

/// Writes a model under its published names, so that the published code loads it strictly, with its sizes and settings
/// in the metadata, so that we load it without options, and what is loaded computes the same bits. Throws OptionError
/// if the model is built in a way that the published tensors cannot tell, FileError if the file cannot be written.
template <class Model>
void save_model(const std::filesystem::path& path, const Model& model) {
  write_safetensors(path, published_tensors(model, detail::PublishedFormat<Model>::names, patch_grid(model)),
                    detail::metadata_of(model));
}

}  // namespace crate
