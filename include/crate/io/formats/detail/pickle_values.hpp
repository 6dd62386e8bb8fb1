// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/formats/detail/memory_budget.hpp"

namespace crate::detail {

enum class PickleKind : std::uint8_t {
  none,
  boolean,
  integer,
  big_integer,  ///< with more than 64 bits, stored as bytes
  number,
  text,
  bytes,
  tuple,
  list,
  dict,
  global,  ///< "module\nname" of a Python class or function, used as a name only
  object,  ///< stands for something that only Python could make: inert, without content
  storage,
  tensor,
};

/// A value, as its position in PickleValues; a small integer as itself, with the highest bit set. Values may be shared,
/// and lists and dicts may even contain themselves.
using PickleId = std::uint32_t;

struct PickleValue {
  PickleKind kind = PickleKind::none;
  bool holds_tensors = false;  ///< is a tensor, or contained one at any depth when it was made
  std::uint32_t count =
      0;  ///< bytes of a text, items of a container (in a dict, keys and values count), how an object is made
  std::uint64_t content =
      0;  ///< the bits of a number, the position of a text, first and last cell of a container, another value
};

/// All values of a pickle. Texts stay in the pickle's bytes; nothing is freed before the end, and all memory
/// is taken from the budget.
class PickleValues {
 public:
  static constexpr PickleId none = 0, no = 1, yes = 2;
  static constexpr std::uint32_t no_cell = ~std::uint32_t{0};

  /// `bytes` must outlive the values.
  PickleValues(std::span<const std::byte> bytes, MemoryBudget& budget) : bytes_(bytes), budget_(budget) {
    add(PickleKind::none, 0);
    add(PickleKind::boolean, 0);
    add(PickleKind::boolean, 1);
  }

  [[nodiscard]] MemoryBudget& budget() const { return budget_; }

  PickleId add(PickleKind kind, std::uint64_t content, std::uint32_t count = 0) {
    if (values_.size() == is_small) budget_.exhaust();
    budget_.take(sizeof(PickleValue));
    values_.push_back({kind, kind == PickleKind::tensor, count, content});
    return static_cast<PickleId>(values_.size() - 1);
  }
  PickleId add_integer(std::int64_t value) {
    if (0 <= value && value < largest_small) return is_small | static_cast<PickleId>(value);
    return add(PickleKind::integer, std::bit_cast<std::uint64_t>(value));
  }
  PickleId add_number(double value) { return add(PickleKind::number, std::bit_cast<std::uint64_t>(value)); }
  PickleId add_text(PickleKind kind, std::string_view text) {
    const char* const begin = reinterpret_cast<const char*>(bytes_.data());
    return add(kind, static_cast<std::uint64_t>(text.data() - begin), static_cast<std::uint32_t>(text.size()));
  }
  /// "module\nname", from two texts.
  PickleId add_global(std::string_view module, std::string_view name) {
    budget_.take(sizeof(std::string) + module.size() + name.size() + 32);
    std::string& joined = joined_.emplace_back();
    joined.reserve(module.size() + 1 + name.size());
    joined += module;
    joined += '\n';
    joined += name;
    return add(PickleKind::global, is_joined | (joined_.size() - 1), static_cast<std::uint32_t>(joined.size()));
  }
  PickleId add_container(PickleKind kind) { return add(kind, no_cells); }

  /// Turns an object into an empty dict.
  void become_dict(PickleId object) {
    values_[object].kind = PickleKind::dict;
    values_[object].content = no_cells;
    values_[object].count = 0;
  }

  /// Adds an item to a tuple or list, or a key or value to a dict.
  void append(PickleId container, PickleId item) {
    if (cells_.size() == no_cell) budget_.exhaust();
    budget_.take(sizeof(Cell));
    cells_.push_back({item, no_cell});
    const auto cell = static_cast<std::uint32_t>(cells_.size() - 1);
    PickleValue& value = values_[container];
    std::uint32_t first = first_cell(container);
    if (first == no_cell)
      first = cell;
    else
      cells_[value.content >> 32U].next = cell;
    value.content = std::uint64_t{cell} << 32U | first;
    ++value.count;
    note_held(container, item);
  }

  /// Records that the value contains another, which is not kept otherwise.
  void note_held(PickleId holder, PickleId held) {
    if (holds_tensors(held)) values_[holder].holds_tensors = true;
  }

  [[nodiscard]] PickleKind kind(PickleId id) const {
    return (id & is_small) != 0 ? PickleKind::integer : values_[id].kind;
  }
  [[nodiscard]] bool holds_tensors(PickleId id) const { return (id & is_small) == 0 && values_[id].holds_tensors; }
  [[nodiscard]] std::uint32_t count(PickleId id) const { return values_[id].count; }
  [[nodiscard]] std::uint64_t content(PickleId id) const {
    return (id & is_small) != 0 ? id & ~is_small : values_[id].content;
  }
  [[nodiscard]] std::int64_t integer(PickleId id) const { return std::bit_cast<std::int64_t>(content(id)); }
  [[nodiscard]] double number(PickleId id) const { return std::bit_cast<double>(content(id)); }
  /// The text of a text, bytes or global.
  [[nodiscard]] std::string_view text(PickleId id) const {
    if ((content(id) & is_joined) != 0) return joined_[static_cast<std::size_t>(content(id) & ~is_joined)];
    return {reinterpret_cast<const char*>(bytes_.data()) + content(id), count(id)};
  }

  /// The items of a container: from the first cell to `no_cell`.
  [[nodiscard]] std::uint32_t first_cell(PickleId id) const { return static_cast<std::uint32_t>(content(id)); }
  [[nodiscard]] std::uint32_t next_cell(std::uint32_t cell) const { return cells_[cell].next; }
  [[nodiscard]] PickleId item(std::uint32_t cell) const { return cells_[cell].item; }

  /// A copy of the items of a small container.
  [[nodiscard]] std::vector<PickleId> items(PickleId id) const {
    std::vector<PickleId> copied;
    copied.reserve(count(id));
    for (std::uint32_t cell = first_cell(id); cell != no_cell; cell = next_cell(cell)) copied.push_back(item(cell));
    return copied;
  }

 private:
  static constexpr PickleId is_small = PickleId{1} << 31U;
  static constexpr std::int64_t largest_small = is_small - 1;  // the largest integer that is stored as itself
  static constexpr std::uint64_t no_cells = ~std::uint64_t{0};
  static constexpr std::uint64_t is_joined = std::uint64_t{1} << 63U;

  struct Cell {
    PickleId item;
    std::uint32_t next;
  };

  std::span<const std::byte> bytes_;
  MemoryBudget& budget_;
  std::deque<PickleValue> values_;
  std::deque<Cell> cells_;
  std::deque<std::string> joined_;
};

}  // namespace crate::detail
