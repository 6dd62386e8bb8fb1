// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/regular_file.hpp"

#if defined(__unix__) || defined(__APPLE__)
#define CRATE_HAS_DESCRIPTORS 1
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace crate {

/// Writes a file completely or not at all. The bytes go to a temporary file in the same folder, which `commit` flushes
/// to the disk and renames; until then, and after any failure, an existing file stays unchanged. A replaced file keeps
/// its permissions; if the path is a symbolic link, its target is replaced. Temporary files are locked while their
/// writer lives; those left by a killed program are removed the next time the same file is replaced. The folder is
/// listed only if there is a file to replace, so that writing many new files stays fast.
class FileReplacement {
 public:
  /// Throws FileError if the folder or the file cannot be written, or if the path is something other
  /// than a regular file.
  explicit FileReplacement(const std::filesystem::path& path);
  ~FileReplacement();
  FileReplacement(const FileReplacement&) = delete;
  FileReplacement& operator=(const FileReplacement&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void commit();

 private:
  [[nodiscard]] FileError failure(int reason) const {
    return file_error(path_.string(), "cannot be written: ", system_message(reason));
  }
  [[nodiscard]] FileError folder_failure(int reason) const;
  [[nodiscard]] std::filesystem::path folder() const;
  [[nodiscard]] std::string temporary_beginning() const;
  void follow_links();
  void remove_leftovers() const;
  void open_temporary();

  std::filesystem::path path_;    // as given
  std::filesystem::path target_;  // after following links
  std::filesystem::path temporary_;
  std::FILE* file_ = nullptr;
};

/// Throws FileError unless a file can be written there, new or as a replacement; for checks before long work.
inline void check_replaceable(const std::filesystem::path& path) { const FileReplacement attempt(path); }

namespace detail {

inline constexpr std::string_view temporary_end = ".tmp";
inline constexpr std::size_t temporary_digits = 16;

/// Sixteen random hexadecimal digits.
inline std::string random_digits() {
  std::random_device random;
  std::string digits;
  while (digits.size() < temporary_digits) digits += "0123456789abcdef"[random() % 16];
  return digits;
}

/// Whether this can be the name of one of our temporary files with this beginning.
inline bool is_temporary_name(std::string_view name, std::string_view beginning) {
  if (name.size() != beginning.size() + temporary_digits + temporary_end.size() || !name.starts_with(beginning) ||
      !name.ends_with(temporary_end))
    return false;
  return name.substr(beginning.size(), temporary_digits).find_first_not_of("0123456789abcdef") ==
         std::string_view::npos;
}

#ifdef CRATE_HAS_DESCRIPTORS

/// Removes a temporary file if it is not locked.
inline void remove_if_abandoned(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
  if (file < 0) return;
  struct stat status = {};
  if (::fstat(file, &status) == 0 && S_ISREG(status.st_mode) && ::flock(file, LOCK_EX | LOCK_NB) == 0)
    ::unlink(path.c_str());
  ::close(file);
}

/// Creates and locks a new file; -1 with the reason in errno on failure, EEXIST if another name must be tried.
inline int create_locked(const std::filesystem::path& path, mode_t mode) {
  const int file =
      above_standard_streams(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (file < 0) return -1;
  struct stat status = {};
  const bool held_by_cleaner = ::flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (!held_by_cleaner && ::fstat(file, &status) == 0 && status.st_nlink > 0) return file;
  ::close(file);
  errno = EEXIST;
  return -1;
}

/// Gives a new, private file the owner and the permissions of the file that it replaces, as far as this program may;
/// what cannot be transferred leaves it more private.
inline void inherit_permissions(int file, const struct stat& replaced) {
  mode_t mode = replaced.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
  constexpr auto same_owner = static_cast<uid_t>(-1);
  if (::fchown(file, replaced.st_uid, replaced.st_gid) != 0 && ::fchown(file, same_owner, replaced.st_gid) != 0)
    mode &= ~static_cast<mode_t>(S_IRWXG);
  ::fchmod(file, mode);
}

#endif

}  // namespace detail

inline FileReplacement::FileReplacement(const std::filesystem::path& path) : path_(path), target_(path) {
  if (path.empty()) throw file_error("", "cannot be written: expected the name of a file");
  follow_links();
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(target_, error);
  if (std::filesystem::exists(status)) {
    check_regular(path, status.type(), "cannot be written: expected a regular file or none");
    remove_leftovers();
  } else if (!target_.has_filename()) {
    throw folder_failure(ENOENT);
  }
  open_temporary();
}

inline FileReplacement::~FileReplacement() {
  if (file_ == nullptr) return;
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
  std::fclose(file_);
}

inline std::filesystem::path FileReplacement::folder() const {
  return target_.has_parent_path() ? target_.parent_path() : std::filesystem::path(".");
}

inline FileError FileReplacement::folder_failure(int reason) const {
  if (!path_exists(folder()))
    return file_error(path_.string(), "cannot be written: there is no folder ", quote(folder().string()));
  return file_error(path_.string(), "cannot be written: its folder: ", system_message(reason));
}

/// Follows links, including those to files that do not exist yet.
inline void FileReplacement::follow_links() {
  std::error_code error;
  constexpr int as_many_as_the_system_follows = 40;
  for (int links = 0; std::filesystem::is_symlink(target_, error); ++links) {
    if (links == as_many_as_the_system_follows) throw failure(ELOOP);
    const std::filesystem::path next = std::filesystem::read_symlink(target_, error);
    if (error) throw failure(error.value());
    target_ = target_.parent_path() / next;
  }
}

/// Truncates long names to leave space for the rest.
inline std::string FileReplacement::temporary_beginning() const {
  constexpr std::size_t most = 200;
  return target_.filename().string().substr(0, most) + ".crate-";
}

inline void FileReplacement::remove_leftovers() const {
#ifdef CRATE_HAS_DESCRIPTORS
  const std::string beginning = temporary_beginning();
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder(), error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
    if (detail::is_temporary_name(entry->path().filename().string(), beginning))
      detail::remove_if_abandoned(entry->path());
#endif
}

inline void FileReplacement::open_temporary() {
  const auto new_name = [this] {
    temporary_ = folder() / (temporary_beginning() + detail::random_digits() + std::string(detail::temporary_end));
  };
  constexpr int attempts = 16;
#ifdef CRATE_HAS_DESCRIPTORS
  struct stat replaced = {};
  const bool replaces = ::stat(target_.c_str(), &replaced) == 0;
  if (replaces && ::access(target_.c_str(), W_OK) != 0) throw failure(errno);
  constexpr mode_t private_file = 0600, all_that_the_mask_allows = 0666;
  int file = -1;
  for (int attempt = 0; attempt < attempts && file < 0 && (attempt == 0 || errno == EEXIST); ++attempt) {
    new_name();
    file = detail::create_locked(temporary_, replaces ? private_file : all_that_the_mask_allows);
  }
  if (file < 0) throw folder_failure(errno);
  if (replaces) detail::inherit_permissions(file, replaced);
  file_ = ::fdopen(file, "wb");
  if (file_ != nullptr) return;
  const int reason = errno;
  ::unlink(temporary_.c_str());
  ::close(file);
  throw failure(reason);
#else
  for (int attempt = 0; attempt < attempts && file_ == nullptr && (attempt == 0 || errno == EEXIST); ++attempt) {
    new_name();
    file_ = std::fopen(temporary_.string().c_str(), "wbx");
  }
  if (file_ == nullptr) throw folder_failure(errno);
#endif
}

inline void FileReplacement::write(std::span<const std::byte> bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) throw failure(errno);
}

inline void FileReplacement::commit() {
  if (std::fflush(file_) != 0) throw failure(errno);
#ifdef CRATE_HAS_DESCRIPTORS
  if (::fsync(::fileno(file_)) != 0) throw failure(errno);
#endif
  std::error_code error;
#ifdef CRATE_HAS_DESCRIPTORS
  std::filesystem::rename(temporary_, target_, error);  // still locked, so that no other process removes it
  if (error) throw failure(error.value());
  std::fclose(std::exchange(file_, nullptr));
#else
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
  const int reason = errno;
  if (closed) std::filesystem::rename(temporary_, target_, error);
  if (closed && !error) return;
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
  throw failure(closed ? error.value() : reason);
#endif
}

}  // namespace crate

#undef CRATE_HAS_DESCRIPTORS
