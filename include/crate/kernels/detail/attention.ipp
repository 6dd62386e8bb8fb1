// SPDX-License-Identifier: MIT
// Attention by the micro-kernel, a strip of a few queries at a time: their scores against all keys, the
// softmax, and the averages of the values stay in the first cache.
//
// Letters: Q_k, K_k and V_k, p x N, are queries, keys and values of head k. In subspace attention all three are
// H_k = U_k^T Z, and H_k^T H_k is symmetric, but half of it would have to be transposed from where it was computed to
// where it is averaged with; that costs about what it saves.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// See SoftmaxTerms; of one query.
template <Scalar S>
struct SoftmaxTerm {
  S largest, inverse_sum;
};

/// Replaces the first `seen` of a query's scores s by exp(scale s - max scale s), those up to `keys` by 0.
template <Scalar S>
[[nodiscard]] SoftmaxTerm<S> exponentials_in_place(S* scores, Index seen, Index keys, S scale) {
  using V = Simd<S>;
  constexpr Index lanes = lanes_of<V>;
  constexpr S lowest = std::numeric_limits<S>::lowest();
  const Index whole = seen / lanes * lanes;
  V largest = V{} + lowest;
  for (Index i = 0; i < whole; i += lanes) largest = larger(largest, V(load<V>(scores + i) * scale));
  if (whole < seen) largest = larger(largest, V(load_first<V>(scores + whole, seen - whole, scores[0]) * scale));
  const S shift = largest_of(largest);
  V sum{};
  for (Index i = 0; i < whole; i += lanes) {
    const V e = exponential(V(load<V>(scores + i) * scale - shift));
    sum += e;
    store(e, scores + i);
  }
  for (Index i = whole; i < keys; i += lanes) {
    V e{};
    if (i < seen) {
      S lanes_seen[static_cast<std::size_t>(lanes)] = {};
      store_first(exponential(V(load<V>(scores + i) * scale - shift)), lanes_seen, seen - i);
      e = load<V>(lanes_seen);
    }
    sum += e;
    store(e, scores + i);
  }
  return {shift, 1 / sum_of(sum)};
}

/// How far apart the scores of two queries lie: whole vectors, and one more, so that they do not all meet in the same
/// place of the cache.
template <Scalar S>
[[nodiscard]] Index strip_stride(Index keys) {
  constexpr Index lanes = lanes_of<Simd<S>>;
  return round_up(keys, lanes) + lanes;
}

/// A panel of values in pairs of keys, the first in the lower half: rows `row` ... `row + count - 1` of V_k, whole
/// vectors of them, step by step the numbers of two keys. Beyond the last row and the last key stands 0.
inline void pack_pairs(Columns<const float> v_k, Index row, Index count, Index keys, BfloatPair* panel) {
  using V = Simd<float>;
  constexpr Index lanes = lanes_of<V>;
  const auto halves = [&](Index i, Index key) {
    const V numbers = key < keys ? load_first<V>(v_k.at(row + i, key), std::min(lanes, count - i)) : V{};
    return rounded_to_bfloat16(numbers);
  };
  for (Index key = 0; key < keys; key += 2)
    for (Index i = 0; i < count; i += lanes, panel += lanes) store(halves(i, key) | (halves(i, key + 1) << 16U), panel);
}

/// Rounds a query's probabilities, and what is left of the last vector, to bfloat16, side by side where they begin.
inline void round_in_place(float* probabilities, Index keys) {
  using V = Simd<float>;
  auto* const rounded = reinterpret_cast<bfloat16*>(probabilities);
  for (Index i = 0; i < keys; i += lanes_of<V>) store_rounded(load<V>(probabilities + i), rounded + i, lanes_of<V>);
}

/// A head on one token set. Probabilities and values may be rounded to Value = bfloat16 before they are averaged with.
template <Scalar S, class Value = S>
struct Head {
  static constexpr bool rounds = !std::same_as<S, Value>;
  using Averaging = Arithmetic<Value>;
  using Unit = typename Averaging::Unit;

  Columns<const S> q, k, v;  ///< Q_k, K_k and V_k, p x N
  Index dim;                 ///< p
  Index visible;
  S* keys;       ///< room for K_k^T of the visible tokens, by panels
  Unit* values;  ///< and for V_k of them, by panels
  S* strip;      ///< room for the scores of a tile of queries

  void pack() const {
    using T = Tiles<Arithmetic<S>>;
    for (Index key = 0; key < visible; key += T::rows) {
      const Index rows = std::min(T::rows, visible - key);
      pack_panel_of<S>({k.at(0, key), rows, dim, k.stride, 1}, round_up(rows, T::lanes), keys + key * dim);
    }
    for (Index row = 0; row < dim; row += T::rows) {
      const Index rows = std::min(T::rows, dim - row);
      if constexpr (rounds)
        pack_pairs(v, row, rows, visible, values + row * steps(visible));
      else
        pack_panel_of<S>({v.at(row, 0), rows, visible, 1, v.stride}, round_up(rows, T::lanes), values + row * visible);
    }
  }

  /// Of an average over so many keys.
  static constexpr Index steps(Index keys) { return rounds ? (keys + 1) / 2 : keys; }

  /// out = V_k softmax(scale K_k^T Q) for n queries Q = Q_k[:, first ... first + n - 1], at most as many as a tile has
  /// columns. The terms of their softmax go to `softmax`, if there is room.
  template <class Out>
  void attend(Index first, Index n, bool causal, S scale, const std::optional<ProbabilityDropout>& dropout,
              SoftmaxTerms<S> softmax, Columns<Out> out) const {
    using A = Arithmetic<S>;
    using T = Tiles<A>;
    const Index seen = seen_keys(causal, visible, first, n), stride = strip_stride<S>(seen);
    for (Index key = 0; key < seen; key += T::rows) {
      const Index packed_vectors = (std::min(T::rows, visible - key) + T::lanes - 1) / T::lanes;
      const Index vectors = (std::min(T::rows, seen - key) + T::lanes - 1) / T::lanes;
      T::kernel(vectors, n)(keys + key * dim, packed_vectors * T::lanes, dim, q.at(0, first), q.stride, strip + key,
                            stride);
    }
    alignas(64) S inverse_sums[static_cast<std::size_t>(T::columns)];
    for (Index j = 0; j < n; ++j) {
      const Index seen_by_one = seen_keys(causal, visible, first + j, 1);
      const SoftmaxTerm<S> term = exponentials_in_place(strip + j * stride, seen_by_one, seen, scale);
      inverse_sums[j] = term.inverse_sum;
      if (dropout) dropout->drop(first + j, 0, seen_by_one, strip + j * stride);
      if constexpr (rounds) round_in_place(strip + j * stride, seen);
      if (softmax.largest.first == nullptr) continue;
      *softmax.largest.at(first + j, 0) = term.largest;
      *softmax.inverse_sum.at(first + j, 0) = term.inverse_sum;
    }
    alignas(64) S sums[static_cast<std::size_t>(T::rows * T::columns)];
    for (Index row = 0; row < dim; row += T::rows) {
      const Index rows = std::min(T::rows, dim - row), vectors = (rows + T::lanes - 1) / T::lanes;
      Tiles<Averaging>::kernel(vectors, n)(values + row * steps(visible), vectors * T::lanes, steps(seen),
                                           reinterpret_cast<const Unit*>(strip), stride, sums, T::rows);
      finish_tile<A>(sums, row, rows, 0, n, Epilogue<S>{.column_scale = inverse_sums},
                     Columns<Out>{out.at(0, first), out.stride});
    }
  }
};

/// Numbers that a worker takes: for packed keys and values, for a strip of scores, and for the gap to the next worker.
template <Scalar S>
[[nodiscard]] Index numbers_of_worker(Index head_dim, const TokenLayout& layout) {
  using T = Tiles<Arithmetic<S>>;
  const Index tokens = round_up(layout.longest(), T::lanes);
  return tokens * (head_dim + round_up(head_dim, T::lanes)) + strip_stride<S>(tokens) * T::columns + gap_of_workers<S>;
}

/// See kernels/attention.hpp; the terms of the softmax are kept where there is room for them.
template <class Value, Scalar S, class Out>
void attend_heads(const AttentionHeads<S>& heads, bool first_tokens, const AttentionDropout& dropout,
                  SoftmaxTerms<S> softmax, Columns<Out> out, Workspace& workspace, Threads& threads) {
  using T = Tiles<Arithmetic<S>>;
  const TokenLayout& layout = heads.layout;
  const Index queries = first_tokens ? std::min<Index>(1, layout.longest()) : layout.longest();
  const Index groups = (queries + query_block - 1) / query_block;  // each packs the keys anew
  const Index group = round_up((queries + groups - 1) / std::max<Index>(groups, 1), T::columns);
  const Index tokens = round_up(layout.longest(), T::lanes);
  Workspace::Frame frame(workspace);
  const Index each = numbers_of_worker<S>(heads.dim, layout);
  S* const rooms = frame.array<S>(each * threads.count());
  threads.for_each(layout.sets() * heads.count * groups, [&](Index piece, int worker) {
    const Index set = piece / (heads.count * groups), k = piece / groups % heads.count, begin = piece % groups * group;
    const Index token = layout.begin(set), end = std::min({begin + group, queries, layout.length(set)});
    if (begin >= end) return;
    S* const keys = rooms + worker * each;
    S* const values = keys + tokens * heads.dim;
    S* const strip = values + tokens * round_up(heads.dim, T::lanes);
    const auto of_head = [&](Columns<const S> all) {
      return Columns<const S>{all.at(k * heads.dim, token), all.stride};
    };
    const Head<S, Value> head{of_head(heads.queries),
                              of_head(heads.keys),
                              of_head(heads.values),
                              heads.dim,
                              layout.visible(set),
                              keys,
                              reinterpret_cast<typename Arithmetic<Value>::Unit*>(values),
                              strip};
    head.pack();
    std::optional<ProbabilityDropout> drop;
    if (dropout.probability != 0)
      drop.emplace(ProbabilityDropout{dropout, set, k, layout.length(set), head.visible, heads.causal});
    const SoftmaxTerms<S> terms = softmax.largest.first == nullptr
                                      ? softmax
                                      : SoftmaxTerms<S>{{softmax.largest.at(token, k), softmax.largest.stride},
                                                        {softmax.inverse_sum.at(token, k), softmax.inverse_sum.stride}};
    for (Index first = begin; first < end; first += T::columns)
      head.attend(first, std::min<Index>(T::columns, end - first), heads.causal, heads.scale, drop, terms,
                  Columns<Out>{out.at(k * heads.dim, first_tokens ? set : token), out.stride});
  });
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
