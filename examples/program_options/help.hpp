// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace program_options {

/// Lists the options as in "  --depth N    number of layers [4]": placeholder, meaning, default. Choices and ranges are
/// left to the descriptions.
class Help : public CLI::Formatter {
 public:
  /// With one blank line between groups.
  [[nodiscard]] std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    for (std::size_t at = 0; (at = text.find("\n\n\n", at)) != std::string::npos;) text.erase(at, 1);
    return text;
  }

  [[nodiscard]] std::string make_option(const CLI::Option* option, bool is_positional) const override {
    constexpr std::size_t indent = 28;
    std::string lines = "  " + names_of(*option, is_positional) + placeholder_of(*option);
    std::size_t column = lines.size();
    if (column + 2 > indent) {
      lines += "\n";
      column = 0;
    }
    lines += std::string(indent - column, ' ');
    return lines + wrapped(description_of(*option), indent) + "\n";
  }

  /// Arguments that have no other name.
  [[nodiscard]] std::string make_positionals(const CLI::App* app) const override {
    const std::vector<const CLI::Option*> options = app->get_options([](const CLI::Option* option) {
      return option->get_positional() && option->get_lnames().empty() && !option->get_group().empty();
    });
    return options.empty() ? "" : make_group("Arguments", true, options);
  }

  [[nodiscard]] std::string make_group(std::string heading, bool is_positional,
                                       std::vector<const CLI::Option*> options) const override {
    std::string lines = "\n" + heading + ":\n";
    for (const CLI::Option* const option : options) lines += make_option(option, is_positional);
    return lines;
  }

 private:
  [[nodiscard]] static std::string names_of(const CLI::Option& option, bool is_positional) {
    if (is_positional) return option.get_name(true);
    std::string names;
    for (const std::string& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
    for (const std::string& name : option.get_lnames()) names += (names.empty() ? "--" : ", --") + name;
    return names;
  }

  [[nodiscard]] static bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

  [[nodiscard]] static std::string placeholder_of(const CLI::Option& option) {
    if (!option.get_option_text().empty()) return option.get_option_text();
    const std::string type = option.get_type_name().substr(0, option.get_type_name().find_first_of(": "));
    if (option.get_type_size() == 0 || is_flag(option)) return "";
    if (type == "INT" || type == "UINT") return " N";
    return type == "FLOAT" ? " X" : " " + type;
  }

  /// With the default at its end, unless the text ends with one.
  [[nodiscard]] static std::string description_of(const CLI::Option& option) {
    std::string text = option.get_description(), value = option.get_default_str();
    if (option.get_required()) return text + " (required)";
    if (value.starts_with('"') && value.ends_with('"')) value = value.substr(1, value.size() - 2);  // paths
    const bool has_default = text.ends_with(']') || is_flag(option) || value.empty() || value == "[]";
    return has_default ? text : text + " [" + value + "]";
  }

  /// In lines of at most 100 columns, the further ones indented.
  [[nodiscard]] static std::string wrapped(std::string_view words, std::size_t indent) {
    constexpr std::size_t columns = 100;
    std::string text;
    std::size_t column = indent;
    while (!words.empty()) {
      const std::string_view word = words.substr(0, words.find(' '));
      const bool fits = column + 1 + word.size() <= columns;
      if (column > indent) text += fits ? " " : "\n" + std::string(indent, ' ');
      column = column == indent ? column + word.size() : fits ? column + 1 + word.size() : indent + word.size();
      text += word;
      words.remove_prefix(std::min(words.size(), word.size() + 1));
    }
    return text;
  }
};

}  // namespace program_options
