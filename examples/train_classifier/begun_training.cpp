// SPDX-License-Identifier: MIT
#include "train_classifier/begun_training.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/detail/number_text.hpp"
#include "crate/io/formats/detail/is_among.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "train_classifier/check_options.hpp"

namespace train_classifier {

namespace {

using crate::detail::is_among;
using crate::detail::number_from_text;

/// Options of this run of the program, not of the training.
constexpr std::array<std::string_view, 6> of_the_run = {"--help",       "--version", "--threads",
                                                        "--checkpoint", "--resume",  "--discard"};

/// Options of a training that may be others when it goes on.
constexpr std::array<std::string_view, 7> changeable = {
    "--data", "--output", "--history", "--epochs", "--checkpoint-every", "--history-every", "--strict"};

/// Options that are paths, which another folder to work in must not change.
constexpr std::array<std::string_view, 4> paths = {"--data", "--output", "--history", "--from"};

/// What was given for an option, a word each; paths in full.
std::vector<std::string> words_of(const CLI::Option& option) {
  std::vector<std::string> words = option.results();
  if (is_among(paths, option.get_name()))
    for (std::string& word : words) word = std::filesystem::absolute(word).lexically_normal().string();
  return words;
}

/// Words are kept one a line.
std::string text_of(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : "\n") + word;
  return text;
}

std::vector<std::string> words_in(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find('\n'));
    words.emplace_back(word);
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return words;
}

/// Whether two words say the same, as 1e-3 and 0.001 do.
bool same(const std::string& a, const std::string& b) {
  const auto x = number_from_text<double>(a), y = number_from_text<double>(b);
  return a == b || (x && y && *x == *y);
}

bool same(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const std::string& x, const std::string& y) { return same(x, y); });
}

const std::string* find_text(const crate::Metadata& texts, std::string_view name) {
  const auto found = std::find_if(texts.begin(), texts.end(), [&](const auto& entry) { return entry.first == name; });
  return found != texts.end() ? &found->second : nullptr;
}

void refuse(const CLI::Option& option, const std::string* begun_with) {
  const std::string found = crate::quote(text_of(words_of(option)));
  throw crate::OptionError(crate::concatenate(
      "option ", option.get_name(), ": this training was begun with another recipe: expected ",
      begun_with != nullptr ? crate::quote(*begun_with) : "none", ", found ", found, "; leave it out to go on"));
}

/// The texts of the options that nobody gives; an option without one is off.
crate::Metadata default_texts() {
  Options defaults;
  CLI::App app;
  app.option_defaults()->always_capture_default();
  add_options(app, defaults);
  crate::Metadata texts;
  for (const CLI::Option* const option : app.get_options()) {
    const bool is_flag = option->get_items_expected_max() == 0;
    const std::string text = is_flag ? "false" : option->get_default_str();
    texts.emplace_back(option->get_name(), text == "[]" ? "" : text);
  }
  return texts;
}

}  // namespace

std::optional<BegunTraining> read_begun_training(const Options& options) {
  if (!options.resume || options.checkpoint.empty() || !crate::path_exists(options.checkpoint)) return std::nullopt;
  const crate::TensorTable file = crate::read_safetensors(options.checkpoint);
  BegunTraining training{.notes = crate::checkpoint_notes(file), .model = {}};
  if (!training.notes.empty())
    training.model = crate::any_model_from<float, crate::ImageFamilies>(crate::find_weights(file));
  return training;
}

void complete_options(CLI::App& app, const crate::Metadata& begun_with) {
  if (begun_with.empty()) return;  // by an older version: all must be given again, and is compared with the recipe
  for (CLI::Option* const option : app.get_options()) {
    const std::string name = option->get_name();
    if (is_among(of_the_run, name)) continue;
    const std::string* const before = find_text(begun_with, name);
    const bool given = option->count() > 0;
    if (given && !is_among(changeable, name) && (before == nullptr || !same(words_of(*option), words_in(*before))))
      refuse(*option, before);
    if (given || before == nullptr) continue;
    option->add_result(words_in(*before));
    option->run_callback();
  }
}

crate::Metadata describe_options(const CLI::App& app, const Options& options) {
  const crate::Metadata defaults = default_texts();
  crate::Metadata texts;
  for (const CLI::Option* const option : app.get_options()) {
    const std::string name = option->get_name();
    if (is_among(of_the_run, name) || !why_without_effect(name, options).empty()) continue;
    const bool is_given = option->count() > 0, is_in_file = name == "--heads" && !options.from.empty();
    const std::string text = is_given ? text_of(words_of(*option)) : is_in_file ? "" : *find_text(defaults, name);
    if (!text.empty()) texts.emplace_back(name, text);
  }
  return texts;
}

}  // namespace train_classifier
