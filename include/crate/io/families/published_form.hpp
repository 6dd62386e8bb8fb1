// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/families.hpp"
#include "crate/io/families/detail/changed_weights.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

// Brings files of one family into one form: they differ in names, in superfluous tensors, and in copies
// of tied tensors.

namespace crate::detail {

[[nodiscard]] inline bool hold_the_same(const Tensor& a, const Tensor& b) {
  return a.dtype == b.dtype && a.shape == b.shape && std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin());
}

/// Whether the tensor is a copy of another to which it is tied. Throws FileError if it should be a copy, has no
/// parameter of its own, and differs.
template <PublishedFamily Family>
[[nodiscard]] bool is_tied_copy(const Tensor& tensor, const TensorTable& weights) {
  for (const TiedName& tied : tied_names<Family>()) {
    const Tensor* const original = tensor.name == tied.copy ? weights.find(tied.original) : nullptr;
    if (original == nullptr) continue;
    if (hold_the_same(tensor, *original)) return true;
    if (!our_name(Family::names, tied.copy))
      throw tensor_error(tensor, "expected the numbers of ", quote(tied.original),
                         ", to which it is tied, found different numbers");
  }
  return false;
}

/// The weights in the form from which a model of the family is filled: `found`, or `changed` if something had to be
/// changed. Throws FileError if tied tensors differ.
template <PublishedFamily Family>
[[nodiscard]] const TensorTable& in_published_form(const TensorTable& found, std::optional<TensorTable>& changed) {
  const auto weights = [&]() -> const TensorTable& { return changed ? *changed : found; };
  if (const auto others = names_in<Family>(found); others.data() != Family::names.data())
    changed = changed_weights(
        weights(), [](const Tensor&) { return false; },
        [&](Tensor& tensor) {
          if (const auto ours = our_name(others, tensor.name)) tensor.name = published_name(Family::names, *ours).name;
        });
  if constexpr (requires { Family::buffers; })
    changed = changed_weights(
        weights(),
        [](const Tensor& tensor) {
          return std::any_of(Family::buffers.begin(), Family::buffers.end(),
                             [&](std::string_view buffer) { return translate(tensor.name, buffer, "").has_value(); });
        },
        [](Tensor&) {});
  if constexpr (requires { Family::as_published(found); }) changed = Family::as_published(weights());
  if (!tied_names<Family>().empty())
    changed = changed_weights(
        weights(), [&](const Tensor& tensor) { return is_tied_copy<Family>(tensor, weights()); }, [](Tensor&) {});
  return weights();
}

/// The tensors of a model, with the copies of tied tensors that published files have.
template <PublishedFamily Family>
[[nodiscard]] std::vector<Tensor> with_tied(std::vector<Tensor> tensors) {
  const auto find = [&](std::string_view name) {
    return std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& tensor) { return tensor.name == name; });
  };
  for (const TiedName& tied : tied_names<Family>()) {
    const auto original = find(tied.original);
    if (original == tensors.end() || find(tied.copy) != tensors.end()) continue;
    Tensor copy = *original;
    copy.name = tied.copy;
    tensors.push_back(std::move(copy));
  }
  return tensors;
}

}  // namespace crate::detail
