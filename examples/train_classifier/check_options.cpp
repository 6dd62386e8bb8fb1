// SPDX-License-Identifier: MIT
#include "train_classifier/check_options.hpp"

#include <array>
#include <cmath>

#include "crate/io/formats/detail/is_among.hpp"
#include "program_options/program_options.hpp"
#include "training_program/check_options.hpp"

namespace train_classifier {

namespace {

constexpr std::array<std::string_view, 7> of_new_models = {"--family",   "--patch",     "--dim",   "--depth",
                                                           "--head-dim", "--step-size", "--lambda"};

constexpr std::array<std::string_view, 2> of_ista = {"--step-size", "--lambda"};

}  // namespace

std::string_view why_without_effect(std::string_view name, const Options& o) {
  if (!o.from.empty() && crate::detail::is_among(of_new_models, name)) return "--from gives the model";
  if (crate::detail::is_among(of_ista, name) && !block_traits(o.family).ista)
    return "models of this --family have no ISTA";
  if (name == "--head-dim" && !block_traits(o.family).head_dim)
    return "the head width of this --family is always dim / heads";
  if (name == "--weights-at" && o.from.empty()) return "--from is not given";
  return training_program::why_without_effect(name, o.training);
}

void check_options(const CLI::App& app, const Options& options) {
  program_options::check_effects(app, [&](std::string_view name) { return why_without_effect(name, options); });
  training_program::check_given(options.training, "--data", "a folder", options.images.folder);
  image_program::check_data_options(options.images);
  training_program::check_options(options.training, {{"--from", options.from}, {"--data", options.images.folder}});
}

}  // namespace train_classifier
