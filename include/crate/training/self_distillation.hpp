// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"
#include "crate/core/threads.hpp"
#include "crate/operators/self_distillation.hpp"
#include "crate/training/communicator.hpp"
#include "crate/training/measures.hpp"
#include "crate/training/objective.hpp"
#include "crate/training/recipe.hpp"

namespace crate {

/// Measures of self-distillation, of a batch or of the teacher after an epoch: sums over images.
struct SelfDistillationMeasures {
  LossSum loss = {};
  double spreads = 0;  ///< times images: OutputEntropies::spread, or expansion_spread
  Index images = 0;
  double entropies = 0;  ///< times images, DINO only: (mean entropy of the teacher's outputs) / log K
  Index entropy_images = 0;
  double comparisons = 0;  ///< times images, coding rate only: mean cosine of the features of two views
  Index compared_images = 0;
  Index knn_correct = 0, knn_images = 0;  ///< k-NN evaluation: correct images, all images

  SelfDistillationMeasures& operator+=(const SelfDistillationMeasures& other) {
    loss += other.loss;
    spreads += other.spreads;
    images += other.images;
    entropies += other.entropies;
    entropy_images += other.entropy_images;
    comparisons += other.comparisons;
    compared_images += other.compared_images;
    knn_correct += other.knn_correct;
    knn_images += other.knn_images;
    return *this;
  }

  /// How well features distinguish images: 0 if all features are equal, 1 if they differ as much as possible.
  [[nodiscard]] double spread() const { return mean(spreads, images); }
  /// 1 if the teacher's outputs are uniform for every image, 0 if each image has a single output.
  [[nodiscard]] double entropy() const { return mean(entropies, entropy_images); }
  [[nodiscard]] double comparison() const { return mean(comparisons, compared_images); }
  [[nodiscard]] double knn_accuracy() const { return mean(static_cast<double>(knn_correct), knn_images); }

  static constexpr auto numbers() {
    using Self = SelfDistillationMeasures;
    return std::tuple{measured_number("spread", &Self::spread), measured_number("entropy", &Self::entropy),
                      measured_number("comparison", &Self::comparison),
                      measured_number("knn_accuracy", &Self::knn_accuracy, ReportedFor::test)};
  }
  static constexpr auto sums() {
    using Self = SelfDistillationMeasures;
    return std::tuple{measured_sum("spreads", &Self::spreads),
                      measured_sum("images with spread", &Self::images),
                      measured_sum("entropies", &Self::entropies),
                      measured_sum("images with entropy", &Self::entropy_images),
                      measured_sum("comparisons", &Self::comparisons),
                      measured_sum("images with comparison", &Self::compared_images)};
  }

 private:
  [[nodiscard]] static double mean(double sum, Index count) {
    return count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
  }
};

/// Below this spread features hardly distinguish images (collapse). Healthy runs have 0.3 and more.
inline constexpr double collapsed_spread = 0.05;

/// A description of a collapse and its remedies, if the spread is below collapsed_spread or not finite; nothing
/// otherwise, or if no spread was measured.
[[nodiscard]] inline std::optional<std::string> why_collapsed(const SelfDistillationMeasures& measures) {
  if (measures.images == 0) return std::nullopt;
  if (!std::isfinite(measures.spread()))
    return concatenate("the features have no finite spread (", measures.spread(),
                       "); a smaller rate, clipping, or a squared epsilon of the coding rate closer to 1 may help");
  if (measures.spread() >= collapsed_spread) return std::nullopt;
  const std::string found = concatenate("all images get nearly the same features (spread ", measures.spread(),
                                        ", expected at least ", collapsed_spread, ")");
  if (measures.entropy_images == 0)
    return found +
           "; a smaller squared epsilon of the coding rate, a larger momentum of the teacher, or a smaller rate may "
           "help";
  return found + (measures.entropy() > 0.5
                      ? ": every output is used alike; a lower temperature of the teacher, a larger momentum of the "
                        "teacher, or a smaller rate may help"
                      : ": a few outputs win everywhere; centring (momentum 0.9), a larger momentum of the teacher, or "
                        "a smaller rate may help");
}

/// DINO over a training: the teacher's temperature changes linearly from its first value to its last, then stays.
struct DinoTrainingOptions {
  double student_temperature = 0.1;
  double first_teacher_temperature = 0.04, teacher_temperature = 0.04;
  Index temperature_steps = 0;   ///< steps until the last temperature is reached, >= 0
  double centre_momentum = 0.9;  ///< in [0, 1]; 1: no centring

  void check() const {
    DinoOptions{.student_temperature = student_temperature, .teacher_temperature = teacher_temperature}.check();
    DinoOptions{.teacher_temperature = first_teacher_temperature}.check();
    check_option(temperature_steps >= 0, "DINO: steps of the teacher's temperature >= 0", temperature_steps);
    check_option(centre_momentum >= 0 && centre_momentum <= 1, "DINO: momentum of the centre in [0, 1]",
                 centre_momentum);
  }

  [[nodiscard]] double teacher_temperature_at(Index step) const {
    if (step >= temperature_steps) return teacher_temperature;
    const double x = static_cast<double>(step) / static_cast<double>(temperature_steps);
    return first_teacher_temperature + x * (teacher_temperature - first_teacher_temperature);
  }
};

using SelfDistillationRule = std::variant<CodingRateDistillationOptions, DinoTrainingOptions>;

/// The loss of self-distillation: DINO's cross-entropy or the coding-rate loss, according to `rule`. A JointObjective:
/// the teacher is the trainer's moving average. See operators/self_distillation.hpp.
template <class Model>
struct SelfDistillationObjective {
  using Scalar = typename Model::Scalar;
  using Measures = SelfDistillationMeasures;

  struct Size {
    Index height = 0, width = 0;
  };

  /// The loss of a batch of features, as its measures, and dL/d(features) of every view of the student.
  struct BatchLoss {
    Measures measures;
    std::vector<Matrix<Scalar>> by_student;
  };

  SelfDistillationRule rule;
  Index views = 2;             ///< of each image, global ones first
  Index global_views = 2;      ///< number of views that the teacher sees
  Size other_size = {};        ///< of the local views, in pixels
  Vector<Scalar> centre = {};  ///< DINO only: K entries, zero at the start
  /// Evaluates the teacher after an epoch, if set. The result must be the same on all ranks, which may divide the work.
  std::function<Measures(const Model&, Threads&, Communicator&)> evaluation = {};

  /// `dim` is the number of entries of the features. Throws OptionError if an option is out of range.
  SelfDistillationObjective(SelfDistillationRule what, Index dim, Index local_views = 0, Size local_size = {})
      : rule(what), views(2 + local_views), other_size(local_size) {
    std::visit([](const auto& options) { options.check(); }, rule);
    check_option(local_views >= 0, "self-distillation: local views >= 0", local_views);
    if (std::holds_alternative<DinoTrainingOptions>(rule)) centre.setZero(dim);
  }

  static constexpr auto parts() { return std::tuple{part("centre", &SelfDistillationObjective::centre)}; }

  [[nodiscard]] BatchLoss loss(const ViewFeatures<Scalar>& student, const ViewFeatures<Scalar>& teacher,
                               const StepPlace& place, Threads& threads) const {
    const Index images = student.front().cols();
    const double m = static_cast<double>(images);
    if (const auto* const dino = std::get_if<DinoTrainingOptions>(&rule)) {
      const auto targets = dino_targets(teacher, centre, dino->teacher_temperature_at(place.step), threads);
      auto found = dino_loss(student, targets, dino->student_temperature, threads);
      Measures measures = measures_of(output_entropies(targets));
      measures.loss = {m * found.loss, images};
      return {measures, std::move(found.by_student)};
    }
    auto found =
        coding_rate_distillation_loss(student, teacher, std::get<CodingRateDistillationOptions>(rule), threads);
    return {{.loss = {m * found.loss, images},
             .spreads = m * found.spread,
             .images = images,
             .comparisons = m * found.comparison,
             .compared_images = images},
            std::move(found.by_student)};
  }

  /// Updates DINO's centre after a step, with the teacher's features of that step.
  void update_centre(const ViewFeatures<Scalar>& teacher) {
    if (const auto* const dino = std::get_if<DinoTrainingOptions>(&rule); dino != nullptr && dino->centre_momentum < 1)
      centre = dino_centre(centre, teacher, dino->centre_momentum);
  }

  [[nodiscard]] Measures evaluate(const Model& model, Threads& threads, Communicator& ranks) const {
    return evaluation ? evaluation(model, threads, ranks) : Measures{};
  }

  /// The measures, such as the spread, of a teacher's features of one view of images, p x B.
  [[nodiscard]] Measures gauges(const Matrix<Scalar>& features, Index step, Threads& threads) const {
    const double m = static_cast<double>(features.cols());
    if (const auto* const dino = std::get_if<DinoTrainingOptions>(&rule))
      return measures_of(output_entropies(
          dino_targets<Scalar>({map_of(features)}, centre, dino->teacher_temperature_at(step), threads)));
    const double squared_epsilon = std::get<CodingRateDistillationOptions>(rule).squared_epsilon;
    return {.spreads = m * expansion_spread(features, squared_epsilon), .images = features.cols()};
  }

 private:
  [[nodiscard]] static Measures measures_of(const OutputEntropies& entropies) {
    const double m = static_cast<double>(entropies.images);
    const double largest = std::log(static_cast<double>(std::max<Index>(2, entropies.outputs)));
    return {.spreads = m * entropies.spread(),
            .images = entropies.images,
            .entropies = m * entropies.mean / largest,
            .entropy_images = entropies.images};
  }
};

/// Appends the options of the rule.
inline void describe(Recipe& recipe, const CodingRateDistillationOptions& o) {
  using detail::exact_text;
  recipe.insert(recipe.end(), {{"objective", "coding rate"},
                               {"epsilon^2", exact_text(o.squared_epsilon)},
                               {"weight of the comparison", exact_text(o.comparison_weight)},
                               {"coding rate of", o.expansion_of == ExpansionOf::student ? "student" : "both"}});
}
inline void describe(Recipe& recipe, const DinoTrainingOptions& o) {
  using detail::exact_text;
  recipe.insert(recipe.end(), {{"objective", "DINO"},
                               {"student temperature", exact_text(o.student_temperature)},
                               {"teacher temperature", exact_text(o.teacher_temperature)},
                               {"first teacher temperature", exact_text(o.first_teacher_temperature)},
                               {"steps of the teacher temperature", exact_text(o.temperature_steps)},
                               {"centre momentum", exact_text(o.centre_momentum)}});
}
inline void describe(Recipe& recipe, const SelfDistillationRule& rule) {
  std::visit([&](const auto& options) { describe(recipe, options); }, rule);
}

}  // namespace crate
