// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <array>
#include <filesystem>

#include "crate/io/families/published_names.hpp"
#include "crate/io/families/weights.hpp"
#include "crate/io/formats/safetensors.hpp"

// Files of any layer, block or model, also of one of your own: its parameters under their own names, such as
// "compress.norm.weight". For models that others load, or that load without being made first, see save_model.hpp.

namespace crate {

namespace detail {

inline constexpr std::array own_names{PublishedName{"", ""}};

}  // namespace detail

/// Writes all parameters as safetensors; sizes and options are not in the file. Throws FileError if it cannot be
/// written.
template <class Model>
void save_parameters(const std::filesystem::path& path, const Model& model) {
  write_safetensors(path, published_tensors(model, detail::own_names));
}

/// Fills a model of the same structure and sizes as the one that was saved; numbers are converted to its scalar. Throws
/// FileError that lists what is missing, surplus or of another shape, or names a tensor with numbers that are not
/// finite; the model is then unchanged.
template <class Model>
void load_parameters(const std::filesystem::path& path, Model& model) {
  load_weights(model, read_safetensors(path), detail::own_names);
}

}  // namespace crate
