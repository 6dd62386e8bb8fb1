// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "crate/analysis/estimate_dictionary.hpp"
#include "crate/operators/ista.hpp"
#include "crate/white_box/fit_white_box.hpp"

// What an actual code costs and keeps: codes rounded to multiples of one step, each coordinate written with as many
// bits as its empirical entropy says. Bases, the mean and the tables of the entropy coder are not counted, for any
// method.

namespace compress_tokens {

using crate::Index;
using Matrix = crate::Matrix<double>;
using WhiteBox = crate::WhiteBox<double>;

/// The step at which rounding alone errs by epsilon per token, root mean square: d step^2 / 12 = epsilon^2.
[[nodiscard]] inline double quantiser_step(double epsilon, Index dim) {
  return epsilon * std::sqrt(12 / static_cast<double>(dim));
}

/// N times the empirical entropy in bits of `values`, N numbers of which many are equal.
[[nodiscard]] inline double entropy_bits(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto total = static_cast<double>(values.size());
  double bits = 0;
  for (auto run = values.begin(); run != values.end();) {
    const auto end = std::upper_bound(run, values.end(), *run);
    const auto count = static_cast<double>(end - run);
    bits -= count * std::log2(count / total);
    run = end;
  }
  return bits;
}

/// The same of whole numbers, which are counted instead of sorted where they lie close together.
[[nodiscard]] inline double entropy_of_levels(const crate::Vector<double>& levels) {
  const double least = levels.minCoeff(), range = levels.maxCoeff() - least;
  if (!(range < 4.0 * static_cast<double>(levels.size()))) return entropy_bits({levels.begin(), levels.end()});
  std::vector<Index> counts(static_cast<std::size_t>(range) + 1);
  for (const double level : levels) ++counts[static_cast<std::size_t>(level - least)];
  double bits = 0;
  for (const Index count : counts)
    if (count > 0)
      bits -= static_cast<double>(count) * std::log2(static_cast<double>(count) / static_cast<double>(levels.size()));
  return bits;
}

struct QuantisedCodes {
  Matrix codes;  ///< multiples of the step
  double bits;   ///< sum over the coordinates of N times their entropy
};

/// The codes rounded to multiples of the step, a coordinate a column; N x d.
[[nodiscard]] inline QuantisedCodes quantise_columns(const Matrix& codes, double step, crate::Threads& threads) {
  QuantisedCodes result{Matrix(codes.rows(), codes.cols()), 0};
  std::vector<double> bits(static_cast<std::size_t>(codes.cols()));
  threads.for_each(codes.cols(), [&](Index i, int) {
    const crate::Vector<double> levels = (codes.col(i) / step).array().round();
    bits[static_cast<std::size_t>(i)] = entropy_of_levels(levels);
    result.codes.col(i) = levels * step;
  });
  result.bits = std::accumulate(bits.begin(), bits.end(), 0.0);
  return result;
}

/// The codes rounded to multiples of the step, d x N.
[[nodiscard]] inline QuantisedCodes quantise(const Matrix& codes, double step, crate::Threads& threads) {
  QuantisedCodes result = quantise_columns(codes.transpose(), step, threads);
  result.codes.transposeInPlace();
  return result;
}

/// What a method gives for its bits.
struct CodedTokens {
  double bits;
  Matrix decoded;  ///< d x N

  [[nodiscard]] double squared_error(const Matrix& tokens) const { return (tokens - decoded).squaredNorm(); }
};

/// A white box for tokens whose codes will be rounded. Its steps are small ones down the exact gradient of R^c, or to
/// undo them would make the errors of rounding larger; its subspaces hold more than those that tell tokens apart.
[[nodiscard]] inline WhiteBox fit_to_code(const Matrix& tokens, double epsilon, std::uint64_t seed,
                                          crate::Threads& threads) {
  constexpr Index most_subspaces = 8, most_dimensions = 12;
  const Index dim = std::clamp<Index>(std::min(tokens.rows(), tokens.cols()) / 8, 1, most_dimensions);
  return crate::fit_white_box(tokens,
                              {.subspaces = std::min(most_subspaces, tokens.cols() / dim),
                               .dim = dim,
                               .kappa = 0.05,
                               .depth = 4,
                               .dictionary_threshold = quantiser_step(epsilon, tokens.rows()),
                               .step = crate::CompressionStep::exact,
                               .inverse_iterations = 1,
                               .seed = seed},
                              threads);
}

/// The white box with another dictionary, to whose coordinates the first layer changes.
[[nodiscard]] inline WhiteBox with_dictionary(WhiteBox box, const Matrix& dictionary) {
  const crate::Subspaces<Matrix> before = box.subspaces();
  box.code_subspaces.bases() = dictionary.transpose() * before.bases();
  const std::size_t depth = box.encoder.layers.size();
  for (std::size_t l = 0; l < depth; ++l) {
    auto& layer = box.encoder.layers[l];
    auto& mirror = box.decoder.layers[depth - 1 - l];
    layer.compress.layer.subspaces = l == 0 ? before : box.code_subspaces;
    layer.sparsify.dictionary = l == 0 ? dictionary : Matrix(Matrix::Identity(box.dim(), box.dim()));
    mirror.expand.dictionary = layer.sparsify.dictionary;
    mirror.decompress.layer.layer.subspaces = layer.compress.layer.subspaces;
  }
  return box;
}

/// The soft threshold of all layers together, in steps of the quantiser.
inline constexpr double relative_threshold = 0.2;

/// The white box with thresholds for a precision: what is far below the quantiser's step would cost bits and be rounded
/// to zero anyway.
[[nodiscard]] inline WhiteBox with_thresholds(WhiteBox box, double epsilon) {
  const double threshold = relative_threshold * quantiser_step(epsilon, box.dim());
  for (auto& layer : box.encoder.layers)
    layer.sparsify.options.lambda = threshold / (layer.sparsify.options.step * static_cast<double>(box.depth()));
  return box;
}

/// Error and bits of centred tokens coded in an orthonormal dictionary, in squared units of the tokens: a bit is worth
/// ln 2 / 6 of the squared step, by how much fewer bits a coarser step takes and how much more it errs.
[[nodiscard]] inline double cost_of_code(const Matrix& centred, const Matrix& dictionary, double step,
                                         crate::Threads& threads) {
  const Matrix coordinates = crate::detail::product_of(dictionary.transpose(), centred, threads);
  Matrix codes = coordinates;
  crate::detail::apply_threshold(codes, relative_threshold * step, crate::Threshold::soft);
  const QuantisedCodes quantised = quantise(codes, step, threads);
  return (coordinates - quantised.codes).squaredNorm() + std::log(2) / 6 * step * step * quantised.bits;
}

/// The cheapest of a given dictionary and those that are sparsest beyond what thresholds and rounding make zero, 0.7
/// steps, and beyond one step: each estimation ends in a minimum of its own.
[[nodiscard]] inline Matrix dictionary_to_code(const Matrix& centred, Matrix best, double step,
                                               crate::Threads& threads) {
  const std::array<double, 2> zeroed = {0.5 + relative_threshold, 1.0};
  std::array<Matrix, 2> others;
  threads.for_each(2, [&](Index i, int) {  // side by side, as much of an estimation is in one thread
    crate::Threads alone;
    const auto at = static_cast<std::size_t>(i);
    others[at] = crate::estimate_dictionary(centred, {.threshold = zeroed[at] * step}, alone);
  });
  double least = cost_of_code(centred, best, step, threads);
  for (Matrix& other : others) {
    const double cost = cost_of_code(centred, other, step, threads);
    if (cost >= least) continue;
    best = std::move(other);
    least = cost;
  }
  return best;
}

/// The white box with the thresholds and the dictionary for a precision.
[[nodiscard]] inline WhiteBox at_precision(const WhiteBox& box, const Matrix& tokens, double epsilon,
                                           crate::Threads& threads) {
  const Matrix centred =
      crate::detail::at_most<double>(box.fitted_tokens, tokens.colwise() - box.mean.col(0), /*seed*/ 0);
  const Matrix dictionary = dictionary_to_code(centred, box.encoder.layers.front().sparsify.dictionary,
                                               quantiser_step(epsilon, box.dim()), threads);
  return with_thresholds(with_dictionary(box, dictionary), epsilon);
}

/// Encoder, rounding at the step that belongs to epsilon, decoder.
[[nodiscard]] inline CodedTokens code_by_white_box(const Matrix& tokens, const WhiteBox& box, double epsilon,
                                                   crate::Threads& threads) {
  const QuantisedCodes quantised =
      quantise(box.encode(tokens, {.threads = &threads}), quantiser_step(epsilon, box.dim()), threads);
  return {quantised.bits, box.decode(quantised.codes, {.threads = &threads})};
}

/// Principal component analysis with the same quantiser and the same measure of bits.
class PrincipalComponentCode {
 public:
  PrincipalComponentCode(const Matrix& tokens, crate::Threads& threads)
      : threads_(threads),
        mean_(tokens.rowwise().mean()),
        directions_(crate::principal_directions(Matrix(tokens.colwise() - mean_.col(0)), threads)),
        codes_((tokens.colwise() - mean_.col(0)).transpose() * directions_) {}

  /// At the step, found by bisection, that spends no more than `bits`. The soft threshold is so many steps: 0 is plain.
  [[nodiscard]] CodedTokens at_rate(double bits, double threshold) const {
    double too_fine = codes_.cwiseAbs().maxCoeff() * 1e-6, coarse = codes_.cwiseAbs().maxCoeff() * 4;
    constexpr int halvings = 24;
    for (int i = 0; i < halvings; ++i) {
      const double step = std::sqrt(too_fine * coarse);
      (quantised(step, threshold).bits > bits ? too_fine : coarse) = step;
    }
    const QuantisedCodes result = quantised(coarse, threshold);
    return {result.bits, (directions_ * result.codes.transpose()).colwise() + mean_.col(0)};
  }

 private:
  [[nodiscard]] QuantisedCodes quantised(double step, double threshold) const {
    if (threshold == 0) return quantise_columns(codes_, step, threads_);
    Matrix codes = codes_;
    crate::detail::apply_threshold(codes, threshold * step, crate::Threshold::soft);
    return quantise_columns(codes, step, threads_);
  }

  crate::Threads& threads_;
  Matrix mean_;
  Matrix directions_;
  Matrix codes_;  // of the tokens, unquantised, N x d
};

/// One row of the trade-off: three methods at one rate.
struct TradeOffPoint {
  double precision;  ///< root mean square error of a token by rounding
  CodedTokens white_box, pca, pca_thresholded;
};

/// A white box at several precisions around the stated one, which are root mean square errors of a token.
/// `coder_at(precision)` gives the white box of each, and `on_point(i, n)` is called before.
template <class CoderAt, class OnPoint>
[[nodiscard]] std::vector<TradeOffPoint> trade_off(const Matrix& tokens, double stated, const CoderAt& coder_at,
                                                   crate::Threads& threads, const OnPoint& on_point) {
  const PrincipalComponentCode pca(tokens, threads);
  const std::vector<double> factors = {0.5, std::sqrt(0.5), 1, std::sqrt(2.0), 2};
  std::vector<TradeOffPoint> points;
  for (const double factor : factors) {
    on_point(points.size() + 1, factors.size());
    const double precision = factor * stated;
    CodedTokens coded = code_by_white_box(tokens, coder_at(precision), precision, threads);
    const double bits = coded.bits;
    points.push_back({precision, std::move(coded), pca.at_rate(bits, 0), pca.at_rate(bits, relative_threshold)});
  }
  return points;
}

}  // namespace compress_tokens
