// SPDX-License-Identifier: MIT
// The adjoint of subspace attention by pairs of blocks of tokens, whose probabilities are computed again.
//
// Letters: a head's tokens are cut into blocks I, J, ...; h_i is queries, keys and values alike, c_i and o_i are
// cotangent and result. Since the logits S_ij = scale h_i . h_j are symmetric, what is computed of I and J serves both
// ways:
//   P_ij = exp(S_ij - m_j) / l_j,  P_ji = exp(S_ij - m_i) / l_i,  dS_ij = P_ij (h_i . c_j - o_j . c_j)
//   dL/dh_j += sum over i in I of c_i P_ji + scale h_i (dS_ij + dS_ji), and the same with i and j exchanged.
// That is 3.5 N^2 p multiply-adds where rows and columns each on their own take 5, and all of one pair stays in the
// second cache.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// The dot product of a and b, in an order that depends on their size alone.
template <Scalar S>
[[nodiscard]] S dot_product(const S* a, const S* b, Index size) {
  using V = Simd<S>;
  constexpr Index lanes = lanes_of<V>;
  V sums{};
  Index i = 0;
  for (; i + lanes <= size; i += lanes) sums += load<V>(a + i) * load<V>(b + i);
  S sum = sum_of(sums);
  for (; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

/// Takes consecutive pieces of a worker's room; without room it only counts.
template <Scalar S>
class Room {
 public:
  explicit Room(S* first) : first_(first) {}

  /// Begins on a cache line.
  [[nodiscard]] S* take(Index numbers) {
    S* const piece = first_ == nullptr ? nullptr : first_ + taken_;
    taken_ += round_up(numbers, 64 / Index{sizeof(S)});
    return piece;
  }
  [[nodiscard]] Index taken() const { return taken_; }

 private:
  S* first_;
  Index taken_ = 0;
};

/// The tokens of a block.
struct TokenBlock {
  Index first, count, padded;  ///< padded: up to whole vectors
};

/// The tokens of a block are at most so many. Measured: with more, more is computed of a block with itself, where
/// symmetry saves nothing; with fewer, sums are loaded and stored more often.
inline constexpr Index largest_adjoint_block = 64;

/// How many tokens a block has, all but the last of a set: whole vectors of them.
template <Scalar S>
[[nodiscard]] Index adjoint_block(Index tokens) {
  const Index blocks = (tokens + largest_adjoint_block - 1) / largest_adjoint_block;
  return blocks == 0 ? 0 : round_up((tokens + blocks - 1) / blocks, lanes_of<Simd<S>>);
}

/// body(block) for the blocks that the tokens first, ..., tokens - 1 of a set are cut into.
template <Scalar S, class Body>
void for_each_token_block(Index first, Index tokens, const Body& body) {
  const Index block = adjoint_block<S>(tokens);
  for (; first < tokens; first += block) {
    const Index count = std::min(block, tokens - first);
    body(TokenBlock{first, count, round_up(count, lanes_of<Simd<S>>)});
  }
}

/// X_I^T, columns dim x N, by panels, where the blocks before I leave off.
template <Scalar S>
void pack_block_rows(Columns<const S> x, Index dim, const TokenBlock& i, S* packed) {
  using T = Tiles<Arithmetic<S>>;
  for (Index row = 0; row < i.count; row += T::rows) {
    const Index rows = std::min(T::rows, i.count - row), token = i.first + row;
    pack_panel_of<S>({x.at(0, token), rows, dim, x.stride, 1}, round_up(rows, T::lanes), packed + token * dim);
  }
}

/// to = X_I^T Y_J with X_I^T packed, its columns i.padded numbers apart.
template <Scalar S>
void multiply_block_rows(const S* packed, Index dim, const TokenBlock& i, Columns<const S> y, const TokenBlock& j,
                         S* to) {
  using T = Tiles<Arithmetic<S>>;
  for (Index row = 0; row < i.padded; row += T::rows) {
    const Index vectors = (std::min(T::rows, i.padded - row)) / T::lanes;
    for (Index col = 0; col < j.count; col += T::columns)
      T::kernel(vectors, std::min<Index>(T::columns, j.count - col))(packed + (i.first + row) * dim, vectors * T::lanes,
                                                                     dim, y.at(0, j.first + col), y.stride,
                                                                     to + col * i.padded + row, i.padded);
  }
}

/// The room of a worker. Of tokens, whole vectors; of a pair I, J of blocks, columns for each j in J, or i in I.
template <Scalar S>
struct AdjointRoom {
  S *largest, *inverse_sum, *mean;         ///< m, 1 / l, and o . c, 0 beyond the last token
  S *packed_h, *packed_c;                  ///< H_k^T and C_k^T by panels, block after block
  S* packed_sums;                          ///< [H_k(I), C_k(I)] by panels, block after block
  S *scores, *products, *turned_products;  ///< h_i . h_j, then P_ij; h_i . c_j; c_i . h_j
  S *columns, *turned_columns;    ///< [scale (dS_ij + dS_ji); P_ji] for each j, and for each i with i and j exchanged
  S *kept, *turned_kept, *drawn;  ///< what dropout multiplies P_ij and P_ji by, and room for the latter

  AdjointRoom(Room<S>& room, Index head_dim, Index longest, bool drops)
      : largest(room.take(padded(longest))),
        inverse_sum(room.take(padded(longest))),
        mean(room.take(padded(longest))),
        packed_h(room.take(head_dim * padded(longest))),
        packed_c(room.take(head_dim * padded(longest))),
        packed_sums(room.take(2 * padded(head_dim) * padded(longest))),
        scores(room.take(pair(longest))),
        products(room.take(pair(longest))),
        turned_products(room.take(pair(longest))),
        columns(room.take(2 * pair(longest))),
        turned_columns(room.take(2 * pair(longest))),
        kept(room.take(drops ? pair(longest) : 0)),
        turned_kept(room.take(drops ? pair(longest) : 0)),
        drawn(room.take(drops ? pair(longest) : 0)) {}

 private:
  static Index padded(Index count) { return round_up(count, lanes_of<Simd<S>>); }
  static Index pair(Index longest) {
    const Index block = std::min(padded(longest), largest_adjoint_block);
    return block * block;
  }
};

/// One head on one token set.
template <Scalar S>
class HeadAdjoint {
  using A = Arithmetic<S>;
  using T = Tiles<A>;
  using V = Simd<S>;

 public:
  Columns<const S> h, c;  ///< H_k and the cotangent, p x N
  Index dim, tokens, visible;
  bool causal;
  S scale;
  const std::optional<ProbabilityDropout>& dropout;
  const AdjointRoom<S>& room;

  /// What the softmax kept, and o . c.
  void prepare(SoftmaxTerms<const S> softmax, Columns<const S> o) const {
    for (Index j = 0; j < tokens; ++j) {
      room.largest[j] = *softmax.largest.at(j, 0);
      room.inverse_sum[j] = *softmax.inverse_sum.at(j, 0);
      room.mean[j] = dot_product(o.at(0, j), c.at(0, j), dim);
    }
    for (S* const of_tokens : {room.largest, room.inverse_sum, room.mean})
      std::fill(of_tokens + tokens, of_tokens + round_up(tokens, T::lanes), S(0));
    for_each_token_block<S>(0, tokens, [&](const TokenBlock& block) { pack(block); });
  }

  /// h_cotangent = dL/dH_k.
  void compute(Columns<S> h_cotangent) const {
    for (Index j = 0; j < tokens; ++j) std::fill_n(h_cotangent.at(0, j), dim, S(0));
    for_each_token_block<S>(0, tokens, [&](const TokenBlock& i) {
      if (i.first >= visible) return;
      for_each_token_block<S>(i.first, tokens, [&](const TokenBlock& j) { add_pair(i, j, h_cotangent); });
    });
  }

 private:
  void pack(const TokenBlock& block) const {
    pack_block_rows(h, dim, block, room.packed_h);
    pack_block_rows(c, dim, block, room.packed_c);
    for (Index row = 0; row < dim; row += T::rows) {
      const Index rows = std::min(T::rows, dim - row), width = round_up(rows, T::lanes);
      S* const panel = packed_sums_of(block, row);
      pack_panel_of<S>({h.at(row, block.first), rows, block.count, 1, h.stride}, width, panel);
      pack_panel_of<S>({c.at(row, block.first), rows, block.count, 1, c.stride}, width, panel + block.count * width);
    }
  }
  [[nodiscard]] S* packed_sums_of(const TokenBlock& block, Index row) const {
    return room.packed_sums + 2 * (block.first * round_up(dim, T::lanes) + row * block.count);
  }

  /// Adds what the tokens of I and J give to each other's cotangents, I = J or I before J. Keys in I are visible, at
  /// least one.
  void add_pair(const TokenBlock& i, const TokenBlock& j, Columns<S> h_cotangent) const {
    const bool both_ways = i.first != j.first && !causal && j.first < visible;
    multiply_block_rows(room.packed_h, dim, i, h, j, room.scores);
    multiply_block_rows(room.packed_h, dim, i, c, j, room.products);
    if (both_ways) multiply_block_rows(room.packed_c, dim, i, h, j, room.turned_products);
    if (dropout) draw(i, j, both_ways);
    if (both_ways)
      differentiate<true>(i, j);
    else
      differentiate<false>(i, j);
    if (i.first != j.first) add_sums(i, both_ways ? 2 * i.count : i.count, room.columns, 2 * i.padded, j, h_cotangent);
    turn(i, j);
    add_sums(j, 2 * j.count, room.turned_columns, 2 * j.padded, i, h_cotangent);
  }

  /// The factors of dropout for keys in I and queries in J, and the other way round.
  void draw(const TokenBlock& i, const TokenBlock& j, bool both_ways) const {
    std::fill_n(room.kept, i.padded * j.count, S(1));
    for (Index query = 0; query < j.count; ++query)
      dropout->drop(j.first + query, i.first, i.count, room.kept + query * i.padded);
    if (!both_ways) return;
    std::fill_n(room.drawn, j.count * i.count, S(1));
    std::fill_n(room.turned_kept, i.padded * j.count, S(1));
    for (Index query = 0; query < i.count; ++query)
      dropout->drop(i.first + query, j.first, j.count, room.drawn + query * j.count);
    transpose_into(room.drawn, j.count, i.count, j.count, room.turned_kept, i.padded);
  }

  /// P_ij in place of the scores, and the columns for J, where the second half is left out unless J's keys are seen
  /// from I.
  template <bool both_ways>
  void differentiate(const TokenBlock& i, const TokenBlock& j) const {
    using Numbers = Simd<std::conditional_t<sizeof(S) == 4, std::int32_t, std::int64_t>>;
    Numbers lane{};
    for (int k = 0; k < T::lanes; ++k) lane[k] = k;
    for (Index col = 0; col < j.count; ++col) {
      const Index token = j.first + col;
      const Index seen = std::min(seen_keys(causal, visible, token, 1) - i.first, i.count);
      const bool seen_from_i = token < visible;
      const V largest = V{} + room.largest[token], inverse_sum = V{} + room.inverse_sum[token];
      const V mean = V{} + room.mean[token];
      S* const column = room.columns + 2 * col * i.padded;
      for (Index row = 0; row < i.padded; row += T::lanes) {
        const Index at = col * i.padded + row;
        const V score = load<V>(room.scores + at) * scale;
        const V kept = dropout ? load<V>(room.kept + at) : V{} + S(1);
        const V p =
            lane < static_cast<ElementOf<Numbers>>(seen - row) ? V(exponential(V(score - largest)) * inverse_sum) : V{};
        V d = p * (load<V>(room.products + at) * kept - mean);
        store(V(p * kept), room.scores + at);
        if constexpr (both_ways) {
          const V turned_kept = dropout ? load<V>(room.turned_kept + at) : V{} + S(1);
          const V largest_i = load<V>(room.largest + i.first + row), mean_i = load<V>(room.mean + i.first + row);
          const V inverse_sum_i = load<V>(room.inverse_sum + i.first + row);
          const V turned = seen_from_i ? V(exponential(V(score - largest_i)) * inverse_sum_i) : V{};
          d += turned * (load<V>(room.turned_products + at) * turned_kept - mean_i);
          store(V(turned * turned_kept), column + i.count + row);  // I comes before J: it is whole
        }
        store(V(d * scale), column + row);
      }
    }
  }

  /// The columns for I, from P_ij and the columns for J.
  void turn(const TokenBlock& i, const TokenBlock& j) const {
    const Index stride = 2 * j.padded;
    transpose_into(room.columns, 2 * i.padded, j.count, i.count, room.turned_columns, stride);
    transpose_into(room.scores, i.padded, j.count, i.count, room.turned_columns + j.count, stride);
    if (i.first == j.first)
      for (Index col = 0; col < i.count; ++col)
        for (Index row = 0; row < i.count; ++row)
          room.turned_columns[col * stride + row] += room.columns[col * stride + row];
  }

  /// Adds [H_I, C_I] x, of which so many columns are used, to the cotangents of the tokens in J.
  void add_sums(const TokenBlock& i, Index depth, const S* x, Index x_stride, const TokenBlock& j,
                Columns<S> h_cotangent) const {
    for (Index row = 0; row < dim; row += T::rows) {
      const Columns<S> out{h_cotangent.at(0, j.first), h_cotangent.stride};
      multiply_panel<A>(packed_sums_of(i, row), depth, row, std::min(T::rows, dim - row), Columns<const S>{x, x_stride},
                        0, j.count, Epilogue<S>{.addend = {out.first, out.stride}}, out);
    }
  }
};

/// See kernels/attention.hpp; queries, keys and values are one.
template <Scalar S>
void attend_heads_adjoint(const AttentionHeads<S>& heads, const AttentionDropout& dropout,
                          SoftmaxTerms<const S> softmax, Columns<const S> out, Columns<const S> out_cotangent,
                          Columns<S> h_cotangent, Workspace& workspace, Threads& threads) {
  const TokenLayout& layout = heads.layout;
  const bool drops = dropout.probability != 0;
  Room<S> size(nullptr);
  static_cast<void>(AdjointRoom<S>(size, heads.dim, layout.longest(), drops));
  Workspace::Frame frame(workspace);
  const Index each = size.taken() + gap_of_workers<S>;
  S* const rooms = frame.array<S>(each * threads.count());
  threads.for_each(layout.sets() * heads.count, [&](Index piece, int worker) {
    const Index set = piece / heads.count, k = piece % heads.count, row = k * heads.dim, token = layout.begin(set);
    const auto of_head = [&](auto columns) { return decltype(columns){columns.at(row, token), columns.stride}; };
    const auto of_queries = [&](auto columns) { return decltype(columns){columns.at(token, k), columns.stride}; };
    std::optional<ProbabilityDropout> drop;
    if (drops) drop.emplace(ProbabilityDropout{dropout, set, k, layout.length(set), layout.visible(set), heads.causal});
    Room<S> own(rooms + worker * each);
    const AdjointRoom<S> room(own, heads.dim, layout.longest(), drops);
    const HeadAdjoint<S> head{of_head(heads.queries),
                              of_head(out_cotangent),
                              heads.dim,
                              layout.length(set),
                              layout.visible(set),
                              heads.causal,
                              heads.scale,
                              drop,
                              room};
    head.prepare({of_queries(softmax.largest), of_queries(softmax.inverse_sum)}, of_head(out));
    head.compute(of_head(h_cotangent));
  });
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
