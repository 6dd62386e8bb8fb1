// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), beside Eigen.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/parameter_list.hpp"
#include "crate/io/families/detail/listed_tensors.hpp"
#include "crate/io/families/detail/training_checkpoint.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/training/detail/checkpoint_checks.hpp"
#include "crate/training/detail/checkpoint_notes.hpp"
#include "crate/training/recipe.hpp"
#include "crate/training/training_extent.hpp"
#include "crate/training/training_state.hpp"

// A training that was interrupted, in a safetensors file with a checksum: every parameter of the state under the name
// it has in the state; as metadata its counters and sums, the recipe, and what a file of weights says of the model.

namespace crate {

namespace detail {

inline void write_checkpoint(const std::filesystem::path& path, const ConstParameterList& state,
                             const ListedCounters& counters, const Metadata& model, const Recipe& recipe,
                             const Metadata& notes) {
  check_finite_after(counters.step, state);
  std::vector<Tensor> tensors;
  for (const ConstParameter& parameter : state)
    tensors.push_back(tensor_of_parameter(parameter.name, shape_in_memory(parameter), parameter));
  Metadata metadata{{std::string(checkpoint_format_key), std::string(checkpoint_format)}};
  for_each_counter(counters,
                   [&](std::string_view name, auto number) { metadata.emplace_back(name, exact_text(number)); });
  for (const auto& [name, text] : recipe) metadata.emplace_back(concatenate(recipe_prefix, name), text);
  for (const auto& [name, text] : notes) metadata.push_back(entry_of_note(name, text));
  metadata.insert(metadata.end(), model.begin(), model.end());
  write_checked_safetensors(path, tensors, metadata);
}

/// Makes the counters of a training that begins those of a checkpoint that fits the recipe and the model. Throws
/// FileError if it does not, or if there can be no such counters.
inline void read_counters(const TensorTable& file, const ListedCounters& counters, const Metadata& model,
                          const Recipe& recipe, const TrainingExtent& extent) {
  const Index more = counters.optimiser_steps - counters.step;
  for_each_counter(counters, [&](std::string_view name, auto& number) { read_counter(file, name, number); });
  check_keys(file);
  check_recipe(file, recipe);
  check_described_model(file, model);
  check_counters(file, counters, more, extent);
}

/// Fills the parameters of a state. Throws FileError as load_checkpoint; then some may be filled.
inline void fill_state(const TensorTable& file, const ParameterList& state) {
  const std::string complaints = checkpoint_complaints(file, state);
  if (!complaints.empty()) throw file_error(file.source(), "the checkpoint does not fit the training:", complaints);
  for (const Parameter& parameter : state)
    with_numbers(parameter, [&](auto numbers) { copy_values(file.at(parameter.name), numbers); });
  if (const std::string name = not_finite_parameter(state); !name.empty())
    throw file_error(file.source(), "tensor ", quote(name), ": expected finite numbers, found nan or infinity");
}

}  // namespace detail

/// Writes a training state, its recipe and `notes`, whole or not at all: after a crash at any byte the file is the one
/// before or the new one. It is read wherever weights are: as the moving average if there is one, otherwise as the
/// model. A note may be any bytes.
/// Throws Error if a parameter or a moment is not finite, FileError if the file cannot be written.
template <class State>
void save_checkpoint(const std::filesystem::path& path, const State& state, const Recipe& recipe,
                     const Metadata& notes = {}) {
  auto counters = detail::counters_of(state);
  detail::write_checkpoint(path, list_parameters(state), detail::list_counters(counters),
                           detail::described_model(state.model), recipe, notes);
}

/// Fills a state from a checkpoint; its structure says what is expected. Throws FileError that lists every parameter
/// that is missing, surplus or of another shape or type, or names the counter that cannot be, the parameter that is not
/// finite, or where recipe or model differ; then the state is as before. The length of the schedule may differ.
template <class State>
void load_checkpoint(const TensorTable& file, State& state, const Recipe& recipe, const TrainingExtent& extent = {}) {
  auto counters = detail::counters_of(state);
  detail::read_counters(file, detail::list_counters(counters), detail::described_model(state.model), recipe, extent);
  State loaded = state;
  detail::fill_state(file, list_parameters(loaded));
  loaded.step = counters.step;
  loaded.optimiser.steps = counters.optimiser_steps;
  loaded.epoch_sums = counters.epoch_sums;
  state = std::move(loaded);
}

template <class State>
void load_checkpoint(const std::filesystem::path& path, State& state, const Recipe& recipe,
                     const TrainingExtent& extent = {}) {
  load_checkpoint(read_safetensors(path), state, recipe, extent);
}

/// Whether a table is that of a checkpoint.
[[nodiscard]] inline bool is_checkpoint(const TensorTable& file) { return detail::is_training_checkpoint(file); }

/// Whether there is something under this path that a new training must not replace: anything but a checkpoint in which
/// no step was taken.
[[nodiscard]] inline bool holds_training(const std::filesystem::path& path) {
  if (!path_exists(path)) return false;
  try {
    const TensorTable file = read_safetensors(path);
    const std::string* const step = file.find_metadata("step");
    return !is_checkpoint(file) || step == nullptr || *step != "0";
  } catch (const FileError&) { return true; }
}

/// The notes of a checkpoint, as they were given to save_checkpoint. Throws FileError unless it is one.
[[nodiscard]] inline Metadata checkpoint_notes(const TensorTable& file) {
  Index step = 0;
  detail::read_counter(file, "step", step);
  detail::check_keys(file);
  return detail::notes_of(file);
}

/// Over how many steps the schedule of a checkpoint was laid; nothing if it was constant.
[[nodiscard]] inline std::optional<Index> scheduled_steps(const TensorTable& file) {
  const std::string name = concatenate(detail::recipe_prefix, detail::scheduled_steps_name);
  if (file.find_metadata(name) == nullptr) return std::nullopt;
  Index steps = 0;
  detail::read_counter(file, name, steps);
  return steps;
}

}  // namespace crate
