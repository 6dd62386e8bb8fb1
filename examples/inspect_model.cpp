// SPDX-License-Identifier: MIT

// Looks into a model while it runs on images or texts: coding rates and sparsity before and behind every half-layer,
// its steps beside exact ones, its subspaces and dictionaries. Prints a summary and writes the tables as CSV.

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "crate/crate.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "inspect_model/inputs.hpp"
#include "inspect_model/options.hpp"
#include "inspect_model/show_inputs.hpp"
#include "inspect_model/tables.hpp"
#include "program_options/program_options.hpp"

namespace {

using namespace crate;
using inspect_model::Options;
using inspect_model::Table;

void print_summary(const std::vector<LayerMetrics>& layers, const std::vector<StepMetrics>& steps, Index examples,
                   const LayerMeterOptions& options) {
  std::printf("on %td examples, rates in nats at epsilon %g, objective at lambda %g\n\n", examples, options.epsilon,
              options.lambda);
  std::printf(
      "  layer                      place          R       R^c   R - R^c   objective   published R^c   "
      "non-zero\n");
  for (const LayerMetrics& layer : layers)
    inspect_model::for_each_place(layer, [&](const char* place, const TokenMetrics& metrics) {
      std::printf("  %-24s   %-7s  %8.2f  %8.2f  %8.2f  %10.2f   %6.1f +- %4.1f   %6.2f %%\n", layer.name.c_str(),
                  place, metrics.rate.mean(), metrics.subspace_rate.mean(), metrics.rate_reduction.mean(),
                  metrics.objective.mean(), metrics.published_rate.mean(), metrics.published_rate.deviation(),
                  100 * metrics.non_zero.mean());
    });
  std::printf("\n  layer                      cosine to the exact step   change of R^c   by an exact step as long\n");
  for (const StepMetrics& layer : steps)
    std::printf("  %-24s   %12.3f +- %5.3f     %+11.2f %%   %+22.2f %%\n", layer.name.c_str(), layer.cosine.mean(),
                layer.cosine.deviation(), 100 * layer.change.mean(), 100 * layer.exact_change.mean());
}

template <class Model>
void inspect(const Model& model, const Options& options, Threads& threads) {
  using S = typename Model::Scalar;
  inspect_model::shown_layers(model, options.show);  // before anything is computed
  LayerMeter<S> meter(model, options.meter, &threads);
  StepMeter<S> step_meter(model, {.epsilon = options.meter.epsilon}, &threads);
  Workspace workspace;
  const Index examples = inspect_model::run_on_all(
      model, options, {.threads = &threads, .workspace = &workspace, .observer = [&](const HalfStep<S>& step) {
                         meter.see(step);
                         step_meter.see(step);
                       }});
  print_summary(meter.layers(), step_meter.layers(), examples, options.meter);
  inspect_model::show_inputs(model, options, threads, nullptr);
  if (options.output.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(options.output, error);  // where that fails, so does writing, and says why
  for (const Table& table : {inspect_model::layer_table(meter.layers()), inspect_model::head_table(meter.layers()),
                             inspect_model::step_table(step_meter.layers()), inspect_model::subspace_table(model),
                             inspect_model::dictionary_table(model)})
    table.write(options.output);
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
