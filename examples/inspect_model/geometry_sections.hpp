// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <string>
#include <string_view>
#include <vector>

#include "inspect_model/depth.hpp"
#include "inspect_model/layer_runs.hpp"
#include "inspect_model/measurement.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/sections.hpp"
#include "inspect_model/tables.hpp"
#include "inspect_model/terms.hpp"
#include "plots/figure.hpp"

// The sections of a page on subspaces and dictionaries.

namespace inspect_model {

namespace detail {

/// What does not depend on the data, once for each model.
inline Legend legend_of_models(const std::vector<Measurement>& all) {
  Legend legend{.all = models_of(all), .names = {}};
  for (const Measurement* const one : legend.all) legend.names.push_back(one->model);
  return legend;
}

inline plots::LinePlot coherence_plot(const std::vector<Measurement>& all, const Depth& depth) {
  const auto add = [](std::vector<Curve>& curves, double x, const Measurement& one, std::size_t i) {
    const SubspaceGeometry& u = one.subspaces[i];
    if (u.head_dim > 1) curves[0].add(x, u.coherence.within.mean);
    if (u.heads > 1) curves[1].add(x, u.coherence.between.mean);
  };
  return plot_of("Coherence of subspaces", depth.axis(), {.label = "mean |cosine|", .from_zero = true},
                 curves_over_layers(legend_of_models(all), depth, {"within a head", "between heads"}, 1, add));
}

inline plots::LinePlot rank_plot(const std::vector<Measurement>& all, const Depth& depth) {
  const auto add = [](std::vector<Curve>& curves, double x, const Measurement& one, std::size_t i) {
    const SubspaceGeometry& u = one.subspaces[i];
    const auto full = static_cast<double>(std::min(u.dim, u.heads * u.head_dim)),
               full_of_head = static_cast<double>(std::min(u.dim, u.head_dim));
    curves[0].add(x, u.effective_rank / full);
    curves[1].add(x, u.head_effective_rank.mean() / full_of_head, u.head_effective_rank.deviation() / full_of_head);
  };
  return plot_of("Effective rank of subspaces", depth.axis(), {.label = "effective rank, %"},
                 curves_over_layers(legend_of_models(all), depth, {"all heads together", "one head"}, 100, add));
}

/// Whether heads have fewer dimensions than tokens, so that there are angles between them.
inline bool can_differ(const SubspaceGeometry& u) { return u.head_dim < u.dim; }

/// What random subspaces of the size of this layer's heads have: the mean of squared cosines is p / d.
inline std::string random_angles(const SubspaceGeometry& u) {
  const double square = static_cast<double>(u.head_dim) / static_cast<double>(u.dim);
  return "Squared cosines of random heads of " + std::to_string(u.head_dim) + " in " + std::to_string(u.dim) +
         " dimensions are " + plots::short_number(square) + " on average, as at " +
         plots::short_number(std::round(std::acos(std::sqrt(square)) * 180 / std::numbers::pi)) + " degrees.";
}

inline plots::LinePlot angle_plot(const std::vector<Measurement>& all, const Depth& depth) {
  const auto add = [](std::vector<Curve>& curves, double x, const Measurement& one, std::size_t i) {
    const LayerAngles* const angles = angles_to_layer_before(one, i);
    if (angles == nullptr || !can_differ(one.subspaces[i])) return;
    curves[0].add(x, angles->mean);
    curves[1].add(x, angles->largest);
  };
  return plot_of("Angles to the layer before", depth.axis(), {.label = "principal angle, degrees"},
                 curves_over_layers(legend_of_models(all), depth, {"mean of a head", "largest of a head"}, 1, add));
}

/// Of all pairs of layers of a run; empty where a pair has no angles.
inline crate::Matrix<double> angles_of_run(const Measurement& one, const HeadRun& run) {
  crate::Matrix<double> angles = crate::Matrix<double>::Zero(run.length(), run.length());
  Index pairs = 0;
  for (const LayerAngles& pair : one.angles)
    if (pair.first >= run.first && pair.second < run.last) {
      const auto i = static_cast<Index>(pair.first - run.first), j = static_cast<Index>(pair.second - run.first);
      angles(i, j) = angles(j, i) = pair.mean.mean();
      ++pairs;
    }
  return pairs == run.length() * (run.length() - 1) / 2 ? angles : crate::Matrix<double>();
}

inline void add_angle_maps(Page& page, const Measurement& one, const std::string& which) {
  for (const HeadRun& run : runs_in(one)) {
    const crate::Matrix<double> angles = angles_of_run(one, run);
    if (angles.rows() < 3 || !can_differ(one.subspaces[run.first])) continue;  // the plot above shows two
    page.chart(
        plots::svg(plots::HeatMap{.title = "Angles between all layers" + which + of_run(one, run),
                                  .maps = {{"", angles}},
                                  .value_label = "degrees",
                                  .range = plots::Range{0, 90},
                                  .row_label = "layer",
                                  .column_label = "layer",
                                  .row_names = run.names(),
                                  .column_names = run.names()}),
        "Mean principal angle between heads of the same number, in degrees. Layers that share subspaces are dark "
        "next to the diagonal; where all are near the angle of random ones, each layer has subspaces of its own. " +
            random_angles(one.subspaces[run.first]));
  }
}

/// The |cosines| between the basis vectors of a layer, and strips that show where a head ends.
inline plots::HeatMap cosine_map(const SubspaceGeometry& u, std::string title) {
  const std::string side = std::to_string(u.block_side);
  plots::HeatMap map{.title = std::move(title),
                     .maps = {{"", u.cosines}},
                     .value_label = u.block_side == 1 ? "|cosine|" : "|cosine|, mean of " + side + " x " + side,
                     .range = plots::Range{0, 1},
                     .row_label = u.block_side == 1 ? "basis vector" : side + " basis vectors",
                     .column_label = "the same, head by head"};
  if (u.heads < 2) return map;
  map.marks.emplace();
  for (Index i = 0; i < u.cosines.rows(); ++i) map.marks->of_rows.push_back(i * u.block_side / u.head_dim);
  for (Index k = 0; k < u.heads; ++k) map.marks->names.push_back("head " + std::to_string(k));
  return map;
}

/// Of the first, a middle and the last layer.
inline void add_cosine_maps(Page& page, const Measurement& one, const std::string& which) {
  std::vector<std::size_t> layers = {0, one.subspaces.size() / 2, one.subspaces.size() - 1};
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  std::string_view caption =
      "|cosines| between the basis vectors of all heads, head by head. The derivation assumes orthonormal bases of "
      "orthogonal subspaces: only the diagonal, each vector compared with itself, is light. Light blocks on it are "
      "heads of few directions; light blocks off the diagonal are heads that look at the same.";
  for (const std::size_t i : layers) {
    const SubspaceGeometry& u = one.subspaces[i];
    if (u.cosines.rows() < 2 || !u.cosines.allFinite()) continue;
    page.chart(plots::svg(cosine_map(u, "Codebook of " + u.name + which)), caption);
    caption = "The same, deeper in the model: a layer as derived has a dark map with a light diagonal.";
  }
}

}  // namespace detail

inline void subspace_section(Page& page, const std::vector<Measurement>& all) {
  if (all.empty() || all[0].subspaces.empty()) return;
  page.section(
      "Subspaces",
      "How the subspaces Uₖ of the heads lie to each other and to those of other layers. This depends on the weights "
      "alone, not on the data." +
          outside_of_subspaces(all));
  const Depth depth(all);
  const std::vector<const Measurement*> models = models_of(all);
  const double random = std::sqrt(2 / (std::numbers::pi * static_cast<double>(all[0].subspaces[0].dim)));
  detail::add_chart(
      page, detail::coherence_plot(all, depth),
      "Mean |cosine| between basis vectors, of one head and of different ones: 0 in the derivation, about " +
          plots::short_number(random) + " of random directions in " + std::to_string(all[0].subspaces[0].dim) +
          " dimensions. A healthy codebook stays near that; heads that grow alike rise.");
  detail::add_chart(page, detail::rank_plot(all, depth),
                    "Effective rank: the exponential of the entropy of the singular values, in per cent of the most "
                    "possible; bands are "
                    "one deviation over heads. Orthonormal bases have 100 %, random square ones about 80 %. A healthy "
                    "layer is near or "
                    "above what it has untrained; one far below has directions that it no longer uses.");
  detail::add_chart(
      page, detail::angle_plot(all, depth),
      "Principal angles between each head and that of the same number in the layer before, in degrees, bands over "
      "heads. Near 0 two layers share their subspaces; in a healthy model the mean is near that of random ones. " +
          detail::random_angles(all[0].subspaces[0]));
  for (const Measurement* const one : models) {
    const std::string which = models.size() > 1 ? ", " + one->model : "";
    detail::add_angle_maps(page, *one, which);
    detail::add_cosine_maps(page, *one, which);
  }
  page.table(subspace_table(all), "Coherence, ranks and angles of all layers");
  page.table(angle_table(all), "Angles between all pairs of layers");
}

namespace detail {

/// The dictionary in the block of a layer; null where it has none.
inline const DictionaryGeometry* dictionary_beside(const Measurement& one, std::size_t layer) {
  const auto block_of = [](const std::string& half) { return half.substr(0, half.rfind('.') + 1); };
  for (const DictionaryGeometry& d : one.dictionaries)
    if (d.name.starts_with(block_of(one.layers[layer].name))) return &d;
  return nullptr;
}

/// The largest and mean cosines, and the departures from orthonormal dictionaries.
inline std::vector<plots::LinePlot> dictionary_plots(const std::vector<Measurement>& all, const Depth& depth) {
  const Legend legend = legend_of_models(all);
  const auto add_cosines = [](std::vector<Curve>& curves, double x, const Measurement& one, std::size_t i) {
    const DictionaryGeometry* const d = dictionary_beside(one, i);
    if (d == nullptr || d->atoms < 2) return;
    curves[0].add(x, d->incoherence.atoms.largest);
    curves[1].add(x, d->incoherence.atoms.mean);
  };
  const auto add_departure = [](std::vector<Curve>& curves, double x, const Measurement& one, std::size_t i) {
    if (const DictionaryGeometry* const d = dictionary_beside(one, i)) curves[0].add(x, d->incoherence.departure);
  };
  return {plot_of("Coherence of dictionaries", depth.axis(), {.label = "|cosine| of atoms", .from_zero = true},
                  curves_over_layers(legend, depth, {"largest", "mean"}, 1, add_cosines)),
          plot_of("Departure from orthonormal", depth.axis(), {.label = "‖s²DᵀD − I‖ / ‖I‖", .from_zero = true},
                  curves_over_layers(legend, depth, {""}, 1, add_departure))};
}

}  // namespace detail

inline void dictionary_section(Page& page, const std::vector<Measurement>& all) {
  page.section("Dictionaries",
               "How near the dictionaries D of ISTA are to the orthonormal ones that its derivation assumes.");
  const std::vector<plots::LinePlot> plots = detail::dictionary_plots(all, Depth(all));
  detail::add_chart(
      page, plots[0],
      "Largest and mean |cosine| between different atoms. A healthy dictionary has no two atoms alike: the "
      "largest stays below 1, the mean near that of random directions.");
  detail::add_chart(
      page, plots[1],
      "How far the Gram matrix of the atoms, scaled to a mean diagonal of 1, is from the identity: 0 of an "
      "orthonormal dictionary, about 1 of a random square one. Of n atoms in d < n dimensions it is at least √(n/d − "
      "1), "
      "and about √(n/d) at random. A step of ISTA is the derived one where it is "
      "small; steady growth with training means atoms that line up.");
  page.table(dictionary_table(all), "The numbers behind these plots");
}

}  // namespace inspect_model
