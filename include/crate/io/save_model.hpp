// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <filesystem>
#include <vector>

#include "crate/io/families.hpp"
#include "crate/io/families/model_metadata.hpp"
#include "crate/io/families/published_form.hpp"
#include "crate/io/families/weights.hpp"
#include "crate/io/formats/safetensors.hpp"

namespace crate {

/// Tensors that view the trainable parameters of a model, or of a gradient, which is a model, under their
/// published names, for writing.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
[[nodiscard]] std::vector<Tensor> trainable_tensors(const Model& model) {
  return published_tensors(model, Family::names, ParameterKind::trainable);
}

/// Writes a model under its published names: the published code can load it strictly. Its sizes and settings are in the
/// metadata: load_model needs no options, and the loaded model computes the same bits. Throws OptionError if published
/// tensors cannot represent the model, FileError if the file cannot be written.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
void save_model(const std::filesystem::path& path, const Model& model) {
  write_safetensors(path, detail::with_tied<Family>(published_tensors(model, Family::names)),
                    detail::metadata_of<Model, Family>(model));
}

/// Writes the part of a model that has a published form.
template <HasPublishedPart Model>
void save_model(const std::filesystem::path& path, const Model& model) {
  save_model(path, model.published_part());
}

}  // namespace crate
