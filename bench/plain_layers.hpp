// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "crate/crate.hpp"
#include "plain_dropout.hpp"  // of the tests

// What layers and blocks compute, by the pure operators: on one token set, in double.

namespace crate::bench {

using Wide = Matrix<double>;

template <class Derived>
Wide wide(const Eigen::MatrixBase<Derived>& matrix) {
  return matrix.template cast<double>();
}

template <Scalar S>
Subspaces<Wide> wide(const Subspaces<Matrix<S>>& subspaces) {
  return {wide(subspaces.bases()), subspaces.heads()};
}

template <Scalar S>
Wide plain(const LayerNorm<S>& norm, const Wide& z) {
  return layer_norm(z, wide(norm.weight), wide(norm.bias), norm.options);
}

template <Scalar S>
Wide plain(const Mssa<S>& layer, const Wide& z) {
  if (!layer.output) return mssa(z, wide(layer.subspaces), layer.attention);
  const Linear<S>& output = *layer.output;
  const Wide bias = output.bias.size() != 0 ? wide(output.bias) : Wide::Zero(output.output_dim(), 1);
  return mssa(z, wide(layer.subspaces), wide(output.weight), bias, layer.attention);
}

template <Scalar S>
Wide plain(const Compression<S>& layer, const Wide& z) {
  return compress(z, wide(layer.subspaces), layer.options);
}

template <Scalar S>
Wide plain(const Ista<S>& layer, const Wide& z) {
  return ista(z, wide(layer.dictionary), layer.options);
}

template <Scalar S>
Wide plain(const OvercompleteIsta<S>& layer, const Wide& z) {
  return wide(layer.decoding.size() != 0 ? layer.decoding : layer.dictionary) *
         sparse_code(z, wide(layer.dictionary), layer.options);
}

template <Scalar S>
Wide plain(const Dictionary<S>& layer, const Wide& z) {
  return wide(layer.dictionary) * z;
}

template <Scalar S>
Wide plain(const Linear<S>& layer, const Wide& z) {
  return (wide(layer.weight) * z).colwise() + Eigen::VectorXd(wide(layer.bias));
}

template <Scalar S>
Wide plain(const SelfAttention<S>& layer, const Wide& z) {
  const Wide projected = plain(layer.projection, z);
  const Index d = layer.output.input_dim();
  const Wide attended = attention(projected.topRows(d), projected.middleRows(d, d), projected.bottomRows(d),
                                  layer.heads, layer.attention);
  return plain(layer.output, attended);
}

template <Scalar S>
Wide plain(const Gelu<S>& layer, const Wide& z) {
  return gelu(z, layer.form);
}

/// Of what a recorded pass draws at step 0 of seed 0.
template <Scalar S>
Wide plain_dropout(const Dropout<S>& layer, const TokenSets<S>& z) {
  Wide out = wide(z.tokens);
  for (Index s = 0; s < z.layout.sets(); ++s)
    test::plain_drop({}, 0, s, 0, layer.dropout, out.middleCols(z.layout.begin(s), z.layout.length(s)));
  return out;
}

template <class Self, Scalar S>
Wide plain(const Chain<Self, S>& chain, const Wide& z);

template <class Inner>
Wide plain(const PreNorm<Inner>& layer, const Wide& z) {
  return plain(layer.layer, plain(layer.norm, z));
}

template <class Inner, int sign>
Wide plain(const detail::SignedResidual<Inner, sign>& layer, const Wide& z) {
  return z + sign * plain(layer.branch, z);
}

template <class Self, Scalar S>
Wide plain(const Chain<Self, S>& chain, const Wide& z) {
  Wide current = z;
  chain.for_each_link([&](std::string_view, const auto& link, std::size_t) { current = plain(link, current); });
  return current;
}

/// Set by set.
template <Layer L>
Wide plain_sets(const L& layer, const TokenSets<typename L::Scalar>& z) {
  Wide out(layer.output_dim(), z.tokens.cols());
  for (Index s = 0; s < z.layout.sets(); ++s) {
    const auto columns = Eigen::seqN(z.layout.begin(s), z.layout.length(s));
    out(Eigen::all, columns) = plain(layer, wide(z.tokens(Eigen::all, columns)));
  }
  return out;
}

}  // namespace crate::bench
