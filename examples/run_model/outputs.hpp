// SPDX-License-Identifier: MIT
#pragma once

#include <cctype>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/token_sets.hpp"
#include "crate/io/formats/safetensors.hpp"

namespace run_model {

using crate::Index;
using crate::Matrix;

/// Under which name a half-step is written: "layers.0.half" for "layers.0.compress" or "layers.0.attend",
/// "layers.0.out" for "layers.0.sparsify" or "layers.0.transform", "decoder_layers.0..." in a decoder, "tokens" for
/// itself; empty for what is not.
inline std::string output_name(std::string_view half_step) {
  if (half_step == "tokens") return "tokens";
  std::string name(half_step);
  if (name.starts_with("encoder.")) name.erase(0, 8);
  if (name.starts_with("decoder.")) name.replace(0, 8, "decoder_");
  const std::size_t last_dot = name.rfind('.');
  const bool is_of_block = last_dot != std::string::npos && last_dot > 0 && std::isdigit(name[last_dot - 1]) != 0;
  if (!is_of_block) return {};  // but inside of one, as the map "expand" of an MLP is
  const std::string_view part = std::string_view(name).substr(last_dot + 1);
  const bool first_half = part == "compress" || part == "attend" || part == "expand",
             second_half = part == "sparsify" || part == "transform" || part == "decompress";
  if (!first_half && !second_half) return {};
  return name.substr(0, last_dot) + (first_half ? ".half" : ".out");
}

/// Named tensors to be written together.
class Outputs {
 public:
  /// d x (sets N) tokens as [sets, N, d]. All sets have one length.
  template <class S>
  void add_tokens(const std::string& name, const Matrix<S>& tokens, const crate::TokenLayout& layout) {
    add(name, {layout.sets(), layout.length(0), tokens.rows()}, values_of(tokens));
  }

  /// n x B as [B, n].
  template <class S>
  void add_rows(const std::string& name, const Matrix<S>& columns) {
    add(name, {columns.cols(), columns.rows()}, values_of(columns));
  }

  template <class S>
  void add_vector(const std::string& name, const std::vector<S>& values) {
    add(name, {static_cast<Index>(values.size())}, std::span<const S>(values));
  }

  /// Rows of one length as [rows, length].
  void add_indices(const std::string& name, const std::vector<std::vector<Index>>& rows) {
    std::vector<std::int64_t> numbers;
    for (const std::vector<Index>& row : rows) numbers.insert(numbers.end(), row.begin(), row.end());
    add(name, {std::ssize(rows), std::ssize(rows.front())}, std::span<const std::int64_t>(numbers));
  }

  void add_gradient(std::vector<crate::Tensor> gradient) {
    for (crate::Tensor& tensor : gradient) {
      tensor.name.insert(0, "grad/");
      kept_.emplace_back(tensor.bytes.begin(), tensor.bytes.end());
      tensor.bytes = kept_.back();
      tensors_.push_back(std::move(tensor));
    }
  }

  void write(const std::string& path) const { crate::write_safetensors(path, tensors_); }

 private:
  template <class S>
  static std::span<const S> values_of(const Matrix<S>& matrix) {
    return {matrix.data(), static_cast<std::size_t>(matrix.size())};
  }

  /// Keeps a copy of the values, which the tensor views.
  template <class S>
  void add(const std::string& name, std::vector<Index> shape, std::span<const S> values) {
    const auto bytes = std::as_bytes(values);
    kept_.emplace_back(bytes.begin(), bytes.end());
    tensors_.push_back(crate::tensor_of(name, std::move(shape), values));
    tensors_.back().bytes = kept_.back();
  }

  std::deque<std::vector<std::byte>> kept_;
  std::vector<crate::Tensor> tensors_;
};

}  // namespace run_model
