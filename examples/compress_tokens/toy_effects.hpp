// SPDX-License-Identifier: MIT
#pragma once

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "compress_tokens/text.hpp"
#include "compress_tokens/toy.hpp"
#include "crate/white_box/white_box.hpp"

// What compressing and sparsifying do to signal and noise, which only the toy can tell apart.

namespace compress_tokens {

using WhiteBox = crate::WhiteBox<double>;

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

[[nodiscard]] inline Matrix decode_of_encode(const WhiteBox& box, const Matrix& tokens, crate::Threads& threads) {
  return box.decode(box.encode(tokens, {.threads = &threads}), {.threads = &threads});
}

/// As many compression steps as there are layers, and nothing else.
[[nodiscard]] inline Matrix compressed_only(const WhiteBox& box, const Matrix& tokens, crate::Threads& threads) {
  const auto first = box.for_tokens(box.encoder, tokens.cols()).layers.front().compress;
  Matrix z = tokens.colwise() - box.mean.col(0);
  for (Index l = 0; l < box.depth(); ++l) z = crate::forward(first, z, {.threads = &threads});
  return z.colwise() + box.mean.col(0);
}

[[nodiscard]] inline WhiteBox without_compression(WhiteBox box) {
  for (auto& layer : box.encoder.layers) layer.compress.layer.options.kappa = 0;
  for (auto& layer : box.decoder.layers) layer.decompress.layer.layer.options.kappa = 0;
  return box;
}

/// Each effect alone, then all together.
[[nodiscard]] inline std::vector<Effect> measure_effects(const Toy& toy, const WhiteBox& box, const Matrix& decoded,
                                                         crate::Threads& threads) {
  return {measure_effect("noisy input", toy, toy.tokens),
          measure_effect("compression steps alone", toy, compressed_only(box, toy.tokens, threads)),
          measure_effect("sparse code alone, decoded", toy,
                         decode_of_encode(without_compression(box), toy.tokens, threads)),
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

/// Why compression may leave the decoded tokens further from the clean ones, in words; empty if it does not.
[[nodiscard]] inline std::string words_on_effects(const std::vector<Effect>& effects) {
  const Effect &sparse = effects[2], &both = effects[3];
  if (both.gain >= sparse.gain) return {};
  return "Without compression, the decoded tokens are closer to the clean ones: decoding must undo the compression,\n"
         "and amplifies the remaining noise with it. Compression separates tokens; it does not denoise them.\n";
}

/// R of the directions of centred tokens, or of codes, at the precision of the white box, in nats per token.
[[nodiscard]] inline double rate_of_directions(const WhiteBox& box, const Matrix& tokens) {
  return crate::coding_rate(crate::directions(tokens, box.softening()), {.epsilon = box.compression().epsilon});
}

/// R before and after.
struct RateChange {
  double before, after;
};

/// R of the toy's tokens without their noise, and of their codes.
[[nodiscard]] inline RateChange clean_rates(const Toy& toy, const WhiteBox& box, crate::Threads& threads) {
  return {rate_of_directions(box, toy.clean.colwise() - box.mean.col(0)),
          rate_of_directions(box, box.encode(toy.clean, {.threads = &threads}))};
}

/// How much of R is noise, in words.
[[nodiscard]] inline std::string words_on_noise(const RateChange& clean, const RateChange& noisy) {
  return text(
             "Without noise, R would change from %.1f to %.1f nats per token; with noise it changes from %.1f to "
             "%.1f: ",
             finite("R of the clean tokens", clean.before), finite("R of the clean codes", clean.after), noisy.before,
             noisy.after) +
         text("noise accounts for %.1f of it before and %.1f after.", noisy.before - clean.before,
              noisy.after - clean.after);
}

}  // namespace compress_tokens
