// SPDX-License-Identifier: MIT
#pragma once

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
#include "crate/layers/run.hpp"
#include "crate/layers/token_cache.hpp"

// What authors of layers meet: the pass that goes through a layer, and what a tape keeps of it. Callers of models need
// run.hpp alone.

namespace crate {

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

/// A view of an activation that the backward pass will need. It does not own the entries: they must stay alive and
/// unchanged until then. Temporaries are refused. It can be set anew.
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

  /// The token sets of the layer that is running.
  [[nodiscard]] const TokenLayout& layout() const { return *layout_; }

  /// Called by layers that change the layout: from now on `layout()` is `sets`, which must live until the next call.
  void enter(const TokenLayout& sets) { layout_ = &sets; }

  /// From now on `keep` takes from `memory`, which must live until the backward pass is done. Returns what it took from
  /// before.
  Workspace::Frame* keep_in(Workspace::Frame* memory) { return std::exchange(kept_, memory); }

  /// What `keep` hands out while this lives is given back when it ends.
  class ScopedKeep {
   public:
    explicit ScopedKeep(Pass& pass) : pass_(pass), memory_(pass.kept_->workspace()), before_(pass.keep_in(&memory_)) {}
    ScopedKeep(const ScopedKeep&) = delete;
    ScopedKeep& operator=(const ScopedKeep&) = delete;
    ~ScopedKeep() { pass_.keep_in(before_); }

   private:
    Pass& pass_;
    Workspace::Frame memory_;
    Workspace::Frame* before_;
  };

  /// From now on chains tell `observer`, if it is not null, of gradients that are complete. Returns the one before.
  const GradientObserver* set_gradient_observer(const GradientObserver* observer) {
    return std::exchange(on_complete_, observer);
  }

  /// Room for an activation of a pass that is recorded.
  [[nodiscard]] auto keep(Index rows, Index cols) { return kept_->template matrix<S>(rows, cols); }

  /// Keys and values of the tokens before those of the pass; null if these are the first.
  [[nodiscard]] TokenCache<S>* cache() const { return run_.cache; }

  [[nodiscard]] bool is_observed() const { return run_.observer != nullptr; }
  [[nodiscard]] bool shows_attention() const { return is_observed() && run_.shows_attention; }

  /// Shows an activation to the observer, if there is one, under the name of the scope it is in.
  void observe(std::string_view name, Eigen::Ref<Matrix<S>> activation) const {
    if (is_observed()) run_.observer({join_names(scope_, name), activation, layout()});
  }

  /// While it lives, observed names begin with `name`.
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
