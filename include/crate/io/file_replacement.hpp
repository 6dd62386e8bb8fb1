// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/io/file_error.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace crate {

/// Writes a file whole or not at all. The bytes go to a temporary file in the same folder, which `commit` flushes to
/// the disk and renames; until then, and if anything fails, what stood under the path stays as it was.
class FileReplacement {
 public:
  /// Throws FileError if the folder cannot be written to, or if the path names something that is no regular file.
  explicit FileReplacement(const std::filesystem::path& path);
  ~FileReplacement();
  FileReplacement(const FileReplacement&) = delete;
  FileReplacement& operator=(const FileReplacement&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void commit();

 private:
  [[nodiscard]] FileError failure(int reason) const {
    return file_error(target_.string(), "cannot be written: ", std::generic_category().message(reason));
  }
  void open_temporary();

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  std::FILE* file_ = nullptr;
};

inline FileReplacement::FileReplacement(const std::filesystem::path& path) : target_(path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status)) {
    if (!std::filesystem::is_regular_file(status))
      throw file_error(path.string(), "cannot be written: expected a regular file or none");
    target_ = std::filesystem::canonical(path, error);  // a link stays, what it points to is replaced
    if (error) throw failure(error.value());
  }
  open_temporary();
}

inline FileReplacement::~FileReplacement() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

inline void FileReplacement::open_temporary() {
  std::random_device random;
  for (int attempt = 0; attempt < 16 && file_ == nullptr; ++attempt) {
    temporary_ = target_;
    temporary_ += concatenate(".", random(), ".tmp");
    file_ = std::fopen(temporary_.string().c_str(), "wbx");
    if (file_ == nullptr && errno != EEXIST) break;
  }
  if (file_ == nullptr) throw failure(errno);
}

inline void FileReplacement::write(std::span<const std::byte> bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) throw failure(errno);
}

inline void FileReplacement::commit() {
  if (std::fflush(file_) != 0) throw failure(errno);
#if defined(__unix__) || defined(__APPLE__)
  if (::fsync(::fileno(file_)) != 0) throw failure(errno);
#endif
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
  const int reason = errno;
  std::error_code error;
  if (closed) std::filesystem::rename(temporary_, target_, error);
  if (closed && !error) return;

  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
  throw failure(closed ? error.value() : reason);
}

}  // namespace crate
