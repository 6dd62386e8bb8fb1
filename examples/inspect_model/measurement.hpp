// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/crate.hpp"
#include "crate/io/families.hpp"
#include "inspect_model/inputs.hpp"
#include "inspect_model/options.hpp"

// What was measured of one model on one set of data: numbers that know nothing of the model's type.

namespace inspect_model {

using crate::Index;

/// How the subspaces of one layer lie.
struct SubspaceGeometry {
  std::string name;  ///< of the half-layer: "encoder.layers.3.compress"
  Index dim = 0, heads = 0, head_dim = 0;
  crate::SubspaceCoherence coherence;
  double effective_rank = 0;          ///< of U_[K]
  crate::Spread head_effective_rank;  ///< of U_k, over heads
  crate::Matrix<double> cosines;  ///< |cosines| between the columns of U_[K], means over blocks where there are many
  Index block_side = 1;           ///< of these, a divisor of head_dim
};

/// The angles between the same heads of two layers, in degrees, over heads.
struct LayerAngles {
  std::size_t first = 0, second = 0;  ///< numbers of the layers
  crate::Spread mean, largest;        ///< of the principal angles of a head
};

struct DictionaryGeometry {
  std::string name;  ///< "encoder.layers.3.sparsify"
  Index dim = 0, atoms = 0;
  crate::DictionaryIncoherence incoherence;
};

struct Measurement {
  std::string model;  ///< how readers tell it from others: "trained", "untrained"
  std::string data;   ///< as of Inputs
  std::string kind;   ///< "a CRATE classifier"
  Index parameters = 0;
  Index examples = 0;
  std::vector<crate::LayerMetrics> layers = {};
  std::vector<crate::StepMetrics> steps = {};
  std::vector<SubspaceGeometry> subspaces = {};
  std::vector<LayerAngles> angles = {};  ///< of layers of one list whose heads are of one size
  std::vector<DictionaryGeometry> dictionaries = {};
};

/// "encoder.layers" of "encoder.layers.3.compress", the list in which a half-layer's block stands.
inline std::string_view list_of(std::string_view half_layer) {
  for (int part = 0; part < 2; ++part) {
    const std::size_t dot = half_layer.rfind('.');
    half_layer = half_layer.substr(0, dot == std::string_view::npos ? 0 : dot);
  }
  return half_layer;
}

/// What tells measurements apart: their models, their data, or both.
inline std::vector<std::string> legend_of(const std::vector<Measurement>& all) {
  const auto differ = [&](std::string Measurement::*member) {
    return std::any_of(all.begin(), all.end(), [&](const Measurement& one) { return one.*member != all[0].*member; });
  };
  const bool has_models = differ(&Measurement::model), has_data = differ(&Measurement::data);
  std::vector<std::string> names;
  for (const Measurement& one : all)
    names.push_back(has_models && has_data ? one.model + " (" + one.data + ")" : has_data ? one.data : one.model);
  return names;
}

/// What a block hands on.
inline const crate::TokenMetrics& behind(const crate::LayerMetrics& layer) {
  return layer.after.is_measured() ? layer.after : layer.between;
}

namespace detail {

/// The least divisor of `head_dim` by which so many columns become at most `most` blocks, none in two heads; head_dim
/// where there is no such.
inline Index block_side(Index columns, Index head_dim, Index most) {
  Index side = 1;
  while (side < head_dim && (head_dim % side != 0 || columns > most * side)) ++side;
  return side;
}

/// Means of |cosines| over blocks of side x side. Blocks on the diagonal, which hold each column beside itself, are 1.
inline crate::Matrix<double> block_means(const crate::Matrix<double>& cosines, Index side) {
  if (side <= 1) return cosines;
  const Index count = cosines.rows() / side;
  crate::Matrix<double> means = crate::Matrix<double>::Ones(count, count);
  for (Index i = 0; i < count; ++i)
    for (Index j = 0; j < count; ++j)
      if (i != j) means(i, j) = cosines.block(i * side, j * side, side, side).mean();
  return means;
}

template <crate::Scalar S>
SubspaceGeometry geometry_of(const crate::LayerSubspaces<S>& layer) {
  const auto& u = layer.subspaces;
  const crate::Matrix<double> bases = u.bases().template cast<double>(), unit = crate::unit_columns<double>(bases);
  constexpr Index most_shown = 192;
  const Index side = block_side(bases.cols(), u.head_dim(), most_shown);
  SubspaceGeometry geometry{.name = layer.name,
                            .dim = u.dim(),
                            .heads = u.heads(),
                            .head_dim = u.head_dim(),
                            .coherence = crate::subspace_coherence(u),
                            .effective_rank = crate::effective_rank(bases),
                            .head_effective_rank = {},
                            .cosines = block_means((unit.transpose() * unit).cwiseAbs(), side),
                            .block_side = side};
  for (Index k = 0; k < u.heads(); ++k) geometry.head_effective_rank.add(crate::effective_rank(u.basis(k)));
  return geometry;
}

/// Whether heads of the same number can be compared.
template <crate::Scalar S>
bool are_comparable(const crate::LayerSubspaces<S>& a, const crate::LayerSubspaces<S>& b) {
  return list_of(a.name) == list_of(b.name) && a.subspaces.heads() == b.subspaces.heads() &&
         a.subspaces.dim() == b.subspaces.dim();
}

template <crate::Scalar S>
std::vector<LayerAngles> angles_between(const std::vector<crate::LayerSubspaces<S>>& layers, crate::Threads& threads) {
  std::vector<LayerAngles> pairs;
  for (std::size_t i = 0; i < layers.size(); ++i)
    for (std::size_t j = i + 1; j < layers.size(); ++j)
      if (are_comparable(layers[i], layers[j])) pairs.push_back({.first = i, .second = j, .mean = {}, .largest = {}});
  threads.for_each(static_cast<Index>(pairs.size()), [&](Index number, int) {
    LayerAngles& pair = pairs[static_cast<std::size_t>(number)];
    const auto &a = layers[pair.first].subspaces, &b = layers[pair.second].subspaces;
    for (Index k = 0; k < a.heads(); ++k) {
      const std::vector<double> angles = crate::principal_angles(a.basis(k), b.basis(k));
      crate::Spread of_head;
      for (const double angle : angles) of_head.add(angle);
      if (!angles.empty()) pair.mean.add(of_head.mean()), pair.largest.add(angles.back());
    }
  });
  std::erase_if(pairs, [](const LayerAngles& pair) { return pair.mean.count() == 0; });  // heads of zeros span nothing
  return pairs;
}

}  // namespace detail

/// Runs the model on inputs, and looks at its weights. `name` tells it from others.
template <class Model, class Values>
Measurement measure(const std::string& name, const Model& model, const Inputs<Values>& inputs, const Options& options,
                    crate::Threads& threads) {
  using S = typename Model::Scalar;
  crate::LayerMeter<S> meter(model, options.meter, &threads);
  crate::StepMeter<S> step_meter(model, {.epsilon = options.meter.epsilon}, &threads);
  crate::Workspace workspace;
  Measurement result{.model = name,
                     .data = inputs.data,
                     .kind = std::string(crate::FamilyOf<Model>::title),
                     .parameters = crate::parameter_count(model),
                     .examples = count_of(inputs.values)};
  run_on(model, inputs.values, options.batch,
         {.threads = &threads, .workspace = &workspace, .observer = [&](const crate::HalfStep<S>& step) {
            meter.see(step);
            step_meter.see(step);
          }});
  result.layers = meter.layers();
  result.steps = step_meter.layers();
  const auto layers = crate::layer_subspaces(model);
  for (const auto& layer : layers) result.subspaces.push_back(detail::geometry_of(layer));
  result.angles = detail::angles_between(layers, threads);
  for (const auto& layer : crate::layer_dictionaries(model))
    result.dictionaries.push_back({.name = layer.name,
                                   .dim = layer.atoms.rows(),
                                   .atoms = layer.atoms.cols(),
                                   .incoherence = crate::dictionary_incoherence(layer.atoms)});
  return result;
}

}  // namespace inspect_model
