// SPDX-License-Identifier: MIT

namespace crate::detail::CRATE_TARGET {

/// exp(x) for every lane, x <= 0, with a relative error below 2e-7 in float; 0 below -87.
/// x = n log 2 + r with n whole and |r| <= log(2) / 2, exp(x) = 2^n exp(r), and exp(r) by a polynomial that is exact at 0 and
/// whose largest relative error is 3e-9.
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

/// The same in double, by the standard library.
[[gnu::always_inline]] inline Simd<double> exponential(const Simd<double>& x) {
  Simd<double> result = x;
  for (Index i = 0; i < lanes_of<Simd<double>>; ++i) result[i] = std::exp(x[i]);
  return result;
}

}  // namespace crate::detail::CRATE_TARGET
