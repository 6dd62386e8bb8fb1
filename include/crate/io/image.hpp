// SPDX-License-Identifier: MIT
// Needs libpng and libjpeg (Debian: libpng-dev, libjpeg-dev), beside Eigen.
#pragma once

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <jerror.h>
#include <jpeglib.h>
#include <new>
#include <png.h>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/file_bytes.hpp"
#include "crate/io/file_error.hpp"
#include "crate/io/file_replacement.hpp"
#include "crate/io/pixels.hpp"

namespace crate {

/// A picture from a PNG or JPEG file, told apart by their first bytes, as 8-bit RGB whatever the file holds: grey
/// values are repeated, palettes looked up, 16 bits rounded to 8, transparency and colour profiles ignored, the
/// camera's orientation mark too. Throws FileError for other files, damaged or cut ones, and more than
/// `maximal_pixels`.
[[nodiscard]] Image read_image(const std::filesystem::path& path);

/// The same for the bytes of a file in memory. `source` names them in messages.
[[nodiscard]] Image parse_image(std::span<const std::byte> bytes, std::string_view source = "in memory");

/// Writes a PNG file, grey or RGB by the image's channels, whole or not at all. Throws ShapeError for other numbers of
/// channels or pixels that do not fit the size, FileError if the file cannot be written.
void write_png(const std::filesystem::path& path, const Image& image);

namespace detail {

// libpng and libjpeg leave through longjmp when they fail, which must not pass over C++ objects that need destruction.
// So each function below that calls setjmp has none of its own: everything that owns memory lives in the caller's
// struct.

/// The first few hundred bytes of what a C library has to say.
struct LibraryMessage {
  std::array<char, 256> text = {};
  void set(const char* message) { std::snprintf(text.data(), text.size(), "%s", message); }
};

inline void check_image_size(std::string_view source, Index height, Index width) {
  if (height < 1 || width < 1 || height > maximal_pixels / width)
    throw file_error(source, "expected at most ", maximal_pixels, " pixels, found ", height, " x ", width);
}

/// One PNG file being read.
class PngReader {
 public:
  PngReader(std::span<const std::byte> bytes, std::string_view source) : rest_(bytes), source_(source) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &on_error, &on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  [[nodiscard]] Image read() {
    const std::size_t file_size = rest_.size();
    if (info_ == nullptr || !read_header()) throw failure();
    image_.height = static_cast<Index>(png_get_image_height(png_, info_));
    image_.width = static_cast<Index>(png_get_image_width(png_, info_));
    image_.channels = 3;
    check_image_size(source_, image_.height, image_.width);
    check_compression(file_size);
    const std::size_t row_size = static_cast<std::size_t>(3 * image_.width);
    image_.pixels.resize(row_size * static_cast<std::size_t>(image_.height));
    for (std::size_t begin = 0; begin < image_.pixels.size(); begin += row_size)
      rows_.push_back(image_.pixels.data() + begin);
    if (!read_pixels()) throw failure();
    return std::move(image_);
  }

 private:
  static PngReader& of(png_voidp reader) { return *static_cast<PngReader*>(reader); }
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    of(png_get_error_ptr(png)).message_.set(message);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}
  static void on_read(png_structp png, png_bytep target, std::size_t count) {
    std::span<const std::byte>& rest = of(png_get_io_ptr(png)).rest_;
    if (count > rest.size()) png_error(png, "the file ends early");
    std::memcpy(target, rest.data(), count);
    rest = rest.subspan(count);
  }

  [[nodiscard]] FileError failure() const {
    return file_error(source_, "expected a PNG image, found an error: ", quote(message_.text.data()));
  }

  bool read_header() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, &on_read);
    png_set_user_limits(png_, static_cast<png_uint_32>(maximal_pixels), static_cast<png_uint_32>(maximal_pixels));
    png_read_info(png_, info_);
    return true;
  }

  /// Deflate packs at most 1032 to 1, so a larger claim cannot be true and is not worth the memory.
  void check_compression(std::size_t file_size) const {
    const std::size_t raw_size = png_get_rowbytes(png_, info_) * static_cast<std::size_t>(image_.height);
    if (raw_size / 1032 > file_size)
      throw file_error(source_, "expected the pixels of ", image_.height, " x ", image_.width,
                       ", found a file of only ", file_size, " bytes");
  }

  bool read_pixels() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    const int color_type = png_get_color_type(png_, info_);
    if (color_type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
    if ((color_type & PNG_COLOR_MASK_COLOR) == 0) {
      png_set_expand_gray_1_2_4_to_8(png_);
      png_set_gray_to_rgb(png_);
    }
    png_set_scale_16(png_);
    png_set_strip_alpha(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    if (png_get_rowbytes(png_, info_) != static_cast<std::size_t>(3 * image_.width)) png_error(png_, "not RGB");
    png_read_image(png_, rows_.data());
    png_read_end(png_, nullptr);
    return true;
  }

  std::span<const std::byte> rest_;
  std::string_view source_;
  LibraryMessage message_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  Image image_;
  std::vector<png_bytep> rows_;
};

/// One JPEG file being read.
class JpegReader {
 public:
  JpegReader(std::span<const std::byte> bytes, std::string_view source) : bytes_(bytes), source_(source) {
    decoder_.err = jpeg_std_error(&errors_);
    decoder_.client_data = this;
    errors_.error_exit = &on_error;
    errors_.emit_message = &on_message;
    progress_.progress_monitor = &on_progress;
  }
  ~JpegReader() { jpeg_destroy_decompress(&decoder_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  [[nodiscard]] Image read() {
    if (!read_header()) throw failure();
    image_.height = static_cast<Index>(decoder_.image_height);
    image_.width = static_cast<Index>(decoder_.image_width);
    image_.channels = 3;
    check_image_size(source_, image_.height, image_.width);
    if (!start()) throw failure();
    row_.resize(static_cast<std::size_t>(decoder_.output_width) * static_cast<std::size_t>(decoder_.output_components));
    while (decoder_.output_scanline < decoder_.output_height) {
      if (!read_row()) throw failure();
      append_row();
    }
    if (!finish()) throw failure();
    return std::move(image_);
  }

 private:
  static constexpr int maximal_scans =
      100;  // of a progressive file; usual are 10, and each costs a pass over all pixels

  static JpegReader& of(j_common_ptr decoder) { return *static_cast<JpegReader*>(decoder->client_data); }
  [[noreturn]] static void on_error(j_common_ptr decoder) {
    std::array<char, JMSG_LENGTH_MAX> text;
    decoder->err->format_message(decoder, text.data());
    fail(decoder, text.data());
  }
  [[noreturn]] static void fail(j_common_ptr decoder, const char* message) {
    of(decoder).message_.set(message);
    std::longjmp(of(decoder).jump_, 1);
  }
  /// A level below zero is a warning. Left alone, the library would replace damaged or missing data by grey.
  static void on_message(j_common_ptr decoder, int level) {
    const int code = decoder->err->msg_code;
    if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_JFIF_MAJOR) on_error(decoder);
  }
  static void on_progress(j_common_ptr decoder) {
    if (of(decoder).decoder_.input_scan_number > maximal_scans) fail(decoder, "too many scans");
  }

  [[nodiscard]] FileError failure() const {
    return file_error(source_, "expected a JPEG image, found an error: ", quote(message_.text.data()));
  }

  bool read_header() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&decoder_);
    decoder_.progress = &progress_;
    jpeg_mem_src(&decoder_, reinterpret_cast<const unsigned char*>(bytes_.data()),
                 static_cast<unsigned long>(bytes_.size()));
    jpeg_read_header(&decoder_, TRUE);
    return true;
  }

  bool start() {
    if (setjmp(jump_) != 0) return false;
    const bool four_inks = decoder_.jpeg_color_space == JCS_CMYK || decoder_.jpeg_color_space == JCS_YCCK;
    decoder_.out_color_space = four_inks ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&decoder_);
    return true;
  }

  bool read_row() {
    if (setjmp(jump_) != 0) return false;
    JSAMPROW row = row_.data();
    jpeg_read_scanlines(&decoder_, &row, 1);
    return true;
  }

  bool finish() {
    if (setjmp(jump_) != 0) return false;
    jpeg_finish_decompress(&decoder_);
    return true;
  }

  void append_row() {
    if (decoder_.out_color_space == JCS_RGB) {
      image_.pixels.insert(image_.pixels.end(), row_.begin(), row_.end());
      return;
    }
    const bool inverted = decoder_.saw_Adobe_marker != FALSE;  // Adobe stores 255 - ink
    const auto light = [&](std::uint8_t ink) { return inverted ? int{ink} : 255 - ink; };
    for (std::size_t i = 0; i < row_.size(); i += 4)
      for (std::size_t ink = 0; ink < 3; ++ink)
        image_.pixels.push_back(static_cast<std::uint8_t>((light(row_[i + ink]) * light(row_[i + 3]) + 127) / 255));
  }

  std::span<const std::byte> bytes_;
  std::string_view source_;
  LibraryMessage message_;
  std::jmp_buf jump_ = {};
  jpeg_error_mgr errors_ = {};
  jpeg_progress_mgr progress_ = {};
  jpeg_decompress_struct decoder_ = {};
  std::vector<std::uint8_t> row_;
  Image image_;
};

/// One image being written as PNG, into memory.
class PngWriter {
 public:
  PngWriter() {
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, &on_error, &on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~PngWriter() { png_destroy_write_struct(&png_, &info_); }
  PngWriter(const PngWriter&) = delete;
  PngWriter& operator=(const PngWriter&) = delete;

  /// The bytes of the file, or nothing if libpng fails.
  [[nodiscard]] std::span<const std::byte> encode(const Image& image) {
    const std::size_t row_size = static_cast<std::size_t>(image.channels * image.width);
    for (std::size_t begin = 0; begin < image.pixels.size(); begin += row_size)
      rows_.push_back(const_cast<png_bytep>(image.pixels.data() + begin));  // libpng only reads them
    if (info_ == nullptr || !write(image)) return {};
    return std::as_bytes(std::span(file_));
  }
  [[nodiscard]] std::string_view message() const { return message_.text.data(); }

 private:
  static PngWriter& of(png_voidp writer) { return *static_cast<PngWriter*>(writer); }
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    of(png_get_error_ptr(png)).message_.set(message);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}
  static void on_write(png_structp png, png_bytep data, std::size_t count) {
    if (!of(png_get_io_ptr(png)).append(data, count)) png_error(png, "out of memory");
  }
  static void on_flush(png_structp) {}

  bool append(png_const_bytep data, std::size_t count) {
    try {
      file_.insert(file_.end(), data, data + count);
      return true;
    } catch (const std::bad_alloc&) {
      return false;  // no exception may pass through libpng
    }
  }

  bool write(const Image& image) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_write_fn(png_, this, &on_write, &on_flush);
    png_set_IHDR(png_, info_, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height), 8,
                 image.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png_, info_);
    png_write_image(png_, rows_.data());
    png_write_end(png_, nullptr);
    return true;
  }

  LibraryMessage message_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::vector<std::uint8_t> file_;
  std::vector<png_bytep> rows_;
};

[[nodiscard]] inline bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

}  // namespace detail

inline Image parse_image(std::span<const std::byte> bytes, std::string_view source) try {
  if (detail::starts_with(bytes, "\x89PNG\r\n\x1A\n")) return detail::PngReader(bytes, source).read();
  if (detail::starts_with(bytes, "\xFF\xD8\xFF")) return detail::JpegReader(bytes, source).read();
  throw file_error(source, "expected a PNG or JPEG image, found neither by its first bytes");
} catch (const std::bad_alloc&) { throw file_error(source, "the image needs more memory than there is"); }

inline Image read_image(const std::filesystem::path& path) {
  const FileBytes file(path);
  return parse_image(file.bytes(), path.string());
}

inline void write_png(const std::filesystem::path& path, const Image& image) {
  check_image(image);
  if (image.channels != 1 && image.channels != 3)
    throw ShapeError(concatenate("image: expected 1 or 3 channels, found ", image.channels));
  detail::PngWriter writer;
  const std::span<const std::byte> bytes = writer.encode(image);
  if (bytes.empty()) throw file_error(path.string(), "cannot be written: ", writer.message());
  FileReplacement file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace crate
