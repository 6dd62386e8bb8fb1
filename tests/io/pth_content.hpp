// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "crate/io/formats/detail/crc32.hpp"

// Contents of PyTorch files, put together byte by byte.

namespace crate::test {

template <class Number>
[[nodiscard]] std::string little_endian(Number number) {
  std::string bytes(sizeof number, '\0');
  std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}

template <class... Numbers>
[[nodiscard]] std::string floats(Numbers... numbers) {
  return (little_endian(static_cast<float>(numbers)) + ...);
}

[[nodiscard]] inline std::string repeated(const std::string& content, std::size_t times) {
  std::string result;
  for (std::size_t i = 0; i < times; ++i) result += content;
  return result;
}

// Values of pickles.

[[nodiscard]] inline std::string pickled(const std::string& value) { return "\x80\x02" + value + "."; }
[[nodiscard]] inline std::string text(const std::string& content) {
  return "X" + little_endian(static_cast<std::uint32_t>(content.size())) + content;
}
[[nodiscard]] inline std::string integer(std::int64_t value) { return "\x8A\x08" + little_endian(value); }
[[nodiscard]] inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
[[nodiscard]] inline std::string tuple(const std::string& items) { return "(" + items + "t"; }
[[nodiscard]] inline std::string list(const std::string& items) { return "](" + items + "e"; }
[[nodiscard]] inline std::string dict(const std::string& items) { return "}(" + items + "u"; }
[[nodiscard]] inline std::string call(const std::string& function, const std::string& arguments) {
  return function + tuple(arguments) + "R";
}
[[nodiscard]] inline std::string integers(const std::vector<std::int64_t>& values) {
  std::string items;
  for (const std::int64_t value : values) items += integer(value);
  return tuple(items);
}

[[nodiscard]] inline std::string storage(const std::string& key, std::int64_t count,
                                         const std::string& type = "FloatStorage") {
  return tuple(text("storage") + global("torch", type) + text(key) + text("cpu") + integer(count)) + "Q";
}

[[nodiscard]] inline std::string tensor(const std::string& in_storage, std::int64_t offset,
                                        const std::vector<std::int64_t>& sizes,
                                        const std::vector<std::int64_t>& strides) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              in_storage + integer(offset) + integers(sizes) + integers(strides) + "\x89}");
}

/// A tensor [n] over the whole storage.
[[nodiscard]] inline std::string vector_tensor(const std::string& key, std::int64_t size) {
  return tensor(storage(key, size), 0, {size}, {1});
}

// Zip archives.

struct ZipEntry {
  std::string name;
  std::string content;
  std::uint16_t method = 0;
  std::optional<std::uint32_t> crc = {};
};

/// What follows the signature in both headers of a member, up to the extra fields' length.
[[nodiscard]] inline std::string zip_fields(const ZipEntry& entry) {
  const auto size = static_cast<std::uint32_t>(entry.content.size());
  const std::uint32_t crc = entry.crc ? *entry.crc : detail::crc32(std::as_bytes(std::span(entry.content)));
  return little_endian(std::uint16_t{0}) + little_endian(std::uint16_t{0x0800}) + little_endian(entry.method) +
         little_endian(std::uint32_t{0}) + little_endian(crc) + little_endian(size) + little_endian(size) +
         little_endian(static_cast<std::uint16_t>(entry.name.size())) + little_endian(std::uint16_t{0});
}

[[nodiscard]] inline std::string zip_of(const std::vector<ZipEntry>& entries) {
  std::string archive;
  std::string directory;
  for (const ZipEntry& entry : entries) {
    directory += "PK\x01\x02" + little_endian(std::uint16_t{0}) + zip_fields(entry) + std::string(10, '\0') +
                 little_endian(static_cast<std::uint32_t>(archive.size())) + entry.name;
    archive += "PK\x03\x04" + zip_fields(entry) + entry.name + entry.content;
  }
  const auto count = static_cast<std::uint16_t>(entries.size());
  return archive + directory + "PK\x05\x06" + std::string(4, '\0') + little_endian(count) + little_endian(count) +
         little_endian(static_cast<std::uint32_t>(directory.size())) +
         little_endian(static_cast<std::uint32_t>(archive.size())) + std::string(2, '\0');
}

/// The file with this pickled value and these storages, "0", "1" and so on.
[[nodiscard]] inline std::string pth_of(const std::string& value, const std::vector<std::string>& storages = {}) {
  std::vector<ZipEntry> entries = {{"x/data.pkl", pickled(value)}};
  for (std::size_t i = 0; i < storages.size(); ++i) entries.push_back({"x/data/" + std::to_string(i), storages[i]});
  return zip_of(entries);
}

/// The same in the format before the zip.
[[nodiscard]] inline std::string legacy_pth_of(const std::string& value,
                                               const std::vector<std::string>& storages = {}) {
  std::string keys;
  std::string data;
  for (std::size_t i = 0; i < storages.size(); ++i) {
    keys += text(std::to_string(i));
    data += little_endian(static_cast<std::uint64_t>(storages[i].size() / sizeof(float))) + storages[i];
  }
  const std::string mark("\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19\x2E", 15);
  return mark + pickled(integer(1001)) + pickled(dict(text("little_endian") + "\x88")) + pickled(value) +
         pickled(list(keys)) + data;
}

}  // namespace crate::test
