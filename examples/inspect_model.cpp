// SPDX-License-Identifier: MIT

// Looks into a model while it runs on images or texts: coding rates and sparsity before and behind every half-layer,
// its steps beside exact ones, its subspaces and dictionaries; alone or beside another model. Prints a summary, and
// writes a page of plots and the tables behind them.

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
#include "inspect_model/introduction.hpp"
#include "inspect_model/measurement.hpp"
#include "inspect_model/options.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/sections.hpp"
#include "inspect_model/show_inputs.hpp"
#include "inspect_model/summary.hpp"
#include "inspect_model/tables.hpp"
#include "plots/figure.hpp"
#include "program_options/program_options.hpp"

namespace {

using namespace crate;
using inspect_model::Measurement;
using inspect_model::Options;
using inspect_model::Page;
using inspect_model::Table;

/// Of one model, on each part of the data that is asked for.
template <class Model, class All>
std::vector<Measurement> measure_on_all(const std::string& name, const Model& model, const All& inputs,
                                        const Options& options, Threads& threads) {
  std::vector<Measurement> all;
  for (const auto& part : inputs) all.push_back(inspect_model::measure(name, model, part, options, threads));
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
  if (const auto shown = inspect_model::shown_of_second(*model, options))
    second.show = [=, &threads](Page* page) {
      inspect_model::show_second(name, *model, inputs->back(), *shown, options, threads, page);
    };
  return second;
}

template <Scalar S>
SecondModel second_in_file(const TensorTable& weights, const std::string& name, const Options& options,
                           Threads& threads) {
  const auto any_model = std::make_shared<const AnyModel<S>>(any_model_from<S>(weights, options.model));
  return std::visit(
      [&]<class Model>(const Model& model) {
        auto inputs = inspect_model::read_inputs(model, options, threads);
        return kept_second(name, std::shared_ptr<const Model>(any_model, &model),
                           std::make_shared<const decltype(inputs)>(std::move(inputs)), options, threads);
      },
      *any_model);
}

/// The model of a second file, with these weights; or an untrained one, on the inputs of the first, which must outlive
/// it.
template <class Model, class All>
SecondModel second_model(const std::string& name, const std::optional<TensorTable>& weights, const Model& first,
                         const All& inputs, const Options& options, Threads& threads) {
  if (!weights) {
    const auto model = std::make_shared<Model>(first);
    initialise(*model, /*seed*/ 1);
    const std::shared_ptr<const All> not_owned(std::shared_ptr<const All>(), &inputs);
    return kept_second(name, std::shared_ptr<const Model>(model), not_owned, options, threads);
  }
  return holds_doubles(*weights) ? second_in_file<double>(*weights, name, options.of_second(), threads)
                                 : second_in_file<float>(*weights, name, options.of_second(), threads);
}

std::optional<TensorTable> weights_of_second(const Options& options) {
  if (!options.has_second_file()) return std::nullopt;
  const Options of_second = options.of_second();
  return read_weights(of_second.weights, of_second.model.weights_at);
}

Page page_of(const std::vector<Measurement>& all, const Options& options) {
  Page page(inspect_model::title_of(all), inspect_model::introduction_of(all, options));
  inspect_model::summary_section(page, all);
  inspect_model::depth_section(page, all);
  inspect_model::half_layer_section(page, all);
  inspect_model::head_section(page, all);
  inspect_model::step_section(page, all);
  inspect_model::subspace_section(page, all);
  inspect_model::dictionary_section(page, all);
  return page;
}

template <class Model>
void inspect(const Model& model, const Options& options, Threads& threads) {
  const inspect_model::ShownLayers shown = inspect_model::shown_layers(model, options);
  const auto [name, name_of_second] = inspect_model::names_of_models(options);
  const std::optional<TensorTable> second_weights = weights_of_second(options);
  const auto inputs = inspect_model::read_inputs(model, options, threads);
  SecondModel second;
  if (!options.against.empty()) second = second_model(name_of_second, second_weights, model, inputs, options, threads);

  std::vector<Measurement> all = measure_on_all(name, model, inputs, options, threads);
  if (second.measure) {
    const std::vector<Measurement> of_second = second.measure();
    all.insert(all.end(), of_second.begin(), of_second.end());
    second.measure = nullptr;  // and with it the inputs, unless they are shown
  }
  inspect_model::print_summary(all, options.meter);
  if (!options.output.empty()) inspect_model::write_tables(options.output, inspect_model::all_tables(all));
  if (!options.figure.empty()) plots::write_svg(options.figure, inspect_model::paper_figure(all));
  std::optional<Page> page;
  if (!options.page.empty()) page = page_of(all, options);
  Page* const shown_on = page ? &*page : nullptr;
  inspect_model::show_inputs(model, inputs.back(), shown, options, threads, shown_on, [&] {
    if (second.show) second.show(shown_on);
  });
  if (page) page->write(options.page);
}

template <Scalar S>
void inspect_in(const TensorTable& weights, const Options& options) {
  const AnyModel<S> any_model = any_model_from<S>(weights, options.model);
  Threads threads(options.threads);
  std::visit([&](const auto& model) { inspect(model, options, threads); }, any_model);
}

}  // namespace

int main(int count, char** arguments) {
  return program_options::run("inspect_model", [&] {
    Options options;
    if (const std::optional<int> status = options.parse(count, arguments)) return *status;
    const TensorTable weights = read_weights(options.weights, options.model.weights_at);
    if (holds_doubles(weights))
      inspect_in<double>(weights, options);
    else
      inspect_in<float>(weights, options);
    return 0;
  });
}
