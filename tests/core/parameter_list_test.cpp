// SPDX-License-Identifier: MIT
// A model as a list of its parameters: names, kinds, shapes and memory are those of its parts.

#include "crate/core/parameter_list.hpp"

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"

using namespace crate;
using namespace crate::test;

namespace {

struct Layer {
  using Scalar = float;
  Matrix<float> weight;
  Vector<float> bias;
  explicit Layer(Index dim) : weight(Matrix<float>::Constant(dim, dim + 1, 2)), bias(Vector<float>::Ones(dim)) {}
  static constexpr auto parts() { return std::tuple{part("weight", &Layer::weight), part("bias", &Layer::bias)}; }
};

struct Model {
  using Scalar = float;
  RowMajorMatrix<double> table = RowMajorMatrix<double>::Constant(2, 5, 3);
  Layer transparent{1};
  std::vector<Layer> layers{Layer(2), Layer(3)};
  std::optional<Layer> absent, present{Layer(4)};
  Eigen::Matrix<float, 1, 3> fixed = Eigen::Matrix<float, 1, 3>::Ones();
  Matrix<float> empty;
  static constexpr auto parts() {
    return std::tuple{part("table", &Model::table, ParameterKind::frozen),
                      part("", &Model::transparent),
                      part("layers", &Model::layers),
                      part("absent", &Model::absent),
                      part("present", &Model::present, ParameterKind::unused),
                      part("fixed", &Model::fixed),
                      part("empty", &Model::empty)};
  }
};

}  // namespace

TEST_CASE("The list holds what a walk over the parts finds, in its order") {
  Model model;
  std::vector<std::string> names;
  std::vector<ParameterKind> kinds;
  std::vector<std::pair<Index, Index>> shapes;
  std::vector<const void*> places;
  for_each_parameter(
      [&](std::string_view name, ParameterKind kind, const auto& parameter) {
        names.emplace_back(name);
        kinds.push_back(kind);
        shapes.emplace_back(parameter.rows(), parameter.cols());
        places.push_back(parameter.data());
      },
      model);
  const ParameterList list = list_parameters(model);
  const ConstParameterList same = list_parameters(std::as_const(model));
  REQUIRE(list.size() == names.size());
  REQUIRE(same.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    CAPTURE(names[i]);
    CHECK(list[i].name == names[i]);
    CHECK(list[i].kind == kinds[i]);
    CHECK(std::pair(list[i].rows, list[i].cols) == shapes[i]);
    CHECK(list[i].data == places[i]);
    CHECK(same[i].data == places[i]);
  }
  CHECK(names == std::vector<std::string>{"table", "weight", "bias", "layers.0.weight", "layers.0.bias",
                                          "layers.1.weight", "layers.1.bias", "present.weight", "present.bias",
                                          "fixed"});
}

TEST_CASE("A listed parameter tells its numbers and how they lie") {
  Model model;
  const ParameterList list = list_parameters(model);
  CHECK(list[0].scalar == ScalarType::f64);
  CHECK((list[0].is_row_major && !list[0].is_vector));
  CHECK(list[0].bytes() == 80);
  CHECK((!list[3].is_row_major && !list[3].is_vector));
  CHECK((list[4].is_vector && list.back().is_vector));
  CHECK(list[0].numbers<double>().size() == 10);
  list[0].numbers<double>()[6] = 7;
  CHECK(model.table(1, 1) == 7);
  CHECK(message_of<Error>([&] { static_cast<void>(list[0].numbers<float>()); }) ==
        "parameter 'table': expected numbers of 4 bytes, found others");
}

TEST_CASE("Counts and zeros are those of all parameters") {
  const Model model;
  CHECK(parameter_count(model) == 10 + 3 + 8 + 15 + 24 + 3);
  const Model zero = zeros_like(model);
  for_each_parameter([](std::string_view, ParameterKind, const auto& p) { CHECK(p.isZero(0)); }, zero);
  CHECK(list_parameters(zero).size() == list_parameters(model).size());
  CHECK(model.layers[0].weight(0, 0) == 2);
}

TEST_CASE("Lists of other structures are told apart by the first name or shape that differs") {
  const Model model;
  Model other = model;
  const auto refusal = [&] {
    return message_of<ShapeError>([&] { check_same_structure(list_parameters(model), list_parameters(other)); });
  };
  CHECK(refusal() == "threw nothing");
  other.layers[1].weight.resize(4, 3);  // as many numbers
  CHECK(refusal() == "layers.1.weight: expected 3 x 4, found 4 x 3");
  other = model;
  other.layers.pop_back();
  CHECK(refusal() == "parameters side by side: expected 'layers.1.weight', found 'present.weight'");
  other = model;
  other.fixed.setZero();
  other.empty.setZero(1, 1);
  CHECK(refusal() == "parameters side by side: expected no more, found 'empty'");
}
