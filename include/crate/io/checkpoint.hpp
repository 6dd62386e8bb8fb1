// SPDX-License-Identifier: MIT
#pragma once

// Models from and to files. Needs nlohmann/json (for safetensors).

#include <cstddef>
#include <filesystem>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/io/detail/first_bytes.hpp"
#include "crate/io/families.hpp"
#include "crate/io/families/model_metadata.hpp"
#include "crate/io/file_bytes.hpp"
#include "crate/io/find_weights.hpp"
#include "crate/io/input_metadata.hpp"
#include "crate/io/pth.hpp"
#include "crate/io/published_names.hpp"
#include "crate/io/safetensors.hpp"
#include "crate/io/settings.hpp"
#include "crate/io/weights.hpp"

namespace crate {

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

/// How many real numbers the tensors hold.
inline double elements_in(const TensorTable& weights) {
  double elements = 0;
  for (const Tensor& tensor : weights.tensors())
    if (holds_real_numbers(tensor))
      elements += 8.0 * static_cast<double>(tensor.bytes.size()) / static_cast<double>(dtype_bits(tensor.dtype));
  return elements;
}

/// Keeps a lying file from making us allocate much more than it is large itself. One that lacks some tensors passes, so
/// that those can be named.
inline void check_plausible(const TensorTable& weights, const LeastWeights& least) {
  const double found = elements_in(weights);
  if (least.numbers > 2 * found)
    throw file_error(weights.source(), "expected at least ", least.numbers,
                     " numbers for a model of the sizes that some tensors have, found ", found);
  constexpr double most_missing = 1000;
  const auto found_tensors = static_cast<double>(weights.tensors().size());
  if (least.tensors > found_tensors + most_missing)
    throw file_error(weights.source(), "expected at least ", least.tensors,
                     " tensors for the layers that it has names of, found ", found_tensors);
}

}  // namespace detail

/// The model of these weights. Throws OptionError if an option is needed and missing, or contradicts the weights,
/// FileError that names another family, lists all missing, surplus and misshapen tensors, or names the metadata of our
/// own that it cannot follow.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
[[nodiscard]] Model model_from(const TensorTable& weights, const LoadOptions& options = {}) {
  detail::check_family<Family>(weights);
  const auto model_options = Family::options(weights, options);
  detail::check_plausible(weights, Family::least_weights(model_options));
  try {
    Model model(model_options);
    const auto layers = detail::list_layers(model);
    detail::check_metadata<Model, Family>(weights, layers);
    detail::apply_settings(layers, weights, options);
    detail::apply_input(model, weights, options);
    detail::fill_new_model(list_parameters(model), weights, Family::names, detail::patches_of(model));
    return model;
  } catch (const std::bad_alloc&) {
    throw file_error(weights.source(), "the model in it needs more memory than there is");
  }
}

namespace detail {

/// The model of these weights, of the first of the families that has their marker.
template <crate::Scalar S, class Family, class... Others>
[[nodiscard]] AnyModel<S> any_model_from(const TensorTable& weights, const LoadOptions& options,
                                         std::tuple<Family, Others...>) {
  if (weights.find(published_marker<Family>()) != nullptr)
    return model_from<typename Family::template Model<S>>(weights, options);
  if constexpr (sizeof...(Others) > 0)
    return any_model_from<S>(weights, options, std::tuple<Others...>());
  else
    throw no_family_error(weights);
}

}  // namespace detail

/// The model of these weights, of whichever family has such tensors. Throws as model_from.
template <Scalar S>
[[nodiscard]] AnyModel<S> any_model_from(const TensorTable& weights, const LoadOptions& options = {}) {
  return detail::any_model_from<S>(weights, options, Families());
}

/// The model in a file: the published one (.pth or safetensors) or our own. Throws as read_weights and model_from.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
requires(!Scalar<Model>) [[nodiscard]] Model
    load_model(const std::filesystem::path& path, const LoadOptions& options = {}) {
  return model_from<Model, Family>(read_weights(path, options.weights_at), options);
}
template <Scalar S>
[[nodiscard]] AnyModel<S> load_model(const std::filesystem::path& path, const LoadOptions& options = {}) {
  return any_model_from<S>(read_weights(path, options.weights_at), options);
}
template <Scalar S>
[[nodiscard]] CrateClassifier<S> load_classifier(const std::filesystem::path& path, const LoadOptions& options = {}) {
  return load_model<CrateClassifier<S>>(path, options);
}
template <Scalar S>
[[nodiscard]] CrateAlphaClassifier<S> load_alpha_classifier(const std::filesystem::path& path,
                                                            const LoadOptions& options = {}) {
  return load_model<CrateAlphaClassifier<S>>(path, options);
}
template <Scalar S>
[[nodiscard]] MaskedAutoencoder<S> load_masked_autoencoder(const std::filesystem::path& path,
                                                           const LoadOptions& options = {}) {
  return load_model<MaskedAutoencoder<S>>(path, options);
}

/// The trainable parameters of a model, or of a gradient, which is a model, under their published names, to be written
/// while it lives.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
[[nodiscard]] std::vector<Tensor> trainable_tensors(const Model& model) {
  return published_tensors(model, Family::names, ParameterKind::trainable);
}

/// Writes a model under its published names, so that the published code loads it strictly, with its sizes and settings
/// in the metadata, so that we load it without options, and what is loaded computes the same bits. Throws OptionError
/// if the model is built in a way that the published tensors cannot tell, FileError if the file cannot be written.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
void save_model(const std::filesystem::path& path, const Model& model) {
  write_safetensors(path, published_tensors(model, Family::names), detail::metadata_of<Model, Family>(model));
}

}  // namespace crate
