// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), beside Eigen.
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
[[nodiscard]] inline TensorTable read_weights(const std::filesystem::path& path,
                                              std::optional<std::string_view> weights_at = {}) {
  return find_weights(read_tensors(path), weights_at);
}

}  // namespace crate
