// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/detail/byte_cursor.hpp"
#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/detail/memory_budget.hpp"
#include "crate/io/formats/detail/pickle_operations.hpp"
#include "crate/io/formats/detail/pickle_values.hpp"
#include "crate/io/formats/detail/stored_zip.hpp"
#include "crate/io/formats/detail/strided_tensor.hpp"
#include "crate/io/formats/detail/tensor_tree.hpp"
#include "crate/io/formats/detail/torch_objects.hpp"
#include "crate/io/formats/detail/unpickler.hpp"
#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

// The files of torch.save. Since PyTorch 1.6 they are zip archives: a pickle that describes the object, and a member
// with the bytes of each storage. Before, they were several pickles in a row, followed by the storages.

namespace crate {

/// The tensors of a PyTorch file (.pth, .pt), zip or legacy, in the order of its dicts. The name of each is its path,
/// such as 'state_dict.module.cls_token' or 'optimizer.state.0.exp_avg'; its own key, after the containers, begins at
/// `Tensor::key_begin`. Plain values and texts in nested dicts ('epoch', 'model_args.n_head') become the metadata.
///
/// Tensors view the file's bytes, which the table keeps alive; only those that are not row-major in it are copied.
///
/// Nothing in the file is executed. Objects that only Python could make (of its classes, or results of its functions),
/// such as the arguments of a training program, are left out with their contents; only if the weights are inside such
/// an object, as in a whole model saved instead of its state dict, or in TorchScript, FileError names it. Damaged or
/// hostile files are a FileError, too: checksums, lengths and types are checked, and at most four times the file's size
/// and three mebibytes are allocated. See `find_weights` for the weights among the tensors.
[[nodiscard]] TensorTable read_pth(const std::filesystem::path& path, FileAccess access = FileAccess::map);

/// read_pth for bytes in memory, which must outlive the table and all its copies. `source` names them in messages.
[[nodiscard]] TensorTable parse_pth(std::span<const std::byte> bytes, std::string source = "in memory");

namespace detail {

constexpr std::size_t largest_pickle = std::size_t{1} << 31U;

/// Keeps the bytes of a table's tensors alive.
struct PthMemory {
  std::shared_ptr<const FileBytes> file;
  TensorCopies copies;
};

/// Throws FileError if all tensors, or all matrices, are inside objects that only Python could make.
inline void check_not_left_out(const TensorTree& tree, const TorchObjects& objects, std::string_view source) {
  if (!tree.left_out) return;
  const auto& made = objects.tensors();
  const bool has_matrix = std::any_of(tree.tensors.begin(), tree.tensors.end(),
                                      [](const Tensor& tensor) { return tensor.shape.size() > 1; });
  const bool left_out_matrix = std::any_of(
      made.begin(), made.end(), [&](const TorchTensor& tensor) { return objects.values().count(tensor.sizes) > 1; });
  if (!tree.tensors.empty() && (has_matrix || !left_out_matrix)) return;
  const auto& [object, path] = *tree.left_out;
  throw file_error(source, path.empty() ? "" : quote(path) + ": ", "expected tensors in dicts and lists, found ",
                   objects.describe(object));
}

/// The table of the tensors in the value, after the storages received their bytes.
[[nodiscard]] inline TensorTable pth_table(const PickleValues& values, const TorchObjects& objects, PickleId root,
                                           std::string source, std::shared_ptr<const FileBytes> file) {
  TensorTree tree(values, objects, source);
  tree.walk(root);
  check_not_left_out(tree, objects, source);
  for (Tensor& tensor : tree.tensors) tensor.file = file.get();
  auto memory = std::make_shared<PthMemory>(PthMemory{std::move(file), std::move(tree.copies)});
  return TensorTable(std::move(source), std::move(tree.tensors), std::move(tree.metadata), std::move(memory));
}

/// The content of a zip archive that PyTorch did not write.
[[nodiscard]] inline std::string describe_members(const StoredZip& archive) {
  const auto is_any = [&](std::string_view ending) {
    const auto& members = archive.members();
    return std::any_of(members.begin(), members.end(), [&](const ZipMember& m) { return m.name.ends_with(ending); });
  };
  if (is_any(".npy")) return "arrays of numpy (.npz)";
  if (is_any(".weights.h5")) return "a model of Keras (.keras)";
  for (const std::string_view ending : {".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".pth.tar"})
    if (is_any(ending)) return concatenate("an archive with a file *", ending, " in it: unpack it");
  return archive.members().empty() ? "an empty archive" : "one with " + quote(archive.members().front().name);
}

/// The folder of the archive's members, with a slash at its end.
[[nodiscard]] inline std::string pth_folder(const StoredZip& archive, std::string_view source) {
  constexpr std::string_view pickle_name = "/data.pkl";
  std::string folder;
  for (const ZipMember& member : archive.members()) {
    if (!member.name.ends_with(pickle_name)) continue;
    if (!folder.empty())
      throw file_error(source, "expected one member data.pkl, found ", quote(folder), " and ", quote(member.name));
    folder = member.name.substr(0, member.name.size() - pickle_name.size() + 1);
  }
  if (folder.empty())
    throw file_error(source, "expected a zip archive of PyTorch with a member data.pkl, found ",
                     describe_members(archive));
  if (archive.find(folder + "constants.pkl") != nullptr)
    throw file_error(source, "expected tensors, found a TorchScript program (constants.pkl)");
  return folder;
}

inline void check_byte_order(const StoredZip& archive, const std::string& folder, std::string_view source) {
  const std::string name = folder + "byteorder";
  if (archive.find(name) == nullptr) return;
  const std::span<const std::byte> content = archive.content(name);
  const std::string_view order(reinterpret_cast<const char*>(content.data()), content.size());
  if (order != "little") throw file_error(source, "expected the byte order 'little', found ", quote(order));
}

/// Gives a storage its bytes in the file. Throws FileError unless their number is as stated.
inline void set_bytes(TorchStorage& storage, std::span<const std::byte> bytes, std::string_view source) {
  if (bytes.size() % storage.element != 0 || bytes.size() / storage.element != storage.count)
    throw file_error(source, "storage ", quote(storage.key), ": expected ", storage.count, " elements of ",
                     storage.element, " bytes, found ", bytes.size(), " bytes");
  storage.bytes = bytes;
}

/// Gives their bytes to storages that are parts of others.
inline void set_bytes_of_parts(std::deque<TorchStorage>& storages, std::string_view source) {
  for (TorchStorage& part : storages) {
    if (!part.base) continue;
    const TorchStorage& whole = storages[*part.base];
    const std::uint64_t count = whole.bytes.size() / part.element;
    if (whole.base || part.dtype != whole.dtype || part.begin > count || part.count > count - part.begin)
      throw file_error(source, "storage ", quote(part.key), ": expected a part of storage ", quote(whole.key), " of ",
                       count, " elements, found ", part.count, " elements from ", part.begin);
    part.bytes = whole.bytes.subspan(static_cast<std::size_t>(part.begin) * part.element,
                                     static_cast<std::size_t>(part.count) * part.element);
  }
}

[[nodiscard]] inline TensorTable parse_zip_pth(std::span<const std::byte> bytes, std::string source,
                                               std::shared_ptr<const FileBytes> file) {
  MemoryBudget budget(source, bytes.size());
  const StoredZip archive(bytes, source, budget);
  const std::string folder = pth_folder(archive, source);
  check_byte_order(archive, folder, source);

  const std::span<const std::byte> pickle = archive.content(folder + "data.pkl");
  if (pickle.size() > largest_pickle)
    throw file_error(source, "data.pkl: expected at most ", largest_pickle, " bytes, found ", pickle.size());
  PickleValues values(pickle, budget);
  TorchObjects objects(values, source);
  ByteCursor stream(pickle, source, "data.pkl");
  const PickleId root = Unpickler(stream, values, objects).run();
  if (stream.left() > 0) throw stream.error("expected the end of the pickle, found more bytes");

  for (TorchStorage& storage : objects.storages()) {
    if (storage.base || !storage.is_read) continue;
    const std::span<const std::byte> content = archive.content(concatenate(folder, "data/", storage.key));
    set_bytes(storage, content, source);
    if (file) file->release(content);  // which is in memory after the checksum
  }
  set_bytes_of_parts(objects.storages(), source);
  return pth_table(values, objects, root, std::move(source), std::move(file));
}

/// The size of the number 0x1950a86a20f9469cfc6c as a pickle, of any protocol, at the beginning of the bytes; 0 if
/// they do not begin with it.
[[nodiscard]] inline std::size_t legacy_mark_size(std::span<const std::byte> bytes) {
  constexpr std::array<unsigned char, 13> number = {0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9,
                                                    0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E};
  constexpr std::size_t protocol_size = 2, frame_size = 9;
  const auto is = [&](std::size_t position, int value) {
    return position < bytes.size() && std::to_integer<int>(bytes[position]) == value;
  };
  if (!is(0, pickle::protocol)) return 0;
  const std::size_t begin = protocol_size + (is(protocol_size, pickle::frame) ? frame_size : 0);
  for (std::size_t i = 0; i < number.size(); ++i)
    if (!is(begin + i, number[i])) return 0;
  return begin + number.size();
}

/// Reads and checks the version of a legacy file and the properties of the machine that wrote it.
inline void check_legacy_writer(Unpickler& pickles, const PickleValues& values, const ByteCursor& stream) {
  const PickleId version = pickles.run();
  if (values.kind(version) != PickleKind::integer || values.integer(version) != 1001)
    throw stream.error("expected version 1001 of the legacy format, found another version");
  const PickleId machine = pickles.run();
  if (values.kind(machine) != PickleKind::dict || values.count(machine) > 16)
    throw stream.error("expected the properties of the writing machine, found another value");
  const std::vector<PickleId> entries = values.items(machine);
  for (std::size_t i = 0; i + 1 < entries.size(); i += 2)
    if (values.kind(entries[i]) == PickleKind::text && values.text(entries[i]) == "little_endian" &&
        entries[i + 1] != PickleValues::yes)
      throw stream.error("expected the byte order 'little', found another one");
}

/// Reads the storages after the pickles, in the order of the keys: the number of elements, then the bytes.
inline void read_legacy_storages(const PickleValues& values, PickleId keys, ByteCursor& stream, TorchObjects& objects,
                                 std::string_view source) {
  std::map<std::string_view, TorchStorage*> wanted;
  for (TorchStorage& storage : objects.storages())
    if (!storage.base) wanted.emplace(storage.key, &storage);
  if (values.kind(keys) != PickleKind::list || values.count(keys) != wanted.size())
    throw stream.error("expected a list of the ", wanted.size(), " storages, found another value");
  for (std::uint32_t cell = values.first_cell(keys); cell != PickleValues::no_cell; cell = values.next_cell(cell)) {
    const PickleId key = values.item(cell);
    const auto found = values.kind(key) == PickleKind::text ? wanted.find(values.text(key)) : wanted.end();
    if (found == wanted.end()) throw stream.error("expected each storage once, found an unknown or repeated key");
    TorchStorage& storage = *found->second;
    if (storage.element == 0)
      throw stream.error("storage ", quote(storage.key), ": expected a known type of elements, found an unknown one");
    const auto count = stream.take<std::uint64_t>();
    if (count != storage.count || count > stream.left() / storage.element)
      throw stream.error("storage ", quote(storage.key), ": expected ", storage.count, " elements, found ", count,
                         " in ", stream.left(), " bytes");
    set_bytes(storage, stream.take_bytes(count * storage.element), source);
    wanted.erase(found);
  }
  if (stream.left() > 0) throw stream.error("expected the end of the file, found ", stream.left(), " more bytes");
}

[[nodiscard]] inline TensorTable parse_legacy_pth(std::span<const std::byte> bytes, std::string source,
                                                  std::shared_ptr<const FileBytes> file) {
  MemoryBudget budget(source, bytes.size());
  PickleValues values(bytes, budget);
  TorchObjects objects(values, source);
  ByteCursor stream(bytes, source, "legacy format");
  stream.take_bytes(legacy_mark_size(bytes));
  Unpickler pickles(stream, values, objects);
  check_legacy_writer(pickles, values, stream);
  const PickleId root = pickles.run();
  const PickleId keys = pickles.run();
  read_legacy_storages(values, keys, stream, objects, source);
  set_bytes_of_parts(objects.storages(), source);
  return pth_table(values, objects, root, std::move(source), std::move(file));
}

[[nodiscard]] inline TensorTable parse_pth(std::span<const std::byte> bytes, std::string source,
                                           std::shared_ptr<const FileBytes> file) {
  if (legacy_mark_size(bytes) > 0) return parse_legacy_pth(bytes, std::move(source), std::move(file));
  if (begins_with(bytes, zip_mark)) return parse_zip_pth(bytes, std::move(source), std::move(file));
  throw other_file_error(source, "a PyTorch file", bytes);
}

/// Whether the bytes begin like a file of torch.save, with a zip member or a pickle.
[[nodiscard]] inline bool begins_as_pth(std::span<const std::byte> bytes) {
  return begins_with(bytes, zip_mark) || legacy_mark_size(bytes) > 0;
}

}  // namespace detail

inline TensorTable read_pth(const std::filesystem::path& path, FileAccess access) {
  const auto file = std::make_shared<const FileBytes>(path, access);
  return detail::parse_pth(file->bytes(), path.string(), file);
}

inline TensorTable parse_pth(std::span<const std::byte> bytes, std::string source) {
  return detail::parse_pth(bytes, std::move(source), nullptr);
}

}  // namespace crate
