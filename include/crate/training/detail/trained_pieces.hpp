// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"
#include "crate/core/threads.hpp"

// Walks over all trainable numbers of models of one structure side by side, in pieces that threads share.

namespace crate::detail {

template <class Model>
using ScalarPointer = std::conditional_t<std::is_const_v<Model>, const typename std::remove_const_t<Model>::Scalar*,
                                         typename std::remove_const_t<Model>::Scalar*>;

/// Consecutive numbers of one parameter, and the same ones of other models.
template <class... Models>
struct TrainedPiece {
  bool in_vector;  ///< whether the parameter is one-dimensional
  Index size;
  std::tuple<ScalarPointer<Models>...> data;
};

/// Pieces that cover the trainable parameters of the first model, cut by sizes alone.
/// Throws ShapeError if the models differ in structure or in the size of a parameter.
template <class Model, class... Others>
[[nodiscard]] auto trained_pieces(Model& model, Others&... others) {
  constexpr Index piece_size = 16384;
  std::vector<TrainedPiece<Model, Others...>> pieces;
  const auto cut = [&]([[maybe_unused]] std::string_view name, ParameterKind kind, auto& parameter, auto&... same) {
    (check_shape(name, same, parameter.rows(), parameter.cols()), ...);
    if (kind != ParameterKind::trainable) return;
    constexpr bool in_vector = std::remove_cvref_t<decltype(parameter)>::IsVectorAtCompileTime;
    for (Index first = 0; first < parameter.size(); first += piece_size)
      pieces.push_back({in_vector,
                        std::min(piece_size, parameter.size() - first),
                        {parameter.data() + first, (same.data() + first)...}});
  };
  for_each_parameter(cut, model, others...);
  return pieces;
}

template <class S>
auto as_array(S* data, Index size) {
  using Numbers = Eigen::Array<std::remove_const_t<S>, Eigen::Dynamic, 1>;
  return Eigen::Map<std::conditional_t<std::is_const_v<S>, const Numbers, Numbers>>(data, size);
}

/// Calls visit(in_vector, numbers of the first model, same of each other...) for all trainable numbers, so few at a
/// time that they stay in the first cache from one expression to the next: every number comes from memory once.
template <class Visit, class... Models>
void for_each_trained(Threads& threads, const Visit& visit, Models&... models) {
  constexpr Index block_size = 1024;
  const auto pieces = trained_pieces(models...);
  threads.for_each(static_cast<Index>(pieces.size()), [&](Index i, int) {
    const auto& piece = pieces[static_cast<std::size_t>(i)];
    for (Index first = 0; first < piece.size; first += block_size) {
      const Index size = std::min(block_size, piece.size - first);
      std::apply([&](auto*... data) { visit(piece.in_vector, as_array(data + first, size)...); }, piece.data);
    }
  });
}

}  // namespace crate::detail
