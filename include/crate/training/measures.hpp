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

// What an objective measures: sums over examples, and the numbers that are computed from them and reported.

namespace crate {

/// For which examples a number is reported; only for test examples if it means little in training.
enum class ReportedFor { training_and_test, test };

/// A number that is computed from measures.
template <class M>
struct MeasuredNumber {
  std::string_view name;
  double (M::*value)() const;
  ReportedFor reported_for;
};

template <class M>
constexpr MeasuredNumber<M> measured_number(std::string_view name, double (M::*value)() const,
                                            ReportedFor reported_for = ReportedFor::training_and_test) {
  return {name, value, reported_for};
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

/// Sums over examples: M{} over none; += adds those over other examples.
///   loss            a LossSum, whose mean is minimised; reported as "loss", saved as "loss" and "examples"
///   counts_tokens   if present, the loss counts tokens, of which an example has any number
///   numbers()       what else histories report: a tuple of measured_number(name, &M::function)
///   sums()          what else checkpoints save: a tuple of measured_sum(name, &M::member)
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

/// A reported number, independent of the type of the measures.
struct ListedNumber {
  std::string name;
  double value;
  ReportedFor reported_for;
};

/// All reported numbers: the loss, then numbers().
template <Measures M>
[[nodiscard]] std::vector<ListedNumber> list_numbers(const M& sums) {
  std::vector<ListedNumber> list{{"loss", sums.loss.mean(), ReportedFor::training_and_test}};
  const auto add = [&](const MeasuredNumber<M>& number) {
    list.push_back({std::string(number.name), (sums.*number.value)(), number.reported_for});
  };
  detail::for_each_entry(M::numbers(), add);
  return list;
}

/// A saved sum, independent of the type of the measures.
struct ListedSum {
  std::string_view name;
  std::variant<Index*, double*> number;
};

/// The saved sums other than the loss: sums(). The list is valid as long as the measures live.
template <Measures M>
[[nodiscard]] std::vector<ListedSum> list_sums(M& sums) {
  return std::apply(
      [&](const auto&... entries) {
        return std::vector<ListedSum>{{entries.name, &(sums.*entries.member)}...};
      },
      M::sums());
}

}  // namespace crate
