// SPDX-License-Identifier: MIT
// GELU(x) = x Phi(x), and its derivative.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// Of the tail of the normal distribution, by a polynomial of u = (a - centre) / (a + centre), u in [-1, 1):
///   Phi(-a) = exp(-a^2 / 2) polynomial(u) / (a + centre), a >= 0.
/// It is the one of Chebyshev's nodes; its relative error is 2.2e-7 in float and 4.7e-17 in double. The highest power
/// comes first.
template <Scalar S>
struct NormalTail {
  static constexpr float centre = 3.5F;
  static constexpr float coefficients[] = {3.40241023e-4F, -3.39373207e-4F, -3.09416459e-3F,
                                           6.40596314e-3F, 1.73823075e-2F,  -1.16032392e-1F,
                                           3.15426861e-1F, -5.65563180e-1F, 7.44416075e-1F};
};
template <>
struct NormalTail<double> {
  static constexpr double centre = 5;
  static constexpr double coefficients[] = {
      -8.16619262442898631e-10, 5.03730212637985613e-10, 9.44682751967736646e-9,  -5.0156499398578569e-9,
      -6.78255531329115541e-8,  3.58184005154322338e-8,  4.34026259482977534e-7,  -3.31069807152686198e-7,
      -2.76933787104385417e-6,  3.97791264059324225e-6,  1.66810991158634668e-5,  -4.97617711897921823e-5,
      -5.93756732864886558e-5,  5.44898830900930007e-4,  -7.97869409480806354e-4, -2.99337673822321996e-3,
      2.07950668009416153e-2,   -6.91186387088143285e-2, 1.65020366170342813e-1,  -3.13533156671213766e-1,
      4.9530561596997679e-1,    -6.65382502890057685e-1, 7.6919304975006296e-1};
};

/// Phi(x) and Phi'(x) for every lane.
template <class V>
struct Normal {
  V distribution, density;
};
template <class V>
[[gnu::always_inline]] inline Normal<V> normal(const V& x) {
  using S = ElementOf<V>;
  using Tail = NormalTail<S>;
  const V a = x < V{} ? -x : x;
  const V e = exponential(V(x * x * S(-0.5))), share = S(1) / (a + Tail::centre);
  const V u = S(1) - 2 * Tail::centre * share;
  V sum = V{} + Tail::coefficients[0];
  for (std::size_t i = 1; i < std::size(Tail::coefficients); ++i) sum = sum * u + Tail::coefficients[i];
  const V tail = e * (sum * share);
  return {x < V{} ? tail : S(1) - tail, e * S(0.39894228040143267794)};
}

/// 1 / (1 + exp(-2 u)) = (1 + tanh u) / 2, and what is left of 1, for every lane.
template <class V>
struct Logistic {
  V value, rest;
};
template <class V>
[[gnu::always_inline]] inline Logistic<V> logistic(const V& u) {
  using S = ElementOf<V>;
  const V one = V{} + S(1);
  const V e = exponential(V((u < V{} ? u : -u) * S(2)));
  const V larger_share = one / (one + e), smaller_share = e * larger_share;
  return {u < V{} ? smaller_share : larger_share, u < V{} ? larger_share : smaller_share};
}

template <GeluForm form, class V>
[[gnu::always_inline]] inline V gelu_of(const V& x) {
  using S = ElementOf<V>;
  if constexpr (form == GeluForm::exact)
    return x * normal(x).distribution;
  else
    return x * logistic(V(S(0.79788456080286535588) * x * (S(1) + S(0.044715) * x * x))).value;
}

template <GeluForm form, class V>
[[gnu::always_inline]] inline V gelu_slope_of(const V& x) {
  using S = ElementOf<V>;
  if constexpr (form == GeluForm::exact) {
    const Normal<V> phi = normal(x);
    return phi.distribution + x * phi.density;
  } else {
    const V squared = x * x;
    const Logistic<V> s = logistic(V(S(0.79788456080286535588) * x * (S(1) + S(0.044715) * squared)));
    const V slope = S(2 * 0.79788456080286535588) * (S(1) + S(0.134145) * squared);
    return s.value * (S(1) + x * s.rest * slope);
  }
}

/// body(form) with the form as a constant.
template <class Body>
[[gnu::always_inline]] inline void with_gelu_form(GeluForm form, const Body& body) {
  if (form == GeluForm::exact)
    body(std::integral_constant<GeluForm, GeluForm::exact>{});
  else
    body(std::integral_constant<GeluForm, GeluForm::tanh>{});
}

/// out = GELU(z) for so many numbers. Out may be z.
template <Scalar S>
void gelu_numbers(const S* z, Index count, GeluForm form, S* out) {
  using V = Simd<S>;
  constexpr Index lanes = lanes_of<V>;
  with_gelu_form(
      form, [&](auto constant) __attribute__((always_inline)) {
        Index i = 0;
        for (; i + lanes <= count; i += lanes) store(gelu_of<constant()>(load<V>(z + i)), out + i);
        if (i < count) store_first(gelu_of<constant()>(load_first<V>(z + i, count - i)), out + i, count - i);
      });
}

/// out = cotangent .* GELU'(z). Out may be the cotangent.
template <Scalar S>
void gelu_adjoint_numbers(const S* z, const S* cotangent, Index count, GeluForm form, S* out) {
  using V = Simd<S>;
  constexpr Index lanes = lanes_of<V>;
  with_gelu_form(
      form, [&](auto constant) __attribute__((always_inline)) {
        Index i = 0;
        for (; i + lanes <= count; i += lanes)
          store(V(load<V>(cotangent + i) * gelu_slope_of<constant()>(load<V>(z + i))), out + i);
        if (i == count) return;
        const V slope = gelu_slope_of<constant()>(load_first<V>(z + i, count - i));
        store_first(V(load_first<V>(cotangent + i, count - i) * slope), out + i, count - i);
      });
}

/// See kernels/gelu.hpp.
template <Scalar S>
void gelu_into(Columns<const S> z, Index rows, Index cols, GeluForm form, Columns<S> out, Threads& threads) {
  for_each_columns(cols, threads, [&](Index first, Index count) {
    for (Index j = first; j < first + count; ++j) gelu_numbers(z.at(0, j), rows, form, out.at(0, j));
  });
}
template <Scalar S>
void gelu_adjoint_into(Columns<const S> z, Columns<const S> cotangent, Index rows, Index cols, GeluForm form,
                       Columns<S> out, Threads& threads) {
  for_each_columns(cols, threads, [&](Index first, Index count) {
    for (Index j = first; j < first + count; ++j)
      gelu_adjoint_numbers(z.at(0, j), cotangent.at(0, j), rows, form, out.at(0, j));
  });
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
