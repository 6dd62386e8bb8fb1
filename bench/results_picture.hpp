// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <map>
#include <string>
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

/// Throughput against tokens.
struct Curve {
  std::string pass, subject;
  std::map<long, double> tokens_per_second;  ///< by tokens in a set
};

/// The place of what belongs to the result among the curves, added if it is new.
[[nodiscard]] inline Curve& curve_of(const Result& result, std::vector<Curve>& curves) {
  const auto found = std::find_if(curves.begin(), curves.end(), [&](const Curve& curve) {
    return curve.pass == result.pass && curve.subject == result.subject;
  });
  return found != curves.end() ? *found : curves.emplace_back(Curve{result.pass, result.subject, {}});
}

/// Those with at least three numbers of tokens, in the order in which they were measured.
[[nodiscard]] inline std::map<Setting, std::vector<Curve>> curves_in(const std::vector<Result>& results) {
  std::map<Setting, std::vector<Curve>> curves;
  for (const Result& result : results) {
    const auto tokens = result.argument("tokens");
    const auto throughput = result.counter("tokens/s");
    if (!result.error.empty() || !tokens || !throughput) continue;
    const Setting setting{result.argument("dim").value_or(-1), result.argument("batch").value_or(-1),
                          result.argument("threads").value_or(-1)};
    curve_of(result, curves[setting]).tokens_per_second[*tokens] = *throughput;
  }
  for (auto& [setting, of_setting] : curves)
    std::erase_if(of_setting, [](const Curve& curve) { return curve.tokens_per_second.size() < 3; });
  return curves;
}

[[nodiscard]] inline plots::LinePlot panel_of(const std::string& pass, const std::vector<Curve>& curves) {
  plots::LinePlot panel{.title = pass.empty() ? "one call" : phrase_of(pass),
                        .x = {.label = "tokens in a set", .scale = plots::Scale::logarithmic},
                        .y = {.label = "tokens per second", .scale = plots::Scale::logarithmic},
                        .series = {}};
  for (const Curve& curve : curves) {
    if (curve.pass != pass) continue;
    plots::Series series{.name = curve.subject, .x = {}, .y = {}};
    for (const auto& [tokens, throughput] : curve.tokens_per_second) {
      series.x.push_back(static_cast<double>(tokens));
      series.y.push_back(throughput);
    }
    if (series.x.size() > panel.x.ticks.size()) panel.x.ticks = series.x;
    panel.series.push_back(std::move(series));
  }
  return panel;
}

/// Tokens per second against tokens in a set, a panel for each pass, in the setting that has most curves; no panel if
/// nothing was measured at three numbers of tokens.
[[nodiscard]] inline plots::Figure picture_of(const std::vector<Result>& results) {
  const auto all = curves_in(results);
  const auto most = std::max_element(all.begin(), all.end(),
                                     [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  if (most == all.end() || most->second.empty()) return {};
  const auto& [setting, curves] = *most;
  plots::Figure figure{.title = concatenate("Throughput at dim ", setting.dim), .plots = {}, .columns = 2};
  if (setting.batch > 0) figure.title += concatenate(", batch ", setting.batch);
  if (setting.threads > 0) figure.title += concatenate(", threads ", setting.threads);
  std::vector<std::string> passes;
  for (const Curve& curve : curves) {
    if (std::find(passes.begin(), passes.end(), curve.pass) != passes.end()) continue;
    passes.push_back(curve.pass);
    figure.plots.emplace_back(panel_of(curve.pass, curves));
  }
  return figure;
}

}  // namespace crate::bench
