// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <vector>

#include "crate/io/formats/detail/byte_cursor.hpp"
#include "crate/io/formats/detail/pickle_operations.hpp"
#include "crate/io/formats/detail/pickle_values.hpp"
#include "crate/io/formats/detail/torch_objects.hpp"

namespace crate::detail {

/// Reads one pickle of protocol 2 to 5. A pickle is a program for a stack machine: this one never calls anything, does
/// not recurse, and takes memory only from the budget of the values.
class Unpickler {
 public:
  Unpickler(ByteCursor& stream, PickleValues& values, TorchObjects& objects)
      : stream_(stream), values_(values), objects_(objects) {}

  /// Returns the final value of the pickle; the stream is then after its end.
  PickleId run();

 private:
  static constexpr std::size_t deepest_stack = std::size_t{1} << 24U;
  static constexpr std::size_t most_marks = 1024;
  static constexpr PickleId not_memorised = ~PickleId{0};

  void execute(std::uint8_t operation);
  [[nodiscard]] std::optional<PickleId> plain_value(std::uint8_t operation);
  [[nodiscard]] std::optional<PickleId> plain_text(std::uint8_t operation);
  [[nodiscard]] bool fill_container(std::uint8_t operation);
  [[nodiscard]] bool make_object(std::uint8_t operation);
  void push(PickleId value);
  [[nodiscard]] std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  [[nodiscard]] PickleId top() const;
  PickleId pop();
  PickleId pop_tuple(std::size_t count);
  std::size_t pop_mark();
  void discard_top();

  void push_marked(PickleKind kind);
  void append_from(std::size_t begin);
  void set_items_from(std::size_t begin);
  void push_global();
  void push_stack_global();
  void reduce();
  void create();
  void create_with_keywords();
  void build();
  void skip_frame();
  [[nodiscard]] PickleId take_text(PickleKind kind, std::uint64_t size);
  [[nodiscard]] PickleId take_long(std::uint32_t size);
  void memorise(std::uint32_t index);
  void recall(std::uint32_t index);
  [[nodiscard]] std::string_view last_text() const;

  ByteCursor& stream_;
  PickleValues& values_;
  TorchObjects& objects_;
  std::deque<PickleId> stack_;
  std::size_t budgeted_ = 0;  // number of stack entries taken from the budget
  std::vector<std::size_t> marks_;
  std::deque<PickleId> memo_;
  std::uint32_t memorised_ = 0;
};

inline PickleId Unpickler::run() {
  if (stream_.take<std::uint8_t>() != pickle::protocol)
    throw stream_.error("expected a pickle of protocol 2 to 5, found one that states no protocol");
  const int protocol = stream_.take<std::uint8_t>();
  if (protocol < 2 || protocol > 5) throw stream_.error("expected pickle protocol 2 to 5, found ", protocol);

  stack_.clear();
  marks_.clear();
  memo_.clear();
  memorised_ = 0;
  for (auto operation = stream_.take<std::uint8_t>(); operation != pickle::stop;
       operation = stream_.take<std::uint8_t>())
    execute(operation);
  if (stack_.size() != 1 || !marks_.empty())
    throw stream_.error("expected one value at the end of the pickle, found ", stack_.size());
  return stack_.front();
}

inline void Unpickler::execute(std::uint8_t operation) {
  if (const auto value = plain_value(operation)) return push(*value);
  if (const auto text = plain_text(operation)) return push(*text);
  if (fill_container(operation) || make_object(operation)) return;
  switch (operation) {
    case pickle::mark:
      if (marks_.size() == most_marks)
        throw stream_.error("expected at most ", most_marks, " marks on the stack, found more");
      return marks_.push_back(stack_.size());
    case pickle::pop:
      return discard_top();
    case pickle::pop_mark:
      return stack_.resize(pop_mark());
    case pickle::duplicate:
      return push(top());
    case pickle::put_8:
      return memorise(stream_.take<std::uint8_t>());
    case pickle::put_32:
      return memorise(stream_.take<std::uint32_t>());
    case pickle::memoise:
      return memorise(memorised_);
    case pickle::get_8:
      return recall(stream_.take<std::uint8_t>());
    case pickle::get_32:
      return recall(stream_.take<std::uint32_t>());
    case pickle::frame:
      return skip_frame();
    default:
      throw stream_.error("expected an operation of pickle protocols 2 to 5, found number ", int{operation});
  }
}

/// The constant or number that the operation makes; nothing for other operations.
inline std::optional<PickleId> Unpickler::plain_value(std::uint8_t operation) {
  switch (operation) {
    case pickle::none:
      return PickleValues::none;
    case pickle::boolean_true:
      return PickleValues::yes;
    case pickle::boolean_false:
      return PickleValues::no;
    case pickle::int_8:
      return values_.add_integer(stream_.take<std::uint8_t>());
    case pickle::int_16:
      return values_.add_integer(stream_.take<std::uint16_t>());
    case pickle::int_32:
      return values_.add_integer(stream_.take<std::int32_t>());
    case pickle::long_8:
      return take_long(stream_.take<std::uint8_t>());
    case pickle::long_32:
      return take_long(stream_.take<std::uint32_t>());
    case pickle::float_64: {
      std::uint64_t bits = 0;  // big-endian
      for (const std::byte byte : stream_.take_bytes(8)) bits = bits << 8U | static_cast<std::uint64_t>(byte);
      return values_.add_number(std::bit_cast<double>(bits));
    }
    default:
      return std::nullopt;
  }
}

/// The text or bytes that the operation makes; nothing for other operations.
inline std::optional<PickleId> Unpickler::plain_text(std::uint8_t operation) {
  switch (operation) {
    case pickle::text_8:
    case pickle::string_8:
      return take_text(PickleKind::text, stream_.take<std::uint8_t>());
    case pickle::text_32:
    case pickle::string_32:
      return take_text(PickleKind::text, stream_.take<std::uint32_t>());
    case pickle::text_64:
      return take_text(PickleKind::text, stream_.take<std::uint64_t>());
    case pickle::bytes_8:
      return take_text(PickleKind::bytes, stream_.take<std::uint8_t>());
    case pickle::bytes_32:
      return take_text(PickleKind::bytes, stream_.take<std::uint32_t>());
    case pickle::bytes_64:
    case pickle::byte_array_64:
      return take_text(PickleKind::bytes, stream_.take<std::uint64_t>());
    default:
      return std::nullopt;
  }
}

/// Executes an operation that makes a container or adds to one; false for other operations. Sets are read as lists.
inline bool Unpickler::fill_container(std::uint8_t operation) {
  switch (operation) {
    case pickle::empty_tuple:
      push(values_.add_container(PickleKind::tuple));
      return true;
    case pickle::tuple_1:
    case pickle::tuple_2:
    case pickle::tuple_3:
      push(pop_tuple(std::size_t{operation} - pickle::tuple_1 + 1));
      return true;
    case pickle::tuple:
      push_marked(PickleKind::tuple);
      return true;
    case pickle::frozen_set:
      push_marked(PickleKind::list);
      return true;
    case pickle::empty_list:
    case pickle::empty_set:
      push(values_.add_container(PickleKind::list));
      return true;
    case pickle::append:
      append_from(stack_.size() - 1);
      return true;
    case pickle::appends:
    case pickle::add_items:
      append_from(pop_mark());
      return true;
    case pickle::empty_dict:
      push(values_.add_container(PickleKind::dict));
      return true;
    case pickle::set_item:
      set_items_from(stack_.size() - 2);
      return true;
    case pickle::set_items:
      set_items_from(pop_mark());
      return true;
    default:
      return false;
  }
}

/// Executes an operation by which Python would make an object; false for other operations.
inline bool Unpickler::make_object(std::uint8_t operation) {
  switch (operation) {
    case pickle::global:
      push_global();
      return true;
    case pickle::stack_global:
      push_stack_global();
      return true;
    case pickle::extension_8:
    case pickle::extension_16:
    case pickle::extension_32:
      stream_.take_bytes(std::size_t{1} << (operation - pickle::extension_8));
      push(values_.add_global("copyreg", "extension"));
      return true;
    case pickle::persistent_id: {
      const PickleId id = pop();
      push(objects_.storage(id, last_text()));
      return true;
    }
    case pickle::reduce:
      reduce();
      return true;
    case pickle::new_object:
      create();
      return true;
    case pickle::new_object_with_keywords:
      create_with_keywords();
      return true;
    case pickle::build:
      build();
      return true;
    default:
      return false;
  }
}

inline void Unpickler::push(PickleId value) {
  if (stack_.size() == deepest_stack)
    throw stream_.error("expected at most ", deepest_stack, " values on the stack, found more");
  if (stack_.size() == budgeted_) {
    values_.budget().take(sizeof(PickleId));
    ++budgeted_;
  }
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

/// Removes the last mark, and returns the position of the values above it.
inline std::size_t Unpickler::pop_mark() {
  if (marks_.empty()) throw stream_.error("expected a mark on the stack, found none");
  const std::size_t begin = marks_.back();
  marks_.pop_back();
  return begin;
}

/// Discards the last value, or the last mark if it came later.
inline void Unpickler::discard_top() {
  if (!marks_.empty() && marks_.back() == stack_.size())
    marks_.pop_back();
  else
    pop();
}

/// Makes a container of the values above the last mark.
inline void Unpickler::push_marked(PickleKind kind) {
  const std::size_t begin = pop_mark();
  const PickleId made = values_.add_container(kind);
  for (std::size_t i = begin; i < stack_.size(); ++i) values_.append(made, stack_[i]);
  stack_.resize(begin);
  push(made);
}

/// Adds the values from `begin` to the list below them.
inline void Unpickler::append_from(std::size_t begin) {
  if (begin >= stack_.size() + 1 || begin <= floor()) throw stream_.error("expected a list on the stack, found none");
  const PickleId list = stack_[begin - 1];
  const PickleKind kind = values_.kind(list);
  if (kind != PickleKind::list && kind != PickleKind::object)
    throw stream_.error("expected a list to add items to, found a value of another kind");
  for (std::size_t i = begin; i < stack_.size(); ++i)
    if (kind == PickleKind::list)
      values_.append(list, stack_[i]);
    else
      values_.note_held(list, stack_[i]);
  stack_.resize(begin);
}

/// Adds the keys and values from `begin` to the dict below them. An object to which Python would add them has a class
/// derived from dict, and is read as a dict.
inline void Unpickler::set_items_from(std::size_t begin) {
  if (begin >= stack_.size() + 1 || begin <= floor()) throw stream_.error("expected a dict on the stack, found none");
  const PickleId dict = stack_[begin - 1];
  const PickleKind kind = values_.kind(dict);
  if (kind != PickleKind::dict && kind != PickleKind::object)
    throw stream_.error("expected a dict to set items of, found a value of another kind");
  if ((stack_.size() - begin) % 2 != 0) throw stream_.error("expected pairs of keys and values, found a key alone");
  if (kind == PickleKind::object) values_.become_dict(dict);
  for (std::size_t i = begin; i < stack_.size(); ++i) values_.append(dict, stack_[i]);
  stack_.resize(begin);
}

inline void Unpickler::push_global() {
  const std::string_view module = stream_.take_line();
  const std::string_view name = stream_.take_line();
  push(values_.add_text(PickleKind::global, {module.data(), module.size() + 1 + name.size()}));
}

inline void Unpickler::push_stack_global() {
  const PickleId name = pop();
  const PickleId module = pop();
  if (values_.kind(name) != PickleKind::text || values_.kind(module) != PickleKind::text)
    throw stream_.error("expected the names of a module and of something in it, found other values");
  push(values_.add_global(values_.text(module), values_.text(name)));
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

inline void Unpickler::create_with_keywords() {
  const PickleId keywords = pop();
  if (values_.kind(keywords) != PickleKind::dict)
    throw stream_.error("expected a dict of arguments, found a value of another kind");
  create();
  if (values_.kind(top()) == PickleKind::object) values_.note_held(top(), keywords);
}

/// Attributes of dicts, lists, tensors and inert objects are not needed, and are discarded.
inline void Unpickler::build() {
  const PickleId attributes = pop();
  const PickleKind kind = values_.kind(top());
  if (kind == PickleKind::object) return values_.note_held(top(), attributes);
  if (kind != PickleKind::dict && kind != PickleKind::list && kind != PickleKind::tensor)
    throw stream_.error("expected an object to set attributes of, found a value of another kind");
}

/// A frame announces how many bytes to read ahead; all bytes are here already.
inline void Unpickler::skip_frame() {
  const auto size = stream_.take<std::uint64_t>();
  if (size > stream_.left()) throw stream_.error("expected a frame of ", size, " bytes, found ", stream_.left());
}

inline PickleId Unpickler::take_text(PickleKind kind, std::uint64_t size) {
  constexpr std::uint64_t longest = ~std::uint32_t{0};
  if (size > longest) throw stream_.error("expected texts of at most ", longest, " bytes, found one of ", size);
  return values_.add_text(kind, stream_.take_text(size));
}

/// An integer of `size` bytes, two's complement.
inline PickleId Unpickler::take_long(std::uint32_t size) {
  if (size > sizeof(std::int64_t)) return take_text(PickleKind::big_integer, size);
  const std::string_view bytes = stream_.take_text(size);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  const auto unused_bits = static_cast<unsigned>(64 - 8 * size);
  if (size > 0) value = std::bit_cast<std::uint64_t>(std::bit_cast<std::int64_t>(value << unused_bits) >> unused_bits);
  return values_.add_integer(std::bit_cast<std::int64_t>(value));
}

inline void Unpickler::memorise(std::uint32_t index) {
  const PickleId value = top();
  if (index >= memo_.size()) {
    values_.budget().take((index - memo_.size() + 1) * sizeof(PickleId));
    memo_.resize(std::size_t{index} + 1, not_memorised);
  }
  if (memo_[index] == not_memorised) ++memorised_;
  memo_[index] = value;
}

inline void Unpickler::recall(std::uint32_t index) {
  if (index >= memo_.size() || memo_[index] == not_memorised)
    throw stream_.error("expected a value remembered under ", index, ", found none");
  push(memo_[index]);
}

/// The place in messages: usually the key of the current value.
inline std::string_view Unpickler::last_text() const {
  constexpr std::size_t looked_at = 8;
  const std::size_t end = stack_.size() - std::min(stack_.size(), looked_at);
  for (std::size_t i = stack_.size(); i > end; --i)
    if (values_.kind(stack_[i - 1]) == PickleKind::text) return values_.text(stack_[i - 1]);
  return {};
}

}  // namespace crate::detail
