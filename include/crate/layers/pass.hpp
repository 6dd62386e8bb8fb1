// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "crate/core/dropout.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/layers/token_cache.hpp"

namespace crate {

/// What an observer sees of a forward pass: "layers.3.compress" is what the part `compress` of the block `layers[3]`
/// returned, "layers.3.compress.projection" is U^T Z inside it.
template <Scalar S>
struct HalfStep {
  std::string_view name;
  Eigen::Ref<Matrix<S>> activation;  ///< d x (total tokens); what is written here the next half-step receives
  const TokenLayout& layout;         ///< where in it each token set begins
};

/// Sees, and may change, the activation at every half-step of a forward pass.
template <Scalar S>
using Observer = std::function<void(HalfStep<S>)>;

/// Is told, in a backward pass, of parameters whose gradient is complete: the pass adds nothing to it any more.
using GradientObserver = std::function<void(const ConstParameterList&)>;

/// What the caller lends to a pass. Without threads it runs on one, without a workspace it allocates its own.
template <Scalar S>
struct Run {
  Threads* threads = nullptr;
  Workspace* workspace = nullptr;
  Observer<S> observer = {};
  bool shows_attention = false;  ///< whether the observer sees attention probabilities too, which cost N^2 K numbers
  DropoutStream dropout =
      {};  ///< the numbers that dropout draws; for passes that are recorded, the only ones that drop
  TokenCache<S>* cache = nullptr;     ///< of tokens that went before those of the pass; see inference/generate.hpp
  GradientObserver on_complete = {};  ///< of a chain's backward pass, of links whose parts none in front has
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

/// An activation that a tape keeps for the backward pass: a view that can be set anew. Whoever owns the entries keeps
/// them, and keeps them as they are, until the backward pass is done. A matrix that ends before that is not taken.
template <Scalar S>
class Kept {
 public:
  Kept() = default;
  template <class Derived>
  Kept(const Eigen::MatrixBase<Derived>& activation)
      : data_(activation.derived().data()),
        rows_(activation.rows()),
        cols_(activation.cols()),
        stride_(activation.derived().outerStride()) {
    static_assert(!Derived::IsRowMajor && Derived::InnerStrideAtCompileTime == 1);
  }
  Kept(const Matrix<S>&&) = delete;

  [[nodiscard]] auto view() const {
    return Eigen::Map<const Matrix<S>, 0, Eigen::OuterStride<>>(data_, rows_, cols_, Eigen::OuterStride<>(stride_));
  }

 private:
  const S* data_ = nullptr;
  Index rows_ = 0, cols_ = 0, stride_ = 0;
};

/// What a pass, forward or backward, carries through the layers beside the tokens.
template <Scalar S>
class Pass {
 public:
  /// Of tokens in these sets. Everything named here must outlive the pass.
  Pass(const TokenLayout& sets, Threads& team, Workspace& memory, const Run<S>& run = nobody())
      : threads(team), workspace(memory), layout_(&sets), run_(run) {}

  Threads& threads;
  Workspace& workspace;
  DropoutStream dropout = {};

  /// Where the token sets begin that the layer is given which is running.
  [[nodiscard]] const TokenLayout& layout() const { return *layout_; }

  /// From here on the tokens lie in these sets, which must live until the pass is told of others.
  void enter(const TokenLayout& sets) { layout_ = &sets; }

  /// From here on, what tapes keep lies in `memory`, which lives until the backward pass is done. Returns what was
  /// before.
  Workspace::Frame* keep_in(Workspace::Frame* memory) { return std::exchange(kept_, memory); }

  /// While it lives, what tapes keep is given back when it ends.
  class KeepForNow {
   public:
    explicit KeepForNow(Pass& pass) : pass_(pass), memory_(pass.kept_->workspace()), before_(pass.keep_in(&memory_)) {}
    KeepForNow(const KeepForNow&) = delete;
    KeepForNow& operator=(const KeepForNow&) = delete;
    ~KeepForNow() { pass_.keep_in(before_); }

   private:
    Pass& pass_;
    Workspace::Frame memory_;
    Workspace::Frame* before_;
  };

  /// From here on, chains tell `observer`, if there is one, of what is complete. Returns who was told before.
  const GradientObserver* tell_of_complete(const GradientObserver* observer) {
    return std::exchange(on_complete_, observer);
  }

  /// Room for an activation of a pass that is recorded.
  [[nodiscard]] auto keep(Index rows, Index cols) { return kept_->template matrix<S>(rows, cols); }

  /// What is kept of the tokens before those of the pass, if it goes on from some.
  [[nodiscard]] TokenCache<S>* cache() const { return run_.cache; }

  [[nodiscard]] bool is_observed() const { return run_.observer != nullptr; }
  [[nodiscard]] bool shows_attention() const { return is_observed() && run_.shows_attention; }

  /// Shows an activation to the observer, if there is one, under the name of the scope it is in.
  void observe(std::string_view name, Eigen::Ref<Matrix<S>> activation) const {
    if (is_observed()) run_.observer({join_names(scope_, name), activation, layout()});
  }

  /// While it lives, what is observed is named as inside `name`.
  class Scope {
   public:
    Scope(Pass& pass, std::string_view name) : pass_(pass), length_before_(pass.scope_.size()) {
      if (pass.is_observed()) pass.scope_ = join_names(pass.scope_, name);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { pass_.scope_.resize(length_before_); }

   private:
    Pass& pass_;
    std::size_t length_before_;
  };

 private:
  static const Run<S>& nobody() {
    static const Run<S> run;
    return run;
  }

  const TokenLayout* layout_;
  const Run<S>& run_;
  Workspace::Frame* kept_ = nullptr;
  const GradientObserver* on_complete_ = nullptr;
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

}  // namespace crate
