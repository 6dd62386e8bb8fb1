// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/formats/detail/is_among.hpp"
#include "crate/io/formats/detail/pickle_values.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

namespace crate::detail {

/// Memory that tensors view.
struct TorchStorage {
  std::string_view key;                    ///< name of its bytes in the file
  std::optional<Dtype> dtype;              ///< nothing: untyped bytes
  std::size_t element = 1;                 ///< bytes per element; 0: unknown
  bool is_read = true;                     ///< false: its elements have an unsupported type
  std::uint64_t count = 0;                 ///< number of elements, or of untyped bytes
  std::optional<std::uint32_t> base = {};  ///< the storage of which it is a part
  std::uint64_t begin = 0;                 ///< first element in the base
  std::span<const std::byte> bytes = {};   ///< set when they are found in the file
};

struct TorchTensor {
  std::uint32_t storage = 0;
  Dtype dtype = Dtype::f32;
  std::uint64_t offset = 0;         ///< in elements
  PickleId sizes = 0, strides = 0;  ///< tuples of integers of equal length, at most `most_dimensions`
};

inline constexpr std::uint32_t most_dimensions = 16;

/// "collections\nOrderedDict" as in messages: 'collections.OrderedDict'
[[nodiscard]] inline std::string quote_global(std::string_view global) {
  std::string name(global.substr(0, 200));
  std::replace(name.begin(), name.end(), '\n', '.');
  return quote(name);
}

/// The results of calling the Python classes and functions that occur in PyTorch's files. Here they are only names:
/// those that make tensors and dicts are imitated; all others give an inert object.
class TorchObjects {
 public:
  TorchObjects(PickleValues& values, std::string_view source) : values_(values), source_(source) {}

  /// The result of calling a global, possibly inert. `nearby` is the preceding text, for messages.
  PickleId call(PickleId callable, PickleId arguments, std::string_view nearby);

  /// The result of making an object without a call: a dict if the class is a known one, otherwise an inert object.
  PickleId create(PickleId callable, PickleId arguments, std::string_view nearby);

  /// How Python would make an inert object, for messages: "an object of class 'a.B'".
  [[nodiscard]] std::string describe(PickleId object) const;

  /// The storage of a persistent id: ("storage", type, key, location, count[, view]); or the class in ("module", class,
  /// source file, source), which legacy files have.
  PickleId storage(PickleId persistent_id, std::string_view nearby);

  [[nodiscard]] const PickleValues& values() const { return values_; }
  [[nodiscard]] std::deque<TorchStorage>& storages() { return storages_; }
  [[nodiscard]] const std::deque<TorchStorage>& storages() const { return storages_; }
  [[nodiscard]] const std::deque<TorchTensor>& tensors() const { return tensors_; }

 private:
  template <class... Parts>
  [[nodiscard]] FileError error(std::string_view nearby, const Parts&... parts) const {
    return nearby.empty() ? file_error(source_, "pickle: ", parts...)
                          : file_error(source_, "pickle: near ", quote(nearby), ": ", parts...);
  }
  void expect(bool holds, std::string_view nearby, std::string_view what) const {
    if (!holds) throw error(nearby, "expected ", what, ", found another value");
  }
  [[nodiscard]] bool is(PickleId id, PickleKind kind) const { return values_.kind(id) == kind; }
  [[nodiscard]] bool is_count(PickleId id) const { return is(id, PickleKind::integer) && values_.integer(id) >= 0; }
  [[nodiscard]] bool are_counts(PickleId id) const;

  enum class Making : std::uint32_t { creation, call, tensor };

  PickleId add_object(Making how, PickleId by, PickleId holding);
  PickleId make_dict(PickleId callable, PickleId arguments);
  PickleId make_tensor(std::string_view function, PickleId arguments, std::string_view nearby);
  PickleId unwrap_parameter(PickleId arguments, std::string_view nearby);
  PickleId unwrap_subclass(PickleId callable, PickleId arguments, std::string_view nearby);
  std::uint32_t find_or_add(const TorchStorage& storage, std::string_view nearby);

  PickleValues& values_;
  std::string_view source_;
  std::deque<TorchStorage> storages_;
  std::map<std::string_view, std::uint32_t> by_key_;
  std::deque<TorchTensor> tensors_;
};

namespace torch {

struct NamedDtype {
  std::string_view name;
  Dtype dtype;
};

inline constexpr std::array storage_types = {
    NamedDtype{"torch\nDoubleStorage", Dtype::f64}, NamedDtype{"torch\nFloatStorage", Dtype::f32},
    NamedDtype{"torch\nHalfStorage", Dtype::f16},   NamedDtype{"torch\nBFloat16Storage", Dtype::bf16},
    NamedDtype{"torch\nLongStorage", Dtype::i64},   NamedDtype{"torch\nIntStorage", Dtype::i32},
    NamedDtype{"torch\nShortStorage", Dtype::i16},  NamedDtype{"torch\nCharStorage", Dtype::i8},
    NamedDtype{"torch\nByteStorage", Dtype::u8},    NamedDtype{"torch\nBoolStorage", Dtype::boolean},
};

/// Storages with unsupported types of elements, and the elements' sizes.
struct NamedSize {
  std::string_view name;
  std::size_t element;  ///< bytes
};
inline constexpr std::array other_storage_types = {
    NamedSize{"torch\nComplexFloatStorage", 8}, NamedSize{"torch\nComplexDoubleStorage", 16},
    NamedSize{"torch\nQInt8Storage", 1},        NamedSize{"torch\nQUInt8Storage", 1},
    NamedSize{"torch\nQInt32Storage", 4},       NamedSize{"torch\nQUInt4x2Storage", 1},
    NamedSize{"torch\nQUInt2x4Storage", 1},
};

/// The types that accompany a storage of bytes.
inline constexpr std::array dtypes = {
    NamedDtype{"torch\nfloat64", Dtype::f64},         NamedDtype{"torch\nfloat32", Dtype::f32},
    NamedDtype{"torch\nfloat16", Dtype::f16},         NamedDtype{"torch\nbfloat16", Dtype::bf16},
    NamedDtype{"torch\nint64", Dtype::i64},           NamedDtype{"torch\nint32", Dtype::i32},
    NamedDtype{"torch\nint16", Dtype::i16},           NamedDtype{"torch\nint8", Dtype::i8},
    NamedDtype{"torch\nuint64", Dtype::u64},          NamedDtype{"torch\nuint32", Dtype::u32},
    NamedDtype{"torch\nuint16", Dtype::u16},          NamedDtype{"torch\nuint8", Dtype::u8},
    NamedDtype{"torch\nbool", Dtype::boolean},        NamedDtype{"torch\nfloat8_e4m3fn", Dtype::f8_e4m3},
    NamedDtype{"torch\nfloat8_e5m2", Dtype::f8_e5m2},
};

inline constexpr std::array<std::string_view, 2> untyped_storages = {"torch.storage\nUntypedStorage",
                                                                     "torch\nUntypedStorage"};
inline constexpr std::array<std::string_view, 2> dicts = {"collections\nOrderedDict", "collections\ndefaultdict"};
inline constexpr std::array<std::string_view, 3> rebuild_tensor = {
    "torch._utils\n_rebuild_tensor", "torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_tensor_v3"};
/// (tensor, requires_grad, hooks[, attributes])
inline constexpr std::array<std::string_view, 2> rebuild_parameter = {"torch._utils\n_rebuild_parameter",
                                                                      "torch._utils\n_rebuild_parameter_with_state"};
/// (function, class derived from Tensor, arguments, attributes)
inline constexpr std::array<std::string_view, 2> rebuild_subclass = {"torch._tensor\n_rebuild_from_type",
                                                                     "torch._tensor\n_rebuild_from_type_v2"};
inline constexpr std::string_view size = "torch\nSize";

/// Bytes per element of an unsupported type; 0 if unknown.
[[nodiscard]] inline std::size_t unread_element(std::string_view type) {
  const auto* const found = std::find_if(other_storage_types.begin(), other_storage_types.end(),
                                         [&](const NamedSize& entry) { return entry.name == type; });
  return found != other_storage_types.end() ? found->element : 0;
}

template <class Table>
[[nodiscard]] std::optional<Dtype> find_dtype(const Table& table, std::string_view name) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const NamedDtype& entry) { return entry.name == name; });
  return found != table.end() ? std::optional(found->dtype) : std::nullopt;
}

}  // namespace torch

inline PickleId TorchObjects::call(PickleId callable, PickleId arguments, std::string_view nearby) {
  const bool is_global = is(callable, PickleKind::global);
  expect((is_global || is(callable, PickleKind::object)) && is(arguments, PickleKind::tuple), nearby,
         "a call of a global");
  if (!is_global) return add_object(Making::call, callable, arguments);
  const std::string_view global = values_.text(callable);
  if (is_among(torch::rebuild_tensor, global)) return make_tensor(global, arguments, nearby);
  if (is_among(torch::rebuild_parameter, global)) return unwrap_parameter(arguments, nearby);
  if (is_among(torch::rebuild_subclass, global)) return unwrap_subclass(callable, arguments, nearby);
  if (is_among(torch::dicts, global)) return make_dict(callable, arguments);
  if (global == torch::size && values_.count(arguments) == 1) {
    const PickleId sizes = values_.item(values_.first_cell(arguments));
    if (is(sizes, PickleKind::tuple)) return sizes;
  }
  return add_object(Making::call, callable, arguments);
}

inline PickleId TorchObjects::create(PickleId callable, PickleId arguments, std::string_view nearby) {
  const bool is_global = is(callable, PickleKind::global);
  expect((is_global || is(callable, PickleKind::object)) && is(arguments, PickleKind::tuple), nearby,
         "a class and its arguments");
  if (!is_global) return add_object(Making::creation, callable, arguments);
  const std::string_view global = values_.text(callable);
  if (is_among(torch::dicts, global)) return make_dict(callable, arguments);
  if (is_among(torch::rebuild_tensor, global) || is_among(torch::rebuild_parameter, global))
    throw error(nearby, "expected a class to make an object of, found ", quote_global(global));
  return add_object(Making::creation, callable, arguments);
}

/// An inert object that Python would make `by` a global, or by another inert object, from a value that is not kept.
inline PickleId TorchObjects::add_object(Making how, PickleId by, PickleId holding) {
  const bool by_object = is(by, PickleKind::object);
  const PickleId global = by_object ? static_cast<PickleId>(values_.content(by)) : by;
  const PickleId object = values_.add(PickleKind::object, global, static_cast<std::uint32_t>(how));
  values_.note_held(object, holding);
  if (by_object) values_.note_held(object, by);
  return object;
}

inline std::string TorchObjects::describe(PickleId object) const {
  const std::string name = quote_global(values_.text(static_cast<PickleId>(values_.content(object))));
  switch (static_cast<Making>(values_.count(object))) {
    case Making::creation:
      return "an object of class " + name + ": only Python can take its state dict";
    case Making::call:
      return "a call of " + name + ", which only Python could execute";
    case Making::tensor:
      break;
  }
  return "a tensor of type " + name + ", which is not read here";
}

/// A dict, empty or with the pairs in the only argument, as Python 2 writes it.
inline PickleId TorchObjects::make_dict(PickleId callable, PickleId arguments) {
  const std::uint32_t count = values_.count(arguments);
  if (count == 0) return values_.add_container(PickleKind::dict);
  const PickleId pairs = values_.item(values_.first_cell(arguments));
  if (count > 1 || is(pairs, PickleKind::dict)) return add_object(Making::call, callable, arguments);
  const PickleId dict = values_.add_container(PickleKind::dict);
  if (!is(pairs, PickleKind::list)) return dict;  // a default factory
  for (std::uint32_t cell = values_.first_cell(pairs); cell != PickleValues::no_cell; cell = values_.next_cell(cell)) {
    const PickleId pair = values_.item(cell);
    if ((!is(pair, PickleKind::list) && !is(pair, PickleKind::tuple)) || values_.count(pair) != 2)
      return add_object(Making::call, callable, arguments);
    for (const PickleId item : values_.items(pair)) values_.append(dict, item);
  }
  return dict;
}

inline PickleId TorchObjects::unwrap_parameter(PickleId arguments, std::string_view nearby) {
  const std::uint32_t count = values_.count(arguments);
  expect(count == 3 || count == 4, nearby, "the arguments of a parameter");
  const PickleId tensor = values_.item(values_.first_cell(arguments));
  const bool is_made_elsewhere =
      is(tensor, PickleKind::object) && values_.count(tensor) != static_cast<std::uint32_t>(Making::creation);
  expect(is(tensor, PickleKind::tensor) || is_made_elsewhere, nearby, "a tensor as parameter");
  return tensor;
}

/// The numbers of a tensor of a class that only Python knows; such classes may restore them in their own way.
inline PickleId TorchObjects::unwrap_subclass(PickleId callable, PickleId arguments, std::string_view nearby) {
  if (values_.count(arguments) < 3) return add_object(Making::call, callable, arguments);
  const std::uint32_t first = values_.first_cell(arguments);
  const std::uint32_t third = values_.next_cell(values_.next_cell(first));
  const PickleId function = values_.item(first), inner = values_.item(third);
  const bool is_plain = is(function, PickleKind::global) && is(inner, PickleKind::tuple) &&
                        is_among(torch::rebuild_tensor, values_.text(function));
  return is_plain ? make_tensor(values_.text(function), inner, nearby) : add_object(Making::call, callable, arguments);
}

inline bool TorchObjects::are_counts(PickleId id) const {
  if (!is(id, PickleKind::tuple) || values_.count(id) > most_dimensions) return false;
  const std::vector<PickleId> items = values_.items(id);
  return std::all_of(items.begin(), items.end(), [this](PickleId item) { return is_count(item); });
}

/// _rebuild_tensor(storage, offset, sizes, strides), v2(..., requires_grad, hooks[, metadata]),
/// v3(..., requires_grad, hooks, dtype[, metadata])
inline PickleId TorchObjects::make_tensor(std::string_view function, PickleId arguments, std::string_view nearby) {
  const auto version = static_cast<std::size_t>(
      std::find(torch::rebuild_tensor.begin(), torch::rebuild_tensor.end(), function) - torch::rebuild_tensor.begin());
  constexpr std::array<std::uint32_t, 3> fewest = {4, 6, 7};
  constexpr std::array<std::uint32_t, 3> most = {4, 7, 8};
  const std::uint32_t count = values_.count(arguments);
  expect(fewest[version] <= count && count <= most[version], nearby, "the arguments of a tensor");
  const std::vector<PickleId> parts = values_.items(arguments);
  if (is(parts[0], PickleKind::object) && values_.count(parts[0]) == static_cast<std::uint32_t>(Making::tensor))
    return add_object(Making::tensor, parts[0], PickleValues::none);
  expect(is(parts[0], PickleKind::storage), nearby, "a storage as the first argument of a tensor");
  expect(is_count(parts[1]), nearby, "an offset of at least 0 as the second argument of a tensor");
  expect(are_counts(parts[2]) && are_counts(parts[3]) && values_.count(parts[2]) == values_.count(parts[3]), nearby,
         "as many strides as dimensions of a tensor, at most 16 and none negative");

  const auto storage = static_cast<std::uint32_t>(values_.content(parts[0]));
  std::optional<Dtype> dtype = storages_[storage].dtype;
  if (version == 2) {
    expect(!dtype && is(parts[6], PickleKind::global), nearby, "bytes and a dtype as arguments of a tensor");
    dtype = torch::find_dtype(torch::dtypes, values_.text(parts[6]));
    if (!dtype) return add_object(Making::tensor, parts[6], PickleValues::none);
  }
  if (!dtype) throw error(nearby, "expected a storage of known type for a tensor, found one of bytes");

  values_.budget().take(sizeof(TorchTensor));
  tensors_.push_back({storage, *dtype, values_.content(parts[1]), parts[2], parts[3]});
  return values_.add(PickleKind::tensor, tensors_.size() - 1);
}

inline PickleId TorchObjects::storage(PickleId persistent_id, std::string_view nearby) {
  expect(is(persistent_id, PickleKind::tuple), nearby, "a tuple that names a storage");
  const std::uint32_t count = values_.count(persistent_id);
  expect(4 <= count && count <= 6, nearby, "a tuple that names a storage");
  const std::vector<PickleId> parts = values_.items(persistent_id);
  const bool is_class =
      is(parts[0], PickleKind::text) && values_.text(parts[0]) == "module" && is(parts[1], PickleKind::global);
  if (count == 4 && is_class) return parts[1];
  expect(count > 4, nearby, "a tuple that names a storage");
  const bool typed = is(parts[0], PickleKind::text) && values_.text(parts[0]) == "storage" &&
                     is(parts[1], PickleKind::global) && is(parts[2], PickleKind::text) && is_count(parts[4]);
  expect(typed, nearby, "('storage', type, key, location, count)");
  const std::string_view type = values_.text(parts[1]);
  TorchStorage storage;
  storage.key = values_.text(parts[2]);
  storage.dtype = torch::find_dtype(torch::storage_types, type);
  storage.count = values_.content(parts[4]);
  storage.is_read = storage.dtype || is_among(torch::untyped_storages, type);
  if (storage.dtype) storage.element = static_cast<std::size_t>(dtype_bits(*storage.dtype)) / 8;
  if (!storage.is_read) storage.element = torch::unread_element(type);
  const std::uint32_t whole = find_or_add(storage, nearby);
  if (!storage.is_read) return add_object(Making::tensor, parts[1], PickleValues::none);
  if (count == 5 || parts[5] == PickleValues::none) return values_.add(PickleKind::storage, whole);

  expect(is(parts[5], PickleKind::tuple) && values_.count(parts[5]) == 3, nearby,
         "(key, offset, count) of a part of a storage");
  const std::vector<PickleId> view = values_.items(parts[5]);
  expect(is(view[0], PickleKind::text) && is_count(view[1]) && is_count(view[2]), nearby,
         "(key, offset, count) of a part of a storage");
  storage.key = values_.text(view[0]);
  storage.base = whole;
  storage.begin = values_.content(view[1]);
  storage.count = values_.content(view[2]);
  return values_.add(PickleKind::storage, find_or_add(storage, nearby));
}

inline std::uint32_t TorchObjects::find_or_add(const TorchStorage& storage, std::string_view nearby) {
  constexpr std::size_t longest_key = 256;
  expect(storage.key.size() <= longest_key, nearby, "the key of a storage, of at most 256 bytes");
  const auto next = static_cast<std::uint32_t>(storages_.size());
  const auto [found, is_new] = by_key_.try_emplace(storage.key, next);
  if (is_new) {
    constexpr std::size_t node_size = 96;
    values_.budget().take(sizeof(TorchStorage) + node_size);
    storages_.push_back(storage);
  }
  const TorchStorage& known = storages_[found->second];
  const bool agree = known.dtype == storage.dtype && known.element == storage.element && known.count == storage.count &&
                     known.base == storage.base && known.begin == storage.begin;
  if (!agree) throw error(nearby, "expected one type and size of storage ", quote(storage.key), ", found two");
  return found->second;
}

}  // namespace crate::detail
