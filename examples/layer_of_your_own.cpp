// SPDX-License-Identifier: MIT
// A layer of one's own with its adjoint, a block that has it as a part, and the check that both are right.

#include <crate/crate.hpp>
#include <iostream>
#include <string>
#include <tuple>

using namespace crate;

/// diag(g) Z: each coordinate has a factor that is learnt. Source: Touvron et al., arXiv 2103.17239 (LayerScale).
template <crate::Scalar S>
struct LayerScale {
  using Scalar = S;

  Vector<S> factors;  ///< g, d

  static constexpr auto parts() { return std::tuple{part("factors", &LayerScale::factors)}; }

  [[nodiscard]] Index input_dim() const { return factors.size(); }
  [[nodiscard]] Index output_dim() const { return factors.size(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "g * " + as_factor(argument); }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return static_cast<double>(factors.size() * layout.tokens());
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>&) const { out = factors.asDiagonal() * z; }

  /// What the backward pass needs: Z, as dL/dg is a product with it.
  struct Tape {
    Kept<S> tokens;
  };
  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    forward(z, out, pass);
    tape = {z};
  }

  /// dL/dZ = diag(g) dL/dout, and dL/dg += sum_j (dL/dout)_j * z_j.
  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, LayerScale& gradient,
                Pass<S>&) const {
    gradient.factors += out_cotangent.cwiseProduct(tape.tokens.view()).rowwise().sum();
    z_cotangent = factors.asDiagonal() * out_cotangent;
  }
};

/// g * MSSA(LN(Z)), a chain of a layer of the library and ours.
template <crate::Scalar S>
struct ScaledAttention : Chain<ScaledAttention<S>, S> {
  PreNorm<Mssa<S>> attention{Mssa<S>({.dim = 8, .heads = 2})};
  LayerScale<S> scale{Vector<S>::Constant(8, S(0.1))};

  static constexpr auto parts() {
    return std::tuple{part("attention", &ScaledAttention::attention), part("scale", &ScaledAttention::scale)};
  }
};

int main() {
  Residual<ScaledAttention<double>> block{ScaledAttention<double>()};
  initialise(block, /*seed*/ 1);
  std::cout << block.formula("Z") << ", " << parameter_count(block) << " parameters\n";

  Eigen::MatrixXd tokens(8, 5);
  Random(/*seed*/ 2).fill_normal(tokens);
  const testing::Finding finding = testing::check_backward(block, TokenSets<double>(tokens));
  std::cout << (finding ? "backward agrees with differences\n" : finding.report + '\n');

  // Of a gradient that is wrong, the report says where and by how much: here 2 g would be right.
  const Eigen::VectorXd g = block.branch.scale.factors;
  const auto squares = [](const Eigen::MatrixXd& factors) { return factors.squaredNorm(); };
  const std::string report = testing::check_gradient("factors", squares, g, g).report;
  std::cout << "and of a wrong gradient:\n" << report.substr(0, report.find(';')) << '\n';
}

// Output:
//
//   Z + g * MSSA(LN(Z)), 160 parameters
//   backward agrees with differences
//   and of a wrong gradient:
//   factors: largest error 0.5 of the scale 0.2 (tolerance 1e-08) at (0, 0): by differences 0.2, found 0.1
