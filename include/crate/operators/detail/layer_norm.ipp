// SPDX-License-Identifier: MIT
// The bodies of layer_norm.hpp.

namespace crate {

namespace detail {

/// mean z and 1 / sqrt(var z + epsilon).
template <class S>
struct TokenMoments {
  S mean, inverse_deviation;
};

template <class Column>
auto token_moments(const Column& token, double epsilon) {
  using S = typename Column::Scalar;
  const S mean = token.mean();
  const S variance = (token.array() - mean).square().mean();
  return TokenMoments<S>{mean, 1 / std::sqrt(variance + static_cast<S>(epsilon))};
}

template <class S, class Column, class Weight, class Bias, class Out>
void layer_norm_column(const Column& token, TokenMoments<S> moments, const Weight& weight, const Bias& bias,
                       Out&& out) {
  out = (token.array() - moments.mean) * moments.inverse_deviation * weight.array() + bias.array();
}

template <class Column, class Weight, class Bias, class Out>
void layer_norm_column(const Column& token, const Weight& weight, const Bias& bias, double epsilon, Out&& out) {
  layer_norm_column(token, token_moments(token, epsilon), weight, bias, out);
}

/// With x = (z - mean) inverse_deviation and g = weight .* cotangent: out = inverse_deviation (g - mean(g) - x
/// mean(g .* x)). `out` may be the cotangent, but not the token.
template <class S, class Column, class Weight, class Cotangent, class Out>
void layer_norm_adjoint_column(const Column& token, TokenMoments<S> moments, const Weight& weight,
                               const Cotangent& cotangent, Out&& out) {
  const auto x = (token.array() - moments.mean) * moments.inverse_deviation;
  out = cotangent.cwiseProduct(weight);
  const S mean = out.mean(), along = (out.array() * x).mean();
  out.array() = moments.inverse_deviation * (out.array() - mean - x * along);
}

/// weight_gradient += sum over tokens of cotangent .* x, bias_gradient += sum of cotangent; all for the same rows of
/// them.
template <class S, class Token, class Cotangent, class Gradient>
void add_layer_norm_weight_adjoint(const Token& token, TokenMoments<S> moments, const Cotangent& cotangent,
                                   Gradient&& weight_gradient, Gradient&& bias_gradient) {
  weight_gradient.array() += cotangent.array() * (token.array() - moments.mean) * moments.inverse_deviation;
  bias_gradient += cotangent;
}

}  // namespace detail

template <class ZDerived, class WeightDerived, class BiasDerived>
Plain<ZDerived> layer_norm(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<WeightDerived>& weight,
                           const Eigen::MatrixBase<BiasDerived>& bias, const LayerNormOptions& options) {
  options.check();
  check_not_empty("layer norm: tokens", tokens);
  check_shape("layer norm: weight", weight, tokens.rows(), 1);
  check_shape("layer norm: bias", bias, tokens.rows(), 1);
  Plain<ZDerived> result = tokens;
  for (Index j = 0; j < result.cols(); ++j)
    detail::layer_norm_column(result.col(j), weight, bias, options.epsilon, result.col(j));
  return result;
}

template <class ZDerived, class WeightDerived, class CotangentDerived>
auto layer_norm_adjoint(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<WeightDerived>& weight,
                        const Eigen::MatrixBase<CotangentDerived>& cotangent, const LayerNormOptions& options) {
  options.check();
  check_not_empty("layer norm: tokens", tokens);
  check_shape("layer norm: weight", weight, tokens.rows(), 1);
  check_shape("layer norm: cotangent", cotangent, tokens.rows(), tokens.cols());
  using WeightPlain = Plain<WeightDerived>;
  LayerNormGradient<Plain<ZDerived>, WeightPlain, WeightPlain> gradient{
      cotangent, WeightPlain::Zero(weight.rows(), weight.cols()), WeightPlain::Zero(weight.rows(), weight.cols())};
  const auto& z = evaluated(tokens);
  for (Index j = 0; j < z.cols(); ++j) {
    const auto moments = detail::token_moments(z.col(j), options.epsilon);
    detail::add_layer_norm_weight_adjoint(z.col(j), moments, gradient.tokens.col(j), gradient.weight, gradient.bias);
    detail::layer_norm_adjoint_column(z.col(j), moments, weight, gradient.tokens.col(j), gradient.tokens.col(j));
  }
  return gradient;
}

}  // namespace crate
