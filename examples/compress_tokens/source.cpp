// SPDX-License-Identifier: MIT
#include "compress_tokens/source.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <utility>

#include "compress_tokens/text.hpp"
#include "crate/io/csv.hpp"
#include "crate/io/image.hpp"
#include "crate/io/safetensors.hpp"

namespace compress_tokens {

namespace {

[[nodiscard]] Source toy_source(const ToyOptions& options) {
  Toy toy = draw_toy(options);
  std::string description = text(
      "toy: %td tokens of width %td from %td random subspaces of dimension %td, noise %g, seed %llu", options.tokens,
      options.width, options.subspaces, options.dim, options.noise, static_cast<unsigned long long>(options.seed));
  Matrix tokens = toy.tokens;
  return {std::move(description), std::move(tokens), std::move(toy)};
}

[[nodiscard]] Source photograph_source(const std::filesystem::path& path, Index side) {
  const crate::Image image = crate::read_image(path);
  const crate::PatchGrid grid = crate::patch_grid(image, side, side);
  const Matrix patches = crate::tokens_from_image<double>(image, grid);
  const crate::Vector<double> mean = patches.rowwise().mean();
  return {text("photograph %s: %td x %td patches of %td x %td x %td values in [0, 1], their mean patch subtracted",
               path.filename().string().c_str(), grid.rows, grid.columns, grid.height, grid.width, grid.channels),
          patches.colwise() - mean,
          {},
          Photograph{grid, mean}};
}

/// The matrix in a safetensors file that is named "tokens", or the only one. Throws FileError if there is none, or
/// several.
[[nodiscard]] Matrix read_matrix(const std::filesystem::path& path) {
  const crate::TensorTable table = crate::read_safetensors(path);
  const crate::Tensor* found = table.find("tokens");
  if (found != nullptr) return crate::tokens_from<double>(*found);
  for (const crate::Tensor& tensor : table.tensors()) {
    if (tensor.shape.size() != 2) continue;
    if (found != nullptr) throw crate::file_error(path.string(), "expected one matrix, or one named 'tokens'");
    found = &tensor;
  }
  if (found == nullptr) throw crate::file_error(path.string(), "expected a matrix [tokens, width], found none");
  return crate::tokens_from<double>(*found);
}

[[nodiscard]] Source file_source(const std::filesystem::path& path, Index patch_side) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  if (extension == ".png" || extension == ".jpg" || extension == ".jpeg") return photograph_source(path, patch_side);
  Matrix tokens;
  if (extension == ".csv" || extension == ".tsv" || extension == ".txt")
    tokens = crate::read_csv(path);
  else if (extension == ".safetensors")
    tokens = read_matrix(path);
  else
    throw crate::file_error(path.string(), "expected .csv, .safetensors, .png or .jpg, found '", extension, "'");
  return {text("%s: %td tokens of width %td", path.filename().string().c_str(), tokens.cols(), tokens.rows()),
          std::move(tokens)};
}

}  // namespace

Source load_source(const Options& options) {
  Source source = options.input.empty() ? toy_source(options.toy) : file_source(options.input, options.patch);
  if (!source.tokens.allFinite() || source.tokens.size() == 0 || source.tokens.squaredNorm() == 0)
    throw crate::FileError("tokens: expected finite numbers that are not all equal, found others");
  return source;
}

}  // namespace compress_tokens
