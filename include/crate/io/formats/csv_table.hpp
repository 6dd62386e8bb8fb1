// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crate/core/matrix.hpp"

// Options of reading CSV text, and the result.

namespace crate {

/// Whether a CSV file has a header line, or an index column.
enum class CsvPart {
  automatic,  ///< decide from the file
  present,
  absent
};

struct CsvOptions {
  /// Whether the first line names the columns. Automatically: if none of its fields begins like a number; if one
  /// does not and the second line has a number there; or if they are 0, 1, 2, ..., as pandas numbers columns (the
  /// first field may be empty).
  CsvPart header = CsvPart::automatic;
  /// Whether the first column counts or names the lines. Automatically: if it has no name although others have one, or
  /// a name such as "id" or "index" and the numbers 0, 1, 2, ... or 1, 2, 3, ...; such numbers alone are an error,
  /// because they may be either.
  CsvPart index = CsvPart::automatic;
  /// The column of labels, by its name, or its number from 1.
  std::optional<std::string> labels = {};
  /// The columns of coordinates, in order, by name or number; all others if empty.
  std::vector<std::string> columns = {};
};

struct CsvTable {
  Matrix<double> tokens = {};             ///< d x N
  std::vector<std::string> columns = {};  ///< the names of the d coordinates; empty if the file has none
  std::vector<std::string> classes = {};  ///< the distinct labels, sorted: numbers by size, other text by bytes
  std::vector<Index> labels = {};         ///< of each token, an index of classes; empty without a column of labels
  std::vector<std::string> notes = {};    ///< how the file was interpreted, and what was left out: one sentence each
};

}  // namespace crate
