// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "compress_tokens/toy.hpp"
#include "crate/io/csv.hpp"
#include "crate/operators/compression.hpp"

namespace compress_tokens {

/// Where the dictionary comes from.
enum class DictionarySource {
  automatic,  ///< the subspaces if they share no direction, otherwise the tokens
  subspaces,  ///< the bases of the subspaces
  tokens      ///< the sparsest orthonormal basis found for the tokens
};

/// What the command line says. An empty optional stands for a default that depends on the tokens.
struct Options {
  std::filesystem::path input = {};  ///< the toy if empty
  crate::CsvOptions csv = {};        ///< how the input is read if it is CSV
  Index patch = 8;
  ToyOptions toy = {};
  std::optional<Index> subspaces = {}, dim = {};
  bool estimate = false;
  DictionarySource dictionary = DictionarySource::automatic;
  crate::CompressionStep step = crate::CompressionStep::exact;
  Index depth = 4;
  std::optional<double> epsilon = {}, lambda = {};
  double kappa = 0.1;
  double weight = 0.5;
  Index train_steps = 0;  ///< of training; none if 0
  std::uint64_t seed = 0;
  int threads = 0;
  std::filesystem::path output = "compressed";

  [[nodiscard]] bool asks_for_csv() const {
    return !csv.labels.empty() || !csv.columns.empty() || csv.header != crate::CsvPart::automatic ||
           csv.index != crate::CsvPart::automatic;
  }
};

/// Reads the command line. If the program should end now (help was asked for, or the line is wrong), everything has
/// been printed and the exit code is returned in `exit_code`.
[[nodiscard]] std::optional<Options> read_options(int argc, char** argv, int& exit_code);

}  // namespace compress_tokens
