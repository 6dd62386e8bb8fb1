// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/detail/memory_budget.hpp"
#include "crate/io/formats/detail/pickle_values.hpp"
#include "crate/io/formats/detail/strided_tensor.hpp"
#include "crate/io/formats/detail/torch_objects.hpp"
#include "crate/io/formats/detail/utf8.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

namespace crate::detail {

/// Walks through nested dicts, lists and tuples, and lists the tensors under their paths of keys and positions, such as
/// 'optimizer.state.0.exp_avg'. Plain values in nested dicts become texts under their paths.
///
/// Values without tensors never stop the walk: they are left out in lists, and if keys are too long, containers
/// too deep or texts not UTF-8.
class TensorTree {
 public:
  TensorTree(const PickleValues& values, const TorchObjects& objects, std::string_view source);

  void walk(PickleId root);

  std::vector<Tensor> tensors;
  Metadata metadata;
  TensorCopies copies;
  struct LeftOut {
    PickleId object;
    std::string path;
  };
  std::optional<LeftOut> left_out =
      {};  ///< the first object that only Python could make and that contains tensors, or else the first at all

 private:
  struct Frame {
    PickleId container;
    std::uint32_t next_cell;
    std::uint32_t position;
    std::size_t path_size;
    bool in_list;
  };

  static constexpr std::size_t deepest = 64;
  static constexpr std::size_t longest_name = 4096;
  static constexpr std::size_t most_texts = 1024;

  void visit(PickleId value, std::size_t key_begin, bool in_list);
  void visit_next();
  [[nodiscard]] PickleId take_item(Frame& frame) const;
  [[nodiscard]] bool append_key(PickleId key);
  void leave_out(PickleId object);
  void add_tensor(const TorchTensor& found, std::size_t key_begin);
  void add_text(PickleId value);
  [[nodiscard]] std::vector<Index> integers(PickleId tuple) const;

  template <class... Parts>
  [[nodiscard]] FileError error(const Parts&... parts) const {
    return file_error(source_, "pickle: ", quote(path_), ": ", parts...);
  }

  const PickleValues& values_;
  const TorchObjects& objects_;
  std::string_view source_;
  std::vector<Frame> frames_;
  std::string path_;
  std::size_t bytes_left_ = 0;
};

/// Appends the text of a plain value, or of a key; false if it has none.
[[nodiscard]] inline bool append_plain(std::string& text, const PickleValues& values, PickleId id) {
  std::array<char, 32> digits;
  std::to_chars_result end = {digits.data(), std::errc()};
  switch (values.kind(id)) {
    case PickleKind::text:
      text += values.text(id);
      return true;
    case PickleKind::boolean:
      text += values.content(id) != 0 ? "true" : "false";
      return true;
    case PickleKind::integer:
      end = std::to_chars(digits.data(), digits.data() + digits.size(), values.integer(id));
      break;
    case PickleKind::number:
      end = std::to_chars(digits.data(), digits.data() + digits.size(), values.number(id));
      break;
    default:
      return false;
  }
  text.append(digits.data(), end.ptr);
  return true;
}

inline TensorTree::TensorTree(const PickleValues& values, const TorchObjects& objects, std::string_view source)
    : values_(values), objects_(objects), source_(source) {
  // Tied weights view one storage several times; more than four times the file is an attack.
  for (const TorchStorage& storage : objects.storages())
    if (!storage.base) bytes_left_ += 4 * storage.bytes.size();
  bytes_left_ += std::size_t{1} << 20U;
  values.budget().take(objects.tensors().size() * sizeof(Tensor));
  tensors.reserve(objects.tensors().size());
}

inline void TensorTree::walk(PickleId root) {
  visit(root, 0, false);
  while (!frames_.empty()) visit_next();
}

inline void TensorTree::visit_next() {
  Frame& frame = frames_.back();
  if (frame.next_cell == PickleValues::no_cell) return frames_.pop_back();

  values_.budget().take(sizeof(PickleId));  // shared containers could make the walk endless
  PickleId item = take_item(frame);
  const PickleId key = item;
  const bool has_keys = values_.kind(frame.container) == PickleKind::dict;
  if (has_keys) item = take_item(frame);
  const bool in_list = frame.in_list;
  const std::uint32_t position = frame.position++;
  const bool holds_tensors = values_.holds_tensors(item);
  if (!holds_tensors && (in_list || metadata.size() == most_texts)) return;

  path_.resize(frame.path_size);
  if (frames_.size() > 1) path_ += '.';
  const std::size_t key_begin = path_.size();
  if (!has_keys)
    path_ += std::to_string(position);
  else if (!append_key(key)) {
    if (holds_tensors) throw error("expected keys and paths of at most ", longest_name, " bytes, found more");
    return;
  }
  values_.budget().take(path_.size());
  visit(item, key_begin, in_list);
}

inline PickleId TensorTree::take_item(Frame& frame) const {
  const PickleId item = values_.item(frame.next_cell);
  frame.next_cell = values_.next_cell(frame.next_cell);
  return item;
}

/// Appends a key to the path; false if the key or the path becomes too long.
inline bool TensorTree::append_key(PickleId key) {
  if (values_.kind(key) == PickleKind::text && values_.count(key) > longest_name) return false;
  if (!append_plain(path_, values_, key)) path_ += '?';
  return path_.size() <= longest_name;
}

inline void TensorTree::leave_out(PickleId object) {
  const bool is_first = !left_out;
  if (is_first || (values_.holds_tensors(object) && !values_.holds_tensors(left_out->object)))
    left_out = {object, path_};
}

inline void TensorTree::visit(PickleId value, std::size_t key_begin, bool in_list) {
  switch (values_.kind(value)) {
    case PickleKind::tensor:
      return add_tensor(objects_.tensors()[static_cast<std::size_t>(values_.content(value))], key_begin);
    case PickleKind::list:
    case PickleKind::tuple:
      if (!values_.holds_tensors(value)) return;
      [[fallthrough]];
    case PickleKind::dict:
      if (frames_.size() == deepest && !values_.holds_tensors(value)) return;
      if (frames_.size() == deepest)
        throw error("expected at most ", deepest, " containers inside each other, found more");
      in_list = in_list || values_.kind(value) != PickleKind::dict;
      return frames_.push_back({value, values_.first_cell(value), 0, path_.size(), in_list});
    case PickleKind::object:
      return leave_out(value);
    default:
      add_text(value);
  }
}

inline std::vector<Index> TensorTree::integers(PickleId tuple) const {
  std::vector<Index> result;
  result.reserve(values_.count(tuple));
  for (const PickleId item : values_.items(tuple)) result.push_back(values_.integer(item));
  return result;
}

inline void TensorTree::add_tensor(const TorchTensor& found, std::size_t key_begin) {
  const TorchStorage& storage = objects_.storages()[found.storage];
  Tensor tensor = {path_, found.dtype, static_cast<std::uint32_t>(key_begin), integers(found.sizes), {}, source_};
  constexpr std::size_t heap_overhead = 64;
  values_.budget().take(path_.size() + tensor.shape.size() * sizeof(Index) + heap_overhead);
  set_strided_bytes(tensor, storage.bytes, found.offset, integers(found.strides), copies, values_.budget());
  if (tensor.bytes.size() > bytes_left_)
    throw tensor_error(tensor, "expected tensors of at most four times the bytes in the file, found more");
  bytes_left_ -= tensor.bytes.size();

  if (tensors.size() == tensors.capacity()) {
    const std::size_t more = 2 * tensors.size() + 16;
    values_.budget().take(more * sizeof(Tensor));
    tensors.reserve(more);
  }
  tensors.push_back(std::move(tensor));
}

inline void TensorTree::add_text(PickleId value) {
  if (metadata.size() == most_texts) return;
  if (values_.kind(value) == PickleKind::text && values_.count(value) > longest_name) return;
  std::string text;
  if (!append_plain(text, values_, value) || !is_utf8(text) || !is_utf8(path_)) return;
  const auto has_path = [this](const auto& entry) { return entry.first == path_; };
  if (std::any_of(metadata.begin(), metadata.end(), has_path)) return;
  values_.budget().take(sizeof(Metadata::value_type) + path_.size() + text.size());
  metadata.emplace_back(path_, std::move(text));
}

}  // namespace crate::detail
