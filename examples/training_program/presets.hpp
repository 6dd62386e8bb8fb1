// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/detail/number_text.hpp"
#include "crate/io/formats/tensor_table.hpp"
#include "program_options/program_options.hpp"
#include "training_program/options.hpp"

// Named sets of options.

namespace training_program {

/// `--preset`. The first of the names stands for the defaults.
inline void add_preset_option(CLI::App& app, std::string& preset, const std::vector<std::string>& names,
                              const std::string& what_others_are) {
  program_options::add_choice(app, "--preset", preset, names,
                              "values of all options that are not given: " + names.front() +
                                  " (the defaults below; minutes) or " + what_others_are);
}

/// Gives the options that were not given, and are not without effect, the texts of a preset, in their order.
inline void apply_preset(CLI::App& app, const crate::Metadata& texts,
                         const std::function<std::string_view(std::string_view)>& why_without_effect) {
  for (const auto& [name, text] : texts) {
    CLI::Option& option = *app.get_option(name);
    if (option.count() > 0 || !why_without_effect(name).empty()) continue;
    option.add_result(text);
    option.run_callback();
  }
}

/// The texts of --batch and --rate of a recipe whose rate is `rate_for_256` for every 256 images of a batch, of which
/// it takes `batch` unless another number is given.
[[nodiscard]] inline crate::Metadata batch_and_rate(const CLI::App& app, const Options& o, Index batch,
                                                    double rate_for_256) {
  const Index taken = app.count("--batch") > 0 ? o.trainer.batch : batch;
  return {{"--batch", crate::detail::number_text(batch)},
          {"--rate", crate::detail::number_text(rate_for_256 * static_cast<double>(taken) / 256)}};
}

}  // namespace training_program
