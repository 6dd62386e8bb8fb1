// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crate/analysis/token_features.hpp"
#include "crate/analysis/unit_use.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/inference/generate.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/models/image_preprocessing.hpp"
#include "crate/models/labelled_tokens.hpp"
#include "crate/operators/patches.hpp"

// What the sections of single images and texts need of a model, whatever its type, so that they are compiled once.

namespace inspect_model {

using crate::Index;
using crate::Matrix;

/// A unit of a half-step that has a value while a model runs.
struct Setting {
  std::string half_step;
  Index unit;
  double value;
};

/// A model of images, which must outlive this.
struct ImageModel {
  crate::PatchGrid grid;
  crate::ImageNormalisation normalisation;
  std::vector<std::string> class_names;  ///< of a classifier, whatever it calls them; empty of others
  bool reads_mean = false;               ///< whether its head reads the mean of all tokens, not the class token alone
  /// Queries and keys of the images in this layer.
  std::function<crate::TokenFeatures<double>(const Matrix<double>& images, const crate::AttentionLayer& layer)>
      features;
  /// Of a classifier the probabilities, classes x images; of others what they predict. Under the setting, if there is
  /// one.
  std::function<Matrix<double>(const Matrix<double>& images, const std::optional<Setting>& setting)> outputs;
};

/// A model of texts, which must outlive this.
struct TextModel {
  Index context;
  /// The ids that a causal model writes to each prompt; empty of others.
  std::function<std::vector<std::vector<Index>>(const std::vector<std::vector<Index>>& prompts,
                                                const crate::GenerationOptions& how,
                                                const std::optional<Setting>& setting)>
      write;
  /// The probabilities of classes or ids, a column for each text or token.
  std::function<Matrix<double>(const crate::LabelledTokens& texts, const std::optional<Setting>& setting)> outputs;
};

/// "layers.3" of "layers.3.compress", the block in which a half-layer stands; the whole name of others.
[[nodiscard]] inline std::string_view block_of(std::string_view half_layer) {
  return half_layer.substr(0, half_layer.rfind('.'));
}

/// The attention layer in the block of this name; without a name, in the last block that is not of a decoder. Throws
/// OptionError, which lists the blocks, if there is none.
[[nodiscard]] inline const crate::AttentionLayer& attention_in(const std::vector<crate::AttentionLayer>& layers,
                                                               const std::string& block) {
  const crate::AttentionLayer* last = nullptr;
  std::vector<std::string> blocks;
  for (const crate::AttentionLayer& layer : layers) {
    if (block_of(layer.name) == block) return layer;
    if (!layer.name.starts_with("decoder.")) last = &layer;
    blocks.emplace_back(block_of(layer.name));
  }
  if (block.empty() && last != nullptr) return *last;
  throw crate::OptionError(crate::concatenate("option --block: expected one of ", crate::quoted_list(blocks),
                                              ", found ", crate::quote(block)));
}

/// The units in the block of an attention layer.
[[nodiscard]] inline const crate::LayerUnits& units_in(const std::vector<crate::LayerUnits>& layers,
                                                       std::string_view block) {
  for (const crate::LayerUnits& layer : layers)
    if (layer.half_step.starts_with(std::string(block) + ".")) return layer;
  throw crate::OptionError(
      crate::concatenate("option --block: expected a block with a dictionary or an MLP, found ", crate::quote(block)));
}

}  // namespace inspect_model
