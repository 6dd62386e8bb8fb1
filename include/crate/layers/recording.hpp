// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/layers/pass.hpp"

// Forward passes that are recorded, and backward passes through what was recorded.
//
// A layer is a map f of tokens Z and parameters W. Its backward pass takes dL/df(Z), d' x N, and gives dL/dZ, d x N, and adds
// dL/dW to a gradient, which is a layer like itself.

namespace crate {

/// What a layer, block, encoder or decoder that can be trained offers beside a Layer. `Tape` is a struct of what backward needs.
///   forward(z, out, tape, pass)                          as forward, and fills the tape. The tape may view z and out, which stay
///                                                        as they are until the backward pass is done.
///   backward(d_out, tape, d_z, gradient, pass)           d_z = dL/dZ, and gradient += dL/dW, where d_out = dL/df(Z)
template <class L>
concept TrainableLayer = Layer<L> &&
    requires(const L& layer, L& gradient, typename L::Tape& tape, Eigen::Ref<const Matrix<typename L::Scalar>> in,
             Eigen::Ref<Matrix<typename L::Scalar>> out, Pass<typename L::Scalar>& pass) {
  layer.forward(in, out, tape, pass);
  layer.backward(in, tape, out, gradient, pass);
};

/// Memory of a recorded pass, owned by the caller and used again from pass to pass.
class TapeMemory {
 public:
  TapeMemory() = default;
  TapeMemory(const TapeMemory&) = delete;
  TapeMemory& operator=(const TapeMemory&) = delete;

  /// How many bytes are held.
  [[nodiscard]] std::size_t capacity() const { return workspace_.capacity(); }

  /// An empty frame: what was kept before is gone.
  [[nodiscard]] Workspace::Frame& begin() {
    frame_.reset();
    return frame_.emplace(workspace_);
  }

  /// The frame that holds what was kept since.
  [[nodiscard]] Workspace::Frame& frame() { return *frame_; }

 private:
  Workspace workspace_;
  std::optional<Workspace::Frame> frame_;
};

/// A forward pass of a layer that backward can go back through, with copies of nothing but what its tape keeps.
template <TrainableLayer L>
struct Recording {
  TapeMemory memory;
  std::optional<TokenLayout> layout;  ///< empty until something was recorded
  DropoutStream dropout;
  typename L::Tape tape;
};

/// As forward(layer, sets, run), and records the pass. The token sets must live, unchanged, until the backward pass is done.
template <TrainableLayer L>
[[nodiscard]] TokenSets<typename L::Scalar> forward(const L& layer, const TokenSets<typename L::Scalar>& sets,
                                                    Recording<L>& recording, const Run<typename L::Scalar>& run = {}) {
  using S = typename L::Scalar;
  check_size("tokens: rows", sets.tokens.rows(), layer.input_dim());
  check_size("token sets: columns", sets.tokens.cols(), sets.layout.tokens());
  recording.layout = sets.layout;
  recording.dropout = run.dropout;
  if (sets.tokens.cols() == 0) return TokenSets<S>(Matrix<S>(layer.output_dim(), 0), sets.layout);
  Lent<S> lent(run);
  Pass<S> pass(*recording.layout, lent.threads(), lent.workspace(), run.observer);
  pass.dropout = recording.dropout;
  pass.keep_in(&recording.memory.begin());
  auto out = pass.keep(layer.output_dim(), sets.tokens.cols());
  layer.forward(sets.tokens, out, recording.tape, pass);
  return TokenSets<S>(out, sets.layout);
}

/// Goes back through a recorded pass: returns dL/dZ, d x N, and adds dL/dW to the gradient, where `cotangent` = dL/df(Z) is
/// d' x N. Throws Error if nothing was recorded, ShapeError if the cotangent has another size.
template <TrainableLayer L>
Matrix<typename L::Scalar> backward(const L& layer, const Matrix<typename L::Scalar>& cotangent,
                                    Recording<L>& recording, L& gradient, const Run<typename L::Scalar>& run = {}) {
  using S = typename L::Scalar;
  if (!recording.layout) throw Error("backward: expected a recorded forward pass, found none");
  check_shape("backward: cotangent", cotangent, layer.output_dim(), recording.layout->tokens());
  if (cotangent.cols() == 0) return Matrix<S>(layer.input_dim(), 0);
  Lent<S> lent(run);
  const Observer<S> nobody;
  Pass<S> pass(*recording.layout, lent.threads(), lent.workspace(), nobody);
  pass.dropout = recording.dropout;
  pass.keep_in(&recording.memory.frame());
  Matrix<S> in_cotangent(layer.input_dim(), cotangent.cols());
  layer.backward(cotangent, recording.tape, in_cotangent, gradient, pass);
  return in_cotangent;
}

}  // namespace crate
