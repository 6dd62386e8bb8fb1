// SPDX-License-Identifier: MIT
// The adjoint of attention whose queries, keys and values are not the same, by pairs of a block of keys and one of
// queries, whose probabilities are computed again.
//
// Letters: I a block of keys, J one of queries; q_j, k_i and v_i of a head, c_j and o_j cotangent and result.
//   P_ij = exp(scale k_i . q_j - m_j) / l_j,   dS_ij = scale P_ij (v_i . c_j - o_j . c_j)
//   dL/dq_j = sum over i of k_i dS_ij,   dL/dk_i = sum over j of q_j dS_ij,   dL/dv_i = sum over j of c_j P_ij
// That is 5 N^2 p multiply-adds, and all of one pair stays in the second cache.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// The room of a worker. Of tokens, whole vectors; of a pair I, J of blocks, columns for each j in J, or i in I.
template <Scalar S>
struct SeparateAdjointRoom {
  S *largest, *inverse_sum, *mean;   ///< m, 1 / l, and o . c
  S *packed_k, *packed_v;            ///< K_k^T and V_k^T by panels, block after block
  S* packed_k_sums;                  ///< K_k by panels, block after block
  S *packed_q_sums, *packed_c_sums;  ///< Q_k and the cotangent, too
  S *scores, *products;              ///< k_i . q_j, then P_ij; v_i . c_j, then dS_ij
  S *turned, *turned_scores;         ///< dS_ij and P_ij, columns for each i
  S* kept;                           ///< what dropout multiplies P_ij by

  SeparateAdjointRoom(Room<S>& room, Index head_dim, Index longest, bool drops)
      : largest(room.take(longest)),
        inverse_sum(room.take(longest)),
        mean(room.take(longest)),
        packed_k(room.take(head_dim * padded(longest))),
        packed_v(room.take(head_dim * padded(longest))),
        packed_k_sums(room.take(padded(head_dim) * padded(longest))),
        packed_q_sums(room.take(padded(head_dim) * padded(longest))),
        packed_c_sums(room.take(padded(head_dim) * padded(longest))),
        scores(room.take(pair(longest))),
        products(room.take(pair(longest))),
        turned(room.take(pair(longest))),
        turned_scores(room.take(pair(longest))),
        kept(room.take(drops ? pair(longest) : 0)) {}

 private:
  static Index padded(Index count) { return round_up(count, lanes_of<Simd<S>>); }
  static Index pair(Index longest) {
    const Index block = std::min(padded(longest), largest_adjoint_block);
    return block * block;
  }
};

/// One head on one token set.
template <Scalar S>
class SeparateHeadAdjoint {
  using A = Arithmetic<S>;
  using T = Tiles<A>;
  using V = Simd<S>;

 public:
  Columns<const S> q, k, v, c;  ///< Q_k, K_k, V_k and the cotangent, p x N
  Index dim, tokens, visible;
  bool causal;
  S scale;
  const std::optional<ProbabilityDropout>& dropout;
  const SeparateAdjointRoom<S>& room;

  /// What the softmax kept, and o . c.
  void prepare(SoftmaxTerms<const S> softmax, Columns<const S> o) const {
    for (Index j = 0; j < tokens; ++j) {
      room.largest[j] = *softmax.largest.at(j, 0);
      room.inverse_sum[j] = *softmax.inverse_sum.at(j, 0);
      room.mean[j] = dot_product(o.at(0, j), c.at(0, j), dim);
    }
    for_each_token_block<S>(0, tokens, [&](const TokenBlock& block) {
      pack_block_rows(k, dim, block, room.packed_k);
      pack_block_rows(v, dim, block, room.packed_v);
      pack_sums(k, block, room.packed_k_sums);
      pack_sums(q, block, room.packed_q_sums);
      pack_sums(c, block, room.packed_c_sums);
    });
  }

  void compute(const AttentionCotangents<S>& cotangents) const {
    for (const Columns<S>& all : {cotangents.queries, cotangents.keys, cotangents.values})
      for (Index j = 0; j < tokens; ++j) std::fill_n(all.at(0, j), dim, S(0));
    for_each_token_block<S>(0, tokens, [&](const TokenBlock& i) {
      if (i.first >= visible) return;
      for_each_token_block<S>(causal ? i.first : 0, tokens, [&](const TokenBlock& j) { add_pair(i, j, cotangents); });
    });
  }

 private:
  /// X_I by panels.
  void pack_sums(Columns<const S> x, const TokenBlock& i, S* packed) const {
    for (Index row = 0; row < dim; row += T::rows) {
      const Index rows = std::min(T::rows, dim - row);
      pack_panel_of<S>({x.at(row, i.first), rows, i.count, 1, x.stride}, round_up(rows, T::lanes),
                       panel_of(packed, i, row));
    }
  }
  [[nodiscard]] S* panel_of(S* packed, const TokenBlock& i, Index row) const {
    return packed + i.first * round_up(dim, T::lanes) + row * i.count;
  }

  /// Adds what keys in I, at least one of them visible, and queries in J give to each other's cotangents.
  void add_pair(const TokenBlock& i, const TokenBlock& j, const AttentionCotangents<S>& cotangents) const {
    multiply_block_rows(room.packed_k, dim, i, q, j, room.scores);
    multiply_block_rows(room.packed_v, dim, i, c, j, room.products);
    if (dropout) {
      std::fill_n(room.kept, i.padded * j.count, S(1));
      for (Index query = 0; query < j.count; ++query)
        dropout->drop(j.first + query, i.first, i.count, room.kept + query * i.padded);
    }
    differentiate(i, j);
    add_sums(room.packed_k_sums, i, room.products, i.padded, j, cotangents.queries);
    transpose_into(room.products, i.padded, j.count, i.count, room.turned, j.padded);
    add_sums(room.packed_q_sums, j, room.turned, j.padded, i, cotangents.keys);
    transpose_into(room.scores, i.padded, j.count, i.count, room.turned_scores, j.padded);
    add_sums(room.packed_c_sums, j, room.turned_scores, j.padded, i, cotangents.values);
  }

  /// P_ij, with what was dropped, in place of the scores, and dS_ij in place of the products.
  void differentiate(const TokenBlock& i, const TokenBlock& j) const {
    using Numbers = Simd<std::conditional_t<sizeof(S) == 4, std::int32_t, std::int64_t>>;
    Numbers lane{};
    for (int l = 0; l < T::lanes; ++l) lane[l] = l;
    for (Index col = 0; col < j.count; ++col) {
      const Index token = j.first + col;
      const Index seen = std::min(seen_keys(causal, visible, token, 1) - i.first, i.count);
      const V largest = V{} + room.largest[token], inverse_sum = V{} + room.inverse_sum[token];
      const V mean = V{} + room.mean[token];
      for (Index row = 0; row < i.padded; row += T::lanes) {
        const Index at = col * i.padded + row;
        const V kept = dropout ? load<V>(room.kept + at) : V{} + S(1);
        const V score = load<V>(room.scores + at) * scale;
        const V p =
            lane < static_cast<ElementOf<Numbers>>(seen - row) ? V(exponential(V(score - largest)) * inverse_sum) : V{};
        store(V(p * (load<V>(room.products + at) * kept - mean) * scale), room.products + at);
        store(V(p * kept), room.scores + at);
      }
    }
  }

  /// Adds X_I x to the cotangents of the tokens in J.
  void add_sums(S* packed, const TokenBlock& i, const S* x, Index x_stride, const TokenBlock& j,
                Columns<S> cotangent) const {
    const Columns<S> out{cotangent.at(0, j.first), cotangent.stride};
    for (Index row = 0; row < dim; row += T::rows)
      multiply_panel<A>(panel_of(packed, i, row), i.count, row, std::min(T::rows, dim - row),
                        Columns<const S>{x, x_stride}, 0, j.count, Epilogue<S>{.addend = {out.first, out.stride}}, out);
  }
};

/// See kernels/attention.hpp; queries, keys and values are others.
template <Scalar S>
void attend_heads_adjoint(const AttentionHeads<S>& heads, const AttentionDropout& dropout,
                          SoftmaxTerms<const S> softmax, Columns<const S> out, Columns<const S> out_cotangent,
                          const AttentionCotangents<S>& cotangents, Workspace& workspace, Threads& threads) {
  const TokenLayout& layout = heads.layout;
  const bool drops = dropout.probability != 0;
  Room<S> size(nullptr);
  static_cast<void>(SeparateAdjointRoom<S>(size, heads.dim, layout.longest(), drops));
  Workspace::Frame frame(workspace);
  const Index each = size.taken() + gap_of_workers<S>;
  S* const rooms = frame.array<S>(each * threads.count());
  threads.for_each(layout.sets() * heads.count, [&](Index piece, int worker) {
    const Index set = piece / heads.count, head = piece % heads.count, token = layout.begin(set);
    const auto of_head = [&](auto columns) {
      return decltype(columns){columns.at(head * heads.dim, token), columns.stride};
    };
    const auto of_queries = [&](auto columns) { return decltype(columns){columns.at(token, head), columns.stride}; };
    std::optional<ProbabilityDropout> drop;
    if (drops)
      drop.emplace(ProbabilityDropout{dropout, set, head, layout.length(set), layout.visible(set), heads.causal});
    Room<S> own(rooms + worker * each);
    const SeparateAdjointRoom<S> room(own, heads.dim, layout.longest(), drops);
    const SeparateHeadAdjoint<S> adjoint{of_head(heads.queries),
                                         of_head(heads.keys),
                                         of_head(heads.values),
                                         of_head(out_cotangent),
                                         heads.dim,
                                         layout.length(set),
                                         layout.visible(set),
                                         heads.causal,
                                         heads.scale,
                                         drop,
                                         room};
    adjoint.prepare({of_queries(softmax.largest), of_queries(softmax.inverse_sum)}, of_head(out));
    adjoint.compute({of_head(cotangents.queries), of_head(cotangents.keys), of_head(cotangents.values)});
  });
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
