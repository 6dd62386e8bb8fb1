// SPDX-License-Identifier: MIT
#include "crate/core/random.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "catch.hpp"

using crate::Index;
using crate::Random;

TEST_CASE("philox gives the known answers of Random123") {
  using Counter = std::array<std::uint32_t, 4>;
  CHECK(crate::philox({0, 0, 0, 0}, {0, 0}) == Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint32_t ones = 0xffffffff;
  CHECK(crate::philox({ones, ones, ones, ones}, {ones, ones}) ==
        Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(crate::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random bits are the halves of philox of position, stream and seed, low word first") {
  const std::uint64_t seed = 0x299f31d0a4093822, stream = 0x0370734413198a2e;
  Random random(seed, stream);
  random.seek(2 * std::uint64_t{0x05a308d3243f6a88});
  const auto words = crate::philox({0x243f6a88, 0x05a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0});
  CHECK(random.bits() == (words[0] | std::uint64_t{words[1]} << 32));
  CHECK(random.bits() == (words[2] | std::uint64_t{words[3]} << 32));
}

TEST_CASE("a part of a matrix is filled in place, with the numbers that a matrix of its size would get") {
  crate::Matrix<double> whole = crate::Matrix<double>::Zero(4, 5), part(2, 3);
  const auto inner = [&] { return whole.block(1, 2, 2, 3); };
  Random(7).fill_normal(inner());
  Random(7).fill_normal(part);
  CHECK(inner() == part);
  CHECK((whole.array() != 0).count() == 6);
  Random(7).fill_uniform(inner(), -1, 1);
  Random(7).fill_uniform(part, -1, 1);
  CHECK(inner() == part);
  auto named = whole.leftCols(1);
  Random(7).fill_normal(named);
  CHECK((whole.array() != 0).count() == 10);
}

TEST_CASE("seek resumes a random sequence at any position") {
  Random random(7);
  std::vector<std::uint64_t> numbers(9);
  for (std::uint64_t& number : numbers) number = random.bits();
  CHECK(random.position() == 9);
  for (const std::size_t position : std::vector<std::size_t>{0, 1, 2, 8, 5, 4, 3, 6, 1, 7}) {
    random.seek(position);
    CHECK(random.bits() == numbers[position]);
  }
}

TEST_CASE("seeds and streams give different numbers") {
  const std::uint64_t number = Random(1, 2).bits();
  CHECK(Random(1, 2).bits() == number);
  CHECK(Random(2, 2).bits() != number);
  CHECK(Random(1, 3).bits() != number);
  CHECK(Random(2, 1).bits() != number);
}

// The moments of n draws deviate from those of the distribution by their standard error times a standard normal number;
// 4.5 standard errors are exceeded once in 150,000 seeds.
TEST_CASE("uniform numbers have the moments of the uniform distribution") {
  Random random(3);
  constexpr int draws = 200'000;
  double sum = 0, sum_of_squares = 0;
  for (int i = 0; i < draws; ++i) {
    const double u = random.uniform();
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    sum += u - 0.5;
    sum_of_squares += (u - 0.5) * (u - 0.5);
  }
  CHECK(std::abs(sum / draws) < 4.5 * std::sqrt(1.0 / 12 / draws));
  CHECK(std::abs(sum_of_squares / draws - 1.0 / 12) < 4.5 * std::sqrt(1.0 / 180 / draws));
}

TEST_CASE("normal numbers have the moments of the standard normal distribution") {
  Random random(4);
  constexpr int draws = 200'000;
  double moments[5] = {};
  for (int i = 0; i < draws; ++i) {
    const double x = random.normal();
    double power = 1;
    for (double& moment : moments) {
      moment += power / draws;
      power *= x;
    }
  }
  // The variance of x^k is E x^2k - (E x^k)^2, where E x^2, x^4, x^6, x^8 = 1, 3, 15, 105.
  CHECK(std::abs(moments[1]) < 4.5 * std::sqrt(1.0 / draws));
  CHECK(std::abs(moments[2] - 1) < 4.5 * std::sqrt(2.0 / draws));
  CHECK(std::abs(moments[3]) < 4.5 * std::sqrt(15.0 / draws));
  CHECK(std::abs(moments[4] - 3) < 4.5 * std::sqrt(96.0 / draws));
}

namespace {

double normal_distribution(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace

TEST_CASE("the normal quantile inverts the distribution function") {
  // A relative error e of x changes the probability p in the lower tail by about x^2 e p.
  for (const double p :
       {0x1p-53, 1e-300, 1e-100, 1e-20, 1e-12, 1.3e-11, 1.5e-11, 1e-6, 0.01, 0.0749, 0.0751, 0.3, 0.5}) {
    const double x = crate::normal_quantile(p);
    INFO("p = " << p << ", x = " << x);
    CHECK(std::abs(normal_distribution(x) - p) <= (2 + x * x) * 1e-15 * p);
  }
  CHECK(crate::normal_quantile(0.975) == Catch::Approx(1.959963984540054).epsilon(1e-15));
  CHECK(crate::normal_quantile(0.5) == 0);
}

TEST_CASE("the normal quantile is odd about one half") {
  for (const double p : {0x1p-53, 0x1p-40, 0x1p-20, 0.03125, 0.125, 0.25, 0.4375})
    CHECK(crate::normal_quantile(1 - p) == -crate::normal_quantile(p));
}

TEST_CASE("as many normal numbers fall below a quantile as its probability says") {
  constexpr int draws = 100'000;
  for (const double p : {0.001, 0.05, 0.2, 0.5, 0.9, 0.999}) {
    Random random(5);
    const double quantile = crate::normal_quantile(p);
    int below = 0;
    for (int i = 0; i < draws; ++i) below += random.normal() < quantile ? 1 : 0;
    INFO("p = " << p);
    CHECK(std::abs(below - p * draws) < 4.5 * std::sqrt(p * (1 - p) * draws));
  }
}

TEST_CASE("numbers below a count are all reached, and equally often") {
  Random random(6);
  constexpr int draws = 70'000;
  std::vector<int> hits(7);
  for (int i = 0; i < draws; ++i) ++hits.at(static_cast<std::size_t>(random.below(7)));
  for (const int hit : hits) CHECK(std::abs(hit - draws / 7.0) < 4.5 * std::sqrt(draws / 7.0 * 6 / 7));
  CHECK(random.below(1) == 0);
  CHECK_THROWS_AS(random.below(0), crate::OptionError);
  CHECK_THROWS_AS(random.below(-3), crate::OptionError);
}

TEST_CASE("matrices are filled column by column") {
  Random random(8);
  crate::Matrix<float> normal(3, 5);
  random.fill_normal(normal);
  CHECK(random.position() == 15);
  crate::Matrix<double> uniform(3, 5);
  random.fill_uniform(uniform, -2, 3);

  Random again(8);
  for (const float x : normal.reshaped()) CHECK(x == static_cast<float>(again.normal()));
  for (const double u : uniform.reshaped()) CHECK(u == again.uniform(-2, 3));
  CHECK(uniform.minCoeff() >= -2);
  CHECK(uniform.maxCoeff() <= 3);
}
