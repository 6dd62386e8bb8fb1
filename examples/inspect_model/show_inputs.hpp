// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/analysis/token_features.hpp"
#include "crate/analysis/unit_use.hpp"
#include "crate/core/threads.hpp"
#include "inspect_model/any_model.hpp"
#include "inspect_model/folder_and_page.hpp"
#include "inspect_model/inputs.hpp"
#include "inspect_model/introduction.hpp"
#include "inspect_model/map_sections.hpp"
#include "inspect_model/options.hpp"
#include "inspect_model/unit_sections.hpp"
#include "text_program/tokeniser_options.hpp"

// What a model does with single images and texts.

namespace inspect_model {

/// The layer whose attention is shown, its block's units, and the tokeniser that writes tokens as text.
struct ShownLayers {
  crate::AttentionLayer attention;
  crate::LayerUnits units;
  std::optional<crate::Tokeniser> tokeniser = {};
};

/// What is shown of a second model of images: the layer whose attention is, and the options for its maps.
struct ShownOfSecond {
  crate::AttentionLayer attention;
  ShowOptions options;
};

/// Shows the maps of a second model; none of texts, and where there is no second model.
using ShowOfSecond = std::function<void()>;

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

namespace detail {

/// Calls body with a model of the size at which pictures are shown.
template <class Model, class Body>
void with_shown_size(const Model& model, const ShowOptions& options, const Body& body) {
  if (!options.size) return body(model);
  Model resized = model;
  resized.resize_images(options.size->first, options.size->second);
  body(resized);
}

/// Throws what would be thrown when they are shown.
template <class Model>
void check_pictures(const Model& model, const ShowOptions& options) {
  if (options.pictures.empty()) return;
  with_shown_size(model, options, [&](const Model& of_shown_size) {
    (void)read_pictures(of_shown_size, options.pictures);
    (void)read_masks(options.masks, options.pictures, model.about.preprocessing, patch_grid(of_shown_size));
  });
}

}  // namespace detail

/// Whether anything is shown of single images or texts.
[[nodiscard]] inline bool shows_inputs(const Options& options) {
  return !options.output.empty() || !options.page.empty() || options.show.asks_for_units();
}

/// What is shown. Throws OptionError if there is no such block, head, query or unit, or an option is for models of
/// another kind; FileError, and what prepare() and read_masks() throw, if a file for it cannot be read.
template <class Model>
ShownLayers shown_layers(const Model& model, const Options& options) {
  const auto attention = crate::attention_layers(model);
  const crate::AttentionLayer& layer = attention_in(attention, options.show.block);
  const auto units = crate::layer_units(model);
  ShownLayers shown{layer, units_in(units, block_of(layer.name))};
  check_units(shown.units, options.show);
  if constexpr (requires { model.context(); }) {
    options.show.check_for_texts(writes_text<Model>);
    if (shows_inputs(options)) shown.tokeniser = find_tokeniser(options, model.vocabulary());
    check_prompts(shown.tokeniser, options.show);
  } else {
    options.show.check_for_images();
    check_maps(layer, shown_grid(model, options.show), options.show);
    detail::check_pictures(model, options.show);
  }
  return shown;
}

namespace detail {

/// The layer of a second model that compares with that of the first: in its block of the same name, or else in its
/// last. Heads and patches that it does not have are not asked for.
[[nodiscard]] inline crate::AttentionLayer layer_beside(const std::vector<crate::AttentionLayer>& layers,
                                                        const crate::PatchGrid& grid, ShowOptions& options) {
  const auto has_block = [&](const crate::AttentionLayer& layer) { return block_of(layer.name) == options.block; };
  if (std::none_of(layers.begin(), layers.end(), has_block)) options.block.clear();
  const crate::AttentionLayer& layer = attention_in(layers, options.block);
  if (options.head && *options.head >= layer.heads) options.head.reset();
  if (options.query && (options.query->first >= grid.rows || options.query->second >= grid.columns))
    options.query.reset();
  return layer;
}

}  // namespace detail

/// What is shown of a second model, whose options these are: nothing where no maps are, of a model of texts, and of one
/// without attention. Throws OptionError if its patches do not divide the size of the pictures, and what prepare() and
/// read_masks() throw.
template <class Model>
std::optional<ShownOfSecond> shown_of_second(const Model& model, const Options& options) {
  if constexpr (requires { model.context(); }) {
    return std::nullopt;
  } else {
    const auto layers = crate::attention_layers(model);
    if ((options.output.empty() && options.page.empty()) || layers.empty()) return std::nullopt;
    ShowOptions show = options.show;
    const auto layer = detail::layer_beside(layers, shown_grid(model, show), show);
    detail::check_pictures(model, show);
    return ShownOfSecond{layer, show};
  }
}

namespace detail {

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

/// What the layer sees in the images.
template <class Model>
void show_maps(const Model& model, const ShownImages& images, const crate::AttentionLayer& layer,
               const ShowOptions& options, crate::Threads& threads, FolderAndPage& out) {
  if (!out.shows() || images.values.cols() == 0) return;
  const ImageModel any = image_model(model, threads);
  map_sections(out, {any, images, layer, any.features(images.values, layer)}, options);
}

template <class Model, crate::Scalar S>
void show(const Model& model, const ExampleImages<S>& inputs, const ShownLayers& layers, const UnitReport& units,
          const Options& options, crate::Threads& threads, FolderAndPage& out, const ShowOfSecond& of_second) {
  const ImageOfInput image_of = [&](Index image) {
    return image_of_values(inputs.take(image, 1).template cast<double>().col(0).eval(), patch_grid(model),
                           model.about.preprocessing.normalisation);
  };
  with_shown_size(model, options.show, [&](const Model& of_shown_size) {
    const ShownImages images = shown_images(of_shown_size, inputs, options.show);
    show_maps(of_shown_size, images, layers.attention, options.show, threads, out);
    if (of_second) of_second();
    units_section(out, units, patch_grid(model), image_of);
    steering_section(out, layers.units.half_step, image_model(of_shown_size, threads), images, options.show);
  });
}

template <class Model>
void show(const Model& model, const crate::LabelledTokens& texts, const ShownLayers& layers, const UnitReport& units,
          const Options& options, crate::Threads& threads, FolderAndPage& out, const ShowOfSecond&) {
  units_section(out, units, texts, layers.tokeniser);
  steering_section(out, layers.units.half_step, text_model(model, threads), texts, layers.tokeniser, options.show,
                   options.batch);
}

/// Of which model and data single inputs are shown, where there are several.
[[nodiscard]] inline std::string subject_of(const Options& options, const std::string& model) {
  if (options.against.empty() && options.split != "both") return "";
  return "The model is " + model + (options.split == "both" ? ", the images those of the test part." : ".");
}

}  // namespace detail

/// The same maps of a second model, called `name`, of images: into a folder "against" in that of the first, and beside
/// its sections. `options` are those of the second.
template <class Model, class Values>
void show_second(const std::string& name, const Model& model, const Inputs<Values>& inputs, const ShownOfSecond& shown,
                 const Options& options, crate::Threads& threads, Page* page) {
  if constexpr (!std::is_same_v<Values, crate::LabelledTokens>) {
    const std::filesystem::path folder(options.output);
    FolderAndPage out(folder.empty() ? folder : folder / "against", page, detail::subject_of(options, name),
                      ", " + name);
    detail::with_shown_size(model, shown.options, [&](const Model& of_shown_size) {
      const ShownImages images = detail::shown_images(of_shown_size, inputs.values, shown.options);
      detail::show_maps(of_shown_size, images, shown.attention, shown.options, threads, out);
    });
  }
}

/// Attention maps, principal components, segments, units and steering, as far as they are asked for: a folder or a page
/// to show them in, or units of which to tell. Runs the model on these inputs once more, to see what uses its units.
/// `of_second`, if it is one, is called where the maps of a second model belong.
template <class Model, class Values>
void show_inputs(const Model& model, const Inputs<Values>& inputs, const ShownLayers& layers, const Options& options,
                 crate::Threads& threads, Page* page, const ShowOfSecond& of_second) {
  using S = typename Model::Scalar;
  if (!shows_inputs(options)) return;
  FolderAndPage out(options.output, page, detail::subject_of(options, names_of_models(options).first));
  crate::UnitMeter<S> meter(layers.units.half_step);
  run_on(model, inputs.values, options.batch, {.threads = &threads, .observer = meter.observer()});
  const UnitReport units = unit_report(meter, layers.units.half_step, options.show);
  detail::show(model, inputs.values, layers, units, options, threads, out, of_second);
}

}  // namespace inspect_model
