// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/gelu.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/patch_embedding.hpp"
#include "crate/layers/unit_length.hpp"
#include "crate/layers/weight_normalised_linear.hpp"
#include "crate/models/encoder.hpp"
#include "crate/operators/positions.hpp"

// The model for self-distillation: the encoder of a classifier with a projection head in place of its last map.

namespace crate {

struct ProjectionHeadOptions {
  Index hidden = 2048;     ///< >= 1
  Index bottleneck = 256;  ///< p >= 1
  Index outputs = 0;       ///< K of DINO; 0: normalised features, for the coding-rate loss
};

/// Three maps with GELU in between, whose output is normalised to length 1 (the bottleneck); for DINO followed by a
/// weight-normalised linear map:
///   w = direction(W_3 GELU(W_2 GELU(W_1 Z + b_1) + b_2) + b_3),   out = w or V w, rows of V of length 1.
/// Source: arXiv 2104.14294.
template <crate::Scalar S>
struct ProjectionHead : Chain<ProjectionHead<S>, S> {
  static constexpr bool is_tokenwise = true;

  Linear<S> first;
  Gelu<S> first_activation;
  Linear<S> second;
  Gelu<S> second_activation;
  Linear<S> bottleneck;
  UnitLength<S> direction;
  std::optional<WeightNormalisedLinear<S>> outputs;

  /// All parameters zero. Throws OptionError if an option is out of range.
  ProjectionHead(Index dim, const ProjectionHeadOptions& o)
      : first(dim, o.hidden),
        first_activation{o.hidden},
        second(o.hidden, o.hidden),
        second_activation{o.hidden},
        bottleneck(o.hidden, o.bottleneck),
        direction{o.bottleneck} {
    check_option(o.outputs >= 0, "projection head: outputs >= 0", o.outputs);
    if (o.outputs > 0) outputs.emplace(o.bottleneck, o.outputs);
  }

  static constexpr auto parts() {
    using Self = ProjectionHead;
    return std::tuple{part("first", &Self::first),           part("first_activation", &Self::first_activation),
                      part("second", &Self::second),         part("second_activation", &Self::second_activation),
                      part("bottleneck", &Self::bottleneck), part("direction", &Self::direction),
                      part("outputs", &Self::outputs)};
  }
};

/// Images (C H W) x B to features for comparison, p or K x B: projection(LN(pooled tokens)). The encoder is stored as a
/// classifier, so that it can be saved and used as one; its last map gets no gradient, only weight decay.
template <class Classifier>
struct SelfDistilled : Chain<SelfDistilled<Classifier>, typename Classifier::Scalar> {
  using Scalar = typename Classifier::Scalar;
  using Input = Images<Scalar>;

  Classifier encoder;
  ProjectionHead<Scalar> projection;

  /// Throws OptionError if an option of the head is out of range.
  SelfDistilled(Classifier classifier, const ProjectionHeadOptions& head)
      : encoder(std::move(classifier)), projection(encoder.dim(), head) {
    if constexpr (requires { encoder.about.head_is_trained; }) encoder.about.head_is_trained = false;
  }

  static constexpr auto parts() {
    return std::tuple{part("encoder", &SelfDistilled::encoder), part("projection", &SelfDistilled::projection)};
  }

  static constexpr auto links() {
    using Self = SelfDistilled;
    using Head = decltype(Classifier::head);
    return std::tuple{part("embedding", MemberOf{&Self::encoder, &Classifier::embedding}),
                      part("tokens", MemberOf{&Self::encoder, &Classifier::tokens}),
                      part("", MemberOf{&Self::encoder, &Classifier::encoder}),
                      part("pool", MemberOf{&Self::encoder, &Classifier::pool}),
                      part("norm", MemberOf{&Self::encoder, MemberOf{&Classifier::head, &Head::norm}}),
                      part("projection", &Self::projection)};
  }

  /// The part that is saved and used alone: a model of a published family, in files and in checkpoints.
  [[nodiscard]] const Classifier& published_part() const { return encoder; }
  static constexpr std::string_view published_part_name = "encoder";
};

/// DINO's initialisation: the maps of the head normal with deviation 0.02 and biases zero, without which features would
/// be almost equal from the first step on; the encoder's class token and positions with deviation 0.02, too, its other
/// parameters as in classifiers.
template <class Classifier>
void initialise(SelfDistilled<Classifier>& model, std::uint64_t seed) {
  initialise(model.encoder, seed);
  detail::initialise_parts(model.projection, seed, std::string("projection"));
  Random random(seed, detail::stream_of_name("self-distillation"));
  const auto fill = [&](auto& parameter) {
    random.fill_normal(parameter);
    parameter *= static_cast<typename Classifier::Scalar>(0.02);
  };
  fill(model.encoder.tokens.class_token);
  fill(model.encoder.tokens.positions);
  for (auto* const map : {&model.projection.first, &model.projection.second, &model.projection.bottleneck}) {
    fill(map->weight);
    map->bias.setZero();
  }
}

/// The model for images of another size, as resize_images of its encoder.
template <class Classifier>
[[nodiscard]] SelfDistilled<Classifier> resized(SelfDistilled<Classifier> model, Index height, Index width) {
  model.encoder.resize_images(height, width);
  return model;
}

/// The adjoint of `resized`: turns a gradient of the resized model into one of the model, whose images `grid` divides.
template <class Classifier>
void resize_gradient(SelfDistilled<Classifier>& gradient, const PatchGrid& grid) {
  const PatchGrid resized_grid = gradient.encoder.embedding.grid;
  auto& positions = gradient.encoder.tokens.positions;
  positions =
      interpolate_positions_adjoint(positions, grid.rows, grid.columns, resized_grid.rows, resized_grid.columns);
  gradient.encoder.embedding.grid = grid;
}

/// Whether `resized` and resize_gradient recompute this parameter of the model.
template <class Classifier>
[[nodiscard]] bool depends_on_image_size(const SelfDistilled<Classifier>& model, const ConstParameter& parameter) {
  return parameter.data == model.encoder.tokens.positions.data();
}

/// Stochastic depth (drop-path) that grows linearly from 0 in the first block to `last` in the last, as in DINO.
/// Throws OptionError unless it is in [0, 1).
template <class Block>
void set_drop_path(BlockStack<Block>& encoder, double last) {
  check_dropout(last);
  const double steps = static_cast<double>(std::max<std::size_t>(1, encoder.layers.size() - 1));
  for (std::size_t l = 0; l < encoder.layers.size(); ++l) {
    const double probability = last * static_cast<double>(l) / steps;
    const auto set = [&](const auto& part) {
      auto& layer = part.of(encoder.layers[l]);
      if constexpr (requires { layer.drop_path; }) layer.drop_path = probability;
    };
    detail::for_each_entry(Block::parts(), set);
  }
}

}  // namespace crate
