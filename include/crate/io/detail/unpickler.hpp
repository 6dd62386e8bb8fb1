// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "crate/io/detail/byte_cursor.hpp"
#include "crate/io/detail/pickle_operations.hpp"
#include "crate/io/detail/pickle_values.hpp"
#include "crate/io/detail/torch_objects.hpp"

namespace crate::detail {

/// Reads one pickle of protocol 2 or 3. A pickle is a program for a machine with a stack: this one knows the operations that
/// PyTorch's files consist of and refuses all others. It calls nothing, whatever the pickle says, does not recurse, and takes
/// memory from the budget of the values only.
class Unpickler {
 public:
  Unpickler(ByteCursor& stream, PickleValues& values, TorchObjects& objects)
      : stream_(stream), values_(values), objects_(objects) {}

  /// The value that the pickle ends with; the stream stands behind it.
  PickleId run();

 private:
  static constexpr std::size_t deepest_stack = 65536;
  static constexpr std::size_t most_marks = 1024;
  static constexpr PickleId not_memorised = ~PickleId{0};

  void execute(std::uint8_t operation);
  void push(PickleId value);
  [[nodiscard]] std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  [[nodiscard]] PickleId top() const;
  PickleId pop();
  PickleId pop_tuple(std::size_t count);
  std::size_t pop_mark();

  void push_marked_tuple();
  void append_from(std::size_t begin);
  void set_items_from(std::size_t begin);
  void reduce();
  void create();
  void build();
  void push_long(std::size_t size);
  void memorise(std::uint32_t index);
  void recall(std::uint32_t index);
  [[nodiscard]] std::string_view last_text() const;

  ByteCursor& stream_;
  PickleValues& values_;
  TorchObjects& objects_;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;
  std::deque<PickleId> memo_;
};

inline PickleId Unpickler::run() {
  if (stream_.take<std::uint8_t>() != pickle::protocol)
    throw stream_.error("expected a pickle of protocol 2 or 3, found one that states no protocol");
  const int protocol = stream_.take<std::uint8_t>();
  if (protocol != 2 && protocol != 3) throw stream_.error("expected pickle protocol 2 or 3, found ", protocol);

  stack_.clear();
  marks_.clear();
  memo_.clear();
  for (auto operation = stream_.take<std::uint8_t>(); operation != pickle::stop;
       operation = stream_.take<std::uint8_t>())
    execute(operation);
  if (stack_.size() != 1 || !marks_.empty())
    throw stream_.error("expected one value at the end of the pickle, found ", stack_.size());
  return stack_.front();
}

inline void Unpickler::execute(std::uint8_t operation) {
  switch (operation) {
    case pickle::mark:
      if (marks_.size() == most_marks)
        throw stream_.error("expected at most ", most_marks, " marks on the stack, found more");
      return marks_.push_back(stack_.size());
    case pickle::none:
      return push(PickleValues::none);
    case pickle::boolean_true:
      return push(PickleValues::yes);
    case pickle::boolean_false:
      return push(PickleValues::no);
    case pickle::int_8:
      return push(values_.add_integer(stream_.take<std::uint8_t>()));
    case pickle::int_16:
      return push(values_.add_integer(stream_.take<std::uint16_t>()));
    case pickle::int_32:
      return push(values_.add_integer(stream_.take<std::int32_t>()));
    case pickle::long_8:
      return push_long(stream_.take<std::uint8_t>());
    case pickle::float_64: {
      std::uint64_t bits = 0;  // big-endian
      for (const std::byte byte : stream_.take_bytes(8)) bits = bits << 8U | static_cast<std::uint64_t>(byte);
      return push(values_.add_number(std::bit_cast<double>(bits)));
    }
    case pickle::text_32:
    case pickle::string_32:
      return push(values_.add_text(PickleKind::text, stream_.take_text(stream_.take<std::uint32_t>())));
    case pickle::string_8:
      return push(values_.add_text(PickleKind::text, stream_.take_text(stream_.take<std::uint8_t>())));
    case pickle::bytes_8:
      return push(values_.add_text(PickleKind::bytes, stream_.take_text(stream_.take<std::uint8_t>())));
    case pickle::bytes_32:
      return push(values_.add_text(PickleKind::bytes, stream_.take_text(stream_.take<std::uint32_t>())));
    case pickle::empty_tuple:
      return push(values_.add_container(PickleKind::tuple));
    case pickle::tuple_1:
      return push(pop_tuple(1));
    case pickle::tuple_2:
      return push(pop_tuple(2));
    case pickle::tuple_3:
      return push(pop_tuple(3));
    case pickle::tuple:
      return push_marked_tuple();
    case pickle::empty_list:
      return push(values_.add_container(PickleKind::list));
    case pickle::append:
      return append_from(stack_.size() - 1);
    case pickle::appends:
      return append_from(pop_mark());
    case pickle::empty_dict:
      return push(values_.add_container(PickleKind::dict));
    case pickle::set_item:
      return set_items_from(stack_.size() - 2);
    case pickle::set_items:
      return set_items_from(pop_mark());
    case pickle::global: {
      const std::string_view module = stream_.take_line();
      const std::string_view name = stream_.take_line();
      return push(values_.add_text(PickleKind::global, {module.data(), module.size() + 1 + name.size()}));
    }
    case pickle::persistent_id: {
      const PickleId id = pop();
      return push(objects_.storage(id, last_text()));
    }
    case pickle::reduce:
      return reduce();
    case pickle::new_object:
      return create();
    case pickle::build:
      return build();
    case pickle::put_8:
      return memorise(stream_.take<std::uint8_t>());
    case pickle::put_32:
      return memorise(stream_.take<std::uint32_t>());
    case pickle::get_8:
      return recall(stream_.take<std::uint8_t>());
    case pickle::get_32:
      return recall(stream_.take<std::uint32_t>());
    default:
      throw stream_.error("expected an operation of tensors and plain containers, found number ", int{operation});
  }
}

inline void Unpickler::push(PickleId value) {
  if (stack_.size() == deepest_stack)
    throw stream_.error("expected at most ", deepest_stack, " values on the stack, found more");
  stack_.push_back(value);
}

inline PickleId Unpickler::top() const {
  if (stack_.size() <= floor()) throw stream_.error("expected a value on the stack, found none");
  return stack_.back();
}

inline PickleId Unpickler::pop() {
  const PickleId value = top();
  stack_.pop_back();
  return value;
}

inline PickleId Unpickler::pop_tuple(std::size_t count) {
  if (stack_.size() < floor() + count) throw stream_.error("expected ", count, " values on the stack, found fewer");
  const PickleId made = values_.add_container(PickleKind::tuple);
  for (std::size_t i = stack_.size() - count; i < stack_.size(); ++i) values_.append(made, stack_[i]);
  stack_.resize(stack_.size() - count);
  return made;
}

/// Where the values above the last mark begin.
inline std::size_t Unpickler::pop_mark() {
  if (marks_.empty()) throw stream_.error("expected a mark on the stack, found none");
  const std::size_t begin = marks_.back();
  marks_.pop_back();
  return begin;
}

inline void Unpickler::push_marked_tuple() {
  const std::size_t begin = pop_mark();
  push(pop_tuple(stack_.size() - begin));
}

/// Adds the values from `begin` to the list below them.
inline void Unpickler::append_from(std::size_t begin) {
  if (begin >= stack_.size() + 1 || begin <= floor()) throw stream_.error("expected a list on the stack, found none");
  const PickleId list = stack_[begin - 1];
  const PickleKind kind = values_.kind(list);
  if (kind != PickleKind::list && kind != PickleKind::object)
    throw stream_.error("expected a list to add items to, found another value");
  if (kind == PickleKind::list)
    for (std::size_t i = begin; i < stack_.size(); ++i) values_.append(list, stack_[i]);
  stack_.resize(begin);
}

/// Adds the keys and values from `begin` to the dict below them.
inline void Unpickler::set_items_from(std::size_t begin) {
  if (begin >= stack_.size() + 1 || begin <= floor()) throw stream_.error("expected a dict on the stack, found none");
  const PickleId dict = stack_[begin - 1];
  const PickleKind kind = values_.kind(dict);
  if (kind != PickleKind::dict && kind != PickleKind::object)
    throw stream_.error("expected a dict to set items of, found another value");
  if ((stack_.size() - begin) % 2 != 0) throw stream_.error("expected pairs of keys and values, found a key alone");
  if (kind == PickleKind::dict)
    for (std::size_t i = begin; i < stack_.size(); ++i) values_.append(dict, stack_[i]);
  stack_.resize(begin);
}

inline void Unpickler::reduce() {
  const PickleId arguments = pop();
  const PickleId callable = pop();
  push(objects_.call(callable, arguments, last_text()));
}

inline void Unpickler::create() {
  const PickleId arguments = pop();
  const PickleId callable = pop();
  push(objects_.create(callable, arguments, last_text()));
}

/// Attributes of dicts and of objects not known here are of no use: they go.
inline void Unpickler::build() {
  pop();
  const PickleKind kind = values_.kind(top());
  if (kind != PickleKind::dict && kind != PickleKind::object)
    throw stream_.error("expected an object to set attributes of, found another value");
}

/// An integer of `size` bytes, two's complement.
inline void Unpickler::push_long(std::size_t size) {
  const std::string_view bytes = stream_.take_text(size);
  if (size > sizeof(std::int64_t)) return push(values_.add_text(PickleKind::big_integer, bytes));
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  const auto unused_bits = static_cast<unsigned>(64 - 8 * size);
  if (size > 0) value = std::bit_cast<std::uint64_t>(std::bit_cast<std::int64_t>(value << unused_bits) >> unused_bits);
  push(values_.add_integer(std::bit_cast<std::int64_t>(value)));
}

inline void Unpickler::memorise(std::uint32_t index) {
  const PickleId value = top();
  if (index >= memo_.size()) {
    values_.budget().take((index - memo_.size() + 1) * sizeof(PickleId));
    memo_.resize(std::size_t{index} + 1, not_memorised);
  }
  memo_[index] = value;
}

inline void Unpickler::recall(std::uint32_t index) {
  if (index >= memo_.size() || memo_[index] == not_memorised)
    throw stream_.error("expected a value remembered under ", index, ", found none");
  push(memo_[index]);
}

/// Names the place in messages: usually the key of the value being made.
inline std::string_view Unpickler::last_text() const {
  constexpr std::size_t looked_at = 8;
  const std::size_t end = stack_.size() - std::min(stack_.size(), looked_at);
  for (std::size_t i = stack_.size(); i > end; --i)
    if (values_.kind(stack_[i - 1]) == PickleKind::text) return values_.text(stack_[i - 1]);
  return {};
}

}  // namespace crate::detail
