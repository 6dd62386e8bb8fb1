// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crate/analysis/token_features.hpp"
#include "crate/analysis/unit_use.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/inference/generate.hpp"
#include "crate/models/language_model.hpp"
#include "crate/operators/softmax.hpp"
#include "inspect_model/inputs.hpp"
#include "inspect_model/shown_model.hpp"

// Models of any type as the sections take them.

namespace inspect_model {

namespace detail {

template <class Model>
struct WithForward {
  using Scalar = typename Model::Scalar;
  const Model& model;

  auto forward(const Matrix<Scalar>& images, const crate::Run<Scalar>& run) const {
    return forward_images(model, images, run);
  }
};

/// The names of the classes, or else their numbers; none of models that do not classify.
template <class Model>
std::vector<std::string> class_names_of(const Model& model) {
  std::vector<std::string> names;
  if constexpr (requires { model.about.class_names; }) {
    names = model.about.class_names;
    for (Index c = std::ssize(names); c < model.output_dim(); ++c) names.push_back("class " + std::to_string(c));
  }
  return names;
}

}  // namespace detail

template <class Model>
[[nodiscard]] ImageModel image_model(const Model& model, crate::Threads& threads) {
  using S = typename Model::Scalar;
  const detail::WithForward<Model> runnable{model};
  ImageModel result{.grid = patch_grid(model),
                    .normalisation = model.about.preprocessing.normalisation,
                    .class_names = detail::class_names_of(model),
                    .features = {},
                    .outputs = {}};
  if constexpr (requires { model.pool.pooling; }) result.reads_mean = model.pool.pooling == crate::Pooling::mean;
  result.features = [runnable, &threads](const Matrix<double>& images, const crate::AttentionLayer& layer) {
    const auto found = crate::token_features(runnable, images.template cast<S>().eval(), layer, {.threads = &threads});
    return crate::TokenFeatures<double>{found.queries.template cast<double>(), found.keys.template cast<double>(),
                                        found.heads, found.attention, found.layout};
  };
  result.outputs = [runnable, &threads, classifies = !result.class_names.empty()](
                       const Matrix<double>& images, const std::optional<Setting>& setting) -> Matrix<double> {
    const Matrix<S> of_model = images.template cast<S>();
    const crate::Run<S> run{.threads = &threads};
    const Matrix<S> outputs =
        setting ? crate::forward_steered(runnable, of_model, setting->half_step, setting->unit, setting->value, run)
                : Matrix<S>(runnable.forward(of_model, run));
    const Matrix<double> doubles = outputs.template cast<double>();
    return classifies ? Matrix<double>(crate::softmax_columns(doubles)) : doubles;
  };
  return result;
}

template <class Model>
[[nodiscard]] TextModel text_model(const Model& model, crate::Threads& threads) {
  using S = typename Model::Scalar;
  TextModel result{.context = model.context(), .write = {}, .outputs = {}};
  if constexpr (writes_text<Model>)
    result.write = [&](const std::vector<std::vector<Index>>& prompts, const crate::GenerationOptions& how,
                       const std::optional<Setting>& setting) {
      if (!setting) return crate::generate(model, prompts, how, crate::Run<S>{.threads = &threads});
      crate::Steering<S> steering(setting->half_step, setting->unit, setting->value);
      return crate::generate(model, prompts, how, crate::Run<S>{.threads = &threads, .observer = steering.observer()});
    };
  result.outputs = [&](const crate::LabelledTokens& texts, const std::optional<Setting>& setting) -> Matrix<double> {
    const crate::Run<S> run{.threads = &threads};
    const Matrix<S> logits =
        setting ? crate::forward_steered(model, texts.input(), setting->half_step, setting->unit, setting->value, run)
                : Matrix<S>(model.forward(texts.input(), run));
    return crate::softmax_columns(logits.template cast<double>().eval());
  };
  return result;
}

}  // namespace inspect_model
