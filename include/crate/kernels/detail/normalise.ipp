// SPDX-License-Identifier: MIT

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

template <Scalar S>
struct TokenStatistics {
  S mean;
  S inverse_deviation;  ///< 1 / sqrt(variance + epsilon)
};

/// Sum over the token of f(z), vectors of zeros beyond its end left out. (f is generic, for g++ compiles other lambdas
/// that return vectors before it knows the instruction set.)
template <class V, class F>
[[nodiscard]] ElementOf<V> sum_over(const ElementOf<V>* z, Index dim, const F& f) {
  constexpr Index lanes = lanes_of<V>;
  Registers<V, 4> sums = {};
  Index i = 0;
  for (; i + 4 * lanes <= dim; i += 4 * lanes)
    unrolled<4>([&](auto part) { sums[part] += f(load<V>(z + i + part * lanes)); });
  for (; i + lanes <= dim; i += lanes) sums[0] += f(load<V>(z + i));
  ElementOf<V> sum = sum_of(V((sums[0] + sums[1]) + (sums[2] + sums[3])));
  for (; i < dim; ++i) sum += f(V{} + z[i])[0];
  return sum;
}

/// Mean and deviation of a token's coordinates, in two passes, by sums in an order that depends on their number alone.
template <Scalar S>
[[nodiscard]] TokenStatistics<S> token_statistics(const S* z, Index dim, double epsilon) {
  using V = Simd<S>;
  const S count = static_cast<S>(dim);
  const S mean = sum_over<V>(z, dim, [](const auto& x) { return x; }) / count;
  const S variance = sum_over<V>(z, dim, [&](const auto& x) { return (x - mean) * (x - mean); }) / count;
  return {mean, 1 / std::sqrt(variance + static_cast<S>(epsilon))};
}

/// inverse_deviations[j] = 1 / sigma of token j.
template <Scalar S>
void inverse_deviations_into(Columns<const S> z, Index dim, Index cols, double epsilon, S* inverse_deviations,
                             Threads& threads) {
  for_each_columns(cols, threads, [&](Index first, Index count) {
    for (Index j = first; j < first + count; ++j)
      inverse_deviations[j] = token_statistics(z.at(0, j), dim, epsilon).inverse_deviation;
  });
}

/// out = inverse_deviation (z - mean) for one token, and 0 up to a whole number of pairs.
template <class Out>
void normalise_token(const float* z, Index dim, float mean, float inverse_deviation, Out* out) {
  using V = Simd<float>;
  constexpr std::integral_constant<Index, lanes_of<V>> whole;
  const auto normalised = [&](Index i, auto count) {
    return V((load_first<V>(z + i, count, mean) - mean) * inverse_deviation);
  };
  Index i = 0;
  for (; i + whole <= dim; i += whole) store_rounded(normalised(i, whole), out + i, whole);
  if (i < dim) store_rounded(normalised(i, dim - i), out + i, round_up(dim - i, 2));
}

/// out = z, or with an epsilon (z - mean) / sigma, each token followed by 0 up to a whole number of pairs.
template <class Out>
void normalise_tokens_into(Columns<const float> z, Index dim, Index cols, std::optional<double> norm_epsilon,
                           Columns<Out> out, Threads& threads) {
  for_each_columns(cols, threads, [&](Index first, Index count) {
    for (Index j = first; j < first + count; ++j) {
      const auto [mean, inverse_deviation] =
          norm_epsilon ? token_statistics(z.at(0, j), dim, *norm_epsilon) : TokenStatistics<float>{0, 1};
      normalise_token(z.at(0, j), dim, mean, inverse_deviation, out.at(0, j));
    }
  });
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
