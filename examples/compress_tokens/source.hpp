// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "compress_tokens/options.hpp"
#include "compress_tokens/toy.hpp"
#include "crate/io/pictures/image_patches.hpp"

// Where the tokens come from: the toy, a file of tokens, or a photograph.

namespace compress_tokens {

/// How tokens turn into a picture again.
struct Photograph {
  crate::PatchGrid grid;

  [[nodiscard]] crate::Image picture(const Matrix& tokens) const { return crate::image_from_tokens(tokens, grid); }
  [[nodiscard]] double pixels() const { return static_cast<double>(grid.patches() * grid.height * grid.width); }
};

/// The labels that came with the tokens.
struct Labels {
  std::vector<std::string> classes;
  std::vector<Index> of_tokens;  ///< indices of classes
};

struct Source {
  std::string description = {};
  Matrix tokens;  ///< d x N
  std::optional<Toy> toy = {};
  std::optional<Photograph> photograph = {};
  std::optional<Labels> labels = {};
  std::vector<std::string> notes = {};  ///< what was taken for names, row numbers and labels in a file of text

  /// What rates are stated in: the pixels, or the tokens.
  [[nodiscard]] double rate_units() const {
    return photograph ? photograph->pixels() : static_cast<double>(tokens.cols());
  }
  /// ||Z - mean||_F^2.
  [[nodiscard]] double variation() const { return (tokens.colwise() - tokens.rowwise().mean()).squaredNorm(); }
  /// The class of each token; none without labels.
  [[nodiscard]] std::vector<Index> classes() const { return labels ? labels->of_tokens : std::vector<Index>(); }
  /// How far a squared error lies below the full range of the pixels (PSNR), or below what varies of the tokens; at
  /// most 320.
  [[nodiscard]] double decibels(double squared_error) const {
    const double full = photograph ? static_cast<double>(tokens.size()) : variation();
    return 10 * std::log10(full / std::max(squared_error, 1e-32 * full));
  }
};

/// The toy, or what the input file holds. Throws FileError, ShapeError or OptionError for what cannot be read or
/// drawn, FileError for tokens whose squares would overflow or underflow.
[[nodiscard]] Source load_source(const Options& options);

}  // namespace compress_tokens
