// SPDX-License-Identifier: MIT
#include "compress_tokens/source.hpp"

#include <filesystem>
#include <utility>

#include "compress_tokens/text.hpp"
#include "crate/io/formats/csv.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/io/pictures/image.hpp"

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

[[nodiscard]] Source tokens_source(const std::filesystem::path& path, Matrix tokens) {
  return {text("%s: %td tokens of width %td", path.filename().string().c_str(), tokens.cols(), tokens.rows()),
          std::move(tokens)};
}

[[nodiscard]] Source csv_source(const std::filesystem::path& path, const crate::CsvOptions& options) {
  crate::CsvTable table = crate::read_csv_table(path, options);
  Source source = tokens_source(path, std::move(table.tokens));
  source.notes = std::move(table.notes);
  if (!table.labels.empty()) source.labels = Labels{std::move(table.classes), std::move(table.labels)};
  return source;
}

[[nodiscard]] Source source_of(const Options& options) {
  const std::filesystem::path& path = options.input;
  switch (options.input_kind()) {
    case InputKind::toy:
      return toy_source(options.toy);
    case InputKind::csv:
      return csv_source(path, options.csv);
    case InputKind::safetensors:
      return tokens_source(path, read_matrix(path));
    case InputKind::photograph:
      return photograph_source(path, options.patch);
    case InputKind::unknown:
      break;
  }
  throw crate::file_error(path.string(), "expected .csv, .safetensors, .png or .jpg, found '",
                          path.extension().string(), "'");
}

/// The squares of smaller and larger tokens, and of what is computed of them, would be no normal numbers.
void check_size_of_tokens(const Matrix& tokens) {
  constexpr double least = 1e-100, most = 1e100;
  if (!tokens.allFinite() || tokens.size() == 0)
    throw crate::FileError("tokens: expected finite numbers, found others");
  const double largest = tokens.cwiseAbs().maxCoeff();
  if (largest == 0) throw crate::FileError("tokens: expected numbers that are not all zero, found zeros alone");
  if (largest < least || largest > most)
    throw crate::FileError(text("tokens: expected a largest coordinate between %g and %g, found %g: scale the tokens",
                                least, most, largest));
}

}  // namespace

Source load_source(const Options& options) {
  Source source = source_of(options);
  check_size_of_tokens(source.tokens);
  return source;
}

}  // namespace compress_tokens
