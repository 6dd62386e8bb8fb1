// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <filesystem>
#include <new>
#include <optional>
#include <tuple>

#include "crate/io/families.hpp"
#include "crate/io/families/input_metadata.hpp"
#include "crate/io/families/model_metadata.hpp"
#include "crate/io/families/published_form.hpp"
#include "crate/io/families/settings.hpp"
#include "crate/io/families/weights.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/read_weights.hpp"

namespace crate {

namespace detail {

/// The number of real numbers in the tensors.
inline double elements_in(const TensorTable& weights) {
  double elements = 0;
  for (const Tensor& tensor : weights.tensors())
    if (holds_real_numbers(tensor))
      elements += 8.0 * static_cast<double>(tensor.bytes.size()) / static_cast<double>(dtype_bits(tensor.dtype));
  return elements;
}

/// Prevents a corrupt file from causing allocations much larger than itself. Files with some tensors missing pass, so
/// that the missing ones can be listed later.
inline void check_plausible(const TensorTable& weights, const LeastWeights& least) {
  const double found = elements_in(weights);
  if (least.numbers > 2 * found)
    throw file_error(weights.source(), "expected at least ", least.numbers,
                     " numbers for a model of the sizes of its tensors, found ", found);
  constexpr double most_missing = 1000;
  const auto found_tensors = static_cast<double>(weights.tensors().size());
  if (least.tensors > found_tensors + most_missing)
    throw file_error(weights.source(), "expected at least ", least.tensors,
                     " tensors for the layers that it names, found ", found_tensors);
}

}  // namespace detail

/// The model with these weights. Throws OptionError if an option is needed and missing, or contradicts the weights,
/// FileError that names another family and the function that loads it, lists all missing, surplus and misshapen
/// tensors, or names invalid metadata of our own.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
[[nodiscard]] Model model_from(const TensorTable& found, const LoadOptions& options = {}) {
  detail::check_family<Family>(found);
  std::optional<TensorTable> changed;
  const TensorTable& weights = detail::in_published_form<Family>(found, changed);
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
    throw file_error(weights.source(), "the model in it needs more memory than is available");
  }
}

namespace detail {

/// The model with these weights, of the first of the families whose marker they have.
template <crate::Scalar S, class List, class Family, class... Others>
[[nodiscard]] AnyModel<S, List> any_model_from(const TensorTable& weights, const LoadOptions& options,
                                               std::tuple<Family, Others...>) {
  if (is_of_family<Family>(weights)) return model_from<typename Family::template Model<S>>(weights, options);
  if constexpr (sizeof...(Others) > 0)
    return any_model_from<S, List>(weights, options, std::tuple<Others...>());
  else
    throw no_family_error<List>(weights);
}

}  // namespace detail

/// The model with these weights, of the family in the list that has such tensors. Throws as model_from.
template <Scalar S, class List = Families>
[[nodiscard]] AnyModel<S, List> any_model_from(const TensorTable& weights, const LoadOptions& options = {}) {
  return detail::any_model_from<S, List>(weights, options, List());
}

/// Loads the model in a file, published (.pth or safetensors) or our own. Throws as read_weights and model_from.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
requires(!Scalar<Model>) [[nodiscard]] Model
    load_model(const std::filesystem::path& path, const LoadOptions& options = {}) {
  return model_from<Model, Family>(read_weights(path, options.weights_at), options);
}
template <Scalar S, class List = Families>
[[nodiscard]] AnyModel<S, List> load_model(const std::filesystem::path& path, const LoadOptions& options = {}) {
  return any_model_from<S, List>(read_weights(path, options.weights_at), options);
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
[[nodiscard]] CrateMaskedAutoencoder<S> load_masked_autoencoder(const std::filesystem::path& path,
                                                                const LoadOptions& options = {}) {
  return load_model<CrateMaskedAutoencoder<S>>(path, options);
}
template <Scalar S>
[[nodiscard]] TransformerClassifier<S> load_vision_transformer(const std::filesystem::path& path,
                                                               const LoadOptions& options = {}) {
  return load_model<TransformerClassifier<S>>(path, options);
}

}  // namespace crate
