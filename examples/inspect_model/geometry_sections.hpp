// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inspect_model/depth.hpp"
#include "inspect_model/measurement.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/sections.hpp"
#include "inspect_model/tables.hpp"
#include "plots/figure.hpp"

// The sections of a page on heads, steps, subspaces and dictionaries.

namespace inspect_model {

namespace detail {

/// Layers first to last - 1 that stand in one list and have equally many heads.
struct Run {
  std::size_t first, last;

  [[nodiscard]] Index length() const { return static_cast<Index>(last - first); }
  /// Their numbers in the list.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> numbers;
    for (std::size_t i = first; i < last; ++i) numbers.push_back(std::to_string(i - first + 1));
    return numbers;
  }
};

inline std::vector<Run> runs_in(const Measurement& one) {
  std::vector<Run> runs;
  const auto& u = one.subspaces;
  for (std::size_t i = 0; i < u.size(); ++i) {
    const bool goes_on = i > 0 && list_of(u[i].name) == list_of(u[i - 1].name) && u[i].heads == u[i - 1].heads;
    if (!goes_on) runs.push_back({i, i});
    runs.back().last = i + 1;
  }
  return runs;
}

/// ", encoder" where a model has several runs.
inline std::string of_run(const Measurement& one, const Run& run) {
  const std::string& name = one.subspaces[run.first].name;
  return runs_in(one).size() > 1 ? ", " + name.substr(0, name.find('.')) : "";
}

/// By how much the half with the subspaces changes the mean rate of a head, relative to what it was.
inline double head_change(const crate::LayerMetrics& layer, std::size_t head) {
  const double before = layer.before.head_rates[head].mean();
  return before > 0 && layer.between.is_measured() ? layer.between.head_rates[head].mean() / before - 1 : 0;
}

inline Index most_heads(const Measurement& one) {
  Index most = 0;
  for (const SubspaceGeometry& u : one.subspaces) most = std::max(most, u.heads);
  return most;
}

/// A line a head. add(curve, x, layer, head) adds a point.
template <class Add>
plots::LinePlot head_lines(const Measurement& one, std::string title, plots::Axis y, double factor, const Add& add) {
  const Depth depth({one});
  std::vector<std::string> names;
  for (Index k = 1; k <= most_heads(one); ++k) names.push_back("head " + std::to_string(k));
  const auto add_layer = [&](std::vector<Curve>& curves, double x, const Measurement&, std::size_t i) {
    for (std::size_t k = 0; k < one.layers[i].before.head_rates.size(); ++k) add(curves[k], x, one.layers[i], k);
  };
  return plot_of(std::move(title), depth.axis(), std::move(y),
                 curves_over_layers({{&one}, {""}}, depth, names, factor, add_layer));
}

/// A map of heads and layers for each run of layers, those with numbers that cannot be drawn left out.
template <class Value>
void add_head_maps(Page& page, const Measurement& one, const std::string& title, const std::string& unit,
                   std::string_view caption, const Value& value) {
  for (const Run& run : runs_in(one)) {
    crate::Matrix<double> values(one.subspaces[run.first].heads, run.length());
    for (Index k = 0; k < values.rows(); ++k)
      for (Index l = 0; l < values.cols(); ++l)
        values(k, l) = value(one.layers[run.first + static_cast<std::size_t>(l)], static_cast<std::size_t>(k));
    if (!values.allFinite() || !one.layers[run.first].before.is_measured()) continue;
    plots::HeatMap map{.title = title + of_run(one, run),
                       .maps = {{"", values}},
                       .value_label = unit,
                       .row_label = "head",
                       .column_label = "layer",
                       .column_names = run.names()};
    for (Index k = 0; k < values.rows(); ++k) map.row_names.push_back(std::to_string(k + 1));
    page.chart(plots::svg(map), caption);
  }
}

}  // namespace detail

/// Models of one head have none.
inline void head_section(Page& page, const std::vector<Measurement>& all) {
  page.section("Heads", "The subspaces of a layer, one by one." + detail::bands(all));
  const std::vector<std::string> legend = legend_of(all);
  constexpr Index most_lines = 8;
  bool is_shown = false;
  for (std::size_t m = 0; m < all.size(); ++m) {
    const Measurement& one = all[m];
    const std::string which = all.size() > 1 ? ", " + legend[m] : "", rate_title = "Rate in each head" + which,
                      change_title = "Change of each head's rate" + which;
    const std::string_view rate_caption =
        "R of the tokens' projections onto the subspace of each head, entering the layer, in nats. A healthy model "
        "uses "
        "all of its heads: none stays near zero, and each codes a share of its own.";
    const std::string_view change_caption =
        "By how much the compression half of a layer changes that rate, in per cent of what it was. In a healthy CRATE "
        "most heads are negative; where a head is far above zero its layer expands what it was to compress.";
    if (detail::most_heads(one) < 2) continue;
    is_shown = true;
    if (detail::most_heads(one) <= most_lines) {
      detail::add_chart(page,
                        detail::head_lines(one, rate_title, {.label = "R(Uₖᵀ Z), nats"}, 1,
                                           [](Curve& curve, double x, const crate::LayerMetrics& layer, std::size_t k) {
                                             curve.add(x, layer.before.head_rates[k]);
                                           }),
                        rate_caption);
      detail::add_chart(page,
                        detail::head_lines(one, change_title, {.label = "change of R(Uₖᵀ Z), %"}, 100,
                                           [](Curve& curve, double x, const crate::LayerMetrics& layer, std::size_t k) {
                                             curve.add(x, detail::head_change(layer, k));
                                           }),
                        change_caption);
    } else {
      detail::add_head_maps(
          page, one, rate_title, "nats", rate_caption,
          [](const crate::LayerMetrics& layer, std::size_t k) { return layer.before.head_rates[k].mean(); });
      detail::add_head_maps(
          page, one, change_title, "%", change_caption,
          [](const crate::LayerMetrics& layer, std::size_t k) { return 100 * detail::head_change(layer, k); });
    }
  }
  if (is_shown) page.table(head_table(all), "Rates of all heads at all places");
}

inline void step_section(Page& page, const std::vector<Measurement>& all) {
  page.section(
      "Steps beside exact ones",
      "What a layer's half with subspaces adds to its tokens, beside a step of the same length straight down the "
      "gradient of Rᶜ in the same subspaces." +
          detail::bands(all));
  const Depth depth(all);
  const Legend legend = with_legend(all);
  const std::vector<Curve> cosines = curves_over_layers(
      legend, depth, {""}, 1, [](std::vector<Curve>& curves, double x, const Measurement& one, std::size_t i) {
        curves[0].add(x, one.steps[i].cosine);
      });
  const auto changes = [&](crate::Spread crate::StepMetrics::*member) {
    return curves_over_layers(legend, depth, {""}, 100,
                              [&](std::vector<Curve>& curves, double x, const Measurement& one, std::size_t i) {
                                curves[0].add(x, one.steps[i].*member);
                              });
  };
  detail::add_chart(
      page, plot_of("Direction of the step", depth.axis(), {.label = "cosine to −∇Rᶜ"}, cosines),
      "1: the layer goes straight down the rate. 0: across it. −1: straight up. A layer with the exact step has "
      "1. The published one has a free output map instead and comes out near 0; clearly negative values "
      "over many layers mean that it expands.");
  const plots::Axis change = {.label = "change of Rᶜ, %", .from_zero = true};
  detail::add_chart(page,
                    plot_of("What the step does to Rᶜ", depth.axis(), change, changes(&crate::StepMetrics::change)),
                    "In per cent of Rᶜ before the step, of the tokens that the subspaces see. A healthy compression is "
                    "below zero.");
  detail::add_chart(
      page,
      plot_of("What an exact step as long does", depth.axis(), change, changes(&crate::StepMetrics::exact_change)),
      "The same of the exact step: what a healthy layer comes near to. Where it is above zero, it is so long that it "
      "overshoots, and the layer does more than compress.");
  page.table(step_table(all), "The numbers behind these plots");
}

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

inline plots::LinePlot angle_plot(const std::vector<Measurement>& all, const Depth& depth) {
  const auto add = [](std::vector<Curve>& curves, double x, const Measurement& one, std::size_t i) {
    const LayerAngles* const angles = angles_to_layer_before(one, i);
    if (angles == nullptr) return;
    curves[0].add(x, angles->mean);
    curves[1].add(x, angles->largest);
  };
  return plot_of("Angles to the layer before", depth.axis(), {.label = "principal angle, degrees"},
                 curves_over_layers(legend_of_models(all), depth, {"mean of a head", "largest of a head"}, 1, add));
}

/// Of all pairs of layers of a run; empty where a pair has no angles.
inline crate::Matrix<double> angles_of_run(const Measurement& one, const Run& run) {
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
  for (const Run& run : runs_in(one)) {
    const crate::Matrix<double> angles = angles_of_run(one, run);
    if (angles.rows() < 3) continue;  // the plot above shows two
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
        "beside the diagonal; where all is light, each layer has subspaces of its own, as random ones have.");
  }
}

/// Of the first, a middle and the last layer.
inline void add_cosine_maps(Page& page, const Measurement& one, const std::string& which) {
  std::vector<std::size_t> layers = {0, one.subspaces.size() / 2, one.subspaces.size() - 1};
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  std::string_view caption =
      "|cosines| between the basis vectors of all heads, head by head. The derivation assumes orthonormal bases of "
      "orthogonal subspaces: only the diagonal is light. Light blocks on it are heads of few directions, light blocks "
      "beside it heads that look at the same.";
  for (const std::size_t i : layers) {
    const SubspaceGeometry& u = one.subspaces[i];
    if (u.cosines.rows() < 2 || !u.cosines.allFinite()) continue;
    page.chart(plots::svg(plots::HeatMap{.title = "Codebook of " + u.name + which,
                                         .maps = {{"", u.cosines}},
                                         .value_label = "|cosine|",
                                         .range = plots::Range{0, 1},
                                         .row_label = "basis vector",
                                         .column_label = "basis vector, head by head"}),
               caption);
    caption = "The same, deeper in the model.";
  }
}

}  // namespace detail

inline void subspace_section(Page& page, const std::vector<Measurement>& all) {
  if (all.empty() || all[0].subspaces.empty()) return;
  page.section(
      "Subspaces",
      "How the subspaces Uₖ of the heads lie to each other and to those of other layers. What weights say, not data.");
  const Depth depth(all);
  const std::vector<const Measurement*> models = models_of(all);
  const double random = std::sqrt(2 / (std::numbers::pi * static_cast<double>(all[0].subspaces[0].dim)));
  detail::add_chart(
      page, detail::coherence_plot(all, depth),
      "Mean |cosine| between basis vectors, of one head and of different ones: 0 in the derivation, about " +
          plots::detail::short_number(random) + " of random directions in " + std::to_string(all[0].subspaces[0].dim) +
          " dimensions. A healthy codebook stays near that; heads that grow alike rise.");
  detail::add_chart(
      page, detail::rank_plot(all, depth),
      "Effective rank: the exponential of the singular values' entropy, in per cent of the most possible; bands are "
      "one deviation over heads. A healthy layer is near 100; one that falls has directions it no longer uses.");
  detail::add_chart(
      page, detail::angle_plot(all, depth),
      "Principal angles between each head and that of the same number in the layer before, in degrees, bands over "
      "heads. Near 0 two layers share their subspaces, near 90 they have none in common.");
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
      "orthonormal dictionary, about 1 of a random square one. A step of ISTA is the derived one where it is "
      "small; steady growth with training means atoms that line up.");
  page.table(dictionary_table(all), "The numbers behind these plots");
}

}  // namespace inspect_model
