// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inspect_model/depth.hpp"
#include "inspect_model/findings.hpp"
#include "inspect_model/layer_runs.hpp"
#include "inspect_model/measurement.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/sections.hpp"
#include "inspect_model/tables.hpp"
#include "plots/figure.hpp"

// The sections of a page on the heads of a layer and on its steps.

namespace inspect_model {

namespace detail {

/// By how much the half with the subspaces changes the mean rate of a head, relative to what it was; NaN of a head
/// whose rate was 0.
inline double head_change(const crate::LayerMetrics& layer, std::size_t head) {
  const double before = layer.before.head_rates[head].mean();
  return before > 0 && layer.between.is_measured() ? layer.between.head_rates[head].mean() / before - 1
                                                   : std::numeric_limits<double>::quiet_NaN();
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
  for (Index k = 0; k < most_heads(one); ++k) names.push_back("head " + std::to_string(k));
  const auto add_layer = [&](std::vector<Curve>& curves, double x, const Measurement&, std::size_t i) {
    for (std::size_t k = 0; k < one.layers[i].before.head_rates.size(); ++k) add(curves[k], x, one.layers[i], k);
  };
  return plot_of(std::move(title), depth.axis(), std::move(y),
                 curves_over_layers({{&one}, {""}}, depth, names, factor, add_layer));
}

/// With 0 in the middle, of values that are not all 0.
inline plots::Range symmetric_range(const crate::Matrix<double>& values) {
  const double largest = values.cwiseAbs().maxCoeff();
  return {-largest, largest};
}

/// A map of heads and layers for each run of layers, of two colours and 0 between them where there are negative values.
/// Maps with numbers that cannot be drawn are left out.
template <class Value>
void add_head_maps(Page& page, const Measurement& one, const std::string& title, const std::string& unit,
                   std::string_view caption, const Value& value) {
  for (const HeadRun& run : runs_in(one)) {
    crate::Matrix<double> values(one.subspaces[run.first].heads, run.length());
    for (Index k = 0; k < values.rows(); ++k)
      for (Index l = 0; l < values.cols(); ++l)
        values(k, l) = value(one.layers[run.first + static_cast<std::size_t>(l)], static_cast<std::size_t>(k));
    if (!values.allFinite() || !one.layers[run.first].before.is_measured()) continue;
    const bool is_signed = values.minCoeff() < 0;
    plots::HeatMap map{.title = title + of_run(one, run),
                       .maps = {{"", values}},
                       .value_label = unit,
                       .range = is_signed ? std::optional(symmetric_range(values)) : std::nullopt,
                       .palette = is_signed ? plots::Palette::two_sided : plots::Palette::one_sided,
                       .row_label = "head",
                       .column_label = "layer",
                       .column_names = run.names()};
    for (Index k = 0; k < values.rows(); ++k) map.row_names.push_back(std::to_string(k));
    page.chart(plots::svg(map), std::string(caption) + (is_signed ? " Blue is below zero, red above." : ""));
  }
}

}  // namespace detail

namespace detail {

inline constexpr std::string_view head_rate_caption =
    "What it costs to code the tokens that enter a layer in the subspace of each head; their sum is Rᶜ. A healthy "
    "model uses all of its heads: none stays near zero.";
inline constexpr std::string_view head_change_caption =
    "By how much the half with the subspaces changes that rate, in per cent: the mean over the examples after it, "
    "compared with the mean before it; both are measured behind the layer's norm. Derived: below zero. Far above zero, "
    "the layer expands what it was to compress.";

/// In how many heads the rate falls.
inline std::string finding_of_heads(const Measurement& one) {
  std::size_t heads = 0, fall = 0;
  for (const crate::LayerMetrics& layer : one.layers)
    for (std::size_t k = 0; k < layer.before.head_rates.size(); ++k) {
      const double change = head_change(layer, k);
      if (std::isnan(change)) continue;
      ++heads;
      if (change < 0) ++fall;
    }
  return heads == 0 ? ""
                    : " Here it falls in " + std::to_string(fall) + " of " + count_of(heads, "head") +
                          ", all layers "
                          "together.";
}

inline void show_head_lines(Page& page, const Measurement& one, const std::string& of_model) {
  using Layer = crate::LayerMetrics;
  add_chart(page,
            head_lines(one, "Rate in each head" + of_model, {.label = "R(UₖᵀX), nats"}, 1,
                       [](Curve& curve, double x, const Layer& layer, std::size_t k) {
                         curve.add(x, layer.before.head_rates[k]);
                       }),
            head_rate_caption);
  add_chart(page,
            head_lines(
                one, "Change of each head's rate" + of_model, {.label = "change of R(UₖᵀX), %"}, 100,
                [](Curve& curve, double x, const Layer& layer, std::size_t k) { curve.add(x, head_change(layer, k)); }),
            std::string(head_change_caption) + finding_of_heads(one));
}

inline void show_head_maps(Page& page, const Measurement& one, const std::string& of_model) {
  using Layer = crate::LayerMetrics;
  add_head_maps(page, one, "Rate in each head" + of_model, "nats", head_rate_caption,
                [](const Layer& layer, std::size_t k) { return layer.before.head_rates[k].mean(); });
  add_head_maps(page, one, "Change of each head's rate" + of_model, "%",
                std::string(head_change_caption) + finding_of_heads(one), [](const Layer& layer, std::size_t k) {
                  const double change = head_change(layer, k);
                  return std::isnan(change) ? 0 : 100 * change;  // maps have no colour for what is missing
                });
}

}  // namespace detail

/// Lines of few heads, maps of many. Models of one head have none.
inline void head_section(Page& page, const std::vector<Measurement>& all) {
  page.section("Heads", "The subspaces of a layer, one by one." + detail::bands(all));
  constexpr Index most_lines = 8;
  bool is_shown = false;
  for (std::size_t m = 0; m < all.size(); ++m) {
    const Index heads = detail::most_heads(all[m]);
    if (heads < 2) continue;
    const std::string of_model = all.size() > 1 ? ", " + legend_of(all)[m] : "";
    heads <= most_lines ? detail::show_head_lines(page, all[m], of_model)
                        : detail::show_head_maps(page, all[m], of_model);
    is_shown = true;
  }
  if (is_shown) page.table(head_table(all), "Rates of all heads at all places");
}

inline void step_section(Page& page, const std::vector<Measurement>& all) {
  page.section(
      "Steps compared with exact ones",
      "What a layer's half with subspaces adds to its tokens, the step, compared with the exact one: a step of the "
      "same length down the gradient of Rᶜ in the same subspaces. Both go from X, and no norm is applied behind them." +
          detail::bands(all) + detail::of_decoders(all));
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
  detail::add_chart(page, plot_of("Direction of the step", depth.axis(), {.label = "cosine to −∇Rᶜ"}, cosines),
                    "At 1 the layer goes straight down the rate, at 0 across it, at −1 straight up. A layer with the "
                    "exact step has 1. MSSA as published has a free output map instead and comes out near 0, before "
                    "training and behind it; clearly negative values over many layers mean that it expands." +
                        finding_of_steps(all, 1, "", &crate::StepMetrics::cosine));
  const plots::Axis change = {.label = "change of Rᶜ, %", .from_zero = true};
  detail::add_chart(page,
                    plot_of("What the step does to Rᶜ", depth.axis(), change, changes(&crate::StepMetrics::change)),
                    "In per cent of Rᶜ before the step. Derived: below zero. A free output map is not held to that: "
                    "a step across the gradient mostly raises Rᶜ." +
                        finding_of_steps(all, 100, " %", &crate::StepMetrics::change));
  detail::add_chart(
      page,
      plot_of("What an exact step as long does", depth.axis(), change, changes(&crate::StepMetrics::exact_change)),
      "The same of the exact step: about as low as a step of this length leads. Where it is above zero, the step is so "
      "long that it overshoots, and the layer does more than compress." +
          finding_of_steps(all, 100, " %", &crate::StepMetrics::exact_change));
  page.table(step_table(all), "The numbers behind these plots");
}

}  // namespace inspect_model
