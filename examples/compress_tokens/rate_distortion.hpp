// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "compress_tokens/white_box.hpp"
#include "crate/analysis/estimate_dictionary.hpp"

// What an actual code costs and keeps: codes rounded to multiples of one step, each coordinate written with as many
// bits as its empirical entropy says. Bases, the mean and the tables of the entropy coder are not counted, for any
// method.

namespace compress_tokens {

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

/// Encoder, rounding at the step that belongs to epsilon, decoder.
[[nodiscard]] inline CodedTokens code_by_white_box(const Matrix& tokens, const Weights& weights,
                                                   const Strength& strength, crate::Threads& threads) {
  const Matrix codes = crate::forward(make_encoder(weights, strength, tokens.cols()), tokens, {.threads = &threads});
  const QuantisedCodes quantised = quantise(codes, quantiser_step(strength.epsilon, tokens.rows()));
  return {quantised.bits,
          crate::forward(make_decoder(weights, strength, tokens.cols()), quantised.codes, {.threads = &threads})};
}

/// Principal component analysis with the same quantiser and the same measure of bits.
class PrincipalComponentCode {
 public:
  PrincipalComponentCode(const Matrix& tokens, crate::Threads& threads)
      : directions_(crate::principal_directions(tokens, threads)), codes_(directions_.transpose() * tokens) {}

  /// At the step, found by bisection, that spends no more than `bits`. The soft threshold is `relative_threshold`
  /// steps: 0 is plain.
  [[nodiscard]] CodedTokens at_rate(double bits, double relative_threshold) const {
    double too_fine = codes_.cwiseAbs().maxCoeff() * 1e-6, coarse = codes_.cwiseAbs().maxCoeff() * 4;
    constexpr int halvings = 24;
    for (int i = 0; i < halvings; ++i) {
      const double step = std::sqrt(too_fine * coarse);
      (quantised(step, relative_threshold).bits > bits ? too_fine : coarse) = step;
    }
    QuantisedCodes result = quantised(coarse, relative_threshold);
    return {result.bits, directions_ * result.codes};
  }

 private:
  [[nodiscard]] QuantisedCodes quantised(double step, double relative_threshold) const {
    Matrix codes = codes_;
    crate::detail::apply_threshold(codes, relative_threshold * step, crate::Threshold::soft);
    return quantise(codes, step);
  }

  Matrix directions_;
  Matrix codes_;  // of the tokens, unquantised
};

/// One row of the trade-off: three methods at one rate.
struct TradeOffPoint {
  double epsilon;
  CodedTokens white_box, pca, pca_thresholded;
};

/// The same dictionary and subspaces at several precisions; lambda stays in proportion to epsilon.
/// `on_point(i, n)` is called before each point.
template <class OnPoint>
[[nodiscard]] std::vector<TradeOffPoint> trade_off(const Matrix& tokens, const Weights& weights, const Strength& stated,
                                                   crate::Threads& threads, const OnPoint& on_point) {
  const PrincipalComponentCode pca(tokens, threads);
  const std::vector<double> factors = {0.5, std::sqrt(0.5), 1, std::sqrt(2.0), 2};
  const double relative_threshold = stated.lambda / quantiser_step(stated.epsilon, tokens.rows());
  std::vector<TradeOffPoint> points;
  for (const double factor : factors) {
    on_point(points.size() + 1, factors.size());
    Strength strength = stated;
    strength.epsilon *= factor;
    strength.lambda *= factor;
    CodedTokens white_box = code_by_white_box(tokens, weights, strength, threads);
    const double bits = white_box.bits;
    points.push_back(
        {strength.epsilon, std::move(white_box), pca.at_rate(bits, 0), pca.at_rate(bits, relative_threshold)});
  }
  return points;
}

}  // namespace compress_tokens
