// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/analysis/spread.hpp"
#include "inspect_model/measurement.hpp"
#include "plots/axis.hpp"
#include "plots/line_plot.hpp"

// Layers side by side on an axis, those of several models too, and what was measured of them as lines over it.

namespace inspect_model {

/// The place of every layer on a common axis. Layers count from 0 in each list of a model, as in their names
/// ("encoder.layers"); the lists of a model follow each other, and the first lists of all models share their places, as
/// further ones do.
class Depth {
 public:
  explicit Depth(const std::vector<Measurement>& all) {
    for (const Measurement& one : all)
      for (const Place& place : places_in(one)) {
        if (place.list >= lists_.size()) lists_.resize(place.list + 1);
        List& list = lists_[place.list];
        list.length = std::max(list.length, place.number + 1);
        // A model of one list has it as "layers", beside one of two it is that of the encoder.
        if (list.name.empty() || list.name == "layers") list.name = place.name.substr(0, place.name.find('.'));
      }
  }

  [[nodiscard]] bool is_empty() const { return lists_.empty(); }

  /// Where the slot of every layer of a model begins. A slot is 1 long.
  [[nodiscard]] std::vector<double> begins(const Measurement& one) const {
    std::vector<double> all;
    for (const Place& place : places_in(one)) all.push_back(begin_of(place.list, place.number));
    return all;
  }

  /// Whether a layer of a model is the first of its list, for each.
  [[nodiscard]] static std::vector<bool> are_first(const Measurement& one) {
    std::vector<bool> all;
    for (const Place& place : places_in(one)) all.push_back(place.number == 0);
    return all;
  }

  /// With the numbers of layers in the middle of their slots, and lines between lists.
  [[nodiscard]] plots::Axis axis() const {
    plots::Axis axis{.label = label()};
    const std::size_t step = step_between_numbers();
    for (std::size_t l = 0; l < lists_.size(); ++l) {
      if (l > 0) axis.dividers.push_back(begin_of(l, 0) - gap / 2);
      for (std::size_t i = 0; i < lists_[l].length; i += step) {
        axis.ticks.push_back(begin_of(l, i) + 0.5);
        axis.names.push_back(std::to_string(i));
      }
    }
    return axis;
  }

  /// With lines between slots instead.
  [[nodiscard]] plots::Axis axis_of_slots() const {
    plots::Axis slots = axis();
    slots.dividers.clear();
    for (std::size_t l = 0; l < lists_.size(); ++l)
      for (std::size_t i = 0; i <= lists_[l].length; ++i) slots.dividers.push_back(begin_of(l, i));
    return slots;
  }

 private:
  struct Place {
    std::string_view name;
    std::size_t list, number;
  };
  struct List {
    std::string name;
    std::size_t length = 0;
  };
  static constexpr double gap = 0.5;  // between lists

  [[nodiscard]] static std::vector<Place> places_in(const Measurement& one) {
    std::vector<Place> places;
    for (const crate::LayerMetrics& layer : one.layers) {
      Place place = {layer.name, 0, 0};
      if (!places.empty()) {
        const Place& last = places.back();
        const bool goes_on = list_of(last.name) == list_of(layer.name);
        place.list = goes_on ? last.list : last.list + 1;
        place.number = goes_on ? last.number + 1 : 0;
      }
      places.push_back(place);
    }
    return places;
  }

  [[nodiscard]] double begin_of(std::size_t list, std::size_t number) const {
    auto begin = static_cast<double>(number);
    for (std::size_t l = 0; l < list; ++l) begin += static_cast<double>(lists_[l].length) + gap;
    return begin;
  }

  [[nodiscard]] std::size_t step_between_numbers() const {
    constexpr std::size_t most = 16;
    std::size_t layers = 0;
    for (const List& list : lists_) layers += list.length;
    return std::max<std::size_t>(1, (layers + most - 1) / most);
  }

  [[nodiscard]] std::string label() const {
    if (lists_.size() < 2) return "layer";
    std::string text = "layer of the ";
    for (const List& list : lists_) text += (&list == lists_.data() ? "" : ", then of the ") + list.name;
    return text;
  }

  std::vector<List> lists_;
};

/// A line through means, in a band of one deviation to either side. Numbers that cannot be drawn are left out.
class Curve {
 public:
  /// Numbers are multiplied by the factor.
  explicit Curve(std::string name, double factor = 1) : factor_(factor) { series_.name = std::move(name); }

  /// What follows is not joined to what is there.
  void interrupt() { is_interrupted_ = true; }

  void add(double x, const crate::Spread& spread) {
    if (spread.count() > 0) add(x, spread.mean(), spread.deviation());
  }
  void add(double x, double value, double deviation = 0) {
    constexpr double largest = 1e299;  // which axes can show, with a margin
    const double y = factor_ * value, half = std::abs(factor_) * deviation;
    if (!(std::abs(y) + half < largest)) return interrupt();
    if (is_interrupted_ && !series_.x.empty()) series_.begins.push_back(series_.x.size());
    is_interrupted_ = false;
    series_.x.push_back(x);
    series_.y.push_back(y);
    series_.low.push_back(y - half);
    series_.high.push_back(y + half);
  }

  [[nodiscard]] const plots::Series& series() const { return series_; }

 private:
  double factor_;
  bool is_interrupted_ = false;
  plots::Series series_;
};

/// Measurements under the names that tell them apart.
struct Legend {
  std::vector<const Measurement*> all;
  std::vector<std::string> names;
};

/// For each measurement curves of these names, "trained: mean" where there are several of both.
/// add(curves, x, measurement, i) adds the points of its i-th layer, whose middle x is, to the curves of a measurement.
template <class Add>
std::vector<Curve> curves_over_layers(const Legend& legend, const Depth& depth, const std::vector<std::string>& names,
                                      double factor, const Add& add) {
  std::vector<Curve> all;
  for (std::size_t m = 0; m < legend.all.size(); ++m) {
    const Measurement& one = *legend.all[m];
    std::vector<Curve> curves;
    for (const std::string& name : names) {
      const bool is_alone = legend.all.size() == 1;
      curves.emplace_back(is_alone            ? name
                          : names.size() == 1 ? legend.names[m]
                                              : legend.names[m] + ": " + name,
                          factor);
    }
    const std::vector<double> begins = depth.begins(one);
    const std::vector<bool> are_first = Depth::are_first(one);
    for (std::size_t i = 0; i < begins.size(); ++i) {
      for (Curve& curve : curves)
        if (are_first[i]) curve.interrupt();
      add(curves, begins[i] + 0.5, one, i);
    }
    all.insert(all.end(), curves.begin(), curves.end());
  }
  return all;
}

/// A plot of the curves that have points.
inline plots::LinePlot plot_of(std::string title, plots::Axis x, plots::Axis y, const std::vector<Curve>& curves) {
  plots::LinePlot plot{.title = std::move(title), .x = std::move(x), .y = std::move(y), .series = {}};
  for (const Curve& curve : curves)
    if (!curve.series().x.empty()) plot.series.push_back(curve.series());
  const bool is_one_of_several = curves.size() > 1 && plot.series.size() == 1;  // one has no legend
  if (is_one_of_several) plot.title += ", " + plot.series[0].name;
  return plot;
}

}  // namespace inspect_model
