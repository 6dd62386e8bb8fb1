// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

// Number in the name: bits of the argument behind the operation, or of its length.

namespace crate::detail::pickle {

/// The operations of pickles that PyTorch's files consist of.
enum Operation : std::uint8_t {
  mark = '(',
  stop = '.',
  none = 'N',
  boolean_true = 0x88,
  boolean_false = 0x89,
  int_8 = 'K',
  int_16 = 'M',
  int_32 = 'J',
  long_8 = 0x8A,
  float_64 = 'G',
  text_32 = 'X',
  string_8 = 'U',
  string_32 = 'T',
  bytes_8 = 'C',
  bytes_32 = 'B',
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
  global = 'c',
  persistent_id = 'Q',
  reduce = 'R',
  new_object = 0x81,
  build = 'b',
  put_8 = 'q',
  put_32 = 'r',
  get_8 = 'h',
  get_32 = 'j',
  protocol = 0x80,
};

}  // namespace crate::detail::pickle
