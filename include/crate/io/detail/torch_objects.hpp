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

#include "crate/io/detail/pickle_values.hpp"
#include "crate/io/file_error.hpp"
#include "crate/io/tensor.hpp"

namespace crate::detail {

/// Memory that tensors look at.
struct TorchStorage {
  std::string_view key;                    ///< names its bytes in the file
  std::optional<Dtype> dtype;              ///< nothing: bytes of any type
  std::uint64_t count = 0;                 ///< elements, or bytes of any type
  std::optional<std::uint32_t> base = {};  ///< the storage that it is a part of
  std::uint64_t begin = 0;                 ///< elements of the base before it
  std::span<const std::byte> bytes = {};   ///< still to be found in the file
};

struct TorchTensor {
  std::uint32_t storage = 0;
  Dtype dtype = Dtype::f32;
  std::uint64_t offset = 0;         ///< elements
  PickleId sizes = 0, strides = 0;  ///< tuples of integers of one length, at most `most_dimensions`
};

inline constexpr std::uint32_t most_dimensions = 16;

/// "collections\nOrderedDict" as in messages: 'collections.OrderedDict'
[[nodiscard]] inline std::string quote_global(std::string_view global) {
  std::string name(global.substr(0, 200));
  std::replace(name.begin(), name.end(), '\n', '.');
  return quote(name);
}

/// What Python would make by calling the classes and functions that occur in PyTorch's files. They are only names here: those
/// known are imitated, all others are refused.
class TorchObjects {
 public:
  TorchObjects(PickleValues& values, std::string_view source) : values_(values), source_(source) {}

  /// The value of calling a global. `nearby` is the last text before, for messages. Throws FileError for unknown globals.
  PickleId call(PickleId callable, PickleId arguments, std::string_view nearby);

  /// The value of making an object without calling anything: a dict if the class is one known, otherwise an inert object.
  PickleId create(PickleId callable, PickleId arguments, std::string_view nearby);

  /// The storage that a persistent id stands for: ("storage", type, key, location, count[, view]).
  PickleId storage(PickleId persistent_id, std::string_view nearby);

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
    if (!holds) throw error(nearby, "expected ", what, ", found something else");
  }
  [[nodiscard]] bool is(PickleId id, PickleKind kind) const { return values_.kind(id) == kind; }
  [[nodiscard]] bool is_count(PickleId id) const { return is(id, PickleKind::integer) && values_.integer(id) >= 0; }
  [[nodiscard]] bool are_counts(PickleId id) const;

  PickleId make_dict(PickleId arguments, std::string_view nearby);
  PickleId make_tensor(std::string_view function, PickleId arguments, std::string_view nearby);
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

/// The types that stand beside a storage of bytes.
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
inline constexpr std::string_view rebuild_parameter = "torch._utils\n_rebuild_parameter";
inline constexpr std::string_view size = "torch\nSize";

/// What stands beside the weights in training checkpoints and has no use here.
inline constexpr std::array<std::string_view, 23> beside_weights = {
    "torch\ndevice",
    "collections\nCounter",
    "collections\ndeque",
    "_codecs\nencode",
    "__builtin__\nset",
    "__builtin__\nfrozenset",
    "__builtin__\nbytearray",
    "__builtin__\ncomplex",
    "builtins\nset",
    "builtins\nfrozenset",
    "builtins\nbytearray",
    "builtins\ncomplex",
    "numpy\ndtype",
    "numpy.core.multiarray\nscalar",
    "numpy.core.multiarray\n_reconstruct",
    "numpy._core.multiarray\nscalar",
    "numpy._core.multiarray\n_reconstruct",
    "pathlib\nPosixPath",
    "pathlib\nWindowsPath",
    "pathlib\nPurePosixPath",
    "datetime\ndatetime",
    "datetime\ndate",
    "datetime\ntimedelta",
};

template <class Names>
[[nodiscard]] bool is_one_of(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <class Table>
[[nodiscard]] std::optional<Dtype> find_dtype(const Table& table, std::string_view name) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const NamedDtype& entry) { return entry.name == name; });
  return found != table.end() ? std::optional(found->dtype) : std::nullopt;
}

}  // namespace torch

inline PickleId TorchObjects::call(PickleId callable, PickleId arguments, std::string_view nearby) {
  expect(is(callable, PickleKind::global) && is(arguments, PickleKind::tuple), nearby, "a call of a global");
  const std::string_view global = values_.text(callable);
  if (torch::is_one_of(torch::rebuild_tensor, global)) return make_tensor(global, arguments, nearby);
  if (torch::is_one_of(torch::dicts, global)) return make_dict(arguments, nearby);
  if (torch::is_one_of(torch::beside_weights, global)) return values_.add(PickleKind::object, callable);
  const std::uint32_t count = values_.count(arguments);
  if (global == torch::rebuild_parameter) {
    expect(count == 3 && is(values_.item(values_.first_cell(arguments)), PickleKind::tensor), nearby,
           "a tensor as parameter");
    return values_.item(values_.first_cell(arguments));
  }
  if (global == torch::size) {
    expect(count == 1 && is(values_.item(values_.first_cell(arguments)), PickleKind::tuple), nearby,
           "a tuple as torch.Size");
    return values_.item(values_.first_cell(arguments));
  }
  throw error(nearby, "expected tensors and plain values, found a call of ", quote_global(global),
              ", which only Python could execute");
}

inline PickleId TorchObjects::create(PickleId callable, PickleId arguments, std::string_view nearby) {
  expect(is(callable, PickleKind::global) && is(arguments, PickleKind::tuple), nearby, "a class and its arguments");
  const std::string_view global = values_.text(callable);
  if (torch::is_one_of(torch::dicts, global)) return make_dict(arguments, nearby);
  if (torch::is_one_of(torch::rebuild_tensor, global) || global == torch::rebuild_parameter)
    throw error(nearby, "expected a class to make an object of, found ", quote_global(global));
  return values_.add(PickleKind::object, callable);
}

/// An empty dict, or one of the pairs that Python 2 gives as the only argument.
inline PickleId TorchObjects::make_dict(PickleId arguments, std::string_view nearby) {
  const PickleId dict = values_.add_container(PickleKind::dict);
  if (values_.count(arguments) == 0) return dict;
  const PickleId pairs = values_.item(values_.first_cell(arguments));
  if (values_.count(arguments) == 1 && is(pairs, PickleKind::global)) return dict;  // what makes missing values
  expect(values_.count(arguments) == 1 && is(pairs, PickleKind::list), nearby, "a list of pairs to make a dict");
  for (std::uint32_t cell = values_.first_cell(pairs); cell != PickleValues::no_cell; cell = values_.next_cell(cell)) {
    const PickleId pair = values_.item(cell);
    const bool holds_items = is(pair, PickleKind::list) || is(pair, PickleKind::tuple);
    expect(holds_items && values_.count(pair) == 2, nearby, "a list of pairs to make a dict");
    for (const PickleId item : values_.items(pair)) values_.append(dict, item);
  }
  return dict;
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
  expect(is(parts[0], PickleKind::storage), nearby, "a storage as the first argument of a tensor");
  expect(is_count(parts[1]), nearby, "an offset of at least 0 as the second argument of a tensor");
  expect(are_counts(parts[2]) && are_counts(parts[3]) && values_.count(parts[2]) == values_.count(parts[3]), nearby,
         "as many strides as dimensions of a tensor, at most 16 and none negative");

  const auto storage = static_cast<std::uint32_t>(values_.content(parts[0]));
  std::optional<Dtype> dtype = storages_[storage].dtype;
  if (version == 2) {
    expect(!dtype && is(parts[6], PickleKind::global), nearby, "bytes and a dtype as arguments of a tensor");
    dtype = torch::find_dtype(torch::dtypes, values_.text(parts[6]));
    if (!dtype) throw error(nearby, "expected a known dtype, found ", quote_global(values_.text(parts[6])));
  }
  if (!dtype) throw error(nearby, "expected a storage of known type for a tensor, found one of bytes");

  values_.budget().take(sizeof(TorchTensor));
  tensors_.push_back({storage, *dtype, values_.content(parts[1]), parts[2], parts[3]});
  return values_.add(PickleKind::tensor, tensors_.size() - 1);
}

inline PickleId TorchObjects::storage(PickleId persistent_id, std::string_view nearby) {
  const std::uint32_t count = values_.count(persistent_id);
  expect(is(persistent_id, PickleKind::tuple) && (count == 5 || count == 6), nearby, "a tuple that names a storage");
  const std::vector<PickleId> parts = values_.items(persistent_id);
  const bool typed = is(parts[0], PickleKind::text) && values_.text(parts[0]) == "storage" &&
                     is(parts[1], PickleKind::global) && is(parts[2], PickleKind::text) && is_count(parts[4]);
  expect(typed, nearby, "('storage', type, key, location, count)");
  const std::string_view type = values_.text(parts[1]);
  TorchStorage storage;
  storage.key = values_.text(parts[2]);
  storage.dtype = torch::find_dtype(torch::storage_types, type);
  storage.count = values_.content(parts[4]);
  if (!storage.dtype && !torch::is_one_of(torch::untyped_storages, type))
    throw error(nearby, "expected a known type of storage, found ", quote_global(type));
  const std::uint32_t whole = find_or_add(storage, nearby);
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
  const bool agree = known.dtype == storage.dtype && known.count == storage.count && known.base == storage.base &&
                     known.begin == storage.begin;
  if (!agree) throw error(nearby, "expected one type and size of storage ", quote(storage.key), ", found two");
  return found->second;
}

}  // namespace crate::detail
