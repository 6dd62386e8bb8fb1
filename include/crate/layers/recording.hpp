// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/pass.hpp"

// Forward passes that are recorded, and backward passes through what was recorded.
//
// A layer is a map f of tokens Z and parameters W. Its backward pass takes dL/df(Z), d' x N, and gives dL/dZ, d x N,
// and adds dL/dW to a gradient, which is a layer like itself:
//
//   Recording<CrateBlock<float>> recording;               // used again from step to step
//   auto gradient = zeros_like(block);                    // backward adds to it
//   const auto out = forward(block, sets, recording);     // out.tokens is f(Z); sets must outlive the backward pass
//   clear_gradient(gradient, threads);                    // training/gradient.hpp
//   const auto z_cotangent = backward(block, out_cotangent, recording, gradient);  // out_cotangent = dL/df(Z)
//   optimiser.step(block, gradient, {}, threads);         // AdamW optimiser(block), made once; training/adamw.hpp

namespace crate {

/// What a layer, block, encoder or decoder that can be trained offers beside a Layer. `Tape` is a struct of what
/// backward needs.
///   forward(z, out, tape, pass)                 as forward, and fills the tape, which may view z and out: these stay
///                                               as they are until the backward pass is done
///   backward(d_out, tape, d_z, gradient, pass)  d_z = dL/dZ, and gradient += dL/dW, where d_out = dL/df(Z)
template <class L>
concept TrainableLayer = Layer<L> &&
    requires(const L& layer, L& gradient, typename L::Tape& tape, Eigen::Ref<const Matrix<typename L::Scalar>> in,
             Eigen::Ref<Matrix<typename L::Scalar>> out, Pass<typename L::Scalar>& pass) {
  layer.forward(in, out, tape, pass);
  layer.backward(in, tape, out, gradient, pass);
};

/// The same beside a FrontEnd, whose tape views nothing of the input, and whose backward hands no cotangent on.
template <class L>
concept TrainableFrontEnd = FrontEnd<L> &&
    requires(const L& layer, L& gradient, typename L::Tape& tape, const typename L::Input& input,
             Eigen::Ref<Matrix<typename L::Scalar>> out, Pass<typename L::Scalar>& pass) {
  layer.forward(input, out, tape, pass);
  layer.backward(out, tape, gradient, pass);
};

namespace detail {

/// Goes back through a layer of which nobody asks dL/dZ: gradient += dL/dW.
template <class L, class G>
void add_gradient(const L& layer, ConstTokens<typename L::Scalar> out_cotangent, const typename L::Tape& tape,
                  G& gradient, Pass<typename L::Scalar>& pass) {
  if constexpr (requires { layer.backward(out_cotangent, tape, gradient, pass); }) {
    layer.backward(out_cotangent, tape, gradient, pass);
  } else {
    Workspace::Frame frame(pass.workspace);
    auto unused = frame.template matrix<typename L::Scalar>(layer.input_dim(), pass.layout().tokens());
    layer.backward(out_cotangent, tape, unused, gradient, pass);
  }
}

}  // namespace detail

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
    frame_.clear();
    return frame_;
  }

  /// The frame that holds what was kept since.
  [[nodiscard]] Workspace::Frame& frame() { return frame_; }

 private:
  Workspace workspace_;
  Workspace::Frame frame_{workspace_};
};

/// A forward pass of a layer, block or model that backward can go back through, with copies of nothing but what its
/// tape keeps. Used again from pass to pass.
template <class L>
requires TrainableLayer<L> || TrainableFrontEnd<L>
struct Recording {
  TapeMemory memory;
  std::optional<TokenLayout> layout;  ///< of what entered; empty until something was recorded
  std::uint64_t structure = 0;        ///< of the layer that was recorded
  DropoutStream dropout;
  typename L::Tape tape;
};

namespace detail {

/// Sends the input through and records it; returns what came out, a view of what the recording keeps.
template <class L>
[[nodiscard]] auto record(const L& layer, const typename InputOf<L>::type& input, const TokenLayout& layout,
                          Recording<L>& recording, const Run<typename L::Scalar>& run) {
  using S = typename L::Scalar;
  if (run.cache != nullptr)
    throw OptionError("recorded pass: expected no token cache, as it begins with the first tokens, found one");
  recording.layout.reset();  // until the pass is done: one that throws leaves nothing to go back through
  recording.dropout = run.dropout;
  Workspace::Frame& memory = recording.memory.begin();
  auto out = memory.template matrix<S>(layer.output_dim(), tokens_after(layer, layout));
  if (layout.tokens() > 0) {
    Lent<S> lent(run);
    Pass<S> pass(layout, lent.threads(), lent.workspace(), run);
    pass.dropout = recording.dropout;
    pass.keep_in(&memory);
    layer.forward(input, out, recording.tape, pass);
  }
  recording.layout = layout;
  recording.structure = structure_of(layer);
  return out;
}

/// Throws ShapeError unless the layer that was recorded and the gradient have the structure of this layer.
template <class L>
void check_structure(const L& layer, const Recording<L>& recording, const L& gradient) {
  const std::uint64_t expected = structure_of(layer);
  if (recording.structure != expected)
    throw ShapeError("backward: expected the layer that was recorded, found one of other layers or sizes");
  if (structure_of(gradient) == expected) return;
  check_same_structure(list_parameters(layer), list_parameters(gradient));
  throw ShapeError("backward: expected a gradient with the parts of the layer, found other optional parts");
}

/// Calls body(pass) with a pass back through what was recorded, of which `cotangent` is dL/df(Z).
template <class L, class Body>
void go_back(const L& layer, ConstTokens<typename L::Scalar> cotangent, Recording<L>& recording, const L& gradient,
             const Run<typename L::Scalar>& run, const Body& body) {
  using S = typename L::Scalar;
  if (!recording.layout) throw Error("backward: expected a recorded forward pass, found none");
  check_structure(layer, recording, gradient);
  check_shape("backward: cotangent", cotangent, layer.output_dim(), tokens_after(layer, *recording.layout));
  if (cotangent.cols() == 0) return;
  Lent<S> lent(run);
  Pass<S> pass(*recording.layout, lent.threads(), lent.workspace());
  pass.dropout = recording.dropout;
  pass.keep_in(&recording.memory.frame());
  pass.set_gradient_observer(&run.on_complete);
  body(pass);
}

}  // namespace detail

/// As forward(layer, sets, run), and records the pass. The token sets must live, unchanged, until the backward pass is
/// done; those that end with the call are not taken.
template <TrainableLayer L>
[[nodiscard]] TokenSets<typename L::Scalar> forward(const L& layer, const TokenSets<typename L::Scalar>& sets,
                                                    Recording<L>& recording, const Run<typename L::Scalar>& run = {}) {
  detail::check_tokens(layer, sets.tokens, sets.layout);
  return TokenSets<typename L::Scalar>(detail::record(layer, sets.tokens, sets.layout, recording, run),
                                       detail::layout_after(layer, sets.layout));
}
template <TrainableLayer L>
TokenSets<typename L::Scalar> forward(const L& layer, const TokenSets<typename L::Scalar>&& sets,
                                      Recording<L>& recording, const Run<typename L::Scalar>& run = {}) = delete;

/// The same of one token set, a matrix that must live and stay as it is as long.
template <TrainableLayer L>
[[nodiscard]] Matrix<typename L::Scalar> forward(const L& layer, const Matrix<typename L::Scalar>& tokens,
                                                 Recording<L>& recording, const Run<typename L::Scalar>& run = {}) {
  const TokenLayout layout = TokenLayout::single(tokens.cols());
  detail::check_tokens(layer, tokens, layout);
  return detail::record(layer, tokens, layout, recording, run);
}
template <TrainableLayer L>
Matrix<typename L::Scalar> forward(const L& layer, const Matrix<typename L::Scalar>&& tokens, Recording<L>& recording,
                                   const Run<typename L::Scalar>& run = {}) = delete;

/// As forward(model, input, run), and records the pass.
template <TrainableFrontEnd L>
[[nodiscard]] TokenSets<typename L::Scalar> forward(const L& model, const typename L::Input& input,
                                                    Recording<L>& recording, const Run<typename L::Scalar>& run = {}) {
  const TokenLayout& layout = input.layout();
  return TokenSets<typename L::Scalar>(detail::record(model, input, layout, recording, run),
                                       detail::layout_after(model, layout));
}

/// The same without a copy: the output, output_dim() x (tokens after), is a view of what the recording keeps.
template <TrainableFrontEnd L>
[[nodiscard]] auto forward_kept(const L& model, const typename L::Input& input, Recording<L>& recording,
                                const Run<typename L::Scalar>& run = {}) {
  const TokenLayout& layout = input.layout();
  return detail::record(model, input, layout, recording, run);
}

/// Goes back through a recorded pass: returns dL/dZ, d x N, and adds dL/dW to the gradient, where `cotangent` =
/// dL/df(Z) is d' x N. Throws Error if nothing was recorded, ShapeError if the cotangent has another size, or the
/// gradient or the layer that was recorded another structure than the layer.
template <TrainableLayer L>
Matrix<typename L::Scalar> backward(const L& layer, ConstTokens<typename L::Scalar> cotangent, Recording<L>& recording,
                                    L& gradient, const Run<typename L::Scalar>& run = {}) {
  Matrix<typename L::Scalar> in_cotangent(layer.input_dim(), recording.layout ? recording.layout->tokens() : 0);
  detail::go_back(layer, cotangent, recording, gradient, run, [&](Pass<typename L::Scalar>& pass) {
    layer.backward(cotangent, recording.tape, in_cotangent, gradient, pass);
  });
  return in_cotangent;
}

/// The same of a model, which hands no cotangent on: adds dL/dW to the gradient.
template <TrainableFrontEnd L>
void backward(const L& model, ConstTokens<typename L::Scalar> cotangent, Recording<L>& recording, L& gradient,
              const Run<typename L::Scalar>& run = {}) {
  detail::go_back(model, cotangent, recording, gradient, run,
                  [&](Pass<typename L::Scalar>& pass) { model.backward(cotangent, recording.tape, gradient, pass); });
}

}  // namespace crate
