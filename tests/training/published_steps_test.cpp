// SPDX-License-Identifier: MIT
// Three steps of training whole models, against those that PyTorch took from the same weights on the same batch.

#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/io/families.hpp"
#include "models/published_fixture.hpp"

using namespace crate;
using namespace crate::test;

namespace {

/// The model after three steps on the batch of the fixture, in double or float.
template <class Model, class Options, class MakeRule>
Model trained(const TensorTable& file, const Options& options_of, std::span<const PublishedName> names,
              const MakeRule& make_rule) {
  using S = typename Model::Scalar;
  const TensorTable weights = parameters_in(file);
  auto model = loaded<Model>(weights, options_of(weights, {.heads = 3}), names);
  const auto stored = integers_from(file.at("input/labels"));
  const LabelledImages<S> batch{columns_from<S>(file.at("input/images")), {stored.begin(), stored.end()}};
  const ClassificationObjective<Model> objective{{.label_smoothing = 0.1}};
  Recording<Model> tape;
  Threads alone;
  auto rule = make_rule(model);
  for (int step = 0; step < 3; ++step) {
    Model gradient = zeros_like(model);
    (void)objective.accumulate(model, batch, 1 / static_cast<double>(batch.labels.size()), gradient, tape, {});
    rule.step(model, gradient, {}, alone);
  }
  return model;
}

/// Calls compare(name, found, published) for every parameter.
template <class Model, class Compare>
void for_each_published(const Model& model, std::span<const PublishedName> names, const TensorTable& file,
                        const std::string& prefix, const Compare& compare) {
  for_each_parameter(
      [&](std::string_view ours, ParameterKind, const auto& found) {
        const std::string name = prefix + published_name(names, ours).name;
        auto published = found;
        copy_values(file.at(name), std::span(published.data(), static_cast<std::size_t>(published.size())));
        INFO(name);
        compare(found, published);
      },
      model);
}

template <class Model, class Options>
void check_adamw(const std::string& fixture_name, const Options& options_of, std::span<const PublishedName> names,
                 double tolerance) {
  const TensorTable file = fixture(fixture_name);
  const AdamWOptions options{.rate = 4e-4, .weight_decay = 0.1};
  const auto model = trained<Model>(file, options_of, names, [&](const Model& m) { return AdamW(m, options); });
  for_each_published(model, names, file, "adamw3/", [&](const auto& found, const auto& published) {
    CHECK(relative_error(found, published) < tolerance);
  });
}

/// Where the update is within rounding of 0, its sign may be the other, by two steps of the rate: a few entries in ten
/// thousand for float, none for double.
template <class Model, class Options>
void check_lion(const std::string& fixture_name, const Options& options_of, std::span<const PublishedName> names) {
  const TensorTable file = fixture(fixture_name);
  const LionOptions options{.rate = 2e-4, .weight_decay = 0.05};
  const auto model = trained<Model>(file, options_of, names, [&](const Model& m) { return Lion(m, options); });
  Index flipped = 0, all = 0;
  for_each_published(model, names, file, "lion3/", [&](const auto& found, const auto& published) {
    const auto difference = (found - published).template cast<double>().cwiseAbs().eval();
    CHECK(difference.maxCoeff() < 2.001 * 3 * options.rate);
    flipped += (difference.array() > 1e-6).count();
    all += found.size();
  });
  INFO(flipped << " of " << all);
  const double tolerated = std::is_same_v<typename Model::Scalar, double> ? 0 : 5e-4;
  CHECK(static_cast<double>(flipped) <= tolerated * static_cast<double>(all));
}

}  // namespace

TEST_CASE("Three steps of AdamW are PyTorch's") {
  check_adamw<CrateClassifier<float>>("classifier", crate_options, crate_classifier_names, 1e-5);
  check_adamw<CrateClassifier<double>>("classifier_f64", crate_options, crate_classifier_names, 1e-10);
  check_adamw<CrateAlphaClassifier<float>>("alpha", crate_alpha_options, crate_alpha_classifier_names, 1e-5);
}

TEST_CASE("Three steps of Lion are PyTorch's") {
  check_lion<CrateClassifier<float>>("classifier", crate_options, crate_classifier_names);
  check_lion<CrateClassifier<double>>("classifier_f64", crate_options, crate_classifier_names);
  check_lion<CrateAlphaClassifier<float>>("alpha", crate_alpha_options, crate_alpha_classifier_names);
}
