// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/formats/detail/byte_cursor.hpp"
#include "crate/io/formats/detail/crc32.hpp"
#include "crate/io/formats/detail/memory_budget.hpp"
#include "crate/io/formats/file_error.hpp"

// PyTorch never compresses the members of its archives, so that tensors can be used in place. Hence this reader of
// uncompressed members, instead of a dependency on a compression library with its own way of reading hostile files.

namespace crate::detail {

struct ZipMember {
  std::string_view name;
  std::span<const std::byte> bytes;
  std::uint64_t begin = 0;  ///< of its local header in the archive
  std::uint32_t crc = 0;
  std::uint16_t method = 0;  ///< compression method; 0: none
};

/// The members of a zip archive; those that are not compressed can be read. Only the central directory counts.
/// Throws FileError unless the directory ends with the archive, its members lie before it without overlap, agree with
/// their local headers, and have plain, unique names.
class StoredZip {
 public:
  StoredZip(std::span<const std::byte> archive, std::string_view source, MemoryBudget& budget);

  /// Sorted by name.
  [[nodiscard]] const std::vector<ZipMember>& members() const { return members_; }

  /// The member of this name; nullptr if there is none.
  [[nodiscard]] const ZipMember* find(std::string_view name) const;

  /// The content of the member.
  /// Throws FileError if no member has this name, or if it is compressed or its checksum is wrong.
  [[nodiscard]] std::span<const std::byte> content(std::string_view name) const;

 private:
  struct Directory {
    std::uint64_t begin = 0, size = 0, count = 0;
    std::uint64_t end = 0;  ///< begin of the end record, which describes the directory
  };

  [[nodiscard]] ByteCursor cursor(std::uint64_t begin, std::uint64_t end, std::string_view part) const {
    const auto first = static_cast<std::size_t>(begin);
    return {archive_.subspan(first, static_cast<std::size_t>(end) - first), source_, part};
  }
  [[nodiscard]] Directory find_directory() const;
  void read_directory64(std::uint64_t locator, Directory& directory) const;
  [[nodiscard]] ZipMember read_entry(ByteCursor& entries, const Directory& directory) const;
  [[nodiscard]] std::span<const std::byte> locate(const ZipMember& member, std::uint64_t size,
                                                  std::uint64_t limit) const;
  void check_members();

  template <class... Parts>
  [[nodiscard]] FileError error(const Parts&... parts) const {
    return file_error(source_, "zip archive: ", parts...);
  }

  std::span<const std::byte> archive_;
  std::string_view source_;
  std::vector<ZipMember> members_;
};

namespace zip {

inline constexpr std::uint32_t local_header = 0x04034B50U;
inline constexpr std::uint32_t central_header = 0x02014B50U;
inline constexpr std::uint32_t end_record = 0x06054B50U;
inline constexpr std::uint32_t end_record64 = 0x06064B50U;
inline constexpr std::uint32_t end_locator64 = 0x07064B50U;
inline constexpr std::uint64_t end_record_size = 22;
inline constexpr std::uint64_t end_locator64_size = 20;
inline constexpr std::uint64_t central_header_size = 46;
inline constexpr std::size_t longest_name = 1024;

/// Whether the field only indicates that the number is in a wider field.
template <class Narrow>
[[nodiscard]] bool is_elsewhere(Narrow field) {
  return field == std::numeric_limits<Narrow>::max();
}

/// Whether the name could leave the folder of its archive, or is interpreted differently by different readers.
[[nodiscard]] inline bool is_suspicious(std::string_view name) {
  const std::string framed = '/' + std::string(name) + '/';
  return name.empty() || name.size() > longest_name || name.front() == '/' ||
         framed.find("/../") != std::string::npos || name.find('\\') != std::string_view::npos ||
         name.find('\0') != std::string_view::npos;
}

/// Replaces sizes and offset that did not fit into the header by those in the extra fields.
inline void read_extra(ByteCursor extra, std::uint64_t& size, std::uint64_t& stored, std::uint64_t& offset) {
  while (extra.left() > 0) {
    const auto id = extra.take<std::uint16_t>();
    const auto length = extra.take<std::uint16_t>();
    ByteCursor field = extra;
    extra.take_bytes(length);
    if (id != 1) continue;
    for (std::uint64_t* const value : {&size, &stored, &offset})
      if (*value == 0xFFFFFFFFU) *value = field.take<std::uint64_t>();
    return;
  }
}

}  // namespace zip

inline StoredZip::StoredZip(std::span<const std::byte> archive, std::string_view source, MemoryBudget& budget)
    : archive_(archive), source_(source) {
  const Directory directory = find_directory();
  if (directory.begin > directory.end || directory.size != directory.end - directory.begin)
    throw error("expected a central directory up to byte ", directory.end, ", found one of ", directory.size,
                " bytes at byte ", directory.begin);
  if (directory.count > directory.size / zip::central_header_size)
    throw error("expected a central directory with at least ", zip::central_header_size, " bytes per member, found ",
                directory.size, " bytes for ", directory.count);

  budget.take(static_cast<std::size_t>(directory.count) * sizeof(ZipMember));
  members_.reserve(static_cast<std::size_t>(directory.count));
  ByteCursor entries = cursor(directory.begin, directory.end, "central directory");
  for (std::uint64_t i = 0; i < directory.count; ++i) members_.push_back(read_entry(entries, directory));
  if (entries.left() > 0) throw entries.error("expected the end after ", directory.count, " members, found more");
  check_members();
}

inline StoredZip::Directory StoredZip::find_directory() const {
  if (archive_.size() < zip::end_record_size)
    throw error("expected at least ", zip::end_record_size, " bytes, found ", archive_.size());
  const std::uint64_t begin = archive_.size() - zip::end_record_size;
  ByteCursor record = cursor(begin, archive_.size(), "end record");
  if (record.take<std::uint32_t>() != zip::end_record)
    throw error("expected an end record in the last ", zip::end_record_size, " bytes, found none: it may be cut off");
  const auto disks = record.take<std::uint32_t>();
  const auto count_here = record.take<std::uint16_t>();
  const auto count = record.take<std::uint16_t>();
  const auto size = record.take<std::uint32_t>();
  const auto offset = record.take<std::uint32_t>();
  const auto comment = record.take<std::uint16_t>();
  if (disks != 0 || count_here != count || comment != 0)
    throw error("expected one disk and no comment in the end record, found several disks or a comment");

  Directory directory = {offset, size, count, begin};
  if (begin >= zip::end_locator64_size) {
    const std::uint64_t locator = begin - zip::end_locator64_size;
    if (cursor(locator, begin, "").take<std::uint32_t>() == zip::end_locator64) read_directory64(locator, directory);
  }
  const auto agree = [](auto narrow, std::uint64_t wide) { return zip::is_elsewhere(narrow) || narrow == wide; };
  if (!agree(count, directory.count) || !agree(size, directory.size) || !agree(offset, directory.begin))
    throw error("expected end records that agree, found one of ", count, " members and one of ", directory.count);
  return directory;
}

inline void StoredZip::read_directory64(std::uint64_t locator, Directory& directory) const {
  ByteCursor pointer = cursor(locator + 4, locator + zip::end_locator64_size, "end locator");
  const auto disk = pointer.take<std::uint32_t>();
  const auto begin = pointer.take<std::uint64_t>();
  const auto disks = pointer.take<std::uint32_t>();
  if (disk != 0 || disks > 1 || begin > locator)
    throw error("expected the end record before its locator, found ", begin);

  ByteCursor record = cursor(begin, locator, "end record (64 bits)");
  const auto mark = record.take<std::uint32_t>();
  const auto size = record.take<std::uint64_t>();
  if (mark != zip::end_record64 || size != record.left())
    throw error("expected an end record between byte ", begin, " and its locator, found other bytes");
  record.take<std::uint32_t>();  // versions of writer and reader
  const auto disk_numbers = record.take<std::uint64_t>();
  const auto count_here = record.take<std::uint64_t>();
  directory.count = record.take<std::uint64_t>();
  directory.size = record.take<std::uint64_t>();
  directory.begin = record.take<std::uint64_t>();
  directory.end = begin;
  if (disk_numbers != 0 || count_here != directory.count) throw error("expected one disk, found more");
}

inline ZipMember StoredZip::read_entry(ByteCursor& entries, const Directory& directory) const {
  if (entries.take<std::uint32_t>() != zip::central_header) throw entries.error("expected a member, found other bytes");
  entries.take<std::uint32_t>();  // versions of writer and reader
  const auto flags = entries.take<std::uint16_t>();
  ZipMember member;
  member.method = entries.take<std::uint16_t>();
  entries.take<std::uint32_t>();  // time and date
  member.crc = entries.take<std::uint32_t>();
  std::uint64_t stored_size = entries.take<std::uint32_t>();
  std::uint64_t size = entries.take<std::uint32_t>();
  const auto name_size = entries.take<std::uint16_t>();
  const auto extra_size = entries.take<std::uint16_t>();
  const auto comment_size = entries.take<std::uint16_t>();
  const auto disk = entries.take<std::uint16_t>();
  entries.take_bytes(6);  // attributes
  member.begin = entries.take<std::uint32_t>();
  member.name = entries.take_text(name_size);
  zip::read_extra({entries.take_bytes(extra_size), source_, "extra field"}, size, stored_size, member.begin);
  entries.take_bytes(comment_size);

  if (zip::is_suspicious(member.name)) throw error("expected members with plain names, found ", quote(member.name));
  if (flags % 2 != 0 || disk != 0)
    throw error(quote(member.name), ": expected a plain member, found it encrypted or split");
  if (member.method == 0 && stored_size != size)
    throw error(quote(member.name), ": expected one size, found ", stored_size, " and ", size);
  member.bytes = locate(member, stored_size, directory.begin);
  return member;
}

inline std::span<const std::byte> StoredZip::locate(const ZipMember& member, std::uint64_t size,
                                                    std::uint64_t limit) const {
  if (member.begin > limit)
    throw error(quote(member.name), ": expected a place before the central directory at byte ", limit, ", found ",
                member.begin);
  const std::string name = quote(member.name);
  ByteCursor header = cursor(member.begin, limit, name);
  const auto mark = header.take<std::uint32_t>();
  header.take_bytes(4);
  const auto method = header.take<std::uint16_t>();
  header.take_bytes(16);  // time, checksum and sizes, which may be in the directory only
  const auto name_size = header.take<std::uint16_t>();
  const auto extra_size = header.take<std::uint16_t>();
  if (mark != zip::local_header || method != member.method || header.take_text(name_size) != member.name)
    throw error(quote(member.name), ": expected its local header at byte ", member.begin, ", found other bytes");
  header.take_bytes(extra_size);
  return header.take_bytes(size);
}

inline void StoredZip::check_members() {
  const auto by_place = [](const ZipMember& a, const ZipMember& b) { return a.begin < b.begin; };
  std::sort(members_.begin(), members_.end(), by_place);
  for (std::size_t i = 1; i < members_.size(); ++i) {
    const std::byte* const begin = archive_.data() + members_[i].begin;
    const std::span<const std::byte> before = members_[i - 1].bytes;
    if (begin < before.data() + before.size())
      throw error("expected members side by side, found ", quote(members_[i].name), " inside ",
                  quote(members_[i - 1].name));
  }

  const auto by_name = [](const ZipMember& a, const ZipMember& b) { return a.name < b.name; };
  std::sort(members_.begin(), members_.end(), by_name);
  const auto twin = std::adjacent_find(members_.begin(), members_.end(),
                                       [](const ZipMember& a, const ZipMember& b) { return a.name == b.name; });
  if (twin != members_.end()) throw error("expected one member ", quote(twin->name), ", found two");
}

inline const ZipMember* StoredZip::find(std::string_view name) const {
  const auto found = std::lower_bound(members_.begin(), members_.end(), name,
                                      [](const ZipMember& member, std::string_view key) { return member.name < key; });
  return found != members_.end() && found->name == name ? &*found : nullptr;
}

inline std::span<const std::byte> StoredZip::content(std::string_view name) const {
  const ZipMember* const member = find(name);
  if (member == nullptr) throw error("expected a member ", quote(name), ", found none of that name");
  if (member->method != 0)
    throw error(quote(name), ": expected a stored member as PyTorch writes, found it compressed (method ",
                member->method, ")");
  if (crc32(member->bytes) != member->crc)
    throw error(quote(name), ": expected the checksum ", member->crc, ", found ", crc32(member->bytes),
                ": it is damaged");
  return member->bytes;
}

}  // namespace crate::detail
