// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "inspect_model/measurement.hpp"
#include "inspect_model/table.hpp"

// What was measured, as tables. Every line names the model and, where it matters, the data.

namespace inspect_model {

/// Calls body(place, metrics) for every place of a layer where something was measured.
template <class Body>
void for_each_place(const crate::LayerMetrics& layer, const Body& body) {
  for (const auto& [place, metrics] :
       {std::pair{"before", &layer.before}, std::pair{"between", &layer.between}, std::pair{"after", &layer.after}})
    if (metrics->is_measured()) body(place, *metrics);
}

inline void add_spreads(Table& table, std::initializer_list<const crate::Spread*> spreads) {
  for (const crate::Spread* const spread : spreads) table.add(spread->mean()).add(spread->deviation());
}

/// A line for each layer and place: before its half-layer with subspaces, between both halves, and after the other.
inline Table layer_table(const std::vector<Measurement>& all) {
  Table table("layers", {"model", "data", "layer", "place", "sets", "rate_mean", "rate_deviation", "subspace_rate_mean",
                         "subspace_rate_deviation", "rate_reduction_mean", "rate_reduction_deviation", "objective_mean",
                         "objective_deviation", "published_coding_rate_mean", "published_coding_rate_deviation",
                         "non_zero_mean", "non_zero_deviation"});
  for (const Measurement& one : all)
    for (const crate::LayerMetrics& layer : one.layers)
      for_each_place(layer, [&](const char* place, const crate::TokenMetrics& metrics) {
        table.add(one.model).add(one.data).add(layer.name).add(place).add(metrics.rate.count());
        add_spreads(table, {&metrics.rate, &metrics.subspace_rate, &metrics.rate_reduction, &metrics.objective,
                            &metrics.published_rate, &metrics.non_zero});
        table.end_row();
      });
  return table;
}

/// A line for each head, layer and place.
inline Table head_table(const std::vector<Measurement>& all) {
  Table table("heads", {"model", "data", "layer", "place", "head", "rate_mean", "rate_deviation"});
  for (const Measurement& one : all)
    for (const crate::LayerMetrics& layer : one.layers)
      for_each_place(layer, [&](const char* place, const crate::TokenMetrics& metrics) {
        for (std::size_t k = 0; k < metrics.head_rates.size(); ++k) {
          table.add(one.model).add(one.data).add(layer.name).add(place).add(k);
          add_spreads(table, {&metrics.head_rates[k]});
          table.end_row();
        }
      });
  return table;
}

/// A line for each layer whose other half has codes of its own.
inline Table code_table(const std::vector<Measurement>& all) {
  Table table("codes", {"model", "data", "layer", "non_zero_mean", "non_zero_deviation"});
  for (const Measurement& one : all)
    for (const crate::LayerMetrics& layer : one.layers)
      if (layer.code_non_zero.count() > 0) {
        table.add(one.model).add(one.data).add(layer.name);
        add_spreads(table, {&layer.code_non_zero});
        table.end_row();
      }
  return table;
}

/// A line for each layer: its step beside the exact one.
inline Table step_table(const std::vector<Measurement>& all) {
  Table table("steps", {"model", "data", "layer", "cosine_mean", "cosine_deviation", "relative_change_mean",
                        "relative_change_deviation", "exact_relative_change_mean", "exact_relative_change_deviation"});
  for (const Measurement& one : all)
    for (const crate::StepMetrics& layer : one.steps) {
      table.add(one.model).add(one.data).add(layer.name);
      add_spreads(table, {&layer.cosine, &layer.change, &layer.exact_change});
      table.end_row();
    }
  return table;
}

/// The first of the measurements of each model, as what does not depend on the data stands once.
inline std::vector<const Measurement*> models_of(const std::vector<Measurement>& all) {
  std::vector<const Measurement*> firsts;
  for (const Measurement& one : all)
    if (firsts.empty() || firsts.back()->model != one.model) firsts.push_back(&one);
  return firsts;
}

/// The angles between a layer and the one before it; null where there are none.
inline const LayerAngles* angles_to_layer_before(const Measurement& one, std::size_t layer) {
  for (const LayerAngles& angles : one.angles)
    if (angles.second == layer && angles.first + 1 == layer) return &angles;
  return nullptr;
}

/// A line for each layer: how its subspaces lie to each other, and to those of the layer before it in the same list.
inline Table subspace_table(const std::vector<Measurement>& all) {
  Table table("subspaces",
              {"model", "layer", "heads", "head_dim", "largest_cosine_within", "mean_cosine_within",
               "largest_cosine_between", "mean_cosine_between", "effective_rank", "mean_head_effective_rank",
               "mean_largest_angle_to_layer_before", "mean_angle_to_layer_before"});
  for (const Measurement* const one : models_of(all))
    for (std::size_t l = 0; l < one->subspaces.size(); ++l) {
      const SubspaceGeometry& u = one->subspaces[l];
      table.add(one->model).add(u.name).add(u.heads).add(u.head_dim);
      table.add(u.coherence.within.largest).add(u.coherence.within.mean);
      table.add(u.coherence.between.largest).add(u.coherence.between.mean);
      table.add(u.effective_rank).add(u.head_effective_rank.mean());
      const LayerAngles* const angles = angles_to_layer_before(*one, l);
      angles != nullptr ? table.add(angles->largest.mean()).add(angles->mean.mean()) : table.add("").add("");
      table.end_row();
    }
  return table;
}

/// A line for each pair of layers of one list: the angles between heads of the same number.
inline Table angle_table(const std::vector<Measurement>& all) {
  Table table("angles", {"model", "layer", "other_layer", "mean_angle", "mean_largest_angle"});
  for (const Measurement* const one : models_of(all))
    for (const LayerAngles& angles : one->angles) {
      table.add(one->model).add(one->subspaces[angles.first].name).add(one->subspaces[angles.second].name);
      table.add(angles.mean.mean()).add(angles.largest.mean()).end_row();
    }
  return table;
}

/// A line for each dictionary.
inline Table dictionary_table(const std::vector<Measurement>& all) {
  Table table("dictionaries",
              {"model", "layer", "atoms", "largest_cosine", "mean_cosine", "departure_from_orthonormal"});
  for (const Measurement* const one : models_of(all))
    for (const DictionaryGeometry& d : one->dictionaries) {
      table.add(one->model).add(d.name).add(d.atoms).add(d.incoherence.atoms.largest).add(d.incoherence.atoms.mean);
      table.add(d.incoherence.departure).end_row();
    }
  return table;
}

/// "R − Rᶜ" for "R - R^c", as figures write it; files keep to ASCII.
inline std::string with_signs(std::string text) {
  for (const auto& [ascii, sign] : {std::pair<std::string_view, std::string_view>{"R^c", "Rᶜ"}, {" - ", " − "}})
    for (std::size_t at = 0; (at = text.find(ascii, at)) != std::string::npos; at += sign.size())
      text.replace(at, ascii.size(), sign);
  return text;
}

/// A column for each measurement: the first and the last layer, and means over all.
inline Table summary_table(const std::vector<Measurement>& all) {
  std::vector<std::string> columns = legend_of(all);
  columns.insert(columns.begin(), "quantity");
  Table table("summary", columns);
  const auto add_row = [&](const char* quantity, const auto& value) {
    table.add(quantity, with_signs(quantity));
    for (const Measurement& one : all) table.add(value(one));
    table.end_row();
  };
  const auto mean_step = [](const Measurement& one, crate::Spread crate::StepMetrics::*member) {
    crate::Spread over_layers;
    for (const crate::StepMetrics& layer : one.steps) over_layers.add((layer.*member).mean());
    return over_layers.mean();
  };
  add_row("model", [](const Measurement& one) { return one.kind; });
  add_row("parameters", [](const Measurement& one) { return one.parameters; });
  add_row("layers", [](const Measurement& one) { return one.layers.size(); });
  add_row("examples", [](const Measurement& one) { return one.examples; });
  if (std::any_of(all.begin(), all.end(), [](const Measurement& one) { return one.layers.empty(); })) return table;
  add_row("published R^c entering the first layer, nats",
          [](const Measurement& one) { return one.layers.front().before.published_rate.mean(); });
  add_row("published R^c entering the last layer, nats",
          [](const Measurement& one) { return one.layers.back().before.published_rate.mean(); });
  add_row("R - R^c after the first layer, nats",
          [](const Measurement& one) { return behind(one.layers.front()).rate_reduction.mean(); });
  add_row("R - R^c after the last layer, nats",
          [](const Measurement& one) { return behind(one.layers.back()).rate_reduction.mean(); });
  add_row("non-zero entries after the first layer, %",
          [](const Measurement& one) { return 100 * behind(one.layers.front()).non_zero.mean(); });
  add_row("non-zero entries after the last layer, %",
          [](const Measurement& one) { return 100 * behind(one.layers.back()).non_zero.mean(); });
  add_row("cosine of steps to exact ones, mean over all layers",
          [&](const Measurement& one) { return mean_step(one, &crate::StepMetrics::cosine); });
  add_row("change of R^c by a step, mean over all layers, %",
          [&](const Measurement& one) { return 100 * mean_step(one, &crate::StepMetrics::change); });
  return table;
}

/// All of them that have lines.
inline std::vector<Table> all_tables(const std::vector<Measurement>& all) {
  std::vector<Table> tables = {summary_table(all), layer_table(all),    head_table(all),  code_table(all),
                               step_table(all),    subspace_table(all), angle_table(all), dictionary_table(all)};
  std::erase_if(tables, [](const Table& table) { return table.is_empty(); });
  return tables;
}

/// Throws FileError if one cannot be written.
inline void write_tables(const std::filesystem::path& folder, const std::vector<Table>& tables) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);  // where that fails, so does writing, and says why
  for (const Table& table : tables) table.write(folder);
}

}  // namespace inspect_model
