// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/labelled_images.hpp"
#include "crate/models/masked_autoencoder.hpp"
#include "crate/probing/image_features.hpp"
#include "crate/probing/logistic_classifier.hpp"
#include "crate/probing/nearest_neighbours.hpp"
#include "crate/probing/ridge_classifier.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Examples round a centre for each class, in d dimensions of very unequal sizes.
template <Scalar S>
LabelledFeatures<S> drawn_examples(Index d, Index count, Index classes, double noise, std::uint64_t seed) {
  Random random(11), own(seed);
  const Matrix<double> centres = draw_normal(random, d, classes);
  LabelledFeatures<S> examples{Matrix<S>(d, count), {}, classes};
  for (Index i = 0; i < count; ++i) {
    examples.labels.push_back(i % classes);
    const Matrix<double> x = centres.col(i % classes) + noise * draw_normal(own, d, 1);
    for (Index r = 0; r < d; ++r) examples.features(r, i) = static_cast<S>(x(r) * std::pow(10.0, r % 3) + 5);
  }
  return examples;
}

template <Scalar S>
double accuracy_of(const LinearClassifier<S>& probe, const LabelledFeatures<S>& examples) {
  Threads alone;
  return confusion_of(examples.labels, probe.classify(examples.features, alone), examples.classes).accuracy();
}

/// Votes as their definition says, of all pairs.
Matrix<double> plain_votes(const LabelledFeatures<double>& examples, const Matrix<double>& features, Index k) {
  Matrix<double> votes = Matrix<double>::Zero(examples.classes, features.cols());
  for (Index j = 0; j < features.cols(); ++j) {
    std::vector<std::pair<double, Index>> similar;
    for (Index i = 0; i < examples.size(); ++i)
      similar.emplace_back(-features.col(j).normalized().dot(examples.features.col(i).normalized()), i);
    std::sort(similar.begin(), similar.end());
    for (Index n = 0; n < k; ++n) {
      const auto& [minus, i] = similar[static_cast<std::size_t>(n)];
      votes(examples.labels[static_cast<std::size_t>(i)], j) += std::exp((-minus - 1) / 0.07);
    }
  }
  return votes;
}

/// The mean cross-entropy of softmax(W x + b) and a/2 ||W||^2 in the scaled features.
double logistic_loss(const LabelledFeatures<double>& examples, const Matrix<double>& weight, const Vector<double>& bias,
                     double penalty) {
  double loss = penalty / 2 * weight.squaredNorm();
  for (Index i = 0; i < examples.size(); ++i) {
    const Vector<double> scores = weight * examples.features.col(i) + bias;
    loss += (std::log(scores.array().exp().sum()) - scores(examples.labels[static_cast<std::size_t>(i)])) /
            static_cast<double>(examples.size());
  }
  return loss;
}

struct DrawnImages {
  Matrix<float> images;
  [[nodiscard]] Index size() const { return images.cols(); }
  [[nodiscard]] LabelledImages<float> take(std::span<const Index> indices) const {
    LabelledImages<float> taken{Matrix<float>(images.rows(), std::ssize(indices)), {}};
    for (const Index i : indices) {
      taken.images.col(std::ssize(taken.labels)) = images.col(i);
      taken.labels.push_back(i % 3);
    }
    return taken;
  }
};

constexpr ImageOptions small_image{.height = 6, .width = 4, .channels = 2, .patch_height = 2, .patch_width = 2};

}  // namespace

TEST_CASE("the votes of neighbours are those of the definition, over blocks and on threads") {
  const auto examples = drawn_examples<double>(5, 2100, 4, 2.0, 1);
  const auto others = drawn_examples<double>(5, 300, 4, 2.0, 2);
  Threads one, three(3);
  const Matrix<double> votes = neighbour_votes(examples, others.features, {.neighbours = 7}, three);
  CHECK(relative_error(votes, plain_votes(examples, others.features, 7)) < 1e-10);
  CHECK(votes == neighbour_votes(examples, others.features, {.neighbours = 7}, one));
}

TEST_CASE("of equally near examples the earlier votes, and an example finds itself") {
  LabelledFeatures<float> examples{Matrix<float>{{1, 2, 1, 0}, {0, 0, 0, 3}}, {2, 1, 0, 1}, 3};
  const Matrix<float> asked{{5, 0}, {0, 0.1f}};
  Threads alone;
  CHECK(classify_by_neighbours(examples, asked, {.neighbours = 1}, alone) == std::vector<Index>{2, 1});
  const Matrix<double> votes = neighbour_votes(examples, asked, {.neighbours = 3}, alone);
  CHECK(votes.col(0) == Vector<double>::Ones(3));
}

TEST_CASE("ridge regression solves its normal equations, in features as they are") {
  const auto examples = drawn_examples<double>(6, 90, 3, 1.0, 3);
  Threads alone;
  const auto probe = fit_ridge_classifier(examples, alone, {.penalties = {0.3}, .standardised = false});
  const Vector<double> mean = examples.features.rowwise().mean();
  const Matrix<double> x = examples.features.colwise() - mean;
  Matrix<double> y = Matrix<double>::Zero(3, 90);
  for (Index i = 0; i < 90; ++i) y(i % 3, i) = 1;
  const Matrix<double> gram = x * x.transpose() / 90;
  const Matrix<double> residual =
      probe.weight * (gram + 0.3 * gram.trace() / 6 * Matrix<double>::Identity(6, 6)) - y * x.transpose() / 90;
  CHECK(residual.norm() < 1e-12 * (y * x.transpose()).norm());
  CHECK((probe.scores(mean, alone) - y.rowwise().mean()).norm() < 1e-12);
}

TEST_CASE("logistic regression ends where no direction leads down") {
  auto examples = drawn_examples<double>(4, 60, 3, 1.5, 4);
  Threads two(2);
  const double penalty = 0.02;
  const auto probe = fit_logistic_classifier(examples, two, {.penalties = {penalty}});
  const detail::FeatureScale scale = detail::measure_scale(examples.features, true);
  examples.features = detail::scaled(examples.features, scale, two);
  const Matrix<double> weight = probe.weight * scale.factor.cwiseInverse().asDiagonal();
  const Vector<double> bias = probe.scores(scale.mean, two);
  const double least = logistic_loss(examples, weight, bias, penalty);
  CHECK(least < logistic_loss(examples, Matrix<double>::Zero(3, 4), Vector<double>::Zero(3), penalty) / 1.5);
  for_random_draws(20, [&](Random& random) {
    CHECK(logistic_loss(examples, weight + 0.01 * draw_normal(random, 3, 4), bias + 0.01 * draw_normal(random, 3, 1),
                        penalty) > least);
  });
}

TEST_CASE("the loss of logistic regression has the gradient that differences tell") {
  const auto examples = drawn_examples<double>(3, 1500, 3, 1.0, 5);
  Threads two(2);
  const detail::FeatureScale scale = detail::measure_scale(examples.features, true);
  detail::LogisticLoss<double> loss(detail::scaled(examples.features, scale, two), examples.labels, 3, two);
  Random random(6);
  const Matrix<double> at = draw_normal(random, 3, 4);
  Matrix<double> gradient, unused;
  (void)loss(at, 0.1, gradient);
  for (Index i = 0; i < at.size(); ++i) {
    Matrix<double> up = at, down = at;
    up.data()[i] += 1e-5;
    down.data()[i] -= 1e-5;
    CHECK(std::abs((loss(up, 0.1, unused) - loss(down, 0.1, unused)) / 2e-5 - gradient.data()[i]) < 1e-8);
  }
}

TEST_CASE("probes tell classes apart that differ, whatever the sizes of features, and repeat to the bit on threads") {
  const auto training = drawn_examples<float>(9, 600, 5, 0.5, 7), test = drawn_examples<float>(9, 400, 5, 0.5, 8);
  Threads one, three(3);
  const auto ridge = fit_ridge_classifier(training, three), again = fit_ridge_classifier(training, one);
  const auto logistic = fit_logistic_classifier(training, three), once_more = fit_logistic_classifier(training, one);
  CHECK(accuracy_of(ridge, test) > 0.9);
  CHECK(accuracy_of(logistic, test) > 0.9);
  CHECK(ridge.weight == again.weight);
  CHECK(logistic.weight == once_more.weight);
  CHECK(logistic.penalty == once_more.penalty);
}

TEST_CASE("a penalty is chosen that serves what is held out: a large one where features are mostly noise") {
  auto training = drawn_examples<float>(4, 60, 2, 1.0, 9), test = drawn_examples<float>(4, 2000, 2, 1.0, 10);
  const auto with_noise = [](LabelledFeatures<float>& examples, std::uint64_t seed) {
    Random random(seed);
    Matrix<float> noise(40, examples.size());
    random.fill_normal(noise);
    Matrix<float> all(44, examples.size());
    all << examples.features, noise;
    examples.features = all;
  };
  with_noise(training, 1);
  with_noise(test, 2);
  Threads alone;
  const auto best = fit_ridge_classifier(training, alone);
  const auto least = fit_ridge_classifier(training, alone, {.penalties = {1e-6}});
  CHECK(best.penalty > 1e-6);
  CHECK(accuracy_of(best, test) >= accuracy_of(least, test));
}

TEST_CASE("a feature that never varies counts for nothing") {
  auto training = drawn_examples<float>(4, 90, 3, 0.3, 12);
  training.features.row(1).setConstant(7);
  Threads alone;
  const auto probe = fit_logistic_classifier(training, alone);
  CHECK(probe.weight.col(1) == Vector<float>::Zero(3));
  CHECK(accuracy_of(probe, training) > 0.9);
}

TEST_CASE("by features that are all alike every probe tells the largest class") {
  LabelledFeatures<float> alike{Matrix<float>::Constant(3, 30, 0.7f), std::vector<Index>(30, 1), 3};
  for (std::size_t i = 0; i < 10; ++i) alike.labels[i] = i % 2 == 0 ? 0 : 2;
  Threads alone;
  const std::vector<Index> largest(30, 1);
  CHECK(fit_ridge_classifier(alike, alone).classify(alike.features, alone) == largest);
  CHECK(fit_logistic_classifier(alike, alone).classify(alike.features, alone) == largest);
  const LabelledFeatures<float> two{Matrix<float>::Identity(3, 2), {0, 1}, 2};
  CHECK(accuracy_of(fit_ridge_classifier(two, alone), two) == 1);
}

TEST_CASE("features that differ by little beside their mean are told apart in float") {
  auto training = drawn_examples<float>(4, 90, 3, 0.1, 12);
  training.features.array() += 2e4f;
  Threads alone;
  CHECK(accuracy_of(fit_ridge_classifier(training, alone), training) > 0.95);
  CHECK(accuracy_of(fit_logistic_classifier(training, alone), training) > 0.95);
}

TEST_CASE("a confusion counts who was taken for whom") {
  const std::vector<Index> labels{0, 1, 1, 2}, told{0, 1, 2, 2};
  const Confusion confusion = confusion_of(labels, told, 3);
  CHECK(confusion.counts == Confusion::Counts{{1, 0, 0}, {0, 1, 1}, {0, 0, 1}});
  CHECK(confusion.accuracy() == 0.75);
  const std::vector<Index> outside{0, 1, 3, 2};
  CHECK_THAT(message_of<ShapeError>([&] { (void)confusion_of(labels, outside, 3); }),
             ContainsSubstring("example 2: expected a class in 0 to 2, found 3"));
}

TEST_CASE("features that cannot be probed are refused by name") {
  const auto good = drawn_examples<float>(3, 12, 2, 1, 13);
  Threads alone;
  const auto refusal = [&]<class E>(const LabelledFeatures<float>& training, E) {
    const std::string ridge = message_of<E>([&] { (void)fit_ridge_classifier(training, alone); });
    CHECK(message_of<E>([&] { (void)fit_logistic_classifier(training, alone); }) == ridge);
    CHECK(message_of<E>([&] { (void)classify_by_neighbours(training, good.features, {.neighbours = 3}, alone); }) ==
          ridge);
    return ridge;
  };
  auto bad = good;
  bad.labels.assign(12, 1);
  CHECK_THAT(refusal(bad, OptionError("")), ContainsSubstring("at least two classes, found class 1 alone"));
  bad = good;
  bad.labels.pop_back();
  CHECK_THAT(refusal(bad, ShapeError("")), ContainsSubstring("expected 12 labels, one per example, found 11"));
  bad = good;
  bad.labels[4] = 2;
  CHECK_THAT(refusal(bad, ShapeError("")), ContainsSubstring("label 4: expected 0 to 1, found 2"));
  bad = good;
  bad.features(1, 5) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THAT(refusal(bad, PrecisionError("")),
             ContainsSubstring("finite features, found nan or infinity in example 5"));
  CHECK_THAT(message_of<OptionError>([&] { (void)classify_by_neighbours(good, good.features, {}, alone); }),
             ContainsSubstring("as neighbours, 20, found 12"));
  CHECK_THAT(message_of<ShapeError>(
                 [&] { (void)classify_by_neighbours(good, Matrix<float>(2, 1), {.neighbours = 1}, alone); }),
             ContainsSubstring("rows: expected 3, found 2"));
  CHECK_THAT(message_of<OptionError>([&] { (void)fit_ridge_classifier(good, alone, {.penalties = {0}}); }),
             ContainsSubstring("penalties > 0"));
  CHECK_THAT(message_of<OptionError>([&] { (void)fit_ridge_classifier(good, alone, {}); }),
             ContainsSubstring("at least one penalty"));
}

TEST_CASE("the features of a classifier are what its head is given") {
  CrateClassifier<float> model({.image = small_image, .classes = 3, .depth = 2, .block = {.dim = 8, .heads = 2}});
  initialise(model, 1);
  DrawnImages source{Matrix<float>(48, 37)};
  Random(2).fill_normal(source.images);
  Threads one, two(2);
  const auto features = labelled_features(model, source, 3, {.normalised = true}, two);
  CHECK(features.labels[4] == 1);
  CHECK(features.features == labelled_features(model, source, 3, {.normalised = true}, one).features);
  const Matrix<float> logits = model.head.linear.weight * features.features;
  CHECK(relative_error((logits.colwise() + model.head.linear.bias).eval(), model.forward(source.images)) < 1e-5);

  Matrix<float> first_layer, mean(8, 37);
  (void)model.forward(source.images, {.observer = [&](HalfStep<float> step) {
                        if (step.name == "layers.0.sparsify") first_layer = step.activation;
                      }});
  for (Index b = 0; b < 37; ++b) mean.col(b) = first_layer.middleCols(7 * b + 1, 6).rowwise().mean();
  CHECK(relative_error(image_features(model, source.images, {.layer = 1, .token = FeatureToken::mean_of_patches}),
                       mean) < 1e-6);
  CHECK_THAT(message_of<OptionError>([&] { (void)image_features(model, source.images, {.layer = 3}); }),
             ContainsSubstring("0 to 2, found 3"));
  CHECK(labelled_pixels(source, 3, two).features == source.images);
}

TEST_CASE("pooled features are what the head reads, whatever it pools") {
  for (const Pooling pooling : {Pooling::class_token, Pooling::mean}) {
    CrateClassifier<float> model(
        {.image = small_image, .classes = 3, .depth = 2, .pooling = pooling, .block = {.dim = 8, .heads = 2}});
    initialise(model, 1);
    Matrix<float> images(48, 5);
    Random(2).fill_normal(images);
    const Matrix<float> features = image_features(model, images, {.token = FeatureToken::pooled, .normalised = true});
    const Matrix<float> logits = (model.head.linear.weight * features).colwise() + model.head.linear.bias;
    CHECK(relative_error(logits, model.forward(images)) < 1e-5);
  }
}

TEST_CASE("the features of a masked autoencoder are its latent of all patches") {
  CrateMaskedAutoencoder<float> model({.image = small_image, .dim = 8, .heads = 2, .depth = 2, .decoder_depth = 1});
  initialise(model, 1);
  Matrix<float> images(48, 3);
  Random(2).fill_normal(images);
  const Matrix<float> latent = autoencode(model, images).latent;
  CHECK_THROWS_AS(image_features(model, images, {.token = FeatureToken::pooled}), OptionError);
  const Matrix<float> features = image_features(model, images, {.normalised = true});
  for (Index b = 0; b < 3; ++b) CHECK(relative_error(features.col(b), latent.col(7 * b)) < 1e-6);
}
