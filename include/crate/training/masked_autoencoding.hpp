// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <tuple>

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

/// Measures of predicted patches.
struct MaskedAutoencodingMeasures {
  LossSum loss = {};
  double mean_pixel_sum = 0;  ///< sum over the images of mean_visible_pixel_error; of test examples only

  MaskedAutoencodingMeasures& operator+=(const MaskedAutoencodingMeasures& other) {
    loss += other.loss;
    mean_pixel_sum += other.mean_pixel_sum;
    return *this;
  }

  /// The loss of predicting every hidden pixel of an image as the mean of its visible ones.
  [[nodiscard]] double mean_pixel_loss() const { return mean_pixel_sum / static_cast<double>(loss.count); }

  /// The loss relative to mean_pixel_loss().
  [[nodiscard]] double loss_over_mean_pixel() const { return loss.sum / mean_pixel_sum; }

  static constexpr auto numbers() {
    using Self = MaskedAutoencodingMeasures;
    return std::tuple{measured_number("mean_pixel_loss", &Self::mean_pixel_loss, ReportedFor::test),
                      measured_number("loss_over_mean_pixel", &Self::loss_over_mean_pixel, ReportedFor::test)};
  }
  static constexpr auto sums() { return std::tuple{}; }
};

/// The mask of the images at this place of a training, patches x images, 1 where a patch is hidden. It depends only on
/// the seed, the step and the index of each image in its batch.
template <class Model>
[[nodiscard]] Matrix<typename Model::Scalar> mask_at(const Model& model, Index images, const DropoutStream& place) {
  Matrix<typename Model::Scalar> noise(patch_grid(model).patches(), images);
  Random random(place.seed, detail::stream_of_name("mask") + place.step);
  random.seek(static_cast<std::uint64_t>(place.first_set * noise.rows()));
  random.fill_uniform(noise, 0, 1);
  return mask_by_noise(model, noise);
}

/// Mean squared error over the hidden patches; every image has the same number. mask_at chooses them. Labels are not
/// used.
template <class Model>
struct MaskedAutoencodingObjective {
  using Scalar = typename Model::Scalar;
  using Examples = LabelledImages<Scalar>;
  using Memory = Recording<Model>;
  using Measures = MaskedAutoencodingMeasures;
  using OnceBackward = MaskedAutoencodingObjective;

  /// Throws OptionError if the model hides no patch.
  Measures accumulate(const Model& model, const Examples& examples, double weight, Model& gradient, Memory& recording,
                      const Run<Scalar>& run) const {
    const double hidden = hidden_patches(model);
    const Matrix<Scalar> mask = mask_at(model, examples.images.cols(), run.dropout),
                         target = patches_of(model, examples);
    const Matrix<Scalar> prediction = forward(model, MaskedImages(examples.images, mask), recording, run).tokens;
    const bool normalise = model.about.normalise_pixels;
    backward(model, masked_patch_error_gradient(prediction, target, mask, weight / hidden, normalise), recording,
             gradient, run);
    return measures_of(masked_patch_error(prediction, target, mask, normalise), examples);
  }

  [[nodiscard]] Measures measure(const Model& model, const Examples& examples, const Run<Scalar>& run) const {
    static_cast<void>(hidden_patches(model));
    const Matrix<Scalar> mask = mask_at(model, examples.images.cols(), run.dropout),
                         target = patches_of(model, examples);
    const Matrix<Scalar> prediction = model.forward(MaskedImages(examples.images, mask), run);
    const bool normalise = model.about.normalise_pixels;
    Measures measures = measures_of(masked_patch_error(prediction, target, mask, normalise), examples);
    const LossSum by_mean = mean_visible_pixel_error(target, mask, patch_grid(model).channels, normalise);
    if (by_mean.count > 0) measures.mean_pixel_sum = by_mean.mean() * static_cast<double>(measures.loss.count);
    return measures;
  }

 private:
  static double hidden_patches(const Model& model) {
    const Index hidden = patch_grid(model).patches() - kept_patches(model);
    check_option(hidden >= 1, "masked autoencoding: a mask ratio that hides a patch", model.about.mask_ratio);
    return static_cast<double>(hidden);
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
