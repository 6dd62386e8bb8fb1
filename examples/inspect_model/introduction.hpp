// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "inspect_model/measurement.hpp"
#include "inspect_model/options.hpp"
#include "inspect_model/sections.hpp"
#include "inspect_model/wording.hpp"

// How a page begins: which models it shows, on what, measured how.

namespace inspect_model {

/// The shortest ends of two paths that tell them apart, without extensions where these do not: "a/model" and "b/model"
/// of "runs/a/model.pth" and "runs/b/model.pth". Of one path twice the name of its file.
inline std::pair<std::string, std::string> short_names(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::filesystem::path first = a.stem(), second = b.stem();
  std::filesystem::path of_first = a.lexically_normal().parent_path(), of_second = b.lexically_normal().parent_path();
  while (first == second && (of_first.has_filename() || of_second.has_filename())) {
    first = of_first.filename() / first;
    second = of_second.filename() / second;
    of_first = of_first.parent_path();
    of_second = of_second.parent_path();
  }
  if (first == second) return {a.filename().string(), b.filename().string()};
  return {first.string(), second.string()};
}

/// Of the first and the second model: the names of their files, with all that is needed to tell them apart. Throws
/// OptionError if both are the same.
inline std::pair<std::string, std::string> names_of_models(const Options& options) {
  const std::filesystem::path weights(options.weights);
  if (!options.has_second_file())
    return {weights.stem() == options.against ? weights.filename().string() : weights.stem().string(), options.against};
  const auto [first, second] = short_names(weights, options.against);
  if (first != second) return {first, second};
  const Options of_second = options.of_second();
  const auto at = [](const Options& one) { return " at " + one.model.weights_at.value_or("its only weights"); };
  if (at(options) != at(of_second)) return {first + at(options), second + at(of_second)};
  const auto heads = [](const Options& one) {
    return one.model.heads ? " of " + count_of(*one.model.heads, "head") : " of its own heads";
  };
  if (heads(options) != heads(of_second)) return {first + heads(options), second + heads(of_second)};
  throw crate::OptionError("option --against: expected another model than that of --weights, found the same: " +
                           crate::quote(options.against));
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
  if (!options.text.empty()) return options.text;
  std::string pictures;
  for (const std::string& path : options.show.pictures) pictures += (pictures.empty() ? "" : ", ") + path;
  return pictures;
}

inline std::string introduction_of(const std::vector<Measurement>& all, const Options& options) {
  std::string text;
  for (const Measurement& one : all) {
    const bool is_known = &one != all.data() && (&one - 1)->model == one.model;
    if (is_known) text.erase(text.size() - 2);  // ". "
    text +=
        is_known ? ", and " : one.model + ": " + one.kind + " of " + std::to_string(one.parameters) + " parameters, ";
    text += "on " + count_of(one.examples, "example") + " (" + one.data + "). ";
  }
  return text + "Data: " + data_of(options) + ". Rates are in nats.";
}

}  // namespace inspect_model
