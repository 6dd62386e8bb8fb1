// SPDX-License-Identifier: MIT
// Layer norms that are trained, forward and backward.
//
// Letters: z token, d numbers; x = (z - mean z) / sqrt(var z + epsilon); w, b weight and bias of the norm; c cotangent.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// body(i, count) for the vectors that cover 0, ..., size - 1; the count is a constant but for the last.
template <class V, class Body>
[[gnu::always_inline]] inline void for_each_vector(Index size, const Body& body) {
  constexpr std::integral_constant<Index, lanes_of<V>> whole;
  Index i = 0;
  for (; i + whole <= size; i += whole) body(i, whole);
  if (i < size) body(i, size - i);
}

/// out = w .* x + b for `cols` tokens, whose mean and 1 / sqrt(var + epsilon) are left beside them.
template <Scalar S>
void layer_norm_into(Columns<const S> z, Index dim, Index cols, const NormWeights<S>& norm, Columns<S> out,
                     NormStatistics<S> statistics, Threads& threads) {
  using V = Simd<S>;
  for_each_columns(cols, threads, [&](Index first, Index columns) {
    for (Index j = first; j < first + columns; ++j) {
      const S* const token = z.at(0, j);
      const auto [mean, inverse_deviation] = token_statistics(token, dim, norm.epsilon);
      statistics.mean[j] = mean;
      statistics.inverse_deviation[j] = inverse_deviation;
      for_each_vector<V>(dim, [&, mean = mean, inverse_deviation = inverse_deviation](Index i, auto count) {
        const V x = (load_first<V>(token + i, count) - mean) * inverse_deviation;
        store_rounded(x * load_first<V>(norm.weight + i, count) + load_first<V>(norm.bias + i, count), out.at(i, j),
                      count);
      });
    }
  });
}

/// With g = w .* c: out = (g - mean(g) - x mean(g .* x)) / sqrt(var + epsilon) for one token.
template <Scalar S>
void layer_norm_adjoint_token(const S* token, const S* cotangent, Index dim, const S* weight, S mean,
                              S inverse_deviation, S* out) {
  using V = Simd<S>;
  V sum{}, sum_along{};
  for_each_vector<V>(dim, [&](Index i, auto count) {
    const V g = load_first<V>(weight + i, count) * load_first<V>(cotangent + i, count);  // 0 beyond the last
    sum += g;
    sum_along += g * ((load_first<V>(token + i, count, mean) - mean) * inverse_deviation);
  });
  const S mean_g = sum_of(sum) / static_cast<S>(dim), along = sum_of(sum_along) / static_cast<S>(dim);
  for_each_vector<V>(dim, [&](Index i, auto count) {
    const V g = load_first<V>(weight + i, count) * load_first<V>(cotangent + i, count);
    const V x = (load_first<V>(token + i, count) - mean) * inverse_deviation;
    store_rounded((g - mean_g - x * along) * inverse_deviation, out + i, count);
  });
}

/// weight_gradient += sum over tokens of c .* x, bias_gradient += sum of c, for `vectors` vectors of rows, the first
/// `count` of each.
template <int vectors, Scalar S>
[[gnu::always_inline]] inline void add_norm_weight_adjoint(Columns<const S> z, Columns<const S> cotangent, Index row,
                                                           auto count, Index cols, NormStatistics<const S> statistics,
                                                           NormGradient<S> gradient) {
  using V = Simd<S>;
  constexpr Index lanes = lanes_of<V>;
  Registers<V, vectors> by_weight, by_bias;
  unrolled<vectors>([&](auto v) {
    by_weight[v] = load_first<V>(gradient.weight + row + v * lanes, count);
    by_bias[v] = load_first<V>(gradient.bias + row + v * lanes, count);
  });
  for (Index j = 0; j < cols; ++j) {
    const S mean = statistics.mean[j], inverse_deviation = statistics.inverse_deviation[j];
    unrolled<vectors>([&](auto v) {
      const V c = load_first<V>(cotangent.at(row + v * lanes, j), count);
      by_weight[v] += c * ((load_first<V>(z.at(row + v * lanes, j), count) - mean) * inverse_deviation);
      by_bias[v] += c;
    });
  }
  unrolled<vectors>([&](auto v) {
    store_rounded(by_weight[v], gradient.weight + row + v * lanes, count);
    store_rounded(by_bias[v], gradient.bias + row + v * lanes, count);
  });
}

/// The adjoint of layer_norm_into: out = dL/dZ of the cotangent dL/dout, and what belongs to weight and bias is added
/// to their gradients, token after token.
template <Scalar S>
void layer_norm_adjoint_into(Columns<const S> z, Columns<const S> cotangent, Index dim, Index cols, const S* weight,
                             NormStatistics<const S> statistics, NormGradient<S> gradient, Columns<S> out,
                             Threads& threads) {
  constexpr int vectors = 4;
  constexpr std::integral_constant<Index, lanes_of<Simd<S>>> lanes;
  threads.for_each_range(dim, vectors * lanes, [&](Index row, Index rows, int) {
    if (rows == vectors * lanes)
      return add_norm_weight_adjoint<vectors, S>(z, cotangent, row, lanes, cols, statistics, gradient);
    for_each_vector<Simd<S>>(rows, [&](Index i, auto count) {
      add_norm_weight_adjoint<1, S>(z, cotangent, row + i, count, cols, statistics, gradient);
    });
  });
  for_each_columns(cols, threads, [&](Index first, Index count) {
    for (Index j = first; j < first + count; ++j)
      layer_norm_adjoint_token(z.at(0, j), cotangent.at(0, j), dim, weight, statistics.mean[j],
                               statistics.inverse_deviation[j], out.at(0, j));
  });
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
