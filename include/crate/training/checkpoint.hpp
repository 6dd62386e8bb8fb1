// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
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

// Checkpoints: an interrupted training as a safetensors file with a checksum. It holds every parameter of the state
// under its name in the state; the metadata hold the counters and sums, the recipe, and the description of the model
// that a file of weights has, too.

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

/// Sets the counters of a new training from a checkpoint with the same recipe and model. Throws FileError if recipe or
/// model differ, or if the counters are impossible.
inline void read_counters(const TensorTable& file, const ListedCounters& counters, const Metadata& model,
                          const Recipe& recipe, const TrainingExtent& extent) {
  const Index more = counters.optimiser_steps - counters.step;
  for_each_counter(counters, [&](std::string_view name, auto& number) { read_counter(file, name, number); });
  check_keys(file);
  check_recipe(file, recipe);
  check_described_model(file, model);
  check_counters(file, counters, more, extent);
}

/// Fills the parameters of a state. Throws FileError as load_checkpoint; some parameters may be filled by then.
inline void fill_state(const TensorTable& file, const ParameterList& state) {
  const std::string complaints = checkpoint_complaints(file, state);
  if (!complaints.empty()) throw file_error(file.source(), "the checkpoint does not fit the training:", complaints);
  for (const Parameter& parameter : state)
    with_numbers(parameter, [&](auto numbers) { copy_values(file.at(parameter.name), numbers); });
  if (const std::string name = not_finite_parameter(state); !name.empty())
    throw file_error(file.source(), "tensor ", quote(name), ": expected finite numbers, found nan or infinity");
}

}  // namespace detail

/// Writes a training state, its recipe and `notes` (any bytes) atomically: after a crash the file is the old or the new
/// one. A checkpoint can be read wherever weights are: as the moving average if there is one, otherwise as the model.
/// Throws Error if a parameter or a moment is not finite, FileError if the file cannot be written.
template <class State>
void save_checkpoint(const std::filesystem::path& path, const State& state, const Recipe& recipe,
                     const Metadata& notes = {}) {
  auto counters = detail::counters_of(state);
  detail::write_checkpoint(path, list_parameters(state), detail::list_counters(counters),
                           detail::described_model(state.model), recipe, notes);
}

/// Fills a state, whose structure determines what is expected, from a checkpoint. Throws FileError that lists all
/// parameters that are missing, surplus, or of another shape or type, or names the impossible counter, the parameter
/// that is not finite, or the difference in recipe or model; the state is then unchanged. The length of the schedule
/// may differ.
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

/// Whether a new training must not replace this path: true if anything but a checkpoint of step 0 is there.
[[nodiscard]] inline bool holds_training(const std::filesystem::path& path) {
  if (!path_exists(path)) return false;
  try {
    const TensorTable file = read_safetensors(path);
    const std::string* const step = file.find_metadata("step");
    return !is_checkpoint(file) || step == nullptr || *step != "0";
  } catch (const FileError&) { return true; }
}

/// The notes that were given to save_checkpoint. Throws FileError if the file is not a checkpoint.
[[nodiscard]] inline Metadata checkpoint_notes(const TensorTable& file) {
  Index step = 0;
  detail::read_counter(file, "step", step);
  detail::check_keys(file);
  return detail::notes_of(file);
}

/// The length of the checkpoint's schedule in steps; nothing if the rate was constant.
[[nodiscard]] inline std::optional<Index> scheduled_steps(const TensorTable& file) {
  const std::string name = concatenate(detail::recipe_prefix, detail::scheduled_steps_name);
  if (file.find_metadata(name) == nullptr) return std::nullopt;
  Index steps = 0;
  detail::read_counter(file, name, steps);
  return steps;
}

}  // namespace crate
