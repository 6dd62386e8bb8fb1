// SPDX-License-Identifier: MIT
// Needs zlib (Debian: zlib1g-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <zlib.h>

#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/file_error.hpp"

namespace crate::detail {

/// Reads a file sequentially, decompressed if it is a gzip file: one or several members (RFC 1952), possibly followed
/// by zeros, as on tapes. Nothing is decompressed before it is requested.
class MaybeGzip {
 public:
  /// Throws FileError if the file cannot be read.
  explicit MaybeGzip(const std::filesystem::path& path, FileAccess access = FileAccess::map)
      : file_(path, access), source_(path.string()), rest_(file_.bytes()) {
    packed_ = member_follows();
    constexpr int gzip_only = 16 + MAX_WBITS;
    if (packed_ && inflateInit2(&stream_, gzip_only) != Z_OK)
      throw file_error(source_, "cannot be unpacked: out of memory");
  }
  MaybeGzip(const MaybeGzip&) = delete;
  MaybeGzip& operator=(const MaybeGzip&) = delete;
  ~MaybeGzip() {
    if (packed_) inflateEnd(&stream_);
  }

  [[nodiscard]] const std::string& source() const { return source_; }

  /// An upper bound on the content in bytes: deflate compresses at most 1032 to 1.
  [[nodiscard]] std::size_t largest_size() const {
    return packed_ ? 1032 * file_.bytes().size() : file_.bytes().size();
  }

  /// Reads the next bytes, as many as fit, or fewer at the end of the file. Throws FileError if it is damaged.
  [[nodiscard]] std::size_t read(std::span<std::byte> out) { return packed_ ? inflate_into(out) : copy_into(out); }

  /// Throws FileError if the file ends before.
  void read_exactly(std::span<std::byte> out, const char* what) {
    const std::size_t found = read(out);
    if (found != out.size()) throw file_error(source_, "expected ", out.size(), " bytes of ", what, ", found ", found);
  }

  /// Throws FileError if bytes are left.
  void expect_end(const char* what) {
    std::byte surplus{};
    if (read({&surplus, 1}) != 0 || !rest_.empty())
      throw file_error(source_, "expected nothing after ", what, ", found more");
  }

 private:
  std::size_t copy_into(std::span<std::byte> out) {
    const std::size_t count = std::min(out.size(), rest_.size());
    std::copy_n(rest_.begin(), count, out.begin());
    rest_ = rest_.subspan(count);
    return count;
  }

  [[nodiscard]] bool member_follows() const {
    return rest_.size() >= 2 && rest_[0] == std::byte{0x1F} && rest_[1] == std::byte{0x8B};
  }

  void end_member() {
    const auto padding = std::find_if(rest_.begin(), rest_.end(), [](std::byte b) { return b != std::byte{0}; });
    rest_ = {padding, rest_.end()};
    ended_ = !member_follows();
    if (!ended_) inflateReset(&stream_);
  }

  std::size_t inflate_into(std::span<std::byte> out) {
    std::size_t done = 0;
    while (done < out.size() && !ended_) {
      constexpr std::size_t most = std::numeric_limits<uInt>::max();
      const auto room = static_cast<uInt>(std::min(most, out.size() - done));
      const auto offered = static_cast<uInt>(std::min(most, rest_.size()));
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
      stream_.avail_in = offered;
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + done);
      stream_.avail_out = room;
      const int result = inflate(&stream_, Z_NO_FLUSH);
      rest_ = rest_.subspan(offered - stream_.avail_in);
      done += room - stream_.avail_out;
      if (result == Z_BUF_ERROR) throw file_error(source_, "expected a whole gzip file, found one that ends early");
      if (result != Z_OK && result != Z_STREAM_END) throw file_error(source_, "expected gzip data, found damaged data");
      if (result == Z_STREAM_END) end_member();
    }
    return done;
  }

  FileBytes file_;
  std::string source_;
  std::span<const std::byte> rest_;
  bool packed_ = false, ended_ = false;
  z_stream stream_ = {};
};

/// The whole content of a file, decompressed if it is a gzip file; the file is copied first, as other processes may
/// change it. Throws FileError if it cannot be read or is damaged.
[[nodiscard]] inline std::string read_unpacked(const std::filesystem::path& path) {
  constexpr std::size_t at_a_time = std::size_t{1} << 20U;
  MaybeGzip file(path, FileAccess::copy);
  std::string content;
  for (std::size_t found = at_a_time; found == at_a_time;) {
    const std::size_t size = content.size();
    content.resize(size + at_a_time);
    found = file.read(std::as_writable_bytes(std::span(content).subspan(size)));
    content.resize(size + found);
  }
  file.expect_end("the compressed data");
  return content;
}

}  // namespace crate::detail
