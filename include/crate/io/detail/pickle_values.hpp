// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string_view>
#include <vector>

#include "crate/io/detail/memory_budget.hpp"

namespace crate::detail {

enum class PickleKind : std::uint8_t {
  none,
  boolean,
  integer,
  big_integer,  ///< of more than 64 bits, kept as bytes
  number,
  text,
  bytes,
  tuple,
  list,
  dict,
  global,  ///< "module\nname" of a Python class or function; only ever a name here
  object,  ///< stands for an object of a class not known here: inert, without content
  storage,
  tensor,
};

/// A value, by its position in PickleValues. Values may be shared, and lists and dicts may even contain themselves.
using PickleId = std::uint32_t;

struct PickleValue {
  PickleKind kind = PickleKind::none;
  std::uint32_t count = 0;  ///< bytes of a text, items of a container (a dict counts keys and values)
  std::uint64_t content =
      0;  ///< the bits of a number, the place of a text, first and last cell of a container, another position
};

/// All values of a pickle. Texts stay in the bytes that the pickle is read from; nothing is freed before the end, and everything
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
    budget_.take(sizeof(PickleValue));
    values_.push_back({kind, count, content});
    return static_cast<PickleId>(values_.size() - 1);
  }
  PickleId add_integer(std::int64_t value) { return add(PickleKind::integer, std::bit_cast<std::uint64_t>(value)); }
  PickleId add_number(double value) { return add(PickleKind::number, std::bit_cast<std::uint64_t>(value)); }
  PickleId add_text(PickleKind kind, std::string_view text) {
    const char* const begin = reinterpret_cast<const char*>(bytes_.data());
    return add(kind, static_cast<std::uint64_t>(text.data() - begin), static_cast<std::uint32_t>(text.size()));
  }
  PickleId add_container(PickleKind kind) { return add(kind, ~std::uint64_t{0}); }

  /// Adds an item to a tuple or list, or a key or value to a dict.
  void append(PickleId container, PickleId item) {
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
  }

  [[nodiscard]] PickleKind kind(PickleId id) const { return values_[id].kind; }
  [[nodiscard]] std::uint32_t count(PickleId id) const { return values_[id].count; }
  [[nodiscard]] std::uint64_t content(PickleId id) const { return values_[id].content; }
  [[nodiscard]] std::int64_t integer(PickleId id) const { return std::bit_cast<std::int64_t>(content(id)); }
  [[nodiscard]] double number(PickleId id) const { return std::bit_cast<double>(content(id)); }
  /// Of a text, bytes or global.
  [[nodiscard]] std::string_view text(PickleId id) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + content(id), count(id)};
  }

  /// The items of a container: from the first cell to `no_cell`.
  [[nodiscard]] std::uint32_t first_cell(PickleId id) const { return static_cast<std::uint32_t>(content(id)); }
  [[nodiscard]] std::uint32_t next_cell(std::uint32_t cell) const { return cells_[cell].next; }
  [[nodiscard]] PickleId item(std::uint32_t cell) const { return cells_[cell].item; }

  /// A copy of the items of a container known to be small.
  [[nodiscard]] std::vector<PickleId> items(PickleId id) const {
    std::vector<PickleId> copied;
    copied.reserve(count(id));
    for (std::uint32_t cell = first_cell(id); cell != no_cell; cell = next_cell(cell)) copied.push_back(item(cell));
    return copied;
  }

 private:
  struct Cell {
    PickleId item;
    std::uint32_t next;
  };

  std::span<const std::byte> bytes_;
  MemoryBudget& budget_;
  std::deque<PickleValue> values_;
  std::deque<Cell> cells_;
};

}  // namespace crate::detail
