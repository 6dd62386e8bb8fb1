// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "train_classifier/options.hpp"

// What must be right before the data are read, let alone the first step taken.

namespace train_classifier {

template <std::size_t N>
bool is_among(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Why an option means nothing beside the others; empty if it does mean something.
[[nodiscard]] std::string_view why_without_effect(std::string_view name, const Options& options);

/// Throws OptionError if an option that was given is out of range or without effect, if one is missing, or if nothing
/// would be kept; FileError if a file cannot be written, or is one that this training must not replace.
void check_options(const CLI::App& app, const Options& options);

}  // namespace train_classifier
