// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/operators/coding_rate.hpp"
#include "crate/operators/unit_columns.hpp"

// What self-distillation makes small: a student's features of V views of each image are compared with a teacher's of
// the first G, the global ones. Every view of the student meets every global view of the teacher but itself.
//
// Letters: s_v the student's features of view v, t_g the teacher's of global view g, both p x B, an image a column;
// n = G V - G the pairs (g, v) with g != v; q a distribution over p outputs. Nothing is differentiated by the teacher.

namespace crate {

/// The features of every view, p x B each, in the order of the views.
template <Scalar S>
using ViewFeatures = std::vector<MatrixMap<S>>;

/// A loss of views, and its gradient by the student's features, a matrix a view.
template <Scalar S>
struct ViewLoss {
  double loss = 0;
  std::vector<Matrix<S>> by_student;
};

struct DinoOptions {
  double student_temperature = 0.1;   ///< tau_s > 0
  double teacher_temperature = 0.04;  ///< tau_t > 0; lower sharpens

  void check() const {
    check_option(std::isfinite(student_temperature) && student_temperature > 0, "DINO: student temperature > 0",
                 student_temperature);
    check_option(std::isfinite(teacher_temperature) && teacher_temperature > 0, "DINO: teacher temperature > 0",
                 teacher_temperature);
  }
};

/// What the teacher says of the images: softmax((t_g - c) / tau_t), a matrix p x B a global view, in double.
/// Throws OptionError on a temperature out of range, ShapeError unless the centre c has p entries.
template <Scalar S>
[[nodiscard]] std::vector<Matrix<double>> dino_targets(const ViewFeatures<S>& teacher, const Vector<S>& centre,
                                                       double teacher_temperature, Threads& threads);

/// -1/(n B) sum over pairs g != v and images of sum_k q_gk log softmax(s_v / tau_s)_k, for targets q as dino_targets
/// gives them, with its gradient
///   by s_v: 1/(n B tau_s) sum_{g != v} (softmax(s_v / tau_s) - q_g).
/// Source: arXiv 2104.14294. Throws OptionError on a temperature out of range, ShapeError unless all views have one
/// size and there are at least two.
template <Scalar S>
[[nodiscard]] ViewLoss<S> dino_loss(const ViewFeatures<S>& student, const std::vector<Matrix<double>>& targets,
                                    double student_temperature, Threads& threads);

/// The centre after a batch: m c + (1 - m) (mean of the teacher's features over its views and images).
/// Throws OptionError unless m is in [0, 1], ShapeError unless c has p entries.
template <Scalar S>
[[nodiscard]] Vector<S> dino_centre(const Vector<S>& centre, const ViewFeatures<S>& teacher, double momentum);

/// How far outputs tell images apart, and how sure they are.
struct OutputEntropies {
  double of_mean = 0;  ///< H(mean of q), in nats: 0 where one output wins everywhere, log p where all are used alike
  double mean = 0;     ///< mean of H(q): log p where every image is said to be everything
  Index outputs = 0;   ///< p
  Index images = 0;    ///< B

  /// (H(mean of q) - mean of H(q)) / log min(p, B): 0 if every image gets the same output, whichever that is; 1 if each
  /// gets its own.
  [[nodiscard]] double spread() const;
};

/// Of distributions p x B, averaged over the matrices. Throws ShapeError if there are none, or empty ones.
[[nodiscard]] OutputEntropies output_entropies(const std::vector<Matrix<double>>& distributions);

/// Whose features the coding rate of a view is taken of.
enum class ExpansionOf {
  student,             ///< s_v
  student_and_teacher  ///< (s_v + t_v) / 2, as published
};

struct CodingRateDistillationOptions {
  double squared_epsilon = 0.05;  ///< epsilon^2 > 0, published as eps
  double comparison_weight = 1;   ///< c >= 0
  ExpansionOf expansion_of = ExpansionOf::student_and_teacher;

  void check() const {
    check_option(std::isfinite(squared_epsilon) && squared_epsilon > 0, "coding-rate distillation: epsilon^2 > 0",
                 squared_epsilon);
    check_option(std::isfinite(comparison_weight) && comparison_weight >= 0,
                 "coding-rate distillation: weight of the comparison >= 0", comparison_weight);
  }
};

/// The loss of the coding rate, and what it is made of.
template <Scalar S>
struct CodingRateViewLoss : ViewLoss<S> {
  double comparison = 0;  ///< mean of cos(t_g, s_v) over pairs g != v and images
  double expansion = 0;   ///< gamma (mean over global views of R(W_v))
  double spread = 0;      ///< mean over global views of expansion_spread of W_v
};

/// -c comparison - expansion of features of length 1, with gamma = (p + B) / (p B) and
/// R(W) = 1/2 log det(I + p / (B epsilon^2) W^T W), and its gradient
///   by s_v: -c / (n B ||s||) sum_{g != v} (t_g / ||t_g|| - cos(t_g, s_v) s_v / ||s_v||) - h gamma / G dR/dW_v,
/// the latter of global views, h = dW_v/ds_v = 1 or 1/2. W_v is s_v, or (s_v + t_v) / 2, which is not brought to length
/// 1 again.
/// Source: arXiv 2502.10385. Throws OptionError on an option out of range, ShapeError as dino_loss, PrecisionError as
/// coding_rate.
template <Scalar S>
[[nodiscard]] CodingRateViewLoss<S> coding_rate_distillation_loss(const ViewFeatures<S>& student,
                                                                  const ViewFeatures<S>& teacher,
                                                                  const CodingRateDistillationOptions& options,
                                                                  Threads& threads);

/// Where the rate R of B features in p dimensions, brought to length 1, stands between that of equal ones, 0, and that
/// of a flat spectrum, 1:
///   (R - R_0) / (R_1 - R_0),   R_0 = 1/2 log(1 + s B),   R_1 = r/2 log(1 + s B / r),   s = p / (B epsilon^2),
/// r = min(p, B). 1 where r = 1. In double, from the spectrum, without the difference of close rates: a large epsilon
/// costs no digits. NaN of features that are not finite. Throws OptionError unless p, B >= 1 and epsilon^2 > 0.
template <Scalar S>
[[nodiscard]] double expansion_spread(const Matrix<S>& features, double squared_epsilon);

}  // namespace crate

#include "crate/operators/detail/self_distillation.ipp"
