// SPDX-License-Identifier: MIT

// Looks into a model while it runs on images or texts: coding rates and sparsity before and behind every half-layer,
// its steps beside exact ones, its subspaces and dictionaries; alone or beside another model. Prints a summary, and
// writes a page of plots and the tables behind them.

#include "crate/io/read_weights.hpp"
#include "inspect_model/inspect.hpp"
#include "inspect_model/options.hpp"
#include "inspect_model/toy.hpp"
#include "program_options/program_options.hpp"

int main(int count, char** arguments) {
  inspect_model::Options options;
  CLI::App app(
      "Inspects a model: measures what each half-layer does to coding rates and sparsity, compares its steps with\n"
      "exact ones, and describes the geometry of its subspaces and dictionaries; optionally compares it with a second\n"
      "model. Prints a summary; writes a page of plots, and their numbers as CSV.\n");
  program_options::set_up(app, "inspect_model");
  examples::LoadOptionsParser of_model;
  options.add_to(app, of_model);
  return program_options::run(app, count, arguments, [&] {
    options.finish(app, of_model);
    if (options.toy.is_shown) {
      inspect_model::inspect_toy(options);
      return 0;
    }
    const crate::TensorTable weights = crate::read_weights(options.weights, options.model.weights_at);
    if (crate::holds_doubles(weights))
      inspect_model::inspect_in<double>(weights, options);
    else
      inspect_model::inspect_in<float>(weights, options);
    return 0;
  });
}
