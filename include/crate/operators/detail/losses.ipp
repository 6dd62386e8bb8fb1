// SPDX-License-Identifier: MIT
// The bodies of losses.hpp.

namespace crate {

namespace detail {

/// Throws ShapeError unless there is a label for each column, every one that is not ignored naming a row.
template <class Derived>
void check_labels(const Eigen::MatrixBase<Derived>& logits, std::span<const Index> labels, Index ignored) {
  check_size("labels", static_cast<Index>(labels.size()), logits.cols());
  for (std::size_t j = 0; j < labels.size(); ++j)
    if (labels[j] != ignored && (labels[j] < 0 || labels[j] >= logits.rows()))
      throw ShapeError(concatenate("label ", j, ": expected 0 to ", logits.rows() - 1, ", or ", ignored,
                                   " where the position is ignored, found ", labels[j]));
}

/// The mean of logits x by the target of label y under label smoothing s: (1 - s) x_y + s mean_c x_c.
template <class Column>
[[nodiscard]] double mean_by_target(const Column& x, Index label, double s) {
  const double of_all = s != 0 ? s * static_cast<double>(x.mean()) : 0;  // a logit may be -inf, and 0 * -inf is not 0
  return (1 - s) * static_cast<double>(x(label)) + of_all;
}

/// weight (softmax(x) - target), in place of exp(x), of which `sum` is the sum.
template <class Column, class S>
void cross_entropy_gradient_in_place(Column&& exponentials, S sum, Index label, double weight, double s) {
  exponentials = exponentials / sum - static_cast<S>(s / static_cast<double>(exponentials.size()));
  exponentials(label) -= static_cast<S>(1 - s);
  exponentials *= static_cast<S>(weight);
}

/// The mean of a patch, and sqrt(variance + 1e-6), by which a patch is normalised.
template <class S>
struct PatchStatistics {
  S mean, deviation;
};

template <class Patch>
[[nodiscard]] auto patch_statistics(const Patch& patch) {
  using S = typename Patch::Scalar;
  const S mean = patch.mean();
  const S variance = (patch.array() - mean).square().sum() / static_cast<S>(patch.size() - 1);
  return PatchStatistics<S>{mean, std::sqrt(variance + S(1e-6))};
}

/// Calls visit(i, target) for every patch i that is hidden, or shown, and what it is compared with.
template <class T, class Mask, class Visit>
void for_each_patch(const T& target, const Mask& mask, bool hidden, bool normalise, const Visit& visit) {
  using S = typename T::Scalar;
  Vector<S> patch(target.rows());
  for (Index i = 0; i < target.cols(); ++i) {
    if ((mask(i % mask.rows(), i / mask.rows()) != 0) != hidden) continue;
    patch = target.col(i);
    if (normalise) {
      const auto [mean, deviation] = patch_statistics(patch);
      patch.array() = (patch.array() - mean) / deviation;
    }
    visit(i, patch);
  }
}

template <class P, class T>
void check_patches(const P& prediction, const T& target, bool normalise) {
  check_shape("patch error: prediction", prediction, target.rows(), target.cols());
  if (target.rows() < 1) throw ShapeError("patch error: expected patches of at least 1 value, found 0");
  if (normalise && target.rows() < 2)
    throw ShapeError(
        concatenate("patch error: expected patches of at least 2 values to normalise, found ", target.rows()));
}

template <class P, class T, class Mask>
void check_masked_patches(const P& prediction, const T& target, const Mask& mask, bool normalise) {
  check_patches(prediction, target, normalise);
  check_size("patch error: entries of the mask", mask.size(), target.cols());
}

}  // namespace detail

template <class Derived>
LossSum cross_entropy(const Eigen::MatrixBase<Derived>& logits, std::span<const Index> labels,
                      const CrossEntropyOptions& options) {
  options.check();
  detail::check_labels(logits, labels, options.ignored);
  const auto& x = evaluated(logits);
  LossSum loss;
  for (Index j = 0; j < x.cols(); ++j) {
    const Index label = labels[static_cast<std::size_t>(j)];
    if (label == options.ignored) continue;
    const auto shifted = x.col(j).array() - x.col(j).maxCoeff();
    loss.sum += std::log(static_cast<double>(shifted.exp().sum())) -
                detail::mean_by_target(shifted, label, options.label_smoothing);
    ++loss.count;
  }
  return loss;
}

template <class Derived>
Plain<Derived> cross_entropy_gradient(const Eigen::MatrixBase<Derived>& logits, std::span<const Index> labels,
                                      double weight, const CrossEntropyOptions& options) {
  options.check();
  detail::check_labels(logits, labels, options.ignored);
  Plain<Derived> gradient = logits;
  for (Index j = 0; j < gradient.cols(); ++j) {
    const Index label = labels[static_cast<std::size_t>(j)];
    auto column = gradient.col(j).array();
    if (label == options.ignored) {
      column.setZero();
      continue;
    }
    column = (column - column.maxCoeff()).exp();
    detail::cross_entropy_gradient_in_place(column, column.sum(), label, weight, options.label_smoothing);
  }
  return gradient;
}

template <class Derived>
LossSum cross_entropy_to_gradient(Eigen::MatrixBase<Derived>& logits, std::span<const Index> labels, double weight,
                                  const CrossEntropyOptions& options, Threads& threads) {
  options.check();
  detail::check_labels(logits, labels, options.ignored);
  std::vector<double> losses(labels.size());
  threads.for_each(logits.cols(), [&](Index j, int) {
    const Index label = labels[static_cast<std::size_t>(j)];
    auto x = logits.derived().col(j).array();
    if (label == options.ignored) return void(x.setZero());
    x -= x.maxCoeff();
    const double of_target = detail::mean_by_target(x, label, options.label_smoothing);
    x = x.exp();
    const auto sum = x.sum();
    losses[static_cast<std::size_t>(j)] = std::log(static_cast<double>(sum)) - of_target;
    detail::cross_entropy_gradient_in_place(x, sum, label, weight, options.label_smoothing);
  });
  LossSum total{.sum = 0, .count = counted_positions(labels, options.ignored)};
  for (const double loss : losses) total.sum += loss;
  return total;
}

template <class Derived>
Index count_correct(const Eigen::MatrixBase<Derived>& logits, std::span<const Index> labels, Index top, Index ignored) {
  check_option(top >= 1, "accuracy: top >= 1", top);
  detail::check_labels(logits, labels, ignored);
  const auto& x = evaluated(logits);
  Index correct = 0;
  for (Index j = 0; j < x.cols(); ++j) {
    const Index label = labels[static_cast<std::size_t>(j)];
    if (label == ignored) continue;
    const auto own = x(label, j);
    Index before = std::isnan(own) ? top : 0;
    for (Index c = 0; c < x.rows(); ++c) {
      const bool behind = x(c, j) < own || (x(c, j) == own && c >= label);
      before += behind ? 0 : 1;
    }
    correct += before < top ? 1 : 0;
  }
  return correct;
}

template <class PDerived, class TDerived, class MaskDerived>
LossSum masked_patch_error(const Eigen::MatrixBase<PDerived>& prediction, const Eigen::MatrixBase<TDerived>& target,
                           const Eigen::MatrixBase<MaskDerived>& mask, bool normalise) {
  detail::check_masked_patches(prediction, target, mask, normalise);
  const auto& p = evaluated(prediction);
  LossSum loss;
  detail::for_each_patch(evaluated(target), evaluated(mask), true, normalise, [&](Index i, const auto& patch) {
    loss.sum += static_cast<double>((p.col(i) - patch).squaredNorm()) / static_cast<double>(patch.size());
    ++loss.count;
  });
  return loss;
}

template <class PDerived, class TDerived, class MaskDerived>
Plain<PDerived> masked_patch_error_gradient(const Eigen::MatrixBase<PDerived>& prediction,
                                            const Eigen::MatrixBase<TDerived>& target,
                                            const Eigen::MatrixBase<MaskDerived>& mask, double weight, bool normalise) {
  using S = typename PDerived::Scalar;
  detail::check_masked_patches(prediction, target, mask, normalise);
  const auto& p = evaluated(prediction);
  const auto scale = static_cast<S>(2 * weight / static_cast<double>(p.rows()));
  Plain<PDerived> gradient = Plain<PDerived>::Zero(p.rows(), p.cols());
  detail::for_each_patch(evaluated(target), evaluated(mask), true, normalise,
                         [&](Index i, const auto& patch) { gradient.col(i) = scale * (p.col(i) - patch); });
  return gradient;
}

namespace detail {

/// The mean visible pixel of each image, channels x images; 0 where nothing is visible.
template <class T, class Mask>
[[nodiscard]] Matrix<typename T::Scalar> mean_visible_pixels(const T& target, const Mask& mask, Index channels,
                                                             bool normalise) {
  using S = typename T::Scalar;
  Matrix<S> means = Matrix<S>::Zero(channels, mask.cols());
  Vector<S> counts = Vector<S>::Zero(mask.cols());
  for_each_patch(target, mask, false, normalise, [&](Index i, const auto& patch) {
    const Index image = i / mask.rows();
    means.col(image) += patch.reshaped(channels, patch.size() / channels).rowwise().mean();
    counts(image) += 1;
  });
  return means * counts.cwiseMax(S(1)).cwiseInverse().asDiagonal();
}

}  // namespace detail

template <class TDerived, class MaskDerived>
LossSum mean_visible_pixel_error(const Eigen::MatrixBase<TDerived>& target, const Eigen::MatrixBase<MaskDerived>& mask,
                                 Index channels, bool normalise) {
  detail::check_masked_patches(target, target, mask, normalise);
  if (channels < 1 || target.rows() % channels != 0)
    throw ShapeError(concatenate("patch error: expected channels that divide the ", target.rows(),
                                 " values of a patch, found ", channels));
  const auto& t = evaluated(target);
  const auto& m = evaluated(mask);
  const auto means = detail::mean_visible_pixels(t, m, channels, normalise);
  Plain<TDerived> prediction(t.rows(), t.cols());
  for (Index i = 0; i < t.cols(); ++i) prediction.col(i) = means.col(i / m.rows()).replicate(t.rows() / channels, 1);
  return masked_patch_error(prediction, t, m, normalise);
}

template <class PDerived, class TDerived>
Plain<PDerived> pixels_of_normalised_patches(const Eigen::MatrixBase<PDerived>& prediction,
                                             const Eigen::MatrixBase<TDerived>& target) {
  detail::check_patches(prediction, target, true);
  const auto& t = evaluated(target);
  Plain<PDerived> pixels = prediction;
  for (Index i = 0; i < t.cols(); ++i) {
    const auto [mean, deviation] = detail::patch_statistics(t.col(i));
    pixels.col(i).array() = pixels.col(i).array() * deviation + mean;
  }
  return pixels;
}

}  // namespace crate
