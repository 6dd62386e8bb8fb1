// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/detail/number_text.hpp"
#include "crate/io/formats/detail/is_among.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/io/load_model.hpp"
#include "crate/training/checkpoint.hpp"
#include "training_program/options.hpp"

// Resuming a training with the options that it was started with.

namespace training_program {

/// The training in a checkpoint.
template <class Families>
struct BegunTraining {
  crate::Metadata notes;  ///< the options that it was started with
  std::optional<crate::AnyModel<float, Families>>
      model;  ///< with all sizes and settings; checkpoints of older versions have none
};

/// The checkpoint of the training to resume, with --resume and if it exists. Throws FileError if it cannot be
/// read.
[[nodiscard]] inline std::optional<crate::TensorTable> read_begun_checkpoint(const Options& options) {
  if (!options.resume || options.checkpoint.empty() || !crate::path_exists(options.checkpoint)) return std::nullopt;
  return crate::read_safetensors(options.checkpoint);
}

/// The training in it. Throws as read_begun_checkpoint.
template <class Families>
[[nodiscard]] std::optional<BegunTraining<Families>> read_begun_training(const Options& options) {
  const auto file = read_begun_checkpoint(options);
  if (!file) return std::nullopt;
  BegunTraining<Families> training{.notes = crate::checkpoint_notes(*file), .model = {}};
  if (!training.notes.empty()) training.model = crate::any_model_from<float, Families>(crate::find_weights(*file));
  return training;
}

/// Which options of a program may change when a training is resumed; which are paths, stored as absolute paths; and
/// which belong to a single run of the program and are not stored.
struct ContinuedOptions {
  std::vector<std::string_view> changeable, paths, of_the_run = {};
};

namespace detail {

using crate::detail::is_among;
using crate::detail::number_from_text;

/// Options of a run of any program, not of the training.
inline constexpr std::array<std::string_view, 6> of_every_run = {"--help",       "--version", "--threads",
                                                                 "--checkpoint", "--resume",  "--discard"};

inline bool is_of_the_run(std::string_view name, const ContinuedOptions& continued) {
  return is_among(of_every_run, name) || is_among(continued.of_the_run, name);
}

/// The words that were given for an option; paths are absolute.
inline std::vector<std::string> words_of(const CLI::Option& option, const ContinuedOptions& continued) {
  std::vector<std::string> words = option.results();
  if (is_among(continued.paths, option.get_name()))
    for (std::string& word : words) word = std::filesystem::absolute(word).lexically_normal().string();
  return words;
}

/// The words, one per line.
inline std::string text_of(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : "\n") + word;
  return text;
}

inline std::vector<std::string> words_in(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find('\n'));
    words.emplace_back(word);
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return words;
}

/// Whether two words say the same, as 1e-3 and 0.001 do.
inline bool same(const std::string& a, const std::string& b) {
  const auto x = number_from_text<double>(a), y = number_from_text<double>(b);
  return a == b || (x && y && *x == *y);
}

inline bool same(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const std::string& x, const std::string& y) { return same(x, y); });
}

inline const std::string* find_text(const crate::Metadata& texts, std::string_view name) {
  const auto found = std::find_if(texts.begin(), texts.end(), [&](const auto& entry) { return entry.first == name; });
  return found != texts.end() ? &found->second : nullptr;
}

inline void refuse(const CLI::Option& option, const std::string* begun_with, const ContinuedOptions& continued) {
  const std::string found = crate::quote(text_of(words_of(option, continued)));
  throw crate::OptionError(crate::concatenate("option ", option.get_name(), ": the training in the checkpoint uses ",
                                              begun_with != nullptr ? crate::quote(*begun_with) : "none",
                                              ", and cannot be resumed with ", found,
                                              "; leave the option out to resume"));
}

/// The default values of the options as texts.
inline crate::Metadata default_texts(const CLI::App& defaults) {
  crate::Metadata texts;
  for (const CLI::Option* const option : defaults.get_options()) {
    const bool is_flag = option->get_items_expected_max() == 0;
    const std::string text = is_flag ? "false" : option->get_default_str();
    texts.emplace_back(option->get_name(), text == "[]" ? "" : text);
  }
  return texts;
}

}  // namespace detail

/// Sets the options that were not given to the values with which the training was started.
/// Throws OptionError, with both values, if one that was given contradicts them.
inline void complete_options(CLI::App& app, const crate::Metadata& begun_with, const ContinuedOptions& continued) {
  if (begun_with.empty()) return;  // by an older version: all must be given again, and is compared with the recipe
  for (CLI::Option* const option : app.get_options()) {
    const std::string name = option->get_name();
    if (detail::is_of_the_run(name, continued)) continue;
    const std::string* const before = detail::find_text(begun_with, name);
    const bool given = option->count() > 0;
    const auto is_as_before = [&] {
      return before != nullptr && detail::same(detail::words_of(*option, continued), detail::words_in(*before));
    };
    if (given && !detail::is_among(continued.changeable, name) && !is_as_before())
      detail::refuse(*option, before, continued);
    if (given || before == nullptr) continue;
    option->add_result(detail::words_in(*before));
    option->run_callback();
  }
}

/// The options as name and text, for the checkpoint. Options without effect are omitted. For an option that was not
/// given, the default of a fresh command line with the options of `add` is stored, unless leave_out(name).
template <class Options>
[[nodiscard]] crate::Metadata describe_options(
    const CLI::App& app, const std::function<void(CLI::App&, Options&)>& add, const ContinuedOptions& continued,
    const std::function<std::string_view(std::string_view)>& why_without_effect,
    const std::function<bool(std::string_view)>& leave_out = [](std::string_view) { return false; }) {
  Options untouched;
  CLI::App defaults;
  defaults.option_defaults()->always_capture_default();
  add(defaults, untouched);
  const crate::Metadata texts_of_defaults = detail::default_texts(defaults);
  crate::Metadata texts;
  for (const CLI::Option* const option : app.get_options()) {
    const std::string name = option->get_name();
    if (detail::is_of_the_run(name, continued) || !why_without_effect(name).empty()) continue;
    const bool is_given = option->count() > 0;
    const std::string text = is_given          ? detail::text_of(detail::words_of(*option, continued))
                             : leave_out(name) ? ""
                                               : *detail::find_text(texts_of_defaults, name);
    if (!text.empty()) texts.emplace_back(name, text);
  }
  return texts;
}

}  // namespace training_program
