// SPDX-License-Identifier: MIT
#include "compress_tokens/source.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compress_tokens/text.hpp"
#include "crate/core/detail/count_of.hpp"
#include "crate/io/formats/csv.hpp"
#include "crate/io/formats/detail/maybe_gzip.hpp"
#include "crate/io/formats/npy.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/io/formats/text_file.hpp"
#include "crate/io/pictures/image.hpp"

namespace compress_tokens {

namespace {

using crate::detail::count_of;

[[nodiscard]] Source toy_source(const ToyOptions& options) {
  Toy toy = draw_toy(options);
  std::string description = text("toy: %s of width %td from %s of dimension %td, noise %g, seed %llu",
                                 count_of(options.tokens, "token").c_str(), options.width,
                                 count_of(options.subspaces, "random subspace").c_str(), options.dim, options.noise,
                                 static_cast<unsigned long long>(options.seed));
  Matrix tokens = toy.tokens;
  return {std::move(description), std::move(tokens), std::move(toy)};
}

[[nodiscard]] Source photograph_source(const std::filesystem::path& path, Index side) {
  const crate::Image image = crate::read_image(path);
  const crate::PatchGrid grid = crate::patch_grid(image, side, side);
  return {text("photograph %s: %td x %td patches of %td x %td x %td values in [0, 1]", path.filename().string().c_str(),
               grid.rows, grid.columns, grid.height, grid.width, grid.channels),
          crate::tokens_from_image<double>(image, grid),
          {},
          Photograph{grid}};
}

/// The names and shapes of the first few.
[[nodiscard]] std::string names_of(const std::vector<const crate::Tensor*>& tensors) {
  constexpr std::size_t shown = 12;
  std::string names;
  for (std::size_t i = 0; i < std::min(shown, tensors.size()); ++i)
    names += (i == 0 ? "" : ", ") + crate::quote(tensors[i]->name) + " " + crate::shape_text(tensors[i]->shape);
  return tensors.size() > shown ? names + text(" and %zu more", tensors.size() - shown) : names;
}

/// The tensor of that name, otherwise the one named "tokens", otherwise the only matrix. Throws FileError if there is
/// none, or several matrices.
[[nodiscard]] const crate::Tensor& find_tokens(const crate::TensorTable& table,
                                               const std::optional<std::string>& name) {
  if (name) return table.at(*name);
  if (const crate::Tensor* const tokens = table.find("tokens")) return *tokens;
  std::vector<const crate::Tensor*> matrices;
  for (const crate::Tensor& tensor : table.tensors())
    if (tensor.shape.size() == 2) matrices.push_back(&tensor);
  if (matrices.empty()) throw crate::file_error(table.source(), "expected a matrix [tokens, width], found none");
  if (matrices.size() > 1)
    throw crate::file_error(table.source(),
                            "expected --tensor to choose one of its matrices, found several: ", names_of(matrices));
  return *matrices.front();
}

/// Of [sets, tokens, width], as run_model --layers writes them, all sets as one.
[[nodiscard]] crate::Tensor as_one_set(crate::Tensor tokens) {
  if (tokens.shape.size() == 3) tokens.shape = {tokens.shape[0] * tokens.shape[1], tokens.shape[2]};
  return tokens;
}

[[nodiscard]] Matrix read_npy_tokens(const std::filesystem::path& path) {
  const crate::TensorTable table = crate::read_npy(path);
  const crate::Tensor& array = table.at("array");
  if (array.shape.size() != 2)
    throw crate::file_error(
        path.string(), "expected an array of shape [tokens, width], found ", crate::shape_text(array.shape),
        array.shape.size() > 2 ? ": save a.reshape(len(a), -1) if each of its items is a token" : "");
  return crate::tokens_from_numbers<double>(array);
}

[[nodiscard]] Source tokens_source(const std::filesystem::path& path, Matrix tokens) {
  return {text("%s: %s of width %td", path.filename().string().c_str(), count_of(tokens.cols(), "token").c_str(),
               tokens.rows()),
          std::move(tokens)};
}

/// The classes that an earlier run of this program wrote: the tensor `labels` [N], and their names in the metadata
/// "classes", one per line; nothing if the file has not both for N tokens. Throws FileError on a label without a name.
[[nodiscard]] std::optional<Labels> labels_in(const crate::TensorTable& table, Index tokens) {
  const crate::Tensor* const tensor = table.find("labels");
  const std::string* const names = table.find_metadata("classes");
  if (tensor == nullptr || names == nullptr || tensor->shape != std::vector<Index>{tokens}) return std::nullopt;
  Labels labels{.classes = crate::lines_in(*names), .of_tokens = {}};
  for (const std::int64_t label : crate::integers_from(*tensor)) {
    if (label < 0 || label >= std::ssize(labels.classes))
      throw crate::tensor_error(*tensor, "expected numbers from 0 to below ", labels.classes.size(),
                                ", the number of names in the metadata 'classes', found ", label);
    labels.of_tokens.push_back(label);
  }
  return labels;
}

[[nodiscard]] Source safetensors_source(const std::filesystem::path& path, const std::optional<std::string>& name) {
  const crate::TensorTable table = crate::read_safetensors(path);
  Source source = tokens_source(path, crate::tokens_from_numbers<double>(as_one_set(find_tokens(table, name))));
  source.labels = labels_in(table, source.tokens.cols());
  if (source.labels) source.description += ", labels of " + count_of(source.labels->classes.size(), "class");
  return source;
}

[[nodiscard]] Source csv_source(const std::filesystem::path& path, const crate::CsvOptions& options) {
  crate::CsvTable table = crate::parse_csv_table(crate::detail::read_unpacked(path), path.string(), options);
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
      return safetensors_source(path, options.tensor);
    case InputKind::npy:
      return tokens_source(path, read_npy_tokens(path));
    case InputKind::photograph:
      return photograph_source(path, options.patch);
    case InputKind::unknown:
      break;
  }
  throw crate::file_error(path.string(), "expected .csv, .npy, .safetensors, .png or .jpg, found '",
                          path.extension().string(), "'",
                          lower_case_extension(path) == ".gz" ? ": unpack it by gunzip" : "");
}

/// The squares of smaller and larger tokens, and of what is computed of them, would be no normal numbers.
void check_size_of_tokens(const Matrix& tokens) {
  constexpr double least = 1e-100, most = 1e100;
  if (!tokens.allFinite() || tokens.size() == 0)
    throw crate::FileError("tokens: expected finite numbers, found nan or infinity");
  const double largest = tokens.cwiseAbs().maxCoeff();
  if (largest == 0) throw crate::FileError("tokens: expected numbers that are not all zero, found only zeros");
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
