// SPDX-License-Identifier: MIT
#include "inspect_model/unit_sections.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <numeric>
#include <set>
#include <string_view>

#include "crate/core/errors.hpp"
#include "crate/text/streaming_decoder.hpp"
#include "inspect_model/text_parts.hpp"
#include "plots/axis.hpp"

namespace inspect_model {

namespace {

double rate_of(const UnitReport& units, Index unit) { return units.firing_rates[static_cast<std::size_t>(unit)]; }

std::string title_of(const UnitReport& units, const ShownUnit& shown) {
  if (shown.uses.empty()) return "unit " + std::to_string(shown.unit) + " is zero for all tokens";
  return "unit " + std::to_string(shown.unit) + " is not zero for " + percent(rate_of(units, shown.unit)) +
         " of the tokens";
}

const char* const rates_caption =
    "Share of tokens for which each unit is not zero. A healthy dictionary has few that are never used, and few that "
    "always are; units of an MLP with GELU are all near 100 %";

/// "96 units, 3 of them zero for all tokens".
std::string numbers_of(const UnitReport& units) {
  const auto never = std::count(units.firing_rates.begin(), units.firing_rates.end(), 0.0);
  return count_of(units.firing_rates.size(), "unit") + ", " + std::to_string(never) + " of them zero for all tokens";
}

Table rates_table(const UnitReport& units) {
  Table table("unit_rates", {"unit", "firing_rate"});
  for (std::size_t unit = 0; unit < units.firing_rates.size(); ++unit)
    table.add(unit).add(units.firing_rates[unit]).end_row();
  return table;
}

void begin_units(FolderAndPage& out, const UnitReport& units, const std::string& what) {
  std::printf("\n%s: %s\n", units.half_step.c_str(), numbers_of(units).c_str());
  out.begin_section(
      "Units", "A unit of " + units.half_step + " is one coordinate of its codes, or one neuron of its MLP: " +
                   numbers_of(units) + ". Shown are " + what +
                   " for which a unit is largest: of the units asked for, or else of the most used among those that "
                   "are not zero for at most a fifth of the tokens, and then of those with the largest values. A unit "
                   "with a meaning is largest for tokens that are alike; "
                   "one that is never used is lost.");
}

std::string text_of(const std::vector<Index>& ids, const std::optional<crate::Tokeniser>& tokeniser) {
  if (tokeniser) return tokeniser->decode(std::vector<crate::TokenId>(ids.begin(), ids.end()));
  std::string text;
  for (const Index id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
  return text;
}

/// Without the control characters, "\x1b" in place of each, that would command a terminal; lines stay.
std::string printable(const std::string& text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
    shown += c == '\n' || c == '\t' || (byte >= 0x20 && byte != 0x7f) ? std::string(1, c) : std::string(escaped);
  }
  return shown;
}

/// The same on one line.
std::string in_line(const std::string& text) {
  std::string line;
  for (const char c : printable(text)) line += c == '\n' ? std::string("\\n") : c == '\t' ? " " : std::string(1, c);
  return line;
}

/// The token in brackets, some before it and a few behind.
std::string snippet(const crate::LabelledTokens& texts, const crate::UnitUse& use,
                    const std::optional<crate::Tokeniser>& tokeniser) {
  constexpr Index most_before = 16, most_behind = 4;
  const Index begin = texts.layout.begin(use.set), place = begin + use.token;
  const Index first = std::max(begin, place - most_before),
              last = std::min(begin + texts.layout.visible(use.set), place + 1 + most_behind);
  const auto part = [&](Index from, Index to) {
    return text_of(std::vector<Index>(texts.ids.begin() + from, texts.ids.begin() + to), tokeniser);
  };
  const auto in_brackets = [](const std::string& before, const std::string& token, const std::string& behind) {
    return crate::valid_utf8(before) + "[" + crate::valid_utf8(token) + "]" + crate::valid_utf8(behind);
  };
  if (!tokeniser) return in_brackets(part(first, place) + " ", part(place, place + 1), " " + part(place + 1, last));
  // What stands between words depends on those before, so that all is decoded together and then cut.
  const std::string before = part(first, place), with_token = part(first, place + 1), all = part(first, last);
  if (with_token.starts_with(before) && all.starts_with(with_token))
    return in_brackets(before, with_token.substr(before.size()), all.substr(with_token.size()));
  return in_brackets(before, part(place, place + 1), part(place + 1, last));
}

Index largest_of(const Matrix<double>& columns, Index column) {
  Index row = 0;
  columns.col(column).maxCoeff(&row);
  return row;
}

Setting setting_of(const std::string& half_step, const Steer& steer) { return {half_step, steer.unit, steer.value}; }

std::string title_of(const Steer& steer) {
  return "unit " + std::to_string(steer.unit) + " = " + plots::short_number(steer.value);
}

/// The three likeliest classes before, and the three likeliest after.
std::set<Index> changed_classes(const Matrix<double>& before, const Matrix<double>& after, Index image) {
  std::set<Index> classes;
  for (const auto* const outputs : {&before, &after}) {
    std::vector<Index> order(static_cast<std::size_t>(outputs->rows()));
    std::iota(order.begin(), order.end(), Index{0});
    const auto end = order.begin() + std::min<Index>(3, outputs->rows());
    std::partial_sort(order.begin(), end, order.end(),
                      [&](Index a, Index b) { return (*outputs)(a, image) > (*outputs)(b, image); });
    classes.insert(order.begin(), end);
  }
  return classes;
}

void steer_classifier(FolderAndPage& out, const std::string& half_step, const ImageModel& model,
                      const ShownImages& images, const ShowOptions& options) {
  Table table("steering", {"image", "unit", "value", "class", "probability_before", "probability_after"});
  const Matrix<double> before = model.outputs(images.values, std::nullopt);
  const auto name = [&](Index c) { return model.class_names[static_cast<std::size_t>(c)]; };
  for (const Steer& steer : options.steered) {
    std::printf("\n%s of %s\n", title_of(steer).c_str(), half_step.c_str());
    const Matrix<double> after = model.outputs(images.values, setting_of(half_step, steer));
    for (Index i = 0; i < before.cols(); ++i) {
      const Index first = largest_of(before, i), then = largest_of(after, i);
      std::printf("  %-20s  %s of %s, becomes %s of %s\n", images.names[static_cast<std::size_t>(i)].c_str(),
                  percent(before(first, i)).c_str(), name(first).c_str(), percent(after(then, i)).c_str(),
                  name(then).c_str());
      for (const Index c : changed_classes(before, after, i))
        table.add(images.names[static_cast<std::size_t>(i)])
            .add(steer.unit)
            .add(steer.value)
            .add(name(c))
            .add(before(c, i))
            .add(after(c, i))
            .end_row();
    }
  }
  out.add_open_table(table, "Probabilities of classes before and after a unit of " + half_step +
                                " is set. A unit with a meaning raises the classes of the images that use it most");
}

void steer_predictor(FolderAndPage& out, const std::string& half_step, const ImageModel& model,
                     const ShownImages& images, const ShowOptions& options) {
  Table table("steering", {"image", "unit", "value", "relative_change"});
  const Matrix<double> before = model.outputs(images.values, std::nullopt);
  const Index patches = model.grid.patches();
  for (const Steer& steer : options.steered) {
    std::printf("\n%s of %s\n", title_of(steer).c_str(), half_step.c_str());
    const Matrix<double> after = model.outputs(images.values, setting_of(half_step, steer));
    for (Index i = 0; i < images.values.cols(); ++i) {
      const auto of_image = [&](const Matrix<double>& all) { return all.middleCols(patches * i, patches); };
      const double change = (of_image(after) - of_image(before)).norm() / of_image(before).norm();
      std::printf("  %-20s  the predicted patches change by %s\n", images.names[static_cast<std::size_t>(i)].c_str(),
                  percent(change).c_str());
      table.add(images.names[static_cast<std::size_t>(i)]).add(steer.unit).add(steer.value).add(change).end_row();
    }
  }
  out.add_open_table(table,
                     "|after - before| / |before| of all predicted patches of an image when a unit of " + half_step +
                         " is set. Setting a unit that means something to a high value changes most the images that "
                         "did not use it");
}

std::vector<std::vector<Index>> given_prompts(const std::optional<crate::Tokeniser>& tokeniser,
                                              const ShowOptions& options) {
  if (!options.prompts.empty() && !tokeniser)
    throw crate::OptionError(
        "option --prompt: expected a tokeniser next to the weights, or --tokeniser, found neither");
  std::vector<std::vector<Index>> prompts;
  for (const std::string& prompt : options.prompts) {
    const std::vector<crate::TokenId> ids = tokeniser->encode_with_special_tokens(prompt);
    if (ids.empty()) throw crate::OptionError("option --prompt: expected at least 1 token, found an empty text");
    prompts.emplace_back(ids.begin(), ids.end());
  }
  return prompts;
}

/// The ids of the prompts that are given, or else the first of the first text.
std::vector<std::vector<Index>> prompts_of(const crate::LabelledTokens& texts,
                                           const std::optional<crate::Tokeniser>& tokeniser,
                                           const ShowOptions& options) {
  if (!options.prompts.empty()) return given_prompts(tokeniser, options);
  constexpr Index most = 16;
  const auto begin = texts.ids.begin() + texts.layout.begin(0);
  return {{begin, begin + std::min(most, texts.layout.visible(0))}};
}

void steer_writer(FolderAndPage& out, const std::string& half_step, const TextModel& model,
                  const std::vector<std::vector<Index>>& prompts, const std::optional<crate::Tokeniser>& tokeniser,
                  const ShowOptions& options) {
  crate::GenerationOptions how{.tokens = options.tokens, .slide = std::max(Index{1}, model.context / 2)};
  how.sampling.temperature = 0.8;
  if (tokeniser) how.vocabulary = tokeniser->vocabulary_size();
  Table table("steering", {"prompt", "unit", "value", "text"});
  const auto add = [&](const std::string& title, const std::optional<Steer>& steer) {
    const auto written =
        model.write(prompts, how, steer ? std::optional(setting_of(half_step, *steer)) : std::optional<Setting>());
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const std::string prompt = crate::valid_utf8(text_of(prompts[i], tokeniser)),
                        text = crate::valid_utf8(text_of(written[i], tokeniser));
      std::printf("\n== %s continued, %s\n%s\n", in_line(prompt).c_str(), title.c_str(), printable(text).c_str());
      table.add(prompt, in_line(prompt));
      steer ? table.add(steer->unit).add(steer->value) : table.add("", "none").add("", "none");
      table.add(text, in_line(text)).end_row();
    }
  };
  add("no unit set", std::nullopt);
  for (const Steer& steer : options.steered) add(title_of(steer) + " of " + half_step, steer);
  out.add_open_table(table,
                     "What the model writes, drawn at temperature 0.8 by the same random numbers, when a "
                     "unit of " +
                         half_step +
                         " has a value for all tokens. A unit with a meaning makes the words more frequent that "
                         "follow where it is largest; values far above those that it takes by itself break the text");
}

/// How probabilities of texts change.
struct OutputChange {
  Index outputs = 0;
  Index others = 0;  ///< of which the likeliest is another
  double sum = 0;    ///< of the total variations, in [0, outputs]

  /// Adds a column of each text, or of each of its tokens that are no padding.
  void add(const Matrix<double>& before, const Matrix<double>& after, const crate::TokenLayout& layout) {
    const bool is_of_texts = before.cols() == layout.sets();
    for (Index s = 0; s < layout.sets(); ++s) {
      const Index first = is_of_texts ? s : layout.begin(s), count = is_of_texts ? 1 : layout.visible(s);
      for (Index i = first; i < first + count; ++i) {
        ++outputs;
        if (largest_of(before, i) != largest_of(after, i)) ++others;
        sum += (after.col(i) - before.col(i)).cwiseAbs().sum() / 2;
      }
    }
  }
};

/// By each setting.
std::vector<OutputChange> changes_of(const std::string& half_step, const TextModel& model,
                                     const crate::LabelledTokens& texts, const std::vector<Steer>& steered,
                                     Index batch) {
  std::vector<OutputChange> changes(steered.size());
  for (Index first = 0; first < texts.layout.sets(); first += batch) {
    const crate::LabelledTokens part = part_of(texts, first, std::min(batch, texts.layout.sets() - first));
    const Matrix<double> before = model.outputs(part, std::nullopt);
    for (std::size_t i = 0; i < steered.size(); ++i)
      changes[i].add(before, model.outputs(part, setting_of(half_step, steered[i])), part.layout);
  }
  return changes;
}

}  // namespace

std::vector<Index> shown_units(const std::vector<double>& firing_rates, const std::vector<double>& largest,
                               const ShowOptions& options) {
  if (!options.units.empty()) return options.units;
  constexpr std::size_t most = 8;
  constexpr double rare = 0.2;
  std::vector<Index> order;
  for (std::size_t unit = 0; unit < firing_rates.size(); ++unit)
    if (firing_rates[unit] > 0) order.push_back(static_cast<Index>(unit));
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) {
    const auto i = static_cast<std::size_t>(a), j = static_cast<std::size_t>(b);
    const bool a_is_rare = firing_rates[i] <= rare, b_is_rare = firing_rates[j] <= rare;
    if (a_is_rare != b_is_rare) return a_is_rare;
    return a_is_rare ? firing_rates[i] > firing_rates[j] : largest[i] > largest[j];
  });
  order.resize(std::min(most, order.size()));
  return order;
}

void check_units(const crate::LayerUnits& layer, const ShowOptions& options) {
  const auto check = [&](std::string_view option, Index unit) {
    if (unit < 0 || unit >= layer.units)
      throw crate::OptionError(crate::concatenate("option ", option, ": expected a unit of ",
                                                  crate::quote(layer.half_step), " from 0 to ", layer.units - 1,
                                                  ", found ", unit));
  };
  for (const Index unit : options.units) check("--unit", unit);
  for (const Steer& steer : options.steered) check("--steer", steer.unit);
}

void check_prompts(const std::optional<crate::Tokeniser>& tokeniser, const ShowOptions& options) {
  (void)given_prompts(tokeniser, options);
}

void units_section(FolderAndPage& out, const UnitReport& units, const crate::PatchGrid& grid,
                   const ImageOfInput& image_of) {
  begin_units(out, units, "the patches, framed, of the inspected images");
  Table table("units", {"unit", "firing_rate", "rank", "image", "token", "value"});
  std::vector<ImageRow> rows;
  for (const ShownUnit& shown : units.shown) {
    std::printf("  %s\n", title_of(units, shown).c_str());
    ImageRow row{
        {}, title_of(units, shown) + "; below each picture the number of its image, from 0, and the value of the unit"};
    Index rank = 0;
    if (shown.uses.empty())
      table.add(shown.unit).add(rate_of(units, shown.unit)).add("").add("").add("").add("").end_row();
    for (const crate::UnitUse& use : shown.uses) {
      table.add(shown.unit).add(rate_of(units, shown.unit)).add(++rank).add(use.set).add(use.token).add(use.value);
      table.end_row();
      if (!out.shows()) continue;
      const Image image = image_of(use.set);
      row.images.push_back({std::to_string(use.set) + ": " + plots::short_number(use.value),
                            use.token == 0 ? image : surroundings(image, grid, use.token - 1)});
    }
    if (!row.images.empty()) rows.push_back(std::move(row));
  }
  out.add_pictures("units", rows,
                   "The patches for which each unit of " + units.half_step +
                       " is largest, with their surroundings, a unit a row; a whole image stands for its class "
                       "token");
  out.add_table(table, "Uses of largest value; firing_rate is the share of all tokens for which a unit is not zero");
  out.add_table(rates_table(units), rates_caption);
}

void units_section(FolderAndPage& out, const UnitReport& units, const crate::LabelledTokens& texts,
                   const std::optional<crate::Tokeniser>& tokeniser) {
  begin_units(out, units, "the tokens, in brackets among their neighbours,");
  Table table("units", {"unit", "firing_rate", "rank", "text_number", "token", "value", "text"});
  for (const ShownUnit& shown : units.shown) {
    std::printf("  %s\n", title_of(units, shown).c_str());
    Index rank = 0;
    if (shown.uses.empty())
      table.add(shown.unit).add(rate_of(units, shown.unit)).add("").add("").add("").add("").add("").end_row();
    for (const crate::UnitUse& use : shown.uses) {
      const std::string words = snippet(texts, use, tokeniser);
      table.add(shown.unit).add(rate_of(units, shown.unit)).add(++rank).add(use.set).add(use.token).add(use.value);
      table.add(words, in_line(words)).end_row();
      constexpr Index most_printed = 3;
      if (rank <= most_printed) std::printf("    %10.3g  %s\n", use.value, in_line(words).c_str());
    }
  }
  out.add_open_table(table, "The tokens for which each unit of " + units.half_step +
                                " is largest; firing_rate is the share of all tokens for which it is not zero");
  out.add_table(rates_table(units), rates_caption);
}

void steering_section(FolderAndPage& out, const std::string& half_step, const ImageModel& model,
                      const ShownImages& images, const ShowOptions& options) {
  if (options.steered.empty() || images.values.cols() == 0) return;
  out.begin_section("Steering",
                    "A unit of " + half_step +
                        " is set to a value for all tokens, and the rest of the model computed from there. A unit "
                        "with a meaning changes the prediction towards what it is most used for.");
  const bool classifies = !model.class_names.empty();
  classifies ? steer_classifier(out, half_step, model, images, options)
             : steer_predictor(out, half_step, model, images, options);
}

void steering_section(FolderAndPage& out, const std::string& half_step, const TextModel& model,
                      const crate::LabelledTokens& texts, const std::optional<crate::Tokeniser>& tokeniser,
                      const ShowOptions& options, Index batch) {
  if (options.steered.empty()) return;
  out.begin_section("Steering",
                    "A unit of " + half_step +
                        " is set to a value for all tokens, and the rest of the model computed from there. A unit "
                        "with a meaning changes what is written towards what it is most used for.");
  if (model.write)
    return steer_writer(out, half_step, model, prompts_of(texts, tokeniser, options), tokeniser, options);
  Table table("steering", {"unit", "value", "outputs", "share_of_other_likeliest", "mean_change_of_probability"});
  const std::vector<OutputChange> changes = changes_of(half_step, model, texts, options.steered, batch);
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const Steer& steer = options.steered[i];
    const auto outputs = static_cast<double>(changes[i].outputs);
    const double share = static_cast<double>(changes[i].others) / outputs, change = changes[i].sum / outputs;
    std::printf("\n%s of %s: the likeliest is another for %s of %td outputs\n", title_of(steer).c_str(),
                half_step.c_str(), percent(share).c_str(), changes[i].outputs);
    table.add(steer.unit).add(steer.value).add(changes[i].outputs).add(share).add(change).end_row();
  }
  out.add_open_table(table, "How outputs change when a unit of " + half_step +
                                " is set: the share of outputs for which another is then the likeliest, and the share "
                                "of the probability that goes from some to others, on average. One unit of many "
                                "changes little");
}

}  // namespace inspect_model
