// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "crate/core/detail/number_text.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/io/families.hpp"
#include "crate/io/families/detail/listed_tensors.hpp"
#include "crate/io/families/detail/training_checkpoint.hpp"
#include "crate/io/families/model_metadata.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/operators/losses.hpp"
#include "crate/training/measures.hpp"
#include "crate/training/recipe.hpp"
#include "crate/training/training_extent.hpp"

// What a checkpoint must have in common with the training that resumes it, and values that no training can have
// written.

namespace crate::detail {

/// All numbers of a state that are not parameters.
template <Measures M>
struct TrainingCounters {
  Index step, optimiser_steps;
  M epoch_sums;
};

template <class State>
auto counters_of(const State& state) {
  return TrainingCounters<typename State::Objective::Measures>{state.step, state.optimiser.steps, state.epoch_sums};
}

/// TrainingCounters, independent of the type of the measures.
struct ListedCounters {
  Index& step;
  Index& optimiser_steps;
  LossSum& loss;
  std::vector<ListedSum> other_sums;
};

/// The list is valid as long as the counters live.
template <Measures M>
ListedCounters list_counters(TrainingCounters<M>& counters) {
  return {counters.step, counters.optimiser_steps, counters.epoch_sums.loss, list_sums(counters.epoch_sums)};
}

/// Calls visit(name, number) for all of them.
template <class Visit>
void for_each_counter(const ListedCounters& counters, const Visit& visit) {
  visit("step", counters.step);
  visit("optimiser steps", counters.optimiser_steps);
  visit("loss", counters.loss.sum);
  visit("examples", counters.loss.count);
  for (const ListedSum& sum : counters.other_sums)
    std::visit([&](auto* number) { visit(sum.name, *number); }, sum.number);
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

inline void check_finite_counter(const TensorTable& file, std::string_view name, double found) {
  if (!std::isfinite(found))
    throw file_error(file.source(), "metadata ", quote(name), ": expected a finite number, found ", found);
}

/// Throws FileError unless the counters can come from one training. `more` is the number of steps that the optimiser
/// had already taken when the training began.
inline void check_counters(const TensorTable& file, const ListedCounters& loaded, Index more,
                           const TrainingExtent& extent) {
  constexpr Index any = std::numeric_limits<Index>::max();
  check_counter(file, "step", loaded.step, Index{0}, any);
  if (extent.steps && loaded.step > *extent.steps)
    throw file_error(file.source(),
                     "metadata 'step': the training is further already than the epochs asked for: expected at most ",
                     *extent.steps, " steps, found ", loaded.step);
  check_counter(file, "optimiser steps", loaded.optimiser_steps, Index{0}, any);
  if (loaded.optimiser_steps - loaded.step != more)
    throw file_error(file.source(), "metadata 'optimiser steps': expected ",
                     more == 0 ? "" : concatenate(more, " more than "), "'step', ", loaded.step, ", found ",
                     loaded.optimiser_steps);
  check_finite_counter(file, "loss", loaded.loss.sum);
  check_counter(file, "examples", loaded.loss.count, Index{0}, extent.examples_of_epoch_at(loaded.step));
  for (const ListedSum& sum : loaded.other_sums) {
    if (const auto* const count = std::get_if<Index*>(&sum.number))
      check_counter(file, sum.name, **count, Index{0}, loaded.loss.count);
    else
      check_finite_counter(file, sum.name, *std::get<double*>(sum.number));
  }
}

/// The length of the schedule may differ, because a training can continue for more epochs.
inline void check_recipe(const TensorTable& file, const Recipe& recipe) {
  for (const auto& [name, expected] : recipe) {
    const std::string* const found = file.find_metadata(concatenate(recipe_prefix, name));
    if (found != nullptr && (*found == expected || name == scheduled_steps_name)) continue;
    throw file_error(file.source(), "this training was begun with another recipe: ", name, ": ",
                     found != nullptr ? quote(*found) : "nothing", " in the checkpoint, ", quote(expected), " now");
  }
}

/// What a file of weights says of the model, or the reason why the weights cannot describe it; empty if it is not of a
/// published family.
template <class Model>
Metadata described_model(const Model& model) {
  if constexpr (PublishedModel<Model>) {
    try {
      return metadata_of(model);
    } catch (const OptionError& reason) { return {{std::string(unpublished_key), reason.what()}}; }
  } else if constexpr (HasPublishedPart<Model>) {
    Metadata metadata = described_model(model.published_part());
    metadata.emplace_back(published_part_key, Model::published_part_name);
    return metadata;
  } else {
    return {};
  }
}

/// Throws FileError unless the checkpoint belongs to the model with this description. Old checkpoints do not record
/// their model, or whether its head is trained.
inline void check_described_model(const TensorTable& file, const Metadata& of_model) {
  if (file.find_metadata(checkpoint_format_key) == nullptr) return;
  std::map<std::string_view, std::array<std::string_view, 2>> texts;  // of the model and of the file
  for (const auto& [key, text] : of_model) texts[key][0] = text;
  for (const auto& [key, text] : file.metadata()) texts[key][1] = text;
  const auto shown = [](std::string_view text) { return text.empty() ? "nothing" : quote(text); };
  for (const auto& [key, both] : texts)
    if (key.starts_with(model_metadata_prefix) && key != head_key && both[0] != both[1])
      throw file_error(file.source(),
                       "this training was begun with another model: ", key.substr(model_metadata_prefix.size()), ": ",
                       shown(both[1]), " in the checkpoint, ", shown(both[0]), " now");
}

/// Throws FileError if the metadata has a key that no training writes, as damaged files may. Checkpoints without a
/// checksum are all of classification, or have counts of correct examples that are zero.
inline void check_keys(const TensorTable& file) {
  check_checkpoint_format(file);
  if (file.find_metadata(checkpoint_format_key) != nullptr) return;  // the checksum guarantees that it is as written
  constexpr std::array<std::string_view, 6> counters{"step",     "optimiser steps", "loss",
                                                     "examples", "correct",         "correct in top 5"};
  for (const auto& [key, text] : file.metadata())
    if (!key.starts_with(recipe_prefix) && std::find(counters.begin(), counters.end(), key) == counters.end())
      throw file_error(file.source(), "expected a checkpoint of a training, found ", quote(key), " in its metadata");
}

/// Why the file cannot fill the parameters of a state, one reason per line.
inline std::string checkpoint_complaints(const TensorTable& file, const ParameterList& state) {
  std::string complaints;
  std::set<std::string_view> wanted;
  for (const Parameter& parameter : state) {
    wanted.insert(parameter.name);
    const Tensor* const found = file.find(parameter.name);
    const std::vector<Index> shape = shape_in_memory(parameter);
    const Dtype dtype = dtype_of_parameter(parameter);
    if (found == nullptr)
      complaints += concatenate("\n  missing: ", quote(parameter.name), " ", shape_text(shape));
    else if (found->shape != shape || found->dtype != dtype)
      complaints += concatenate("\n  ", quote(parameter.name), ": expected ", dtype_name(dtype), " ", shape_text(shape),
                                ", found ", dtype_name(found->dtype), " ", shape_text(found->shape));
  }
  for (const Tensor& tensor : file.tensors())
    if (!wanted.contains(tensor.name)) complaints += concatenate("\n  surplus: ", quote(tensor.name));
  return complaints;
}

/// The name of the first parameter with an entry that is not finite; empty if there is none.
template <class Memory>
[[nodiscard]] std::string not_finite_parameter(const std::vector<ListedParameter<Memory>>& parameters) {
  for (const auto& parameter : parameters) {
    bool finite = true;
    with_numbers(parameter, [&]<class S>(std::span<S> numbers) {
      finite = all_finite(std::span<const std::remove_const_t<S>>(numbers));
    });
    if (!finite) return parameter.name;
  }
  return {};
}

/// Throws Error unless all parameters and moments are finite.
inline void check_finite_after(Index step, const ConstParameterList& state) {
  if (const std::string name = not_finite_parameter(state); !name.empty())
    throw Error(concatenate("training: expected finite numbers, found nan or infinity in ", quote(name), " after step ",
                            step, "; a smaller rate, a warm-up or clipping may help"));
}

template <class State>
void check_state(const State& state) {
  check_finite_after(state.step, list_parameters(state));
}

}  // namespace crate::detail
