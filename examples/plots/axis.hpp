// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/errors.hpp"
#include "plots/xml_text.hpp"

namespace plots {

enum class Scale { linear, logarithmic };

struct Axis {
  std::string label;  ///< with the unit, as in "coding rate, nats per token"
  Scale scale = Scale::linear;
  std::vector<double> ticks = {};       ///< where numbers stand; chosen if empty
  std::vector<std::string> names = {};  ///< what stands there in place of numbers, at 0, 1, 2, ... without ticks
  std::vector<double> dividers = {};    ///< where lines lie across the plot
  bool from_zero = false;               ///< the axis begins at 0, or ends there if all values are negative
};

/// Where the i-th name stands.
[[nodiscard]] inline double place_of_name(const Axis& axis, std::size_t i) {
  return axis.ticks.empty() ? static_cast<double>(i) : axis.ticks[i];
}

/// Throws PrecisionError, which names the quantity, unless the value is finite and of a size that can be drawn.
inline void check_drawable(std::string_view quantity, double value) {
  constexpr double largest = 1e300;
  if (!(std::abs(value) <= largest))
    throw crate::PrecisionError(crate::concatenate(quantity, ": expected finite numbers up to 1e300, found ", value));
}

struct Range {
  double low = std::numeric_limits<double>::max(), high = std::numeric_limits<double>::lowest();

  [[nodiscard]] bool is_empty() const { return low > high; }
  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

struct Tick {
  double value;
  std::string label;
};

namespace detail {

/// The power of ten, as in 10⁻³.
[[nodiscard]] inline std::string power_of_ten(int exponent) {
  constexpr std::array<const char*, 10> digits = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string text = exponent < 0 ? "10⁻" : "10";
  for (const char digit : std::to_string(std::abs(exponent))) text += digits[static_cast<std::size_t>(digit - '0')];
  return text;
}

/// By what numbers of an axis are divided before they are printed, and what is printed behind each.
struct Unit {
  double factor;
  std::string suffix;
};

/// k, M, G, T for numbers of five digits and more; a power of ten for those that are larger still, and for tiny ones.
[[nodiscard]] inline Unit unit_for(double largest) {
  if (largest == 0 || (largest >= 1e-3 && largest < 1e4)) return {1, ""};
  const int exponent = static_cast<int>(std::floor(std::log10(largest)));
  constexpr std::array<const char*, 5> prefixes = {"", "k", "M", "G", "T"};
  if (exponent > 0 && exponent < 15) {
    const int thousands = exponent / 3;
    return {std::pow(10.0, 3 * thousands), prefixes[static_cast<std::size_t>(thousands)]};
  }
  return {std::pow(10.0, exponent), "·" + power_of_ten(exponent)};
}

/// The number with so many digits behind the point, and a true minus sign.
[[nodiscard]] inline std::string decimal(double value, int digits) {
  const std::string text = fixed(std::abs(value), digits);
  return (value < 0 && text.find_first_not_of("0.") != std::string::npos ? "−" : "") + text;
}

/// The largest of 1, 2, 5 times a power of ten that gives at least four intervals.
[[nodiscard]] inline double tick_spacing(double extent) {
  const double wanted = extent / 4;
  const double power = std::pow(10, std::floor(std::log10(wanted)));
  for (const double multiple : {5.0, 2.0})
    if (multiple * power <= wanted) return multiple * power;
  return power;
}

[[nodiscard]] inline int digits_behind_point(double spacing) {
  return std::clamp(static_cast<int>(std::ceil(-std::log10(spacing) - 1e-6)), 0, 12);
}

[[nodiscard]] inline std::vector<Tick> linear_ticks(const Range& range) {
  const double spacing = tick_spacing(range.high - range.low);
  const Unit unit = unit_for(std::max(std::abs(range.low), std::abs(range.high)));
  const int digits = digits_behind_point(spacing / unit.factor);
  std::vector<Tick> ticks;
  constexpr double rounding = 1e-9;
  const double first = std::ceil(range.low / spacing - rounding), last = std::floor(range.high / spacing + rounding);
  for (double i = first; i <= last && ticks.size() < 20; ++i) {
    const double value = i * spacing;
    ticks.push_back({value, value == 0 ? "0" : decimal(value / unit.factor, digits) + unit.suffix});
  }
  return ticks;
}

}  // namespace detail

/// Four significant digits at most.
[[nodiscard]] inline std::string short_number(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0";
  const detail::Unit unit = detail::unit_for(size);
  const double shown = size / unit.factor;
  int digits = 4;
  for (double power = 1; power <= 1000 && shown >= power; power *= 10) --digits;
  return without_trailing_zeros(detail::decimal(value / unit.factor, digits)) + unit.suffix;
}

namespace detail {

/// Powers of ten; 2 and 5 times them too where there are few, and every second or third where there are many.
[[nodiscard]] inline std::vector<Tick> logarithmic_ticks(const Range& range) {
  const int first = static_cast<int>(std::floor(std::log10(range.low)));
  const int last = static_cast<int>(std::ceil(std::log10(range.high)));
  const int step = std::max(1, (last - first) / 6);
  const bool with_between = last - first <= 3;
  std::vector<Tick> ticks;
  for (int exponent = first; exponent <= last; exponent += step)
    for (const double multiple : {1.0, 2.0, 5.0}) {
      const double value = multiple * std::pow(10, exponent);
      const bool is_inside = value >= range.low * (1 - 1e-9) && value <= range.high * (1 + 1e-9);
      if (is_inside && (multiple == 1 || with_between)) ticks.push_back({value, short_number(value)});
    }
  return ticks;
}

}  // namespace detail

/// An axis laid out for the values that it must show: where each of them stands, and the ticks.
class AxisScale {
 public:
  /// Throws OptionError if a logarithmic axis is to show values <= 0, ShapeError unless there is a tick for each name.
  AxisScale(const Axis& axis, Range values) : is_logarithmic_(axis.scale == Scale::logarithmic) {
    for (const double tick : axis.ticks) values.include(tick);
    if (!axis.names.empty() && axis.ticks.empty()) values = {0, static_cast<double>(axis.names.size()) - 1};
    if (values.is_empty()) values = is_logarithmic_ ? Range{1, 10} : Range{0, 1};
    if (is_logarithmic_ && !(values.low > 0))
      throw crate::OptionError(
          crate::concatenate("logarithmic axis '", axis.label, "': expected values > 0, found ", values.low));
    range_ = is_logarithmic_ ? widened_by_factor(values) : widened(values, axis.from_zero);
    set_ticks(axis);
  }

  /// 0 at the low end of the axis, 1 at the high one.
  [[nodiscard]] double position(double value) const {
    if (is_logarithmic_) return std::log(value / range_.low) / std::log(range_.high / range_.low);
    return (value - range_.low) / (range_.high - range_.low);
  }
  [[nodiscard]] const std::vector<Tick>& ticks() const { return ticks_; }
  [[nodiscard]] const Range& range() const { return range_; }

 private:
  [[nodiscard]] static Range widened(Range values, bool from_zero) {
    if (from_zero) values.include(0);
    const double extent = values.high - values.low;
    const double rounding = 1e-9 * std::max(std::abs(values.low), std::abs(values.high));
    const double margin = extent > rounding ? 0.06 * extent : std::max(1.0, std::abs(values.low)) / 2;
    const bool low_is_zero = from_zero && values.low == 0, high_is_zero = from_zero && values.high == 0;
    return {values.low - (low_is_zero ? 0 : margin), values.high + (high_is_zero && extent > 0 ? 0 : margin)};
  }
  [[nodiscard]] static Range widened_by_factor(const Range& values) {
    const double factor = values.high > values.low * (1 + 1e-9) ? std::pow(values.high / values.low, 0.06) : 2;
    return {values.low / factor, values.high * factor};
  }

  void set_ticks(const Axis& axis) {
    if (!axis.names.empty() && !axis.ticks.empty())
      crate::check_size("axis '" + axis.label + "': names", static_cast<crate::Index>(axis.names.size()),
                        static_cast<crate::Index>(axis.ticks.size()));
    if (!axis.names.empty())
      for (std::size_t i = 0; i < axis.names.size(); ++i) ticks_.push_back({place_of_name(axis, i), axis.names[i]});
    else if (!axis.ticks.empty())
      for (const double tick : axis.ticks) ticks_.push_back({tick, short_number(tick)});
    else
      ticks_ = is_logarithmic_ ? detail::logarithmic_ticks(range_) : detail::linear_ticks(range_);
  }

  bool is_logarithmic_;
  Range range_;
  std::vector<Tick> ticks_;
};

}  // namespace plots
