// SPDX-License-Identifier: MIT
#pragma once

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "compress_tokens/text.hpp"
#include "compress_tokens/toy.hpp"
#include "compress_tokens/white_box.hpp"

// What compressing and sparsifying do to signal and noise, which only the toy can tell apart.

namespace compress_tokens {

struct Effect {
  std::string name;
  double own_energy;  ///< the share of the tokens' energy that lies in the subspace they were drawn from
  double distance;    ///< ||Z - clean||_F / ||clean||_F
  double gain;        ///< how many times closer to the clean tokens than the noisy input
};

[[nodiscard]] inline Effect measure_effect(std::string name, const Toy& toy, const Matrix& tokens) {
  double own = 0;
  for (Index i = 0; i < tokens.cols(); ++i)
    own += (toy.subspaces.basis(toy.membership[static_cast<std::size_t>(i)]).transpose() * tokens.col(i)).squaredNorm();
  const double energy = tokens.squaredNorm(), distance = (tokens - toy.clean).norm();
  return {std::move(name), energy > 0 ? own / energy : 0, distance / toy.clean.norm(),
          distance > 0 ? (toy.tokens - toy.clean).norm() / distance : 1};
}

/// Weights and the strength that they are run with.
struct WhiteBox {
  Weights weights;
  Strength strength;

  [[nodiscard]] Matrix decode_of_encode(const Matrix& tokens, crate::Threads& threads) const {
    const Matrix codes = crate::forward(make_encoder(weights, strength, tokens.cols()), tokens, {.threads = &threads});
    return crate::forward(make_decoder(weights, strength, tokens.cols()), codes, {.threads = &threads});
  }

  /// As many compression steps as there are layers, and nothing else.
  [[nodiscard]] Matrix compressed_only(const Matrix& tokens) const {
    const Subspaces& u = weights.subspaces.front();
    const double kappa = compression_step_size(u, strength, tokens.cols());
    Matrix z = tokens;
    for (std::size_t l = 0; l < weights.dictionaries.size(); ++l)
      z = crate::compress(z, u, {.kappa = kappa, .epsilon = strength.epsilon, .step = strength.step});
    return z;
  }

  [[nodiscard]] WhiteBox without_compression() const {
    WhiteBox box = *this;
    box.strength.kappa = 0;
    return box;
  }
};

/// Each effect alone, then all together.
[[nodiscard]] inline std::vector<Effect> measure_effects(const Toy& toy, const WhiteBox& box, const Matrix& decoded,
                                                         crate::Threads& threads) {
  return {measure_effect("noisy input", toy, toy.tokens),
          measure_effect("compression steps alone", toy, box.compressed_only(toy.tokens)),
          measure_effect("sparse code alone, decoded", toy,
                         box.without_compression().decode_of_encode(toy.tokens, threads)),
          measure_effect("encoded and decoded", toy, decoded)};
}

inline void print_effects(std::ostream& out, const std::vector<Effect>& effects) {
  out << "  tokens                              in own subspace   distance to clean   closer by\n";
  for (const Effect& effect : effects)
    out << text("  %-36s %12.1f %%  %18.3f  %9.2fx\n", effect.name.c_str(),
                finite(effect.name + ": energy in own subspace", 100 * effect.own_energy),
                finite(effect.name + ": distance to clean", effect.distance),
                finite(effect.name + ": closer by", effect.gain));
}

}  // namespace compress_tokens
