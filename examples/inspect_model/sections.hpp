// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "inspect_model/depth.hpp"
#include "inspect_model/findings.hpp"
#include "inspect_model/measurement.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/tables.hpp"
#include "inspect_model/terms.hpp"
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

inline const crate::Spread& published_rate_entering(const crate::LayerMetrics& layer) {
  return layer.before.published_rate;
}
inline const crate::Spread& non_zero_after(const crate::LayerMetrics& layer) { return behind(layer).non_zero; }
inline const crate::Spread& rate_reduction_after(const crate::LayerMetrics& layer) {
  return behind(layer).rate_reduction;
}
inline const crate::Spread& objective_after(const crate::LayerMetrics& layer) { return behind(layer).objective; }

/// The published R^c and the share of entries that are not zero, as the paper shows them.
inline std::vector<plots::LinePlot> paper_plots(const std::vector<Measurement>& all) {
  return {depth_plot(all, "Compression: Rᶜ entering each layer", {.label = "published Rᶜ, nats"}, 1,
                     published_rate_entering),
          depth_plot(all, "Sparsity: non-zero entries after each layer",
                     {.label = "non-zero entries, %", .from_zero = true}, 100, non_zero_after)};
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

inline bool has_decoder(const std::vector<Measurement>& all) {
  return std::any_of(all.begin(), all.end(), [](const Measurement& one) {
    return std::any_of(one.layers.begin(), one.layers.end(),
                       [](const crate::LayerMetrics& layer) { return layer.name.starts_with("decoder"); });
  });
}

/// What is different in decoders, if a model has one.
inline std::string of_decoders(const std::vector<Measurement>& all) {
  if (!has_decoder(all)) return "";
  return " Layers of a decoder are derived to expand, not to compress; what enters them is measured in the middle of "
         "the block, before its half with the subspaces.";
}

}  // namespace detail

inline void summary_section(Page& page, const std::vector<Measurement>& all) {
  page.section("Summary", "Where the tokens start, where they end, and how the layers step on average.");
  page.open_table(
      summary_table(all),
      "The first and the last layer, and means over all. Derived: published Rᶜ falls from the first layer to "
      "the last, R − Rᶜ rises, and a step makes Rᶜ smaller, so that its change is negative");
}

inline void depth_section(Page& page, const std::vector<Measurement>& all) {
  page.section("Over the depth", "What the layers make of the tokens, one after another." + detail::bands(all) +
                                     detail::of_decoders(all));
  const std::vector<plots::LinePlot> plots = paper_plots(all);
  detail::add_chart(page, plots[0],
                    "What it costs to code the tokens in the subspaces of the layer that they enter, as the published "
                    "code measures it. Derived: it falls with the depth, as it does in most layers of the published "
                    "models." +
                        finding_over_depth(all, 1, " nats", published_rate_entering));
  detail::add_chart(page, plots[1],
                    "Share of the tokens' entries that are not exactly zero. In the published models it falls with the "
                    "depth and rises again in the last layer, which mixes for the classifier. Thresholds make tokens "
                    "of an untrained model sparse, too: a small share alone is no sign of health. Blocks without "
                    "thresholds stay at 100 %." +
                        finding_over_depth(all, 100, " %", non_zero_after));
  detail::add_chart(
      page, depth_plot(all, "Rate reduction after each layer", {.label = "R − Rᶜ, nats"}, 1, rate_reduction_after),
      "What knowing the layer's subspaces saves when its tokens are coded. Derived: it grows with the "
      "depth. It is negative where heads overlap, as learnt ones may, and code the same twice." +
          finding_over_depth(all, 1, " nats", rate_reduction_after) + outside_of_subspaces(all));
  detail::add_chart(
      page, depth_plot(all, "Objective after each layer", {.label = "R − Rᶜ − λ‖Z‖₀, nats"}, 1, objective_after),
      "The rate reduction less λ for every entry that is not zero. Derived: every layer raises it. Where "
      "entries are many, their number outweighs the rates, and the curve is that of sparsity." +
          finding_over_depth(all, 1, " nats", objective_after));
}

namespace detail {

/// Counts layers that go on with another half, those of encoders, whose means are numbers.
inline std::function<bool(const crate::LayerMetrics&)> has_other_half(crate::Spread crate::TokenMetrics::*member) {
  return [member](const crate::LayerMetrics& layer) {
    return layer.after.is_measured() && std::isfinite((layer.before.*member).mean()) &&
           std::isfinite((layer.between.*member).mean()) && std::isfinite((layer.after.*member).mean());
  };
}

/// In how many of these the first half lowers a quantity.
inline std::string finding_of_first_half(const std::vector<Measurement>& all,
                                         crate::Spread crate::TokenMetrics::*member) {
  return finding_of_layers(
      all, "the first half lowers it", has_other_half(member),
      [&](const crate::LayerMetrics& layer) { return (layer.between.*member).mean() < (layer.before.*member).mean(); });
}

/// In how many of these both halves together raise a quantity.
inline std::string finding_of_whole_layer(const std::vector<Measurement>& all,
                                          crate::Spread crate::TokenMetrics::*member) {
  return finding_of_layers(all, "a layer raises it", has_other_half(member), [&](const crate::LayerMetrics& layer) {
    return (layer.after.*member).mean() > (layer.before.*member).mean();
  });
}

/// How lines of decoders differ, if a model has one.
inline std::string lines_of_decoders(const std::vector<Measurement>& all) {
  if (!has_decoder(all)) return "";
  return " In a decoder MSSA comes second: its lines begin in the middle of the block, before MSSA, and end behind it.";
}

}  // namespace detail

inline void half_layer_section(Page& page, const std::vector<Measurement>& all) {
  using Metrics = crate::TokenMetrics;
  page.section(
      "What each half-layer does",
      "Each short line is one layer, measured in its own subspaces: before the block (left end), between its halves "
      "(above the layer's number; in CRATE between MSSA and ISTA), and after the block (right end)." +
          detail::lines_of_decoders(all) + detail::bands(all));
  const auto add = [&](std::string title, plots::Axis y, double factor, crate::Spread Metrics::*member,
                       const std::string& caption) {
    detail::add_chart(page, half_layer_plot(all, std::move(title), std::move(y), factor, member), caption);
  };
  add("Rᶜ, as published", {.label = "published Rᶜ, nats"}, 1, &Metrics::published_rate,
      "Of projected tokens at length 1, so that their directions alone count. Derived: the first half of a layer "
      "lowers it; the second, which spreads tokens over a dictionary, may raise it." +
          detail::finding_of_first_half(all, &Metrics::published_rate));
  add("Rᶜ of the paper", {.label = "Rᶜ, nats"}, 1, &Metrics::subspace_rate,
      "What the tokens cost to code in the subspaces of the layer, lengths included. Derived: the first half of a "
      "layer lowers it." +
          detail::finding_of_first_half(all, &Metrics::subspace_rate));
  add("R", {.label = "R, nats"}, 1, &Metrics::rate,
      "What the tokens cost to code without the subspaces. Derived: it is kept up while Rᶜ falls. Near zero the tokens "
      "have become alike, or zero.");
  add("Rate reduction", {.label = "R − Rᶜ, nats"}, 1, &Metrics::rate_reduction,
      "The difference of the two. Derived: a layer raises it from its left end to its right one." +
          detail::finding_of_whole_layer(all, &Metrics::rate_reduction));
  add("Non-zero entries", {.label = "non-zero entries, %", .from_zero = true}, 100, &Metrics::non_zero,
      "MSSA mixes tokens and leaves few zeros; the threshold of ISTA makes them, so that the second half of each line "
      "falls. Blocks that add to their tokens in both halves, as ordinary ones do, stay at 100 %.");
  add("Objective", {.label = "R − Rᶜ − λ‖Z‖₀, nats"}, 1, &Metrics::objective,
      "The rate reduction less λ for every non-zero entry: where zeros come and go, they decide its course. Derived: a "
      "layer raises it from its left end to its right one." +
          detail::finding_of_whole_layer(all, &Metrics::objective));
  detail::add_chart(
      page,
      depth_plot(all, "Non-zero codes inside the second half", {.label = "non-zero codes, %", .from_zero = true}, 100,
                 [](const crate::LayerMetrics& layer) -> const crate::Spread& { return layer.code_non_zero; }),
      "Share of the codes of an overcomplete dictionary, or of the units of an MLP, that are not zero. A healthy "
      "sparse coder uses few for each token; units of an MLP with GELU are hardly ever exactly zero.");
  page.table(layer_table(all),
             "The numbers behind these plots and those above, at each place: before the block, between "
             "its halves, after it");
  page.table(code_table(all), "Codes inside the second half");
}

}  // namespace inspect_model
