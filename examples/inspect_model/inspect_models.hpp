// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "crate/crate.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "inspect_model/geometry_sections.hpp"
#include "inspect_model/head_sections.hpp"
#include "inspect_model/inspect.hpp"
#include "inspect_model/introduction.hpp"
#include "inspect_model/measurement.hpp"
#include "inspect_model/options.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/sections.hpp"
#include "inspect_model/show_inputs.hpp"
#include "inspect_model/summary.hpp"
#include "inspect_model/tables.hpp"
#include "inspect_model/terms.hpp"
#include "plots/figure.hpp"

// All models of one scalar type. Floats and doubles are units of their own, which are compiled beside each other.

namespace inspect_model {

using crate::TensorTable;
using crate::Threads;

/// Of one model, on each part of the data that is asked for.
template <class Model, class All>
std::vector<Measurement> measure_on_all(const std::string& name, const Model& model, const All& inputs,
                                        const Options& options, Threads& threads) {
  std::vector<Measurement> all;
  for (const auto& part : inputs) all.push_back(measure(name, model, part, options, threads));
  return all;
}

/// A second model that was read and checked.
struct SecondModel {
  std::function<std::vector<Measurement>()> measure;
  std::function<void(Page* page)> show;  ///< its maps, on a page, perhaps null; empty where none are shown
};

/// Keeps the model and its inputs. Throws as shown_of_second.
template <class Model, class All>
SecondModel kept_second(const std::string& name, std::shared_ptr<const Model> model, std::shared_ptr<const All> inputs,
                        const Options& options, Threads& threads) {
  SecondModel second{.measure = [=, &threads] { return measure_on_all(name, *model, *inputs, options, threads); },
                     .show = {}};
  if (const auto shown = shown_of_second(*model, options))
    second.show = [=, &threads](Page* page) {
      show_second(name, *model, inputs->back(), *shown, options, threads, page);
    };
  return second;
}

/// Throws OptionError, which names --against, where an option does not fit this model.
template <crate::Scalar S>
SecondModel second_in_file(const TensorTable& weights, const std::string& name, const Options& options,
                           Threads& threads) try {
  const auto any_model = std::make_shared<const crate::AnyModel<S>>(crate::any_model_from<S>(weights, options.model));
  return std::visit(
      [&]<class Model>(const Model& model) {
        auto inputs = read_inputs(model, options, threads);
        return kept_second(name, std::shared_ptr<const Model>(any_model, &model),
                           std::make_shared<const decltype(inputs)>(std::move(inputs)), options, threads);
      },
      *any_model);
} catch (const crate::OptionError& error) {
  throw crate::OptionError(
      crate::concatenate("option --against: model ", crate::quote(options.weights), ": ", error.what()));
}

/// The model of a second file, with these weights; or an untrained one, on the inputs of the first, which must outlive
/// it.
template <class Model, class All>
SecondModel second_model(const std::string& name, const std::optional<TensorTable>& weights, const Model& first,
                         const All& inputs, const Options& options, Threads& threads) {
  if (!weights) {
    const auto model = std::make_shared<Model>(first);
    crate::initialise(*model, /*seed*/ 1);
    const std::shared_ptr<const All> not_owned(std::shared_ptr<const All>(), &inputs);
    return kept_second(name, std::shared_ptr<const Model>(model), not_owned, options, threads);
  }
  return crate::holds_doubles(*weights) ? second_in_file<double>(*weights, name, options.of_second(), threads)
                                        : second_in_file<float>(*weights, name, options.of_second(), threads);
}

inline std::optional<TensorTable> weights_of_second(const Options& options) {
  if (!options.has_second_file()) return std::nullopt;
  const Options of_second = options.of_second();
  return crate::read_weights(of_second.weights, of_second.model.weights_at);
}

inline Page page_of(const std::vector<Measurement>& all, const Options& options) {
  Page page(title_of(all), introduction_of(all, options));
  summary_section(page, all);
  terms_section(page, all, options.meter);
  depth_section(page, all);
  half_layer_section(page, all);
  head_section(page, all);
  step_section(page, all);
  subspace_section(page, all);
  dictionary_section(page, all);
  return page;
}

template <class Model>
void inspect(const Model& model, const Options& options, Threads& threads) {
  const ShownLayers shown = shown_layers(model, options);
  const auto [name, name_of_second] = names_of_models(options);
  const std::optional<TensorTable> second_weights = weights_of_second(options);
  const auto inputs = read_inputs(model, options, threads);
  SecondModel second;
  if (!options.against.empty()) second = second_model(name_of_second, second_weights, model, inputs, options, threads);

  std::vector<Measurement> all = measure_on_all(name, model, inputs, options, threads);
  if (second.measure) {
    const std::vector<Measurement> of_second = second.measure();
    all.insert(all.end(), of_second.begin(), of_second.end());
    second.measure = nullptr;  // and with it the inputs, unless they are shown
  }
  print_summary(all, options.meter);
  if (!options.output.empty()) write_tables(options.output, all_tables(all));
  if (!options.figure.empty()) plots::write_svg(options.figure, paper_figure(all));
  std::optional<Page> page;
  if (!options.page.empty()) page = page_of(all, options);
  Page* const shown_on = page ? &*page : nullptr;
  show_inputs(model, inputs.back(), shown, options, threads, shown_on, [&] {
    if (second.show) second.show(shown_on);
  });
  if (page) page->write(options.page);
}

template <crate::Scalar S>
void inspect_in(const TensorTable& weights, const Options& options) {
  const crate::AnyModel<S> any_model = crate::any_model_from<S>(weights, options.model);
  Threads threads(options.threads);
  std::visit([&](const auto& model) { inspect(model, options, threads); }, any_model);
}

// Each in the unit of its type, also where the other unit calls it.
extern template SecondModel second_in_file<float>(const TensorTable&, const std::string&, const Options&, Threads&);
extern template SecondModel second_in_file<double>(const TensorTable&, const std::string&, const Options&, Threads&);

}  // namespace inspect_model
