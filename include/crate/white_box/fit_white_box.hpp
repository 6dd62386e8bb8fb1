// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "crate/analysis/estimate_dictionary.hpp"
#include "crate/analysis/estimate_subspaces.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/operators/compression.hpp"
#include "crate/white_box/white_box.hpp"

// From tokens to a white box. What an option does not say follows from the tokens.

namespace crate {

struct WhiteBoxOptions {
  std::optional<Index> subspaces = {};  ///< K >= 1; unless said, that of the sizes tried which saves most, see below
  std::optional<Index> dim = {};        ///< p >= 1, likewise
  std::optional<double> epsilon = {};   ///< > 0, of a token of length 1; unless said, what the subspaces leave out
  std::optional<double> kappa = {};     ///< of the compression steps, in units of N epsilon^2 / d (of an exact one,
                                        ///< N epsilon^2 / (p ||U||^2)): 1 for tokens that fall into subspaces, or 0.1
  std::optional<Index> depth = {};      ///< L >= 1; see below
  std::optional<double> non_zero = {};  ///< wanted share of the code's entries, in (0, 1]; unless said, of those above
                                        ///< twice the noise, and at most 0.3
  std::optional<double> dictionary_threshold = {};  ///< what an entry of the code must exceed to be worth its cost, in
                                                    ///< the dictionary's estimation; twice the noise
  std::optional<double> softening = {};             ///< of directions; a tenth of the tokens' root mean square length
  CompressionStep step = CompressionStep::soft_partition;
  double logit_scale = 8;                   ///< of the soft partition
  std::optional<Index> inverse_turns = {};  ///< of the decoder, for each layer; >= 1; as many as undo a step but
                                            ///< for a thousandth of the tokens, at most 24
  std::uint64_t seed = 0;

  /// Throws OptionError on an option out of range.
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
    InverseOptions{.iterations = inverse_turns.value_or(1)}.check();
  }
};

/// A number and dimension of subspaces, and what they are worth, in nats a token.
struct SubspaceChoice {
  Index subspaces = 0, dim = 0;
  double epsilon = 0;     ///< what these subspaces leave out of a direction, root mean square
  double rate = 0;        ///< R(Z) at that precision
  double reduction = 0;   ///< R - R^c(Z | U_[K])
  double saved = 0;       ///< R - R^c(Z | Pi)
  double membership = 0;  ///< what it takes to say Pi: the mutual information of token and subspace
  double bases = 0;       ///< what it takes to say U: a nat a parameter (Akaike), K p (d - p) / N

  [[nodiscard]] double worth() const { return saved - membership - bases; }
};

/// How a white box was fitted.
struct WhiteBoxFit {
  std::vector<SubspaceChoice> tried = {};
  SubspaceChoice chosen = {};
  Index tokens = 0;     ///< N
  Index fitted_on = 0;  ///< of these, drawn at random: at most 6000, or 32 a coordinate
  Index tried_on = 0;   ///< of these again, to compare the sizes of subspaces: at most 2048
  double noise = 0;     ///< standard deviation a coordinate: median |D^T z| / 0.6745 (Donoho and Johnstone, 1994)
  double non_zero = 0;  ///< wanted of the code

  /// Whether the tokens fall into subspaces: whether to know them saves more than they cost.
  [[nodiscard]] bool falls_into_subspaces() const { return chosen.worth() > 0; }
  /// Whether sizes were compared on some of the tokens alone, or all was fitted to some.
  [[nodiscard]] bool is_sampled() const { return tried_on < tokens; }
  /// What was chosen, and why, a sentence an entry.
  [[nodiscard]] std::vector<std::string> in_words() const;
};

/// What was tried, a table, and what was chosen, in words.
std::ostream& operator<<(std::ostream& out, const WhiteBoxFit& fit);

/// A white box for tokens Z, d x N, from these alone:
///   mean       of the tokens; directions softened by a tenth of their root mean square length
///   U          subspaces of their directions, by estimate_subspaces; of the sizes K in {2, 3, 4, 8, 16} and p in
///              {2, 4, 8} the one worth most among those with R > R^c(Z | U_[K]): knowing them saves R - R^c(Z | Pi)
///              nats a token, less the mutual information of tokens and subspaces, less a nat a parameter of the bases
///   epsilon    what the subspaces leave out of a direction, root mean square
///   L          the compression steps that raise R - R^c(Z | Pi) by a hundredth and more, at most 16, if they are
///              worth something, or 4 small ones
///   D          the sparsest orthonormal dictionary of tokens after these steps, by estimate_dictionary; the first
///              layer changes to its coordinates
///   lambda^l   such that each layer makes an equal share of the entries zero, and those left at the end are the ones
///              that stood above twice the noise, at most 0.3
/// The layers step on the rate reduction with a soft partition of directions; see compression.hpp for its law.
/// Of more than N = max(6000, 32 d) tokens so many are drawn at random, and all but the mean follows from these.
/// Cost: O(L K N d min(d, N)), and room for about min(K + 1, threads) + 8 matrices of their size; encoding and decoding
/// take it for about min(K + 1, threads) + 4 of the size of what they are given. Throws OptionError on an option out of
/// range or tokens that are all alike or not finite, ShapeError on too few tokens for the sizes that were asked for.
template <class ZDerived>
[[nodiscard]] WhiteBox<typename ZDerived::Scalar> fit_white_box(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                const WhiteBoxOptions& options, Threads& threads,
                                                                WhiteBoxFit* fit = nullptr);

/// On one thread.
template <class ZDerived>
[[nodiscard]] WhiteBox<typename ZDerived::Scalar> fit_white_box(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                const WhiteBoxOptions& options = {}) {
  Threads alone;
  return fit_white_box(tokens, options, alone);
}

/// On one thread; `fit` becomes the record of what was tried and chosen.
template <class ZDerived>
[[nodiscard]] WhiteBox<typename ZDerived::Scalar> fit_white_box(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                const WhiteBoxOptions& options, WhiteBoxFit& fit) {
  Threads alone;
  return fit_white_box(tokens, options, alone, &fit);
}

}  // namespace crate

#include "crate/white_box/detail/fit_white_box.ipp"
