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

// A white-box transformer of one's own tokens. fit_white_box.hpp makes one.

namespace crate {

/// An encoder that compresses tokens against subspaces and makes them sparse, layer by layer, and the decoder that
/// undoes it. Every weight follows from the tokens by a rule that the paper states or fit_white_box does.
template <crate::Scalar S>
struct WhiteBox {
  using Scalar = S;

  Matrix<S> mean;  ///< d x 1, taken from tokens before they are encoded, and added after they are decoded
  Encoder<WhiteBoxBlock<S>> encoder;
  Decoder<WhiteBoxDecoderBlock<S>> decoder;
  Subspaces<Matrix<S>> code_subspaces;  ///< U^{L+1}, where tokens that were near U^1 lie when they are encoded
  Index fitted_tokens = 0;              ///< N, for which the step sizes of the layers are stated

  static constexpr auto parts() {
    return std::tuple{part("mean", &WhiteBox::mean), part("encoder", &WhiteBox::encoder),
                      part("decoder", &WhiteBox::decoder), part("code_subspaces", &WhiteBox::code_subspaces)};
  }

  [[nodiscard]] Index dim() const { return mean.rows(); }                                          ///< d
  [[nodiscard]] Index depth() const { return static_cast<Index>(encoder.layers.size()); }          ///< L
  [[nodiscard]] const CompressionOptions& compression() const { return first().layer.options; }    ///< of every layer
  [[nodiscard]] double softening() const { return first().options.softening; }                     ///< of directions
  [[nodiscard]] const Subspaces<Matrix<S>>& subspaces() const { return first().layer.subspaces; }  ///< U^1

  /// The sparse codes of a set of tokens, d x N. What compression does to a token depends on the set it is in, through
  /// its covariances. Throws ShapeError unless the tokens have d rows.
  template <class ZDerived>
  [[nodiscard]] Matrix<S> encode(const Eigen::MatrixBase<ZDerived>& tokens, const Run<S>& run = {}) const {
    check_size("white box: rows of the tokens", tokens.rows(), dim());
    return forward(for_tokens(encoder, tokens.cols()), Matrix<S>(tokens.template cast<S>().colwise() - mean.col(0)),
                   run);
  }

  /// The tokens of codes, d x N, but for what the thresholds took.
  template <class ZDerived>
  [[nodiscard]] Matrix<S> decode(const Eigen::MatrixBase<ZDerived>& codes, const Run<S>& run = {}) const {
    check_size("white box: rows of the codes", codes.rows(), dim());
    Matrix<S> tokens = forward(for_tokens(decoder, codes.cols()), Matrix<S>(codes.template cast<S>()), run);
    tokens.colwise() += mean.col(0);
    return tokens;
  }

  /// What every half-layer does to these tokens, and in words what it means; of classes too, where those of all tokens
  /// are told and can be compared, or why they cannot. `codes` and `decoded` receive what was encoded and decoded for
  /// it. Throws as encode, and ShapeError unless there is a class a token, or none.
  template <class ZDerived>
  [[nodiscard]] WhiteBoxReport report(const Eigen::MatrixBase<ZDerived>& tokens, const std::vector<Index>& classes,
                                      Threads& threads, Matrix<S>* codes = nullptr, Matrix<S>* decoded = nullptr) const;
  template <class ZDerived>
  [[nodiscard]] WhiteBoxReport report(const Eigen::MatrixBase<ZDerived>& tokens,
                                      const std::vector<Index>& classes = {}) const {
    Threads alone;
    return report(tokens, classes, alone);
  }

  /// The layers with the step size for sets of so many tokens: kappa grows as N, and the step is the same.
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
