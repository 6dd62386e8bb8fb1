// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/pass.hpp"
#include "crate/layers/recording.hpp"
#include "crate/models/labelled_images.hpp"
#include "crate/models/masked_autoencoder.hpp"
#include "crate/operators/losses.hpp"
#include "crate/operators/patches.hpp"
#include "crate/training/measures.hpp"

namespace crate {

/// Mean squared error of the hidden patches, averaged over those of an image, which are as many in every one. Which
/// patches are hidden depends on the seed, the step of training and the index of the image in its batch alone; labels
/// are not read.
template <class Model>
struct MaskedAutoencodingObjective {
  using Scalar = typename Model::Scalar;
  using Examples = LabelledImages<Scalar>;
  using Memory = Recording<Model>;
  using Measures = LossMeasures;

  /// Throws OptionError if the model hides no patch.
  Measures accumulate(const Model& model, const Examples& examples, double weight, Model& gradient, Memory& recording,
                      const Run<Scalar>& run) const {
    const double hidden = hidden_patches(model);
    const Matrix<Scalar> mask = mask_of_step(model, examples, run.dropout), target = patches_of(model, examples);
    const Matrix<Scalar> prediction = forward(model, MaskedImages(examples.images, mask), recording, run).tokens;
    const bool normalise = model.about.normalise_pixels;
    backward(model, masked_patch_error_gradient(prediction, target, mask, weight / hidden, normalise), recording,
             gradient, run);
    return measures_of(masked_patch_error(prediction, target, mask, normalise), examples);
  }

  [[nodiscard]] Measures measure(const Model& model, const Examples& examples, const Run<Scalar>& run) const {
    static_cast<void>(hidden_patches(model));
    const Matrix<Scalar> mask = mask_of_step(model, examples, run.dropout), target = patches_of(model, examples);
    const Matrix<Scalar> prediction = model.forward(MaskedImages(examples.images, mask), run);
    return measures_of(masked_patch_error(prediction, target, mask, model.about.normalise_pixels), examples);
  }

 private:
  static double hidden_patches(const Model& model) {
    const Index hidden = patch_grid(model).patches() - kept_patches(model);
    check_option(hidden >= 1, "masked autoencoding: a mask ratio that hides a patch", model.about.mask_ratio);
    return static_cast<double>(hidden);
  }

  static Matrix<Scalar> mask_of_step(const Model& model, const Examples& examples, const DropoutStream& place) {
    Matrix<Scalar> noise(patch_grid(model).patches(), examples.images.cols());
    Random random(place.seed, detail::stream_of_name("mask") + place.step);
    random.seek(static_cast<std::uint64_t>(place.first_set * noise.rows()));
    random.fill_uniform(noise, 0, 1);
    return mask_by_noise(model, noise);
  }

  static Matrix<Scalar> patches_of(const Model& model, const Examples& examples) {
    return cut_patches(examples.images, patch_grid(model), PatchOrder::row_column_channel);
  }

  /// The error of an image is the mean over its hidden patches.
  static Measures measures_of(const LossSum& error, const Examples& examples) {
    const Index images = examples.images.cols();
    return {.loss = {.sum = images > 0 ? error.mean() * static_cast<double>(images) : 0, .count = images}};
  }
};

}  // namespace crate
