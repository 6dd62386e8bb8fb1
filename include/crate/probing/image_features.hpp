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

// Features of images: the tokens of a model before its head.

namespace crate {

/// The token whose features are used.
enum class FeatureToken {
  class_token,
  mean_of_patches,  ///< mean of all tokens but the class token
  pooled            ///< as pooled by a classifier for its head
};

struct FeatureOptions {
  Index layer = 0;  ///< number of encoder layers to apply, 1, ..., depth; 0 for all
  FeatureToken token = FeatureToken::class_token;
  bool normalised =
      false;  ///< whether to apply the norm after the encoder: to a mean of patches before averaging, to pooled tokens
              ///< after pooling
};

/// A model with an encoder of images: image classifiers, masked autoencoders, and models whose parts have these names.
template <class Model>
concept HasImageEncoder = requires(const Model& model) {
  model.embedding;
  model.tokens;
  model.encoder.layers;
};

namespace detail {

/// The embedding of all patches; none is hidden.
template <class Model>
[[nodiscard]] const auto& patch_embedding_of(const Model& model) {
  if constexpr (requires { model.embedding.mask_token; })
    return model.embedding.embedding;
  else
    return model.embedding;
}

/// The norm after the encoder.
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

/// features_of(images, worker) for all examples of a source, `batch` at a time on every thread of every rank.
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

/// The features, d x B, of images (C H W) x B, in the order channel, row, column. A masked autoencoder sees all
/// patches. Throws OptionError if the encoder lacks the layer, and for pooled tokens if the model does not pool;
/// ShapeError unless the images have the model's size.
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

/// The features of all examples of a source of labelled images, `batch` at a time on every thread; the ranks divide the
/// work. The result is bit-identical for any number of threads and ranks. Throws as image_features.
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

/// The images of a source themselves, as the model would receive them. Throws ShapeError if the source is empty.
template <class Source>
[[nodiscard]] auto labelled_pixels(const Source& source, Index classes, Threads& threads) {
  using Pixels = std::remove_cvref_t<decltype(source.take(std::span<const Index>()).images)>;
  const std::vector<Index> first_alone{0};
  if (source.size() < 1) throw ShapeError("pixels: expected at least one image, found none");
  const Index values = source.take(std::span<const Index>(first_alone)).images.rows();
  return detail::labelled_by<typename Pixels::Scalar>(source, values, classes, threads, 256, single_process(),
                                                      [](const Pixels& images, int) { return images; });
}

}  // namespace crate
