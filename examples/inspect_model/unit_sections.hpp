// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "crate/analysis/unit_use.hpp"
#include "crate/models/labelled_tokens.hpp"
#include "crate/text/tokeniser.hpp"
#include "inspect_model/folder_and_page.hpp"
#include "inspect_model/show_options.hpp"
#include "inspect_model/shown_images.hpp"

// Sections about the units of one layer: what uses them, and what they do.

namespace inspect_model {

/// What a unit was used for.
struct ShownUnit {
  Index unit;
  std::vector<crate::UnitUse> uses;  ///< the largest, falling
};

/// The units of a half-step, and some of them.
struct UnitReport {
  std::string half_step;
  std::vector<double> firing_rates;  ///< of all
  std::vector<ShownUnit> shown;
};

/// The units that the options name, or else the most used among those for few tokens; where these are not enough, those
/// of largest values. Units that are never used are left out.
[[nodiscard]] std::vector<Index> shown_units(const std::vector<double>& firing_rates,
                                             const std::vector<double>& largest, const ShowOptions& options);

template <crate::Scalar S>
[[nodiscard]] UnitReport unit_report(const crate::UnitMeter<S>& meter, const std::string& half_step,
                                     const ShowOptions& options) {
  UnitReport report{half_step, {}, {}};
  std::vector<double> largest;
  for (Index unit = 0; unit < meter.units(); ++unit) {
    const std::vector<crate::UnitUse> uses = meter.largest(unit);
    report.firing_rates.push_back(meter.firing_rate(unit));
    largest.push_back(uses.empty() ? 0 : static_cast<double>(uses[0].value));
  }
  for (const Index unit : shown_units(report.firing_rates, largest, options))
    report.shown.push_back({unit, meter.largest(unit)});
  return report;
}

/// Throws OptionError unless there are the units that are asked for.
void check_units(const crate::LayerUnits& layer, const ShowOptions& options);

/// Throws OptionError unless the prompts, if there are any, can be read by a tokeniser, and are not empty.
void check_prompts(const std::optional<crate::Tokeniser>& tokeniser, const ShowOptions& options);

/// The image that has this number among those that were run.
using ImageOfInput = std::function<Image(Index)>;

/// The patches for which each unit is largest.
void units_section(FolderAndPage& out, const UnitReport& units, const crate::PatchGrid& grid,
                   const ImageOfInput& image_of);

/// The words for which each unit is largest, among their neighbours.
void units_section(FolderAndPage& out, const UnitReport& units, const crate::LabelledTokens& texts,
                   const std::optional<crate::Tokeniser>& tokeniser);

/// What the model predicts of each image when a unit is set.
void steering_section(FolderAndPage& out, const std::string& half_step, const ImageModel& model,
                      const ShownImages& images, const ShowOptions& options);

/// What a language model writes when a unit is set, and how another model's outputs change, of `batch` texts at a
/// time.
void steering_section(FolderAndPage& out, const std::string& half_step, const TextModel& model,
                      const crate::LabelledTokens& texts, const std::optional<crate::Tokeniser>& tokeniser,
                      const ShowOptions& options, Index batch);

}  // namespace inspect_model
