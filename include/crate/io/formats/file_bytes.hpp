// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/regular_file.hpp"

#if defined(__unix__) || defined(__APPLE__)
#define CRATE_MAPS_FILES 1
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace crate {

/// How the bytes of a file are brought into memory.
enum class FileAccess {
  map,   ///< mapped without a copy; if another process truncates the file meanwhile, this program crashes (SIGBUS)
  copy,  ///< read: for files that other processes may change
};

/// All bytes of a regular file, read-only, as many as it had when it was opened.
/// If the system cannot map files, `FileAccess::map` reads them.
class FileBytes {
 public:
  /// Throws FileError if the path is not a regular file, or cannot be read.
  explicit FileBytes(const std::filesystem::path& path, FileAccess access = FileAccess::map);

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_.get(), size_}; }

  /// Releases the memory of some of the bytes, if they are mapped: they stay readable, and are read from the file
  /// again. No effect on other bytes.
  void release(std::span<const std::byte> part) const;

 private:
  using Release = void (*)(const std::byte* data, std::size_t size);

  struct Deleter {
    Release release = nullptr;
    std::size_t size = 0;
    void operator()(const std::byte* data) const { release(data, size); }
  };

  void map(const RegularFile& file, const std::filesystem::path& path);
  void read(RegularFile& file, const std::filesystem::path& path);

  std::size_t size_ = 0;
  bool mapped_ = false;
  std::unique_ptr<const std::byte, Deleter> data_{nullptr, Deleter{}};
};

inline FileBytes::FileBytes(const std::filesystem::path& path, FileAccess access) {
  RegularFile file(path);
  size_ = file.size();
#ifdef CRATE_MAPS_FILES
  if (access == FileAccess::map && size_ > 0) {
    map(file, path);
    return;
  }
#else
  static_cast<void>(access);
#endif
  read(file, path);
}

#ifdef CRATE_MAPS_FILES
inline void FileBytes::map(const RegularFile& file, const std::filesystem::path& path) {
  void* const address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (address == MAP_FAILED) throw file_error(path.string(), "cannot be mapped: ", system_message(errno));

  ::madvise(address, size_, MADV_WILLNEED);
  const Release unmap = [](const std::byte* data, std::size_t size) { ::munmap(const_cast<std::byte*>(data), size); };
  data_ = {static_cast<const std::byte*>(address), Deleter{unmap, size_}};
  mapped_ = true;
}

inline void FileBytes::release(std::span<const std::byte> part) const {
  constexpr std::less_equal<> not_after;
  if (!mapped_ || !not_after(data_.get(), part.data()) || !not_after(part.data() + part.size(), data_.get() + size_))
    return;
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto offset = static_cast<std::size_t>(part.data() - data_.get());
  const std::size_t first = (offset + page - 1) / page * page, end = (offset + part.size()) / page * page;
  if (first < end) ::madvise(const_cast<std::byte*>(data_.get()) + first, end - first, MADV_DONTNEED);
}
#else
inline void FileBytes::release(std::span<const std::byte>) const {}
#endif

inline void FileBytes::read(RegularFile& file, const std::filesystem::path& path) {
  std::byte* const data = new (std::nothrow) std::byte[size_];
  if (data == nullptr) throw file_error(path.string(), "needs ", size_, " bytes of memory, more than is available");
  data_ = {data, Deleter{[](const std::byte* bytes, std::size_t) { delete[] bytes; }, size_}};

  const std::size_t found = file.read({data, size_});
  if (found != size_) throw file_error(path.string(), "cannot be read: expected ", size_, " bytes, found ", found);
}

}  // namespace crate

#undef CRATE_MAPS_FILES
