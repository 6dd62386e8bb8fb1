// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "crate/io/formats/file_error.hpp"

#if defined(__unix__) || defined(__APPLE__)
#define CRATE_HAS_DESCRIPTORS 1
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#include <cstdio>
#endif

// All files are opened here: a path that is not a regular file is refused before the program could block on it.

namespace crate {

/// The system's description of an error, as the end of a sentence: "permission denied".
[[nodiscard]] inline std::string system_message(std::error_code error) {
  if (error == std::errc::no_such_file_or_directory) return "no such file";
  std::string message = error.message();
  if (!message.empty()) message[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(message[0])));
  return message;
}
[[nodiscard]] inline std::string system_message(int error_number) {
  return system_message(std::error_code(error_number, std::generic_category()));
}

/// Whether the path exists. True if that is unknown, so that opening it reports the problem.
[[nodiscard]] inline bool path_exists(const std::filesystem::path& path) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  return type != std::filesystem::file_type::not_found;
}

/// Throws FileError unless the type is that of a regular file; `what` begins the message.
inline void check_regular(const std::filesystem::path& path, std::filesystem::file_type type,
                          std::string_view what = "expected a regular file") {
  const auto refuse = [&](std::string_view found) { throw file_error(path.string(), what, ", found ", found); };
  switch (type) {
    case std::filesystem::file_type::regular:
      return;
    case std::filesystem::file_type::directory:
      return refuse("a folder");
    case std::filesystem::file_type::fifo:
      return refuse("a pipe");
    case std::filesystem::file_type::socket:
      return refuse("a socket");
    case std::filesystem::file_type::character:
    case std::filesystem::file_type::block:
      return refuse("a device");
    default:
      return refuse("something else");
  }
}

/// A regular file, open for reading. Its kind is checked before anything could block, and on the open descriptor, so
/// that a concurrent rename does not matter.
class RegularFile {
 public:
  /// Throws FileError if the path is not a regular file, or cannot be opened.
  explicit RegularFile(const std::filesystem::path& path);
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;
  ~RegularFile();

  /// Size in bytes when it was opened.
  [[nodiscard]] std::size_t size() const { return size_; }

  /// Reads the next bytes, as many as fit, or fewer at the end of the file. Throws FileError on failure.
  std::size_t read(std::span<std::byte> out);

#ifdef CRATE_HAS_DESCRIPTORS
  [[nodiscard]] int descriptor() const { return file_; }
#endif

 private:
  std::string source_;
  std::size_t size_ = 0;
#ifdef CRATE_HAS_DESCRIPTORS
  int file_ = -1;
#else
  std::FILE* file_ = nullptr;
#endif
};

#ifdef CRATE_HAS_DESCRIPTORS

namespace detail {

[[nodiscard]] inline std::filesystem::file_type file_type_of(const struct stat& status) {
  using std::filesystem::file_type;
  if (S_ISREG(status.st_mode)) return file_type::regular;
  if (S_ISDIR(status.st_mode)) return file_type::directory;
  if (S_ISFIFO(status.st_mode)) return file_type::fifo;
  if (S_ISSOCK(status.st_mode)) return file_type::socket;
  if (S_ISCHR(status.st_mode)) return file_type::character;
  return S_ISBLK(status.st_mode) ? file_type::block : file_type::unknown;
}

/// Moves a descriptor that has the number of a closed standard stream, so that the program's output does not go into
/// the file. Returns -1 with the reason in errno on failure.
[[nodiscard]] inline int above_standard_streams(int file) {
  if (file < 0 || file > STDERR_FILENO) return file;
  const int moved = ::fcntl(file, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int reason = errno;
  ::close(file);
  errno = reason;
  return moved;
}

/// Opens a regular file without blocking, and checks what was opened. Throws FileError such as "cannot be opened:
/// permission denied" or "expected a regular file, found a pipe".
[[nodiscard]] inline std::pair<int, struct stat> open_regular(const std::filesystem::path& path, int flags,
                                                              std::string_view failure = "cannot be opened: ") {
  constexpr mode_t all_that_the_mask_allows = 0666;
  const int file =
      above_standard_streams(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, all_that_the_mask_allows));
  const int reason = errno;
  struct stat status = {};
  if (file < 0) {  // the kind of file explains the failure better: sockets cannot be opened, folders not be written
    if (::stat(path.c_str(), &status) == 0) check_regular(path, file_type_of(status));
    throw file_error(path.string(), failure, system_message(reason));
  }
  try {
    if (::fstat(file, &status) != 0) throw file_error(path.string(), failure, system_message(errno));
    check_regular(path, file_type_of(status));
  } catch (...) {
    ::close(file);
    throw;
  }
  return {file, status};
}

}  // namespace detail

inline RegularFile::RegularFile(const std::filesystem::path& path) : source_(path.string()) {
  const auto [file, status] = detail::open_regular(path, O_RDONLY);
  file_ = file;
  size_ = static_cast<std::size_t>(status.st_size);
}

inline RegularFile::~RegularFile() { ::close(file_); }

inline std::size_t RegularFile::read(std::span<std::byte> out) {
  constexpr std::size_t most = std::size_t{1} << 30U;
  const std::size_t wanted = out.size();
  while (!out.empty()) {
    const ssize_t count = ::read(file_, out.data(), std::min(most, out.size()));
    if (count == 0) break;
    if (count > 0)
      out = out.subspan(static_cast<std::size_t>(count));
    else if (errno != EINTR)
      throw file_error(source_, "cannot be read: ", system_message(errno));
  }
  return wanted - out.size();
}

#else

inline RegularFile::RegularFile(const std::filesystem::path& path) : source_(path.string()) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw file_error(source_, "cannot be opened: ", system_message(error));
  check_regular(path, status.type());
  size_ = static_cast<std::size_t>(std::filesystem::file_size(path, error));
  if (!error) file_ = std::fopen(source_.c_str(), "rb");
  if (file_ == nullptr)
    throw file_error(source_, "cannot be opened: ", error ? system_message(error) : system_message(errno));
}

inline RegularFile::~RegularFile() { std::fclose(file_); }

inline std::size_t RegularFile::read(std::span<std::byte> out) {
  const std::size_t found = std::fread(out.data(), 1, out.size(), file_);
  if (found != out.size() && std::ferror(file_) != 0)
    throw file_error(source_, "cannot be read: ", system_message(errno));
  return found;
}

#endif

}  // namespace crate

#undef CRATE_HAS_DESCRIPTORS
