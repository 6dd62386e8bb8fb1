// SPDX-License-Identifier: MIT
#include "crate/operators/losses.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/testing/finite_difference.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;
using crate::testing::check_gradient;

namespace {

std::vector<Index> draw_labels(Random& random, Index classes, Index count) {
  std::vector<Index> labels;
  for (Index i = 0; i < count; ++i) labels.push_back(draw_index(random, -1, classes - 1));
  return labels;
}

}  // namespace

TEST_CASE("Cross-entropy by hand") {
  const Matrix<double> logits{{std::log(3.0), 0}, {0, std::log(7.0)}};
  const std::vector<Index> labels{0, 0};
  const LossSum loss = cross_entropy(logits, labels);
  CHECK(loss.count == 2);
  CHECK(relative_error(loss.sum, std::log(4.0 / 3) + std::log(8.0)) < rounding<double>);
  CHECK(relative_error(loss.mean(), loss.sum / 2) < rounding<double>);
}

TEST_CASE("Cross-entropy and its gradient are PyTorch's, with smoothing and an ignored position") {
  const Matrix<double> logits{{1, 0, 2, -1}, {-2, 3, 2, 0.25}, {0.5, -1, 2, 4}};
  const std::vector<Index> labels{0, 2, -1, 2};
  const auto check = [&](double smoothing, double mean, const Matrix<double>& gradient) {
    const CrossEntropyOptions options{.label_smoothing = smoothing};
    CHECK(relative_error(cross_entropy(logits, labels, options).mean(), mean) < rounding<double>);
    CHECK(relative_error(cross_entropy_gradient(logits, labels, 1.0 / 3, options), gradient) < rounding<double>);
  };
  check(0, 1.5334292743412758,
        Matrix<double>{{-0.13208370128379138, 0.01553754085932463, 0, 0.002180024190698052},
                       {0.010019629189858006, 0.3120798506255019, 0, 0.0076090320810994},
                       {0.1220640720939334, -0.3276173914848265, 0, -0.009789056271797453}});
  check(0.1, 1.6139848298968313,
        Matrix<double>{{-0.10986147906156915, 0.004426429748213518, 0, -0.00893108692041306},
                       {-0.001091481921253103, 0.3009687395143908, 0, -0.0035020790300117123},
                       {0.1109529609828223, -0.3053951692626043, 0, 0.012433165950424745}});
}

TEST_CASE("The gradient of cross-entropy is the one by differences") {
  for_random_draws(12, [](Random& random) {
    const Matrix<double> x = draw_normal(random, draw_index(random, 1, 7), draw_index(random, 1, 5));
    const std::vector<Index> labels = draw_labels(random, x.rows(), x.cols());
    const CrossEntropyOptions options{.label_smoothing = random.uniform()};
    const auto f = [&](const Matrix<double>& at) { return 0.3 * cross_entropy(at, labels, options).sum; };
    CHECK(check_gradient("d cross-entropy / dX", f, x, cross_entropy_gradient(x, labels, 0.3, options)));
  });
}

TEST_CASE("A batch has the loss and the gradient of its parts") {
  for_random_draws(12, [](Random& random) {
    const Matrix<double> x = draw_normal(random, 5, 9);
    const std::vector<Index> labels = draw_labels(random, 5, 9);
    const std::span<const Index> all(labels), left = all.first(4), right = all.subspan(4);
    LossSum sum = cross_entropy(x.leftCols(4), left);
    sum += cross_entropy(x.rightCols(5), right);
    CHECK(sum.count == counted_positions(all));
    CHECK(relative_error(sum.sum, cross_entropy(x, all).sum) < rounding<double>);
    CHECK(cross_entropy_gradient(x.rightCols(5), right, 0.1) == cross_entropy_gradient(x, all, 0.1).rightCols(5));
  });
}

TEST_CASE("Cross-entropy of huge float logits is finite, and nothing is what no position has") {
  const Matrix<float> logits{{1e30F, 0}, {0, -1e30F}};
  CHECK(cross_entropy(logits, std::vector<Index>{0, 0}).sum == 0);
  CHECK(cross_entropy_gradient(logits, std::vector<Index>{1, 1}, 1).allFinite());
  CHECK(std::isnan(cross_entropy(logits, std::vector<Index>{-1, -1}).mean()));
}

TEST_CASE("A class that is ruled out by a logit of minus infinity changes neither loss nor gradient of the others") {
  const double ruled_out = -std::numeric_limits<double>::infinity();
  const Matrix<double> logits{{1}, {ruled_out}, {2}}, others{{1}, {2}};
  const std::vector<Index> label{0};
  CHECK(cross_entropy(logits, label).sum == cross_entropy(others, label).sum);
  Matrix<double> replaced = logits;
  Threads threads;
  CHECK(cross_entropy_to_gradient(replaced, label, 1, {}, threads).sum == cross_entropy(others, label).sum);
  CHECK(replaced == cross_entropy_gradient(logits, label, 1));
}

TEST_CASE("A label is correct if it is among the largest logits, the first of equal ones") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Matrix<double> logits{{3, 1, 1, 0, nan, 1}, {2, 1, 2, 0, 0, nan}, {1, 1, 3, 9, 0, 0}};
  CHECK(count_correct(logits, std::vector<Index>{0, 0, 0, -1, 0, 0}) == 2);
  CHECK(count_correct(logits, std::vector<Index>{1, 1, 1, -1, 0, 0}, 2) == 4);
  CHECK(count_correct(logits, std::vector<Index>{2, 2, 0, 2, 0, 0}, 3) == 5);
}

TEST_CASE("Masked patch error by hand: only hidden patches count") {
  const Matrix<double> prediction{{1, 5, 0}, {2, 5, 0}}, target{{1, 0, 3}, {4, 0, 5}};
  const Matrix<double> mask{{1}, {0}, {1}};
  const LossSum loss = masked_patch_error(prediction, target, mask);
  CHECK(loss.count == 2);
  CHECK(loss.sum == (0 + 4.0) / 2 + (9.0 + 25) / 2);
  const Matrix<double> gradient{{0, 0, -3}, {-2, 0, -5}};
  CHECK(masked_patch_error_gradient(prediction, target, mask, 1) == gradient);
}

TEST_CASE("A normalised patch has mean 0 and variance 1 over n - 1") {
  const Matrix<double> target{{1, 7}, {3, 7}, {5, 7}}, mask = Matrix<double>::Ones(2, 1);
  const double deviation = std::sqrt(4 + 1e-6);
  const Matrix<double> normalised{{-2 / deviation, 0}, {0, 0}, {2 / deviation, 0}};
  CHECK(masked_patch_error(normalised, target, mask, true).sum < 1e-28);
  CHECK(relative_error(masked_patch_error(Matrix<double>::Zero(3, 2), target, mask, true).sum, 8.0 / 3 / (4 + 1e-6)) <
        rounding<double>);
}

TEST_CASE("The gradient of the masked patch error is the one by differences") {
  for_random_draws(12, [](Random& random) {
    const Matrix<double> target = draw_normal(random, 6, 8), prediction = draw_normal(random, 6, 8);
    const Matrix<double> mask = (draw_normal(random, 4, 2).array() > 0).cast<double>();
    const bool normalise = random.uniform() < 0.5;
    const auto f = [&](const Matrix<double>& at) { return 0.7 * masked_patch_error(at, target, mask, normalise).sum; };
    CHECK(check_gradient("d patch error / dP", f, prediction,
                         masked_patch_error_gradient(prediction, target, mask, 0.7, normalise)));
  });
}

TEST_CASE("The error of the mean visible pixel by hand, of one channel and of two, plain and normalised") {
  const Matrix<double> target{{1, 5, 1, 2}, {3, 2, 1, 0}}, mask{{0, 1}, {1, 1}};  // nothing is visible of the second
  CHECK(relative_error(mean_visible_pixel_error(target, mask, 1).sum, 4.5 + 1 + 2) < rounding<double>);
  CHECK(relative_error(mean_visible_pixel_error(target, mask, 2).sum, 8.5 + 1 + 2) < rounding<double>);
  CHECK(mean_visible_pixel_error(target, mask, 1).count == 3);
  const auto of_deviation = [](double variance) { return variance / 2 / (variance + 1e-6); };
  CHECK(relative_error(mean_visible_pixel_error(target, mask, 1, true).sum, of_deviation(4.5) + of_deviation(2)) <
        rounding<double>);
  CHECK(message_of<ShapeError>([&] { (void)mean_visible_pixel_error(target, mask, 3); }) ==
        "patch error: expected channels that divide the 2 values of a patch, found 3");
}

TEST_CASE("A normalised patch with the true mean and deviation lent has the error of the normalised one in pixels") {
  for_random_draws(5, [](Random& random) {
    const Matrix<double> target = draw_normal(random, 6, 1), prediction = draw_normal(random, 6, 1);
    const Matrix<double> hidden = Matrix<double>::Ones(1, 1), pixels = pixels_of_normalised_patches(prediction, target);
    const double variance = (target.array() - target.mean()).square().sum() / 5;
    CHECK(relative_error(masked_patch_error(pixels, target, hidden).sum,
                         (variance + 1e-6) * masked_patch_error(prediction, target, hidden, true).sum) < 1e-12);
  });
}

TEST_CASE("Losses refuse labels, options and sizes that do not fit") {
  const Matrix<double> logits = Matrix<double>::Zero(3, 2);
  const std::vector<Index> outside{0, 3}, few{0};
  CHECK(message_of<ShapeError>([&] { (void)cross_entropy(logits, outside); }) ==
        "label 1: expected 0 to 2, or -1 where the position is ignored, found 3");
  CHECK(message_of<ShapeError>([&] { (void)cross_entropy_gradient(logits, few, 1); }) == "labels: expected 2, found 1");
  CHECK(message_of<OptionError>([&] { (void)cross_entropy(logits, outside, {.label_smoothing = 1.5}); }) ==
        "option: expected label smoothing in [0, 1], found 1.5");
  CHECK(message_of<OptionError>([&] { (void)count_correct(logits, outside, 0); }) ==
        "accuracy: expected top >= 1, found 0");
  CHECK(message_of<ShapeError>([&] { (void)masked_patch_error(logits, logits, Matrix<double>::Zero(3, 1)); }) ==
        "patch error: entries of the mask: expected 2, found 3");
}

TEST_CASE("Patches without values are refused, and no patches have the error 0") {
  const Matrix<double> no_values(0, 2), no_patches(3, 0), mask = Matrix<double>::Ones(2, 1), no_mask(2, 0);
  const std::string complaint = "patch error: expected patches of at least 1 value, found 0";
  CHECK(message_of<ShapeError>([&] { (void)masked_patch_error(no_values, no_values, mask); }) == complaint);
  CHECK(message_of<ShapeError>([&] { (void)masked_patch_error_gradient(no_values, no_values, mask, 1); }) == complaint);
  CHECK(message_of<ShapeError>([&] { (void)pixels_of_normalised_patches(no_values, no_values); }) == complaint);
  for (const bool normalise : {false, true}) {
    CHECK(masked_patch_error(no_patches, no_patches, no_mask, normalise).sum == 0);
    CHECK(masked_patch_error(no_patches, no_patches, no_mask, normalise).count == 0);
    CHECK(masked_patch_error_gradient(no_patches, no_patches, no_mask, 1, normalise).cols() == 0);
  }
}

TEST_CASE("Losses of no positions are 0, as are their gradients") {
  const Matrix<double> none(3, 0), logits = Matrix<double>::Ones(3, 2);
  CHECK(cross_entropy(none, {}, {.label_smoothing = 0.1}).sum == 0);
  CHECK(cross_entropy_gradient(none, {}, 1, {.label_smoothing = 0.1}).cols() == 0);
  CHECK(count_correct(none, {}) == 0);
  const std::vector<Index> ignored{-1, -1};
  CHECK(cross_entropy(logits, ignored).sum == 0);
  CHECK(cross_entropy_gradient(logits, ignored, 1).isZero(0));
  CHECK(cross_entropy(Matrix<double>(0, 2), ignored, {.label_smoothing = 0.1}).count == 0);
}
