// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
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

struct QuantisedCodes {
  Matrix codes;  ///< multiples of the step
  double bits;   ///< sum over the coordinates of N times their entropy
};

/// The codes rounded to multiples of the step.
[[nodiscard]] inline QuantisedCodes quantise(const Matrix& codes, double step) {
  const Matrix levels = (codes / step).array().round();
  double bits = 0;
  for (Index i = 0; i < levels.rows(); ++i) {
    const crate::Vector<double> row = levels.row(i).transpose();
    std::vector<double> others;  // zeros are most, and need no sorting
    for (const double level : row)
      if (level != 0) others.push_back(level);
    const auto all = static_cast<double>(row.size()), used = static_cast<double>(others.size());
    const auto part = [&](double count) { return count > 0 ? -count * std::log2(count / all) : 0.0; };
    bits += part(all - used) + part(used) + entropy_bits(std::move(others));
  }
  return {levels * step, bits};
}

/// What a method gives for its bits.
struct CodedTokens {
  double bits;
  Matrix decoded;  ///< d x N

  [[nodiscard]] double squared_error(const Matrix& tokens) const { return (tokens - decoded).squaredNorm(); }
};

/// A white box for tokens whose codes will be rounded. Its steps are small ones down the exact gradient of R^c, or to
/// undo them would make the errors of rounding larger; its subspaces hold more than those that tell tokens apart, and
/// its dictionary is sparsest beyond the quantiser's step.
[[nodiscard]] inline WhiteBox fit_to_code(const Matrix& tokens, double epsilon, std::uint64_t seed,
                                          crate::Threads& threads) {
  constexpr Index most_subspaces = 8, most_dimensions = 12;
  const Index dim = std::clamp<Index>(std::min(tokens.rows(), tokens.cols()) / 8, 1, most_dimensions);
  return crate::fit_white_box(tokens,
                              {.subspaces = std::min(most_subspaces, tokens.cols() / dim),
                               .dim = dim,
                               .kappa = 0.1,
                               .depth = 4,
                               .dictionary_threshold = quantiser_step(epsilon, tokens.rows()),
                               .step = crate::CompressionStep::exact,
                               .inverse_turns = 4,
                               .seed = seed},
                              threads);
}

/// The soft threshold of all layers together, in steps of the quantiser.
inline constexpr double relative_threshold = 0.2;

/// The white box with thresholds for a precision: what is far below the quantiser's step would cost bits and be rounded
/// to zero anyway.
[[nodiscard]] inline WhiteBox at_precision(WhiteBox box, double epsilon) {
  const double threshold = relative_threshold * quantiser_step(epsilon, box.dim());
  for (auto& layer : box.encoder.layers)
    layer.sparsify.options.lambda = threshold / (layer.sparsify.options.step * static_cast<double>(box.depth()));
  return box;
}

/// Encoder, rounding at the step that belongs to epsilon, decoder.
[[nodiscard]] inline CodedTokens code_by_white_box(const Matrix& tokens, const WhiteBox& stated, double epsilon,
                                                   crate::Threads& threads) {
  const WhiteBox box = at_precision(stated, epsilon);
  const QuantisedCodes quantised =
      quantise(box.encode(tokens, {.threads = &threads}), quantiser_step(epsilon, box.dim()));
  return {quantised.bits, box.decode(quantised.codes, {.threads = &threads})};
}

/// Principal component analysis with the same quantiser and the same measure of bits.
class PrincipalComponentCode {
 public:
  PrincipalComponentCode(const Matrix& tokens, crate::Threads& threads)
      : mean_(tokens.rowwise().mean()),
        directions_(crate::principal_directions(Matrix(tokens.colwise() - mean_.col(0)), threads)),
        codes_(directions_.transpose() * (tokens.colwise() - mean_.col(0))) {}

  /// At the step, found by bisection, that spends no more than `bits`. The soft threshold is so many steps: 0 is plain.
  [[nodiscard]] CodedTokens at_rate(double bits, double threshold) const {
    double too_fine = codes_.cwiseAbs().maxCoeff() * 1e-6, coarse = codes_.cwiseAbs().maxCoeff() * 4;
    constexpr int halvings = 24;
    for (int i = 0; i < halvings; ++i) {
      const double step = std::sqrt(too_fine * coarse);
      (quantised(step, threshold).bits > bits ? too_fine : coarse) = step;
    }
    QuantisedCodes result = quantised(coarse, threshold);
    return {result.bits, (directions_ * result.codes).colwise() + mean_.col(0)};
  }

 private:
  [[nodiscard]] QuantisedCodes quantised(double step, double threshold) const {
    Matrix codes = codes_;
    crate::detail::apply_threshold(codes, threshold * step, crate::Threshold::soft);
    return quantise(codes, step);
  }

  Matrix mean_;
  Matrix directions_;
  Matrix codes_;  // of the tokens, unquantised
};

/// One row of the trade-off: three methods at one rate.
struct TradeOffPoint {
  double precision;  ///< root mean square error of a token by rounding
  CodedTokens white_box, pca, pca_thresholded;
};

/// The same white box at several precisions around the stated one, which are root mean square errors of a token.
/// `on_point(i, n)` is called before each point.
template <class OnPoint>
[[nodiscard]] std::vector<TradeOffPoint> trade_off(const Matrix& tokens, const WhiteBox& box, double stated,
                                                   crate::Threads& threads, const OnPoint& on_point) {
  const PrincipalComponentCode pca(tokens, threads);
  const std::vector<double> factors = {0.5, std::sqrt(0.5), 1, std::sqrt(2.0), 2};
  std::vector<TradeOffPoint> points;
  for (const double factor : factors) {
    on_point(points.size() + 1, factors.size());
    CodedTokens coded = code_by_white_box(tokens, box, factor * stated, threads);
    const double bits = coded.bits;
    points.push_back({factor * stated, std::move(coded), pca.at_rate(bits, 0), pca.at_rate(bits, relative_threshold)});
  }
  return points;
}

}  // namespace compress_tokens
