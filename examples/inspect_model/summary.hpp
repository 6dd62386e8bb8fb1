// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "inspect_model/sections.hpp"
#include "inspect_model/tables.hpp"

// What was measured, on the terminal.

namespace inspect_model {

inline void print_one(const Measurement& one) {
  std::printf(
      "  layer                      place          R       R^c   R - R^c   objective   published R^c   "
      "non-zero\n");
  for (const crate::LayerMetrics& layer : one.layers)
    for_each_place(layer, [&](const char* place, const crate::TokenMetrics& metrics) {
      std::printf("  %-24s   %-7s  %8.2f  %8.2f  %8.2f  %10.2f   %6.1f +- %4.1f   %6.2f %%\n", layer.name.c_str(),
                  place, metrics.rate.mean(), metrics.subspace_rate.mean(), metrics.rate_reduction.mean(),
                  metrics.objective.mean(), metrics.published_rate.mean(), metrics.published_rate.deviation(),
                  100 * metrics.non_zero.mean());
    });
  std::printf("\n  layer                      cosine to the exact step   change of R^c   by an exact step as long\n");
  for (const crate::StepMetrics& layer : one.steps)
    std::printf("  %-24s   %12.3f +- %5.3f     %+11.2f %%   %+22.2f %%\n", layer.name.c_str(), layer.cosine.mean(),
                layer.cosine.deviation(), 100 * layer.change.mean(), 100 * layer.exact_change.mean());
}

/// The name of the i-th layer, or the names, where those of models differ.
inline std::string names_of_layers(const std::vector<Measurement>& all, std::size_t i) {
  std::vector<std::string> names;
  for (const Measurement& one : all)
    if (i < one.layers.size() && std::find(names.begin(), names.end(), one.layers[i].name) == names.end())
      names.push_back(one.layers[i].name);
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " | ") + name;
  return text;
}

/// A line a layer, a column a measurement; shorter models leave lines empty.
inline void print_side_by_side(const std::vector<Measurement>& all, const char* what,
                               const std::function<double(const Measurement&, std::size_t)>& value) {
  constexpr std::size_t narrowest = 12;
  const std::vector<std::string> legend = legend_of(all);
  std::printf("\n  %-34s", what);
  std::size_t layers = 0;
  for (std::size_t m = 0; m < all.size(); ++m) {
    std::printf("  %*s", static_cast<int>(std::max(narrowest, legend[m].size())), legend[m].c_str());
    layers = std::max(layers, all[m].layers.size());
  }
  std::printf("\n");
  for (std::size_t i = 0; i < layers; ++i) {
    std::printf("  %-34s", names_of_layers(all, i).c_str());
    for (std::size_t m = 0; m < all.size(); ++m) {
      const auto width = static_cast<int>(std::max(narrowest, legend[m].size()));
      i < all[m].layers.size() ? std::printf("  %*.3f", width, value(all[m], i)) : std::printf("  %*s", width, "");
    }
    std::printf("\n");
  }
}

inline void print_summary(const std::vector<Measurement>& all, const crate::LayerMeterOptions& options) {
  std::printf("on %td example%s, rates in nats at epsilon %g, objective at lambda %g\n\n", all[0].examples,
              all[0].examples == 1 ? "" : "s", options.epsilon, options.lambda);
  if (all.size() == 1) return print_one(all[0]);
  for (std::size_t m = 0; m < all.size(); ++m)
    std::printf("  %s: %s, %td parameters, on %td examples\n", legend_of(all)[m].c_str(), all[m].kind.c_str(),
                all[m].parameters, all[m].examples);
  print_side_by_side(all, "published R^c entering",
                     [](const Measurement& one, std::size_t i) { return one.layers[i].before.published_rate.mean(); });
  print_side_by_side(all, "R - R^c after",
                     [](const Measurement& one, std::size_t i) { return behind(one.layers[i]).rate_reduction.mean(); });
  print_side_by_side(all, "objective after",
                     [](const Measurement& one, std::size_t i) { return behind(one.layers[i]).objective.mean(); });
  print_side_by_side(all, "non-zero after, %",
                     [](const Measurement& one, std::size_t i) { return 100 * behind(one.layers[i]).non_zero.mean(); });
  print_side_by_side(all, "cosine to the exact step",
                     [](const Measurement& one, std::size_t i) { return one.steps[i].cosine.mean(); });
  print_side_by_side(all, "change of R^c, %",
                     [](const Measurement& one, std::size_t i) { return 100 * one.steps[i].change.mean(); });
}

}  // namespace inspect_model
