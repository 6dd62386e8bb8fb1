// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), beside Eigen.
#pragma once

#include <charconv>
#include <cstddef>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/part.hpp"
#include "crate/io/file_error.hpp"
#include "crate/io/safetensors.hpp"
#include "crate/io/tensor.hpp"
#include "crate/training/recipe.hpp"
#include "crate/training/training_state.hpp"

// A training that was interrupted, in a safetensors file: every parameter of the state under the name it has in the state, its
// counters and sums, and the recipe, as metadata.

namespace crate {

namespace detail {

inline constexpr std::string_view recipe_prefix = "recipe: ";

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
  const char* const end = text->data() + text->size();
  if (const auto [read, failure] = std::from_chars(text->data(), end, number); failure != std::errc() || read != end)
    throw file_error(file.source(), "metadata ", quote(name), ": expected a number, found ", quote(*text));
}

inline void check_recipe(const TensorTable& file, const Recipe& recipe) {
  for (const auto& [name, expected] : recipe) {
    const std::string* const found = file.find_metadata(concatenate(recipe_prefix, name));
    if (found == nullptr || *found != expected)
      throw file_error(file.source(), "this training was begun with another recipe: ", name, ": expected ",
                       quote(expected), ", found ", found != nullptr ? quote(*found) : "nothing");
  }
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

}  // namespace detail

/// Writes a training state and its recipe, whole or not at all: after a crash at any byte the file is the one before or the
/// new one. Throws FileError if it cannot be written.
template <class State>
void save_checkpoint(const std::filesystem::path& path, const State& state, const Recipe& recipe) {
  std::vector<Tensor> tensors;
  const auto add = [&](std::string_view name, ParameterKind, const auto& parameter) {
    using S = typename std::remove_cvref_t<decltype(parameter)>::Scalar;
    tensors.push_back(tensor_of(std::string(name), detail::shape_in_memory(parameter),
                                std::span<const S>(parameter.data(), static_cast<std::size_t>(parameter.size()))));
  };
  for_each_parameter(add, state);
  Metadata metadata;
  detail::for_each_counter(
      state, [&](std::string_view name, auto number) { metadata.emplace_back(name, detail::exact_text(number)); });
  for (const auto& [name, text] : recipe) metadata.emplace_back(concatenate(detail::recipe_prefix, name), text);
  write_safetensors(path, tensors, metadata);
}

/// Fills a state from a checkpoint; its structure says what is expected. Throws FileError that lists every parameter that is
/// missing, surplus or of another shape or type, or names where the recipe differs; then the state is as before.
template <class State>
void load_checkpoint(const std::filesystem::path& path, State& state, const Recipe& recipe) {
  const TensorTable file = read_safetensors(path);
  State loaded = state;
  detail::for_each_counter(loaded,
                           [&](std::string_view name, auto& number) { detail::read_counter(file, name, number); });
  detail::check_recipe(file, recipe);
  const std::string complaints = detail::checkpoint_complaints(file, loaded);
  if (!complaints.empty()) throw file_error(file.source(), "the checkpoint does not fit the training:", complaints);
  const auto copy = [&](std::string_view name, ParameterKind, auto& parameter) {
    using S = typename std::remove_cvref_t<decltype(parameter)>::Scalar;
    copy_values(file.at(name), std::span<S>(parameter.data(), static_cast<std::size_t>(parameter.size())));
  };
  for_each_parameter(copy, loaded);
  state = std::move(loaded);
}

}  // namespace crate
