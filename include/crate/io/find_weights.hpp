// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/detail/training_checkpoint.hpp"
#include "crate/io/file_error.hpp"
#include "crate/io/tensor.hpp"

namespace crate {

/// The weights of the model among the tensors of a file, under the model's own names: the dict that holds them is found among
/// nested ones ('state_dict', 'model', ...), the state of optimisers and schedules left out, and what wrappers put in front of
/// every name ('module.', '_orig_mod.', any number of times) taken off. `nesting` names the dict where a file holds several, as
/// in "teacher". Metadata stays. Of a checkpoint of our own training it is the moving average if there is one, else the
/// model.
/// Throws FileError, with the candidates, if there is not exactly one such dict.
[[nodiscard]] TensorTable find_weights(const TensorTable& table, std::string_view nesting = "");

namespace detail {

/// Names of dicts of weights and of wrappers around models.
inline constexpr std::array<std::string_view, 20> weight_nestings = {
    "state_dict",     "model",          "model_state", "model_state_dict", "model_weights",
    "module",         "_orig_mod",      "net",         "network",          "weights",
    "params",         "parameters",     "ema",         "model_ema",        "ema_model",
    "ema_state_dict", "state_dict_ema", "student",     "teacher",          "encoder_state_dict"};

/// Names of dicts that a training program keeps beside them.
inline constexpr std::array<std::string_view, 14> training_state = {"optimizer",
                                                                    "optimizer_state",
                                                                    "optimizer_state_dict",
                                                                    "optim",
                                                                    "optimizers",
                                                                    "optimizer_states",
                                                                    "opt",
                                                                    "scheduler",
                                                                    "lr_scheduler",
                                                                    "scheduler_state_dict",
                                                                    "lr_schedulers",
                                                                    "scaler",
                                                                    "loss_scaler",
                                                                    "rng_state"};

template <class Names>
[[nodiscard]] bool is_among(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

[[nodiscard]] inline std::string_view first_part(std::string_view path) { return path.substr(0, path.find('.')); }
[[nodiscard]] inline std::string_view last_part(std::string_view path) { return path.substr(path.rfind('.') + 1); }

[[nodiscard]] inline bool has_training_state(std::string_view path) {
  while (!path.empty()) {
    const std::string_view part = first_part(path);
    if (is_among(training_state, part)) return true;
    path.remove_prefix(std::min(part.size() + 1, path.size()));
  }
  return false;
}

/// Tensors of one dict: the first `begin` bytes of their names are its path and prefixes.
using WeightGroup = std::vector<std::pair<const Tensor*, std::size_t>>;

/// Groups by the name of a dict.
using WeightGroups = std::map<std::string_view, WeightGroup>;

/// The part of the tensor's name between `begin` and its key: the dicts that lie there.
[[nodiscard]] inline std::string_view containers_from(const Tensor& tensor, std::size_t begin) {
  if (tensor.key_begin <= begin) return {};
  return std::string_view(tensor.name).substr(begin, tensor.key_begin - 1 - begin);
}

/// The one group left without training state; of several, the one known by its name. Throws FileError if there is none or more.
[[nodiscard]] inline WeightGroup choose_weights(WeightGroups groups, const TensorTable& table) {
  std::erase_if(groups, [](const auto& group) { return has_training_state(group.first); });
  WeightGroups known = groups;
  std::erase_if(known, [](const auto& group) { return !is_among(weight_nestings, last_part(group.first)); });
  const WeightGroups& candidates = known.empty() ? groups : known;
  if (candidates.size() == 1) return candidates.begin()->second;

  std::string names;
  for (const auto& [name, group] : candidates)
    names += concatenate(names.empty() ? "" : ", ", name.empty() ? "the top level" : quote(name), " (", group.size(),
                         " tensors)");
  throw file_error(table.source(), "expected one dict with the weights of a model, found ",
                   names.empty() ? "none" : names);
}

/// The dicts inside `nesting` that tensors lie in, by path.
[[nodiscard]] inline WeightGroups groups_by_container(const TensorTable& table, std::string_view nesting) {
  WeightGroups groups;
  const std::string path = nesting.empty() ? "" : std::string(nesting) + '.';
  for (const Tensor& tensor : table.tensors())
    if (tensor.name.starts_with(path))
      groups[containers_from(tensor, path.size())].emplace_back(&tensor, std::max(tensor.key_begin, path.size()));
  return groups;
}

/// The group, divided by the next part of the names, if each of those names a nesting; otherwise nothing.
[[nodiscard]] inline WeightGroups groups_by_prefix(const WeightGroup& group) {
  WeightGroups groups;
  for (const auto& [tensor, begin] : group) {
    const std::string_view rest = std::string_view(tensor->name).substr(begin);
    const std::string_view prefix = first_part(rest);
    if (prefix.size() == rest.size() || !(is_among(weight_nestings, prefix) || is_among(training_state, prefix)))
      return {};
    groups[prefix].emplace_back(tensor, begin + prefix.size() + 1);
  }
  return groups;
}

}  // namespace detail

inline TensorTable find_weights(const TensorTable& table, std::string_view nesting) {
  if (detail::is_training_checkpoint(table)) return detail::weights_of_checkpoint(table, nesting);
  detail::WeightGroup weights = detail::choose_weights(detail::groups_by_container(table, nesting), table);
  for (auto groups = detail::groups_by_prefix(weights); !groups.empty(); groups = detail::groups_by_prefix(weights))
    weights = detail::choose_weights(std::move(groups), table);

  std::vector<Tensor> tensors;
  tensors.reserve(weights.size());
  for (const auto& [tensor, begin] : weights) {
    tensors.push_back(*tensor);
    tensors.back().name = tensor->name.substr(begin);
    tensors.back().key_begin = 0;
  }
  return TensorTable(table.source(), std::move(tensors), table.metadata(), std::make_shared<const TensorTable>(table));
}

}  // namespace crate
