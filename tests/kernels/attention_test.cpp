// SPDX-License-Identifier: MIT
// Attention by strips and its adjoint by pairs of blocks, on every instruction set that the processor has.

#include "crate/kernels/attention.hpp"

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/operators/attention.hpp"
#include "crate/operators/subspace_attention.hpp"
#include "draw.hpp"
#include "kernels/use_instruction_set.hpp"
#include "plain_dropout.hpp"

using namespace crate;
using namespace crate::test;

using crate::detail::AttentionCotangents, crate::detail::AttentionDropout, crate::detail::AttentionHeads,
    crate::detail::CachedHeads, crate::detail::CachedSet, crate::detail::Columns, crate::detail::attention_heads,
    crate::detail::attention_room, crate::detail::columns_of, crate::detail::query_block, crate::detail::softmax_terms;

namespace {

/// Sets of odd lengths, among them single tokens and more than a block of queries or of the adjoint, some of them
/// padded.
TokenLayout draw_layout(Random& random) {
  return TokenLayout({197, 1, 64, 33, draw_index(random, 1, 300)}).with_visible({197, 1, 40, 1, 1});
}

/// With not a number below its last row, where no kernel may look.
template <class S>
Matrix<S> with_row_below(const Matrix<double>& m) {
  Matrix<S> memory = Matrix<S>::Constant(m.rows() + 1, m.cols(), std::numeric_limits<S>::quiet_NaN());
  memory.topRows(m.rows()) = m.cast<S>();
  return memory;
}

template <class S>
struct Drawn {
  Index heads, p;
  TokenLayout layout;
  AttentionOptions options;
  AttentionDropout dropout;
  Matrix<S> h, c;  ///< of heads * p rows, and one below

  Drawn(Random& random, double probability)
      : heads(draw_index(random, 1, 3)),
        p(draw_index(random, 1, 70)),
        layout(draw_layout(random)),
        options{.mask = random.below(2) == 0 ? AttentionMask::none : AttentionMask::causal, .logit_scale = 0.1},
        dropout{probability, {.seed = random.bits(), .step = 3, .first_set = 2}, 1},
        h(with_row_below<S>(draw_normal(random, rows(), layout.tokens()))),
        c(with_row_below<S>(draw_normal(random, rows(), layout.tokens()))) {}

  [[nodiscard]] Index rows() const { return heads * p; }
  [[nodiscard]] AttentionHeads<S> attention() const {
    return attention_heads(columns_of(h), heads, p, layout, options);
  }
};

template <class S>
struct Results {
  Matrix<S> out, softmax, h_cotangent;
};

/// Forward, recorded, and backward; what is outside of the results stays 7.
template <class S>
Results<S> pass(const Drawn<S>& x, InstructionSet set, int count = 1) {
  Threads threads(count);
  Workspace workspace;
  const Index rows = x.rows(), tokens = x.layout.tokens();
  Matrix<S> out = Matrix<S>::Constant(rows + 1, tokens, 7), h_cotangent = out, softmax(tokens, 2 * x.heads);
  attend_heads_recorded(set, x.attention(), x.dropout, softmax_terms(softmax), columns_of(out), workspace, threads);
  attend_heads_adjoint(set, x.attention(), x.dropout, softmax_terms(std::as_const(softmax)),
                       columns_of(std::as_const(out)), columns_of(x.c), columns_of(h_cotangent), workspace, threads);
  CHECK((out.bottomRows(1).array() == 7).all());
  CHECK((h_cotangent.bottomRows(1).array() == 7).all());
  return {out.topRows(rows), softmax, h_cotangent.topRows(rows)};
}

struct PlainResults {
  Matrix<double> out, h_cotangent;
};

/// One head on one set by the definition: P = softmax(scale H^T H) of the seen keys, kept what dropout multiplies P by.
PlainResults plain_pass(const Matrix<double>& h, const Matrix<double>& c, const AttentionOptions& options,
                        const Matrix<double>& kept) {
  Matrix<double> p = (options.logit_scale * h.transpose() * h).array().exp();
  if (options.mask == AttentionMask::causal) p = p.triangularView<Eigen::Upper>();
  p.bottomRows(h.cols() - options.visible).setZero();
  const Eigen::RowVectorXd sums = p.colwise().sum();
  p.array().rowwise() /= sums.array();
  const Matrix<double> used = p.cwiseProduct(kept), dp = (h.transpose() * c).cwiseProduct(kept);
  const Eigen::RowVectorXd mean = p.cwiseProduct(dp).colwise().sum();
  const Matrix<double> ds = p.cwiseProduct(dp.rowwise() - mean);
  return {h * used, c * used.transpose() + options.logit_scale * h * (ds + ds.transpose())};
}

/// What plain dropout multiplies the probabilities of one head on one set by, block of queries after block.
Matrix<double> dropout_factors(const AttentionDropout& dropout, const AttentionOptions& options, Index set, Index head,
                               Index length) {
  Matrix<double> kept = Matrix<double>::Ones(length, length);
  if (dropout.probability == 0) return kept;
  for (Index first = 0; first < length; first += query_block) {
    const Index n = std::min(query_block, length - first), keys = detail::seen_keys(options, length, first, n);
    plain_drop(dropout.stream, dropout.place, set, head * length + first, dropout.probability,
               kept.block(0, first, keys, n));
  }
  return kept;
}

/// All heads on all sets by the definition, of whose cotangents there are `parts` one above the other.
/// of_head(part_of, options, kept) is one head on one set, where part_of(m, i) is its part of the i-th x.rows() rows of
/// m.
template <class S, class OfHead>
PlainResults plain_heads(const Drawn<S>& x, Index parts, const OfHead& of_head) {
  const Index p = x.p, rows = x.rows();
  PlainResults all{Matrix<double>(rows, x.layout.tokens()), Matrix<double>(parts * rows, x.layout.tokens())};
  for (Index s = 0; s < x.layout.sets(); ++s)
    for (Index k = 0; k < x.heads; ++k) {
      const Index first = x.layout.begin(s), length = x.layout.length(s);
      AttentionOptions of_set = x.options;
      of_set.visible = x.layout.visible(s);
      const auto part_of = [&](const Matrix<S>& m, Index i) -> Matrix<double> {
        return m.block(i * rows + k * p, first, p, length).template cast<double>();
      };
      const PlainResults head = of_head(part_of, of_set, dropout_factors(x.dropout, of_set, s, k, length));
      all.out.block(k * p, first, p, length) = head.out;
      for (Index i = 0; i < parts; ++i)
        all.h_cotangent.block(i * rows + k * p, first, p, length) = head.h_cotangent.middleRows(i * p, p);
    }
  return all;
}

template <class S>
PlainResults plain_pass(const Drawn<S>& x) {
  return plain_heads(x, 1, [&](const auto& part_of, const AttentionOptions& options, const Matrix<double>& kept) {
    return plain_pass(part_of(x.h, 0), part_of(x.c, 0), options, kept);
  });
}

/// Every head on every set is within rounding of the plain one.
template <class S>
void check_heads(const Matrix<S>& found, const Matrix<double>& plain, const Drawn<S>& x) {
  REQUIRE(found.rows() == plain.rows());
  for (Index s = 0; s < x.layout.sets(); ++s)
    for (Index row = 0; row < plain.rows(); row += x.p) {
      const auto of = [&](const auto& m) { return m.block(row, x.layout.begin(s), x.p, x.layout.length(s)); };
      CAPTURE(x.p, row / x.p, x.layout.length(s));
      CHECK(relative_error(of(found), of(plain)) < 4 * rounding<S>);
    }
}

}  // namespace

TEMPLATE_TEST_CASE("attention by strips, and its adjoint from what a recorded pass kept, are the plain ones", "", float,
                   double) {
  for_random_draws(8, [](Random& random) {
    const Drawn<TestType> x(random, 0);
    const PlainResults plain = plain_pass(x);
    const auto attend = [&](InstructionSet set, bool first_tokens, Matrix<TestType>& out, int count) {
      Threads threads(count);
      Workspace workspace;
      workspace.reserve(attention_room<TestType>(set, x.p, x.layout, count));
      const std::size_t held = workspace.capacity();
      attend_heads(set, x.attention(), first_tokens, columns_of(out), workspace, threads);
      CHECK(workspace.capacity() == held);
    };
    for (const InstructionSet set : instruction_sets_of_floats()) {
      CAPTURE(name_of(set));
      Matrix<TestType> found(x.rows(), x.layout.tokens()), again = found, firsts(x.rows(), x.layout.sets());
      attend(set, false, found, 1);
      attend(set, false, again, 2);
      attend(set, true, firsts, 1);
      const Results<TestType> recorded = pass(x, set);
      CHECK(found == again);
      CHECK(found == recorded.out);
      for (Index s = 0; s < x.layout.sets(); ++s) CHECK(firsts.col(s) == found.col(x.layout.begin(s)));
      check_heads(found, plain.out, x);
      check_heads(recorded.h_cotangent, plain.h_cotangent, x);
    }
  });
}

TEST_CASE("heads stored as bfloat16 are averages of what was rounded to it once, values and probabilities") {
  for_random_draws(8, [](Random& random) {
    Drawn<float> x(random, 0);
    x.p = 2 * draw_index(random, 1, 35);
    x.h = with_row_below<float>(draw_normal(random, x.rows(), x.layout.tokens()));
    for (const InstructionSet set : supported_instruction_sets())
      for (const bool first_tokens : {false, true}) {
        const Index cols = first_tokens ? x.layout.sets() : x.layout.tokens();
        Threads threads(2);
        Workspace workspace;
        Matrix<float> exact(x.rows(), cols);
        Eigen::Matrix<bfloat16, Eigen::Dynamic, Eigen::Dynamic> stored(x.rows(), cols);
        attend_heads(set, x.attention(), first_tokens, columns_of(exact), workspace, threads);
        attend_heads(set, x.attention(), first_tokens, columns_of(stored), workspace, threads);
        // A value, a probability and the result are rounded by 2^-9 each; no average exceeds the largest value.
        const Vector<float> largest = x.h.topRows(x.rows()).cwiseAbs().rowwise().maxCoeff();
        const Matrix<float> error = (stored.cast<float>() - exact).cwiseAbs();
        CHECK((error.colwise() - 3.02F * 0x1p-9F * largest).maxCoeff() <= 0);
      }
  });
}

TEMPLATE_TEST_CASE("attention and its adjoint drop what plain dropout drops", "", float, double) {
  for_random_draws(6, [](Random& random) {
    const Drawn<TestType> x(random, 0.3);
    const PlainResults plain = plain_pass(x);
    for (const InstructionSet set : instruction_sets_of_floats()) {
      CAPTURE(name_of(set));
      const Results<TestType> found = pass(x, set);
      check_heads(found.out, plain.out, x);
      check_heads(found.h_cotangent, plain.h_cotangent, x);
    }
  });
}

namespace {

/// Queries, keys and values of their own, one above the other in one matrix, as a single projection leaves them.
template <class S>
struct DrawnApart {
  Drawn<S> of_values;
  Matrix<S> all;

  DrawnApart(Random& random, double probability)
      : of_values(random, probability),
        all(with_row_below<S>(draw_normal(random, 3 * of_values.rows(), of_values.layout.tokens()))) {}

  [[nodiscard]] auto part(Index which) const { return all.middleRows(which * of_values.rows(), of_values.rows()); }
  [[nodiscard]] AttentionHeads<S> attention() const {
    const auto q = part(0), k = part(1), v = part(2);
    return attention_heads(q, k, v, of_values.heads, of_values.layout, of_values.options);
  }
};

/// The cotangents one above the other, as the projection.
template <class S>
Results<S> pass(const DrawnApart<S>& x, InstructionSet set, int count = 1) {
  Threads threads(count);
  Workspace workspace;
  const Index rows = x.of_values.rows(), tokens = x.of_values.layout.tokens();
  Matrix<S> out = Matrix<S>::Constant(rows + 1, tokens, 7), softmax(tokens, 2 * x.of_values.heads);
  Matrix<S> cotangents = Matrix<S>::Constant(3 * rows + 1, tokens, 7);
  const auto part = [&](Index which) { return Columns<S>{&cotangents(which * rows, 0), cotangents.outerStride()}; };
  attend_heads_recorded(set, x.attention(), x.of_values.dropout, softmax_terms(softmax), columns_of(out), workspace,
                        threads);
  attend_heads_adjoint(set, x.attention(), x.of_values.dropout, softmax_terms(std::as_const(softmax)),
                       columns_of(std::as_const(out)), columns_of(x.of_values.c),
                       AttentionCotangents<S>{part(0), part(1), part(2)}, workspace, threads);
  CHECK((out.bottomRows(1).array() == 7).all());
  CHECK((cotangents.bottomRows(1).array() == 7).all());
  return {out.topRows(rows), softmax, cotangents.topRows(3 * rows)};
}

/// [dL/dQ; dL/dK; dL/dV] of one head on one set by the definition.
PlainResults plain_pass_apart(const Matrix<double>& q, const Matrix<double>& k, const Matrix<double>& v,
                              const Matrix<double>& c, const AttentionOptions& options, const Matrix<double>& kept) {
  const Matrix<double> p = attention_probabilities(q, k, options), used = p.cwiseProduct(kept);
  const Matrix<double> dp = (v.transpose() * c).cwiseProduct(kept);
  const Eigen::RowVectorXd mean = p.cwiseProduct(dp).colwise().sum();
  const Matrix<double> ds = options.logit_scale * p.cwiseProduct(dp.rowwise() - mean);
  Matrix<double> cotangents(3 * q.rows(), q.cols());
  cotangents << k * ds, q * ds.transpose(), c * used.transpose();
  return {v * used, cotangents};
}

template <class S>
PlainResults plain_pass(const DrawnApart<S>& x) {
  return plain_heads(x.of_values, 3,
                     [&](const auto& part_of, const AttentionOptions& options, const Matrix<double>& kept) {
                       return plain_pass_apart(part_of(x.all, 0), part_of(x.all, 1), part_of(x.all, 2),
                                               part_of(x.of_values.c, 0), options, kept);
                     });
}

}  // namespace

TEMPLATE_TEST_CASE("attention of queries, keys and values apart, and its adjoint, are the plain ones", "", float,
                   double) {
  for (const double probability : {0.0, 0.3})
    for_random_draws(6, [&](Random& random) {
      const DrawnApart<TestType> x(random, probability);
      const PlainResults plain = plain_pass(x);
      for (const InstructionSet set : instruction_sets_of_floats()) {
        CAPTURE(name_of(set), probability);
        const Results<TestType> found = pass(x, set);
        check_heads(found.out, plain.out, x.of_values);
        check_heads(found.h_cotangent, plain.h_cotangent, x.of_values);
      }
    });
}

namespace {

/// Three heads of each of two sets, whose last tokens ask and whose keys and values lie as in a TokenCache: head after
/// head, room for more tokens than there are.
template <class S>
struct DrawnCached {
  static constexpr Index heads = 3, room = 40;
  Index p;
  std::vector<Index> past{30, 0};
  TokenLayout layout = TokenLayout({5, 1});
  Matrix<S> queries, keys, values;  ///< of heads * p rows; p x (sets * heads * room)

  DrawnCached(Random& random, Index dim)
      : p(dim),
        queries(draw_normal(random, heads * p, layout.tokens()).template cast<S>()),
        keys(draw_normal(random, p, layout.sets() * heads * room).template cast<S>()),
        values(draw_normal(random, p, keys.cols()).template cast<S>()) {}

  template <class Out>
  [[nodiscard]] Eigen::Matrix<Out, Eigen::Dynamic, Eigen::Dynamic> attend(InstructionSet set, int count) const {
    Threads threads(count);
    Workspace workspace;
    Eigen::Matrix<Out, Eigen::Dynamic, Eigen::Dynamic> out(heads * p, layout.tokens());
    std::vector<CachedSet<S>> sets;
    for (Index s = 0; s < layout.sets(); ++s)
      sets.push_back({&keys(0, s * heads * room), &values(0, s * heads * room), p * room, past_of(s)});
    const CachedHeads<S> all{columns_of(queries), sets.data(), heads, p, layout, S(0.1)};
    attend_cached(set, all, columns_of(out), workspace, threads);
    return out;
  }

  /// By the definition, one query after the other.
  [[nodiscard]] Matrix<double> plain() const {
    Matrix<double> out(heads * p, layout.tokens());
    for (Index s = 0; s < layout.sets(); ++s)
      for (Index head = 0; head < heads; ++head)
        for (Index j = 0; j < layout.length(s); ++j) {
          const Index seen = past_of(s) + j + 1, first = (s * heads + head) * room, token = layout.begin(s) + j;
          const Vector<double> q = queries.col(token).segment(head * p, p).template cast<double>();
          const Vector<double> weights =
              (0.1 * keys.middleCols(first, seen).template cast<double>().transpose() * q).array().exp();
          out.col(token).segment(head * p, p) =
              values.middleCols(first, seen).template cast<double>() * weights / weights.sum();
        }
    return out;
  }

  [[nodiscard]] Index past_of(Index s) const { return past[static_cast<std::size_t>(s)]; }
};

}  // namespace

TEMPLATE_TEST_CASE("attention to keys and values of a cache is the plain one", "", float, double) {
  Random random(7);
  for (const Index p : {1, 10, 64, 80, 134}) {
    const DrawnCached<TestType> x(random, p);
    for (const InstructionSet set : supported_instruction_sets()) {
      CAPTURE(name_of(set), p);
      const Matrix<TestType> found = x.template attend<TestType>(set, 1);
      CHECK(found == x.template attend<TestType>(set, 3));
      CHECK(relative_error(found, x.plain()) < 4 * rounding<TestType>);
      if constexpr (std::is_same_v<TestType, float>) {
        if (p % 2 != 0) continue;  // heads stored as bfloat16 have an even dimension
        const Matrix<float> rounded = found.template cast<bfloat16>().template cast<float>();
        CHECK(x.template attend<bfloat16>(set, 1).template cast<float>() == rounded);
      }
    }
  }
}

TEST_CASE("where queries, keys and values are one, their cotangents add up to its cotangent") {
  Random random(8);
  DrawnApart<double> x(random, 0.2);
  const Index rows = x.of_values.rows();
  for (Index part = 0; part < 3; ++part) x.all.middleRows(part * rows, rows) = x.of_values.h.topRows(rows);
  for (const InstructionSet set : instruction_sets_of_floats()) {
    const Results<double> apart = pass(x, set), one = pass(x.of_values, set);
    CHECK(apart.out == one.out);
    const Matrix<double> sum =
        apart.h_cotangent.topRows(rows) + apart.h_cotangent.middleRows(rows, rows) + apart.h_cotangent.bottomRows(rows);
    CHECK(relative_error(sum, one.h_cotangent) < 4 * rounding<double>);
  }
}

TEST_CASE("the adjoint of attention is the derivative of attention, with dropout too") {
  Random random(3);
  for (const double probability : {0.0, 0.4}) {
    Drawn<double> x(random, probability);
    const Matrix<double> direction = draw_normal(random, x.rows(), x.layout.tokens());
    const auto c = x.c.topRows(x.rows());
    for (const InstructionSet set : instruction_sets_of_floats()) {
      const double slope = pass(x, set).h_cotangent.cwiseProduct(direction).sum();
      const Matrix<double> h = x.h;
      constexpr double step = 1e-5;
      x.h.topRows(x.rows()) += step * direction;
      const double after = pass(x, set).out.cwiseProduct(c).sum();
      x.h.topRows(x.rows()) -= 2 * step * direction;
      const double before = pass(x, set).out.cwiseProduct(c).sum();
      x.h = h;
      CHECK(relative_error((after - before) / (2 * step), slope) <
            1e-7);  // the square of the step, and rounding over it
    }
  }
}

TEMPLATE_TEST_CASE("any number of threads gives the same bits of attention and its adjoint", "", float, double) {
  for (const double probability : {0.0, 0.2}) {
    Random random(4);
    const Drawn<TestType> x(random, probability);
    for (const InstructionSet set : instruction_sets_of_floats()) {
      const Results<TestType> alone = pass(x, set);
      for (const int count : {2, 3}) {
        const Results<TestType> found = pass(x, set, count);
        CHECK(found.out == alone.out);
        CHECK(found.softmax == alone.softmax);
        CHECK(found.h_cotangent == alone.h_cotangent);
      }
    }
    const DrawnApart<TestType> apart(random, probability);
    for (const InstructionSet set : instruction_sets_of_floats())
      CHECK(pass(apart, set, 3).h_cotangent == pass(apart, set).h_cotangent);
  }
}

TEST_CASE("the adjoint of attention with sharp logits is finite, and what it should be") {
  Random random(6);
  Drawn<float> x(random, 0);
  x.options = {.logit_scale = 30};  // logits of a thousand and more: other tokens' probabilities vanish
  for (const InstructionSet set : instruction_sets_of_floats()) {
    const Results<float> found = pass(x, set);
    CHECK(found.out.allFinite());
    CHECK(found.h_cotangent.allFinite());
  }
}

TEMPLATE_TEST_CASE("attention's exponentials are as exact as the scalar, from the largest logit to those that vanish",
                   "", float, double) {
  const Index keys = 2000;
  const double bound = sizeof(TestType) == 4 ? 8e-7 : 8 * std::numeric_limits<double>::epsilon();
  Matrix<TestType> h(1, keys);  // logits of the first query are h_0 h_j
  h(0, 0) = 1;
  for (Index j = 1; j < keys; ++j) h(0, j) = 1 - TestType(0.05) * static_cast<TestType>(j);
  const TokenLayout layout = TokenLayout::single(keys);
  for (const InstructionSet set : instruction_sets_of_floats()) {
    Threads threads;
    Workspace workspace;
    Matrix<TestType> out(1, 1);
    const AttentionHeads<TestType> heads{{h.data(), 1}, {h.data(), 1}, {h.data(), 1}, 1, 1, layout};
    attend_heads(set, heads, true, columns_of(out), workspace, threads);
    const Vector<double> logits = h.transpose().template cast<double>();
    const Vector<double> weights = (logits.array() - 1).exp();
    const double expected = weights.dot(logits) / weights.sum(), size = weights.dot(logits.cwiseAbs()) / weights.sum();
    CHECK(std::abs(static_cast<double>(out(0, 0)) - expected) < bound * size);
  }
}
