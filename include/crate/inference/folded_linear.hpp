// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/normalise.hpp"
#include "crate/kernels/packed_product.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/ista.hpp"

namespace crate {

/// An affine map of tokens in double, from which FoldedLinear is made: W x + b.
struct AffineMap {
  Matrix<double> weight;  ///< W
  Vector<double> bias;    ///< b

  /// Of a layer's matrix and bias; an empty bias is zero.
  template <class WDerived, class BDerived>
  AffineMap(const Eigen::MatrixBase<WDerived>& w, const Eigen::MatrixBase<BDerived>& b)
      : weight(w.template cast<double>()), bias(Vector<double>::Zero(w.rows())) {
    if (b.size() == 0) return;
    check_size("affine map: bias", b.size(), weight.rows());
    bias = b.template cast<double>();
  }
  template <class WDerived>
  explicit AffineMap(const Eigen::MatrixBase<WDerived>& w) : AffineMap(w, Vector<double>()) {}

  /// The map that is left when a layer norm in front is taken in: with weight gamma and bias beta, on tokens of mean m
  /// and deviation sigma,
  ///   W LN(z) + b = W diag(gamma) (I - 1 1^T / d) z / sigma + (W beta + b).
  /// It is one of z / sigma, or of (z - m) / sigma, which it maps to the same.
  template <Scalar S>
  [[nodiscard]] AffineMap after(const LayerNorm<S>& norm) && {
    check_size("folding: width of the norm", norm.weight.size(), weight.cols());
    bias += weight * norm.bias.template cast<double>();
    weight.array().rowwise() *= norm.weight.transpose().template cast<double>().array();
    const auto dim = static_cast<double>(weight.cols());
    const Vector<double> means = weight * Vector<double>::Constant(weight.cols(), 1 / dim);
    weight.colwise() -= means;
    return std::move(*this);
  }
};

/// activation(W LN(z) + b), with the norm's weight and bias inside W and b, and W arranged for the processor. One
/// product a token set; what is left of the norm is a number a token. Weights in bfloat16 multiply tokens rounded to
/// bfloat16 where that is faster, unless these shall be kept.
template <FoldedWeight W>
class FoldedLinear {
 public:
  using Scalar = ScalarOf<W>;
  static constexpr bool is_tokenwise = true;

  /// Without a norm in front.
  explicit FoldedLinear(const AffineMap& map, detail::Activation activation = detail::Activation::none,
                        double level = 0)
      : weights_(map.weight), shift_(padded(map.bias)), activation_(activation), level_(static_cast<Scalar>(level)) {}

  /// After the norm.
  FoldedLinear(const LayerNorm<Scalar>& norm, AffineMap map, detail::Activation activation = detail::Activation::none,
               double level = 0)
      : FoldedLinear(std::move(map).after(norm), activation, level) {
    norm_epsilon_ = norm.options.epsilon;
  }

  /// From now on tokens are multiplied as they are, in twice the time where the processor multiplies bfloat16.
  void keep_tokens() { keeps_tokens_ = true; }
  [[nodiscard]] bool keeps_tokens() const { return keeps_tokens_; }
  [[nodiscard]] InstructionSet instruction_set() const { return weights_.instruction_set(); }

  [[nodiscard]] Index input_dim() const { return weights_.cols(); }
  [[nodiscard]] Index output_dim() const { return weights_.rows(); }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return static_cast<double>(input_dim() * output_dim()) * static_cast<double>(layout.tokens());
  }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    std::string map = "W " + as_factor(norm_epsilon_ ? "LN(" + argument + ")" : argument) + " + b";
    if (activation_ == detail::Activation::none) return map;
    const bool is_gelu = activation_ == detail::Activation::gelu || activation_ == detail::Activation::gelu_tanh;
    return (is_gelu ? "GELU(" : "prox(") + map + ")";
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    check_size("folded map: rows of the tokens", z.rows(), input_dim());
    check_size("folded map: rows of the output", out.rows(), output_dim());
    apply(detail::columns_of(z), z.cols(), nothing, detail::columns_of(out), pass.workspace, pass.threads);
  }

  /// No addend.
  static constexpr detail::Columns<const Scalar> nothing = {};

  /// out = activation(W LN(z) + b + addend) for `cols` tokens. Tokens that go from one product to the next may be kept
  /// as W, an addend too; a norm needs them as Scalar. The addend may lie where the output goes.
  template <class In, class Kept, class Out>
  void apply(detail::Columns<In> z, Index cols, detail::Columns<Kept> addend, detail::Columns<Out> out,
             Workspace& workspace, Threads& threads) const {
    detail::Epilogue<Scalar, std::remove_const_t<Kept>> epilogue{
        shift_.data(), nullptr, {addend.first, addend.stride}, activation_, level_};
    Workspace::Frame frame(workspace);
    if constexpr (std::same_as<W, Scalar>) {
      if (norm_epsilon_) {
        auto* const inverse_deviations = frame.array<Scalar>(cols);
        detail::inverse_deviations_into<Scalar>(instruction_set(), {z.first, z.stride}, input_dim(), cols,
                                                *norm_epsilon_, inverse_deviations, threads);
        epilogue.column_scale = inverse_deviations;
      }
      multiply(z, cols, epilogue, out, workspace, threads);
    } else if constexpr (std::same_as<std::remove_const_t<In>, bfloat16>) {
      multiply(z, cols, epilogue, out, workspace, threads);
    } else {
      if (reads_in_place()) return multiply(z, cols, epilogue, out, workspace, threads);
      const auto multiply_normalised = [&]<class Token>(Token* normalised) {
        const detail::Columns<Token> tokens{normalised, paired_dim()};
        detail::normalise_tokens_into(instruction_set(), {z.first, z.stride}, input_dim(), cols, norm_epsilon_, tokens,
                                      threads);
        multiply(tokens, cols, epilogue, out, workspace, threads);
      };
      if (keeps_tokens_)
        multiply_normalised(frame.array<Scalar>(paired_dim() * cols));
      else
        multiply_normalised(frame.array<W>(paired_dim() * cols));
    }
  }

  [[nodiscard]] std::size_t bytes_held() const {
    return weights_.bytes_held() + static_cast<std::size_t>(shift_.size()) * sizeof(Scalar);
  }

  /// The bytes of workspace that `apply` takes for so many tokens kept as Scalar.
  [[nodiscard]] std::size_t workspace_bytes(Index cols, int threads) const {
    if constexpr (std::same_as<W, Scalar>) {
      return norm_epsilon_ ? Workspace::room<Scalar>(cols) : 0;
    } else {
      if (!keeps_tokens_) return Workspace::room<W>(paired_dim() * cols);
      return detail::product_room(weights_, threads) +
             (reads_in_place() ? 0 : Workspace::room<Scalar>(paired_dim() * cols));
    }
  }
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& layout, int threads) const {
    return workspace_bytes(layout.tokens(), threads);
  }

 private:
  template <class Token, class Epilogue, class Out>
  void multiply(detail::Columns<Token> x, Index cols, const Epilogue& epilogue, detail::Columns<Out> out,
                Workspace& workspace, Threads& threads) const {
    detail::multiply_packed(weights_, detail::Columns<const std::remove_const_t<Token>>{x.first, x.stride}, cols,
                            epilogue, out, workspace, threads);
  }

  /// Whether tokens are multiplied where they lie.
  [[nodiscard]] bool reads_in_place() const { return keeps_tokens_ && !norm_epsilon_; }
  [[nodiscard]] Index paired_dim() const { return detail::round_up(input_dim(), 2); }

  static Vector<Scalar> padded(const Vector<double>& bias) {
    constexpr Index most_lanes = 16;
    Vector<Scalar> result = Vector<Scalar>::Zero(detail::round_up(bias.size(), most_lanes));
    result.head(bias.size()) = bias.cast<Scalar>();
    return result;
  }

  detail::PackedWeights<W> weights_;
  Vector<Scalar> shift_;  // b, and zeros up to whole vectors
  std::optional<double> norm_epsilon_;
  detail::Activation activation_;
  Scalar level_;
  bool keeps_tokens_ = !detail::multiplies_bfloat16(weights_.instruction_set());
};

/// prox(W LN(z) + b) with the proximal operator of level ||x||_1. Without a norm where it is null.
template <FoldedWeight W>
[[nodiscard]] FoldedLinear<W> with_threshold(const LayerNorm<ScalarOf<W>>* norm, AffineMap map, Threshold threshold,
                                             double level) {
  const detail::Activation activation = detail::activation_of(threshold);
  return norm != nullptr ? FoldedLinear<W>(*norm, std::move(map), activation, level)
                         : FoldedLinear<W>(map, activation, level);
}

}  // namespace crate
