// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crate/analysis/token_features.hpp"
#include "crate/analysis/unit_use.hpp"
#include "crate/core/threads.hpp"
#include "inspect_model/any_model.hpp"
#include "inspect_model/exhibition.hpp"
#include "inspect_model/inputs.hpp"
#include "inspect_model/map_sections.hpp"
#include "inspect_model/options.hpp"
#include "inspect_model/unit_sections.hpp"
#include "text_program/tokeniser_options.hpp"

// What a model does with single images and texts.

namespace inspect_model {

/// The layer whose attention is shown, and its block's units.
struct ShownLayers {
  crate::AttentionLayer attention;
  crate::LayerUnits units;
};

/// The patches of the images that are shown.
template <class Model>
[[nodiscard]] crate::PatchGrid shown_grid(const Model& model, const ShowOptions& options) {
  const crate::PatchGrid& grid = patch_grid(model);
  if (!options.size) return grid;
  return crate::ImageOptions{.height = options.size->first,
                             .width = options.size->second,
                             .channels = grid.channels,
                             .patch_height = grid.height,
                             .patch_width = grid.width}
      .grid();
}

/// Throws OptionError if there is no such block, head, query or unit, or an option is for models of another kind.
template <class Model>
ShownLayers shown_layers(const Model& model, const ShowOptions& options) {
  const auto attention = crate::attention_layers(model);
  const crate::AttentionLayer& layer = attention_in(attention, options.block);
  const auto units = crate::layer_units(model);
  const ShownLayers shown{layer, units_in(units, block_of(layer.name))};
  if constexpr (requires { model.context(); })
    options.check_for_texts();
  else
    options.check_for_images(), check_maps(layer, shown_grid(model, options), options);
  check_units(shown.units, options);
  return shown;
}

namespace detail {

/// The tokeniser that is named, or the one beside the weights, if there is one.
[[nodiscard]] inline std::optional<crate::Tokeniser> find_tokeniser(const Options& options, Index vocabulary) {
  const text_program::TokeniserOptions& named = options.show.tokeniser;
  std::optional<text_program::ChosenTokeniser> found;
  if (named.kind.empty() && named.vocabulary.empty())
    found = text_program::read_beside(options.weights);
  else
    found = text_program::read_tokeniser(named, options.weights);
  if (!found) return std::nullopt;
  text_program::check_vocabulary(found->tokeniser, vocabulary);
  return std::move(found->tokeniser);
}

/// The pictures that are named, or else the first of the inputs, for a model that takes images of their size.
template <class Model, crate::Scalar S>
[[nodiscard]] ShownImages shown_images(const Model& model, const ExampleImages<S>& inputs, const ShowOptions& options) {
  ShownImages images{.names = {}, .values = {}, .pictures = {}};
  if (options.pictures.empty()) {
    images.values = inputs.take(0, std::min(options.shown, inputs.size())).template cast<double>();
    for (Index i = 0; i < images.values.cols(); ++i) images.names.push_back("image-" + std::to_string(i));
  } else {
    images.names = names_of_pictures(options.pictures);
    images.values = read_pictures(model, options.pictures).template cast<double>();
    images.masks = read_masks(options.masks, options.pictures, model.about.preprocessing, patch_grid(model));
  }
  for (Index i = 0; i < images.values.cols(); ++i)
    images.pictures.push_back(
        image_of_values(images.values.col(i), patch_grid(model), model.about.preprocessing.normalisation));
  return images;
}

template <class Model, crate::Scalar S>
void show(const Model& model, const ExampleImages<S>& inputs, const ShownLayers& layers, const UnitReport& units,
          const Options& options, crate::Threads& threads, Exhibition& exhibition) {
  const ImageOfInput image_of = [&](Index image) {
    return image_of_values(inputs.take(image, 1).template cast<double>().col(0).eval(), patch_grid(model),
                           model.about.preprocessing.normalisation);
  };
  const auto show_by = [&](const Model& of_shown_size) {
    const ShownImages images = shown_images(of_shown_size, inputs, options.show);
    const ImageModel any = image_model(of_shown_size, threads);
    if (exhibition.shows() && images.values.cols() > 0)
      map_sections(exhibition, {any, images, layers.attention, any.features(images.values, layers.attention)},
                   options.show);
    units_section(exhibition, units, patch_grid(model), image_of);
    steering_section(exhibition, layers.units.half_step, any, images, options.show);
  };
  if (!options.show.size) return show_by(model);
  Model resized = model;
  resized.resize_images(options.show.size->first, options.show.size->second);
  show_by(resized);
}

template <class Model>
void show(const Model& model, const crate::LabelledTokens& texts, const ShownLayers& layers, const UnitReport& units,
          const Options& options, crate::Threads& threads, Exhibition& exhibition) {
  const std::optional<crate::Tokeniser> tokeniser = find_tokeniser(options, model.vocabulary());
  units_section(exhibition, units, texts, tokeniser);
  steering_section(exhibition, layers.units.half_step, text_model(model, threads), texts, tokeniser, options.show);
}

}  // namespace detail

/// Attention maps, principal components, segments, units and steering, as far as they are asked for: a folder or a page
/// to show them in, or units of which to tell. Runs the model on its inputs once more, to see what uses its units.
template <class Model>
void show_inputs(const Model& model, const Options& options, crate::Threads& threads, Page* page) {
  using S = typename Model::Scalar;
  Exhibition exhibition(options.output, page);
  if (!exhibition.shows() && !options.show.asks_for_units()) return;
  const ShownLayers layers = shown_layers(model, options.show);
  const auto inputs = read_inputs(model, options, threads);
  crate::UnitMeter<S> meter(layers.units.half_step);
  run_on(model, inputs, options.batch, {.threads = &threads, .observer = meter.observer()});
  const UnitReport units = unit_report(meter, layers.units.half_step, options.show);
  detail::show(model, inputs, layers, units, options, threads, exhibition);
}

}  // namespace inspect_model
