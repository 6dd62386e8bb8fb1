// SPDX-License-Identifier: MIT
// Dropout by vectors of counters, on every instruction set that the processor has.

#include "crate/kernels/dropout.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "draw.hpp"
#include "kernels/use_instruction_set.hpp"
#include "plain_dropout.hpp"

using namespace crate;
using namespace crate::test;

TEMPLATE_TEST_CASE("dropout of token sets is the plain one to the last bit, whatever the width and the threads", "",
                   float, double) {
  Random random(11);
  const TokenLayout layout({1, 33, 5, 100});
  const DropoutStream stream{.seed = random.bits(), .step = 5, .first_set = 3};
  for (const Index width : {1, 2, 3, 4, 16, 61, 64, 65, 131})
    for (const Index room : {0, 3}) {  // without room between tokens, and with
      const Matrix<TestType> tokens = draw_normal(random, width + room, layout.tokens()).template cast<TestType>();
      Matrix<TestType> expected = tokens;
      for (Index s = 0; s < layout.sets(); ++s)
        plain_drop(stream, 7, s, 0, 0.3, expected.block(0, layout.begin(s), width, layout.length(s)));
      for (const InstructionSet set : supported_instruction_sets())
        for (const int count : {1, 3}) {
          CAPTURE(width, room, name_of(set), count);
          const UseInstructionSet chosen(set);
          Threads threads(count);
          Matrix<TestType> found = tokens;
          auto top = found.topRows(width);
          detail::drop_sets(layout, 0.3, stream, 7, top, threads);
          CHECK(found == expected);
        }
    }
}

TEST_CASE("what is drawn at the threshold itself is kept") {
  const DropoutStream stream{.seed = 2};
  const detail::DropoutDraws draws(stream, 0, 0, 0);
  const double probability = philox(draws.counter, draws.key)[0] * 0x1p-32;
  Threads threads;
  for (const InstructionSet set : supported_instruction_sets()) {
    CAPTURE(name_of(set));
    const UseInstructionSet chosen(set);
    Matrix<float> ones = Matrix<float>::Ones(100, 1);
    detail::drop_sets(TokenLayout::single(1), probability, stream, 0, ones, threads);
    CHECK(ones(0, 0) == static_cast<float>(1 / (1 - probability)));
  }
}

TEST_CASE("a single long set is dropped by several threads as by one") {
  const TokenLayout layout = TokenLayout::single(500);
  Matrix<float> alone = Matrix<float>::Ones(30, 500), together = alone;
  Threads one(1), three(3);
  detail::drop_sets(layout, 0.5, {.seed = 2}, 0, alone, one);
  detail::drop_sets(layout, 0.5, {.seed = 2}, 0, together, three);
  CHECK(together == alone);
}

TEMPLATE_TEST_CASE("dropout leaves a share of numbers, as much larger, and not a number where there was none", "",
                   float, double) {
  constexpr TestType nan = std::numeric_limits<TestType>::quiet_NaN();
  Threads threads;
  const TokenLayout layout = TokenLayout::single(100);
  for (const InstructionSet set : supported_instruction_sets()) {
    CAPTURE(name_of(set));
    const UseInstructionSet chosen(set);
    Matrix<TestType> ones = Matrix<TestType>::Ones(100, 100), nans = Matrix<TestType>::Constant(100, 100, nan);
    detail::drop_sets(layout, 0.25, {.seed = 3}, 0, ones, threads);
    detail::drop_sets(layout, 0.25, {.seed = 3}, 0, nans, threads);
    CHECK((ones.array() == 0 || ones.array() == static_cast<TestType>(1 / 0.75)).all());
    CHECK(std::abs(ones.template cast<double>().mean() - 1) < 4 * std::sqrt(0.25 / 0.75 / 1e4));  // four deviations
    CHECK((nans.array().isNaN() == (ones.array() != 0)).all());
    detail::drop_sets(layout, 0, {.seed = 3}, 0, nans, threads);
    CHECK((nans.array().isNaN() == (ones.array() != 0)).all());
  }
}
