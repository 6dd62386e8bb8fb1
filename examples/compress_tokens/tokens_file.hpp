// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compress_tokens/source.hpp"

namespace compress_tokens {

/// What the program leaves for other tools beside the white box itself:
///   tokens, codes, decoded [N, d]       the input, the encoder's output, the decoder's output
///   membership [N]                      the subspace that each token has most to do with, from 0
///   labels [N]                          the class of each token, if the input has labels; "classes" of the metadata
///                                       names them, a line each, and "read_as" says what was taken for what
///                                       in the input
struct TokensFile {
  const Matrix& tokens;
  const Matrix& codes;
  const Matrix& decoded;
  const std::vector<Index>& membership;
  const std::optional<Labels>& labels;
  const std::vector<std::string>& notes;

  /// Throws FileError if the file cannot be written, PrecisionError, and writes nothing, if a number in it is not
  /// finite.
  void write(const std::filesystem::path& path) const;
};

}  // namespace compress_tokens
