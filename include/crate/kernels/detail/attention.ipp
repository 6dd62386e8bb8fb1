// SPDX-License-Identifier: MIT
// Subspace attention by the micro-kernel, a strip of a few queries at a time: their scores against all keys, the softmax, and the
// averages of the values stay in the first cache.
//
// Letters: H_k = U_k^T Z, p x N, are queries, keys and values of head k. The Gram matrix H_k^T H_k is symmetric, but half of it would
// have to be transposed from where it was computed to where it is averaged with; that costs about what it saves.

namespace crate::detail::CRATE_TARGET {

/// One panel of H_k^T, p x `keys`: `width` keys from `key` on, whole vectors of them, step by step their p coordinates. Beyond the
/// last it is repeated.
template <Scalar S>
void pack_panel(Columns<const S> h_k, Index head_dim, Index key, Index keys, Index width, S* panel) {
  using V = Simd<S>;
  constexpr Index lanes = lanes_of<V>;
  for (Index i = 0; i < width; i += lanes)
    for (Index c = 0; c < head_dim; c += lanes) {
      Registers<V, lanes> square;
      for (Index k = 0; k < lanes; ++k) square[k] = load<V>(h_k.at(c, std::min(key + i + k, keys - 1)));
      transpose(square);
      for (Index k = 0; k < std::min(lanes, head_dim - c); ++k) store(square[k], panel + (c + k) * width + i);
    }
}

/// Replaces the first `seen` of a query's scores s by exp(scale s - max scale s), those up to `keys` by 0. Returns 1 / their sum.
template <Scalar S>
[[nodiscard]] S exponentials_in_place(S* scores, Index seen, Index keys, S scale) {
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
  return 1 / sum_of(sum);
}

/// A head on one token set.
template <Scalar S>
struct Head {
  Columns<const S> h;  ///< H_k, p x N
  Index dim;           ///< p
  Index visible;
  S* packed;  ///< room for H_k^T of the visible tokens, by panels
  S* strip;   ///< room for the scores of a tile of queries

  void pack() const {
    using T = Tiles<Arithmetic<S>>;
    for (Index key = 0; key < visible; key += T::rows)
      pack_panel(h, dim, key, visible, round_up(std::min(T::rows, visible - key), T::lanes), packed + key * dim);
  }

  /// out = H_k softmax(scale H_k^T Q) for n queries Q = H_k[:, first ... first + n - 1], at most as many as a tile has columns.
  template <class Out>
  void attend(Index first, Index n, bool causal, S scale, Columns<Out> out) const {
    using A = Arithmetic<S>;
    using T = Tiles<A>;
    const Index keys = causal ? std::min(visible, first + n) : visible;
    const Index stride = round_up(keys, T::lanes);
    for (Index key = 0; key < keys; key += T::rows) {
      const Index packed_vectors = (std::min(T::rows, visible - key) + T::lanes - 1) / T::lanes;
      const Index vectors = (std::min(T::rows, keys - key) + T::lanes - 1) / T::lanes;
      T::kernel(vectors, n)(packed + key * dim, packed_vectors * T::lanes, dim, h.at(0, first), h.stride, strip + key,
                            stride);
    }
    alignas(64) S inverse_sums[static_cast<std::size_t>(T::columns)];
    for (Index j = 0; j < n; ++j)
      inverse_sums[j] =
          exponentials_in_place(strip + j * stride, causal ? std::min(keys, first + j + 1) : keys, keys, scale);
    alignas(64) S sums[static_cast<std::size_t>(T::rows * T::columns)];
    for (Index row = 0; row < dim; row += T::rows) {
      const Index rows = std::min(T::rows, dim - row), vectors = (rows + T::lanes - 1) / T::lanes;
      T::kernel(vectors, n)(h.at(row, 0), h.stride, keys, strip, stride, sums, T::rows);
      finish_tile<A>(sums, row, rows, 0, n, Epilogue<S>{.column_scale = inverse_sums},
                     Columns<Out>{out.at(0, first), out.stride});
    }
  }
};

/// Numbers that a worker takes: for the packed keys, for a strip of scores, and for a gap as long as what is fetched ahead, since that
/// must not be what the next worker writes.
template <Scalar S>
[[nodiscard]] Index numbers_of_worker(Index head_dim, const TokenLayout& layout) {
  using T = Tiles<Arithmetic<S>>;
  constexpr Index gap = tile_steps_ahead * T::rows;
  return round_up(layout.longest(), T::lanes) * (head_dim + T::columns) + gap;
}

/// For every set of the layout and every head: out = SSA of the head's rows of H, both (heads * head_dim) x (total tokens). Of H,
/// whole vectors may be read at the last rows. Heads stored as bfloat16 have an even dimension. Logits are scaled; if causal, a
/// query sees the keys up to its own. With `first_tokens`, only those of the first token of each set, side by side.
template <Scalar S, class Out>
void attend_heads(Columns<const S> h, Index heads, Index head_dim, const TokenLayout& layout, bool causal, S scale,
                  bool first_tokens, Columns<Out> out, Workspace& workspace, Threads& threads) {
  using T = Tiles<Arithmetic<S>>;
  constexpr Index largest_group = 128;  // queries of a piece; each packs the keys anew
  const Index queries = first_tokens ? std::min<Index>(1, layout.longest()) : layout.longest();
  const Index groups = (queries + largest_group - 1) / largest_group;
  const Index group = round_up((queries + groups - 1) / std::max<Index>(groups, 1), T::columns);
  const Index keys = round_up(layout.longest(), T::lanes);
  Workspace::Frame frame(workspace);
  const Index each = numbers_of_worker<S>(head_dim, layout);
  S* const rooms = frame.array<S>(each * threads.count());
  threads.for_each(layout.sets() * heads * groups, [&](Index piece, int worker) {
    const Index set = piece / (heads * groups), row = piece / groups % heads * head_dim, begin = piece % groups * group;
    const Index token = layout.begin(set), end = std::min({begin + group, queries, layout.length(set)});
    if (begin >= end) return;
    const Head<S> head{{h.at(row, token), h.stride},
                       head_dim,
                       layout.visible(set),
                       rooms + worker * each,
                       rooms + worker * each + keys * head_dim};
    head.pack();
    for (Index first = begin; first < end; first += T::columns)
      head.attend(first, std::min<Index>(T::columns, end - first), causal, scale,
                  Columns<Out>{out.at(row, first_tokens ? set : token), out.stride});
  });
}

}  // namespace crate::detail::CRATE_TARGET
