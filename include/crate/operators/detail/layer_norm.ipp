// SPDX-License-Identifier: MIT
// The bodies of layer_norm.hpp.

namespace crate {

namespace detail {

/// mean z and 1 / sqrt(var z + epsilon).
template <class S>
struct TokenStatistics {
  S mean, inverse_deviation;
};

template <class Column>
auto token_statistics(const Column& token, double epsilon) {
  using S = typename Column::Scalar;
  const S mean = token.mean();
  const S variance = (token.array() - mean).square().mean();
  return TokenStatistics<S>{mean, 1 / std::sqrt(variance + static_cast<S>(epsilon))};
}

template <class Column, class Weight, class Bias, class Out>
void layer_norm_column(const Column& token, const Weight& weight, const Bias& bias, double epsilon, Out&& out) {
  const auto [mean, inverse_deviation] = token_statistics(token, epsilon);
  out = (token.array() - mean) * inverse_deviation * weight.array() + bias.array();
}

/// With x = (z - mean) inverse_deviation and g = weight .* cotangent: out = inverse_deviation (g - mean(g) - x
/// mean(g .* x)). `out` may be the cotangent, but not the token.
template <class S, class Column, class Weight, class Cotangent, class Out>
void layer_norm_adjoint_column(const Column& token, TokenStatistics<S> statistics, const Weight& weight,
                               const Cotangent& cotangent, Out&& out) {
  const auto x = (token.array() - statistics.mean) * statistics.inverse_deviation;
  out = cotangent.cwiseProduct(weight);
  const S mean = out.mean(), along = (out.array() * x).mean();
  out.array() = statistics.inverse_deviation * (out.array() - mean - x * along);
}

/// weight_gradient += sum over tokens of cotangent .* x, bias_gradient += sum of cotangent; all for the same rows of
/// them.
template <class S, class Token, class Cotangent, class Gradient>
void add_layer_norm_weight_adjoint(const Token& token, TokenStatistics<S> statistics, const Cotangent& cotangent,
                                   Gradient&& weight_gradient, Gradient&& bias_gradient) {
  weight_gradient.array() += cotangent.array() * (token.array() - statistics.mean) * statistics.inverse_deviation;
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
    const auto statistics = detail::token_statistics(z.col(j), options.epsilon);
    detail::add_layer_norm_weight_adjoint(z.col(j), statistics, gradient.tokens.col(j), gradient.weight, gradient.bias);
    detail::layer_norm_adjoint_column(z.col(j), statistics, weight, gradient.tokens.col(j), gradient.tokens.col(j));
  }
  return gradient;
}

}  // namespace crate
