// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "inspect_model/depth.hpp"
#include "inspect_model/measurement.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/tables.hpp"
#include "plots/figure.hpp"

// The sections of a page that show what was measured layer by layer, of one model or of several in the same plots.

namespace inspect_model {

using SpreadOfLayer = std::function<const crate::Spread&(const crate::LayerMetrics&)>;

inline Legend with_legend(const std::vector<Measurement>& all) {
  Legend legend{.all = {}, .names = legend_of(all)};
  for (const Measurement& one : all) legend.all.push_back(&one);
  return legend;
}

/// A point a layer.
inline plots::LinePlot depth_plot(const std::vector<Measurement>& all, std::string title, plots::Axis y, double factor,
                                  const SpreadOfLayer& spread) {
  const Depth depth(all);
  return plot_of(std::move(title), depth.axis(), std::move(y),
                 curves_over_layers(with_legend(all), depth, {""}, factor,
                                    [&](std::vector<Curve>& curves, double x, const Measurement& one, std::size_t i) {
                                      curves[0].add(x, spread(one.layers[i]));
                                    }));
}

/// Every layer a line of its own, from what enters its block to what leaves it. Blocks of decoders have their half with
/// subspaces at the end.
inline plots::LinePlot half_layer_plot(const std::vector<Measurement>& all, std::string title, plots::Axis y,
                                       double factor, crate::Spread crate::TokenMetrics::*member) {
  const Depth depth(all);
  const auto add = [&](std::vector<Curve>& curves, double middle, const Measurement& one, std::size_t i) {
    const crate::LayerMetrics& layer = one.layers[i];
    const double shift = layer.after.is_measured() ? 0 : 0.5;
    curves[0].interrupt();
    curves[0].add(middle - 0.5 + shift, layer.before.*member);
    curves[0].add(middle + shift, layer.between.*member);
    curves[0].add(middle + 0.5 + shift, layer.after.*member);
  };
  return plot_of(std::move(title), depth.axis_of_slots(), std::move(y),
                 curves_over_layers(with_legend(all), depth, {""}, factor, add));
}

/// The published R^c and the share of entries that are not zero, as the paper shows them.
inline std::vector<plots::LinePlot> paper_plots(const std::vector<Measurement>& all) {
  return {
      depth_plot(all, "Compression: Rᶜ entering each layer", {.label = "published Rᶜ, nats"}, 1,
                 [](const crate::LayerMetrics& layer) -> const crate::Spread& { return layer.before.published_rate; }),
      depth_plot(all, "Sparsity: non-zero entries after each layer",
                 {.label = "non-zero entries, %", .from_zero = true}, 100,
                 [](const crate::LayerMetrics& layer) -> const crate::Spread& { return behind(layer).non_zero; })};
}

/// Both beside each other.
inline plots::Figure paper_figure(const std::vector<Measurement>& all) {
  plots::Figure figure{.title = {}, .plots = {}, .columns = 2};
  for (plots::LinePlot& plot : paper_plots(all)) figure.plots.emplace_back(std::move(plot));
  return figure;
}

namespace detail {

/// Plots without a point are left out.
inline void add_chart(Page& page, const plots::LinePlot& plot, std::string_view caption) {
  if (!plot.series.empty()) page.chart(plots::svg(plot), caption);
}

inline std::string bands(const std::vector<Measurement>& all) {
  const bool has_spread = std::any_of(all.begin(), all.end(), [](const Measurement& one) { return one.examples > 1; });
  return has_spread ? " Points are means over the examples, bands one standard deviation to either side." : "";
}

/// What is different in decoders, if a model has one.
inline std::string of_decoders(const std::vector<Measurement>& all) {
  for (const Measurement& one : all)
    for (const crate::LayerMetrics& layer : one.layers)
      if (layer.name.starts_with("decoder"))
        return " Layers of a decoder are derived to expand, not to compress; what enters them is measured in the "
               "middle of the block, before its half with the subspaces.";
  return "";
}

}  // namespace detail

inline void summary_section(Page& page, const std::vector<Measurement>& all) {
  page.section("Summary", "Where the tokens start, where they end, and how the layers step on average.");
  page.open_table(
      summary_table(all),
      "The first and the last layer, and means over all. In a healthy CRATE R^c entering the last layer is below that "
      "entering the first, R - R^c after it is above, and steps change R^c by less than 0 %");
}

inline void depth_section(Page& page, const std::vector<Measurement>& all) {
  page.section("Over the depth", "What the layers make of the tokens, one after another." + detail::bands(all) +
                                     detail::of_decoders(all));
  const std::vector<plots::LinePlot> plots = paper_plots(all);
  detail::add_chart(
      page, plots[0],
      "Coding rate in the subspaces of each layer, in nats, as the published code computes it: of projected "
      "tokens at length 1, eps 0.01. A healthy CRATE compresses: it falls with the depth, and stays below "
      "that of the same model before training. The last layers may rise.");
  detail::add_chart(page, plots[1],
                    "Share of the tokens' entries that are not exactly zero. In the published models it falls with the "
                    "depth and rises again in the last layer, which mixes for the classifier. Thresholds make tokens "
                    "of an untrained model sparse, too: a small share alone is no sign of health. Blocks without "
                    "thresholds stay at 100 %.");
  detail::add_chart(
      page,
      depth_plot(all, "Rate reduction after each layer", {.label = "R − Rᶜ, nats"}, 1,
                 [](const crate::LayerMetrics& layer) -> const crate::Spread& { return behind(layer).rate_reduction; }),
      "What knowing the layer's subspaces saves when its tokens are coded, in nats. The derivation makes it "
      "grow. It can be negative: learnt subspaces are not orthonormal, and heads that overlap code the "
      "same twice.");
  detail::add_chart(
      page,
      depth_plot(all, "Objective after each layer", {.label = "R − Rᶜ − λ‖Z‖₀, nats"}, 1,
                 [](const crate::LayerMetrics& layer) -> const crate::Spread& { return behind(layer).objective; }),
      "What every layer is derived to raise: the rate reduction less λ for every entry that is not zero. A healthy "
      "model climbs. Where entries are many, their number outweighs the rates, and the curve is that of sparsity.");
}

inline void half_layer_section(Page& page, const std::vector<Measurement>& all) {
  using Metrics = crate::TokenMetrics;
  page.section(
      "What each half-layer does",
      "Each short line is one layer, measured in its own subspaces: what enters it, what its first half hands on, what "
      "its second half does. The half with the subspaces, at which Rᶜ is to fall, is the first of an encoder's layers "
      "and the second of a decoder's, of which only that one is measured." +
          detail::bands(all));
  const auto add = [&](std::string title, plots::Axis y, double factor, crate::Spread Metrics::*member,
                       std::string_view caption) {
    detail::add_chart(page, half_layer_plot(all, std::move(title), std::move(y), factor, member), caption);
  };
  add("Rᶜ, as published", {.label = "published Rᶜ, nats"}, 1, &Metrics::published_rate,
      "Of projected tokens at length 1, which leaves their directions alone. In a healthy CRATE the first half of each "
      "layer lowers it; the second, which spreads tokens over its dictionary, may raise it by less.");
  add("Rᶜ of the paper", {.label = "Rᶜ(Z | U), nats"}, 1, &Metrics::subspace_rate,
      "What the tokens cost to code in the subspaces of the layer, lengths included. The compression half is derived "
      "as a step down this rate: in a healthy CRATE the first part of each line falls.");
  add("R", {.label = "R(Z), nats"}, 1, &Metrics::rate,
      "What the tokens cost to code without the subspaces. A healthy model keeps it up while Rᶜ falls; where "
      "it runs to zero, tokens have become alike.");
  add("Rate reduction", {.label = "R − Rᶜ, nats"}, 1, &Metrics::rate_reduction,
      "The difference of the two, which a healthy layer raises from its left end to its right one.");
  add("Non-zero entries", {.label = "non-zero entries, %", .from_zero = true}, 100, &Metrics::non_zero,
      "Compression mixes tokens and leaves few zeros; ISTA makes them. A healthy CRATE falls at the second half of "
      "each layer, and more so in deep layers.");
  add("Objective", {.label = "R − Rᶜ − λ‖Z‖₀, nats"}, 1, &Metrics::objective,
      "The rate reduction less λ for every non-zero entry. It rises after the half that makes zeros, and falls "
      "after the one that mixes. In a healthy model it climbs from layer to layer.");
  detail::add_chart(
      page,
      depth_plot(all, "Non-zero codes inside the second half", {.label = "non-zero codes, %", .from_zero = true}, 100,
                 [](const crate::LayerMetrics& layer) -> const crate::Spread& { return layer.code_non_zero; }),
      "Share of the codes of an overcomplete dictionary, or of the units of an MLP, that are not zero. A "
      "healthy sparse coder uses few for each token, and not the same ones for all.");
  page.table(layer_table(all), "The numbers behind these plots and those above");
  page.table(code_table(all), "Codes inside the second half");
}

}  // namespace inspect_model
