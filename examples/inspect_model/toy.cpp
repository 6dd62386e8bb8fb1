// SPDX-License-Identifier: MIT

#include "inspect_model/toy.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "crate/analysis/estimate_subspaces.hpp"
#include "crate/core/random.hpp"
#include "crate/operators/compression.hpp"
#include "crate/operators/subspace_attention.hpp"
#include "crate/operators/subspace_coding_rate.hpp"
#include "crate/operators/unit_columns.hpp"

namespace inspect_model {

namespace {

using Tokens = crate::Matrix<double>;
using KnownSubspaces = crate::Subspaces<crate::Matrix<double>>;

/// Orthogonal ones, in any direction, with orthonormal bases.
KnownSubspaces draw_subspaces(crate::Random& random) {
  Tokens normal(ToyOptions::dim, ToyOptions::clusters * ToyOptions::head_dim);
  random.fill_normal(normal);
  return KnownSubspaces(crate::detail::orthonormal_columns<double>(normal), ToyOptions::clusters);
}

/// Z + eta MSSA(Z): the step of the theorem with the softmax as it is.
Tokens softmax_step(const Tokens& z, const KnownSubspaces& u) {
  return z + ToyOptions::attention.step * crate::mssa(z, u);
}

/// Half as far as an exact step may go and surely not raise R^c.
Tokens exact_step(const Tokens& z, const KnownSubspaces& u, double epsilon) {
  const double kappa = crate::largest_kappa(u, z.cols(), epsilon) / 2;
  return crate::compress(z, u, {.kappa = kappa, .epsilon = epsilon, .step = crate::CompressionStep::exact});
}

/// Adds one draw to a course, whose steps are `step(z)`. Calls see(l, z) with the tokens after l steps.
template <class Step, class See>
void follow(ToyCourse& course, const crate::ClusteredTokens<double>& drawn, const KnownSubspaces& u, double epsilon,
            Index steps, const Step& step, const See& see) {
  course.signal_to_noise.resize(static_cast<std::size_t>(steps) + 1);
  course.subspace_rate.resize(static_cast<std::size_t>(steps) + 1);
  Tokens z = drawn.tokens;
  for (Index l = 0; l <= steps; ++l) {
    const auto at = static_cast<std::size_t>(l);
    for (const double ratio : crate::signal_to_noise(z, u, drawn.clusters)) course.signal_to_noise[at].add(ratio);
    course.subspace_rate[at].add(crate::subspace_coding_rate(z, u, {.epsilon = epsilon}));
    see(l, z);
    if (l < steps) z = step(z);
  }
}

}  // namespace

ToyMeasurement measure_toy(const ToyOptions& options, double epsilon) {
  ToyMeasurement toy{
      .thresholded = {"thresholded attention"}, .softmax = {"softmax attention"}, .exact = {"exact steps"}};
  toy.shown = {0, std::min<Index>(2, options.steps)};
  if (options.steps > 2) toy.shown.push_back(options.steps);
  crate::Random random(1);
  for (Index draw = 0; draw < ToyOptions::draws; ++draw) {
    const KnownSubspaces u = draw_subspaces(random);
    const auto drawn = crate::draw_clustered_tokens(u, ToyOptions::tokens_per_cluster, options.noise, random);
    const auto keep = [&](Index l, const Tokens& z) {
      if (draw > 0 || std::ranges::find(toy.shown, l) == toy.shown.end()) return;
      const Tokens unit = crate::unit_columns<double>(z);
      toy.cosines.push_back((unit.transpose() * unit).cwiseAbs());
      toy.clusters = drawn.clusters;
    };
    const auto pass_by = [](Index, const Tokens&) {};
    follow(
        toy.thresholded, drawn, u, epsilon, options.steps,
        [&](const Tokens& z) { return crate::thresholded_attention_step(z, u, ToyOptions::attention); }, keep);
    follow(
        toy.softmax, drawn, u, epsilon, options.steps, [&](const Tokens& z) { return softmax_step(z, u); }, pass_by);
    follow(
        toy.exact, drawn, u, epsilon, options.steps, [&](const Tokens& z) { return exact_step(z, u, epsilon); },
        pass_by);
  }
  for (Index l = 0; l <= options.steps; ++l)
    toy.law.push_back(toy.thresholded.signal_to_noise[0].mean() *
                      std::pow(ToyOptions::growth(), static_cast<double>(l)));
  return toy;
}

}  // namespace inspect_model
