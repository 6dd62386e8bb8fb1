// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/layers/dictionary.hpp"
#include "crate/layers/find_layer.hpp"
#include "crate/layers/ista.hpp"
#include "crate/layers/mlp.hpp"
#include "crate/layers/overcomplete_ista.hpp"
#include "crate/layers/pass.hpp"

// The tokens that use a unit of a layer, and the output of a model when a unit is fixed. A unit is a row of a
// half-step: of "layers.3.sparsify" an atom of a complete dictionary, of "layers.3.sparsify.codes" an atom of an
// overcomplete dictionary, of "layers.3.transform.activation" a neuron of an MLP.

namespace crate {

namespace detail {

/// Looks for the half-step with a given name in a forward pass.
class HalfStepSearch {
 public:
  explicit HalfStepSearch(std::string name) : name_(std::move(name)) {}

  /// Whether this is the wanted half-step. Throws OptionError that lists all half-steps, at the start of the second
  /// pass, if the first had none of this name.
  [[nodiscard]] bool finds(std::string_view half_step) {
    if (half_step == name_) {
      is_found_ = true;
      others_.clear();
      return true;
    }
    if (is_found_) return false;
    const auto known = std::find(others_.begin(), others_.end(), half_step);
    if (known == others_.end())
      others_.emplace_back(half_step);
    else if (known == others_.begin() && others_.size() > 1)
      check_found();
    return false;
  }

  void check_found() const {
    if (!is_found_)
      throw OptionError(concatenate("half-step: expected one of ", quoted_list(others_), ", found '", name_, "'"));
  }

  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::vector<std::string> others_;  // each name once, until the wanted one is seen
  bool is_found_ = false;
};

}  // namespace detail

/// The units of one layer: the rows of a half-step.
struct LayerUnits {
  std::string half_step;  ///< "layers.3.sparsify", "layers.3.sparsify.codes", "layers.3.transform.activation"
  Index units;
};

/// The units of every layer of a model, in its order: of ISTA, complete and overcomplete, of decoders and of MLPs.
template <class Model>
[[nodiscard]] std::vector<LayerUnits> layer_units(const Model& model) {
  using S = typename Model::Scalar;
  std::vector<LayerUnits> list;
  for_each_layer<Ista<S>, OvercompleteIsta<S>, Dictionary<S>, Mlp<S>>(
      model, [&]<class L>(std::string_view name, const L& layer) {
        if constexpr (std::is_same_v<L, OvercompleteIsta<S>>)
          list.push_back({join_names(name, "codes"), layer.dictionary.cols()});
        else if constexpr (std::is_same_v<L, Mlp<S>>)
          list.push_back({join_names(name, "activation"), layer.activation.output_dim()});
        else
          list.push_back({std::string(name), layer.output_dim()});
      });
  return list;
}

/// A token that uses a unit.
struct UnitUse {
  Index set;     ///< index over all passes
  Index token;   ///< index in this set; in images 0 is the class token
  double value;  ///< value of the unit
};

/// Watches the units of one half-step: how often each fires, and for which tokens it is largest. Pass `observer()` to
/// the forward passes of any number of batches; memory does not grow with their number. Padding is ignored.
template <Scalar S>
class UnitMeter {
 public:
  /// Keeps, for each unit, the `most` tokens with the largest values. Throws OptionError unless most >= 0.
  explicit UnitMeter(std::string half_step, Index most = 10) : search_(std::move(half_step)), most_(most) {
    check_option(most >= 0, "uses kept of a unit >= 0", most);
  }
  UnitMeter(const UnitMeter&) = delete;
  UnitMeter& operator=(const UnitMeter&) = delete;

  [[nodiscard]] Observer<S> observer() {
    return [this](const HalfStep<S>& step) { see(step); };
  }

  /// Throws ShapeError if the number of units changes, OptionError at the start of the second pass if the first had no
  /// half-step of this name.
  void see(const HalfStep<S>& step) {
    if (!search_.finds(step.name)) return;
    if (units_.empty()) units_.resize(static_cast<std::size_t>(step.activation.rows()));
    check_size(search_.name() + ": units", step.activation.rows(), static_cast<Index>(units_.size()));
    for (Index s = 0; s < step.layout.sets(); ++s, ++sets_)
      for (Index j = 0; j < step.layout.visible(s); ++j, ++tokens_)
        for (Index i = 0; i < step.activation.rows(); ++i)
          if (const S value = step.activation(i, step.layout.begin(s) + j); value != S(0))
            add(units_[static_cast<std::size_t>(i)], {sets_, j, static_cast<double>(value)});
  }

  [[nodiscard]] Index units() const {
    search_.check_found();
    return std::ssize(units_);
  }

  /// The share of tokens for which the unit is not exactly zero: about 1 after a GELU, which hardly ever returns zero.
  /// Throws OptionError if there is no such unit, or if no such half-step was seen.
  [[nodiscard]] double firing_rate(Index unit) const {
    return static_cast<double>(at(unit).firings) / static_cast<double>(tokens_);
  }

  /// The tokens with its largest values, in decreasing order; of equal ones the earlier first. Throws as firing_rate.
  [[nodiscard]] std::vector<UnitUse> largest(Index unit) const {
    std::vector<UnitUse> uses = at(unit).uses;
    std::sort(uses.begin(), uses.end(), before);
    return uses;
  }

 private:
  struct Unit {
    Index firings = 0;
    std::vector<UnitUse> uses = {};  // a heap with the smallest value first
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

  [[nodiscard]] const Unit& at(Index unit) const {
    check_option(unit >= 0 && unit < units(), concatenate("a unit from 0 to ", units() - 1), unit);
    return units_[static_cast<std::size_t>(unit)];
  }

  detail::HalfStepSearch search_;
  Index most_;
  std::vector<Unit> units_;
  Index sets_ = 0, tokens_ = 0;
};

/// Steers a model: sets one unit to a value for all tokens while the model runs. Pass `observer()` to a forward pass,
/// or to `generate`. All later half-steps use the changed value. Source: arXiv 2410.16443, which steers CRATE-LM in
/// this way.
template <Scalar S>
class Steering {
 public:
  /// Throws OptionError unless unit >= 0 and the value is finite.
  Steering(std::string half_step, Index unit, double value)
      : search_(std::move(half_step)), unit_(unit), value_(static_cast<S>(value)) {
    check_option(unit >= 0, "a unit >= 0", unit);
    check_option(std::isfinite(value), "a finite value of a unit", value);
  }
  Steering(const Steering&) = delete;
  Steering& operator=(const Steering&) = delete;

  /// The observer throws OptionError if the half-step has no such unit, or, at the start of the second pass, if the
  /// first had no half-step of this name.
  [[nodiscard]] Observer<S> observer() {
    return [this](HalfStep<S> step) {
      if (!search_.finds(step.name)) return;
      check_option(unit_ < step.activation.rows(),
                   concatenate("a unit of '", search_.name(), "' from 0 to ", step.activation.rows() - 1), unit_);
      step.activation.row(unit_).setConstant(value_);
    };
  }

  /// Throws OptionError that lists the half-steps if none was set so far.
  void check_happened() const { search_.check_found(); }

 private:
  detail::HalfStepSearch search_;
  Index unit_;
  S value_;
};

/// The output of a model for an input while a unit has a fixed value; see Steering. Throws OptionError if there is no
/// such half-step or unit.
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
