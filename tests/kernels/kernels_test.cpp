// SPDX-License-Identifier: MIT
// The micro-kernels and what is built on them, in every arithmetic and register width that the processor has.

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/inference/kernels/attention.hpp"
#include "crate/inference/kernels/normalise.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::detail;
using namespace crate::test;

namespace {

/// Whole numbers from -3 to 3: products and short sums of them are exact in every arithmetic.
Matrix<double> draw_whole(Random& random, Index rows, Index cols) {
  Matrix<double> matrix(rows, cols);
  for (double& x : matrix.reshaped()) x = static_cast<double>(random.below(7)) - 3;
  return matrix;
}

/// The columns of a matrix, kept as Token, as the micro-kernel reads them.
template <class W, class Token = W>
auto units_of(const Matrix<double>& x) {
  using A = Arithmetic<W, native_vector_bytes, Token>;
  const Index depth = (x.rows() + A::values_per_unit - 1) / A::values_per_unit;
  std::vector<typename A::Column> units;
  for (Index j = 0; j < x.cols(); ++j)
    for (Index k = 0; k < depth; ++k)
      if constexpr (std::same_as<typename A::Column, FloatPair>)
        units.push_back(
            {static_cast<float>(x(2 * k, j)), 2 * k + 1 < x.rows() ? static_cast<float>(x(2 * k + 1, j)) : 0});
      else
        units.push_back(packed_unit<W>(k, x.rows(), [&](Index i) { return static_cast<ScalarOf<W>>(x(i, j)); }));
  return units;
}

template <class Unit>
Columns<const Unit> columns_in(const std::vector<Unit>& units, Index stride) {
  return {units.data(), stride};
}

template <class W, int bytes, class Out = ScalarOf<W>, class Token = W>
Matrix<double> packed_product(const Matrix<double>& a, const Matrix<double>& x,
                              const Epilogue<ScalarOf<W>>& epilogue = {}, Threads&& threads = Threads()) {
  const PackedWeights<W, bytes> weights(a);
  const auto units = units_of<W, Token>(x);
  const Index rows = round_up(a.rows(), 2);  // bfloat16 are stored in pairs
  Eigen::Matrix<Out, Eigen::Dynamic, Eigen::Dynamic> out(rows, x.cols());
  multiply_packed(weights, columns_in(units, weights.depth()), x.cols(), epilogue, Columns<Out>{out.data(), rows},
                  threads);
  return out.topRows(a.rows()).template cast<double>();
}

/// Calls body with every register width up to the widest.
template <class Body>
void for_each_width(const Body& body) {
  body(std::integral_constant<int, 16>());
  if constexpr (native_vector_bytes >= 32) body(std::integral_constant<int, 32>());
  if constexpr (native_vector_bytes >= 64) body(std::integral_constant<int, 64>());
}

}  // namespace

TEMPLATE_TEST_CASE("the packed product of whole numbers is exact for tiles of every size", "", float, double,
                   bfloat16) {
  Random random(1);
  for_each_width([&](auto bytes) {
    using T = Tiles<Arithmetic<TestType, bytes>>;
    for (Index rows = 1; rows <= T::rows + 1; ++rows)
      for (Index cols = 1; cols <= T::columns + 1; ++cols) {
        CAPTURE(bytes, rows, cols);
        const Index depth = draw_index(random, 1, 20);
        const Matrix<double> a = draw_whole(random, rows, depth), x = draw_whole(random, depth, cols);
        CHECK(packed_product<TestType, bytes>(a, x) == a * x);
      }
  });
}

TEMPLATE_TEST_CASE("the packed product agrees with the plain one, and every register width with the portable one", "",
                   float, double) {
  for_random_draws(10, [](Random& random) {
    const Index rows = draw_index(random, 1, 150), depth = draw_index(random, 1, 150),
                cols = draw_index(random, 1, 300);
    const Matrix<double> a = draw_normal(random, rows, depth), x = draw_normal(random, depth, cols);
    const Matrix<double> portable = packed_product<TestType, 16>(a, x);
    const Matrix<double> rounded_a = a.cast<TestType>().template cast<double>();
    CHECK(relative_error(portable, rounded_a * x.cast<TestType>().template cast<double>()) < rounding<TestType>);
    for_each_width([&](auto bytes) {
      CHECK(relative_error(packed_product<TestType, bytes>(a, x), portable) < rounding<TestType>);
    });
  });
}

TEST_CASE("a bfloat16 product is that of both factors rounded to 8 bits, summed in float") {
  for_random_draws(10, [](Random& random) {
    const Matrix<double> a = draw_normal(random, 70, draw_index(random, 1, 99)), x = draw_normal(random, a.cols(), 33);
    const auto rounded = [](const Matrix<double>& m) {
      return Matrix<double>(m.cast<float>().cast<bfloat16>().cast<float>().cast<double>());
    };
    for_each_width([&](auto bytes) {
      CHECK(relative_error(packed_product<bfloat16, bytes>(a, x), rounded(a) * rounded(x)) < rounding<float>);
    });
  });
}

TEST_CASE("a product of bfloat16 weights and unrounded tokens rounds the weights alone") {
  for_random_draws(10, [](Random& random) {
    const Matrix<double> a = draw_normal(random, 70, draw_index(random, 1, 99)), x = draw_normal(random, a.cols(), 33);
    const Matrix<double> rounded = a.cast<float>().cast<bfloat16>().cast<float>().cast<double>();
    for_each_width([&](auto bytes) {
      const Matrix<double> found = packed_product<bfloat16, bytes, float, float>(a, x);
      CHECK(relative_error(found, rounded * x) < rounding<float>);
    });
  });
}

TEST_CASE("the epilogue scales columns, shifts rows, adds, and thresholds") {
  Random random(3);
  const Index rows = 51, cols = 131;  // no multiples of a tile
  const Matrix<double> a = draw_whole(random, rows, 7), x = draw_whole(random, 7, cols);
  const Matrix<double> addend = draw_whole(random, rows, cols);
  const Vector<double> scale = draw_whole(random, cols, 1), shift = draw_whole(random, rows, 1);
  const Matrix<double> sum = ((a * x * scale.asDiagonal()).colwise() + shift) + addend;
  Vector<double> padded = Vector<double>::Zero(rows + 16);
  padded.head(rows) = shift;
  Epilogue<double> epilogue{padded.data(), scale.data(), {addend.data(), rows}};
  CHECK(packed_product<double, native_vector_bytes>(a, x, epilogue) == sum);
  epilogue.activation = Activation::relu;
  CHECK(packed_product<double, native_vector_bytes>(a, x, epilogue) == sum.cwiseMax(0));
  epilogue.activation = Activation::soft_threshold;
  epilogue.level = 5;
  CHECK(packed_product<double, native_vector_bytes>(a, x, epilogue) == Matrix<double>(sum.unaryExpr([](double s) {
          return s > 5 ? s - 5 : s < -5 ? s + 5 : 0;
        })));
}

TEST_CASE("an addend may be kept as bfloat16, where the output goes") {
  Random random(5);
  const Index rows = 51, cols = 9, stride = 52;
  const Matrix<double> a = draw_whole(random, rows, 7), x = draw_whole(random, 7, cols),
                       b = draw_whole(random, stride, cols);
  const PackedWeights<bfloat16> weights(a);
  const auto units = units_of<bfloat16>(x);
  Eigen::Matrix<bfloat16, Eigen::Dynamic, Eigen::Dynamic> out = b.cast<float>().cast<bfloat16>();
  Threads threads;
  const Epilogue<float, bfloat16> epilogue{.addend = {out.data(), stride}};
  multiply_packed(weights, columns_in(units, weights.depth()), cols, epilogue, Columns<bfloat16>{out.data(), stride},
                  threads);
  CHECK(out.topRows(rows).cast<double>() == a * x + b.topRows(rows));
}

TEST_CASE("a ReLU lets what is not a number through") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Matrix<double> found = packed_product<double, native_vector_bytes>(
      Matrix<double>::Ones(1, 1), Matrix<double>{{nan, 2, -1}}, {.activation = Activation::relu});
  CHECK(std::isnan(found(0, 0)));
  CHECK(found(0, 1) == 2);
  CHECK(found(0, 2) == 0);
}

TEST_CASE("tokens stored as bfloat16 are rounded to nearest, ties to even") {
  const auto stored = [](double x) {
    return packed_product<float, native_vector_bytes, bfloat16>(Matrix<double>::Ones(1, 1), Matrix<double>{{x}})(0, 0);
  };
  CHECK(stored(1.25) == 1.25);
  CHECK(stored(1 + 0x1p-8) == 1);
  CHECK(stored(1 + 0x3p-8) == 1 + 0x1p-6);
  CHECK(stored(-1 - 0x1.8p-8) == -1 - 0x1p-7);
  CHECK(stored(3.4e38) == std::numeric_limits<double>::infinity());
  CHECK(std::isnan(stored(std::numeric_limits<double>::quiet_NaN())));
}

TEMPLATE_TEST_CASE("any number of threads gives the same bits of a packed product", "", float, double, bfloat16) {
  Random random(4);
  const Matrix<double> a = draw_normal(random, 130, 67), x = draw_normal(random, 67, 300);
  const Matrix<double> alone = packed_product<TestType, native_vector_bytes>(a, x);
  for (const int count : {2, 3, 5})
    CHECK(packed_product<TestType, native_vector_bytes>(a, x, {}, Threads(count)) == alone);
}

TEST_CASE("the exponential's relative error is below 2e-7") {
  using V = Simd<float>;
  double worst = 0;
  for (float x = 0; x > -87; x -= 0.000973F) {
    const V e = exponential<native_vector_bytes>(V{} + x);
    worst = std::max(worst, relative_error(static_cast<double>(e[0]), std::exp(static_cast<double>(x))));
  }
  CHECK(worst < 2e-7);
  CHECK(exponential<native_vector_bytes>(V{})[0] == 1);
  CHECK(exponential<native_vector_bytes>(V{} - 88)[0] == 0);
  CHECK(exponential<native_vector_bytes>(V{} - std::numeric_limits<float>::infinity())[0] == 0);
  CHECK(std::isnan(exponential<native_vector_bytes>(V{} + std::numeric_limits<float>::quiet_NaN())[0]));
}

TEMPLATE_TEST_CASE("a square is transposed, lanes are summed and compared", "", float, double) {
  for_each_width([](auto bytes) {
    using V = Simd<TestType, bytes>;
    constexpr Index lanes = lanes_of<V>;
    V rows[lanes];
    for (Index i = 0; i < lanes; ++i)
      for (Index j = 0; j < lanes; ++j) rows[i][j] = static_cast<TestType>(100 * i + j);
    CHECK(sum_of(rows[1]) == 100 * lanes + lanes * (lanes - 1) / 2);
    CHECK(largest_of(rows[1]) == 99 + lanes);
    transpose(rows);
    for (Index i = 0; i < lanes; ++i)
      for (Index j = 0; j < lanes; ++j) CHECK(static_cast<Index>(rows[i][j]) == 100 * j + i);
  });
}

TEMPLATE_TEST_CASE("attention by strips is the plain one", "", float, double) {
  for_random_draws(12, [](Random& random) {
    const Index heads = draw_index(random, 1, 3), p = draw_index(random, 1, 70);
    const TokenLayout layout =
        TokenLayout({197, 1, 64, 33, draw_index(random, 1, 400)}).with_visible({197, 1, 40, 33, 1});
    const AttentionOptions options{.mask = random.below(2) == 0 ? AttentionMask::none : AttentionMask::causal,
                                   .logit_scale = 0.3};
    const Index rows = heads * p, room = lanes_of<Simd<TestType>>;
    Matrix<TestType> h = Matrix<TestType>::Constant(rows + room, layout.tokens(), TestType(NAN));
    h.topRows(rows) = draw_normal(random, rows, layout.tokens()).cast<TestType>();
    Matrix<TestType> found(rows, layout.tokens()), again = found;
    const auto attend = [&](Matrix<TestType>& out, int count) {
      Threads threads(count);
      Workspace workspace;
      workspace.reserve(attention_room<TestType>(p, layout, count));
      const std::size_t held = workspace.capacity();
      attend_heads<TestType, TestType>({h.data(), h.rows()}, heads, p, layout, options, false, {out.data(), rows},
                                       workspace, threads);
      CHECK(workspace.capacity() == held);
    };
    attend(found, 1);
    attend(again, 2);
    CHECK(found == again);
    Matrix<TestType> firsts(rows, layout.sets());
    Threads threads;
    Workspace workspace;
    attend_heads<TestType, TestType>({h.data(), h.rows()}, heads, p, layout, options, true, {firsts.data(), rows},
                                     workspace, threads);
    for (Index s = 0; s < layout.sets(); ++s) {
      CHECK(firsts.col(s) == found.col(layout.begin(s)));
      AttentionOptions of_set = options;
      of_set.visible = layout.visible(s);
      const Matrix<double> h_s = h.topRows(rows).middleCols(layout.begin(s), layout.length(s)).template cast<double>();
      const auto found_s = found.middleCols(layout.begin(s), layout.length(s));
      CHECK(relative_error(found_s, subspace_attention(h_s, heads, of_set)) < 4 * rounding<TestType>);
    }
  });
}

TEMPLATE_TEST_CASE("mean and deviation of tokens of any width", "", float, double) {
  for_random_draws(30, [](Random& random) {
    const Vector<TestType> z =
        (draw_normal(random, draw_index(random, 1, 200), 1).array() + 3).template cast<TestType>();
    const auto [mean, inverse_deviation] = token_statistics(z.data(), z.size(), 1e-5);
    const Vector<double> exact = z.template cast<double>();
    CHECK(relative_error(mean, exact.mean()) < rounding<TestType>);
    CHECK(relative_error(inverse_deviation, 1 / std::sqrt((exact.array() - exact.mean()).square().mean() + 1e-5)) <
          4 * rounding<TestType>);
  });
}
