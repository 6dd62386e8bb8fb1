// SPDX-License-Identifier: MIT
// The micro-kernels and what is built on them, in every arithmetic and on every instruction set that the processor has.

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/kernels/normalise.hpp"
#include "crate/kernels/packed_product.hpp"
#include "crate/operators/gelu.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

using crate::detail::Activation, crate::detail::BfloatPair, crate::detail::Columns, crate::detail::Epilogue,
    crate::detail::PackedWeights, crate::detail::UnitOf, crate::detail::activation_of, crate::detail::columns_of,
    crate::detail::first_instruction_set, crate::detail::multiplies_bfloat16, crate::detail::round_up,
    crate::detail::tile_rows, crate::detail::tile_shape, crate::detail::vector_bytes;

namespace {

/// Whole numbers from -3 to 3: products and short sums of them are exact in every arithmetic.
Matrix<double> draw_whole(Random& random, Index rows, Index cols) {
  Matrix<double> matrix(rows, cols);
  for (double& x : matrix.reshaped()) x = static_cast<double>(random.below(7)) - 3;
  return matrix;
}

/// A X with weights stored as W, tokens as Token and the product as Out.
template <class W, class Out = ScalarOf<W>, class Token = ScalarOf<W>>
Matrix<double> packed_product(InstructionSet set, const Matrix<double>& a, const Matrix<double>& x,
                              const Epilogue<ScalarOf<W>>& epilogue = {}, Threads&& threads = Threads()) {
  const PackedWeights<W> weights(a, set);
  const Index depth = round_up(x.rows(), 2), rows = round_up(a.rows(), 2);  // bfloat16 are kept in pairs
  Eigen::Matrix<Token, Eigen::Dynamic, Eigen::Dynamic> tokens(depth, x.cols());
  tokens.setZero();
  tokens.topRows(x.rows()) = x.cast<ScalarOf<W>>().template cast<Token>();
  Eigen::Matrix<Out, Eigen::Dynamic, Eigen::Dynamic> out(rows, x.cols());
  Workspace workspace;
  multiply_packed(weights, Columns<const Token>{tokens.data(), depth}, x.cols(), epilogue,
                  Columns<Out>{out.data(), rows}, workspace, threads);
  return out.topRows(a.rows()).template cast<double>();
}

/// The bound of the rounding of a sum of `depth` products, in units of the sum of their absolute values (Higham,
/// section 3.1).
template <class S>
Matrix<double> rounding_bound(const Matrix<double>& a, const Matrix<double>& x) {
  const double unit = static_cast<double>(std::numeric_limits<S>::epsilon()) / 2;
  return static_cast<double>(a.cols() + 2) * unit * (a.cwiseAbs() * x.cwiseAbs());
}

template <class S>
Matrix<double> rounded_to(const Matrix<double>& m) {
  return m.cast<float>().cast<S>().template cast<double>();
}

}  // namespace

TEMPLATE_TEST_CASE("the packed product of whole numbers is exact for tiles of every size", "", float, double,
                   bfloat16) {
  Random random(1);
  for (const InstructionSet set : supported_instruction_sets()) {
    const Index tile = tile_rows(set, sizeof(UnitOf<TestType>)), columns = tile_shape(vector_bytes(set)).columns;
    for (Index rows = 1; rows <= tile + 1; ++rows)
      for (Index cols = 1; cols <= columns + 1; ++cols) {
        CAPTURE(name_of(set), rows, cols);
        const Index depth = draw_index(random, 1, 20);
        const Matrix<double> a = draw_whole(random, rows, depth), x = draw_whole(random, depth, cols);
        CHECK(packed_product<TestType>(set, a, x) == a * x);
        if constexpr (std::same_as<TestType, bfloat16>)
          if (multiplies_bfloat16(set)) CHECK(packed_product<bfloat16, float, bfloat16>(set, a, x) == a * x);
      }
  }
}

TEMPLATE_TEST_CASE("the packed product is the plain one within the bound of its rounding", "", float, double) {
  for_random_draws(10, [](Random& random) {
    const Index rows = draw_index(random, 1, 150), depth = draw_index(random, 1, 150),
                cols = draw_index(random, 1, 300);
    const Matrix<double> a = draw_normal(random, rows, depth).cast<TestType>().template cast<double>(),
                         x = draw_normal(random, depth, cols).cast<TestType>().template cast<double>();
    for (const InstructionSet set : supported_instruction_sets())
      CHECK(((packed_product<TestType>(set, a, x) - a * x).cwiseAbs() - rounding_bound<TestType>(a, x)).maxCoeff() <=
            0);
  });
}

TEST_CASE(
    "a product of bfloat16 weights rounds the weights alone, and the tokens where the processor multiplies these") {
  for_random_draws(10, [](Random& random) {
    const Matrix<double> a = draw_normal(random, 70, draw_index(random, 1, 99)), x = draw_normal(random, a.cols(), 33);
    const Matrix<double> weights = rounded_to<bfloat16>(a);
    for (const InstructionSet set : supported_instruction_sets())
      CHECK(relative_error(packed_product<bfloat16>(set, a, x), weights * x) < rounding<float>);
    for (const InstructionSet set : supported_instruction_sets())
      if (multiplies_bfloat16(set))
        CHECK(relative_error(packed_product<bfloat16, float, bfloat16>(set, a, x), weights * rounded_to<bfloat16>(x)) <
              rounding<float>);
  });
}

TEST_CASE("the epilogue scales, shifts rows, adds, and activates") {
  Random random(3);
  const Index rows = 51, cols = 131;  // no multiples of a tile
  const Matrix<double> a = draw_whole(random, rows, 7), x = draw_whole(random, 7, cols);
  const Matrix<double> addend = draw_whole(random, rows, cols);
  const Vector<double> scale = draw_whole(random, cols, 1), shift = draw_whole(random, rows, 1);
  const Matrix<double> sum = ((2 * a * x * scale.asDiagonal()).colwise() + shift) + addend;
  Vector<double> padded = Vector<double>::Zero(rows + 16);
  padded.head(rows) = shift;
  for (const InstructionSet set : supported_instruction_sets()) {
    Epilogue<double> epilogue{padded.data(), scale.data(), {addend.data(), rows}, Activation::none, 0, 2};
    CHECK(packed_product<double>(set, a, x, epilogue) == sum);
    epilogue.activation = Activation::relu;
    CHECK(packed_product<double>(set, a, x, epilogue) == sum.cwiseMax(0));
    epilogue.activation = Activation::soft_threshold;
    epilogue.level = 5;
    CHECK(packed_product<double>(set, a, x, epilogue) == Matrix<double>(sum.unaryExpr([](double s) {
            return s > 5 ? s - 5 : s < -5 ? s + 5 : 0;
          })));
    for (const GeluForm form : {GeluForm::exact, GeluForm::tanh}) {
      epilogue.activation = activation_of(form);
      CHECK(relative_error(packed_product<double>(set, a, x, epilogue), gelu(sum, form)) < rounding<double>);
    }
  }
}

TEST_CASE("an addend may be kept as bfloat16, where the output goes") {
  Random random(5);
  const Index rows = 51, cols = 9, stride = 52;
  const Matrix<double> a = draw_whole(random, rows, 7), x = draw_whole(random, 7, cols),
                       b = draw_whole(random, stride, cols);
  const Matrix<float> tokens = x.cast<float>();
  for (const InstructionSet set : supported_instruction_sets()) {
    const PackedWeights<bfloat16> weights(a, set);
    Eigen::Matrix<bfloat16, Eigen::Dynamic, Eigen::Dynamic> out = b.cast<float>().cast<bfloat16>();
    Threads threads;
    Workspace workspace;
    const Epilogue<float, bfloat16> epilogue{.addend = {out.data(), stride}};
    multiply_packed(weights, columns_of(tokens), cols, epilogue, Columns<bfloat16>{out.data(), stride}, workspace,
                    threads);
    CHECK(out.topRows(rows).cast<double>() == a * x + b.topRows(rows));
  }
}

TEST_CASE("floats that multiply bfloat16 weights are read no further than their last coordinate") {
  Random random(6);
  for (const InstructionSet set : supported_instruction_sets())
    for (const Index rows : {Index{3}, tile_rows(set, sizeof(BfloatPair))}) {
      const Matrix<double> a = draw_whole(random, rows, 7);
      Matrix<float> tokens = draw_whole(random, 8, 33).cast<float>();
      tokens.row(7).setConstant(std::numeric_limits<float>::quiet_NaN());
      Matrix<float> out(rows, 33);
      Threads threads;
      Workspace workspace;
      multiply_packed(PackedWeights<bfloat16>(a, set), columns_of(std::as_const(tokens)), 33, Epilogue<float>{},
                      columns_of(out), workspace, threads);
      CHECK(out.cast<double>() == a * tokens.topRows(7).cast<double>());
    }
}

TEST_CASE("a ReLU lets what is not a number through") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const InstructionSet set : supported_instruction_sets()) {
    const Matrix<double> found = packed_product<double>(set, Matrix<double>::Ones(1, 1), Matrix<double>{{nan, 2, -1}},
                                                        {.activation = Activation::relu});
    CHECK(std::isnan(found(0, 0)));
    CHECK(found(0, 1) == 2);
    CHECK(found(0, 2) == 0);
  }
}

TEST_CASE("tokens stored as bfloat16 are rounded to nearest, ties to even") {
  for (const InstructionSet set : supported_instruction_sets()) {
    const auto stored = [&](double x) {
      return packed_product<float, bfloat16>(set, Matrix<double>::Ones(1, 1), Matrix<double>{{x}})(0, 0);
    };
    CHECK(stored(1.25) == 1.25);
    CHECK(stored(1 + 0x1p-8) == 1);
    CHECK(stored(1 + 0x3p-8) == 1 + 0x1p-6);
    CHECK(stored(-1 - 0x1.8p-8) == -1 - 0x1p-7);
    CHECK(stored(3.4e38) == std::numeric_limits<double>::infinity());
    CHECK(std::isnan(stored(std::numeric_limits<double>::quiet_NaN())));
  }
}

TEMPLATE_TEST_CASE("any number of threads gives the same bits of a packed product", "", float, double, bfloat16) {
  Random random(4);
  const Matrix<double> a = draw_normal(random, 130, 67), x = draw_normal(random, 67, 300);
  for (const InstructionSet set : supported_instruction_sets()) {
    const Matrix<double> alone = packed_product<TestType>(set, a, x);
    for (const int count : {2, 3, 5}) CHECK(packed_product<TestType>(set, a, x, {}, Threads(count)) == alone);
  }
}

TEMPLATE_TEST_CASE("deviations of tokens of any width", "", float, double) {
  for_random_draws(30, [](Random& random) {
    const Vector<TestType> z =
        (draw_normal(random, draw_index(random, 1, 200), 1).array() + 3).template cast<TestType>();
    const Vector<double> exact = z.template cast<double>();
    const double expected = 1 / std::sqrt((exact.array() - exact.mean()).square().mean() + 1e-5);
    for (const InstructionSet set : supported_instruction_sets()) {
      Threads threads;
      TestType found = 0;
      inverse_deviations_into<TestType>(set, columns_of(z), z.size(), 1, 1e-5, &found, threads);
      CHECK(relative_error(found, expected) < 4 * rounding<TestType>);
    }
  });
}

TEST_CASE(
    "an instruction set is chosen at run time, by a call or by the environment, and one that is lacking is refused") {
  const InstructionSet before = instruction_set();
  CHECK(is_supported(before));
  for (const InstructionSet set : supported_instruction_sets()) {
    use_instruction_set(set);
    CHECK(instruction_set() == set);
  }
  use_instruction_set(before);
}

TEST_CASE("CRATE_INSTRUCTION_SET that names nothing this processor has is an error, not ignored") {
  const char* const variable = "CRATE_INSTRUCTION_SET";
  const char* const set_before = std::getenv(variable);
  const std::string before = set_before == nullptr ? "" : set_before;
  for (const InstructionSet set : supported_instruction_sets()) {
    ::setenv(variable, std::string(name_of(set)).c_str(), 1);
    CHECK(first_instruction_set() == set);
  }
  ::setenv(variable, "AVX2", 1);
  CHECK_THROWS_WITH(first_instruction_set(),
                    Catch::Matchers::StartsWith("environment variable CRATE_INSTRUCTION_SET: expected one that this "
                                                "processor has (portable") &&
                        Catch::Matchers::EndsWith("found \"AVX2\""));
  for (std::size_t i = 0; i < instruction_set_names.size(); ++i)
    if (const auto set = static_cast<InstructionSet>(i); !is_supported(set)) {
      ::setenv(variable, std::string(name_of(set)).c_str(), 1);
      CHECK_THROWS_AS(first_instruction_set(), OptionError);
      CHECK_THROWS_AS(use_instruction_set(set), OptionError);
    }
  ::setenv(variable, before.c_str(), 1);  // empty is as good as not set
  CHECK(is_supported(first_instruction_set()));
}
