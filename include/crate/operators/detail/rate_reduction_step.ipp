// SPDX-License-Identifier: MIT
// The steps of compression.hpp on the whole rate reduction.

namespace crate::detail {

/// The exact step on one of the two rates of Delta R, times `sign`.
[[nodiscard]] inline CompressionOptions exact_with(const CompressionOptions& options, double sign) {
  return {.kappa = sign * options.kappa, .epsilon = options.epsilon};
}

/// out = Z + kappa (grad R(Z) - grad R^c(Z | U_[K])); `projected` is U^T Z.
template <crate::Scalar S>
void plain_rate_reduction_step(ConstTokens<S> z, ConstTokens<S> projected, ConstTokens<S> bases, Index heads,
                               const TokenLayout& layout, const CompressionOptions& options, Tokens<S> out,
                               Workspace& workspace, Threads& threads) {
  Workspace::Frame frame(workspace);
  auto compressed = frame.template matrix<S>(projected.rows(), projected.cols());
  auto expanded = frame.template matrix<S>(z.rows(), z.cols());
  compressed = projected;
  expanded = z;
  compress_projected<S>(compressed, heads, layout, exact_with(options, 1), threads);
  compress_projected<S>(expanded, 1, layout, exact_with(options, -1), threads);
  for_each_columns(z.cols(), threads,
                   [&](Index j, Index n) { out.middleCols(j, n) = z.middleCols(j, n) + expanded.middleCols(j, n); });
  multiply_add(1, bases, compressed, out, threads);
}

/// Its adjoint: dL/dZ, and dL/dU added to `bases_cotangent`. Computes both inverses again, which keeps tapes short.
template <crate::Scalar S>
void plain_rate_reduction_step_adjoint(ConstTokens<S> z, ConstTokens<S> projected, ConstTokens<S> bases, Index heads,
                                       const TokenLayout& layout, const CompressionOptions& options,
                                       ConstTokens<S> cotangent, Tokens<S> z_cotangent, Tokens<S> bases_cotangent,
                                       Workspace& workspace, Threads& threads) {
  const CompressionOptions compressing = exact_with(options, 1), expanding = exact_with(options, -1);
  Workspace::Frame frame(workspace);
  auto compressed = frame.template matrix<S>(projected.rows(), projected.cols());
  auto step_cotangent = frame.template matrix<S>(projected.rows(), projected.cols());
  auto projected_cotangent = frame.template matrix<S>(projected.rows(), projected.cols());
  auto expanded = frame.template matrix<S>(z.rows(), z.cols());
  auto expanded_cotangent = frame.template matrix<S>(z.rows(), z.cols());
  compressed = projected;
  expanded = z;
  expanded_cotangent = cotangent;
  compress_projected<S>(compressed, heads, layout, compressing, threads);
  compress_projected<S>(expanded, 1, layout, expanding, threads);
  multiply(bases.transpose(), cotangent, step_cotangent, threads);
  multiply_add(1, cotangent, compressed.transpose(), bases_cotangent, threads);
  compress_projected_adjoint<S>(z, expanded, 1, layout, expanding, expanded_cotangent, z_cotangent, threads);
  compress_projected_adjoint<S>(projected, compressed, heads, layout, compressing, step_cotangent, projected_cotangent,
                                threads);
  z_cotangent += cotangent;
  multiply_add(1, bases, projected_cotangent, z_cotangent, threads);
  multiply_add(1, z, projected_cotangent.transpose(), bases_cotangent, threads);
}

/// The shares that the subsets have in each token, (K + 1) x (total tokens): the whole set has all of it, and below
/// is the soft partition.
template <crate::Scalar S>
void subset_shares_into(ConstTokens<S> projected, Index heads, double logit_scale, Tokens<S> shares) {
  shares.row(0).setOnes();
  soft_partition_into<S>(projected, heads, logit_scale, shares.bottomRows(heads));
}

/// out = Z + the terms of all subsets of every set: the step on R for the whole set, the step on its part of R^c,
/// against the gradient, for the others. body(subset, first, visible, terms, scale, sign a kappa) computes those of
/// one; padding gets none. As many subsets as there are threads are computed before their terms are added, so that no
/// more terms than these are in memory.
template <crate::Scalar S, class Body>
void add_subset_terms(ConstTokens<S> z, Index subsets, const TokenLayout& layout, const CompressionOptions& options,
                      Tokens<S> out, Workspace& workspace, Threads& threads, const Body& body) {
  const Index d = z.rows(), at_once = std::min<Index>(subsets, threads.count());
  Workspace::Frame frame(workspace);
  auto terms = frame.template matrix<S>(at_once * d, z.cols());
  for (Index done = 0; done < subsets; done += at_once) {
    const Index count = std::min(at_once, subsets - done);
    threads.for_each(layout.sets() * count, [&](Index piece, int) {
      const Index set = piece / count, place = piece % count, subset = done + place;
      const Index first = layout.begin(set), visible = layout.visible(set);
      const RateScale scale{d, visible, options.epsilon};
      const double step = (subset == 0 ? 1 : -1) * options.kappa * step_factor<S>(scale);
      terms.block(place * d, first + visible, d, layout.length(set) - visible).setZero();
      body(subset, first, visible, terms.block(place * d, first, d, visible), scale, step);
    });
    for_each_columns(z.cols(), threads, [&](Index j, Index n) {
      if (done == 0) out.middleCols(j, n) = z.middleCols(j, n);
      for (Index place = 0; place < count; ++place) out.middleCols(j, n) += terms.block(place * d, j, d, n);
    });
  }
}

/// out = Z + kappa (grad R(Z) - grad R^c(Z | Pi)); `projected` is U^T Z.
template <crate::Scalar S>
void soft_partition_step(ConstTokens<S> z, ConstTokens<S> projected, Index heads, const TokenLayout& layout,
                         const CompressionOptions& options, Tokens<S> out, Workspace& workspace, Threads& threads) {
  Workspace::Frame frame(workspace);
  auto shares = frame.template matrix<S>(heads + 1, z.cols());
  subset_shares_into<S>(projected, heads, options.logit_scale, shares);
  const auto step_on_subset = [&](Index subset, Index first, Index visible, Tokens<S> term, const RateScale& scale,
                                  double step) {
    const SubsetWeights<S> weights(shares.row(subset).segment(first, visible));
    term = z.middleCols(first, visible) * weights.before.asDiagonal();
    exact_in_place(term, scale);
    term = term * (static_cast<S>(step) * weights.after).asDiagonal();
  };
  add_subset_terms<S>(z, heads + 1, layout, options, out, workspace, threads, step_on_subset);
}

/// The part of one subset in the adjoint of soft_partition_step, X = Z diag(before), F = T(X):
/// `term` becomes dL/dX diag(before), and `share_cotangents` the shares times dL by each of them.
template <crate::Scalar S, class Shares>
void subset_adjoint_into(ConstTokens<S> z, ConstTokens<S> cotangent, const Shares& own, const RateScale& scale,
                         double step, Tokens<S> term, Eigen::Ref<Vector<S>> share_cotangents) {
  const SubsetWeights<S> weights(own);
  const Matrix<S> x = z * weights.before.asDiagonal();
  const Matrix<S> c = cotangent * (static_cast<S>(step) * weights.after).asDiagonal();
  Matrix<S> f = x, x_cotangent(x.rows(), x.cols());
  exact_in_place(f, scale);
  exact_adjoint_into<S>(x, f, c, scale, x_cotangent);
  const Vector<S> before_cotangent = x.cwiseProduct(x_cotangent).colwise().sum(),
                  after_cotangent = c.cwiseProduct(f).colwise().sum();
  const double count_cotangent =
      weights.count > 0 ? static_cast<double>((after_cotangent - before_cotangent).sum()) / weights.count : 0;
  share_cotangents = (before_cotangent + after_cotangent + static_cast<S>(count_cotangent) * own.transpose()) / 2;
  term = x_cotangent * weights.before.asDiagonal();
}

/// The adjoint of soft_partition_step: dL/dZ, and dL/dU added to `bases_cotangent`.
template <crate::Scalar S>
void soft_partition_step_adjoint(ConstTokens<S> z, ConstTokens<S> projected, ConstTokens<S> bases, Index heads,
                                 const TokenLayout& layout, const CompressionOptions& options, ConstTokens<S> cotangent,
                                 Tokens<S> z_cotangent, Tokens<S> bases_cotangent, Workspace& workspace,
                                 Threads& threads) {
  const Index p = projected.rows() / heads;
  Workspace::Frame frame(workspace);
  auto shares = frame.template matrix<S>(heads + 1, z.cols());
  auto share_cotangents = frame.template matrix<S>(z.cols(), heads + 1);
  auto projected_cotangent = frame.template matrix<S>(projected.rows(), projected.cols());
  subset_shares_into<S>(projected, heads, options.logit_scale, shares);
  share_cotangents.setZero();  // of padding
  const auto adjoint_of_subset = [&](Index subset, Index first, Index visible, Tokens<S> term, const RateScale& scale,
                                     double step) {
    subset_adjoint_into<S>(z.middleCols(first, visible), cotangent.middleCols(first, visible),
                           shares.row(subset).segment(first, visible), scale, step, term,
                           share_cotangents.col(subset).segment(first, visible));
  };
  add_subset_terms<S>(cotangent, heads + 1, layout, options, z_cotangent, workspace, threads, adjoint_of_subset);
  const Vector<S> total = share_cotangents.rightCols(heads).rowwise().sum();
  for (Index k = 0; k < heads; ++k) {
    const Vector<S> logit_cotangent = share_cotangents.col(k + 1) - shares.row(k + 1).transpose().cwiseProduct(total);
    projected_cotangent.middleRows(k * p, p) =
        projected.middleRows(k * p, p) * (static_cast<S>(2 * options.logit_scale) * logit_cotangent).asDiagonal();
  }
  multiply_add(1, bases, projected_cotangent, z_cotangent, threads);
  multiply_add(1, z, projected_cotangent.transpose(), bases_cotangent, threads);
}

/// The step on Delta R that the options name.
template <crate::Scalar S>
void rate_reduction_step(ConstTokens<S> z, ConstTokens<S> projected, ConstTokens<S> bases, Index heads,
                         const TokenLayout& layout, const CompressionOptions& options, Tokens<S> out,
                         Workspace& workspace, Threads& threads) {
  if (options.step == CompressionStep::soft_partition)
    soft_partition_step<S>(z, projected, heads, layout, options, out, workspace, threads);
  else
    plain_rate_reduction_step<S>(z, projected, bases, heads, layout, options, out, workspace, threads);
}

/// Its adjoint: dL/dZ, and dL/dU added to `bases_cotangent`.
template <crate::Scalar S>
void rate_reduction_step_adjoint(ConstTokens<S> z, ConstTokens<S> projected, ConstTokens<S> bases, Index heads,
                                 const TokenLayout& layout, const CompressionOptions& options, ConstTokens<S> cotangent,
                                 Tokens<S> z_cotangent, Tokens<S> bases_cotangent, Workspace& workspace,
                                 Threads& threads) {
  if (options.step == CompressionStep::soft_partition)
    soft_partition_step_adjoint<S>(z, projected, bases, heads, layout, options, cotangent, z_cotangent, bases_cotangent,
                                   workspace, threads);
  else
    plain_rate_reduction_step_adjoint<S>(z, projected, bases, heads, layout, options, cotangent, z_cotangent,
                                         bases_cotangent, workspace, threads);
}

}  // namespace crate::detail
