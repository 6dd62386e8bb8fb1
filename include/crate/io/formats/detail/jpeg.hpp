// SPDX-License-Identifier: MIT
// Needs libjpeg.
#pragma once

#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <jerror.h>
#include <jpeglib.h>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/detail/image_codec.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/pixels.hpp"

namespace crate::detail {

/// Whether the pixels are correct in spite of this warning of libjpeg. After other warnings the library, left alone,
/// replaces damaged or missing data by grey. For each code, the problem and its effect on the pixels:
///
///   JWRN_NOT_SEQUENTIAL      parameters that only progressive files need (Samsung): no effect, they are not used
///   JWRN_ADOBE_XFORM         an unknown colour transform in Adobe's segment: read as the usual one, as in Pillow
///   JWRN_JFIF_MAJOR          a later version of the JFIF segment: no effect, its content is not used
///   JWRN_EXTRANEOUS_DATA     bytes between two segments: no effect, they belong to neither
///   JWRN_HUFF_BAD_CODE, JWRN_ARITH_BAD_CODE, JWRN_HIT_MARKER, JWRN_MUST_RESYNC
///                            damaged or missing compressed pixels: lost
///   JWRN_JPEG_EOF            no end mark: perhaps lost, and always refused by Pillow
///   JWRN_BOGUS_PROGRESSION   a scan that refines one that is missing: lost
///   JWRN_BOGUS_ICC, JWRN_TOO_MUCH_DATA
///                            from calls that are not made here
[[nodiscard]] inline bool keeps_pixels(int warning) {
  switch (warning) {
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_EXTRANEOUS_DATA:
      return true;
    default:
      return false;
  }
}

/// Reads one JPEG file.
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
    check_compression();
    if (!start()) throw failure();
    read_rows();
    if (!finish()) throw failure();
    return std::move(image_);
  }

 private:
  static JpegReader& of(j_common_ptr decoder) { return *static_cast<JpegReader*>(decoder->client_data); }
  [[noreturn]] void fail(const char* message) {
    message_.set(message);
    std::longjmp(jump_, 1);
  }
  [[noreturn]] static void on_error(j_common_ptr decoder) {
    std::array<char, JMSG_LENGTH_MAX> text;
    decoder->err->format_message(decoder, text.data());
    of(decoder).fail(text.data());
  }
  /// A level below zero is a warning.
  static void on_message(j_common_ptr decoder, int level) {
    const int code = decoder->err->msg_code;
    if (level < 0 && code == JWRN_JPEG_EOF) of(decoder).fail("the file ends early");
    if (level < 0 && !keeps_pixels(code)) on_error(decoder);
  }
  static void on_progress(j_common_ptr decoder) { of(decoder).limit_scans(); }

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

  [[nodiscard]] std::span<const jpeg_component_info> components() const {
    return {decoder_.comp_info, static_cast<std::size_t>(decoder_.num_components)};
  }

  /// The number of blocks of 8 x 8 values.
  [[nodiscard]] static std::uint64_t blocks_of(const jpeg_component_info& component) {
    return std::uint64_t{component.width_in_blocks} * component.height_in_blocks;
  }

  /// Each block needs a Huffman code of at least one bit. Arithmetic codes need no byte for any number of pixels.
  void check_compression() const {
    std::uint64_t blocks = 0;
    for (const jpeg_component_info& component : components()) blocks += blocks_of(component);
    const bool possible = decoder_.arith_code != FALSE ? is_worth_reading(image_.height, image_.width, bytes_.size())
                                                       : blocks / 8 <= bytes_.size();
    if (!possible) throw pixels_missing(source_, image_.height, image_.width, bytes_.size());
  }

  /// Stops files with more scans over their pixels than their size justifies. A usual progressive file has 10 scans;
  /// one without new information takes 100 bytes, however many blocks it covers.
  void limit_scans() {
    constexpr int most_scans = 500;                                     // as many as libjpeg-turbo's fuzz tests allow
    constexpr std::uint64_t free_work = 4'000'000, work_per_byte = 80;  // 30 ns each
    if (decoder_.input_scan_number == scans_) return;
    scans_ = decoder_.input_scan_number;
    const bool refines = decoder_.Ah != 0;  // visits every coefficient
    const int work_per_block = refines ? 2 + (decoder_.Se - decoder_.Ss) / 16 : 1;
    for (int i = 0; i < decoder_.comps_in_scan; ++i)
      work_ += blocks_of(*decoder_.cur_comp_info[i]) * static_cast<std::uint64_t>(work_per_block);
    if (scans_ > most_scans || work_ > free_work + work_per_byte * bytes_.size())
      fail("more scans over its pixels than a file of this size needs");
  }

  bool start() {
    if (setjmp(jump_) != 0) return false;
    const bool four_inks = decoder_.jpeg_color_space == JCS_CMYK || decoder_.jpeg_color_space == JCS_YCCK;
    decoder_.out_color_space = four_inks ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&decoder_);
    for (const jpeg_component_info& component : components())
      if (component.quant_table == nullptr) fail("a colour has no scan");
    return true;
  }

  /// Memory for pixels is allocated as they are read, so that a truncated file does not cost what it claims.
  void read_rows() {
    const auto row_size = static_cast<std::size_t>(3 * image_.width);
    image_.pixels.reserve(row_size * static_cast<std::size_t>(image_.height));
    if (decoder_.out_color_space == JCS_CMYK) inks_.resize(static_cast<std::size_t>(4 * image_.width));
    while (decoder_.output_scanline < decoder_.output_height) {
      image_.pixels.resize(image_.pixels.size() + row_size);
      std::uint8_t* const row = image_.pixels.data() + image_.pixels.size() - row_size;
      if (!read_row(inks_.empty() ? row : inks_.data())) throw failure();
      if (!inks_.empty()) mix_inks(row);
    }
  }

  bool read_row(JSAMPROW row) {
    if (setjmp(jump_) != 0) return false;
    jpeg_read_scanlines(&decoder_, &row, 1);
    return true;
  }

  bool finish() {
    if (setjmp(jump_) != 0) return false;
    jpeg_finish_decompress(&decoder_);
    return true;
  }

  /// A file with four inks stores 255 - ink, as Adobe's programs do and all others copy, with or without
  /// Adobe's segment.
  void mix_inks(std::uint8_t* rgb) const {
    for (std::size_t i = 0; i < inks_.size(); i += 4)
      for (std::size_t ink = 0; ink < 3; ++ink)
        *rgb++ = static_cast<std::uint8_t>((int{inks_[i + ink]} * int{inks_[i + 3]} + 127) / 255);
  }

  std::span<const std::byte> bytes_;
  std::string_view source_;
  LibraryMessage message_;
  std::jmp_buf jump_ = {};
  jpeg_error_mgr errors_ = {};
  jpeg_progress_mgr progress_ = {};
  jpeg_decompress_struct decoder_ = {};
  int scans_ = 0;
  std::uint64_t work_ = 0;          // of all scans, in blocks
  std::vector<std::uint8_t> inks_;  // of a row
  Image image_;
};

}  // namespace crate::detail
