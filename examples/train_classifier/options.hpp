// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "crate/core/matrix.hpp"
#include "crate/io/families.hpp"
#include "image_program/options.hpp"
#include "training_program/options.hpp"

namespace train_classifier {

using crate::Index;

/// What the command line says.
struct Options {
  image_program::DataOptions images;

  // the model
  std::string family = "crate", from, weights_at, patch, pool = "cls";  // pool: cls or mean
  Index dim = 96, depth = 4, heads = 4, head_dim = 0;
  double step = 0.1, lambda = 0.1, dropout = 0, token_dropout = 0;

  // the recipe and the files
  training_program::Options training = {.warm_up_epochs = 1, .trainer = {.epochs = 5}};
};

/// Whether the models of a family are image classifiers.
template <crate::PublishedFamily Family>
inline constexpr bool is_classifier = requires(const typename Family::template Model<float>& model) {
  model.about.class_names;
  model.about.preprocessing;
};

/// What blocks of the family of this name have.
struct BlockTraits {
  bool ista = false, head_dim = false;
};

[[nodiscard]] inline BlockTraits block_traits(std::string_view family) {
  BlockTraits traits;
  crate::for_each_family([&]<class Family>(Family) {
    if (family != Family::name) return;
    traits.ista = requires(typename Family::Options options) { options.block.lambda; };
    traits.head_dim = requires(typename Family::Options options) { options.block.head_dim; };
  });
  return traits;
}

void add_options(CLI::App& app, Options& options);

}  // namespace train_classifier
