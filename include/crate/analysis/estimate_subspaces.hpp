// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "crate/analysis/detail/scaled_tokens.hpp"
#include "crate/analysis/estimate_dictionary.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/kernels/product.hpp"
#include "crate/operators/subspaces.hpp"

// Subspaces U_[K] from tokens alone, by the K-subspaces iteration (Bradley and Mangasarian, "k-plane clustering", J.
// Global Optimization 16, 2000; Tseng, "Nearest q-flat to m points", JOTA 105, 2000). It starts from the leading
// directions of neighbourhoods of tokens that are far apart.
//
// Letters: Z tokens, d x N; K subspaces of dimension p with orthonormal bases U_k, d x p.

namespace crate {

struct SubspaceEstimationOptions {
  Index subspaces = 8;             ///< K >= 1
  Index dim = 4;                   ///< p >= 1
  int restarts = 16;               ///< number of random starts, of which the best is kept; >= 1
  int iterations = 100;            ///< at most, of assigning and refitting, after each start; >= 1
  double tolerance = 1e-5;         ///< stops when an iteration lowers the residual by less than this share; >= 0
  double search_tolerance = 1e-3;  ///< tolerance while the starts are compared; >= 0
  Index search_tokens =
      4096;  ///< the starts are compared on this many tokens, drawn at random, if there are more; >= 1
  std::uint64_t seed = 0;

  void check() const {
    check_option(subspaces >= 1, "subspaces >= 1", subspaces);
    check_option(dim >= 1, "dimension of the subspaces >= 1", dim);
    check_option(restarts >= 1, "restarts >= 1", restarts);
    check_option(iterations >= 1, "iterations >= 1", iterations);
    check_option(tolerance >= 0, "tolerance >= 0", tolerance);
    check_option(search_tolerance >= 0, "search tolerance >= 0", search_tolerance);
    check_option(search_tokens >= 1, "search tokens >= 1", search_tokens);
  }
};

/// Subspaces that were fitted to tokens, and how well they fit.
template <Scalar S>
struct EstimatedSubspaces {
  Subspaces<Matrix<S>> subspaces;  ///< orthonormal bases; the columns of each by decreasing energy of its tokens
  std::vector<Index> membership;   ///< for each token, the subspace that holds most of its energy
  double residual;  ///< share of the energy outside: sum_i ||z_i - U_k U_k^T z_i||^2 / ||Z||^2, k = membership
};

namespace detail {

template <Scalar S>
[[nodiscard]] Matrix<S> orthonormal_columns(const Matrix<S>& a) {
  const Eigen::HouseholderQR<Matrix<S>> factor(a);
  return factor.householderQ() * Matrix<S>::Identity(a.rows(), a.cols());
}

/// One sweep of orthogonal iteration towards the leading eigenvectors of Z Z^T; never captures less energy of Z.
template <Scalar S>
[[nodiscard]] Matrix<S> towards_leading_directions(const Matrix<S>& tokens, const Matrix<S>& basis) {
  Threads alone;
  const Matrix<S> inside = product_of(basis.transpose(), tokens, alone);
  return orthonormal_columns<S>(product_of(tokens, inside.transpose(), alone));
}

/// The basis rotated within its span so that the coordinates of Z are uncorrelated, with decreasing energies.
template <Scalar S>
[[nodiscard]] Matrix<S> by_falling_energy(const Matrix<S>& tokens, const Matrix<S>& basis) {
  Threads alone;
  const Matrix<S> inside = product_of(basis.transpose(), tokens, alone);
  const auto directions = eigen_decomposition<S>(gram_of_rows(inside, alone));
  return product_of(basis, directions.eigenvectors().rowwise().reverse(), alone);
}

/// The K-subspaces iteration on one matrix of tokens.
template <Scalar S>
class SubspaceFit {
 public:
  SubspaceFit(const Matrix<S>& tokens, const SubspaceEstimationOptions& options, Threads& threads)
      : tokens_(tokens), options_(options), threads_(threads), energies_(tokens.colwise().squaredNorm().transpose()) {
    bases_.resize(tokens.rows(), options.subspaces * options.dim);
  }

  [[nodiscard]] const Matrix<S>& bases() const { return bases_; }
  [[nodiscard]] const std::vector<Index>& membership() const { return membership_; }
  [[nodiscard]] double residual() const { return residual_; }

  void start_from(const Matrix<S>& bases) { bases_ = bases; }

  /// Starts from the bases of neighbourhoods; each centre is a token drawn with a probability proportional to its
  /// energy outside the bases so far.
  void start_from_neighbourhoods(Random& random) {
    Vector<S> outside = energies_;
    for (Index k = 0; k < options_.subspaces; ++k) {
      basis(k) = neighbourhood_basis(draw(outside, random), random);
      const Matrix<S> inside = product_of(basis(k).transpose(), tokens_, threads_);
      outside = outside.cwiseMin(energies_ - inside.colwise().squaredNorm().transpose()).cwiseMax(S(0));
    }
  }

  void iterate(double tolerance) {
    assign();
    for (int i = 0; i < options_.iterations; ++i) {
      const double before = residual_;
      refit();
      assign();
      if (before - residual_ <= tolerance * before) break;
    }
  }

  void order_by_energy() {
    for (Index k = 0; k < options_.subspaces; ++k) {
      const Matrix<S> members = members_of(k);
      if (members.cols() > 0) basis(k) = by_falling_energy<S>(members, basis(k));
    }
  }

 private:
  [[nodiscard]] auto basis(Index k) { return bases_.middleCols(k * options_.dim, options_.dim); }

  /// An index, drawn with probability proportional to its weight.
  [[nodiscard]] static Index draw(const Vector<S>& weights, Random& random) {
    double left = random.uniform() * static_cast<double>(weights.sum());
    for (Index i = 0; i < weights.size(); ++i) {
      left -= static_cast<double>(weights(i));
      if (left < 0) return i;
    }
    return weights.size() - 1;
  }

  /// Leading directions of the tokens with the largest |cosine| to the centre.
  [[nodiscard]] Matrix<S> neighbourhood_basis(Index centre, Random& random) const {
    const Index count = std::min(tokens_.cols(), std::max(2 * options_.dim, tokens_.cols() / (4 * options_.subspaces)));
    Threads alone;
    Vector<S> cosines = product_of(tokens_.transpose(), tokens_.col(centre), alone).cwiseAbs();
    cosines.array() /= energies_.array().sqrt().max(std::numeric_limits<S>::min());
    std::vector<Index> nearest(static_cast<std::size_t>(tokens_.cols()));
    std::iota(nearest.begin(), nearest.end(), Index{0});
    std::nth_element(nearest.begin(), nearest.begin() + (count - 1), nearest.end(),
                     [&](Index i, Index j) { return cosines(i) > cosines(j) || (cosines(i) == cosines(j) && i < j); });
    nearest.resize(static_cast<std::size_t>(count));
    const Matrix<S> neighbours = tokens_(Eigen::all, nearest);
    Matrix<S> start(tokens_.rows(), options_.dim);
    random.fill_normal(start);
    Matrix<S> directions = orthonormal_columns<S>(start);
    constexpr int sweeps = 8;
    for (int sweep = 0; sweep < sweeps; ++sweep) directions = towards_leading_directions<S>(neighbours, directions);
    return directions;
  }

  /// Assigns every token to the subspace that holds most of its energy.
  void assign() {
    Matrix<S> inside(bases_.cols(), tokens_.cols());
    multiply(bases_.transpose(), tokens_, inside, threads_);
    membership_.assign(static_cast<std::size_t>(tokens_.cols()), 0);
    double left = 0;
    for (Index i = 0; i < tokens_.cols(); ++i) {
      Index best = 0;
      const auto held =
          inside.col(i).reshaped(options_.dim, options_.subspaces).colwise().squaredNorm().maxCoeff(&best);
      membership_[static_cast<std::size_t>(i)] = best;
      left += std::max(0.0, static_cast<double>(energies_(i)) - static_cast<double>(held));
    }
    residual_ = left / energies_.template cast<double>().sum();
  }

  /// Moves every subspace towards the leading directions of its tokens. A subspace without tokens stays.
  void refit() {
    threads_.for_each(options_.subspaces, [&](Index k, int) {
      const Matrix<S> members = members_of(k);
      if (members.cols() > 0) basis(k) = towards_leading_directions<S>(members, basis(k));
    });
  }

  [[nodiscard]] Matrix<S> members_of(Index k) const {
    std::vector<Index> members;
    for (Index i = 0; i < tokens_.cols(); ++i)
      if (membership_[static_cast<std::size_t>(i)] == k) members.push_back(i);
    return tokens_(Eigen::all, members);
  }

  const Matrix<S>& tokens_;
  const SubspaceEstimationOptions& options_;
  Threads& threads_;
  Vector<S> energies_;  // ||z_i||^2
  Matrix<S> bases_;
  std::vector<Index> membership_;
  double residual_ = 1;
};

/// `count` of the numbers 0 to all - 1, drawn at random, in ascending order.
[[nodiscard]] inline std::vector<Index> sample_of(Index all, Index count, Random& random) {
  std::vector<Index> columns(static_cast<std::size_t>(all));
  std::iota(columns.begin(), columns.end(), Index{0});
  for (Index i = 0; i < count; ++i)
    std::swap(columns[static_cast<std::size_t>(i)], columns[static_cast<std::size_t>(i + random.below(all - i))]);
  columns.resize(static_cast<std::size_t>(count));
  std::sort(columns.begin(), columns.end());
  return columns;
}

/// `count` columns drawn at random, in ascending order.
template <Scalar S>
[[nodiscard]] Matrix<S> sample_columns(const Matrix<S>& tokens, Index count, Random& random) {
  return tokens(Eigen::all, sample_of(tokens.cols(), count, random));
}

/// The bases of the start with the least energy outside.
template <Scalar S>
[[nodiscard]] Matrix<S> best_start(const Matrix<S>& tokens, const SubspaceEstimationOptions& options,
                                   Threads& threads) {
  std::vector<Matrix<S>> bases(static_cast<std::size_t>(options.restarts));
  std::vector<double> residuals(bases.size());
  threads.for_each(options.restarts, [&](Index restart, int) {
    Random random(options.seed, static_cast<std::uint64_t>(restart) + 1);
    Threads alone;
    SubspaceFit<S> fit(tokens, options, alone);
    fit.start_from_neighbourhoods(random);
    fit.iterate(options.search_tolerance);
    bases[static_cast<std::size_t>(restart)] = fit.bases();
    residuals[static_cast<std::size_t>(restart)] = fit.residual();
  });
  return bases[static_cast<std::size_t>(std::min_element(residuals.begin(), residuals.end()) - residuals.begin())];
}

}  // namespace detail

/// K subspaces of dimension p that hold as much as possible of the tokens' energy, each token in one of them:
///   min over U_k with U_k^T U_k = I of sum_i min_k ||z_i - U_k U_k^T z_i||^2.
/// Finds a local minimum, the best of several starts; equal seeds give equal results on any number of threads. Cost:
/// O(N d K p) per iteration. Throws OptionError if an option is out of range, ShapeError unless p <= d and N >= K p,
/// OptionError if tokens are all zero, PrecisionError if they are not finite.
template <class ZDerived>
[[nodiscard]] EstimatedSubspaces<typename ZDerived::Scalar> estimate_subspaces(
    const Eigen::MatrixBase<ZDerived>& tokens, const SubspaceEstimationOptions& options, Threads& threads) {
  using S = typename ZDerived::Scalar;
  options.check();
  if (tokens.size() == 0) throw ShapeError("subspace estimation: expected tokens, found none");
  const Matrix<S> z = detail::scaled_tokens<S>(tokens).tokens;  // neither bases nor shares depend on the scale
  if (options.dim > z.rows())
    throw ShapeError(
        concatenate("subspace estimation: expected a dimension of at most ", z.rows(), ", found ", options.dim));
  if (z.cols() / options.dim < options.subspaces)
    throw ShapeError(concatenate("subspace estimation: expected at least ", options.subspaces, " x ", options.dim,
                                 " tokens for ", options.subspaces, " subspaces of dimension ", options.dim, ", found ",
                                 z.cols()));
  const double energy = static_cast<double>(z.squaredNorm());
  if (!(energy > 0)) throw OptionError("subspace estimation: expected tokens that are not all zero, found only zeros");

  detail::SubspaceFit<S> fit(z, options, threads);
  const Index searched = std::max(options.search_tokens, options.subspaces * options.dim);
  if (z.cols() <= searched) {
    fit.start_from(detail::best_start<S>(z, options, threads));
  } else {
    Random random(options.seed);
    fit.start_from(detail::best_start<S>(detail::sample_columns<S>(z, searched, random), options, threads));
  }
  fit.iterate(options.tolerance);
  fit.order_by_energy();
  return {Subspaces<Matrix<S>>(fit.bases(), options.subspaces), fit.membership(), fit.residual()};
}

/// estimate_subspaces on one thread.
template <class ZDerived>
[[nodiscard]] EstimatedSubspaces<typename ZDerived::Scalar> estimate_subspaces(
    const Eigen::MatrixBase<ZDerived>& tokens, const SubspaceEstimationOptions& options = {}) {
  Threads alone;
  return estimate_subspaces(tokens, options, alone);
}

namespace detail {

/// ||(I - U U^T) V||, the sine of the largest principal angle between orthonormal bases.
template <Scalar S>
[[nodiscard]] S largest_sine(const Matrix<S>& u, const Matrix<S>& v) {
  Threads alone;
  const Matrix<S> inside = product_of(u.transpose(), v, alone);
  Matrix<S> outside = v;
  multiply_add(-1, u, inside, outside, alone);
  check_finite("principal angle: difference of bases", outside);
  const S square = eigen_decomposition<S>(gram_of_rows<S>(outside.transpose(), alone)).eigenvalues().maxCoeff();
  return std::sqrt(std::clamp(square, S(0), S(1)));
}

}  // namespace detail

/// The largest principal angle between the column spaces of two orthonormal bases of equal size, in degrees: the arc
/// sine of ||(I - U U^T) V||, which is accurate for small angles.
template <class UDerived, class VDerived>
[[nodiscard]] double largest_principal_angle(const Eigen::MatrixBase<UDerived>& u,
                                             const Eigen::MatrixBase<VDerived>& v) {
  check_shape("principal angle: second basis", v, u.rows(), u.cols());
  return std::asin(detail::largest_sine<double>(u.template cast<double>(), v.template cast<double>())) * 180 /
         3.14159265358979323846;
}

}  // namespace crate
