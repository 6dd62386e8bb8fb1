// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/pass.hpp"

// What a layer is, and how tokens are sent through one. A block, an encoder and a whole model are layers too.

namespace crate {

/// What every layer of tokens offers: `forward` maps input_dim() x N tokens to output_dim() x N, on several token sets
/// side by side; `formula` writes what it computes of an argument; `multiply_adds` counts its multiplications.
template <class L>
concept Layer = !requires {
  typename L::Input;
}
&&requires(const L& layer, Eigen::Ref<const Matrix<typename L::Scalar>> in, Eigen::Ref<Matrix<typename L::Scalar>> out,
           Pass<typename L::Scalar>& pass) {
  layer.forward(in, out, pass);
  { layer.input_dim() } -> std::same_as<Index>;
  { layer.output_dim() } -> std::same_as<Index>;
  { layer.formula(std::string()) } -> std::same_as<std::string>;
  { layer.multiply_adds(pass.layout()) } -> std::same_as<double>;
};

/// The first layer of a model, whose input is no token matrix (images, ids of tokens) and which therefore returns no
/// gradient by its input; and the model. `Input` names that type; Input::layout() gives the sets that enter, one column
/// for an image.
template <class L>
concept FrontEnd = requires(const L& layer, const typename L::Input& input, Eigen::Ref<Matrix<typename L::Scalar>> out,
                            Pass<typename L::Scalar>& pass) {
  layer.forward(input, out, pass);
  { input.layout() } -> std::convertible_to<TokenLayout>;
  { layer.output_dim() } -> std::same_as<Index>;
};

/// A layer that hands on other sets than it is given: fewer tokens, or more. `layout_after(layout)` tells which.
template <class L>
concept ChangesLayout = requires(const L& layer, const TokenLayout& layout) {
  { layer.layout_after(layout) } -> std::same_as<TokenLayout>;
};

/// A layer that maps each token by itself, and says so: `static constexpr bool is_tokenwise = true`.
template <class L>
concept Tokenwise = requires {
  requires L::is_tokenwise;
};

/// A layer in which tokens see each other and which can compute its result for the first token of each set only, as a
/// classifier's last block may. computes_first_alone() tells whether this one can.
template <class L>
concept MixesTokens = requires(const L& layer, Eigen::Ref<const Matrix<typename L::Scalar>> in,
                               Eigen::Ref<Matrix<typename L::Scalar>> out, Pass<typename L::Scalar>& pass) {
  layer.forward_first(in, out, pass);
  { layer.computes_first_alone() } -> std::same_as<bool>;
};

/// A layer for incremental decoding, which can continue from a token cache: list_cached_rows(rows) appends how many
/// numbers it caches of a token, if any, and throws OptionError if it cannot continue. Tokenwise layers need not say
/// so.
template <class L>
concept UsesTokenCache = requires(const L& layer, std::vector<Index>& rows) {
  layer.list_cached_rows(rows);
};

namespace detail {

template <class L>
void list_cached_rows(const L& layer, std::vector<Index>& rows) {
  if constexpr (UsesTokenCache<L>)
    layer.list_cached_rows(rows);
  else
    static_assert(Tokenwise<L>, "a layer that lets tokens see each other must say how it goes on from a cache");
}

}  // namespace detail

/// How many numbers each layer keeps of a token so that a pass can go on from it: what a TokenCache is made for.
template <class L>
[[nodiscard]] std::vector<Index> cached_rows(const L& layer) {
  std::vector<Index> rows;
  detail::list_cached_rows(layer, rows);
  return rows;
}

namespace detail {

/// What a layer keeps for its backward pass; nothing, if it is for inference alone.
template <class L>
struct TapeOf {
  struct Nothing {};
  using type = Nothing;
};
template <class L>
requires requires { typename L::Tape; }
struct TapeOf<L> {
  using type = typename L::Tape;
};

/// What a layer takes.
template <class L>
struct InputOf {
  using type = Eigen::Ref<const Matrix<typename L::Scalar>>;
};
template <FrontEnd L>
struct InputOf<L> {
  using type = typename L::Input;
};

/// How many tokens a layer hands on.
template <class L>
[[nodiscard]] Index tokens_after(const L& layer, const TokenLayout& layout) {
  if constexpr (ChangesLayout<L>)
    return layer.layout_after(layout).tokens();
  else
    return layout.tokens();
}

template <class L>
[[nodiscard]] TokenLayout layout_after(const L& layer, const TokenLayout& layout) {
  if constexpr (ChangesLayout<L>)
    return layer.layout_after(layout);
  else
    return layout;
}

/// Throws ShapeError unless tokens in these sets are what the layer takes.
template <class L>
void check_tokens(const L& layer, ConstTokens<typename L::Scalar> tokens, const TokenLayout& layout) {
  check_size("tokens: rows", tokens.rows(), layer.input_dim());
  check_size("token sets: columns", tokens.cols(), layout.tokens());
}

/// Whether two views have memory in common.
template <crate::Scalar S>
[[nodiscard]] bool overlap(ConstTokens<S> a, ConstTokens<S> b) {
  if (a.size() == 0 || b.size() == 0) return false;
  const std::less<> before;
  const auto last = [](ConstTokens<S> z) { return z.data() + z.outerStride() * (z.cols() - 1) + z.rows() - 1; };
  if (before(last(a), b.data()) || before(last(b), a.data())) return false;
  const Index stride = a.outerStride();
  if (stride != b.outerStride()) return true;
  const Index row = ((b.data() - a.data()) % stride + stride) % stride;  // of a's, where b begins
  return row < a.rows() || row + b.rows() > stride;                      // else rows of one matrix, apart
}

/// Throws OptionError if the output lies where the tokens do, of which a layer may read what it has written already.
template <crate::Scalar S>
void check_apart(ConstTokens<S> tokens, ConstTokens<S> out) {
  if (overlap<S>(tokens, out)) throw OptionError("output: expected memory apart from that of the tokens, found theirs");
}

template <class L>
void send_through(const L& layer, const typename InputOf<L>::type& input, const TokenLayout& layout,
                  Tokens<typename L::Scalar> out, const Run<typename L::Scalar>& run) {
  using S = typename L::Scalar;
  check_shape("output", out, layer.output_dim(), tokens_after(layer, layout));
  if (layout.tokens() == 0) return;
  if (run.cache != nullptr && run.observer && run.shows_attention)
    throw OptionError("attention probabilities: expected a pass without a token cache, found one");
  Lent<S> lent(run);
  Pass<S> pass(layout, lent.threads(), lent.workspace(), run);
  if (run.cache != nullptr) run.cache->begin_pass(layout);
  layer.forward(input, out, pass);
  if (run.cache != nullptr) run.cache->end_pass(layout);
}

}  // namespace detail

/// Sends token sets through a layer, block or model. Throws ShapeError unless the tokens have layer.input_dim() rows.
template <Layer L>
[[nodiscard]] TokenSets<typename L::Scalar> forward(const L& layer, const TokenSets<typename L::Scalar>& sets,
                                                    const Run<typename L::Scalar>& run = {}) {
  using S = typename L::Scalar;
  detail::check_tokens(layer, sets.tokens, sets.layout);
  TokenLayout after = detail::layout_after(layer, sets.layout);
  Matrix<S> out(layer.output_dim(), after.tokens());
  detail::send_through(layer, sets.tokens, sets.layout, out, run);
  return TokenSets<S>(std::move(out), std::move(after));
}

/// Sends one token set through a layer, block or model.
template <Layer L>
[[nodiscard]] Matrix<typename L::Scalar> forward(const L& layer, const Matrix<typename L::Scalar>& tokens,
                                                 const Run<typename L::Scalar>& run = {}) {
  const TokenLayout layout = TokenLayout::single(tokens.cols());
  detail::check_tokens(layer, tokens, layout);
  Matrix<typename L::Scalar> out(layer.output_dim(), detail::tokens_after(layer, layout));
  detail::send_through(layer, tokens, layout, out, run);
  return out;
}

/// Sends images, words or whatever it takes through a model. Throws ShapeError unless they are of the size that it is
/// for.
template <FrontEnd L>
[[nodiscard]] TokenSets<typename L::Scalar> forward(const L& model, const typename L::Input& input,
                                                    const Run<typename L::Scalar>& run = {}) {
  using S = typename L::Scalar;
  const TokenLayout layout = input.layout();
  TokenLayout after = detail::layout_after(model, layout);
  Matrix<S> out(model.output_dim(), after.tokens());
  detail::send_through(model, input, layout, out, run);
  return TokenSets<S>(std::move(out), std::move(after));
}

/// The same into room of the caller's, output_dim() x (tokens after). With threads, and a workspace that was used
/// before or reserved, nothing is allocated. Throws ShapeError unless both have the sizes that the model is for.
template <FrontEnd L>
void forward(const L& model, const typename L::Input& input, Tokens<typename L::Scalar> out,
             const Run<typename L::Scalar>& run = {}) {
  detail::send_through(model, input, input.layout(), out, run);
}

/// The same of token sets, through a layer, block or model of tokens. Throws OptionError if `out` overlaps the tokens.
template <Layer L>
void forward(const L& layer, ConstTokens<typename L::Scalar> tokens, const TokenLayout& layout,
             Tokens<typename L::Scalar> out, const Run<typename L::Scalar>& run = {}) {
  detail::check_tokens(layer, tokens, layout);
  detail::check_apart<typename L::Scalar>(tokens, out);
  detail::send_through(layer, tokens, layout, out, run);
}

}  // namespace crate
