// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/pass.hpp"
#include "crate/models/masked_autoencoder.hpp"
#include "crate/operators/losses.hpp"
#include "crate/training/examples.hpp"
#include "crate/training/objective.hpp"

namespace crate {

/// Mean squared error of the hidden patches, averaged over those of an image, which are as many in every one. Which
/// patches are hidden depends on the seed, the step of training and the index of the image in its batch alone; labels
/// are not read.
template <crate::Scalar S>
struct MaskedAutoencodingObjective {
  using Model = MaskedAutoencoder<S>;
  using Memory = typename Model::Tape;

  /// Throws OptionError if the model hides no patch.
  Measures accumulate(const Model& model, const LabelledImages<S>& examples, double weight, Model& gradient,
                      Memory& tape, const Run<S>& run) const {
    const auto hidden = hidden_patches(model);
    const auto result = model.forward(examples.images, noise(model, examples, run.dropout), tape, run);
    const Matrix<S> target = cut_patches(examples.images, model.grid, PatchOrder::row_column_channel);
    model.backward(
        masked_patch_error_gradient(result.prediction, target, result.mask, weight / hidden, model.normalise_pixels),
        tape, gradient, run);
    return measures_of(result, examples);
  }

  [[nodiscard]] Measures measure(const Model& model, const LabelledImages<S>& examples, const Run<S>& run) const {
    static_cast<void>(hidden_patches(model));
    return measures_of(model.forward(examples.images, noise(model, examples, run.dropout), run), examples);
  }

 private:
  static double hidden_patches(const Model& model) {
    const Index hidden = model.grid.patches() - model.kept_patches();
    check_option(hidden >= 1, "masked autoencoding: a mask ratio that hides a patch", model.mask_ratio);
    return static_cast<double>(hidden);
  }

  static Matrix<S> noise(const Model& model, const LabelledImages<S>& examples, const DropoutStream& place) {
    Matrix<S> noise(model.grid.patches(), examples.images.cols());
    Random random(place.seed, detail::stream_of_name("mask") + place.step);
    random.seek(static_cast<std::uint64_t>(place.first_set * noise.rows()));
    random.fill_uniform(noise, 0, 1);
    return noise;
  }

  static Measures measures_of(const MaskedAutoencoding<S>& result, const LabelledImages<S>& examples) {
    const Index images = examples.images.cols();
    return {.loss = {.sum = result.loss.value_or(0) * static_cast<double>(images), .count = images}};
  }
};

}  // namespace crate
