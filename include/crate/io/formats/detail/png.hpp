// SPDX-License-Identifier: MIT
// Needs libpng.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <png.h>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/detail/image_codec.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/pixels.hpp"

namespace crate::detail {

/// Reads one PNG file. libpng receives the whole file and calls back; asked for rows one by one, it would decompress
/// whatever follows the last one.
class PngReader {
 public:
  PngReader(std::span<const std::byte> bytes, std::string_view source) : bytes_(bytes), source_(source) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &on_error, &on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  [[nodiscard]] Image read() {
    const bool processed = info_ != nullptr && process();
    if (refusal_) std::rethrow_exception(refusal_);
    if (!processed) throw failure();
    if (!has_all_rows()) message_.set("not enough pixels");
    if (!ended_) message_.set("the file ends early");
    if (!ended_ || !has_all_rows()) throw failure();
    return std::move(image_);
  }

 private:
  static PngReader& of(png_voidp reader) { return *static_cast<PngReader*>(reader); }
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    of(png_get_error_ptr(png)).message_.set(message);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}

  static void on_header(png_structp png, png_infop) {
    PngReader& reader = of(png_get_progressive_ptr(png));
    if (!reader.accept_header()) png_longjmp(png, 1);
    reader.convert_to_rgb();
  }
  static void on_row(png_structp png, png_bytep row, png_uint_32 y, int /*pass*/) {
    Image& image = of(png_get_progressive_ptr(png)).image_;
    png_progressive_combine_row(png, image.pixels.data() + static_cast<std::size_t>(3 * image.width) * y, row);
  }
  static void on_end(png_structp png, png_infop) { of(png_get_progressive_ptr(png)).ended_ = true; }

  [[nodiscard]] FileError failure() const {
    return file_error(source_, "expected a PNG image, found an error: ", quote(message_.text.data()));
  }

  bool process() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_progressive_read_fn(png_, this, &on_header, &on_row, &on_end);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // our limits are checked later, with better messages
    // Texts, colour profiles and other chunks are not read, so they are not decompressed.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    const auto* const bytes = reinterpret_cast<png_const_bytep>(bytes_.data());
    png_process_data(png_, info_, const_cast<png_bytep>(bytes), bytes_.size());  // libpng only reads them
    return true;
  }

  /// Allocates the pixels. False if the claimed size is refused, because no exception may pass through libpng.
  bool accept_header() noexcept try {
    image_.height = static_cast<Index>(png_get_image_height(png_, info_));
    image_.width = static_cast<Index>(png_get_image_width(png_, info_));
    image_.channels = 3;
    check_image_size(source_, image_.height, image_.width);
    check_compression();
    image_.pixels.resize(static_cast<std::size_t>(3 * image_.width * image_.height));
    return true;
  } catch (...) {
    refusal_ = std::current_exception();
    return false;
  }

  /// Deflate compresses at most 1032 to 1, so a larger claim is false.
  void check_compression() const {
    constexpr std::size_t deflate_ratio = 1032;
    const std::size_t raw_size = png_get_rowbytes(png_, info_) * static_cast<std::size_t>(image_.height);
    if (raw_size / deflate_ratio > bytes_.size())
      throw pixels_missing(source_, image_.height, image_.width, bytes_.size());
    if (!is_worth_reading(image_.height, image_.width, bytes_.size()))
      throw file_error(source_, "expected a larger file for the pixels of ", image_.height, " x ", image_.width,
                       ", found ", bytes_.size(), " bytes");
  }

  void convert_to_rgb() {
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
  }

  /// To libpng, damaged data are only a warning, after which rows are missing.
  [[nodiscard]] bool has_all_rows() const {
    constexpr int passes_interlaced = 7;
    return png_get_interlace_type(png_, info_) == PNG_INTERLACE_NONE
               ? static_cast<Index>(png_get_current_row_number(png_)) >= image_.height
               : png_get_current_pass_number(png_) >= passes_interlaced;
  }

  std::span<const std::byte> bytes_;
  std::string_view source_;
  LibraryMessage message_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  Image image_;
  bool ended_ = false;
  std::exception_ptr refusal_;
};

/// Writes one image as PNG into memory.
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
    const auto row_size = static_cast<std::size_t>(image.channels * image.width);
    for (std::size_t begin = 0; begin < image.pixels.size(); begin += row_size)
      png_write_row(png_, image.pixels.data() + begin);
    png_write_end(png_, nullptr);
    return true;
  }

  LibraryMessage message_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::vector<std::uint8_t> file_;
};

}  // namespace crate::detail
