// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "compress_tokens/toy.hpp"
#include "crate/io/formats/csv.hpp"
#include "crate/white_box/fit_white_box.hpp"

namespace compress_tokens {

enum class InputKind { toy, csv, npy, safetensors, photograph, unknown };

/// ".csv" of "a.CSV".
[[nodiscard]] inline std::string lower_case_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension;
}

/// The kind of a file according to its extension, of CSV also before ".gz"; the toy if the name is empty.
[[nodiscard]] inline InputKind kind_of_input(const std::filesystem::path& path) {
  if (path.empty()) return InputKind::toy;
  const bool is_packed = lower_case_extension(path) == ".gz";
  const std::string extension = lower_case_extension(is_packed ? path.stem() : path);
  if (extension == ".csv" || extension == ".tsv" || extension == ".txt") return InputKind::csv;
  if (is_packed) return InputKind::unknown;
  if (extension == ".png" || extension == ".jpg" || extension == ".jpeg") return InputKind::photograph;
  if (extension == ".npy") return InputKind::npy;
  return extension == ".safetensors" ? InputKind::safetensors : InputKind::unknown;
}

/// What the command line says.
struct Options {
  std::filesystem::path input = {};        ///< the toy if empty
  crate::CsvOptions csv = {};              ///< how the input is read if it is CSV
  std::optional<std::string> tensor = {};  ///< which tensor of the file
  Index patch = 8;
  ToyOptions toy = {};
  crate::WhiteBoxOptions fit = {};
  std::filesystem::path load = {};  ///< a white box from an earlier run; empty: fit one
  Index train_steps = 0;            ///< of training; none if 0
  std::uint64_t seed = 0;
  int threads = 1;
  bool is_verbose = false;
  std::filesystem::path output = "compressed";

  [[nodiscard]] InputKind input_kind() const { return kind_of_input(input); }
  [[nodiscard]] bool asks_for_csv() const {
    return csv.labels || !csv.columns.empty() || csv.header != crate::CsvPart::automatic ||
           csv.index != crate::CsvPart::automatic;
  }
};

/// Why an option would have no effect; empty if it has one.
[[nodiscard]] inline std::string_view why_without_effect(std::string_view option, const Options& options) {
  const InputKind input = options.input_kind();
  const auto is_among = [option](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), option) != names.end();
  };
  const bool is_toy = input == InputKind::toy, is_loaded = !options.load.empty();
  if (!is_toy && is_among({"--width", "--tokens", "--noise"})) return "--input gives the tokens";
  if (input != InputKind::photograph && option == "--patch") return "--input is not a photograph";
  if (input != InputKind::csv && is_among({"--labels", "--columns", "--header", "--index"}))
    return "--input is not a CSV file (.csv, .tsv, .txt, also with .gz)";
  if (input != InputKind::safetensors && option == "--tensor") return "--input is not a safetensors file";
  const bool is_of_fit = is_among({"--epsilon", "--kappa", "--depth", "--non-zero", "--step", "--verbose"});
  if (is_loaded && (is_of_fit || (!is_toy && is_among({"--subspaces", "--dim"}))))
    return "--load gives a white box that is already fitted";
  if (is_loaded && !is_toy && options.train_steps == 0 && option == "--seed")
    return "nothing is drawn at random: --load gives the white box and --input the tokens";
  return {};
}

void add_options(CLI::App& app, Options& options);

/// Passes on what several parts of the program share. Throws OptionError on options that are out of range or have no
/// effect.
void complete_options(const CLI::App& app, Options& options);

}  // namespace compress_tokens
