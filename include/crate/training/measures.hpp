// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"
#include "crate/operators/losses.hpp"

// What an objective measures: sums over examples, and the numbers that are told of them.

namespace crate {

/// Of which examples a number is told: of those of test alone where training would tell too little.
enum class ToldOf { training_and_test, test };

/// A number that is computed of measures.
template <class M>
struct MeasuredNumber {
  std::string_view name;
  double (M::*value)() const;
  ToldOf told_of;
};

template <class M>
constexpr MeasuredNumber<M> measured_number(std::string_view name, double (M::*value)() const,
                                            ToldOf told_of = ToldOf::training_and_test) {
  return {name, value, told_of};
}

/// A sum among measures: an Index, which counts examples, or a double.
template <class M, class Number>
struct MeasuredSum {
  std::string_view name;
  Number M::*member;
};

template <class M, class Number>
constexpr MeasuredSum<M, Number> measured_sum(std::string_view name, Number M::*member) {
  return {name, member};
}

/// Sums over examples: M{} over none, += adds those over others.
///   loss        a LossSum; training lessens its mean, which is told as "loss", and kept as "loss" and "examples"
///   counts_tokens   if it is there, says that the loss counts tokens, of which an example has any number
///   numbers()   lists what else is told, a tuple of measured_number(name, &M::function): names are those in histories
///   sums()      lists what this is computed of, a tuple of measured_sum(name, &M::member): ... in checkpoints
/// Satisfied by LossMeasures and ClassificationMeasures.
template <class M>
concept Measures = std::semiregular<M> && requires(M& sums, const M& others) {
  sums += others;
  { sums.loss } -> std::same_as<LossSum&>;
  M::numbers();
  M::sums();
};

/// Whether each example counts once at most.
template <Measures M>
inline constexpr bool counts_examples = !requires {
  M::counts_tokens;
};

/// The loss alone.
struct LossMeasures {
  LossSum loss = {};

  LossMeasures& operator+=(const LossMeasures& other) {
    loss += other.loss;
    return *this;
  }
  static constexpr auto numbers() { return std::tuple{}; }
  static constexpr auto sums() { return std::tuple{}; }
};

/// A number that is told, without the type of the measures.
struct ListedNumber {
  std::string name;
  double value;
  ToldOf told_of;
};

/// What is told of measures: the loss, then numbers().
template <Measures M>
[[nodiscard]] std::vector<ListedNumber> list_numbers(const M& sums) {
  std::vector<ListedNumber> list{{"loss", sums.loss.mean(), ToldOf::training_and_test}};
  const auto add = [&](const MeasuredNumber<M>& number) {
    list.push_back({std::string(number.name), (sums.*number.value)(), number.told_of});
  };
  detail::for_each_entry(M::numbers(), add);
  return list;
}

/// A sum that is kept, without the type of the measures.
struct ListedSum {
  std::string_view name;
  std::variant<Index*, double*> number;
};

/// What is kept of measures beside the loss: sums(). The list is good while the measures live.
template <Measures M>
[[nodiscard]] std::vector<ListedSum> list_sums(M& sums) {
  return std::apply(
      [&](const auto&... entries) {
        return std::vector<ListedSum>{{entries.name, &(sums.*entries.member)}...};
      },
      M::sums());
}

}  // namespace crate
