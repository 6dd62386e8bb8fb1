// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), beside Eigen.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"
#include "crate/io/checkpoint.hpp"
#include "crate/io/detail/number_text.hpp"
#include "crate/io/detail/training_checkpoint.hpp"
#include "crate/io/file_error.hpp"
#include "crate/io/tensor.hpp"
#include "crate/training/objective.hpp"
#include "crate/training/recipe.hpp"
#include "crate/training/training_extent.hpp"

// What a checkpoint and the training that it is loaded into must agree in, and what no training can have written.

namespace crate::detail {

/// A shape in which the entries lie row-major as they do in memory.
template <class Parameter>
std::vector<Index> shape_in_memory(const Parameter& parameter) {
  if constexpr (Parameter::IsVectorAtCompileTime) return {parameter.size()};
  if constexpr (Parameter::IsRowMajor) return {parameter.rows(), parameter.cols()};
  return {parameter.cols(), parameter.rows()};
}

/// Calls visit(name, number) for every number of a state that is no parameter.
template <class State, class Visit>
void for_each_counter(State& state, const Visit& visit) {
  visit("step", state.step);
  visit("optimiser steps", state.optimiser.steps);
  visit("loss", state.epoch_sums.loss.sum);
  visit("examples", state.epoch_sums.loss.count);
  visit("correct", state.epoch_sums.correct);
  visit("correct in top 5", state.epoch_sums.correct_in_top_5);
}

template <class Number>
void read_counter(const TensorTable& file, std::string_view name, Number& number) {
  const std::string* const text = file.find_metadata(name);
  if (text == nullptr)
    throw file_error(file.source(), "expected a checkpoint of a training with ", quote(name), " in its metadata");
  const auto found = number_from_text<Number>(*text);
  if (!found) throw file_error(file.source(), "metadata ", quote(name), ": expected a number, found ", quote(*text));
  number = *found;
}

/// Throws FileError unless smallest <= found <= largest.
template <class Number>
void check_counter(const TensorTable& file, std::string_view name, Number found, Number smallest, Number largest) {
  if (found >= smallest && found <= largest) return;
  const std::string expected = largest == std::numeric_limits<Number>::max()
                                   ? concatenate("at least ", smallest)
                                   : concatenate("a number from ", smallest, " to ", largest);
  throw file_error(file.source(), "metadata ", quote(name), ": expected ", expected, ", found ", found);
}

/// Throws FileError unless the counters are those of one training, which `state` began.
template <class State>
void check_counters(const TensorTable& file, const State& loaded, const State& state, const TrainingExtent& extent) {
  constexpr Index any = std::numeric_limits<Index>::max();
  const Measures& sums = loaded.epoch_sums;
  check_counter(file, "step", loaded.step, Index{0}, any);
  if (extent.steps && loaded.step > *extent.steps)
    throw file_error(file.source(),
                     "metadata 'step': the training is further already than the epochs asked for: expected at most ",
                     *extent.steps, " steps, found ", loaded.step);
  check_counter(file, "optimiser steps", loaded.optimiser.steps, Index{0}, any);
  if (const Index more = state.optimiser.steps - state.step; loaded.optimiser.steps - loaded.step != more)
    throw file_error(file.source(), "metadata 'optimiser steps': expected ",
                     more == 0 ? "" : concatenate(more, " more than "), "'step', ", loaded.step, ", found ",
                     loaded.optimiser.steps);
  if (!std::isfinite(sums.loss.sum))
    throw file_error(file.source(), "metadata 'loss': expected a finite number, found ", sums.loss.sum);
  check_counter(file, "examples", sums.loss.count, Index{0}, extent.examples_of_epoch_at(loaded.step));
  check_counter(file, "correct in top 5", sums.correct_in_top_5, Index{0}, sums.loss.count);
  check_counter(file, "correct", sums.correct, Index{0}, sums.correct_in_top_5);
}

/// The length of the schedule may differ: a training can go on for more epochs.
inline void check_recipe(const TensorTable& file, const Recipe& recipe) {
  for (const auto& [name, expected] : recipe) {
    const std::string* const found = file.find_metadata(concatenate(recipe_prefix, name));
    if (found != nullptr && (*found == expected || name == scheduled_steps_name)) continue;
    throw file_error(file.source(), "this training was begun with another recipe: ", name, ": expected ",
                     quote(expected), ", found ", found != nullptr ? quote(*found) : "nothing");
  }
}

/// What a file of weights says of the model, or why its weights could not be told; nothing if it is of no published
/// family.
template <class Model>
Metadata described_model(const Model& model) {
  if constexpr (requires { PublishedFormat<Model>::family; }) {
    try {
      return metadata_of(model);
    } catch (const OptionError& reason) { return {{std::string(unpublished_key), reason.what()}}; }
  } else {
    return {};
  }
}

/// Throws FileError unless the checkpoint is of such a model. Old ones do not say of which they are.
template <class Model>
void check_described_model(const TensorTable& file, const Model& model) {
  if (file.find_metadata(checkpoint_format_key) == nullptr) return;
  std::map<std::string_view, std::array<std::string_view, 2>> texts;  // as the model and the file have them
  const Metadata of_model = described_model(model);
  for (const auto& [key, text] : of_model) texts[key][0] = text;
  for (const auto& [key, text] : file.metadata()) texts[key][1] = text;
  const auto shown = [](std::string_view text) { return text.empty() ? "nothing" : quote(text); };
  for (const auto& [key, both] : texts)
    if (key.starts_with(model_metadata_prefix) && both[0] != both[1])
      throw file_error(file.source(),
                       "this training was begun with another model: ", key.substr(model_metadata_prefix.size()),
                       ": expected ", shown(both[0]), ", found ", shown(both[1]));
}

/// Throws FileError unless all texts of the checkpoint are of those that are written; what is damaged may be called
/// anything.
inline void check_keys(const TensorTable& file) {
  check_checkpoint_format(file);
  if (file.find_metadata(checkpoint_format_key) != nullptr) return;  // by its checksum it is as it was written
  constexpr std::array<std::string_view, 6> counters{"step",     "optimiser steps", "loss",
                                                     "examples", "correct",         "correct in top 5"};
  for (const auto& [key, text] : file.metadata())
    if (!key.starts_with(recipe_prefix) && std::find(counters.begin(), counters.end(), key) == counters.end())
      throw file_error(file.source(), "expected a checkpoint of a training, found ", quote(key), " in its metadata");
}

/// What keeps the file from filling the state, a line each.
template <class State>
std::string checkpoint_complaints(const TensorTable& file, const State& state) {
  std::string complaints;
  std::set<std::string, std::less<>> wanted;
  const auto compare = [&](std::string_view name, ParameterKind, const auto& parameter) {
    using S = typename std::remove_cvref_t<decltype(parameter)>::Scalar;
    wanted.emplace(name);
    const Tensor* const found = file.find(name);
    const std::vector<Index> shape = shape_in_memory(parameter);
    if (found == nullptr)
      complaints += concatenate("\n  missing: ", quote(name), " ", shape_text(shape));
    else if (found->shape != shape || found->dtype != dtype_of<S>)
      complaints += concatenate("\n  ", quote(name), ": expected ", dtype_name(*dtype_of<S>), " ", shape_text(shape),
                                ", found ", dtype_name(found->dtype), " ", shape_text(found->shape));
  };
  for_each_parameter(compare, state);
  for (const Tensor& tensor : file.tensors())
    if (!wanted.contains(tensor.name)) complaints += concatenate("\n  surplus: ", quote(tensor.name));
  return complaints;
}

/// The name of the first parameter that has an entry which is no finite number; empty if there is none.
template <class State>
[[nodiscard]] std::string not_finite_parameter(const State& state) {
  std::string first;
  for_each_parameter(
      [&](std::string_view name, ParameterKind, const auto& parameter) {
        if (first.empty() && !parameter.allFinite()) first = name;
      },
      state);
  return first;
}

/// Throws Error unless all parameters and moments are finite.
template <class State>
void check_state(const State& state) {
  if (const std::string name = not_finite_parameter(state); !name.empty())
    throw Error(concatenate("training: expected finite numbers, found others in ", quote(name), " after step ",
                            state.step, "; a smaller rate, a warm-up or clipping may help"));
}

}  // namespace crate::detail
