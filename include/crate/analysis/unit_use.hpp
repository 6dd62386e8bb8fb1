// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/analysis/layer_subspaces.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/layers/pass.hpp"

// Which tokens use a unit of a layer, and what a model computes when one is set. A unit is a row of a half-step: of
// "layers.3.sparsify" an atom of a complete dictionary, of "layers.3.sparsify.codes" one of an overcomplete dictionary,
// of "layers.3.transform.activation" a neuron of an MLP.

namespace crate {

/// A token that uses a unit.
struct UnitUse {
  Index set;     ///< in the order in which sets came, over all passes
  Index token;   ///< of this set; of images 0 is the class token
  double value;  ///< of the unit
};

/// Watches the units of one half-step: how often each fires, and for which tokens it is largest. Hand `observer()` to
/// as many forward passes as there are batches; what is kept does not grow with them. Padding does not count.
template <Scalar S>
class UnitMeter {
 public:
  /// Keeps the `most` uses of largest value of each unit. Throws OptionError unless most >= 0.
  explicit UnitMeter(std::string half_step, Index most = 10) : name_(std::move(half_step)), most_(most) {
    check_option(most >= 0, "uses kept of a unit >= 0", most);
  }
  UnitMeter(const UnitMeter&) = delete;
  UnitMeter& operator=(const UnitMeter&) = delete;

  [[nodiscard]] Observer<S> observer() {
    return [this](const HalfStep<S>& step) { see(step); };
  }

  /// Throws ShapeError on another number of units than before.
  void see(const HalfStep<S>& step) {
    if (step.name != name_) {
      if (tokens_ == 0) others_.emplace_back(step.name);
      return;
    }
    others_.clear();
    if (units_.empty()) units_.resize(static_cast<std::size_t>(step.activation.rows()));
    check_size(name_ + ": units", step.activation.rows(), static_cast<Index>(units_.size()));
    for (Index s = 0; s < step.layout.sets(); ++s, ++sets_)
      for (Index j = 0; j < step.layout.visible(s); ++j, ++tokens_)
        for (Index i = 0; i < step.activation.rows(); ++i)
          if (const S value = step.activation(i, step.layout.begin(s) + j); value != S(0))
            add(units_[static_cast<std::size_t>(i)], {sets_, j, static_cast<double>(value)});
  }

  [[nodiscard]] Index units() const {
    check_seen();
    return std::ssize(units_);
  }

  /// The share of tokens for which the unit is not exactly zero. Throws OptionError where there is no such unit, or no
  /// such half-step was seen.
  [[nodiscard]] double firing_rate(Index unit) const {
    return static_cast<double>(at(unit).firings) / static_cast<double>(tokens_);
  }

  /// Its uses of largest value, falling; of equal ones the earlier first. Throws as firing_rate.
  [[nodiscard]] std::vector<UnitUse> largest(Index unit) const {
    std::vector<UnitUse> uses = at(unit).uses;
    std::sort(uses.begin(), uses.end(), before);
    return uses;
  }

 private:
  struct Unit {
    Index firings = 0;
    std::vector<UnitUse> uses = {};  // a heap, of which the least comes first
  };

  [[nodiscard]] static bool before(const UnitUse& a, const UnitUse& b) {
    if (a.value != b.value) return a.value > b.value;
    return a.set != b.set ? a.set < b.set : a.token < b.token;
  }

  void add(Unit& unit, const UnitUse& use) const {
    ++unit.firings;
    if (most_ == 0) return;
    if (std::ssize(unit.uses) == most_) {
      if (!before(use, unit.uses.front())) return;
      std::pop_heap(unit.uses.begin(), unit.uses.end(), before);
      unit.uses.back() = use;
    } else {
      unit.uses.push_back(use);
    }
    std::push_heap(unit.uses.begin(), unit.uses.end(), before);
  }

  void check_seen() const {
    if (units_.empty())
      throw OptionError(concatenate("half-step: expected one of ", quoted_list(others_), ", found '", name_, "'"));
  }

  [[nodiscard]] const Unit& at(Index unit) const {
    check_option(unit >= 0 && unit < units(), concatenate("a unit from 0 to ", units() - 1), unit);
    return units_[static_cast<std::size_t>(unit)];
  }

  std::string name_;
  Index most_;
  std::vector<Unit> units_;
  std::vector<std::string> others_;  // half-steps seen, until the one of this name is
  Index sets_ = 0, tokens_ = 0;
};

/// Sets one unit to a value for all tokens while a model runs: hand `observer()` to a forward pass, or to `generate`.
/// What follows goes on from what was set. Source: arXiv 2410.16443, which steers CRATE-LM so.
template <Scalar S>
class Steering {
 public:
  /// Throws OptionError unless unit >= 0 and the value is finite.
  Steering(std::string half_step, Index unit, double value)
      : name_(std::move(half_step)), unit_(unit), value_(static_cast<S>(value)) {
    check_option(unit >= 0, "a unit >= 0", unit);
    check_option(std::isfinite(value), "a finite value of a unit", value);
  }
  Steering(const Steering&) = delete;
  Steering& operator=(const Steering&) = delete;

  /// Throws OptionError while the model runs, if the half-step has no such unit.
  [[nodiscard]] Observer<S> observer() {
    return [this](HalfStep<S> step) {
      if (step.name != name_) {
        if (times_ == 0) others_.emplace_back(step.name);
        return;
      }
      check_option(unit_ < step.activation.rows(),
                   concatenate("a unit of '", name_, "' from 0 to ", step.activation.rows() - 1), unit_);
      step.activation.row(unit_).setConstant(value_);
      others_.clear();
      ++times_;
    };
  }

  /// Throws OptionError, which lists the half-steps that there are, if none was set so far.
  void check_happened() const {
    if (times_ == 0)
      throw OptionError(concatenate("half-step: expected one of ", quoted_list(others_), ", found '", name_, "'"));
  }

 private:
  std::string name_;
  Index unit_;
  S value_;
  Index times_ = 0;
  std::vector<std::string> others_;  // half-steps seen, until the one of this name is
};

/// What a model computes of an input while a unit has a value, as Steering. Throws OptionError where there is no such
/// half-step or unit.
template <class Model, class Input>
[[nodiscard]] auto forward_steered(const Model& model, const Input& input, const std::string& half_step, Index unit,
                                   double value, Run<typename Model::Scalar> run = {}) {
  using S = typename Model::Scalar;
  Steering<S> steering(half_step, unit, value);
  run.observer = [set = steering.observer(), before = run.observer](HalfStep<S> step) {
    set(step);
    if (before) before(step);
  };
  auto result = model.forward(input, run);
  steering.check_happened();
  return result;
}

}  // namespace crate
