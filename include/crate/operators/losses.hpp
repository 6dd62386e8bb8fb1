// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"

// What training makes small, as sums over positions, so that a batch may be cut into pieces: sums and counts of the
// pieces add, and the gradient of their mean takes 1 / (count of the whole batch) as the weight of every piece.
//
// Letters: X logits, C x B, a position a column; y labels, B integers in 0, ..., C - 1, or that of an ignored position;
// P predicted and T true pixels of patches, n x M, a patch a column.

namespace crate {

/// The sum of a loss over positions, and over how many. Sums add.
struct LossSum {
  double sum = 0;
  Index count = 0;

  LossSum& operator+=(const LossSum& other) {
    sum += other.sum;
    count += other.count;
    return *this;
  }

  /// Not a number if nothing was counted.
  [[nodiscard]] double mean() const {
    return count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
  }
};

struct CrossEntropyOptions {
  double label_smoothing = 0;  ///< s in [0, 1]: the target is (1 - s) of the label and s / C of every class
  Index ignored = -1;          ///< the label of positions that do not count; no label of a class

  void check() const {
    check_option(label_smoothing >= 0 && label_smoothing <= 1, "label smoothing in [0, 1]", label_smoothing);
  }
};

/// How many labels are not ignored.
[[nodiscard]] inline Index counted_positions(std::span<const Index> labels, Index ignored = -1) {
  Index count = 0;
  for (const Index label : labels) count += label != ignored ? 1 : 0;
  return count;
}

/// Cross-entropy of softmax(x) and the smoothed label y, over the positions that count:
///   sum of log sum_c exp(x_c) - (1 - s) x_y - s mean_c x_c.
/// Its mean is PyTorch's CrossEntropyLoss(label_smoothing = s).
/// Throws OptionError on a smoothing out of range, ShapeError unless there is a label in range for every column.
template <class Derived>
[[nodiscard]] LossSum cross_entropy(const Eigen::MatrixBase<Derived>& logits, std::span<const Index> labels,
                                    const CrossEntropyOptions& options = {});

/// `weight` times the gradient of that sum, C x B: weight (softmax(x) - (1 - s) e_y - s / C 1), and 0 at ignored
/// positions. Throws as cross_entropy.
template <class Derived>
[[nodiscard]] Plain<Derived> cross_entropy_gradient(const Eigen::MatrixBase<Derived>& logits,
                                                    std::span<const Index> labels, double weight,
                                                    const CrossEntropyOptions& options = {});

/// Both at once, for logits of which there are many: returns the sum and overwrites the logits by `weight` times its
/// gradient, column by column, on several threads. Any number of threads gives the same bits. Throws as cross_entropy.
template <class Derived>
[[nodiscard]] LossSum cross_entropy_to_gradient(Eigen::MatrixBase<Derived>& logits, std::span<const Index> labels,
                                                double weight, const CrossEntropyOptions& options, Threads& threads);

/// How many of the counted positions have their label among the `top` largest logits, of equal ones the first: accuracy
/// for top = 1. What is not a number is never among them, but keeps others out.
/// Throws OptionError unless top >= 1, ShapeError as cross_entropy.
template <class Derived>
[[nodiscard]] Index count_correct(const Eigen::MatrixBase<Derived>& logits, std::span<const Index> labels,
                                  Index top = 1, Index ignored = -1);

/// Mean squared error of each hidden patch, summed over them: sum of ||p - t||^2 / n over the patches whose entry in
/// the mask is not 0. With `normalise` the true patch has its mean taken off and is divided by sqrt(variance + 1e-6),
/// the variance over n - 1. The mask has an entry for each patch, column after column.
/// Source: arXiv 2404.02446. Throws ShapeError unless the sizes agree and patches hold a value, or two to normalise.
template <class PDerived, class TDerived, class MaskDerived>
[[nodiscard]] LossSum masked_patch_error(const Eigen::MatrixBase<PDerived>& prediction,
                                         const Eigen::MatrixBase<TDerived>& target,
                                         const Eigen::MatrixBase<MaskDerived>& mask, bool normalise = false);

/// `weight` times the gradient of that sum with respect to the prediction, n x M: weight 2 / n (p - t) where a patch
/// was hidden, 0 elsewhere. Throws as masked_patch_error.
template <class PDerived, class TDerived, class MaskDerived>
[[nodiscard]] Plain<PDerived> masked_patch_error_gradient(const Eigen::MatrixBase<PDerived>& prediction,
                                                          const Eigen::MatrixBase<TDerived>& target,
                                                          const Eigen::MatrixBase<MaskDerived>& mask, double weight,
                                                          bool normalise = false);

/// The error, as masked_patch_error, of predicting every hidden pixel of an image as the mean of its visible ones, a
/// mean for each channel: what a prediction must beat. Patches have the values of a pixel side by side, n = pixels
/// times channels; the mask is patches of an image x images. With `normalise`, visible patches are normalised as hidden
/// ones are. The mean of an image of which nothing is visible is taken to be 0.
/// Throws ShapeError as masked_patch_error, and unless the channels divide n.
template <class TDerived, class MaskDerived>
[[nodiscard]] LossSum mean_visible_pixel_error(const Eigen::MatrixBase<TDerived>& target,
                                               const Eigen::MatrixBase<MaskDerived>& mask, Index channels,
                                               bool normalise = false);

/// Predictions of normalised patches as pixels, n x M: p sqrt(variance + 1e-6) + mean, with the mean and the variance
/// of the true patch, which a model does not know: masked_patch_error takes them off. Throws ShapeError unless the
/// sizes agree and patches hold two values.
template <class PDerived, class TDerived>
[[nodiscard]] Plain<PDerived> pixels_of_normalised_patches(const Eigen::MatrixBase<PDerived>& prediction,
                                                           const Eigen::MatrixBase<TDerived>& target);

}  // namespace crate

#include "crate/operators/detail/losses.ipp"
