// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>

#include "crate/core/detail/number_text.hpp"
#include "crate/io/families/settings.hpp"
#include "crate/io/families/weights.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/white_box/white_box.hpp"

// White boxes in safetensors files: parameters under their own names ("encoder.layers.0.compress.subspaces", ...), and
// every setting in the metadata.

namespace crate {

namespace detail {

inline constexpr std::string_view white_box_family = "white_box";
inline constexpr std::array white_box_names{PublishedName{"mean", "mean"}, PublishedName{"encoder.", "encoder."},
                                            PublishedName{"decoder.", "decoder."},
                                            PublishedName{"code_subspaces", "code_subspaces"}};

/// The number under `key` in the metadata. Throws FileError unless it is at least 1.
[[nodiscard]] inline Index count_in_metadata(const TensorTable& table, std::string_view key) {
  const std::string* const found = table.find_metadata(key);
  const auto number = found != nullptr ? number_from_text<Index>(*found) : std::nullopt;
  if (!number || *number < 1)
    throw file_error(table.source(), "metadata ", quote(std::string(key)), ": expected a number >= 1, found ",
                     found != nullptr ? quote(*found) : "none");
  return *number;
}

/// The shape of the matrix with this name. Throws FileError if there is none.
[[nodiscard]] inline std::array<Index, 2> matrix_shape(const TensorTable& table, std::string_view name) {
  const Tensor* const tensor = table.find(name);
  if (tensor == nullptr || tensor->shape.size() != 2 || tensor->shape[0] < 1 || tensor->shape[1] < 1)
    throw file_error(table.source(), "expected the matrix ", quote(std::string(name)), " of a white box, found ",
                     tensor != nullptr ? shape_text(tensor->shape) : "none");
  return {tensor->shape[0], tensor->shape[1]};
}

/// A white box of zeros with the sizes that the file states. Throws FileError if its tensors have other sizes, so that
/// a small file cannot cause large allocations.
template <crate::Scalar S>
[[nodiscard]] WhiteBox<S> empty_white_box(const TensorTable& table) {
  const Index heads = count_in_metadata(table, "crate.heads"), depth = count_in_metadata(table, "crate.depth");
  const auto [width, dim] = matrix_shape(table, "code_subspaces");
  const auto dictionary = matrix_shape(table, "encoder.layers.0.sparsify.dictionary");
  const auto tensors = static_cast<Index>(table.tensors().size());
  if (width % heads != 0 || dictionary != std::array<Index, 2>{dim, dim} || (tensors - 2) % 4 != 0 ||
      (tensors - 2) / 4 != depth)
    throw file_error(table.source(), "expected the tensors of a white box with ", depth, " layers and ", heads,
                     " subspaces of tokens of width ", dim, ", found tensors of other names or sizes");
  for (Index l = 0; l < depth; ++l) {
    const std::string layer = concatenate(".layers.", l);
    const std::array<Index, 2> square{dim, dim}, bases{width, dim};
    if (matrix_shape(table, "encoder" + layer + ".sparsify.dictionary") != square ||
        matrix_shape(table, "decoder" + layer + ".expand.dictionary") != square ||
        matrix_shape(table, "encoder" + layer + ".compress.subspaces") != bases ||
        matrix_shape(table, "decoder" + layer + ".decompress.subspaces") != bases)
      throw file_error(table.source(), "expected layer ", l, " of a white box for tokens of width ", dim,
                       ", found other sizes");
  }
  const WhiteBoxBlockOptions block{.layers = {.dim = dim, .heads = heads, .head_dim = width / heads}};
  return {Matrix<S>::Zero(dim, 1),
          {depth, block},
          {depth, block},
          Subspaces<Matrix<S>>(Matrix<S>::Zero(dim, width), heads),
          count_in_metadata(table, "crate.fitted_tokens")};
}

/// Sets the settings of the layers from the metadata. Throws FileError if one is missing or invalid.
template <crate::Scalar S>
void read_settings(WhiteBox<S>& box, const TensorTable& table) {
  std::string key;
  try {
    for (const ListedLayer& layer : list_layers(box)) {
      for (const ListedSetting& setting : layer.settings) {
        key = "crate." + setting.name;
        const std::string* const text = table.find_metadata(key);
        if (text == nullptr) throw Error("expected a setting, found none");
        setting.set(*text);
      }
      key = "crate." + layer.name;
      layer.check_settings();
    }
  } catch (const Error& error) { throw file_error(table.source(), "metadata ", quote(key), ": ", error.what()); }
}

}  // namespace detail

/// Writes the white box, and the caller's own texts into the metadata, where keys "crate." are the library's. Throws
/// FileError if the file cannot be written.
template <crate::Scalar S>
void save_white_box(const std::filesystem::path& path, const WhiteBox<S>& box, const Metadata& further = {}) {
  Metadata metadata{{"crate.family", std::string(detail::white_box_family)},
                    {"crate.heads", detail::number_text(box.subspaces().heads())},
                    {"crate.depth", detail::number_text(box.depth())},
                    {"crate.fitted_tokens", detail::number_text(box.fitted_tokens)}};
  for (const detail::ListedLayer& layer : detail::list_layers(box))
    for (const detail::ListedSetting& setting : layer.settings)
      metadata.emplace_back("crate." + setting.name, setting.text());
  metadata.insert(metadata.end(), further.begin(), further.end());
  write_safetensors(path, published_tensors(box, detail::white_box_names), metadata);
}

/// Loads a white box written by save_white_box; it computes the same bits. Throws FileError on any other file.
template <crate::Scalar S = double>
[[nodiscard]] WhiteBox<S> load_white_box(const std::filesystem::path& path) {
  const TensorTable table = read_safetensors(path);
  const std::string* const family = table.find_metadata("crate.family");
  if (family == nullptr || *family != detail::white_box_family)
    throw file_error(table.source(), "metadata 'crate.family': expected 'white_box', found ",
                     family != nullptr ? quote(*family) : "none");
  WhiteBox<S> box = detail::empty_white_box<S>(table);
  load_weights(box, table, detail::white_box_names);
  detail::read_settings(box, table);
  return box;
}

}  // namespace crate
