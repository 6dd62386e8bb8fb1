// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/blocks/white_box_block.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/layers/layer.hpp"
#include "crate/models/encoder.hpp"
#include "crate/white_box/white_box_report.hpp"

// A white-box transformer for a given data set, made by fit_white_box.hpp.

namespace crate {

/// An encoder that compresses tokens against subspaces and makes them sparse, layer by layer, and the decoder that
/// inverts it. Every weight is computed from the tokens, by a rule stated in the paper or in fit_white_box.
template <crate::Scalar S>
struct WhiteBox {
  using Scalar = S;

  Matrix<S> mean;  ///< d x 1, subtracted before encoding and added after decoding
  Encoder<WhiteBoxBlock<S>> encoder;
  Decoder<WhiteBoxDecoderBlock<S>> decoder;
  Subspaces<Matrix<S>> code_subspaces;  ///< U^{L+1}, near which encoded tokens lie if they were near U^1
  Index fitted_tokens = 0;              ///< N, the set size for which the step sizes of the layers are stated

  static constexpr auto parts() {
    return std::tuple{part("mean", &WhiteBox::mean), part("encoder", &WhiteBox::encoder),
                      part("decoder", &WhiteBox::decoder), part("code_subspaces", &WhiteBox::code_subspaces)};
  }

  [[nodiscard]] Index dim() const { return mean.rows(); }                                          ///< d
  [[nodiscard]] Index depth() const { return static_cast<Index>(encoder.layers.size()); }          ///< L
  [[nodiscard]] const CompressionOptions& compression() const { return first().layer.options; }    ///< of every layer
  [[nodiscard]] double softening() const { return first().options.softening; }                     ///< of directions
  [[nodiscard]] const Subspaces<Matrix<S>>& subspaces() const { return first().layer.subspaces; }  ///< U^1

  /// The sparse codes of a set of tokens, d x N. Compression acts on a token through the covariances of its set, so the
  /// code depends on the other tokens. Throws ShapeError unless the tokens have d rows.
  template <class ZDerived>
  [[nodiscard]] Matrix<S> encode(const Eigen::MatrixBase<ZDerived>& tokens, const Run<S>& run = {}) const {
    check_size("white box: rows of the tokens", tokens.rows(), dim());
    return forward(for_tokens(encoder, tokens.cols()), Matrix<S>(tokens.template cast<S>().colwise() - mean.col(0)),
                   run);
  }

  /// The tokens, d x N, of codes; what the thresholds removed is lost.
  template <class ZDerived>
  [[nodiscard]] Matrix<S> decode(const Eigen::MatrixBase<ZDerived>& codes, const Run<S>& run = {}) const {
    check_size("white box: rows of the codes", codes.rows(), dim());
    Matrix<S> tokens = forward(for_tokens(decoder, codes.cols()), Matrix<S>(codes.template cast<S>()), run);
    tokens.colwise() += mean.col(0);
    return tokens;
  }

  /// Measures what every half-layer does to these tokens, and states it in words; also for classes, if they are given
  /// and can be compared, or why they cannot. `codes` and `decoded` receive the codes and decoded tokens. Throws as
  /// encode, and ShapeError unless there is one class per token, or none.
  template <class ZDerived>
  [[nodiscard]] WhiteBoxReport report(const Eigen::MatrixBase<ZDerived>& tokens, const std::vector<Index>& classes,
                                      Threads& threads, Matrix<S>* codes = nullptr, Matrix<S>* decoded = nullptr) const;
  template <class ZDerived>
  [[nodiscard]] WhiteBoxReport report(const Eigen::MatrixBase<ZDerived>& tokens,
                                      const std::vector<Index>& classes = {}) const {
    Threads alone;
    return report(tokens, classes, alone);
  }

  /// The layers with the step size for sets of this size: kappa is proportional to N, so that steps stay the same.
  template <class Block>
  [[nodiscard]] BlockStack<Block> for_tokens(BlockStack<Block> layers, Index tokens) const {
    for (Block& layer : layers.layers) {
      CompressionOptions& options = compression_of(layer).options;
      options.kappa *= static_cast<double>(tokens) / static_cast<double>(fitted_tokens);
    }
    return layers;
  }

 private:
  [[nodiscard]] const OnDirections<Compression<S>>& first() const { return encoder.layers.front().compress; }
  static Compression<S>& compression_of(WhiteBoxBlock<S>& layer) { return layer.compress.layer; }
  static Compression<S>& compression_of(WhiteBoxDecoderBlock<S>& layer) { return layer.decompress.layer.layer; }
};

}  // namespace crate

#include "crate/white_box/detail/white_box_report.ipp"
