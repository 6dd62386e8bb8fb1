// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// Four random words for each counter and key: Philox-4x32-10 of Salmon et al., "Parallel random numbers: as easy as
/// 1, 2, 3", SC 2011.
[[nodiscard]] inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                                         std::array<std::uint32_t, 2> key) {
  const auto low = [](std::uint64_t product) { return static_cast<std::uint32_t>(product); };
  const auto high = [](std::uint64_t product) { return static_cast<std::uint32_t>(product >> 32); };
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t first = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t second = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {high(second) ^ counter[1] ^ key[0], low(second), high(first) ^ counter[3] ^ key[1], low(first)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// Inverse of the standard normal distribution function on (0, 1), relative error about 1e-16.
/// Rational approximations of Wichura, "Algorithm AS 241", Applied Statistics 37 (1988), PPND16.
[[nodiscard]] inline double normal_quantile(double probability) {
  using Coefficients = std::array<double, 8>;
  const auto polynomial = [](const Coefficients& c, double x) {
    double value = c[7];
    for (int i = 6; i >= 0; --i) value = value * x + c[static_cast<std::size_t>(i)];
    return value;
  };
  static constexpr Coefficients centre_above{
      3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3, 1.3731693765509461125e+4,
      4.5921953931549871457e+4, 6.7265770927008700853e+4, 3.3430575583588128105e+4, 2.5090809287301226727e+3};
  static constexpr Coefficients centre_below{
      1.00000000000000000000e0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
      2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4, 5.2264952788528545610e+3};
  static constexpr Coefficients middle_above{
      1.42343711074968357734e0, 4.63033784615654529590e0,  5.76949722146069140550e0,  3.64784832476320460504e0,
      1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr Coefficients middle_below{
      1.00000000000000000000e0,  2.05319162663775882187e0,  1.67638483018380384940e0,  6.89767334985100004550e-1,
      1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9};
  static constexpr Coefficients tail_above{
      6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,  2.96560571828504891230e-1,
      2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr Coefficients tail_below{
      1.00000000000000000000e0,  5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
      7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15};
  const double centred = probability - 0.5;
  if (std::abs(centred) <= 0.425) {
    const double r = 0.180625 - centred * centred;
    return centred * polynomial(centre_above, r) / polynomial(centre_below, r);
  }
  const double r = std::sqrt(-std::log(centred < 0 ? probability : 1 - probability));
  const double magnitude = r <= 5 ? polynomial(middle_above, r - 1.6) / polynomial(middle_below, r - 1.6)
                                  : polynomial(tail_above, r - 5) / polynomial(tail_below, r - 5);
  return centred < 0 ? -magnitude : magnitude;
}

/// Reproducible random numbers: numbers 2c and 2c + 1 of stream s are the two halves of philox((c, s), seed), where
/// c, s and the seed each stand low word first. The whole state is (seed, stream, position), so saving three integers
/// resumes a sequence, and streams are independent of each other.
/// `bits`, `uniform` and `below` are equal on every platform; `normal` up to the rounding of the platform's logarithm.
class Random {
 public:
  explicit Random(std::uint64_t seed = 0, std::uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] std::uint64_t stream() const { return stream_; }

  /// How many 64-bit numbers were drawn.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  void seek(std::uint64_t position) {
    position_ = position;
    holds_second_ = false;
  }

  /// 64 random bits.
  std::uint64_t bits() {
    const std::uint64_t counter = position_ / 2;
    const bool is_second = position_++ % 2 == 1;
    if (is_second && holds_second_) return second_;
    const auto words = philox({low(counter), high(counter), low(stream_), high(stream_)}, {low(seed_), high(seed_)});
    const std::uint64_t first = words[0] | (std::uint64_t{words[1]} << 32);
    second_ = words[2] | (std::uint64_t{words[3]} << 32);
    holds_second_ = true;
    return is_second ? second_ : first;
  }

  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

  /// Uniform between low and high; rounding may reach high.
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Uniform in 0, ..., count - 1. Throws OptionError unless count >= 1.
  Index below(Index count) {
    check_option(count >= 1, "random number below a count >= 1", count);
    const auto n = static_cast<std::uint64_t>(count);
    const std::uint64_t tail = (0 - n) % n;  // 2^64 mod n: numbers below it would favour small results
    std::uint64_t draw = bits();
    while (draw < tail) draw = bits();
    return static_cast<Index>(draw % n);
  }

  /// Standard normal, by inversion of its distribution function.
  double normal() { return normal_quantile((static_cast<double>(bits() >> 12) + 0.5) * 0x1p-52); }

  /// Fills a matrix, or a part of one such as `z.leftCols(3)`, with standard normal numbers, column by column.
  template <class Block>
  void fill_normal(Block&& matrix) {
    using S = typename std::decay_t<Block>::Scalar;
    for (Index j = 0; j < matrix.cols(); ++j)
      for (Index i = 0; i < matrix.rows(); ++i) matrix(i, j) = static_cast<S>(normal());
  }

  /// The same with numbers uniform between low and high.
  template <class Block>
  void fill_uniform(Block&& matrix, double low, double high) {
    using S = typename std::decay_t<Block>::Scalar;
    for (Index j = 0; j < matrix.cols(); ++j)
      for (Index i = 0; i < matrix.rows(); ++i) matrix(i, j) = static_cast<S>(uniform(low, high));
  }

 private:
  [[nodiscard]] static constexpr std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
  [[nodiscard]] static constexpr std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t position_ = 0;
  std::uint64_t second_ = 0;   // the second word of the pair drawn last, at an odd position
  bool holds_second_ = false;  // whether second_ is the word at position_
};

}  // namespace crate
