// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/launched_process.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/version.hpp"
#include "program_options/help.hpp"
#include "program_options/nearest_option.hpp"

#ifdef __linux__
#include <sched.h>
#endif

// The command lines of all programs: what they share.

namespace program_options {

// Exit codes of all programs.
inline constexpr int failure = 1;      ///< a file, the data or the system is at fault
inline constexpr int usage_error = 2;  ///< the command line is: it cannot be read, or throws OptionError

/// The last line of the help: the exit codes, and what the program adds to them, as in "130 interrupted".
inline void add_exit_code(CLI::App& app, const std::string& further = {}) {
  app.footer("\nExit code: 0 success, 1 error, 2 wrong command line" + (further.empty() ? "" : ", " + further) + ".");
}

/// Names the program, lets its help show defaults, and adds --version. Call it before options are added.
inline void set_up(CLI::App& app, const std::string& program) {
  app.name(program);
  app.formatter(std::make_shared<Help>());
  app.option_defaults()->always_capture_default();
  app.get_help_ptr()->description("print this help and exit");
  add_exit_code(app);
  app.set_version_flag(
      "--version",
      crate::concatenate(program, " (crate) ", CRATE_VERSION_MAJOR, ".", CRATE_VERSION_MINOR, ".", CRATE_VERSION_PATCH),
      "print the version and exit");
  app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    return failed->get_name() + ": " + error.what() + "\n--help lists the options\n";
  });
}

/// Heads the options that are added next in the help.
inline void begin_group(CLI::App& app, const std::string& heading) { app.option_defaults()->group(heading); }

[[nodiscard]] inline int cores_of_machine() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// The cores that this process may run on.
[[nodiscard]] inline int usable_cores() {
#ifdef __linux__
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
#endif
  return cores_of_machine();
}

/// All cores that this process may run on; of several processes that share a machine, each has its part of them.
[[nodiscard]] inline int all_cores() {
  const auto launched = crate::launched_process();
  const int processes = launched ? std::max(1, launched->count_on_machine) : 1;
  return std::max(1, std::min(usable_cores(), cores_of_machine() / processes));
}

/// --threads: all cores unless it is given.
inline void add_threads(CLI::App& app, int& threads) {
  constexpr int most = 4096;
  threads = all_cores();
  app.add_option("--threads", threads,
                 crate::concatenate("number of threads; the result does not depend on it [all cores: ", threads, "]"))
      ->check(CLI::Range(1, most));
}

inline void add_seed(CLI::App& app, std::uint64_t& seed) {
  app.add_option("--seed", seed, "seed of the random numbers");
}

/// "a, b or c"
[[nodiscard]] inline std::string alternatives(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return text;
}

namespace detail {

template <class Value>
[[nodiscard]] std::string text_of_choice(const Value& value) {
  if constexpr (std::is_enum_v<Value>)
    return std::to_string(static_cast<std::underlying_type_t<Value>>(value));
  else
    return value;
}

}  // namespace detail

/// The names of values among which an option chooses.
template <class Value>
using Choices = std::vector<std::pair<std::string, Value>>;

/// An option that takes one of some names. Its description says what they mean.
template <class Value>
CLI::Option* add_choice(CLI::App& app, const std::string& option, Value& value, const Choices<Value>& choices,
                        const std::string& description) {
  std::vector<std::string> names;
  std::string standard;
  for (const auto& [name, chosen] : choices) {
    names.push_back(name);
    if (chosen == value) standard = name;
  }
  const auto replace = [choices, names](std::string& word) {
    for (const auto& [name, chosen] : choices)
      if (name == word) {
        word = detail::text_of_choice(chosen);
        return std::string();
      }
    return "expected " + alternatives(names) + ", found " + crate::quote(word);
  };
  return app.add_option(option, value, description)
      ->transform(CLI::Validator(replace, "", "choice"))
      ->type_name("NAME")
      ->default_str(standard);
}

/// The same where the names are the values.
inline CLI::Option* add_choice(CLI::App& app, const std::string& option, std::string& value,
                               const std::vector<std::string>& names, const std::string& description) {
  Choices<std::string> choices;
  for (const std::string& name : names) choices.emplace_back(name, name);
  return add_choice(app, option, value, choices, description);
}

/// The words of the command line that nothing takes, and for the first of them the option that may be meant.
[[nodiscard]] inline std::string unknown_words(const CLI::App& app) {
  std::string text, meant;
  for (const std::string& word : app.remaining()) {
    text += " " + word;
    if (meant.empty()) meant = nearest_option(app, word);
  }
  return meant.empty() ? text : text + "; did you mean " + meant + "?";
}

/// Reads the command line. Returns the exit code if the program must end now, because help or the version was asked
/// for, or because the line cannot be read; everything has been printed then. Of several mistakes, unknown options are
/// reported first.
[[nodiscard]] inline std::optional<int> parse(CLI::App& app, int count, const char* const* arguments) {
  try {
    app.parse(count, arguments);
    return std::nullopt;
  } catch (const CLI::Success& asked) { return app.exit(asked); } catch (const CLI::ParseError& error) {
    const std::string unknown = unknown_words(app);
    (void)app.exit(unknown.empty()
                       ? error
                       : CLI::ParseError("unknown option or argument:" + unknown, CLI::ExitCodes::ExtrasError));
    return usage_error;
  }
}

/// Throws OptionError if an option is given for which `why_without_effect(name)` has a reason.
template <class Reason>
void check_effects(const CLI::App& app, const Reason& why_without_effect) {
  for (const CLI::Option* const option : app.get_options()) {
    if (option->count() == 0) continue;
    const std::string_view reason = why_without_effect(option->get_name());
    if (!reason.empty())
      throw crate::OptionError(crate::concatenate("option ", option->get_name(), " would have no effect: ", reason));
  }
}

/// What `main` returns: what `action()` does, or the exit code of an error, which is printed.
template <class Action>
[[nodiscard]] int run(std::string_view program, const Action& action) {
  try {
    return action();
  } catch (const std::bad_alloc&) {
    std::cerr << program << ": there is not enough memory\n";
  } catch (const crate::OptionError& error) {
    std::cerr << program << ": " << error.what() << '\n';
    return usage_error;
  } catch (const std::exception& error) { std::cerr << program << ": " << error.what() << '\n'; }
  return failure;
}

/// The same of a program that was set_up: reads the command line first, into the options that were added, and does
/// `action()` unless that ends the program.
template <class Action>
[[nodiscard]] int run(CLI::App& app, int count, const char* const* arguments, const Action& action) {
  if (const auto ended = parse(app, count, arguments)) return *ended;
  return run(app.get_name(), action);
}

}  // namespace program_options
