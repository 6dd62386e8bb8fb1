// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <string_view>

#include "train_classifier/options.hpp"

// Checks of the options, made before any data is read.

namespace train_classifier {

/// Why an option means nothing beside the others; empty if it does mean something.
[[nodiscard]] std::string_view why_without_effect(std::string_view name, const Options& options);

/// Throws OptionError if an option that was given is out of range or without effect, if one is missing, or if nothing
/// would be kept; FileError if a file cannot be written, or is one that this training must not replace.
void check_options(const CLI::App& app, const Options& options);

}  // namespace train_classifier
