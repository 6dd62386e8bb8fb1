// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/layers/token_embedding.hpp"
#include "crate/models/labelled_tokens.hpp"

namespace run_model {

using crate::Index;

inline std::vector<Index> read_indices(const crate::Tensor& tensor) {
  const std::vector<std::int64_t> numbers = crate::integers_from(tensor);
  return {numbers.begin(), numbers.end()};
}

/// Integers of the same shape as the ids [B, N]. Throws FileError on another shape.
inline std::vector<Index> read_beside(const crate::Tensor& tensor, const crate::Tensor& ids) {
  if (tensor.shape != ids.shape)
    throw crate::tensor_error(tensor, "expected shape ", crate::shape_text(ids.shape), ", as ", crate::quote(ids.name),
                              " has, found ", crate::shape_text(tensor.shape));
  return read_indices(tensor);
}

/// Of labels, -1 where a position does not count, whether the file says -1 or -100.
inline std::vector<Index> counted_labels(std::vector<Index> labels) {
  std::replace(labels.begin(), labels.end(), Index{-100}, Index{-1});
  return labels;
}

/// How many of the tokens of each set are no padding, from a mask [B, N] of ones, then zeros.
inline std::vector<Index> read_visible(const crate::Tensor& tensor, const crate::Tensor& ids) {
  const std::vector<Index> mask = read_beside(tensor, ids);
  const Index sets = ids.shape[0], length = ids.shape[1];
  std::vector<Index> visible;
  for (Index s = 0; s < sets; ++s) {
    const std::span<const Index> of_set =
        std::span(mask).subspan(static_cast<std::size_t>(s * length), static_cast<std::size_t>(length));
    const auto kept = std::find_if(of_set.begin(), of_set.end(), [](Index m) { return m != 1; });
    if (kept == of_set.begin() || std::any_of(kept, of_set.end(), [](Index m) { return m != 0; }))
      throw crate::tensor_error(tensor, "expected ones followed by zeros for each text, found something else in text ",
                                s);
    visible.push_back(kept - of_set.begin());
  }
  return visible;
}

/// `tokens` [B, N], with `attention_mask` and `token_types` [B, N] if they are there, and labels if `of_labels` names
/// some. Throws FileError if a tensor is missing or of another shape.
inline crate::LabelledTokens read_texts(const crate::TensorTable& input, const std::string& of_labels = {}) {
  const crate::Tensor& ids = input.at("tokens");
  if (ids.shape.size() != 2 || ids.shape[0] < 1 || ids.shape[1] < 1)
    throw crate::tensor_error(ids, "expected shape [texts, tokens], none of them 0, found ",
                              crate::shape_text(ids.shape));
  crate::LabelledTokens texts{
      .ids = read_indices(ids), .layout = crate::TokenLayout::equal(ids.shape[0], ids.shape[1]), .labels = {}};
  if (const crate::Tensor* const mask = input.find("attention_mask"))
    texts.layout = texts.layout.with_visible(read_visible(*mask, ids));
  if (const crate::Tensor* const types = input.find("token_types")) texts.types = read_beside(*types, ids);
  if (!of_labels.empty()) texts.labels = counted_labels(read_indices(input.at(of_labels)));
  return texts;
}

/// Prompts [B, n], each a row of ids. Throws FileError if there is none or they are empty.
inline std::vector<std::vector<Index>> read_prompts(const crate::TensorTable& input) {
  const crate::Tensor& tensor = input.at("greedy/prompt");
  if (tensor.shape.size() != 2 || tensor.shape[0] < 1 || tensor.shape[1] < 1)
    throw crate::tensor_error(tensor, "expected shape [prompts, tokens] with at least 1 token, found ",
                              crate::shape_text(tensor.shape));
  const std::vector<Index> ids = read_indices(tensor);
  std::vector<std::vector<Index>> prompts;
  for (auto begin = ids.begin(); begin != ids.end(); begin += tensor.shape[1])
    prompts.emplace_back(begin, begin + tensor.shape[1]);
  return prompts;
}

}  // namespace run_model
