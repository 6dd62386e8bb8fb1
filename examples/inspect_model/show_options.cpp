// SPDX-License-Identifier: MIT
#include "inspect_model/show_options.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

#include "crate/core/errors.hpp"
#include "load_options.hpp"
#include "program_options/program_options.hpp"

namespace inspect_model {

namespace {

/// The number at the front of a text, which goes on behind it; nothing where there is none.
template <class Number>
std::optional<Number> take_number(std::string_view& text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

}  // namespace

std::pair<Index, Index> place_from(const std::string& text) {
  std::string_view rest = text;
  const auto row = take_number<Index>(rest);
  if (row && *row >= 0 && rest.starts_with(',')) {
    rest.remove_prefix(1);
    const auto column = take_number<Index>(rest);
    if (column && *column >= 0 && rest.empty()) return {*row, *column};
  }
  throw crate::OptionError("option --query: expected ROW,COLUMN of a patch, as in 3,7, found " + crate::quote(text));
}

Steer steer_from(const std::string& text) {
  std::string_view rest = text;
  const auto unit = take_number<Index>(rest);
  if (unit && *unit >= 0 && rest.starts_with('=')) {
    rest.remove_prefix(1);
    const auto value = take_number<double>(rest);
    if (value && std::isfinite(*value) && rest.empty()) return {*unit, *value};
  }
  throw crate::OptionError("option --steer: expected UNIT=VALUE, as in 12=0.5, found " + crate::quote(text));
}

void ShowOptions::add_to(CLI::App& app) {
  program_options::begin_group(app, "Single images and texts");
  add_picture_options(app);
  add_attention_options(app);
  add_unit_options(app);
  text_program::add_tokeniser_options(app, tokeniser, "from its files",
                                      "next to the weights; without a tokeniser, tokens are shown as numbers");
}

void ShowOptions::add_picture_options(CLI::App& app) {
  app.add_option(
         "--picture", pictures,
         "PNG or JPEG file to show and, without --data or --input, to inspect the model on; may be given several "
         "times [the first images of --data or --input]")
      ->type_name("FILE")
      ->allow_extra_args(false);
  app.add_option("--picture-size", size_,
                 "resize pictures to this size; position embeddings are interpolated [the model's image size]")
      ->type_name("HEIGHTxWIDTH");
  app.add_option(
         "--mask", masks,
         "PNG or JPEG file of the picture's size, bright on the object: measure how well attention maps and cuts "
         "overlap with it; one per --picture")
      ->type_name("FILE")
      ->allow_extra_args(false);
  app.add_option("--show", shown, "number of images of --data or --input to show; 0: none")
      ->check(CLI::Range(Index{0}, Index{1000}));
}

void ShowOptions::add_attention_options(CLI::App& app) {
  app.add_option("--block", block,
                 "show attention and units of this block, such as layers.3 [the last one of the encoder]")
      ->type_name("NAME");
  app.add_option("--head", head, "show this head's attention, counted from 0 [all heads]")->type_name("N");
  app.add_option("--query", query_, "show the attention of this patch, counted from 0,0 [of the class token]")
      ->type_name("ROW,COLUMN");
  app.add_option("--mass", mass, "attention masks contain the patches that hold this share of the attention")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--cuts", cuts, "maximum number of objects to find by normalised cuts")
      ->check(CLI::Range(Index{1}, Index{100}));
  app.add_option("--threshold", threshold,
                 "normalised cuts connect two patches if the cosine of their keys is above this");
}

void ShowOptions::add_unit_options(CLI::App& app) {
  app.add_option("--unit", units,
                 "show where this unit of the block's code is largest; may be given several times [the most used units "
                 "among those active on at most a fifth of the tokens]")
      ->type_name("N")
      ->allow_extra_args(false);
  app.add_option("--steer", steered_,
                 "set a unit of the block's code to a value, and show what the model then computes; may be given "
                 "several times")
      ->type_name("UNIT=VALUE")
      ->allow_extra_args(false);
  app.add_option("--prompt", prompts, "prompt for a steered language model [the first tokens of --input or --text]")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  app.add_option("--tokens", tokens, "number of tokens that a steered language model generates")
      ->check(CLI::Range(Index{1}, Index{1} << 20));
}

std::string_view ShowOptions::without_effect(std::string_view option, bool writes, bool has_inputs) const {
  const auto is_of = [&](std::initializer_list<std::string_view> options) {
    return std::find(options.begin(), options.end(), option) != options.end();
  };
  const bool of_maps = is_of({"--mask", "--head", "--query", "--mass", "--cuts", "--threshold"});
  if (of_maps && !writes) return "neither --output nor --page is given";
  // Predictions of pictures are printed when units are steered.
  const bool of_pictures = is_of({"--picture-size", "--show"}) || (option == "--picture" && has_inputs);
  if (of_pictures && !writes && steered_.empty()) return "none of --output, --page and --steer is given";
  if (option == "--show" && (!pictures.empty() || !has_inputs)) return "all pictures of --picture are shown";
  if (is_of({"--picture-size", "--mask"}) && pictures.empty()) return "--picture is not given";
  if (of_maps && pictures.empty() && shown == 0) return "--show 0 shows no image";
  if (is_of({"--prompt", "--tokens"}) && steered_.empty()) return "--steer is not given";
  return "";
}

void ShowOptions::refuse(std::initializer_list<std::string_view> options, std::string_view expected) const {
  for (const std::string_view option : options)
    if (given_.contains(option))
      throw crate::OptionError(crate::concatenate("option ", option, ": expected ", expected));
}

void ShowOptions::check_for_texts(bool writes_text) const {
  refuse({"--picture", "--picture-size", "--mask", "--show", "--head", "--query", "--mass", "--cuts", "--threshold"},
         "a model of images, found one of texts");
  if (!writes_text) refuse({"--prompt", "--tokens"}, "a language model that writes, found one that does not");
}

void ShowOptions::check_for_images() const {
  refuse({"--prompt", "--tokens", "--tokeniser", "--vocabulary"}, "a model of texts, found one of images");
  if (pictures.empty() && shown == 0) refuse({"--steer"}, "images to show its effect, found --show 0");
}

void ShowOptions::finish(const CLI::App& app, bool writes, bool has_inputs) {
  program_options::check_effects(app,
                                 [&](std::string_view option) { return without_effect(option, writes, has_inputs); });
  for (const CLI::Option* const option : app.get_options())
    if (option->count() > 0) given_.insert(option->get_name());
  if (!masks.empty() && masks.size() != pictures.size())
    throw crate::OptionError(crate::concatenate("option --mask: expected ", pictures.size(),
                                                ", one for each picture, found ", masks.size()));
  if (!(mass >= 0 && mass <= 1))
    throw crate::OptionError(crate::concatenate("option --mass: expected a share from 0 to 1, found ", mass));
  if (!(threshold >= -1 && threshold < 1))
    throw crate::OptionError(
        crate::concatenate("option --threshold: expected a cosine from -1 to below 1, found ", threshold));
  if (!query_.empty()) query = place_from(query_);
  if (!size_.empty()) size = examples::sides_from("--picture-size", size_);
  for (const std::string& text : steered_) steered.push_back(steer_from(text));
}

}  // namespace inspect_model
