// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/detail/fingerprint.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"

// The parameters of a layer, block or model as a list without types: whoever does the same to each of them loops over
// it, in one function for all models.

namespace crate {

/// What the numbers of a parameter are.
enum class ScalarType : std::uint8_t { f32, f64 };

template <Scalar S>
inline constexpr ScalarType scalar_type = std::is_same_v<S, float> ? ScalarType::f32 : ScalarType::f64;

/// A parameter without its type. `Memory` is void, or const void where its numbers are not to be changed.
template <class Memory>
struct ListedParameter {
  std::string name;
  ParameterKind kind;
  ScalarType scalar;
  Index rows, cols;
  bool is_vector;     ///< one-dimensional by its type
  bool is_row_major;  ///< how the numbers lie, one behind the other
  Memory* data;

  [[nodiscard]] Index size() const { return rows * cols; }
  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>(size()) * (scalar == ScalarType::f32 ? sizeof(float) : sizeof(double));
  }

  /// The numbers as they lie in memory. Throws Error if they are of another type.
  template <Scalar S>
  [[nodiscard]] auto numbers() const {
    using Number = std::conditional_t<std::is_const_v<Memory>, const S, S>;
    if (scalar != scalar_type<S>)
      throw Error(concatenate("parameter '", name, "': expected numbers of ", sizeof(S), " bytes, found others"));
    return std::span<Number>(static_cast<Number*>(data), static_cast<std::size_t>(size()));
  }
};

/// A parameter of a model that may be changed, and of one that may not.
using Parameter = ListedParameter<void>;
using ConstParameter = ListedParameter<const void>;

using ParameterList = std::vector<Parameter>;
using ConstParameterList = std::vector<ConstParameter>;

namespace detail {

/// Where a walk over parts stands, and what it has found.
class ParameterWalk {
 public:
  /// A part, until it ends: what is found meanwhile has its name, and its kind at least.
  class Inside {
   public:
    Inside(ParameterWalk& walk, std::string_view name, ParameterKind kind)
        : walk_(walk), outer_length_(walk.name_.size()), outer_kind_(walk.kind_) {
      if (!walk.name_.empty() && !name.empty()) walk.name_ += '.';
      walk.name_ += name;
      walk.kind_ = std::max(walk.kind_, kind);
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside() {
      walk_.name_.resize(outer_length_);
      walk_.kind_ = outer_kind_;
    }

   private:
    ParameterWalk& walk_;
    std::size_t outer_length_;
    ParameterKind outer_kind_;
  };

  void add(ScalarType scalar, Index rows, Index cols, bool is_vector, bool is_row_major, const void* data) {
    if (rows * cols != 0) found_.push_back({name_, kind_, scalar, rows, cols, is_vector, is_row_major, data});
  }

  [[nodiscard]] ConstParameterList take() && { return std::move(found_); }

 private:
  std::string name_;
  ParameterKind kind_ = ParameterKind::trainable;
  ConstParameterList found_;
};

template <class Member>
void walk_parameters(ParameterWalk& walk, const Member& member) {
  if constexpr (HasParts<Member>) {
    const auto walk_part = [&](const auto& part) {
      const ParameterWalk::Inside inside(walk, part.name, part.kind);
      walk_parameters(walk, part.of(member));
    };
    for_each_entry(Member::parts(), walk_part);
  } else if constexpr (is_vector_of_parts<Member>) {
    for (std::size_t i = 0; i < member.size(); ++i) {
      const ParameterWalk::Inside inside(walk, std::to_string(i), ParameterKind::trainable);
      walk_parameters(walk, member[i]);
    }
  } else if constexpr (is_optional_part<Member>) {
    if (member) walk_parameters(walk, *member);
  } else {
    walk.add(scalar_type<typename Member::Scalar>, member.rows(), member.cols(), Member::IsVectorAtCompileTime,
             Member::IsRowMajor, member.data());
  }
}

/// The list of a model that is not const, from the walk over it as if it were.
[[nodiscard]] inline ParameterList changeable(ConstParameterList list) {
  ParameterList parameters;
  parameters.reserve(list.size());
  for (ConstParameter& p : list)
    parameters.push_back(
        {std::move(p.name), p.kind, p.scalar, p.rows, p.cols, p.is_vector, p.is_row_major, const_cast<void*>(p.data)});
  return parameters;
}

/// A number that tells the structures of one type apart: how many layers its vectors hold, which optional parts there
/// are, and the shapes of its parameters. Allocates nothing, so that every pass may ask.
template <class Member>
[[nodiscard]] std::uint64_t structure_of(const Member& member, std::uint64_t before = 0) {
  const auto add = [&](Index number) {
    const auto word = static_cast<std::uint64_t>(number);
    before = fingerprint(std::span(&word, 1), before);
  };
  if constexpr (HasParts<Member>) {
    for_each_entry(Member::parts(), [&](const auto& part) { before = structure_of(part.of(member), before); });
  } else if constexpr (is_vector_of_parts<Member>) {
    add(std::ssize(member));
    for (const auto& layer : member) before = structure_of(layer, before);
  } else if constexpr (is_optional_part<Member>) {
    add(member ? 1 : 0);
    if (member) before = structure_of(*member, before);
  } else {
    add(member.size() == 0 ? 0 : member.rows());
    add(member.size() == 0 ? 0 : member.cols());
  }
  return before;
}

inline void clear_all(const ParameterList& parameters) {
  for (const Parameter& parameter : parameters) std::memset(parameter.data, 0, parameter.bytes());
}

[[nodiscard]] inline Index count_numbers(const ConstParameterList& parameters) {
  Index count = 0;
  for (const ConstParameter& parameter : parameters) count += parameter.size();
  return count;
}

}  // namespace detail

/// All parameters of a layer, block or model, in the order of its parts; empty ones are absent. The list is good while
/// the layer lives and none of its parameters changes its size.
template <class Layer>
[[nodiscard]] ConstParameterList list_parameters(const Layer& layer) {
  detail::ParameterWalk walk;
  detail::walk_parameters(walk, layer);
  return std::move(walk).take();
}
template <class Layer>
[[nodiscard]] ParameterList list_parameters(Layer& layer) {
  return detail::changeable(list_parameters(std::as_const(layer)));
}
template <class Layer>
void list_parameters(const Layer&& layer) = delete;

/// Throws ShapeError unless both lists are of one structure: parameters of the same names and shapes in the same order.
template <class Memory, class OtherMemory>
void check_same_structure(const std::vector<ListedParameter<Memory>>& expected,
                          const std::vector<ListedParameter<OtherMemory>>& found) {
  const auto name_of = [](const auto& list, std::size_t i) {
    return i < list.size() ? "'" + list[i].name + "'" : std::string("no more");
  };
  for (std::size_t i = 0; i < std::max(expected.size(), found.size()); ++i) {
    if (i >= expected.size() || i >= found.size() || expected[i].name != found[i].name)
      throw ShapeError(
          concatenate("parameters side by side: expected ", name_of(expected, i), ", found ", name_of(found, i)));
    if (expected[i].rows != found[i].rows || expected[i].cols != found[i].cols)
      throw ShapeError(concatenate(expected[i].name, ": expected ", expected[i].rows, " x ", expected[i].cols,
                                   ", found ", found[i].rows, " x ", found[i].cols));
  }
}

/// A layer, block or model of the same structure with all parameters zero: where a gradient or a moment starts.
/// Backward passes add to what zeros_like(model) began; see layers/recording.hpp.
template <class Layer>
[[nodiscard]] Layer zeros_like(Layer layer) {
  detail::clear_all(list_parameters(layer));
  return layer;
}

/// How many numbers a layer, block or model holds as parameters.
template <class Layer>
[[nodiscard]] Index parameter_count(const Layer& layer) {
  return detail::count_numbers(list_parameters(layer));
}

}  // namespace crate
