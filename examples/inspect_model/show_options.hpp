// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "text_program/tokeniser_options.hpp"

namespace inspect_model {

using crate::Index;

/// A unit that is set to a value.
struct Steer {
  Index unit;
  double value;
};

/// What is shown of single images and texts.
class ShowOptions {
 public:
  std::vector<std::string> pictures, masks, prompts;
  std::string block;          // empty: the last of the encoder
  std::optional<Index> head;  // empty: all
  std::vector<Index> units;   // empty: the most used
  Index shown = 4, cuts = 3, tokens = 120;
  double mass = 0.6, threshold = 0.15;
  text_program::TokeniserOptions tokeniser;
  std::optional<std::pair<Index, Index>> query = {};  // row and column of a patch; empty: the class token
  std::optional<std::pair<Index, Index>> size = {};   // of the pictures; empty: of the model's images
  std::vector<Steer> steered = {};

  void add_to(CLI::App& app);

  /// Reads what the options hold. Throws OptionError if one is malformed or would have no effect: `writes` says whether
  /// a folder for pictures is given, `has_inputs` whether other images or texts than the pictures.
  void finish(const CLI::App& app, bool writes, bool has_inputs);

  /// Whether units are to be told of even where nothing is written.
  [[nodiscard]] bool asks_for_units() const { return !units.empty() || !steered.empty(); }

  /// Throws OptionError if an option is given that is of models of images alone, of texts alone, or of those that
  /// write texts.
  void check_for_texts(bool writes_text) const;
  void check_for_images() const;

 private:
  void add_picture_options(CLI::App& app);
  void add_attention_options(CLI::App& app);
  void add_unit_options(CLI::App& app);

  [[nodiscard]] std::string_view without_effect(std::string_view option, bool writes, bool has_inputs) const;

  /// Throws OptionError if one of these options is given.
  void refuse(std::initializer_list<std::string_view> options, std::string_view expected) const;

  std::set<std::string, std::less<>> given_;
  std::string query_, size_;
  std::vector<std::string> steered_;
};

/// "3,7" as (3, 7). Throws OptionError on another text.
[[nodiscard]] std::pair<Index, Index> place_from(const std::string& text);

/// "12=0.5". Throws OptionError on another text.
[[nodiscard]] Steer steer_from(const std::string& text);

}  // namespace inspect_model
