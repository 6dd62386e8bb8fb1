// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "crate/analysis/class_separation.hpp"

namespace crate {

/// lambda of the objective, in nats: what a fit takes an entry of the code to be worth at least. It keeps those above
/// twice the noise, and without one of these the log-likelihood of the token is less by 2^2 / 2.
inline constexpr double entry_cost = 2;

/// Of the tokens after one half-layer of a white box; rates in nats a token, of directions, at the box's epsilon.
struct WhiteBoxMeasures {
  std::string name;           ///< "input", "3 compress", "3 sparsify"
  double rate = 0;            ///< R(Z)
  double subspace_rate = 0;   ///< R^c(Z | U_[K])
  double partition_rate = 0;  ///< R^c(Z | Pi), which counts every token once
  double non_zero = 0;        ///< share of entries that are not zero
  double entries = 0;         ///< ||Z||_0 / N, entries a token that are not zero
  double energy = 0;          ///< ||Z||_F^2 / N, which only thresholds change while dictionaries are orthonormal
  std::optional<ClassSeparation> classes = {};  ///< where classes were told and can be compared

  [[nodiscard]] double reduction() const { return rate - subspace_rate; }             ///< R - R^c(Z | U_[K])
  [[nodiscard]] double partition_reduction() const { return rate - partition_rate; }  ///< R - R^c(Z | Pi), never < 0
  /// The sparse rate reduction of arXiv 2311.13110, R - R^c(Z | U_[K]) - lambda ||Z||_0 / N.
  [[nodiscard]] double objective() const { return reduction() - entry_cost * entries; }
};

/// What a white box does to tokens. Written to a stream, a table and sentences that say what it means.
struct WhiteBoxReport {
  std::vector<WhiteBoxMeasures> half_layers;  ///< the input first
  double decoding_error = 0;                  ///< ||Z - Z'||_F / ||Z - mean||_F of what is decoded from the codes
  double overlap = 0;               ///< largest cosine between directions of two subspaces: 0 apart, 1 sharing one
  double epsilon = 0;               ///< precision, of a token of length 1
  bool compares_all = true;         ///< whether all tokens were compared for the separation of classes, or some of them
  std::string why_no_classes = {};  ///< a sentence, where classes were told that cannot be compared

  /// Whether classes were compared, in every half-layer.
  [[nodiscard]] bool compares_classes() const;

  /// By how much R changed in the half-layers that sparsify, and in those that compress.
  [[nodiscard]] double rate_change(const std::string& kind) const;
  /// What the numbers mean, a sentence an entry.
  [[nodiscard]] std::vector<std::string> in_words() const;
};

std::ostream& operator<<(std::ostream& out, const WhiteBoxReport& report);

}  // namespace crate

#include "crate/white_box/detail/white_box_words.ipp"
