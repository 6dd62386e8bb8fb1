// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "plots/figure.hpp"
#include "results.hpp"
#include "results_table.hpp"

namespace crate::bench {

/// All sizes but the number of tokens; -1 where a benchmark has none.
struct Setting {
  long dim, batch, threads;

  friend auto operator<=>(const Setting&, const Setting&) = default;
};

/// Throughput against tokens, of each subject in each pass.
using Curves = std::map<std::pair<std::string, std::string>, std::map<long, double>>;

/// Those of at least three numbers of tokens.
[[nodiscard]] inline std::map<Setting, Curves> curves_in(const std::vector<Result>& results) {
  std::map<Setting, Curves> curves;
  for (const Result& result : results) {
    const auto tokens = result.argument("tokens");
    const auto throughput = result.counter("tokens/s");
    if (!result.error.empty() || !tokens || !throughput) continue;
    const Setting setting{result.argument("dim").value_or(-1), result.argument("batch").value_or(-1),
                          result.argument("threads").value_or(-1)};
    curves[setting][{result.pass, result.subject}][*tokens] = *throughput;
  }
  for (auto& [setting, of_setting] : curves)
    std::erase_if(of_setting, [](const auto& curve) { return curve.second.size() < 3; });
  return curves;
}

/// Tokens per second against tokens in a set, a panel for each pass, in the setting that has most curves; no panel if
/// nothing was measured at three numbers of tokens.
[[nodiscard]] inline plots::Figure picture_of(const std::vector<Result>& results) {
  const std::map<Setting, Curves> all = curves_in(results);
  const auto most = std::max_element(all.begin(), all.end(),
                                     [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  if (most == all.end() || most->second.empty()) return {};
  const auto& [setting, curves] = *most;
  plots::Figure figure{.title = concatenate("Throughput at width ", setting.dim), .plots = {}, .columns = 2};
  if (setting.batch > 0) figure.title += concatenate(", batch ", setting.batch);
  if (setting.threads > 0) figure.title += concatenate(", threads ", setting.threads);
  std::map<std::string, plots::LinePlot> panels;
  for (const auto& [name, curve] : curves) {
    const auto& [pass, subject] = name;
    plots::LinePlot& panel = panels[pass];
    panel.title = pass.empty() ? "one call" : phrase_of(pass);
    panel.x = {.label = "tokens in a set", .scale = plots::Scale::logarithmic, .ticks = panel.x.ticks};
    panel.y = {.label = "tokens per second", .scale = plots::Scale::logarithmic};
    plots::Series series{.name = subject, .x = {}, .y = {}};
    for (const auto& [tokens, throughput] : curve) {
      series.x.push_back(static_cast<double>(tokens));
      series.y.push_back(throughput);
    }
    if (series.x.size() > panel.x.ticks.size()) panel.x.ticks = series.x;
    panel.series.push_back(series);
  }
  for (auto& [pass, panel] : panels) figure.plots.emplace_back(std::move(panel));
  return figure;
}

}  // namespace crate::bench
