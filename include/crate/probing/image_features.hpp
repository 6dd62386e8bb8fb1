// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/patch_embedding.hpp"
#include "crate/probing/labelled_features.hpp"
#include "crate/training/communicator.hpp"
#include "crate/training/shared_columns.hpp"

// What models say of images before they are asked for classes or pixels.

namespace crate {

/// Of which token features are.
enum class FeatureToken {
  class_token,
  mean_of_patches,  ///< the mean of all but the class token
  pooled            ///< what a classifier pools, as its head reads it
};

struct FeatureOptions {
  Index layer = 0;  ///< how many layers of the encoder the images pass, 1, ..., depth; 0 for all
  FeatureToken token = FeatureToken::class_token;
  bool normalised =
      false;  ///< by the norm behind the encoder: of a mean of patches before it is taken, of pooled tokens behind
};

/// What has an encoder of images: image classifiers, masked autoencoders, and whatever else names its parts so.
template <class Model>
concept HasImageEncoder = requires(const Model& model) {
  model.embedding;
  model.tokens;
  model.encoder.layers;
};

namespace detail {

/// Of all patches, none of them hidden.
template <class Model>
[[nodiscard]] const auto& patch_embedding_of(const Model& model) {
  if constexpr (requires { model.embedding.mask_token; })
    return model.embedding.embedding;
  else
    return model.embedding;
}

/// The norm behind the encoder.
template <class Model>
[[nodiscard]] const auto& encoder_norm_of(const Model& model) {
  if constexpr (requires { model.encoder_norm; })
    return model.encoder_norm;
  else
    return model.head.norm;
}

template <class Model, class Sets, class R>
[[nodiscard]] Sets pooled(const Model& model, const Sets& z, const R& run) {
  if constexpr (requires { model.pool; })
    return forward(model.pool, z, run);
  else
    throw OptionError("features: expected a model that pools tokens, found one that does not");
}

/// features_of(images, worker) of all examples of a source, `batch` at a time on every thread of every rank.
template <Scalar S, class Source, class FeaturesOf>
[[nodiscard]] LabelledFeatures<S> labelled_by(const Source& source, Index dim, Index classes, Threads& threads,
                                              Index batch, Communicator& ranks, const FeaturesOf& features_of) {
  check_option(batch >= 1, "images at a time >= 1", batch);
  LabelledFeatures<S> result{Matrix<S>(dim, source.size()), std::vector<Index>(static_cast<std::size_t>(source.size())),
                             classes};
  Eigen::Map<Eigen::Matrix<Index, 1, Eigen::Dynamic>> labels(result.labels.data(), source.size());
  const auto compute = [&](Index first, Index count, int worker) {
    std::vector<Index> indices(static_cast<std::size_t>(count));
    std::iota(indices.begin(), indices.end(), first);
    const auto examples = source.take(std::span<const Index>(indices));
    result.features.middleCols(first, count) = features_of(examples.images, worker);
    std::copy(examples.labels.begin(), examples.labels.end(), result.labels.begin() + first);
  };
  compute_shared_columns(ranks, "features of images", batch, threads, compute, result.features, labels);
  return result;
}

}  // namespace detail

/// The features of images (C H W) x B, in the order channel, row, column: d x B. A masked autoencoder sees all patches.
/// Throws OptionError on a layer that the encoder does not have and on pooled tokens of a model that pools none,
/// ShapeError unless the images are of the model's size.
template <HasImageEncoder Model>
[[nodiscard]] Matrix<typename Model::Scalar> image_features(const Model& model,
                                                            const Matrix<typename Model::Scalar>& images,
                                                            const FeatureOptions& options = {},
                                                            const Run<typename Model::Scalar>& run = {}) {
  using S = typename Model::Scalar;
  const auto depth = std::ssize(model.encoder.layers);
  check_option(options.layer >= 0 && options.layer <= depth, concatenate("layer of features in 0 to ", depth),
               options.layer);
  TokenSets<S> z = forward(detail::patch_embedding_of(model), Images<S>(images), run);
  z = forward(model.tokens, z, run);
  for (Index l = 0; l < (options.layer == 0 ? depth : options.layer); ++l)
    z = forward(model.encoder.layers[static_cast<std::size_t>(l)], z, run);
  if (options.token == FeatureToken::pooled) z = detail::pooled(model, z, run);
  if (options.normalised) z = forward(detail::encoder_norm_of(model), z, run);
  if (options.token == FeatureToken::pooled) return std::move(z.tokens);
  Matrix<S> features(z.tokens.rows(), images.cols());
  for (Index b = 0; b < images.cols(); ++b) {
    const auto set = z.tokens.middleCols(z.layout.begin(b), z.layout.length(b));
    if (options.token == FeatureToken::class_token)
      features.col(b) = set.col(0);
    else
      features.col(b) = set.rightCols(set.cols() - 1).rowwise().mean();
  }
  return features;
}

/// The features of all examples of a source of labelled images, `batch` at a time on every thread; ranks share them
/// out. Any number of threads and ranks gives the same bits. Throws as image_features.
template <HasImageEncoder Model, class Source>
[[nodiscard]] LabelledFeatures<typename Model::Scalar> labelled_features(const Model& model, const Source& source,
                                                                         Index classes, const FeatureOptions& options,
                                                                         Threads& threads, Index batch = 16,
                                                                         Communicator& ranks = single_process()) {
  using S = typename Model::Scalar;
  std::vector<Workspace> workspaces(static_cast<std::size_t>(threads.count()));
  return detail::labelled_by<S>(
      source, model.tokens.output_dim(), classes, threads, batch, ranks, [&](const Matrix<S>& images, int worker) {
        Threads alone;
        return image_features(model, images, options,
                              {.threads = &alone, .workspace = &workspaces[static_cast<std::size_t>(worker)]});
      });
}

/// The images of a source themselves, as a model would be given them. Throws ShapeError on an empty source.
template <class Source>
[[nodiscard]] auto labelled_pixels(const Source& source, Index classes, Threads& threads) {
  using Pixels = std::remove_cvref_t<decltype(source.take(std::span<const Index>()).images)>;
  const std::vector<Index> first_alone{0};
  if (source.size() < 1) throw ShapeError("pixels: expected at least an image, found none");
  const Index values = source.take(std::span<const Index>(first_alone)).images.rows();
  return detail::labelled_by<typename Pixels::Scalar>(source, values, classes, threads, 256, single_process(),
                                                      [](const Pixels& images, int) { return images; });
}

}  // namespace crate
