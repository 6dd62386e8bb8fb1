// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "crate/analysis/class_separation.hpp"

namespace crate {

/// Of the tokens after one half-layer of a white box; rates in nats a token, of directions, at the box's epsilon.
struct WhiteBoxMeasures {
  std::string name;           ///< "input", "3 compress", "3 sparsify"
  double rate = 0;            ///< R(Z)
  double subspace_rate = 0;   ///< R^c(Z | U_[K])
  double partition_rate = 0;  ///< R^c(Z | Pi), which counts every token once
  double non_zero = 0;        ///< share of entries that are not zero
  double energy = 0;          ///< ||Z||_F^2 / N, which only thresholds change while dictionaries are orthonormal
  std::optional<ClassSeparation> classes = {};

  [[nodiscard]] double reduction() const { return rate - subspace_rate; }             ///< R - R^c(Z | U_[K])
  [[nodiscard]] double partition_reduction() const { return rate - partition_rate; }  ///< R - R^c(Z | Pi), never < 0
};

/// What a white box does to tokens. Written to a stream, a table and sentences that say what it means.
struct WhiteBoxReport {
  std::vector<WhiteBoxMeasures> half_layers;  ///< the input first
  double decoding_error = 0;                  ///< ||Z - Z'||_F / ||Z - mean||_F of what is decoded from the codes
  double overlap = 0;        ///< largest cosine between directions of two subspaces: 0 apart, 1 sharing one
  double epsilon = 0;        ///< precision, of a token of length 1
  bool compares_all = true;  ///< whether all tokens were compared for the separation of classes, or some of them

  /// By how much R changed in the half-layers that sparsify, and in those that compress.
  [[nodiscard]] double rate_change(const std::string& kind) const;
  /// What the numbers mean, a sentence an entry.
  [[nodiscard]] std::vector<std::string> in_words() const;
};

std::ostream& operator<<(std::ostream& out, const WhiteBoxReport& report);

}  // namespace crate

#include "crate/white_box/detail/white_box_words.ipp"
