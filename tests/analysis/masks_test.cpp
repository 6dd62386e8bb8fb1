// SPDX-License-Identifier: MIT
// Maps and masks over patches, on made pictures whose objects are known.

#include <cmath>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/analysis/mask_cut.hpp"
#include "crate/analysis/masks.hpp"
#include "crate/analysis/principal_components.hpp"
#include "crate/core/random.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Approx;

namespace {

constexpr PatchGrid grid{.rows = 12, .columns = 12, .height = 4, .width = 4, .channels = 1};

/// Stripes across, and within the mask stripes down, under noise: 48 x 48.
Matrix<double> striped_picture(const Mask& object, double noise) {
  Random random(1);
  Matrix<double> picture(object.rows(), object.cols());
  random.fill_normal(picture);
  picture *= noise;
  for (Index x = 0; x < picture.cols(); ++x)
    for (Index y = 0; y < picture.rows(); ++y) picture(y, x) += (object(y, x) ? x : y) / 2 % 2 == 0 ? 1 : -1;
  return picture;
}

/// Of every patch, how much it changes across and down: 2 x patches.
Matrix<double> texture_features(const Matrix<double>& picture) {
  Matrix<double> features(2, grid.patches());
  for (Index i = 0; i < grid.patches(); ++i) {
    const auto patch = picture.block(i / grid.columns * 4, i % grid.columns * 4, 4, 4);
    features(0, i) = (patch.rightCols(3) - patch.leftCols(3)).squaredNorm();
    features(1, i) = (patch.bottomRows(3) - patch.topRows(3)).squaredNorm();
  }
  return features;
}

Mask disk(double row, double column, double radius) {
  Mask mask(grid.image_height(), grid.image_width());
  for (Index x = 0; x < mask.cols(); ++x)
    for (Index y = 0; y < mask.rows(); ++y)
      mask(y, x) = std::hypot(static_cast<double>(y) - row, static_cast<double>(x) - column) <= radius;
  return mask;
}

Mask rectangle(Index rows, Index columns, Index top, Index left, Index height, Index width) {
  Mask mask = Mask::Constant(rows, columns, false);
  mask.block(top, left, height, width) = true;
  return mask;
}

}  // namespace

TEST_CASE("normalised cuts find the shapes on a texture, each once, and nothing in a picture without any") {
  const Mask box = rectangle(48, 48, 4, 4, 12, 16);
  const Mask ball = disk(31.5, 29.5, 13);
  const auto found = mask_cut(texture_features(striped_picture(ball, 0.05)), 12, 12, {.masks = 1});
  REQUIRE(found.size() == 1);
  CHECK(intersection_over_union(at_image_resolution(found[0], grid), ball) > 0.8);
  const auto exact = mask_cut(texture_features(striped_picture(box, 0.05)), 12, 12);
  REQUIRE(!exact.empty());
  CHECK(intersection_over_union(at_image_resolution(exact[0], grid), box) == 1);
  CHECK(mask_cut(Matrix<double>::Ones(3, 20), 4, 5).empty());
  CHECK(mask_cut(Matrix<double>::Zero(3, 20), 4, 5).empty());
}

TEST_CASE("the vector of a normalised cut is the second of all generalised eigenvectors") {
  Random random(2);
  Matrix<double> features(6, 70);
  random.fill_normal(features);
  features.leftCols(20).array() += 1;
  const detail::PatchGraph<double> graph(features, 0.15);
  Matrix<double> affinities(70, 70);
  for (Index j = 0; j < 70; ++j) affinities.col(j) = graph.weigh(Vector<double>::Unit(70, j));
  const Vector<double> degrees = affinities.rowwise().sum();
  const Matrix<double> degree_matrix = degrees.asDiagonal();
  const Eigen::GeneralizedSelfAdjointEigenSolver<Matrix<double>> all(degree_matrix - affinities, degree_matrix);
  const Vector<double> v = detail::second_generalised_eigenvector(graph).normalized();
  CHECK(std::abs(v.dot(all.eigenvectors().col(1).normalized())) == Approx(1).epsilon(1e-10));
}

TEST_CASE("the second object is found when the first has left the graph") {
  Matrix<double> features = Matrix<double>::Zero(3, 35);
  const Mask first = rectangle(5, 7, 1, 1, 3, 2), second = rectangle(5, 7, 2, 5, 2, 1);
  for (Index i = 0; i < 35; ++i) features(first(i / 7, i % 7) ? 1 : second(i / 7, i % 7) ? 2 : 0, i) = 1;
  const auto masks = mask_cut(features, 5, 7);
  REQUIRE(masks.size() >= 2);
  const double once = intersection_over_union(masks[0], first) + intersection_over_union(masks[1], second),
               twice = intersection_over_union(masks[0], second) + intersection_over_union(masks[1], first);
  CHECK(std::max(once, twice) == 2);
}

TEST_CASE("the first principal component of patches tells the foreground, the next three colour its parts") {
  const Mask object = rectangle(6, 6, 2, 1, 3, 4);
  Random random(3);
  Matrix<double> features(8, 72);  // two images of one object each
  random.fill_normal(features);
  features *= 0.01;
  for (Index i = 0; i < 72; ++i) {
    const bool inside = object(i % 36 / 6, i % 6);
    features(0, i) += inside ? 5 : -5;
    if (inside) features(i % 6 < 3 ? 1 : 2, i) += 1;
  }
  const ComponentPicture picture = component_picture(features, 6, 6);
  for (Index i = 0; i < 72; ++i) {
    const bool inside = object(i % 36 / 6, i % 6);
    CHECK(picture.is_foreground[static_cast<std::size_t>(i)] == inside);
    if (!inside) CHECK(picture.colours.col(i).isZero(0));
  }
  const auto colour = [&](Index image, Index row, Index column) {
    return picture.colours(0, 36 * image + 6 * row + column);
  };
  CHECK(std::abs(colour(0, 3, 1) - colour(1, 2, 2)) < 0.1);
  CHECK(std::abs(colour(0, 3, 1) - colour(0, 3, 4)) > 0.9);
  const Matrix<double> of_rank_one = features.col(0) * picture.foreground_score.transpose();
  const ComponentPicture flat = component_picture(of_rank_one, 6, 6);
  CHECK(flat.is_foreground == picture.is_foreground);
  CHECK(flat.colours.isZero(0));
  CHECK(component_picture(of_rank_one.cast<float>(), 6, 6).colours.isZero(0));
  const ComponentPicture nothing = component_picture(Matrix<double>::Constant(5, 8, 0.3), 2, 4);
  CHECK(nothing.foreground_score.isZero(0));
  CHECK(nothing.colours.isZero(0));
}

TEST_CASE("principal components are uncorrelated, of falling deviation, and give the features back") {
  Random random(4);
  Matrix<double> features(5, 40);
  random.fill_normal(features);
  const PrincipalComponents components = principal_components(features, 5);
  const Matrix<double> scores = components.scores(features);
  const Matrix<double> covariance = scores * scores.transpose() / 40;
  const Matrix<double> expected = components.deviations.cwiseAbs2().asDiagonal();
  CHECK(relative_error(covariance, expected) < 1e-12);
  CHECK(components.deviations(0) >= components.deviations(4));
  const Matrix<double> back = (components.directions * scores).colwise() + components.mean;
  CHECK(relative_error(back, features) < 1e-12);
  CHECK_THROWS_AS(principal_components(features, 6), OptionError);
  CHECK_THROWS_AS(component_picture(features, 7, 3), ShapeError);
}

TEST_CASE("the largest entries that hold a share of a map are kept, and no more") {
  const Matrix<double> map{{0.1, 0.4}, {0.3, 0.2}};
  const auto kept = [&](double share) { return top_mass(map, share).cast<int>().matrix().eval(); };
  CHECK(kept(0.6) == Eigen::MatrixXi{{0, 1}, {1, 0}});
  CHECK(kept(0.4) == Eigen::MatrixXi{{0, 1}, {0, 0}});
  CHECK(kept(0) == Eigen::MatrixXi::Zero(2, 2));
  CHECK(kept(1) == Eigen::MatrixXi::Ones(2, 2));
  CHECK(top_mass(Matrix<double>::Zero(2, 3)).count() == 0);
  CHECK_THROWS_AS(top_mass(-map), OptionError);
}

TEST_CASE("a map over patches leaves the class token out and has a patch's value at each of its pixels") {
  const Vector<double> of_tokens = Vector<double>::LinSpaced(7, 0, 6);
  const Matrix<double> map = over_patches(of_tokens, 2, 3);
  CHECK(map == Matrix<double>{{1, 2, 3}, {4, 5, 6}});
  CHECK(over_patches(of_tokens.tail(6), 2, 3) == map);
  const Matrix<double> pixels =
      at_image_resolution(map, {.rows = 2, .columns = 3, .height = 2, .width = 1, .channels = 3});
  CHECK(pixels == Matrix<double>{{1, 2, 3}, {1, 2, 3}, {4, 5, 6}, {4, 5, 6}});
  CHECK(message_of<ShapeError>([&] { (void)over_patches(of_tokens, 3, 3); }) ==
        "map over patches: expected 9 patches, and perhaps a class token, found 7 tokens");
}

TEST_CASE("intersection over union counts patches that masks share, and refuses masks of other sizes") {
  const Mask a = rectangle(4, 4, 0, 0, 2, 2), b = rectangle(4, 4, 0, 1, 2, 2), none = rectangle(4, 4, 0, 0, 0, 0);
  CHECK(intersection_over_union(a, b) == Approx(2. / 6));
  CHECK(intersection_over_union(a, none) == 0);
  CHECK(intersection_over_union(none, none) == 1);
  CHECK(message_of<ShapeError>([&] { (void)intersection_over_union(a, rectangle(4, 3, 0, 0, 1, 1)); }) ==
        "intersection over union: second mask: expected 4 x 4, found 4 x 3");
}
