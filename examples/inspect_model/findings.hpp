// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "crate/analysis/spread.hpp"
#include "inspect_model/measurement.hpp"
#include "inspect_model/wording.hpp"
#include "plots/axis.hpp"

// What a figure shows of the models at hand, in a sentence, to compare with what the derivation predicts.

namespace inspect_model {

namespace detail {

/// " Here: t falls from 5 to 3; untrained stays at 5." Of one measurement " Here it falls from 5 to 3."; empty where
/// nothing is told of any. `alone` and `several` begin the sentence, tell(measurement) is the part behind the name,
/// perhaps empty.
inline std::string findings(const std::vector<Measurement>& all, std::string_view alone, std::string_view several,
                            const std::function<std::string(const Measurement&)>& tell) {
  const std::vector<std::string> names = legend_of(all);
  std::string text;
  for (std::size_t m = 0; m < all.size(); ++m) {
    const std::string told = tell(all[m]);
    if (told.empty()) continue;
    if (all.size() == 1) return " " + std::string(alone) + " " + told + ".";
    text += (text.empty() ? " " + std::string(several) + " " : "; ") + names[m] + " " + told;
  }
  return text.empty() ? text : text + ".";
}

/// The layers of the first list, those of the encoder where there is a decoder.
inline std::size_t layers_of_first_list(const Measurement& one) {
  const auto other = std::find_if(one.layers.begin(), one.layers.end(), [&](const crate::LayerMetrics& layer) {
    return list_of(layer.name) != list_of(one.layers[0].name);
  });
  return static_cast<std::size_t>(other - one.layers.begin());
}

}  // namespace detail

/// How the means go from the first to the last layer, of an encoder where there is a decoder, too.
inline std::string finding_over_depth(const std::vector<Measurement>& all, double factor, std::string_view unit,
                                      const std::function<const crate::Spread&(const crate::LayerMetrics&)>& spread) {
  return detail::findings(all, "Here it", "Here:", [&](const Measurement& one) -> std::string {
    const std::size_t count = detail::layers_of_first_list(one);
    if (count == 0) return "";
    const double first = factor * spread(one.layers[0]).mean(), last = factor * spread(one.layers[count - 1]).mean();
    if (spread(one.layers[0]).count() == 0 || !std::isfinite(first) || !std::isfinite(last)) return "";
    const std::string way = count == 1 ? "is " + plots::short_number(first) : way_between(first, last);
    return way + std::string(unit) + (count < one.layers.size() ? " in its encoder" : "");
  });
}

/// In how many layers something holds, of those that `counts` takes: " Here it falls in 2 of 3 layers." for `what` "it
/// falls", or " Here it falls: t in 2 of 3 layers; untrained in 1 of 3 layers."
inline std::string finding_of_layers(const std::vector<Measurement>& all, std::string_view what,
                                     const std::function<bool(const crate::LayerMetrics&)>& counts,
                                     const std::function<bool(const crate::LayerMetrics&)>& holds) {
  const std::string begin = "Here " + std::string(what);
  return detail::findings(all, begin, begin + ":", [&](const Measurement& one) -> std::string {
    std::size_t total = 0, found = 0;
    for (const crate::LayerMetrics& layer : one.layers)
      if (counts(layer)) {
        ++total;
        if (holds(layer)) ++found;
      }
    return total == 0 ? "" : "in " + std::to_string(found) + " of " + count_of(total, "layer");
  });
}

/// The mean over all layers.
inline std::string finding_of_steps(const std::vector<Measurement>& all, double factor, std::string_view unit,
                                    crate::Spread crate::StepMetrics::*member) {
  return detail::findings(
      all, "Here the mean over the layers is", "Here the means over the layers:", [&](const Measurement& one) {
        crate::Spread over_layers;
        for (const crate::StepMetrics& layer : one.steps) over_layers.add(factor * (layer.*member).mean());
        const bool is_known = over_layers.count() > 0 && std::isfinite(over_layers.mean());
        return is_known ? plots::short_number(over_layers.mean()) + std::string(unit) : std::string();
      });
}

}  // namespace inspect_model
