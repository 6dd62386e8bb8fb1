// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"

namespace crate {

/// Sees, and may change, the activation at every named half-step of a forward pass: "layers.3.compress" is what the part
/// `compress` of the block `layers[3]` returned, "layers.3.compress.projection" is U^T Z inside it.
template <Scalar S>
using Observer = std::function<void(std::string_view name, Eigen::Ref<Matrix<S>> activation)>;

/// What the caller lends to a forward pass. Without threads it runs on one, without a workspace it allocates its own.
template <Scalar S>
struct Run {
  Threads* threads = nullptr;
  Workspace* workspace = nullptr;
  Observer<S> observer = {};
};

/// The threads and the workspace of a run, or one thread and a new workspace where the caller lent none.
template <Scalar S>
class Lent {
 public:
  explicit Lent(const Run<S>& run)
      : threads_(run.threads ? *run.threads : own_threads_),
        workspace_(run.workspace ? *run.workspace : own_workspace_) {}

  [[nodiscard]] Threads& threads() { return threads_; }
  [[nodiscard]] Workspace& workspace() { return workspace_; }

 private:
  Threads own_threads_;
  Workspace own_workspace_;
  Threads& threads_;
  Workspace& workspace_;
};

/// What a forward pass carries through the layers beside the tokens.
template <Scalar S>
class Pass {
 public:
  Pass(const TokenLayout& sets, Threads& team, Workspace& memory, const Observer<S>& watcher)
      : layout(sets), threads(team), workspace(memory), observer_(watcher) {}

  const TokenLayout& layout;
  Threads& threads;
  Workspace& workspace;

  /// Shows an activation to the observer, if there is one, under the name of the scope it is in.
  void observe(std::string_view name, Eigen::Ref<Matrix<S>> activation) const {
    if (observer_) observer_(join_names(scope_, name), activation);
  }

  /// While it lives, what is observed is named as inside `name`.
  class Scope {
   public:
    Scope(Pass& pass, std::string_view name) : pass_(pass), length_before_(pass.scope_.size()) {
      if (pass.observer_) pass.scope_ = join_names(pass.scope_, name);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { pass_.scope_.resize(length_before_); }

   private:
    Pass& pass_;
    std::size_t length_before_;
  };

 private:
  const Observer<S>& observer_;
  std::string scope_;
};

/// A formula as a factor: in parentheses if it is a sum.
[[nodiscard]] inline std::string as_factor(const std::string& formula) {
  int depth = 0;
  for (const char c : formula) {
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (depth == 0 && (c == '+' || c == '-')) return "(" + formula + ")";
  }
  return formula;
}

/// What every layer, block, encoder and decoder offers: `forward` maps input_dim() x N tokens to output_dim() x N, on several token sets
/// side by side; `formula` writes what it computes of an argument; `multiply_adds` counts its multiplications.
template <class L>
concept Layer = requires(const L& layer, Eigen::Ref<const Matrix<typename L::Scalar>> in,
                         Eigen::Ref<Matrix<typename L::Scalar>> out, Pass<typename L::Scalar>& pass) {
  layer.forward(in, out, pass);
  { layer.input_dim() } -> std::same_as<Index>;
  { layer.output_dim() } -> std::same_as<Index>;
  { layer.formula(std::string()) } -> std::same_as<std::string>;
  { layer.multiply_adds(pass.layout) } -> std::same_as<double>;
};

/// Sends token sets through a layer, block or model.
/// Throws ShapeError unless the tokens have layer.input_dim() rows.
template <Layer L>
[[nodiscard]] TokenSets<typename L::Scalar> forward(const L& layer, const TokenSets<typename L::Scalar>& sets,
                                                    const Run<typename L::Scalar>& run = {}) {
  using S = typename L::Scalar;
  check_size("tokens: rows", sets.tokens.rows(), layer.input_dim());
  check_size("token sets: columns", sets.tokens.cols(), sets.layout.tokens());
  TokenSets<S> result(Matrix<S>(layer.output_dim(), sets.tokens.cols()), sets.layout);
  Lent<S> lent(run);
  Pass<S> pass(sets.layout, lent.threads(), lent.workspace(), run.observer);
  layer.forward(sets.tokens, result.tokens, pass);
  return result;
}

/// Sends one token set through a layer, block or model.
template <Layer L>
[[nodiscard]] Matrix<typename L::Scalar> forward(const L& layer, const Matrix<typename L::Scalar>& tokens,
                                                 const Run<typename L::Scalar>& run = {}) {
  return forward(layer, TokenSets<typename L::Scalar>(tokens), run).tokens;
}

}  // namespace crate
