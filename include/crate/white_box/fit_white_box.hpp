// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "crate/analysis/estimate_dictionary.hpp"
#include "crate/analysis/estimate_subspaces.hpp"
#include "crate/core/detail/count_of.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/operators/compression.hpp"
#include "crate/white_box/white_box.hpp"

// Fits a white box to tokens. Options that are not set are chosen from the tokens.

namespace crate {

struct WhiteBoxOptions {
  std::optional<Index> subspaces = {};  ///< K >= 1; default: that of the size tried which saves most, see below
  std::optional<Index> dim = {};        ///< p >= 1; default: as for subspaces
  std::optional<double> epsilon = {};   ///< > 0, for tokens of length 1; default: what the subspaces leave out
  std::optional<double> kappa = {};     ///< of the compression steps, in units of N epsilon^2 / d (for an exact step,
                                        ///< N epsilon^2 / (p ||U||^2)); default: 1, or 0.1 for tokens without subspaces
  std::optional<Index> depth = {};      ///< L >= 1; default: see below
  std::optional<double> non_zero = {};  ///< share of non-zero entries of the code, in (0, 1]; default: those above
                                        ///< twice the noise, at most 0.3
  std::optional<double> dictionary_threshold = {};  ///< t of estimate_dictionary; default: twice the noise
  std::optional<double> softening = {};  ///< of directions; default: 0.1 times the tokens' root mean square length
  CompressionStep step = CompressionStep::soft_partition;
  double logit_scale = 8;  ///< of the soft partition
  /// Iterations per layer of the decoder, >= 1; default: as many as undo a step to a relative error of 1e-3, <= 24.
  std::optional<Index> inverse_iterations = {};
  std::uint64_t seed = 0;

  /// Throws OptionError if an option is out of range.
  void check() const {
    check_option(subspaces.value_or(1) >= 1, "number of subspaces >= 1", subspaces.value_or(1));
    check_option(dim.value_or(1) >= 1, "dimension of subspaces >= 1", dim.value_or(1));
    check_option(depth.value_or(1) >= 1, "depth >= 1", depth.value_or(1));
    check_option(std::isfinite(kappa.value_or(0)) && kappa.value_or(0) >= 0, "a finite kappa >= 0", kappa.value_or(0));
    check_option(non_zero.value_or(1) > 0 && non_zero.value_or(1) <= 1, "a share of non-zero entries in (0, 1]",
                 non_zero.value_or(1));
    DirectionOptions{.softening = softening.value_or(0)}.check();
    DictionaryEstimationOptions{.threshold = dictionary_threshold.value_or(0)}.check();
    CodingRateOptions{.epsilon = epsilon.value_or(1)}.check();
    check_option(std::isfinite(logit_scale), "a finite logit_scale", logit_scale);
    InverseOptions{.iterations = inverse_iterations.value_or(1)}.check();
  }
};

/// A number and dimension of subspaces, and their worth, in nats per token.
struct SubspaceChoice {
  Index subspaces = 0, dim = 0;
  double epsilon = 0;     ///< root mean square of what these subspaces leave out of a direction
  double rate = 0;        ///< R(Z) at that precision
  double reduction = 0;   ///< R - R^c(Z | U_[K])
  double saved = 0;       ///< R - R^c(Z | Pi)
  double membership = 0;  ///< cost of coding Pi: the mutual information of token and subspace
  double bases = 0;       ///< cost of coding U: one nat per parameter (Akaike), K p (d - p) / N

  [[nodiscard]] double worth() const { return saved - membership - bases; }
};

/// The record of how a white box was fitted.
struct WhiteBoxFit {
  std::vector<SubspaceChoice> tried = {};
  SubspaceChoice chosen = {};
  Index tokens = 0;     ///< N
  Index fitted_on = 0;  ///< drawn at random from these: at most 6000, or 32 per coordinate if that is more
  Index tried_on = 0;   ///< drawn at random from those, to compare the sizes of subspaces: at most 2048
  double noise = 0;     ///< standard deviation per coordinate: median |D^T z| / 0.6745 (Donoho and Johnstone, 1994)
  double non_zero = 0;  ///< target share of the code's non-zero entries

  /// Whether the tokens fall into subspaces, i.e. whether knowing the subspaces saves more than coding them costs.
  [[nodiscard]] bool falls_into_subspaces() const { return chosen.worth() > 0; }
  /// Whether sizes were compared on a sample of the tokens, or everything was fitted to a sample.
  [[nodiscard]] bool is_sampled() const { return tried_on < tokens; }
  /// What was chosen, and why; one sentence per entry.
  [[nodiscard]] std::vector<std::string> in_words() const;
};

/// Writes a table of what was tried, and what was chosen, in words.
std::ostream& operator<<(std::ostream& out, const WhiteBoxFit& fit);

/// A white box for tokens Z, d x N, from the tokens alone:
///   mean       of the tokens; directions are softened by a tenth of the tokens' root mean square length
///   U          subspaces of the directions, by estimate_subspaces. Of the sizes K in {2, 3, 4, 8, 16}, p in {2, 4, 8}
///              with R > R^c(Z | U_[K]), the one of largest worth: knowing the subspaces saves R - R^c(Z | Pi) nats per
///              token, less the mutual information of tokens and subspaces, less one nat per parameter of the bases
///   epsilon    root mean square of what the subspaces leave out of a direction
///   L          the number of compression steps that each raise R - R^c(Z | Pi) by at least one per cent, up to 16, if
///              the subspaces have positive worth; otherwise 4 small steps
///   D          the sparsest orthonormal dictionary of tokens after these steps, by estimate_dictionary; the first
///              layer changes to its coordinates
///   lambda^l   such that each layer sets an equal share of the entries to zero, and the last one leaves as many as are
///              above twice the noise, at most a share of 0.3
/// The layers step on the rate reduction (MCR^2) with a soft partition of directions; for its guarantee, see
/// compression.hpp.
/// If there are more than N = max(6000, 32 d) tokens, N drawn at random determine everything but the mean.
/// Cost: O(L K N d min(d, N)), and memory for about min(K + 1, threads) + 8 matrices of the tokens' size; encoding and
/// decoding need about min(K + 1, threads) + 4 of the size of their input. Throws OptionError if an option is out of
/// range, or if tokens are all alike; PrecisionError if they are not finite; ShapeError if there are too few tokens for
/// the requested sizes.
template <class ZDerived>
[[nodiscard]] WhiteBox<typename ZDerived::Scalar> fit_white_box(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                const WhiteBoxOptions& options, Threads& threads,
                                                                WhiteBoxFit* fit = nullptr);

/// fit_white_box on one thread.
template <class ZDerived>
[[nodiscard]] WhiteBox<typename ZDerived::Scalar> fit_white_box(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                const WhiteBoxOptions& options = {}) {
  Threads alone;
  return fit_white_box(tokens, options, alone);
}

/// fit_white_box on one thread; `fit` receives the record of what was tried and chosen.
template <class ZDerived>
[[nodiscard]] WhiteBox<typename ZDerived::Scalar> fit_white_box(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                const WhiteBoxOptions& options, WhiteBoxFit& fit) {
  Threads alone;
  return fit_white_box(tokens, options, alone, &fit);
}

}  // namespace crate

#include "crate/white_box/detail/fit_white_box.ipp"
