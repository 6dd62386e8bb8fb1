// SPDX-License-Identifier: MIT

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// exp(x) for every lane, x <= 0, with a relative error below 2e-7 in float; 0 below -87.
/// x = n log 2 + r with n whole and |r| <= log(2) / 2, exp(x) = 2^n exp(r), and exp(r) by a polynomial that is exact at
/// 0 and whose largest relative error is 3e-9.
[[gnu::always_inline]] inline Simd<float> exponential(const Simd<float>& x) {
  using V = Simd<float>;
  using Bits = Simd<std::int32_t>;
  constexpr float to_whole = 0x1.8p23F;  // added, it leaves no room for digits after the point
  const V shifted = x * 1.44269504F + to_whole;
  const V n = shifted - to_whole;
  const V r = (x - n * 0.693145752F) -
              n * 1.42860677e-6F;  // log 2 in two parts, the first short enough that n times it is exact
  V sum = r * 0.00138145984F + 0.00836871690F;
  sum = sum * r + 0.0416683881F;
  sum = sum * r + 0.166665206F;
  sum = sum * r + 0.499999934F;
  sum = sum * r + 1.0F;
  sum = sum * r + 1.0F;
  constexpr auto zero_bits = std::bit_cast<std::int32_t>(to_whole);
  const Bits power = (same_bits<Bits>(shifted) - (zero_bits - 127)) << 23;
  return x < -87.0F ? V{} : sum * same_bits<V>(power);
}

/// The same in double, with a relative error below 1e-15; 0 below -708. exp(r) by its Taylor polynomial of degree 13,
/// whose remainder is 4e-18.
[[gnu::always_inline]] inline Simd<double> exponential(const Simd<double>& x) {
  using V = Simd<double>;
  using Bits = Simd<std::int64_t>;
  constexpr double to_whole = 0x1.8p52;
  const V shifted = x * 1.4426950408889634 + to_whole;
  const V n = shifted - to_whole;
  const V r = (x - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  constexpr double inverse_factorials[] = {
      1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
      1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1.0,         1.0};
  V sum = V{} + 1.0 / 6227020800;
  for (const double coefficient : inverse_factorials) sum = sum * r + coefficient;
  constexpr auto zero_bits = std::bit_cast<std::int64_t>(to_whole);
  const Bits power = (same_bits<Bits>(shifted) - (zero_bits - 1023)) << 52;
  return x < -708.0 ? V{} : sum * same_bits<V>(power);
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
