// SPDX-License-Identifier: MIT
// Layer norms by vectors: of every width and instruction set, against the operator in double.

#include "crate/kernels/layer_norm.hpp"

#include <limits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/operators/layer_norm.hpp"
#include "draw.hpp"
#include "kernels/use_instruction_set.hpp"

using namespace crate;
using namespace crate::test;

namespace {

/// Uses every instruction set of the processor in turn.
template <class Body>
void for_each_instruction_set(const Body& body) {
  for (const InstructionSet set : supported_instruction_sets()) {
    CAPTURE(name_of(set));
    const UseInstructionSet chosen(set);
    body();
  }
}

template <class S>
void check_norm(Random& random, Index dim, Index cols, Threads& threads) {
  CAPTURE(dim, cols);
  const double epsilon = 1e-5;
  const Matrix<S> z = (draw_normal(random, dim, cols).array() + 1).template cast<S>(),
                  cotangent = draw_normal(random, dim, cols).template cast<S>();
  const Vector<S> weight = draw_normal(random, dim, 1).template cast<S>(),
                  bias = draw_normal(random, dim, 1).template cast<S>();
  Matrix<S> out(dim, cols), z_cotangent(dim, cols);
  Vector<S> mean(cols), inverse_deviation(cols), by_weight = Vector<S>::Ones(dim), by_bias = Vector<S>::Ones(dim);
  detail::layer_norm_into<S>(detail::columns_of(z), dim, cols, {weight.data(), bias.data(), epsilon},
                             detail::columns_of(out), {mean.data(), inverse_deviation.data()}, threads);
  detail::layer_norm_adjoint_into<S>(detail::columns_of(z), detail::columns_of(cotangent), dim, cols, weight.data(),
                                     {mean.data(), inverse_deviation.data()}, {by_weight.data(), by_bias.data()},
                                     detail::columns_of(z_cotangent), threads);
  const auto wide = [](const auto& matrix) { return Matrix<double>(matrix.template cast<double>()); };
  const LayerNormOptions options{.epsilon = epsilon};
  const Matrix<double> expected = layer_norm(wide(z), wide(weight), wide(bias), options);
  const auto gradient = layer_norm_adjoint(wide(z), wide(weight), wide(cotangent), options);
  CHECK((wide(out) - expected).norm() < rounding<S> * expected.norm());
  // The terms of dL/dZ may cancel, down to 0 where a token has one or two numbers; they are as large as this.
  const double terms = (wide(inverse_deviation).maxCoeff() + 1) * wide(weight).norm() * wide(cotangent).norm();
  const double magnified = 1 + wide(inverse_deviation).maxCoeff();  // a token's own rounding in x
  CHECK((wide(z_cotangent) - gradient.tokens).norm() < rounding<S> * magnified * terms);
  CHECK((wide(by_weight).array() - 1 - gradient.weight.array()).matrix().norm() <
        rounding<S> * magnified * (1 + expected.norm()) * wide(cotangent).norm());
  CHECK((wide(by_bias).array() - 1 - gradient.bias.array()).matrix().norm() <
        rounding<S> * (1 + wide(cotangent).norm()) * std::sqrt(static_cast<double>(cols)));
}

}  // namespace

TEMPLATE_TEST_CASE("a layer norm by vectors and its adjoint are those of the operator, whatever the width", "", float,
                   double) {
  Random random(1);
  Threads threads(2);
  for_each_instruction_set([&] {
    for (const Index dim : {1, 2, 7, 15, 16, 17, 33, 64, 65, 96, 131})
      check_norm<TestType>(random, dim, draw_index(random, 1, 70), threads);
  });
}

TEMPLATE_TEST_CASE("the adjoint of a layer norm may take the cotangent's place", "", float, double) {
  Random random(2);
  Threads threads;
  const Matrix<TestType> z = draw_normal(random, 37, 5).template cast<TestType>(),
                         cotangent = draw_normal(random, 37, 5).template cast<TestType>();
  const Vector<TestType> weight = Vector<TestType>::Ones(37), bias = Vector<TestType>::Zero(37);
  Vector<TestType> mean(5), inverse_deviation(5), by_weight = bias, by_bias = bias;
  Matrix<TestType> out(37, 5), in_place = cotangent;
  detail::layer_norm_into<TestType>(detail::columns_of(z), 37, 5, {weight.data(), bias.data(), 0.0},
                                    detail::columns_of(out), {mean.data(), inverse_deviation.data()}, threads);
  for (Matrix<TestType>* const result : {&out, &in_place}) {
    by_weight.setZero();
    by_bias.setZero();
    const Matrix<TestType>& from = result == &out ? cotangent : in_place;
    detail::layer_norm_adjoint_into<TestType>(detail::columns_of(z), detail::columns_of(from), 37, 5, weight.data(),
                                              {mean.data(), inverse_deviation.data()},
                                              {by_weight.data(), by_bias.data()}, detail::columns_of(*result), threads);
  }
  CHECK(in_place == out);
}
