// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

// A number in a name is the size in bits of the argument after the operation, or of the argument's length.

namespace crate::detail::pickle {

/// The operations of pickle protocols 2 to 5, without those of out-of-band buffers.
enum Operation : std::uint8_t {
  mark = '(',
  stop = '.',
  pop = '0',
  pop_mark = '1',
  duplicate = '2',
  none = 'N',
  boolean_true = 0x88,
  boolean_false = 0x89,
  int_8 = 'K',
  int_16 = 'M',
  int_32 = 'J',
  long_8 = 0x8A,
  long_32 = 0x8B,
  float_64 = 'G',
  text_8 = 0x8C,
  text_32 = 'X',
  text_64 = 0x8D,
  string_8 = 'U',
  string_32 = 'T',
  bytes_8 = 'C',
  bytes_32 = 'B',
  bytes_64 = 0x8E,
  byte_array_64 = 0x96,
  empty_tuple = ')',
  tuple_1 = 0x85,
  tuple_2 = 0x86,
  tuple_3 = 0x87,
  tuple = 't',
  empty_list = ']',
  append = 'a',
  appends = 'e',
  empty_dict = '}',
  set_item = 's',
  set_items = 'u',
  empty_set = 0x8F,
  add_items = 0x90,
  frozen_set = 0x91,
  global = 'c',
  stack_global = 0x93,
  extension_8 = 0x82,
  extension_16 = 0x83,
  extension_32 = 0x84,
  persistent_id = 'Q',
  reduce = 'R',
  new_object = 0x81,
  new_object_with_keywords = 0x92,
  build = 'b',
  put_8 = 'q',
  put_32 = 'r',
  memoise = 0x94,
  get_8 = 'h',
  get_32 = 'j',
  protocol = 0x80,
  frame = 0x95,
};

}  // namespace crate::detail::pickle
