// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "crate/analysis/class_separation.hpp"

namespace crate {

/// lambda of the objective, in nats: the least worth of an entry of the code in the fit. The fit keeps entries above
/// twice the noise; dropping such an entry lowers the log-likelihood of the token by at least 2^2 / 2.
inline constexpr double entry_cost = 2;

/// Measures of the tokens after one half-layer; rates in nats per token, of directions, at the box's epsilon.
struct WhiteBoxMeasures {
  std::string name;           ///< "input", "3 compress", "3 sparsify"
  double rate = 0;            ///< R(Z)
  double subspace_rate = 0;   ///< R^c(Z | U_[K])
  double partition_rate = 0;  ///< R^c(Z | Pi), which codes every token once
  double non_zero = 0;        ///< share of non-zero entries
  double entries = 0;         ///< ||Z||_0 / N, non-zero entries per token
  double energy = 0;          ///< ||Z||_F^2 / N; only thresholds change it while dictionaries are orthonormal
  std::optional<ClassSeparation> classes = {};  ///< if classes were given and can be compared

  [[nodiscard]] double reduction() const { return rate - subspace_rate; }             ///< R - R^c(Z | U_[K])
  [[nodiscard]] double partition_reduction() const { return rate - partition_rate; }  ///< R - R^c(Z | Pi), never < 0
  /// The sparse rate reduction of arXiv 2311.13110, R - R^c(Z | U_[K]) - lambda ||Z||_0 / N.
  [[nodiscard]] double objective() const { return reduction() - entry_cost * entries; }
};

/// What a white box does to tokens. Written to a stream, it is a table with sentences that explain it.
struct WhiteBoxReport {
  std::vector<WhiteBoxMeasures> half_layers;  ///< the input first
  double decoding_error = 0;                  ///< ||Z - Z'||_F / ||Z - mean||_F with Z' decoded from the codes
  double overlap = 0;               ///< largest cosine between two subspaces: 0 orthogonal, 1 sharing a direction
  double epsilon = 0;               ///< precision, for tokens of length 1
  bool compares_all = true;         ///< whether the separation of classes compares all tokens, or a sample
  std::string why_no_classes = {};  ///< a sentence, if classes were given that cannot be compared

  /// Whether classes were compared, in every half-layer.
  [[nodiscard]] bool compares_classes() const;

  /// The change of R over the half-layers of a kind, "sparsify" or "compress".
  [[nodiscard]] double rate_change(const std::string& kind) const;
  /// What the numbers mean, one sentence per entry.
  [[nodiscard]] std::vector<std::string> in_words() const;
};

std::ostream& operator<<(std::ostream& out, const WhiteBoxReport& report);

}  // namespace crate

#include "crate/white_box/detail/white_box_words.ipp"
