// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "inspect_model/measurement.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/tables.hpp"
#include "inspect_model/wording.hpp"
#include "plots/axis.hpp"

// The words and letters of a page, for those who have not read the paper.

namespace inspect_model {

/// Whether the subspaces of a layer have fewer dimensions together than a token.
inline bool leaves_space(const SubspaceGeometry& u) { return u.heads * u.head_dim < u.dim; }

namespace detail {

/// "d = 96, K = 4 and p = 24", of each model where they differ; of its first layer.
inline std::string sizes_of(const std::vector<Measurement>& all) {
  std::vector<std::string> sizes;
  const std::vector<const Measurement*> models = models_of(all);
  for (const Measurement* const one : models) {
    if (one->subspaces.empty()) continue;
    const SubspaceGeometry& u = one->subspaces[0];
    sizes.push_back("d = " + std::to_string(u.dim) + ", K = " + std::to_string(u.heads) +
                    " and p = " + std::to_string(u.head_dim));
  }
  if (sizes.empty()) return "";
  if (std::all_of(sizes.begin(), sizes.end(), [&](const std::string& size) { return size == sizes[0]; }))
    return " Here " + sizes[0] + ".";
  std::string text;
  for (std::size_t m = 0; m < sizes.size(); ++m)
    text += (m == 0 ? " Here " : "; ") + models[m]->model + ": " + sizes[m];
  return text + ".";
}

}  // namespace detail

/// What follows where the heads of a layer do not reach all of the space; empty where all do.
inline std::string outside_of_subspaces(const std::vector<Measurement>& all) {
  for (const Measurement& one : all)
    for (const SubspaceGeometry& u : one.subspaces)
      if (leaves_space(u))
        return " The " + count_of(u.heads, "head") + " of " + count_of(u.head_dim, "dimension") + " of " + one.model +
               " together span at most " + std::to_string(u.heads * u.head_dim) + " of the " + std::to_string(u.dim) +
               " dimensions of a token: no head sees what lies outside of them. R counts that and Rᶜ does not, so "
               "that R − Rᶜ is larger than if the heads spanned the space, and compression cannot reach it.";
  return "";
}

inline void terms_section(Page& page, const std::vector<Measurement>& all, const crate::LayerMeterOptions& options) {
  const std::string epsilon = plots::short_number(options.epsilon), eps = plots::short_number(options.published_eps);
  page.section("Terms", "The words and letters of the figures.");
  page.terms({
      {"d, N, K, p",
       "The width of a token, the tokens of an example, the heads of a layer, and the dimensions of the "
       "subspace of a head." +
           detail::sizes_of(all)},
      {"Z, X",
       "The tokens of one example, and what the subspaces see of them: Z after the layer norm, where there is "
       "one. Both are d × N."},
      {"Uₖ",
       "The basis, d × p, of the subspace of head k. In CRATE it is the one projection of MSSA (multi-head "
       "subspace self-attention); of ordinary attention the map to the keys is taken."},
      {"R", "½ log det(I + d/(N ε²) XᵀX): the nats that it takes to code the tokens up to an error of ε = " + epsilon +
                ". It is large where tokens point in many directions, and 0 where all are zero."},
      {"Rᶜ",
       "½ Σₖ log det(I + p/(N ε²) (UₖᵀX)ᵀ UₖᵀX): the same of what the subspaces hold of them, head by head. The "
       "paper derives MSSA as a step down Rᶜ."},
      {"published Rᶜ",
       "Rᶜ as the paper's published code measures it: each projected token is first scaled to length 1 (one of zeros "
       "stays), and eps = " +
           eps +
           " takes the place of ε². Lengths of tokens play no part in it, so that layers and models "
           "compare."},
      {"objective", "R − Rᶜ − λ‖Z‖₀ with λ = " + plots::short_number(options.lambda) +
                        ", which the paper derives each layer to raise; ‖Z‖₀ is the number of entries that are not "
                        "zero."},
      {"before, between, after",
       "Where in a block is measured: before it; between its two halves, which are MSSA and "
       "ISTA (the step that makes tokens sparse) in CRATE, attention and MLP in an ordinary "
       "block; and after it. In a decoder MSSA is the second half: before and between are "
       "what enters and leaves it."},
      {"derived",
       "What the paper's derivation predicts of exact steps on the objective. Trained models follow it only "
       "in part, and good ones may not: each figure tells what is derived, and then what these models do."},
  });
}

}  // namespace inspect_model
