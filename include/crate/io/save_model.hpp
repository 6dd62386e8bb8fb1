// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), beside Eigen.
#pragma once

#include <filesystem>
#include <vector>

#include "crate/io/families.hpp"
#include "crate/io/families/model_metadata.hpp"
#include "crate/io/families/published_form.hpp"
#include "crate/io/families/weights.hpp"
#include "crate/io/formats/safetensors.hpp"

namespace crate {

/// The trainable parameters of a model, or of a gradient, which is a model, under their published names, to be written
/// while it lives.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
[[nodiscard]] std::vector<Tensor> trainable_tensors(const Model& model) {
  return published_tensors(model, Family::names, ParameterKind::trainable);
}

/// Writes a model under its published names, so that the published code loads it strictly, with its sizes and settings
/// in the metadata, so that we load it without options, and what is loaded computes the same bits. Throws OptionError
/// if the model is built in a way that the published tensors cannot tell, FileError if the file cannot be written.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
void save_model(const std::filesystem::path& path, const Model& model) {
  write_safetensors(path, detail::with_tied<Family>(published_tensors(model, Family::names)),
                    detail::metadata_of<Model, Family>(model));
}

/// The same of the part of a model that has a published form.
template <HasPublishedPart Model>
void save_model(const std::filesystem::path& path, const Model& model) {
  save_model(path, model.published_part());
}

}  // namespace crate
