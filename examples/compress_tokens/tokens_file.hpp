// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compress_tokens/source.hpp"
#include "compress_tokens/train.hpp"
#include "compress_tokens/white_box.hpp"

namespace compress_tokens {

/// What the program leaves for other tools, all row-major:
///   tokens, codes, decoded [N, d]       the input, the encoder's output, the decoder's output
///   membership [N]                      the subspace of each token
///   labels [N]                          the class of each token, if the input has labels; "classes" of the metadata
///                                       names them, a line each, and "read_as" says what was taken for what
///                                       in the input
///   subspaces [K, p, d]                 row (k, j) is column j of U_k
///   dictionary [d, d]                   D = D^1 ... D^L; without compression steps, decoded = codes D^T
///   encoder.layers.<l>...., decoder...  their U^l as [K p, d] and D^l as [d, d], trained if they were
struct TokensFile {
  const Matrix& tokens;
  const Matrix& codes;
  const Matrix& decoded;
  const std::vector<Index>& membership;
  const std::optional<Labels>& labels;
  const std::vector<std::string>& notes;
  const Weights& weights;
  const Autoencoder& autoencoder;
  const Strength& strength;
  std::string subspaces_from;
  std::string dictionary_from;

  /// Throws FileError if the file cannot be written, PrecisionError, and writes nothing, if a number in it is not
  /// finite.
  void write(const std::filesystem::path& path) const;
};

}  // namespace compress_tokens
