// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "crate/io/families/find_weights.hpp"
#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/pth.hpp"
#include "crate/io/formats/safetensors.hpp"

namespace crate {

/// All tensors of a safetensors or PyTorch file. Throws FileError, with the kind of the file, if it is neither.
[[nodiscard]] inline TensorTable read_tensors(const std::filesystem::path& path) {
  auto file = std::make_shared<const FileBytes>(path);
  const std::span<const std::byte> bytes = file->bytes();
  if (detail::begins_as_safetensors(bytes)) return detail::parse_safetensors(bytes, path.string(), std::move(file));
  if (detail::begins_as_pth(bytes)) return detail::parse_pth(bytes, path.string(), std::move(file));
  throw detail::other_file_error(path.string(), "a PyTorch or safetensors file", bytes);
}

/// The weights in a safetensors or PyTorch file, under their published names, without prefixes and dicts around them.
/// `weights_at` selects one of several sets, as in `find_weights`.
/// Throws FileError if the file is neither or holds no weights.
[[nodiscard]] inline TensorTable read_weights(const std::filesystem::path& path,
                                              std::optional<std::string_view> weights_at = {}) {
  return find_weights(read_tensors(path), weights_at);
}

}  // namespace crate
