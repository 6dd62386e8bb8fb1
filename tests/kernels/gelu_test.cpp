// SPDX-License-Identifier: MIT
// GELU and its derivative by vectors, on every instruction set that the processor has.

#include "crate/kernels/gelu.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/operators/gelu.hpp"
#include "draw.hpp"
#include "kernels/use_instruction_set.hpp"

using namespace crate;
using namespace crate::test;

namespace {

template <class Body>
void for_each_set_and_form(const Body& body) {
  for (const InstructionSet set : supported_instruction_sets())
    for (const GeluForm form : {GeluForm::exact, GeluForm::tanh}) {
      CAPTURE(name_of(set), static_cast<int>(form));
      const UseInstructionSet chosen(set);
      body(form);
    }
}

template <class S>
Matrix<S> gelu_by_vectors(const Matrix<S>& z, GeluForm form, int count = 1) {
  Threads threads(count);
  Matrix<S> out(z.rows(), z.cols());
  detail::gelu_into<S>(detail::columns_of(z), z.rows(), z.cols(), form, detail::columns_of(out), threads);
  return out;
}

template <class S>
Matrix<S> adjoint_by_vectors(const Matrix<S>& z, const Matrix<S>& cotangent, GeluForm form, int count = 1) {
  Threads threads(count);
  Matrix<S> out = cotangent;
  detail::gelu_adjoint_into<S>(detail::columns_of(z), detail::columns_of(std::as_const(out)), z.rows(), z.cols(), form,
                               detail::columns_of(out), threads);
  return out;
}

/// From -45 to 45 in steps of 1/64, in columns that are no whole vectors.
template <class S>
Matrix<S> grid() {
  return Vector<S>::LinSpaced(45 * 128 + 1, -45, 45).reshaped(7, 823);
}

}  // namespace

TEMPLATE_TEST_CASE("GELU by vectors and its derivative are as exact as the number type", "", float, double) {
  const Matrix<TestType> z = grid<TestType>();
  const Matrix<double> wide = z.template cast<double>();
  for_each_set_and_form([&](GeluForm form) {
    const auto error = [&](const Matrix<TestType>& found, const Matrix<double>& expected) -> double {
      const Matrix<double> size = wide.cwiseAbs().cwiseMax(0.5);
      return (found.template cast<double>() - expected).cwiseAbs().cwiseQuotient(size).maxCoeff();
    };
    constexpr double bound = 8 * double{std::numeric_limits<TestType>::epsilon()};
    CHECK(error(gelu_by_vectors(z, form), gelu(wide, form)) < bound);
    const Matrix<TestType> ones = Matrix<TestType>::Ones(z.rows(), z.cols());
    CHECK(error(adjoint_by_vectors(z, ones, form), gelu_adjoint(wide, ones.template cast<double>(), form)) < bound);
  });
}

TEMPLATE_TEST_CASE("GELU keeps its sign and its relative error where it vanishes", "", float, double) {
  // Rounding of x^2 / 2 is magnified by the exponential: 8 roundings of 1 + x^2.
  const Matrix<TestType> z = Vector<TestType>::LinSpaced(700, -8, -1).reshaped(7, 100);
  for (const InstructionSet set : supported_instruction_sets()) {
    const UseInstructionSet chosen(set);
    const Matrix<double> wide = z.template cast<double>(), expected = gelu(wide);
    const Matrix<double> found = gelu_by_vectors(z, GeluForm::exact).template cast<double>();
    CHECK(found.maxCoeff() <= 0);
    const auto relative = ((found - expected).array() / expected.array() / (1 + wide.array().square())).abs();
    CHECK(relative.maxCoeff() < 8 * double{std::numeric_limits<TestType>::epsilon()});
  }
}

TEST_CASE("the derivative of GELU is its slope, in either form") {
  for (const GeluForm form : {GeluForm::exact, GeluForm::tanh})
    for (const double x : {-6.0, -2.5, -0.7, 0.0, 0.3, 1.9, 5.0}) {
      constexpr double step = 1e-5;
      CHECK(relative_error((gelu(x + step, form) - gelu(x - step, form)) / (2 * step) + 1, gelu_slope(x, form) + 1) <
            1e-9);
    }
}

TEST_CASE("the tanh form of GELU is within 5e-4 of the exact one") {
  const Matrix<double> z = grid<double>();
  CHECK((gelu(z, GeluForm::tanh) - gelu(z)).cwiseAbs().maxCoeff() < 5e-4);
}

TEMPLATE_TEST_CASE("GELU lets what is not a number through, in its lane alone", "", float, double) {
  for_each_set_and_form([](GeluForm form) {
    Matrix<TestType> z = Matrix<TestType>::Ones(19, 1);
    z(3, 0) = z(18, 0) = std::numeric_limits<TestType>::quiet_NaN();
    const Matrix<TestType> found = gelu_by_vectors(z, form), slope = adjoint_by_vectors(z, z, form);
    for (Index i = 0; i < z.rows(); ++i) {
      CHECK(std::isnan(found(i, 0)) == std::isnan(z(i, 0)));
      CHECK(std::isnan(slope(i, 0)) == std::isnan(z(i, 0)));
    }
  });
}

TEST_CASE("any number of threads gives the same bits of GELU") {
  Random random(1);
  const Matrix<float> z = draw_normal(random, 33, 200).cast<float>(), c = draw_normal(random, 33, 200).cast<float>();
  for_each_set_and_form([&](GeluForm form) {
    CHECK(gelu_by_vectors(z, form, 3) == gelu_by_vectors(z, form));
    CHECK(adjoint_by_vectors(z, c, form, 3) == adjoint_by_vectors(z, c, form));
  });
}
