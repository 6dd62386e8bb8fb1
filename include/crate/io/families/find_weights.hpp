// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/families/detail/training_checkpoint.hpp"
#include "crate/io/families/detail/weight_sets.hpp"
#include "crate/io/formats/detail/is_among.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

namespace crate {

/// Finds the weights of the model among the tensors of a file, and gives them the model's own names. Prefixes (dicts
/// such as 'state_dict', wrappers such as 'module.' or 'backbone.') and infixes ('_orig_mod.') around the names of a
/// published family are recognised and removed. The rest of the file is left out, such as the state of an optimiser, or
/// heads next to a 'backbone.'. For weights of other families, the dict that holds them is recognised by its name or as
/// the only one, and known wrappers are removed. For a checkpoint of our own training, the result is the moving average
/// if there is one, otherwise the model. Metadata stay.
///
/// `weights_at` selects one of several sets of weights by its dict or prefix, such as "teacher" or "model_ema"; "." is
/// the top level. Throws FileError that lists the sets if there are several, or if there is none.
[[nodiscard]] TensorTable find_weights(TensorTable table, std::optional<std::string_view> weights_at = {});

namespace detail {

/// Usual names of dicts of weights and of wrappers.
inline constexpr std::array<std::string_view, 20> weight_nestings = {
    "state_dict",     "model",          "model_state", "model_state_dict", "model_weights",
    "module",         "_orig_mod",      "net",         "network",          "weights",
    "params",         "parameters",     "ema",         "model_ema",        "ema_model",
    "ema_state_dict", "state_dict_ema", "student",     "teacher",          "encoder_state_dict"};

[[nodiscard]] inline std::string_view first_part(std::string_view path) { return path.substr(0, path.find('.')); }
[[nodiscard]] inline std::string_view last_part(std::string_view path) { return path.substr(path.rfind('.') + 1); }

/// Tensors of one dict, in the order of the table.
using WeightGroup = std::vector<FoundWeight>;

/// Groups by the path of their dict.
using WeightGroups = std::map<std::string_view, WeightGroup>;

/// The path of dicts in the tensor's name between `begin` and its key.
[[nodiscard]] inline std::string_view containers_from(const Tensor& tensor, std::size_t begin) {
  if (tensor.key_begin <= begin) return {};
  return std::string_view(tensor.name).substr(begin, tensor.key_begin - 1 - begin);
}

/// The only group that is not training state or, of several, the one with a usual name. Throws FileError if there
/// is none, or more than one.
[[nodiscard]] inline WeightGroup choose_group(WeightGroups groups, const TensorTable& table) {
  std::erase_if(groups, [](const auto& group) { return has_training_state(group.first); });
  const auto is_known = [](const auto& group) { return is_among(weight_nestings, last_part(group.first)); };
  if (std::any_of(groups.begin(), groups.end(), is_known))
    std::erase_if(groups, [&](const auto& group) { return !is_known(group); });
  if (groups.size() == 1) return std::move(groups.begin()->second);

  std::vector<std::pair<std::string_view, std::size_t>> places;
  for (const auto& [name, group] : groups) places.emplace_back(name, group.size());
  throw file_error(table.source(), "expected one dict with the weights of a model, found ", list_places(places),
                   places.empty() ? "" : how_to_choose);
}

/// The dicts of tensors inside `weights_at`, by path; only the top level if that is ".".
[[nodiscard]] inline WeightGroups groups_by_container(const TensorTable& table,
                                                      std::optional<std::string_view> weights_at) {
  WeightGroups groups;
  const bool top_level = weights_at && path_of(*weights_at) == ".";
  const std::string path = !weights_at || top_level ? "" : std::string(*weights_at) + '.';
  for (std::size_t i = 0; i < table.tensors().size(); ++i) {
    const Tensor& tensor = table.tensors()[i];
    if (!tensor.name.starts_with(path) || (top_level && tensor.key_begin > 0)) continue;
    groups[containers_from(tensor, path.size())].push_back({i, std::max<std::size_t>(tensor.key_begin, path.size())});
  }
  return groups;
}

/// Divides a group by the next part of its names, if all of these are usual names; otherwise returns nothing.
[[nodiscard]] inline WeightGroups groups_by_prefix(const WeightGroup& group, const TensorTable& table) {
  WeightGroups groups;
  for (const FoundWeight& weight : group) {
    const std::string_view rest = std::string_view(table.tensors()[weight.position].name).substr(weight.begin);
    const std::string_view prefix = first_part(rest);
    if (prefix.size() == rest.size() || !(is_among(weight_nestings, prefix) || is_among(training_state, prefix)))
      return {};
    groups[prefix].push_back({weight.position, weight.begin + prefix.size() + 1});
  }
  return groups;
}

/// Finds the weights of a model of no published family.
[[nodiscard]] inline WeightGroup find_group(const TensorTable& table, std::optional<std::string_view> weights_at) {
  WeightGroup weights = choose_group(groups_by_container(table, weights_at), table);
  for (auto groups = groups_by_prefix(weights, table); !groups.empty(); groups = groups_by_prefix(weights, table))
    weights = choose_group(std::move(groups), table);
  return weights;
}

/// Throws FileError that lists the sets of published weights if no tensor is at the wanted place.
inline void check_place(const TensorTable& table, const WeightSets& sets, std::optional<std::string_view> weights_at) {
  const auto& tensors = table.tensors();
  if (weights_at && !sets.empty() && std::none_of(tensors.begin(), tensors.end(), [&](const Tensor& tensor) {
        return is_at(tensor.name, *weights_at);
      }))
    throw file_error(table.source(), "expected weights at ", quote(*weights_at), ", found none there, but at ",
                     sets.list());
}

[[nodiscard]] inline WeightGroup find_all_weights(const TensorTable& table,
                                                  std::optional<std::string_view> weights_at) {
  const WeightSets sets(table);
  if (const auto set = sets.choose(weights_at)) return sets.weights_of(*set);
  check_place(table, sets, weights_at);
  return find_group(table, weights_at);
}

}  // namespace detail

inline TensorTable find_weights(TensorTable table, std::optional<std::string_view> weights_at) {
  if (detail::is_training_checkpoint(table)) return detail::weights_of_checkpoint(table, weights_at);
  detail::WeightGroup weights = detail::find_all_weights(table, weights_at);
  const std::string source = table.source();
  Metadata metadata = table.metadata();
  std::shared_ptr<const void> owner = table.owner();
  std::vector<Tensor> tensors = std::move(table).take_tensors();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    detail::FoundWeight& weight = weights[i];
    if (weight.position != i) tensors[i] = std::move(tensors[weight.position]);
    if (weight.renamed)
      tensors[i].name = *std::move(weight.renamed);
    else
      tensors[i].name.erase(0, weight.begin);
    tensors[i].key_begin = 0;
  }
  tensors.resize(weights.size());
  return TensorTable(source, std::move(tensors), std::move(metadata), std::move(owner));
}

}  // namespace crate
