// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "inspect_model/measurement.hpp"
#include "inspect_model/options.hpp"
#include "inspect_model/sections.hpp"
#include "plots/axis.hpp"

// How a page begins: which models it shows, on what, measured how.

namespace inspect_model {

/// Of the first and the second model: the names of their files, with all that is needed to tell them apart.
inline std::pair<std::string, std::string> names_of_models(const Options& options) {
  const auto stem = [](const std::string& path) { return std::filesystem::path(path).stem().string(); };
  std::string first = stem(options.weights), second = stem(options.against);
  if (first == second) {
    first = options.weights;
    second = options.against;
  }
  if (first == second) {
    first += " at " + options.model.weights_at.value_or("its only weights");
    second += " at " + (options.against_weights_at.empty() ? "its only weights" : options.against_weights_at);
  }
  return {first, second};
}

inline std::string title_of(const std::vector<Measurement>& all) {
  std::string title = "Inside " + all.front().model;
  if (all.back().model != all.front().model) title += ", against " + all.back().model;
  return title;
}

/// The paths of what the models are inspected on.
inline std::string data_of(const Options& options) {
  if (!options.data.empty()) return options.data;
  if (!options.input.empty()) return options.input;
  std::string pictures;
  for (const std::string& path : options.show.pictures) pictures += (pictures.empty() ? "" : ", ") + path;
  return pictures;
}

inline std::string introduction_of(const std::vector<Measurement>& all, const Options& options) {
  const auto number = [](double value) { return plots::detail::short_number(value); };
  std::string text;
  for (const Measurement& one : all) {
    const bool is_known = &one != all.data() && (&one - 1)->model == one.model;
    if (is_known) text.erase(text.size() - 2);  // ". "
    text +=
        is_known ? ", and " : one.model + ": " + one.kind + " of " + std::to_string(one.parameters) + " parameters, ";
    text +=
        "on " + std::to_string(one.examples) + (one.examples == 1 ? " example (" : " examples (") + one.data + "). ";
  }
  return text + "Data: " + data_of(options) + ". Rates are in nats at ε = " + number(options.meter.epsilon) +
         ", those as published at eps = " + number(options.meter.published_eps) +
         ", the objective at λ = " + number(options.meter.lambda) + ".";
}

}  // namespace inspect_model
