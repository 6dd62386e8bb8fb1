// SPDX-License-Identifier: MIT
#include <cmath>
#include <string>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/operators/coding_rate.hpp"
#include "crate/operators/compression.hpp"
#include "crate/operators/ista.hpp"
#include "crate/operators/layer_norm.hpp"
#include "crate/operators/rate_reduction.hpp"
#include "crate/operators/softmax.hpp"
#include "crate/operators/sparse_coding.hpp"
#include "crate/operators/subspace_attention.hpp"
#include "crate/operators/subspace_coding_rate.hpp"

// Every operator against numbers computed by PyTorch 1.13 in double: operators.safetensors holds those of the published
// code on one set of sizes, operators_more.safetensors those of the definitions, with autograd for the gradients, on
// four others: more dimensions in all heads together than tokens have, a single token, a single head, more tokens than
// a block of queries. Matrices are stored by rows of their transpose, which are our columns.

using namespace crate;
using namespace crate::test;

namespace {

constexpr double agreement = 1e-10;

/// The tensors and numbers of one case of a file.
class Reference {
 public:
  Reference(const std::string& file, std::string prefix)
      : table_(read_safetensors(std::string(CRATE_TEST_FIXTURES) + "/" + file)), prefix_(std::move(prefix)) {}

  [[nodiscard]] Matrix<double> matrix(const std::string& name) const {
    return tokens_from<double>(table_.at(prefix_ + name));
  }
  [[nodiscard]] double scalar(const std::string& name) const { return scalar_from<double>(table_.at(prefix_ + name)); }
  [[nodiscard]] double option(const std::string& name) const {
    const std::string* const text = table_.find_metadata(prefix_ + name);
    REQUIRE(text != nullptr);
    return std::stod(*text);
  }
  [[nodiscard]] Index count(const std::string& name) const { return static_cast<Index>(option(name)); }
  [[nodiscard]] Subspaces<Matrix<double>> subspaces() const { return {matrix("U"), count("K")}; }

  void check(const std::string& name, const Matrix<double>& found) const {
    INFO(prefix_ << name);
    CHECK(relative_error(found, matrix(name)) < agreement);
  }
  void check(const std::string& name, double found) const {
    INFO(prefix_ << name);
    CHECK(relative_error(found, scalar(name)) < agreement);
  }

 private:
  TensorTable table_;
  std::string prefix_;
};

void check_rates(const Reference& reference) {
  const Matrix<double> z = reference.matrix("Z");
  const auto u = reference.subspaces();
  const CodingRateOptions options{.epsilon = reference.option("eps")};
  reference.check("coding_rate", coding_rate(z, options));
  reference.check("coding_rate.grad_Z", coding_rate_gradient(z, options));
  reference.check("subspace_coding_rate", subspace_coding_rate(z, u, options));
  reference.check("subspace_coding_rate.grad_Z", subspace_coding_rate_gradient(z, u, options).tokens);
  reference.check("subspace_coding_rate.grad_U", subspace_coding_rate_gradient(z, u, options).bases);
  reference.check("rate_reduction", rate_reduction(z, u, options));
  reference.check("rate_reduction.grad_Z", rate_reduction_gradient(z, u, options).tokens);
  reference.check("rate_reduction.grad_U", rate_reduction_gradient(z, u, options).bases);
  reference.check("sparse_rate_reduction",
                  sparse_rate_reduction(z, u, {.epsilon = options.epsilon, .lambda = reference.option("lam")}));
}

void check_compression(const Reference& reference) {
  CompressionOptions options{.kappa = reference.option("kappa"), .epsilon = reference.option("eps")};
  reference.check("compression_step_exact", compress(reference.matrix("Z"), reference.subspaces(), options));
  options.step = CompressionStep::softmax;
  reference.check("compression_step_mssa", compress(reference.matrix("Z"), reference.subspaces(), options));
}

void check_attention(const Reference& reference, Index hidden) {
  const Matrix<double> z = reference.matrix("Z");
  const auto u = reference.subspaces();
  const double scale = 1 / std::sqrt(static_cast<double>(u.head_dim()));
  const Index visible = z.cols() - hidden;
  reference.check("mssa", mssa(z, u));
  reference.check("mssa_scaled", mssa(z, u, {.logit_scale = scale}));
  reference.check("mssa_causal", mssa(z, u, {.mask = AttentionMask::causal, .logit_scale = scale}));
  reference.check("mssa_padded", mssa(z, u, {.visible = visible, .logit_scale = scale}));
}

void check_ista(const Reference& reference) {
  const Matrix<double> z = reference.matrix("Z"), dictionary = reference.matrix("D");
  IstaOptions options{.step = reference.option("eta"), .lambda = reference.option("lam")};
  reference.check("ista", ista(z, dictionary, options));
  options.threshold = Threshold::soft;
  reference.check("ista_soft_threshold", ista(z, dictionary, options));
}

/// Adjoints, for the cotangent in the file.
void check_adjoints(const Reference& reference, Index hidden) {
  const Matrix<double> z = reference.matrix("Z"), cotangent = reference.matrix("cotangent");
  const auto u = reference.subspaces();
  const double scale = 1 / std::sqrt(static_cast<double>(u.head_dim()));
  const auto check_mssa = [&](const std::string& name, const AttentionOptions& options) {
    const auto gradient = mssa_adjoint(z, u, cotangent, options);
    reference.check(name + ".grad_Z", gradient.tokens);
    reference.check(name + ".grad_U", gradient.bases);
  };
  check_mssa("mssa", {});
  check_mssa("mssa_scaled", {.logit_scale = scale});
  check_mssa("mssa_causal", {.mask = AttentionMask::causal, .logit_scale = scale});
  check_mssa("mssa_padded", {.visible = z.cols() - hidden, .logit_scale = scale});
  const auto gradient = ista_adjoint(z, reference.matrix("D"), cotangent,
                                     {.step = reference.option("eta"), .lambda = reference.option("lam")});
  reference.check("ista.grad_Z", gradient.tokens);
  reference.check("ista.grad_D", gradient.dictionary);
}

Reference other_sizes(const std::string& name) { return {"operators_more.safetensors", name + "/"}; }

const std::string each_case[] = {"more_heads_than_dimensions", "one_token", "one_head", "many_tokens"};

}  // namespace

TEST_CASE("Operators agree with the published code") {
  const Reference reference("operators.safetensors", "");
  check_rates(reference);
  check_compression(reference);
  check_attention(reference, 3);
  check_ista(reference);
  check_adjoints(reference, 3);
}

TEST_CASE("Rates, compression, attention and ISTA agree with PyTorch on other sizes") {
  for (const std::string& name : each_case) {
    const Reference reference = other_sizes(name);
    check_rates(reference);
    check_compression(reference);
    check_attention(reference, reference.count("hidden"));
    check_ista(reference);
  }
}

TEST_CASE("Sparse rate reduction with the l1 norm agrees with PyTorch") {
  for (const std::string& name : each_case) {
    const Reference reference = other_sizes(name);
    const Matrix<double> z = reference.matrix("Z");
    const SparseRateReductionOptions options{
        .epsilon = reference.option("eps"), .lambda = reference.option("lam"), .norm = SparsityNorm::l1};
    const auto gradient = sparse_rate_reduction_gradient(z, reference.subspaces(), options);
    reference.check("sparse_rate_reduction_l1", sparse_rate_reduction(z, reference.subspaces(), options));
    reference.check("sparse_rate_reduction_l1.grad_Z", gradient.tokens);
    reference.check("sparse_rate_reduction_l1.grad_U", gradient.bases);
  }
}

TEST_CASE("The first-order step and the factor of equation (12) agree with PyTorch") {
  for (const std::string& name : each_case) {
    const Reference reference = other_sizes(name);
    const Matrix<double> z = reference.matrix("Z");
    const auto u = reference.subspaces();
    CompressionOptions options{
        .kappa = reference.option("kappa"), .epsilon = reference.option("eps"), .step = CompressionStep::first_order};
    reference.check("compression_step_first_order", compress(z, u, options));
    options.step = CompressionStep::softmax;
    options.logit_scale = 1 / std::sqrt(static_cast<double>(u.head_dim()));
    options.mssa_factor = rate_factor(u.head_dim(), z.cols(), options.epsilon);
    reference.check("compression_step_mssa_eq12", compress(z, u, options));
    reference.check("mssa_eq12", mssa(z, u, {.rate_factor = options.mssa_factor}));
  }
}

TEST_CASE("SSA, causal attention over padding and a free output agree with PyTorch") {
  for (const std::string& name : each_case) {
    const Reference reference = other_sizes(name);
    const Matrix<double> z = reference.matrix("Z");
    const auto u = reference.subspaces();
    const double scale = 1 / std::sqrt(static_cast<double>(u.head_dim()));
    reference.check("ssa_last", ssa(z, u.basis(u.heads() - 1)));
    reference.check(
        "mssa_causal_padded",
        mssa(z, u,
             {.mask = AttentionMask::causal, .visible = z.cols() - reference.count("hidden"), .logit_scale = scale}));
    reference.check("mssa_free", mssa(z, u, reference.matrix("output_weight"), reference.matrix("output_bias"),
                                      {.logit_scale = scale}));
  }
}

TEST_CASE("The majorisation-minimisation step agrees with PyTorch") {
  for (const std::string& name : each_case) {
    const Reference reference = other_sizes(name);
    IstaOptions options{.lambda = reference.option("lam"),
                        .rule = SparsifyRule::majorisation_minimisation,
                        .alpha = reference.option("alpha")};
    reference.check("ista_majorisation_minimisation", ista(reference.matrix("Z"), reference.matrix("D"), options));
    options.threshold = Threshold::soft;
    reference.check("ista_majorisation_minimisation_soft", ista(reference.matrix("Z"), reference.matrix("D"), options));
  }
}

TEST_CASE("Sparse codes and their objective agree with PyTorch") {
  for (const std::string& name : each_case) {
    const Reference reference = other_sizes(name);
    const Matrix<double> z = reference.matrix("Z"), dictionary = reference.matrix("overcomplete");
    SparseCodeOptions options{
        .step = reference.option("eta"), .lambda = reference.option("lam"), .steps = reference.count("steps")};
    reference.check("sparse_code", sparse_code(z, dictionary, options));
    options.threshold = Threshold::soft;
    const Matrix<double> codes = sparse_code(z, dictionary, options);
    reference.check("sparse_code_soft", codes);
    reference.check("lasso_objective", lasso_objective(z, dictionary, codes, options.lambda));
  }
}

TEST_CASE("Layer norm and softmax agree with PyTorch") {
  for (const std::string& name : each_case) {
    const Reference reference = other_sizes(name);
    const Matrix<double> z = reference.matrix("Z");
    reference.check("layer_norm", layer_norm(z, reference.matrix("norm_weight"), reference.matrix("norm_bias"),
                                             {.epsilon = reference.option("norm_eps")}));
    reference.check("softmax_columns", softmax_columns(3 * z));
  }
}
