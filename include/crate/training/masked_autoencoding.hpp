// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/pass.hpp"
#include "crate/layers/recording.hpp"
#include "crate/models/masked_autoencoder.hpp"
#include "crate/operators/losses.hpp"
#include "crate/training/examples.hpp"
#include "crate/training/objective.hpp"

namespace crate {

/// Mean squared error of the hidden patches, averaged over those of an image, which are as many in every one. Which patches are
/// hidden depends on the seed, the step of training and the index of the image in its batch alone; labels are not read.
template <class Model>
struct MaskedAutoencodingObjective {
  using S = typename Model::Scalar;
  using Memory = Recording<Model>;

  /// Throws OptionError if the model hides no patch.
  Measures accumulate(const Model& model, const LabelledImages<S>& examples, double weight, Model& gradient,
                      Memory& recording, const Run<S>& run) const {
    const double hidden = hidden_patches(model);
    const Matrix<S> mask = mask_by_noise(model, noise(model, examples, run.dropout));
    const Matrix<S> prediction = forward(model, MaskedImages<S>(examples.images, mask), recording, run).tokens;
    const Matrix<S> target = cut_patches(examples.images, patch_grid(model), PatchOrder::row_column_channel);
    const bool normalise = model.about.normalise_pixels;
    backward(model, masked_patch_error_gradient(prediction, target, mask, weight / hidden, normalise), recording,
             gradient, run);
    return measures_of(masked_patch_error(prediction, target, mask, normalise), examples);
  }

  [[nodiscard]] Measures measure(const Model& model, const LabelledImages<S>& examples, const Run<S>& run) const {
    static_cast<void>(hidden_patches(model));
    const Matrix<S> mask = mask_by_noise(model, noise(model, examples, run.dropout));
    const Matrix<S> target = cut_patches(examples.images, patch_grid(model), PatchOrder::row_column_channel);
    return measures_of(masked_patch_error(model.forward(MaskedImages<S>(examples.images, mask), run), target, mask,
                                          model.about.normalise_pixels),
                       examples);
  }

 private:
  static double hidden_patches(const Model& model) {
    const Index hidden = patch_grid(model).patches() - kept_patches(model);
    check_option(hidden >= 1, "masked autoencoding: a mask ratio that hides a patch", model.about.mask_ratio);
    return static_cast<double>(hidden);
  }

  static Matrix<S> noise(const Model& model, const LabelledImages<S>& examples, const DropoutStream& place) {
    Matrix<S> noise(patch_grid(model).patches(), examples.images.cols());
    Random random(place.seed, detail::stream_of_name("mask") + place.step);
    random.seek(static_cast<std::uint64_t>(place.first_set * noise.rows()));
    random.fill_uniform(noise, 0, 1);
    return noise;
  }

  static Measures measures_of(const LossSum& error, const LabelledImages<S>& examples) {
    const Index images = examples.images.cols();
    const double mean = error.count > 0 ? error.mean() : 0;
    return {.loss = {.sum = mean * static_cast<double>(images), .count = images}};
  }
};

}  // namespace crate
