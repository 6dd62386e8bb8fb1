// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "crate/layers/chain.hpp"
#include "crate/layers/compression.hpp"
#include "crate/layers/dictionary.hpp"
#include "crate/layers/ista.hpp"
#include "crate/layers/mssa.hpp"

namespace crate {

struct StrictBlockOptions {
  Index dim = 0;       ///< d >= 1
  Index heads = 0;     ///< K >= 1
  Index head_dim = 0;  ///< p; 0 for d / K
  CompressionOptions compression = {};
  IstaOptions ista = {};

  /// U = 0 of the right size. Throws OptionError on an option out of range.
  template <crate::Scalar S>
  [[nodiscard]] Subspaces<Matrix<S>> zero_subspaces() const {
    const MssaOptions sizes{.dim = dim, .heads = heads, .head_dim = head_dim};
    sizes.check();
    return {Matrix<S>::Zero(dim, heads * sizes.subspace_dim()), heads};
  }
};

/// A layer as derived, without norms, residuals or free maps:
///   Z^{l+1/2} = Z^l - kappa grad R^c(Z^l | U^l)
///   Z^{l+1}   = ISTA(Z^{l+1/2} | D^l)
/// Source: arXiv 2311.13110, eqs. (10) and (17). The compression step is exact unless the options say otherwise.
template <crate::Scalar S>
struct StrictBlock : Chain<StrictBlock<S>, S> {
  using Options = StrictBlockOptions;

  Compression<S> compress;
  Ista<S> sparsify;

  /// All zero. Throws OptionError on an option out of range.
  explicit StrictBlock(const Options& o)
      : compress(o.template zero_subspaces<S>(), o.compression), sparsify(o.dim, o.ista) {}

  static constexpr auto parts() {
    return std::tuple{part("compress", &StrictBlock::compress), part("sparsify", &StrictBlock::sparsify)};
  }
};

/// The mirror of StrictBlock, a step back in time: expand the code, then ascend R^c (kappa is negated here):
///   Z'      = D^l Z^l
///   Z^{l+1} = Z' + kappa grad R^c(Z' | U^l)
/// Source: arXiv 2404.02446.
template <crate::Scalar S>
struct StrictDecoderBlock : Chain<StrictDecoderBlock<S>, S> {
  using Options = StrictBlockOptions;

  Dictionary<S> expand;
  Compression<S> decompress;

  /// All zero. Throws OptionError on an option out of range.
  explicit StrictDecoderBlock(const Options& o)
      : expand(o.dim), decompress(o.template zero_subspaces<S>(), ascending(o.compression)) {}

  static constexpr auto parts() {
    return std::tuple{part("expand", &StrictDecoderBlock::expand), part("decompress", &StrictDecoderBlock::decompress)};
  }

 private:
  static CompressionOptions ascending(CompressionOptions compression) {
    compression.kappa = -compression.kappa;
    return compression;
  }
};

}  // namespace crate
