// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "crate/blocks/transformer_block.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/patch_embedding.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/masked_autoencoder.hpp"

// The paper's baselines: the same models with transformer blocks.

namespace crate {

/// ViT. Source: arXiv 2010.11929. Published weights have head_norm_epsilon = 1e-6, as presets::vit_base().
template <crate::Scalar S>
using TransformerClassifier = ImageClassifier<TransformerBlock<S>, ConvolutionPatchEmbedding<S>>;

/// The architecture of CRATE-MAE, with mask tokens before the encoder and a single width, and transformer blocks on
/// both sides. In arXiv 2111.06377, by contrast, the encoder sees no hidden patches.
template <crate::Scalar S>
using TransformerMaskedAutoencoder = MaskedAutoencoder<TransformerBlock<S>, TransformerBlock<S>>;

namespace detail {

template <class Parameter>
void fill_normal(Parameter& parameter, double deviation, Random& random) {
  random.fill_normal(parameter);
  parameter *= static_cast<typename Parameter::Scalar>(deviation);
}

}  // namespace detail

/// The published initialisation of a ViT: linear maps and positions normal with deviation 0.02 (truncated
/// at 100 deviations, which has no effect), the class token with 1e-6, biases zero, the patch embedding
/// and norms as in all models.
template <crate::Scalar S>
void initialise(TransformerClassifier<S>& model, std::uint64_t seed) {
  detail::initialise_parts(model, seed, std::string());
  Random random(seed, detail::stream_of_name(""));
  const auto fill = [&](Linear<S>& map) {
    detail::fill_normal(map.weight, 0.02, random);
    map.bias.setZero();
  };
  detail::fill_normal(model.tokens.class_token, 1e-6, random);
  detail::fill_normal(model.tokens.positions, 0.02, random);
  for (TransformerBlock<S>& block : model.encoder.layers) {
    fill(block.attend.branch.layer.projection);
    fill(block.attend.branch.layer.output);
    fill(block.transform.branch.layer.expand);
    fill(block.transform.branch.layer.contract);
  }
  fill(model.head.linear);
}

}  // namespace crate
