// SPDX-License-Identifier: MIT
#include "no_allocation.hpp"
//
#include "catch.hpp"
#include "comparison.hpp"
#include "crate/core/random.hpp"
#include "crate/operators/compression.hpp"
#include "crate/operators/ista.hpp"
#include "crate/operators/layer_norm.hpp"
#include "crate/operators/rate_reduction.hpp"
#include "crate/operators/softmax.hpp"
#include "crate/operators/sparse_coding.hpp"
#include "crate/operators/subspace_attention.hpp"

// Operators on matrices of sizes known at compile time: they allocate nothing, and compute what they do on others.

using namespace crate;
using namespace crate::test;

namespace {

template <class S, int d, int n>
struct Sizes {
  using Tokens = Eigen::Matrix<S, d, n>;
  using Bases = Eigen::Matrix<S, d, 6>;  // two heads of three
  using Dictionary = Eigen::Matrix<S, d, d>;
  using WideDictionary = Eigen::Matrix<S, d, 2 * d>;
  using Token = Eigen::Matrix<S, d, 1>;
};

template <class Fixed>
Fixed draw_fixed(std::uint64_t seed) {
  Fixed matrix;
  Random(seed).fill_normal(matrix);
  return matrix;
}

/// Runs `op` on fixed-size matrices without allocations, and compares with what it makes of dynamic ones in double.
template <class Op, class... Fixed>
void check_like_dynamic(const Op& op, const Fixed&... fixed) {
  using Result = decltype(op(fixed...));
  Result result;
  without_allocations([&] { result = op(fixed...); });
  const auto expected = op(Matrix<double>(fixed.template cast<double>())...);
  if constexpr (std::is_same_v<Result, double>) {
    CHECK(relative_error(result, expected) < rounding<float>);
  } else {
    static_assert(Result::SizeAtCompileTime != Eigen::Dynamic);
    CHECK(relative_error(result, expected) < rounding<typename Result::Scalar>);
  }
}

constexpr Index heads = 2;

// Here and not in the test, so that those on dynamic matrices are compiled once.
// These two compute all rates and gradients.
constexpr auto objective = [](const auto& z, const auto& u) { return sparse_rate_reduction(z, Subspaces(u, heads)); };
constexpr auto gradient_by_tokens = [](const auto& z, const auto& u) {
  return sparse_rate_reduction_gradient(z, Subspaces(u, heads), {.norm = SparsityNorm::l1}).tokens;
};
constexpr auto gradient_by_bases = [](const auto& z, const auto& u) {
  return sparse_rate_reduction_gradient(z, Subspaces(u, heads), {.norm = SparsityNorm::l1}).bases;
};

template <CompressionStep step>
constexpr auto compression = [](const auto& z, const auto& u) {
  return compress(z, Subspaces(u, heads), {.kappa = 0.01, .epsilon = 1, .step = step});
};

template <AttentionMask mask>
constexpr auto tied = [](const auto& z, const auto& u) { return mssa(z, Subspaces(u, heads), {.mask = mask}); };
constexpr auto with_free_output = [](const auto& z, const auto& u, const auto& bias) {
  return mssa(z, Subspaces(u, heads), u, bias, {.visible = 1});
};

template <SparsifyRule rule>
constexpr auto ista_step = [](const auto& z, const auto& dictionary) { return ista(z, dictionary, {.rule = rule}); };
constexpr auto codes = [](const auto& z, const auto& dictionary) { return sparse_code(z, dictionary, {.steps = 3}); };
constexpr auto lasso = [](const auto& z, const auto& dictionary) { return lasso_objective(z, dictionary, z, 0.1); };
constexpr auto softmax = [](const auto& z) { return softmax_columns(z); };
constexpr auto normalised = [](const auto& z, const auto& weight, const auto& bias) {
  return layer_norm(z, weight, bias);
};

}  // namespace

// Few tokens, and more than a block of queries.
TEMPLATE_TEST_CASE("Operators on fixed-size matrices allocate nothing and agree with dynamic ones", "",
                   (Sizes<float, 8, 5>), (Sizes<double, 3, 150>)) {
  using Tokens = typename TestType::Tokens;
  using S = typename Tokens::Scalar;
  const auto z = draw_fixed<Tokens>(1);
  const typename TestType::Bases bases = draw_fixed<typename TestType::Bases>(2) / S(4);
  const typename TestType::Dictionary dictionary = draw_fixed<typename TestType::Dictionary>(3) / S(8);
  const typename TestType::WideDictionary wide = draw_fixed<typename TestType::WideDictionary>(4) / S(8);
  const auto weight = draw_fixed<typename TestType::Token>(5), bias = draw_fixed<typename TestType::Token>(6);

  check_like_dynamic(objective, z, bases);
  check_like_dynamic(gradient_by_tokens, z, bases);
  check_like_dynamic(gradient_by_bases, z, bases);
  check_like_dynamic(compression<CompressionStep::exact>, z, bases);
  check_like_dynamic(compression<CompressionStep::first_order>, z, bases);
  check_like_dynamic(compression<CompressionStep::softmax>, z, bases);
  check_like_dynamic(tied<AttentionMask::none>, z, bases);
  check_like_dynamic(tied<AttentionMask::causal>, z, bases);
  check_like_dynamic(with_free_output, z, bases, bias);
  check_like_dynamic(ista_step<SparsifyRule::proximal_gradient>, z, dictionary);
  check_like_dynamic(ista_step<SparsifyRule::majorisation_minimisation>, z, dictionary);
  check_like_dynamic(codes, z, wide);
  check_like_dynamic(lasso, z, dictionary);
  check_like_dynamic(softmax, z);
  check_like_dynamic(normalised, z, weight, bias);
}
