// SPDX-License-Identifier: MIT
#include "train_autoencoder/options.hpp"

#include <array>
#include <cmath>
#include <filesystem>
#include <vector>

#include "output_file.hpp"
#include "program_options/program_options.hpp"
#include "training_program/check_options.hpp"
#include "training_program/presets.hpp"

namespace train_autoencoder {

namespace {

using program_options::add_choice;
using program_options::begin_group;

/// Size of the published models.
struct Size {
  std::string_view preset;
  const char *dim, *heads, *depth;
};

constexpr std::array<Size, 4> published_sizes{{{"crate-mae-tiny", "384", "6", "12"},
                                               {"crate-mae-small", "576", "12", "12"},
                                               {"crate-mae-base", "768", "12", "12"},
                                               {"crate-mae-large", "1024", "16", "24"}}};

/// The recipe of arXiv 2404.02446 for ImageNet-1k; nothing for small images.
crate::Metadata texts_of_preset(const CLI::App& app, const Options& o) {
  for (const auto& [preset, dim, heads, depth] : published_sizes) {
    if (o.preset != preset) continue;
    crate::Metadata texts = training_program::batch_and_rate(app, o.training, 4096, 3e-5);
    texts.insert(texts.end(), {{"--patch", "16x16"},
                               {"--dim", dim},
                               {"--heads", heads},
                               {"--depth", depth},
                               {"--decoder-depth", depth},
                               {"--lambda", "0.5"},
                               {"--weight-decay", "0.1"},
                               {"--epochs", "800"},
                               {"--warm-up", "40"},
                               {"--weight-decay-of", "matrices"},
                               {"--crop-area", "0.2"},
                               {"--flip", "true"}});
    return texts;
  }
  return {};
}

void add_model_options(CLI::App& app, Options& o) {
  begin_group(app, "Model");
  std::vector<std::string> presets{o.preset}, families;
  for (const Size& size : published_sizes) presets.emplace_back(size.preset);
  training_program::add_preset_option(app, o.preset, presets,
                                      program_options::alternatives({presets.begin() + 1, presets.end()}) +
                                          " (size and recipe of a published model for images of 224 x 224; days)");
  crate::detail::FamilyList<Families>::for_each([&]<class Family>(Family) { families.emplace_back(Family::name); });
  add_choice(app, "--family", o.family, families,
             "crate-mae, or transformer-mae (the same model with ordinary transformer blocks)");
  image_program::add_patch_option(app, o.patch);
  app.add_option("--dim", o.dim, "width of the tokens, a multiple of 4");
  app.add_option("--depth", o.depth, "number of blocks of the encoder");
  app.add_option("--decoder-depth", o.decoder_depth, "number of blocks of the decoder");
  app.add_option("--heads", o.heads, "number of attention heads");
  app.add_option("--head-dim", o.head_dim, "width of a head [dim / heads]");
  training_program::add_ista_options(app, o.step, o.lambda);
  app.add_option("--mask-ratio", o.mask_ratio, "share of the patches that is hidden, from 0 to below 1");
  app.add_flag("--normalise-patches", o.normalise_patches,
               "predict each patch normalised to mean 0 and deviation 1, instead of its pixels");
}

void add_recipe_options(CLI::App& app, Options& o) {
  begin_group(app, "Recipe");
  training_program::Options& t = o.training;
  training_program::add_rule_options(app, t);
  training_program::add_length_options(app, t);
  training_program::add_batch_options(app, t, "images");
}

void add_grid_option(CLI::App& app, Options& o) {
  app.add_option("--grid", o.grid,
                 "PNG file, rewritten after every epoch: test images (first row), their visible patches (second), the "
                 "reconstruction (third). With --normalise-patches the picture uses the true mean and deviation of "
                 "each patch, which the model does not predict [next to --output or --checkpoint]")
      ->type_name("FILE");
}

/// "run.png" beside "run.safetensors".
std::string grid_beside(const training_program::Options& o) {
  std::filesystem::path path = o.output.empty() ? o.checkpoint : o.output;
  return path.empty() ? "" : path.replace_extension(".png").string();
}

}  // namespace

void add_options(CLI::App& app, Options& options) {
  image_program::add_data_options(app, options.images, "");
  add_model_options(app, options);
  add_recipe_options(app, options);
  training_program::add_file_options(app, options.training, "epoch", continued_options().changeable);
  add_grid_option(app, options);
}

void apply_preset(CLI::App& app, const Options& o) {
  training_program::apply_preset(app, texts_of_preset(app, o),
                                 [&](std::string_view name) { return why_without_effect(name, o); });
}

std::string_view why_without_effect(std::string_view name, const Options& o) {
  const bool is_crate = o.family == crate::CrateMaskedAutoencoderFamily::name;
  if (!is_crate && (name == "--step-size" || name == "--lambda")) return "models of this --family have no ISTA";
  if (!is_crate && name == "--head-dim") return "the head width of this --family is always dim / heads";
  return training_program::why_without_effect(name, o.training);
}

void check_options(const CLI::App& app, Options& o) {
  program_options::check_effects(app, [&](std::string_view name) { return why_without_effect(name, o); });
  training_program::check_given(o.training, "--data", "a folder", o.images.folder);
  training_program::check_number(o.mask_ratio >= 0 && o.mask_ratio < 1, "--mask-ratio: expected a number in [0, 1)",
                                 o.mask_ratio);
  image_program::check_data_options(o.images);
  if (o.grid.empty()) o.grid = grid_beside(o.training);
  training_program::check_options(o.training, {{"--grid", o.grid}, {"--data", o.images.folder}});
  if (!o.grid.empty()) examples::check_picture_output(o.grid, "--grid");
}

training_program::ContinuedOptions continued_options() {
  training_program::ContinuedOptions options = image_program::continued_options();
  options.changeable.emplace_back("--grid");
  options.paths.emplace_back("--grid");
  return options;
}

}  // namespace train_autoencoder
