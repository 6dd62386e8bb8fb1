// SPDX-License-Identifier: MIT
// The toy as a summary on the terminal, a page and a table.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "inspect_model/options.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/table.hpp"
#include "inspect_model/tables.hpp"
#include "inspect_model/toy.hpp"
#include "inspect_model/wording.hpp"
#include "plots/figure.hpp"
#include "plots/heat_map.hpp"
#include "plots/line_plot.hpp"

namespace inspect_model {

namespace {

/// The number of steps during which the mean ratio is that of the law within a twentieth.
Index steps_by_law(const ToyMeasurement& toy) {
  constexpr double tolerance = 0.05;
  std::size_t l = 0;
  while (l + 1 < toy.law.size() &&
         std::abs(toy.thresholded.signal_to_noise[l + 1].mean() / toy.law[l + 1] - 1) <= tolerance)
    ++l;
  return static_cast<Index>(l);
}

/// "rises from 3.5 to 5.1", or where it is largest.
std::string words_on(const std::vector<crate::Spread>& course) {
  const auto top =
      std::max_element(course.begin(), course.end(), [](const auto& a, const auto& b) { return a.mean() < b.mean(); });
  const auto number = [](const crate::Spread& spread) { return plots::short_number(spread.mean()); };
  if (top == course.begin() || top == course.end() - 1) return way_between(course.front().mean(), course.back().mean());
  return "rises from " + number(course.front()) + " to " + number(*top) + " after " +
         count_of(top - course.begin(), "step") + " and ends at " + number(course.back());
}

/// For how many steps the law holds, and why not for more.
std::string words_on_law(const ToyMeasurement& toy, const ToyOptions& options) {
  const Index held = steps_by_law(toy), steps = options.steps;
  if (held == steps)
    return "Here it holds, within 5 %, for " +
           std::string(steps == 1 ? "the only step." : "all " + count_of(steps, "step") + ".");
  const std::string kept = held == 0 ? "none" : held == 1 ? "the first" : "the first " + std::to_string(held);
  const std::string why =
      options.noise > ToyOptions::most_noise()
          ? "The theorem is for noise of deviation up to about (log N / p)^½ = " +
                plots::short_number(ToyOptions::most_noise()) + "."
          : "Signals grow with each step, and with them the scores between tokens of different clusters; once such "
            "scores pass the threshold, the signal of one cluster becomes noise of another.";
  return "Here it holds, within 5 %, for " + kept + " of " + count_of(steps, "step") + ". " + why;
}

plots::Series series_of(const ToyCourse& course, const std::vector<crate::Spread>& spreads) {
  plots::Series series{.name = course.name, .x = {}, .y = {}};
  for (const crate::Spread& spread : spreads) {
    series.x.push_back(static_cast<double>(series.x.size()));
    series.y.push_back(spread.mean());
    series.low.push_back(spread.mean() - spread.deviation());
    series.high.push_back(spread.mean() + spread.deviation());
  }
  return series;
}

plots::Axis step_axis() { return {.label = "steps"}; }

plots::LinePlot ratio_plot(const ToyMeasurement& toy) {
  plots::LinePlot plot{.title = "Signal to noise",
                       .x = step_axis(),
                       .y = {.label = "SNR", .scale = plots::Scale::logarithmic},
                       .series = {}};
  for (const ToyCourse* const course : {&toy.thresholded, &toy.softmax, &toy.exact}) {
    plots::Series series = series_of(*course, course->signal_to_noise);
    for (std::size_t l = 0; l < series.low.size(); ++l)  // a logarithm has no place for less than nothing
      series.low[l] = std::max(series.low[l], series.y[l] / 10);
    plot.series.push_back(std::move(series));
  }
  plots::Series law{.name = "law of the theorem", .x = {}, .y = toy.law};
  for (std::size_t l = 0; l < toy.law.size(); ++l) law.x.push_back(static_cast<double>(l));
  plot.series.push_back(std::move(law));
  return plot;
}

plots::LinePlot rate_plot(const ToyMeasurement& toy) {
  plots::LinePlot plot{.title = "Rᶜ", .x = step_axis(), .y = {.label = "Rᶜ, nats"}, .series = {}};
  for (const ToyCourse* const course : {&toy.thresholded, &toy.softmax, &toy.exact})
    plot.series.push_back(series_of(*course, course->subspace_rate));
  return plot;
}

plots::HeatMap cosine_maps(const ToyMeasurement& toy) {
  plots::HeatMap map{
      .title = "Tokens beside tokens", .maps = {}, .value_label = "|cosine|", .range = plots::Range{0, 1}};
  for (std::size_t i = 0; i < toy.shown.size(); ++i)
    map.maps.push_back({"after " + count_of(toy.shown[i], "step"), toy.cosines[i]});
  map.marks.emplace();
  map.marks->of_rows = toy.clusters;
  for (Index k = 0; k < ToyOptions::clusters; ++k) map.marks->names.push_back("cluster " + std::to_string(k));
  return map;
}

Table toy_table(const ToyMeasurement& toy) {
  Table table("toy", {"step", "update", "snr", "snr_deviation", "law", "subspace_rate", "subspace_rate_deviation"});
  for (const ToyCourse* const course : {&toy.thresholded, &toy.softmax, &toy.exact})
    for (std::size_t l = 0; l < toy.law.size(); ++l) {
      const crate::Spread &ratio = course->signal_to_noise[l], &rate = course->subspace_rate[l];
      table.add(l).add(course->name).add(ratio.mean()).add(ratio.deviation());
      if (course == &toy.thresholded)
        table.add(toy.law[l]);
      else
        table.add("");
      table.add(rate.mean()).add(rate.deviation()).end_row();
    }
  return table;
}

std::string introduction_of(const ToyOptions& options, double epsilon) {
  return std::to_string(ToyOptions::draws) + " draws of " +
         std::to_string(ToyOptions::clusters * ToyOptions::tokens_per_cluster) + " tokens of " +
         count_of(ToyOptions::dim, "dimension") + " in " + count_of(ToyOptions::clusters, "cluster") +
         ", each near a subspace of " + count_of(ToyOptions::head_dim, "dimension") +
         " that is known and orthogonal to the others: z = Uₖ a + Σⱼ Uⱼ eⱼ, j ≠ k, with entries of a of deviation 1 "
         "and of eⱼ of deviation " +
         plots::short_number(options.noise) + ". Rates are in nats, at ε = " + plots::short_number(epsilon) + ".";
}

Page toy_page(const ToyMeasurement& toy, const ToyOptions& options, double epsilon) {
  Page page("Tokens near known subspaces", introduction_of(options, epsilon));
  page.section(
      "What steps do to signal and noise",
      "Three ways to step from the same tokens. Only in a toy is it known what is signal. Lines are means over "
      "clusters and draws, bands one standard deviation to either side.");
  page.chart(plots::svg(ratio_plot(toy)),
             "SNR = ‖Uₖ Uₖᵀ Z‖ / ‖(I − Uₖ Uₖᵀ) Z‖ of the tokens Z of cluster k. The theorem of arXiv 2506.03790: "
             "attention that replaces scores above τ = " +
                 plots::short_number(ToyOptions::attention.threshold) +
                 " by τ, and others by 0, multiplies SNR by "
                 "1 + η τ = " +
                 plots::short_number(ToyOptions::growth()) +
                 " a step, with step size η = " + plots::short_number(ToyOptions::attention.step) + ". " +
                 words_on_law(toy, options) + " With the softmax alone, SNR " + words_on(toy.softmax.signal_to_noise) +
                 ". With exact gradient steps on Rᶜ it " + words_on(toy.exact.signal_to_noise) + ".");
  page.chart(plots::svg(rate_plot(toy)),
             "What it costs to code the tokens in the subspaces. An exact step never raises it: it shrinks all "
             "directions, those of little energy most. Attention alone only adds to tokens, which then cost more: with "
             "the threshold Rᶜ " +
                 words_on(toy.thresholded.subspace_rate) + ". CRATE therefore normalises tokens before attention.");
  page.chart(plots::svg(cosine_maps(toy)),
             "|cosine| between all pairs of tokens of the first draw, cluster by cluster, under thresholded attention. "
             "Tokens of one cluster share a subspace, which gives squares on the diagonal; light entries outside of "
             "the squares are tokens that have taken up the signal of another cluster.",
             Width::row);
  page.table(toy_table(toy), "The numbers behind these plots");
  return page;
}

void print_toy(const ToyMeasurement& toy, const ToyOptions& options, double epsilon) {
  std::printf("signal to noise of %td tokens near %td known subspaces, noise %g; R^c in nats at epsilon %g\n\n",
              ToyOptions::clusters * ToyOptions::tokens_per_cluster, ToyOptions::clusters, options.noise, epsilon);
  std::printf("              law   thresholded attention      softmax attention            exact steps\n");
  std::printf("  step        SNR             SNR       R^c         SNR       R^c         SNR       R^c\n");
  for (std::size_t l = 0; l < toy.law.size(); ++l) {
    std::printf("  %4zu   %8.2f", l, toy.law[l]);
    for (const ToyCourse* const course : {&toy.thresholded, &toy.softmax, &toy.exact})
      std::printf("   %6.2f +- %4.2f  %7.1f", course->signal_to_noise[l].mean(), course->signal_to_noise[l].deviation(),
                  course->subspace_rate[l].mean());
    std::printf("\n");
  }
  std::printf("\nThe law: thresholded attention multiplies SNR by %g a step.\n%s\n", ToyOptions::growth(),
              words_on_law(toy, options).c_str());
}

}  // namespace

void inspect_toy(const Options& options) {
  const double epsilon = options.meter.epsilon;
  const ToyMeasurement toy = measure_toy(options.toy, epsilon);
  print_toy(toy, options.toy, epsilon);
  if (!options.output.empty()) write_tables(options.output, {toy_table(toy)});
  if (!options.page.empty()) toy_page(toy, options.toy, epsilon).write(options.page);
}

}  // namespace inspect_model
