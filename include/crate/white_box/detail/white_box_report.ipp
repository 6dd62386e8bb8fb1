// SPDX-License-Identifier: MIT
// The bodies of white_box.hpp: what a white box reports.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

#include "crate/analysis/estimate_dictionary.hpp"
#include "crate/analysis/estimate_subspaces.hpp"
#include "crate/core/random.hpp"
#include "crate/operators/coding_rate.hpp"
#include "crate/operators/partition_coding_rate.hpp"
#include "crate/operators/subspace_coding_rate.hpp"

namespace crate {

namespace detail {

/// Why classes cannot be compared, a sentence; empty if some tokens are of one class and some of two.
[[nodiscard]] inline std::string why_incomparable(const std::vector<Index>& classes) {
  std::vector<Index> sorted = classes;
  std::sort(sorted.begin(), sorted.end());
  const auto distinct = std::unique(sorted.begin(), sorted.end()) - sorted.begin();
  if (distinct == 1) return "Classes are not compared: all tokens have the same class.";
  if (distinct == static_cast<std::ptrdiff_t>(classes.size()))
    return "Classes are not compared: no two tokens have the same class.";
  return {};
}

/// Measures tokens where they are.
template <crate::Scalar S>
class WhiteBoxMeter {
 public:
  /// Classes are of all `tokens` tokens, or empty.
  WhiteBoxMeter(const WhiteBox<S>& box, const std::vector<Index>& classes, Threads& threads)
      : box_(box), classes_(classes), threads_(threads) {
    const auto tokens = static_cast<Index>(classes.size());
    if (tokens > most_compared) {
      Random random(0);
      compared_ = sample_of(tokens, most_compared, random);
      classes_.clear();
      for (const Index j : compared_) classes_.push_back(classes[static_cast<std::size_t>(j)]);
    }
    if (!classes.empty()) why_no_classes_ = why_incomparable(classes_);
  }

  /// A sentence, or empty.
  [[nodiscard]] const std::string& why_no_classes() const { return why_no_classes_; }

  [[nodiscard]] WhiteBoxMeasures measure(const std::string& name, const Matrix<S>& tokens,
                                         const Subspaces<Matrix<S>>& subspaces) const {
    const CompressionOptions& compression = box_.compression();
    const CodingRateOptions precision{.epsilon = compression.epsilon};
    const Matrix<double> z = directions(tokens, box_.softening()).template cast<double>();
    const Subspaces<Matrix<double>> u(subspaces.bases().template cast<double>(), subspaces.heads());
    WhiteBoxMeasures result;
    result.name = name;
    result.rate = coding_rate(z, precision);
    result.subspace_rate = subspace_coding_rate(z, u, precision);
    result.partition_rate =
        partition_coding_rate(z, soft_partition(z, u, compression.logit_scale), precision, threads_);
    result.non_zero = static_cast<double>((tokens.array() != S(0)).count()) / static_cast<double>(tokens.size());
    result.energy = static_cast<double>(tokens.squaredNorm()) / static_cast<double>(tokens.cols());
    result.entries = result.non_zero * static_cast<double>(tokens.rows());
    if (!classes_.empty() && why_no_classes_.empty()) result.classes = separation_of(tokens);
    return result;
  }

  /// Of more tokens, so many are drawn at random to be compared.
  static constexpr Index most_compared = 4096;

 private:
  /// None of tokens that are all alike.
  [[nodiscard]] std::optional<ClassSeparation> separation_of(const Matrix<S>& tokens) const {
    const Matrix<S> compared = compared_.empty() ? tokens : Matrix<S>(tokens(Eigen::all, compared_));
    if ((compared.colwise() - compared.col(0)).isZero(0)) return {};
    return class_separation(compared, classes_, threads_);
  }

  const WhiteBox<S>& box_;
  std::vector<Index> classes_;   // of the tokens that are compared
  std::vector<Index> compared_;  // which; all if empty
  std::string why_no_classes_;
  Threads& threads_;
};

/// The largest cosine between directions of two subspaces, max ||Q_k^T Q_l|| of orthonormal bases Q_k.
template <crate::Scalar S>
[[nodiscard]] double largest_cosine(const Subspaces<Matrix<S>>& subspaces) {
  const auto orthonormal = [&](Index k) -> Matrix<double> {
    const Matrix<double> basis = subspaces.basis(k).template cast<double>();
    return orthonormal_columns<double>(basis);
  };
  double largest = 0;
  for (Index k = 0; k < subspaces.heads(); ++k)
    for (Index l = 0; l < k; ++l) {
      const Matrix<double> cosines = orthonormal(k).transpose() * orthonormal(l);
      const Matrix<double> gram = cosines.transpose() * cosines;
      largest = std::max(largest, eigen_decomposition<double>(gram).eigenvalues().maxCoeff());
    }
  return std::sqrt(std::min(1.0, largest));
}

}  // namespace detail

template <crate::Scalar S>
template <class ZDerived>
WhiteBoxReport WhiteBox<S>::report(const Eigen::MatrixBase<ZDerived>& tokens, const std::vector<Index>& classes,
                                   Threads& threads, Matrix<S>* codes, Matrix<S>* decoded) const {
  if (!classes.empty()) check_size("white box: classes", static_cast<Index>(classes.size()), tokens.cols());
  const Matrix<S> z = tokens.template cast<S>();
  const detail::WhiteBoxMeter<S> meter(*this, classes, threads);
  WhiteBoxReport result;
  result.epsilon = compression().epsilon;
  result.overlap = detail::largest_cosine(subspaces());
  result.compares_all = z.cols() <= detail::WhiteBoxMeter<S>::most_compared;
  result.why_no_classes = meter.why_no_classes();
  result.half_layers.push_back(meter.measure("input", z.colwise() - mean.col(0), subspaces()));
  std::size_t layers_done = 0;
  const auto subspaces_of = [&](std::size_t l) -> const Subspaces<Matrix<S>>& {
    return l < encoder.layers.size() ? encoder.layers[l].compress.layer.subspaces : code_subspaces;
  };
  const auto observe = [&](const HalfStep<S>& step) {
    const std::string number = std::to_string(layers_done + 1);
    if (step.name.ends_with(".compress"))
      result.half_layers.push_back(meter.measure(number + " compress", step.activation, subspaces_of(layers_done)));
    if (step.name.ends_with(".sparsify"))
      result.half_layers.push_back(meter.measure(number + " sparsify", step.activation, subspaces_of(++layers_done)));
  };
  Matrix<S> code = encode(z, {.threads = &threads, .observer = observe});
  Matrix<S> back = decode(code, {.threads = &threads});
  result.decoding_error = static_cast<double>((back - z).norm() / (z.colwise() - mean.col(0)).norm());
  if (codes != nullptr) *codes = std::move(code);
  if (decoded != nullptr) *decoded = std::move(back);
  return result;
}

}  // namespace crate
