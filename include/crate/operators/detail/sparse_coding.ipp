// SPDX-License-Identifier: MIT
// The bodies of sparse_coding.hpp.

namespace crate {

namespace detail {

/// codes = prox(eta D^T Z), the first step, from zero.
template <class Z, class D, class Codes>
void first_sparse_code_into(const Z& z, const D& d, const SparseCodeOptions& options, Codes& codes, Threads& threads) {
  using S = typename Z::Scalar;
  const double level = options.step * options.lambda;
  multiply(d.transpose(), z, codes, proximal<S>(options.step, {}, level, options.threshold), threads);
}

/// next = prox(codes + eta D^T residual), with residual = Z - D codes left in its room. No overlaps, but `next` may be
/// `codes`.
template <class Z, class D, class Codes, class Residual, class Next>
void improve_sparse_code(const Z& z, const D& d, const SparseCodeOptions& options, const Codes& codes,
                         Residual& residual, Next& next, Threads& threads) {
  using S = typename Z::Scalar;
  const double level = options.step * options.lambda;
  multiply(d, codes, residual, {.scale = S(-1), .addend = view_of<const S>(z)}, threads);
  multiply(d.transpose(), residual, next, proximal<S>(options.step, view_of<const S>(codes), level, options.threshold),
           threads);
}

/// codes = A after `options.steps` steps of the iteration below; `residual` is d x N room for Z - D A. No overlaps.
template <class Z, class D, class Residual, class Codes>
void sparse_code_into(const Z& z, const D& d, const SparseCodeOptions& options, Residual& residual, Codes& codes,
                      Threads& threads) {
  first_sparse_code_into(z, d, options, codes, threads);
  for (Index t = 1; t < options.steps; ++t) improve_sparse_code(z, d, options, codes, residual, codes, threads);
}

/// The adjoint of improve_sparse_code. On entry `cotangent` is G, dL/dA^{t+1} where the step returned no zero; on
/// return it is dL/dA^t where A^t is not zero; with R = Z - D A^t and E = eta D G:
///   dL/dA^t = G - D^T E,   dL/dZ += E,   dL/dD += eta R G^T - E (A^t)^T.
/// `expanded` is room for E.
template <class D, class Residual, class Codes, class Cotangent, class Room, class Out, class DGradient>
void improve_sparse_code_adjoint(const D& d, const SparseCodeOptions& options, const Residual& residual,
                                 const Codes& before, Cotangent& cotangent, Room& expanded, Out& z_cotangent,
                                 DGradient& d_gradient, Threads& threads) {
  using S = typename D::Scalar;
  multiply(d, cotangent, expanded, {.scale = static_cast<S>(options.step)}, threads);
  for_each_columns(expanded.cols(), threads,
                   [&](Index j, Index n) { z_cotangent.middleCols(j, n) += expanded.middleCols(j, n); });
  multiply_add(options.step, residual, cotangent.transpose(), d_gradient, threads);
  multiply_add(-1, expanded, before.transpose(), d_gradient, threads);
  multiply(d.transpose(), expanded, cotangent,
           {.scale = S(-1), .addend = view_of<const S>(cotangent), .mask = view_of<const S>(before)}, threads);
}

/// The adjoint of first_sparse_code_into: with G = `cotangent` where the step returned no zero,
/// dL/dZ += eta D G, dL/dD += eta Z G^T.
template <class Z, class D, class Cotangent, class Out, class DGradient>
void first_sparse_code_adjoint(const Z& z, const D& d, const SparseCodeOptions& options, const Cotangent& cotangent,
                               Out& z_cotangent, DGradient& d_gradient, Threads& threads) {
  multiply_add(options.step, d, cotangent, z_cotangent, threads);
  multiply_add(options.step, z, cotangent.transpose(), d_gradient, threads);
}

}  // namespace detail

template <class ZDerived, class DDerived>
requires detail::OneScalar<ZDerived, DDerived>
auto sparse_code(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<DDerived>& dictionary,
                 const SparseCodeOptions& options) {
  using Codes = Plain<decltype(dictionary.transpose() * tokens)>;
  options.check();
  check_size("sparse code: rows of the dictionary", dictionary.rows(), tokens.rows());
  const auto& z = detail::viewable(tokens);
  Plain<ZDerived> residual(z.rows(), z.cols());
  Codes codes(dictionary.cols(), z.cols());
  Threads alone;
  detail::sparse_code_into(z, detail::viewable(dictionary), options, residual, codes, alone);
  return codes;
}

template <class ZDerived, class DDerived, class CotangentDerived>
requires detail::OneScalar<ZDerived, DDerived, CotangentDerived> DictionaryGradient<Plain<ZDerived>, Plain<DDerived>>
sparse_code_adjoint(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<DDerived>& dictionary,
                    const Eigen::MatrixBase<CotangentDerived>& cotangent, const SparseCodeOptions& options) {
  using Codes = Plain<decltype(dictionary.transpose() * tokens)>;
  using TokensPlain = Plain<ZDerived>;
  options.check();
  check_size("sparse code: rows of the dictionary", dictionary.rows(), tokens.rows());
  check_shape("sparse code: cotangent", cotangent, dictionary.cols(), tokens.cols());
  const auto& z = detail::viewable(tokens);
  const auto& d = detail::viewable(dictionary);
  Threads alone;
  std::vector<Codes> codes{Codes(d.cols(), z.cols())};
  std::vector<TokensPlain> residuals{
      TokensPlain(z.rows(), z.cols())};  // residuals[t] belongs to the step from codes[t - 1]
  detail::first_sparse_code_into(z, d, options, codes.front(), alone);
  for (Index t = 1; t < options.steps; ++t) {
    codes.emplace_back(d.cols(), z.cols());
    residuals.emplace_back(z.rows(), z.cols());
    detail::improve_sparse_code(z, d, options, codes[codes.size() - 2], residuals.back(), codes.back(), alone);
  }
  DictionaryGradient<TokensPlain, Plain<DDerived>> gradient{TokensPlain::Zero(z.rows(), z.cols()),
                                                            Plain<DDerived>::Zero(d.rows(), d.cols())};
  Codes code_cotangent(d.cols(), z.cols());
  TokensPlain expanded(z.rows(), z.cols());
  detail::threshold_adjoint(detail::viewable(cotangent), codes.back(), code_cotangent);
  for (std::size_t t = codes.size() - 1; t > 0; --t)
    detail::improve_sparse_code_adjoint(d, options, residuals[t], codes[t - 1], code_cotangent, expanded,
                                        gradient.tokens, gradient.dictionary, alone);
  detail::first_sparse_code_adjoint(z, d, options, code_cotangent, gradient.tokens, gradient.dictionary, alone);
  return gradient;
}

}  // namespace crate
