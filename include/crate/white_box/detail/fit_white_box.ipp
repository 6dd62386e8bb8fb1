// SPDX-License-Identifier: MIT
// The bodies of fit_white_box.hpp.

#include <algorithm>
#include <limits>
#include <utility>

#include "crate/core/random.hpp"

namespace crate {

namespace detail {

/// The smallest threshold that makes this share of the entries zero; 0 for a share of 0. Reorders `values`.
template <crate::Scalar S>
[[nodiscard]] S threshold_that_zeroes(double share, Matrix<S>& values) {
  values = values.cwiseAbs().eval();
  const auto zeros = std::min(static_cast<Index>(share * static_cast<double>(values.size())), values.size());
  if (zeros == 0) return 0;
  S* const data = values.data();
  std::nth_element(data, data + (zeros - 1), data + values.size());
  return data[zeros - 1];
}

/// The standard deviation of the noise in coordinates that are mostly noise, from their median (Donoho and Johnstone,
/// "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 1994).
template <crate::Scalar S>
[[nodiscard]] double noise_of(Matrix<S> coordinates) {
  constexpr double median_of_normal = 0.6745;
  return static_cast<double>(threshold_that_zeroes(0.5, coordinates)) / median_of_normal;
}

/// -sum x log x, in nats.
template <class Derived>
[[nodiscard]] double entropy(const Eigen::MatrixBase<Derived>& shares) {
  double total = 0;
  for (Index j = 0; j < shares.cols(); ++j)
    for (Index i = 0; i < shares.rows(); ++i)
      if (shares(i, j) > 0) total -= static_cast<double>(shares(i, j)) * std::log(static_cast<double>(shares(i, j)));
  return total;
}

/// The worth of estimated subspaces for N tokens; `directions` are those of some of the tokens.
template <crate::Scalar S>
[[nodiscard]] SubspaceChoice value_subspaces(const Matrix<S>& directions, const EstimatedSubspaces<S>& estimated,
                                             const WhiteBoxOptions& options, Index tokens) {
  const Matrix<double> z = directions.template cast<double>();
  const Subspaces<Matrix<double>> u(estimated.subspaces.bases().template cast<double>(), estimated.subspaces.heads());
  const double mean_square = z.squaredNorm() / static_cast<double>(z.cols());
  constexpr double least_residual = 1e-6;
  SubspaceChoice choice{.subspaces = u.heads(), .dim = u.head_dim()};
  choice.epsilon = options.epsilon.value_or(std::sqrt(std::max(least_residual, estimated.residual) * mean_square));
  const CodingRateOptions precision{.epsilon = choice.epsilon};
  const Matrix<double> partition = soft_partition(z, u, options.logit_scale);
  const auto count = static_cast<double>(z.cols());
  choice.rate = coding_rate(z, precision);
  choice.reduction = choice.rate - subspace_coding_rate(z, u, precision);
  choice.saved = choice.rate - partition_coding_rate(z, partition, precision);
  choice.membership = entropy(partition.rowwise().mean().eval()) - entropy(partition) / count;
  choice.bases = static_cast<double>(u.bases().cols() * (u.dim() - u.head_dim())) / static_cast<double>(tokens);
  return choice;
}

/// The sizes to try for d x N tokens: those of the options, or standard ones with K p <= N / 2 and p <= d / 2.
[[nodiscard]] inline std::vector<SubspaceChoice> sizes_to_try(const WhiteBoxOptions& options, Index dim, Index tokens) {
  const std::vector<Index> counts =
      options.subspaces ? std::vector{*options.subspaces} : std::vector<Index>{2, 3, 4, 8, 16};
  const std::vector<Index> dims = options.dim ? std::vector{*options.dim} : std::vector<Index>{2, 4, 8};
  std::vector<SubspaceChoice> sizes;
  for (const Index p : dims)
    for (const Index k : counts)
      if ((options.subspaces && options.dim) || (k * p <= tokens / 2 && p <= dim / 2))
        sizes.push_back({.subspaces = k, .dim = p});
  if (sizes.empty())
    sizes.push_back({.subspaces = options.subspaces.value_or(std::clamp<Index>(std::min(tokens / 2, dim), 1, 4)),
                     .dim = options.dim.value_or(1)});
  return sizes;
}

[[nodiscard]] inline SubspaceEstimationOptions estimation(const SubspaceChoice& size, const WhiteBoxOptions& options) {
  return {.subspaces = size.subspaces, .dim = size.dim, .seed = options.seed};
}

/// The tokens, or `most` of them, drawn at random, if there are more.
template <crate::Scalar S>
[[nodiscard]] Matrix<S> at_most(Index most, const Matrix<S>& tokens, std::uint64_t seed) {
  if (tokens.cols() <= most) return tokens;
  Random random(seed, 1);
  return sample_columns<S>(tokens, most, random);
}

/// Tries the sizes on some of the directions, chooses the one of most worth, and fits subspaces of it to all
/// directions.
template <crate::Scalar S>
[[nodiscard]] EstimatedSubspaces<S> choose_subspaces(const Matrix<S>& directions, const WhiteBoxOptions& options,
                                                     WhiteBoxFit& fit, Threads& threads) {
  constexpr Index most_tokens = 2048;
  const Matrix<S> some = at_most(most_tokens, directions, options.seed);
  fit.tried_on = some.cols();
  std::vector<EstimatedSubspaces<S>> estimates;
  for (const SubspaceChoice& size : sizes_to_try(options, directions.rows(), directions.cols())) {
    estimates.push_back(estimate_subspaces(some, estimation(size, options), threads));
    fit.tried.push_back(value_subspaces<S>(some, estimates.back(), options, directions.cols()));
  }
  const auto less = [](const SubspaceChoice& a, const SubspaceChoice& b) {
    const bool a_is_positive = a.reduction > 0, b_is_positive = b.reduction > 0;
    if (a_is_positive != b_is_positive) return b_is_positive;
    return a_is_positive ? a.worth() < b.worth() : a.reduction < b.reduction;
  };
  const auto best = std::max_element(fit.tried.begin(), fit.tried.end(), less);
  fit.chosen = *best;
  if (some.cols() == directions.cols()) return estimates[static_cast<std::size_t>(best - fit.tried.begin())];
  EstimatedSubspaces<S> estimated = estimate_subspaces(directions, estimation(fit.chosen, options), threads);
  fit.chosen = value_subspaces<S>(directions, estimated, options, directions.cols());
  return estimated;
}

/// The step size of the layers, for N tokens.
template <crate::Scalar S>
[[nodiscard]] double step_size(const Subspaces<Matrix<S>>& subspaces, const WhiteBoxOptions& options, double kappa,
                               double epsilon, Index tokens) {
  if (is_on_rate_reduction(options.step)) return kappa / rate_factor(subspaces.dim(), tokens, epsilon);
  return kappa / 2 * largest_kappa(subspaces, tokens, epsilon);
}

template <crate::Scalar S>
[[nodiscard]] WhiteBoxBlockOptions block_options(const Subspaces<Matrix<S>>& subspaces, const WhiteBoxOptions& options,
                                                 const WhiteBoxFit& fit, double softening, Index tokens) {
  const double kappa = options.kappa.value_or(fit.falls_into_subspaces() ? 1.0 : 0.1), epsilon = fit.chosen.epsilon;
  return {.layers = {.dim = subspaces.dim(),
                     .heads = subspaces.heads(),
                     .head_dim = subspaces.head_dim(),
                     .compression = {.kappa = step_size(subspaces, options, kappa, epsilon, tokens),
                                     .epsilon = epsilon,
                                     .step = options.step,
                                     .logit_scale = options.logit_scale},
                     .ista = {.step = 1, .lambda = 0, .threshold = Threshold::soft}},
          .directions = {.softening = softening}};
}

/// Tokens after some compression steps, without sparsification.
template <crate::Scalar S>
struct CompressedTokens {
  Matrix<S> tokens;
  Index steps = 0;
};

/// R - R^c(Z | Pi) of directions, in nats per token.
template <crate::Scalar S>
[[nodiscard]] double partition_reduction(const OnDirections<Compression<S>>& step, const Matrix<S>& z,
                                         Threads& threads) {
  const Matrix<double> unit = directions(z, step.options.softening).template cast<double>();
  const Subspaces<Matrix<double>> u(step.layer.subspaces.bases().template cast<double>(), step.layer.subspaces.heads());
  const CodingRateOptions precision{.epsilon = step.layer.options.epsilon};
  return coding_rate(unit, precision) -
         partition_coding_rate(unit, soft_partition(unit, u, step.layer.options.logit_scale), precision, threads);
}

/// Takes the number of steps in the options, or steps while each raises R - R^c(Z | Pi) by at least one per cent.
template <crate::Scalar S>
[[nodiscard]] CompressedTokens<S> compress_while_it_pays(const OnDirections<Compression<S>>& step, const Matrix<S>& z,
                                                         const WhiteBoxOptions& options, const WhiteBoxFit& fit,
                                                         Threads& threads) {
  constexpr Index most_steps = 16, steps_of_others = 4;
  constexpr double least_rise = 1.01;
  const bool is_open = !options.depth && fit.falls_into_subspaces();
  const Index most = is_open ? most_steps : options.depth.value_or(steps_of_others);
  CompressedTokens<S> result{z, 0};
  double reduction = is_open ? partition_reduction(step, z, threads) : 0;
  while (result.steps < most) {
    Matrix<S> next = forward(step, result.tokens, {.threads = &threads});
    if (is_open) {
      const double before = std::exchange(reduction, partition_reduction(step, next, threads));
      if (result.steps > 0 && !(reduction > least_rise * before)) break;
    }
    result = {std::move(next), result.steps + 1};
  }
  return result;
}

/// The number of iterations, at most 24, after which an inverse undoes the step on some of the tokens up to a relative
/// error of 1e-3.
template <crate::Scalar S>
[[nodiscard]] Index iterations_to_invert(OnDirections<Compression<S>> step, const Matrix<S>& tokens, std::uint64_t seed,
                                         Threads& threads) {
  constexpr Index most_tokens = 1024, most_turns = 24;
  constexpr double least_error = 1e-3;
  const Matrix<S> some = at_most(most_tokens, tokens, seed);
  step.layer.options.kappa *= static_cast<double>(some.cols()) / static_cast<double>(tokens.cols());
  const Matrix<S> made = forward(step, some, {.threads = &threads});
  Matrix<S> found = made;
  Index turns = 0;
  do {
    found += made - forward(step, found, {.threads = &threads});
    ++turns;
  } while (turns < most_turns && !((found - some).norm() <= static_cast<S>(least_error) * some.norm()));
  return turns;
}

/// Estimates an orthonormal dictionary, the noise in its coordinates, and the share of entries that the code keeps.
template <crate::Scalar S>
[[nodiscard]] Matrix<S> choose_dictionary(const Matrix<S>& z, const WhiteBoxOptions& options, WhiteBoxFit& fit,
                                          Threads& threads) {
  constexpr double above_noise = 2, most_non_zero = 0.3;
  const Matrix<S> principal = principal_directions(z, threads);
  const double noise = noise_of<S>(product_of(principal.transpose(), z, threads));
  const double threshold = options.dictionary_threshold.value_or(above_noise * noise);
  const Matrix<S> dictionary = estimate_dictionary(z, {.threshold = threshold}, threads);
  const Matrix<S> coordinates = product_of(dictionary.transpose(), z, threads);
  fit.noise = noise_of<S>(coordinates);
  const auto above = static_cast<double>((coordinates.array().abs() > static_cast<S>(above_noise * fit.noise)).count());
  // With few coordinates the median is not noise: at least one entry per token is kept.
  const double one_a_token = 1 / static_cast<double>(z.rows());
  fit.non_zero =
      options.non_zero.value_or(std::max(one_a_token, std::min(most_non_zero, above / static_cast<double>(z.size()))));
  return dictionary;
}

/// Sets the dictionaries, subspaces and thresholds of the layers, from the first to the last.
template <crate::Scalar S>
void fit_layers(WhiteBox<S>& box, Matrix<S> z, const Matrix<S>& dictionary, const WhiteBoxFit& fit, Threads& threads) {
  const Subspaces<Matrix<S>> after(product_of(dictionary.transpose(), box.code_subspaces.bases(), threads),
                                   box.code_subspaces.heads());
  const auto depth = static_cast<double>(box.encoder.layers.size());
  for (std::size_t l = 0; l < box.encoder.layers.size(); ++l) {
    WhiteBoxBlock<S>& layer = box.encoder.layers[l];
    layer.compress.layer.subspaces = l == 0 ? box.code_subspaces : after;
    layer.sparsify.dictionary = l == 0 ? dictionary : Matrix<S>(Matrix<S>::Identity(z.rows(), z.rows()));
    const Matrix<S> compressed = forward(layer.compress, z, {.threads = &threads});
    Matrix<S> coordinates = product_of(layer.sparsify.dictionary.transpose(), compressed, threads);
    const double zeros = (1 - fit.non_zero) * static_cast<double>(l + 1) / depth;
    layer.sparsify.options.lambda = static_cast<double>(threshold_that_zeroes(zeros, coordinates));
    z = forward(layer.sparsify, compressed, {.threads = &threads});
  }
  box.code_subspaces = after;
}

/// Sets the decoder, which undoes the encoder layer by layer.
template <crate::Scalar S>
void mirror_layers(WhiteBox<S>& box) {
  const std::size_t depth = box.encoder.layers.size();
  for (std::size_t l = 0; l < depth; ++l) {
    WhiteBoxDecoderBlock<S>& mirror = box.decoder.layers[depth - 1 - l];
    mirror.expand.dictionary = box.encoder.layers[l].sparsify.dictionary;
    mirror.decompress.layer = box.encoder.layers[l].compress;
  }
}

}  // namespace detail

inline std::vector<std::string> WhiteBoxFit::in_words() const {
  const std::string sizes = concatenate(detail::count_of(chosen.subspaces, "subspace"), " of dimension ", chosen.dim);
  std::string sampled;
  if (fitted_on < tokens)
    sampled += detail::printed(" Of the %td tokens, %td drawn at random were fitted to.", tokens, fitted_on);
  if (tried_on < fitted_on) sampled += detail::printed(" Sizes were compared on %td of the tokens.", tried_on);
  if (falls_into_subspaces())
    return {detail::printed("The tokens fall into subspaces: knowing %s saves %.2f nats per token more than it costs.",
                            sizes.c_str(), chosen.worth()) +
            sampled};
  return {detail::printed("The tokens do not fall into subspaces: knowing %s saves %.2f nats per token and costs %.2f.",
                          sizes.c_str(), chosen.saved, chosen.membership + chosen.bases) +
              sampled,
          "What makes the code short is its sparsity."};
}

inline std::ostream& operator<<(std::ostream& out, const WhiteBoxFit& fit) {
  out << "Subspaces that were tried, and the saving from knowing them, in nats per token";
  if (fit.is_sampled()) out << " (of " << fit.tried_on << " tokens, drawn at random)";
  out << ":\n"
      << "   K   p   precision  R - R^c  R - R^c(Pi)  less membership  less bases    worth\n";
  for (const SubspaceChoice& c : fit.tried) {
    const bool is_chosen = c.subspaces == fit.chosen.subspaces && c.dim == fit.chosen.dim;
    out << detail::printed("  %2td  %2td  %10.3f %8.1f  %11.2f  %15.2f  %10.2f  %7.2f%s\n", c.subspaces, c.dim,
                           c.epsilon, c.reduction, c.saved, c.membership, c.bases, c.worth(),
                           is_chosen ? "  chosen" : "");
  }
  for (const std::string& sentence : fit.in_words()) detail::write_paragraph(out, sentence);
  return out;
}

template <class ZDerived>
WhiteBox<typename ZDerived::Scalar> fit_white_box(const Eigen::MatrixBase<ZDerived>& tokens,
                                                  const WhiteBoxOptions& options, Threads& threads, WhiteBoxFit* fit) {
  using S = typename ZDerived::Scalar;
  options.check();
  if (tokens.size() == 0) throw ShapeError("white box: expected tokens, found none");
  check_finite("white box: tokens", tokens);
  const Index most_fitted = std::max<Index>(6000, 32 * tokens.rows());
  const Matrix<S> mean = tokens.rowwise().mean();
  const Matrix<S> z = detail::at_most<S>(most_fitted, tokens.colwise() - mean.col(0), options.seed);
  const double length = std::sqrt(static_cast<double>(z.squaredNorm()) / static_cast<double>(z.cols()));
  const double rounding =
      std::sqrt(static_cast<double>(z.rows())) * Eigen::NumTraits<S>::epsilon() * static_cast<double>(mean.norm());
  const bool differ = (tokens.colwise() - tokens.col(0)).squaredNorm() > 0;
  if (!differ || length <= rounding)
    throw OptionError("white box: expected tokens that differ, found all of them equal");

  WhiteBoxFit fitted{.tokens = tokens.cols(), .fitted_on = z.cols()};
  constexpr double short_token = 0.1;
  const double softening = options.softening.value_or(short_token * length);
  const Matrix<S> unit = directions(z, softening);
  const auto estimated = detail::choose_subspaces<S>(unit, options, fitted, threads);
  WhiteBoxBlockOptions block = detail::block_options<S>(estimated.subspaces, options, fitted, softening, z.cols());
  OnDirections<Compression<S>> step(Compression<S>(estimated.subspaces, block.layers.compression), block.directions);
  const detail::CompressedTokens<S> compressed = detail::compress_while_it_pays<S>(step, z, options, fitted, threads);
  block.inverse.iterations =
      options.inverse_iterations
          ? *options.inverse_iterations
          : std::max(detail::iterations_to_invert<S>(step, z, options.seed, threads),
                     detail::iterations_to_invert<S>(step, compressed.tokens, options.seed, threads));
  const Matrix<S> dictionary = detail::choose_dictionary<S>(compressed.tokens, options, fitted, threads);
  WhiteBox<S> box{mean, {compressed.steps, block}, {compressed.steps, block}, estimated.subspaces, z.cols()};
  detail::fit_layers<S>(box, z, dictionary, fitted, threads);
  detail::mirror_layers(box);
  if (fit != nullptr) *fit = std::move(fitted);
  return box;
}

}  // namespace crate
