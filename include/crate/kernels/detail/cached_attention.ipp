// SPDX-License-Identifier: MIT
// Attention of one query at a time to keys and values where they lie: what is read of a head fits the second cache, so
// that in subspace attention, whose keys are the values, each is read from memory once.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// scores[j] = k_j^T q.
template <Scalar S>
void scores_of(const S* q, Columns<const S> k, Index dim, Index seen, S* scores) {
  using V = Simd<S>;
  constexpr Index lanes = lanes_of<V>;
  for (Index j = 0; j < seen; ++j) {
    const S* const key = k.at(0, j);
    V sum{};
    Index i = 0;
    for (; i + lanes <= dim; i += lanes) sum += load<V>(key + i) * load<V>(q + i);
    if (i < dim) sum += load_first<V>(key + i, dim - i) * load_first<V>(q + i, dim - i);
    scores[j] = sum_of(sum);
  }
}

/// out = scale sum over j of weights[j] v_j, of `vectors` vectors of rows, the first `count` rows of each; by two sums,
/// of even and odd j.
template <int vectors, Scalar S, class Out>
[[gnu::always_inline]] inline void average_rows(const S* weights, Columns<const S> v, auto count, Index seen, S scale,
                                                Out* out) {
  using V = Simd<S>;
  constexpr Index lanes = lanes_of<V>;
  Registers<V, vectors> even = {}, odd = {};
  const auto add = [&](Registers<V, vectors> & sums, Index j) __attribute__((always_inline)) {
    unrolled<vectors>([&](auto i) __attribute__((always_inline)) {
      sums[i] += load_first<V>(v.at(i * lanes, j), count) * weights[j];
    });
  };
  Index j = 0;
  for (; j + 1 < seen; j += 2) {
    add(even, j);
    add(odd, j + 1);
  }
  if (j < seen) add(even, j);
  unrolled<vectors>([&](auto i) { store_rounded(V((even[i] + odd[i]) * scale), out + i * lanes, count); });
}

/// out = scale sum over j of weights[j] v_j.
template <Scalar S, class Out>
void average(const S* weights, Columns<const S> v, Index dim, Index seen, S scale, Out* out) {
  constexpr Index lanes = lanes_of<Simd<S>>;
  constexpr std::integral_constant<Index, lanes> whole;
  const auto from = [&](Index i) { return Columns<const S>{v.at(i, 0), v.stride}; };
  Index i = 0;
  for (; i + 4 * lanes <= dim; i += 4 * lanes) average_rows<4>(weights, from(i), whole, seen, scale, out + i);
  for (; i + lanes <= dim; i += lanes) average_rows<1>(weights, from(i), whole, seen, scale, out + i);
  if (i < dim) average_rows<1>(weights, from(i), dim - i, seen, scale, out + i);
}

/// See kernels/attention.hpp.
template <Scalar S, class Out>
void attend_cached(const CachedHeads<S>& heads, Columns<Out> out, Workspace& workspace, Threads& threads) {
  const TokenLayout& layout = heads.layout;
  Index longest = 0;
  for (Index s = 0; s < layout.sets(); ++s) longest = std::max(longest, heads.sets[s].past + layout.length(s));
  Workspace::Frame frame(workspace);
  const Index each = strip_stride<S>(longest) + 64 / Index{sizeof(S)};
  S* const rooms = frame.array<S>(each * threads.count());
  for (Index s = 0; s < layout.sets(); ++s) {
    const CachedSet<S>& set = heads.sets[s];
    const Index length = layout.length(s);  // of each head the queries in turn, while the cache holds its keys
    threads.for_each(heads.count * length, [&](Index piece, int worker) {
      const Index head = piece / length, j = piece % length, row = head * heads.dim;
      const Index token = layout.begin(s) + j;
      const Index seen = set.past + j + 1;
      S* const scores = rooms + worker * each;
      scores_of<S>(heads.queries.at(row, token), {set.keys + head * set.head_step, heads.dim}, heads.dim, seen, scores);
      const S inverse_sum = exponentials_in_place<S>(scores, seen, seen, heads.scale).inverse_sum;
      average<S>(scores, {set.values + head * set.head_step, heads.dim}, heads.dim, seen, inverse_sum,
                 out.at(row, token));
    });
  }
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
