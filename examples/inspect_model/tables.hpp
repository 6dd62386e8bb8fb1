// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/crate.hpp"
#include "inspect_model/table.hpp"

// What was measured, as tables.

namespace inspect_model {

using crate::Index;

template <class Body>
void for_each_place(const crate::LayerMetrics& layer, const Body& body) {
  for (const auto& [place, metrics] :
       {std::pair{"before", &layer.before}, std::pair{"between", &layer.between}, std::pair{"after", &layer.after}})
    if (metrics->is_measured()) body(place, *metrics);
}

/// A line for each layer and place: before its half-layer with subspaces, between both halves, and after the other.
inline Table layer_table(const std::vector<crate::LayerMetrics>& layers) {
  Table table("layers",
              {"layer", "place", "sets", "rate_mean", "rate_deviation", "subspace_rate_mean", "subspace_rate_deviation",
               "rate_reduction_mean", "rate_reduction_deviation", "objective_mean", "objective_deviation",
               "published_coding_rate_mean", "published_coding_rate_deviation", "non_zero_mean", "non_zero_deviation"});
  for (const crate::LayerMetrics& layer : layers)
    for_each_place(layer, [&](const char* place, const crate::TokenMetrics& metrics) {
      table.add(layer.name).add(place).add(metrics.rate.count());
      for (const crate::Spread* const spread : {&metrics.rate, &metrics.subspace_rate, &metrics.rate_reduction,
                                                &metrics.objective, &metrics.published_rate, &metrics.non_zero})
        table.add(spread->mean()).add(spread->deviation());
      table.end_row();
    });
  return table;
}

/// A line for each head, layer and place.
inline Table head_table(const std::vector<crate::LayerMetrics>& layers) {
  Table table("heads", {"layer", "place", "head", "rate_mean", "rate_deviation"});
  for (const crate::LayerMetrics& layer : layers)
    for_each_place(layer, [&](const char* place, const crate::TokenMetrics& metrics) {
      for (std::size_t k = 0; k < metrics.head_rates.size(); ++k) {
        const crate::Spread& rate = metrics.head_rates[k];
        table.add(layer.name).add(place).add(k).add(rate.mean()).add(rate.deviation()).end_row();
      }
    });
  return table;
}

/// A line for each layer: its step beside the exact one.
inline Table step_table(const std::vector<crate::StepMetrics>& layers) {
  Table table("steps", {"layer", "cosine_mean", "cosine_deviation", "relative_change_mean", "relative_change_deviation",
                        "exact_relative_change_mean", "exact_relative_change_deviation"});
  for (const crate::StepMetrics& layer : layers) {
    table.add(layer.name);
    for (const crate::Spread* const spread : {&layer.cosine, &layer.change, &layer.exact_change})
      table.add(spread->mean()).add(spread->deviation());
    table.end_row();
  }
  return table;
}

/// "encoder.layers" of "encoder.layers.3.compress", the list in which a half-layer's block stands.
inline std::string_view list_of(std::string_view half_layer) {
  for (int part = 0; part < 2; ++part) {
    const std::size_t dot = half_layer.rfind('.');
    half_layer = half_layer.substr(0, dot == std::string_view::npos ? 0 : dot);
  }
  return half_layer;
}

/// The mean over heads of the largest angle between head k of both layers, in degrees; none where their heads differ
/// in number or dimension.
template <crate::Scalar S>
std::optional<double> mean_largest_angle(const crate::LayerSubspaces<S>& a, const crate::LayerSubspaces<S>& b) {
  if (a.subspaces.heads() != b.subspaces.heads() || a.subspaces.dim() != b.subspaces.dim()) return std::nullopt;
  crate::Spread angle;
  for (Index k = 0; k < a.subspaces.heads(); ++k)
    if (const auto angles = crate::principal_angles(a.subspaces.basis(k), b.subspaces.basis(k)); !angles.empty())
      angle.add(angles.back());
  return angle.count() > 0 ? std::optional(angle.mean()) : std::nullopt;
}

/// A line for each layer: how its subspaces lie to each other, and to those of the layer before it in the same list.
template <class Model>
Table subspace_table(const Model& model) {
  Table table("subspaces",
              {"layer", "largest_cosine_within", "mean_cosine_within", "largest_cosine_between", "mean_cosine_between",
               "effective_rank", "mean_head_effective_rank", "mean_largest_angle_to_layer_before"});
  const auto layers = crate::layer_subspaces(model);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const auto& u = layers[l].subspaces;
    const crate::SubspaceCoherence coherence = crate::subspace_coherence(u);
    crate::Spread rank;
    for (Index k = 0; k < u.heads(); ++k) rank.add(crate::effective_rank(u.basis(k)));
    table.add(layers[l].name).add(coherence.within.largest).add(coherence.within.mean);
    table.add(coherence.between.largest).add(coherence.between.mean);
    table.add(crate::effective_rank(u.bases())).add(rank.mean());
    std::optional<double> angle;
    if (l > 0 && list_of(layers[l - 1].name) == list_of(layers[l].name))
      angle = mean_largest_angle(layers[l - 1], layers[l]);
    angle ? table.add(*angle) : table.add("");
    table.end_row();
  }
  return table;
}

/// A line for each dictionary.
template <class Model>
Table dictionary_table(const Model& model) {
  Table table("dictionaries", {"layer", "atoms", "largest_cosine", "mean_cosine", "departure_from_orthonormal"});
  for (const auto& layer : crate::layer_dictionaries(model)) {
    const crate::DictionaryIncoherence incoherence = crate::dictionary_incoherence(layer.atoms);
    table.add(layer.name).add(layer.atoms.cols()).add(incoherence.atoms.largest).add(incoherence.atoms.mean);
    table.add(incoherence.departure).end_row();
  }
  return table;
}

}  // namespace inspect_model
