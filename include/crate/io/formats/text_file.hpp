// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/regular_file.hpp"

#if defined(__unix__) || defined(__APPLE__)
#define CRATE_HAS_DESCRIPTORS 1
#include <fcntl.h>
#include <unistd.h>
#else
#include <cstdio>
#endif

namespace crate {

/// The unchanged content of a text file. Throws FileError if the path is not a regular file, or cannot be read.
[[nodiscard]] inline std::string read_text(const std::filesystem::path& path) {
  const FileBytes file(path, FileAccess::copy);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

namespace detail {

[[nodiscard]] inline std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  return text;
}

/// The content of a text file without a byte order mark.
[[nodiscard]] inline std::string_view text_of(const FileBytes& file) {
  return without_byte_order_mark({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
}

/// Removes and returns the first line of a text, without its end ("\n" or "\r\n").
[[nodiscard]] inline std::string_view take_line(std::string_view& text) {
  std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace detail

/// The lines of a text from any system, without line ends ("\n" or "\r\n"), a leading byte order mark,
/// and empty lines at the end.
[[nodiscard]] inline std::vector<std::string> lines_in(std::string_view text) {
  std::vector<std::string> lines;
  for (std::string_view rest = detail::without_byte_order_mark(text); !rest.empty();)
    lines.emplace_back(detail::take_line(rest));
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

/// The lines of a text file, as in lines_in. Throws as read_text.
[[nodiscard]] inline std::vector<std::string> read_lines(const std::filesystem::path& path) {
  return lines_in(detail::text_of(FileBytes(path, FileAccess::copy)));
}

/// Appends to a text file; creates it if necessary. Throws FileError if the path is not a regular file,
/// or cannot be written.
void append_text(const std::filesystem::path& path, std::string_view text);

#ifdef CRATE_HAS_DESCRIPTORS

inline void append_text(const std::filesystem::path& path, std::string_view text) {
  const int file = detail::open_regular(path, O_WRONLY | O_APPEND | O_CREAT, "cannot be written: ").first;
  int reason = 0;
  while (!text.empty() && reason == 0) {
    const ssize_t count = ::write(file, text.data(), text.size());
    if (count >= 0)
      text.remove_prefix(static_cast<std::size_t>(count));
    else if (errno != EINTR)
      reason = errno;
  }
  if (::close(file) != 0 && reason == 0) reason = errno;
  if (reason != 0) throw file_error(path.string(), "cannot be written: ", system_message(reason));
}

#else

inline void append_text(const std::filesystem::path& path, std::string_view text) {
  if (path_exists(path)) check_regular(path, std::filesystem::status(path).type());
  std::FILE* const file = std::fopen(path.string().c_str(), "ab");
  const bool written = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (file == nullptr || std::fclose(file) != 0 || !written)
    throw file_error(path.string(), "cannot be written: ", system_message(errno));
}

#endif

}  // namespace crate

#undef CRATE_HAS_DESCRIPTORS
