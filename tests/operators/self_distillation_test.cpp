// SPDX-License-Identifier: MIT
#include "crate/operators/self_distillation.hpp"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/testing/finite_difference.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;
using crate::testing::check_gradient;

namespace {

using Views = std::vector<Matrix<double>>;

TensorTable read_fixture(const std::string& name) {
  return read_safetensors(std::string(CRATE_TEST_FIXTURES) + "/" + name);
}

/// A tensor [views, B, p] as a matrix p x B a view.
Views views_of(const Tensor& tensor) {
  Views views;
  const Index images = tensor.shape.at(1), dim = tensor.shape.at(2);
  for (Index v = 0; v < tensor.shape.at(0); ++v) {
    const auto bytes = static_cast<std::size_t>(dim * images) * sizeof(double);
    std::memcpy(views.emplace_back(dim, images).data(), tensor.bytes.data() + static_cast<std::size_t>(v) * bytes,
                bytes);
  }
  return views;
}

ViewFeatures<double> features(const Views& views) {
  ViewFeatures<double> result;
  for (const auto& view : views) result.push_back(map_of(view));
  return result;
}

double option(const TensorTable& file, const std::string& name) { return std::stod(*file.find_metadata(name)); }

Views draw_views(Random& random, Index views, Index dim, Index images, bool of_length_1) {
  Views drawn;
  for (Index v = 0; v < views; ++v) {
    drawn.push_back(draw_normal(random, dim, images));
    if (of_length_1) drawn.back().colwise().normalize();
  }
  return drawn;
}

/// Law: `found` are the gradients of loss(views) by every view.
template <class Loss>
void check_by_views(const Views& views, const Views& found, const Loss& loss) {
  for (std::size_t v = 0; v < views.size(); ++v) {
    const auto of_view = [&](const Matrix<double>& at) {
      Views moved = views;
      moved[v] = at;
      return loss(moved);
    };
    CHECK(check_gradient("by a view", of_view, views[v], found[v]));
  }
}

}  // namespace

TEST_CASE("the DINO loss, its gradient and the centre behind it are PyTorch's") {
  const TensorTable file = read_fixture("dino_loss.safetensors");
  const Views student = views_of(file.at("student_logits")), teacher = views_of(file.at("teacher_logits"));
  const Vector<double> centre = tokens_from<double>(file.at("center")).reshaped();
  Threads threads(2);
  const auto targets = dino_targets(features(teacher), centre, option(file, "teacher_temperature"), threads);
  const auto found = dino_loss(features(student), targets, option(file, "student_temperature"), threads);
  CHECK(relative_error(found.loss, scalar_from<double>(file.at("loss"))) < 1e-12);
  const Views expected = views_of(file.at("grad_student_logits"));
  for (std::size_t v = 0; v < student.size(); ++v) CHECK(relative_error(found.by_student[v], expected[v]) < 1e-12);
  const Vector<double> next = tokens_from<double>(file.at("center_next")).reshaped();
  CHECK(relative_error(dino_centre(centre, features(teacher), option(file, "center_momentum")), next) < 1e-12);
}

TEST_CASE("the loss of the coding rate and its gradient are those of the published code") {
  const TensorTable file = read_fixture("simdino_loss.safetensors");
  const auto cases = nlohmann::json::parse(*file.find_metadata("cases"));
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::string prefix = std::to_string(i) + "/";
    INFO(prefix);
    const Views student = views_of(file.at(prefix + "student")), teacher = views_of(file.at(prefix + "teacher"));
    const CodingRateDistillationOptions options{.squared_epsilon = cases[i]["eps"],
                                                .comparison_weight = cases[i]["coeff"],
                                                .expansion_of = cases[i]["expansion_of"] == "student"
                                                                    ? ExpansionOf::student
                                                                    : ExpansionOf::student_and_teacher};
    Threads threads(2);
    const auto found = coding_rate_distillation_loss(features(student), features(teacher), options, threads);
    CHECK(relative_error(found.loss, scalar_from<double>(file.at(prefix + "loss"))) < 1e-10);
    CHECK(relative_error(std::abs(found.comparison), std::abs(scalar_from<double>(file.at(prefix + "compression")))) <
          1e-10);
    CHECK(relative_error(std::abs(found.expansion), std::abs(scalar_from<double>(file.at(prefix + "expansion")))) <
          1e-10);
    const Views expected = views_of(file.at(prefix + "grad_student"));
    for (std::size_t v = 0; v < student.size(); ++v) CHECK(relative_error(found.by_student[v], expected[v]) < 1e-10);
  }
}

TEST_CASE("gradients of both losses of self-distillation are those by differences") {
  for_random_draws(6, [](Random& random) {
    const Index globals = draw_index(random, 1, 3), views = draw_index(random, std::max<Index>(2, globals), 4);
    const Index dim = draw_index(random, 1, 5), images = draw_index(random, 1, 4);
    const Views student = draw_views(random, views, dim, images, true),
                teacher = draw_views(random, globals, dim, images, true);
    const Vector<double> centre = draw_normal(random, dim, 1);
    Threads alone;
    const auto targets = dino_targets(features(teacher), centre, 0.3, alone);
    check_by_views(student, dino_loss(features(student), targets, 0.5, alone).by_student,
                   [&](const Views& at) { return dino_loss(features(at), targets, 0.5, alone).loss; });
    for (const ExpansionOf whose : {ExpansionOf::student, ExpansionOf::student_and_teacher}) {
      const CodingRateDistillationOptions options{
          .squared_epsilon = 0.5, .comparison_weight = 0.7, .expansion_of = whose};
      const auto loss = [&](const Views& at) {
        return coding_rate_distillation_loss(features(at), features(teacher), options, alone);
      };
      check_by_views(student, loss(student).by_student, [&](const Views& at) { return loss(at).loss; });
    }
  });
}

TEST_CASE("the spread of the expansion is 0 of equal features and 1 of orthogonal ones") {
  Random random(1);
  for (const auto& [dim, images] : {std::pair<Index, Index>{7, 3}, {7, 7}, {4, 12}}) {
    const double squared_epsilon = 0.05;
    const auto spread = [&](const Matrix<double>& z) { return expansion_spread<double>(z, squared_epsilon); };
    const Matrix<double> basis = draw_orthonormal(random, dim, std::min(dim, images));
    const Matrix<double> equal = basis.col(0).replicate(1, images);
    Matrix<double> flat(dim, images);
    for (Index b = 0; b < images; ++b) flat.col(b) = basis.col(b % basis.cols());
    CHECK(std::abs(spread(equal)) < 1e-12);
    CHECK(std::abs(spread(flat) - 1) < 1e-12);
    CHECK(std::abs(spread(3 * flat) - 1) < 1e-12);  // lengths do not matter

    const Matrix<double> z = unit_columns<double>(draw_normal(random, dim, images));
    const double s = static_cast<double>(dim) / (static_cast<double>(images) * squared_epsilon);
    const double energy = s * static_cast<double>(images), rank = static_cast<double>(basis.cols());
    const double equal_rate = std::log1p(energy) / 2, flat_rate = rank / 2 * std::log1p(energy / rank);
    const double rate = coding_rate(z, {.epsilon = std::sqrt(squared_epsilon)});
    CHECK(relative_error(spread(z), (rate - equal_rate) / (flat_rate - equal_rate)) < 1e-10);
  }
  CHECK(expansion_spread<double>(Matrix<double>::Ones(1, 5), 0.1) == 1);
  CHECK(expansion_spread<double>(Matrix<double>::Zero(2, 5), 0.1) == 0);
  CHECK(std::isnan(expansion_spread<double>(Matrix<double>::Constant(2, 5, std::nan("")), 0.1)));
}

TEST_CASE("however large epsilon is, the spread of features in float is the ratio of their rates") {
  Random random(2);
  const Matrix<float> z = unit_columns<float>(draw_normal(random, 8, 16).cast<float>());
  const Matrix<double> gram =
      unit_columns<double>(z.cast<double>()).transpose() * unit_columns<double>(z.cast<double>());
  // As epsilon grows, R - R_0 goes to the sum over pairs of products of eigenvalues, (tr^2 - ||.||^2) / 2.
  const double limit =
      (gram.trace() * gram.trace() - gram.squaredNorm()) / (gram.trace() * gram.trace() * (1 - 1.0 / 8));
  for (const double squared_epsilon : {1e8, 1e20, 1e60})
    CHECK(relative_error(expansion_spread(z, squared_epsilon), limit) < 1e-6);
  CHECK(expansion_spread<float>(z.col(0).replicate(1, 16), 1e20) < 1e-12);
}

TEST_CASE("outputs that are alike for all images have no spread, whether one wins or all are used alike") {
  Matrix<double> uniform = Matrix<double>::Constant(8, 4, 1.0 / 8), winner = Matrix<double>::Zero(8, 4);
  winner.row(2).setOnes();
  CHECK(std::abs(output_entropies({uniform, uniform}).spread()) < 1e-14);
  CHECK(relative_error(output_entropies({uniform}).mean, std::log(8)) < rounding<double>);
  CHECK(output_entropies({winner}).spread() == 0);
  CHECK(output_entropies({winner}).mean == 0);
  const Matrix<double> apart = Matrix<double>::Identity(8, 4);
  CHECK(relative_error(output_entropies({apart, apart}).spread(), 1.0) < rounding<double>);
}

TEST_CASE("views that cannot be compared are refused") {
  const Views four(2, Matrix<double>::Ones(4, 3)), five(2, Matrix<double>::Ones(5, 3));
  Threads alone;
  CHECK(message_of<ShapeError>([&] {
          (void)coding_rate_distillation_loss(features(five), features(four), {}, alone);
        }) == "self-distillation: a view of the student: expected 4 x 3, found 5 x 3");
  CHECK(message_of<ShapeError>([&] { (void)dino_loss(features({four[0]}), {four[0]}, 0.1, alone); }) ==
        "self-distillation: expected a view of the teacher or more, and two of the student or as many, found 1 and 1");
  CHECK(message_of<OptionError>([&] { (void)dino_targets(features(four), Vector<double>(4), 0, alone); }) ==
        "DINO: expected teacher temperature > 0, found 0");
}
