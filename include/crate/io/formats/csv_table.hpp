// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crate/core/matrix.hpp"

// What is asked of CSV text, and what comes of it.

namespace crate {

/// Whether a file has something that could be taken for tokens.
enum class CsvPart {
  automatic,  ///< if it evidently has
  present,
  absent
};

struct CsvOptions {
  /// The first line names the columns. Evident if none of its fields means to be a number; if one does not where the
  /// second line has a number; and if they count 0, 1, 2, ..., as pandas numbers columns (the first field may be
  /// empty).
  CsvPart header = CsvPart::automatic;
  /// The first column counts or names the lines. Evident if it has no name though others have, or one such as "id" or
  /// "index" and the numbers 0, 1, 2, ... or 1, 2, 3, ...; such numbers alone are an error, as they may be either.
  CsvPart index = CsvPart::automatic;
  /// The column of labels, by its name, or counted from 1.
  std::optional<std::string> labels = {};
  /// The columns that are coordinates, in order, named likewise; all others if empty.
  std::vector<std::string> columns = {};
};

struct CsvTable {
  Matrix<double> tokens = {};             ///< d x N
  std::vector<std::string> columns = {};  ///< the names of the d coordinates; empty if the file has none
  std::vector<std::string> classes = {};  ///< the labels that occur, each once: numbers by size, other text by bytes
  std::vector<Index> labels = {};         ///< of each token, an index of classes; empty without a column of labels
  std::vector<std::string> notes = {};    ///< what was taken for what, and left out: a sentence each
};

}  // namespace crate
