// SPDX-License-Identifier: MIT
#include "crate/io/pictures/image.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "io/temporary_folder.hpp"

namespace {

using namespace crate;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using crate::test::bytes_of;
using crate::test::message_of;
using crate::test::TemporaryFolder;
using crate::test::write_content;

Image gradient(Index height, Index width, Index channels) {
  Image image{height, width, channels, {}};
  for (Index y = 0; y < height; ++y)
    for (Index x = 0; x < width; ++x)
      for (Index c = 0; c < channels; ++c)
        image.pixels.push_back(static_cast<std::uint8_t>((5 * y + 3 * x + 50 * c) % 256));
  return image;
}

/// A PNG file of height x width pixels, written by libpng from rows of this depth and colour type.
std::string png_file(Index height, Index width, int bit_depth, int color_type, std::vector<std::uint8_t> rows,
                     int interlace = PNG_INTERLACE_NONE) {
  std::string file;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  const png_rw_ptr append = [](png_structp self, png_bytep data, std::size_t size) {
    static_cast<std::string*>(png_get_io_ptr(self))->append(reinterpret_cast<char*>(data), size);
  };
  png_set_write_fn(png, &file, append, [](png_structp) {});
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), bit_depth, color_type,
               interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  const std::vector<png_color> palette = {{10, 20, 30}, {40, 50, 60}, {70, 80, 90}, {100, 110, 120}};
  const std::vector<png_byte> opacity = {0, 128};
  if (color_type == PNG_COLOR_TYPE_PALETTE) {
    png_set_PLTE(png, info, palette.data(), 4);
    png_set_tRNS(png, info, opacity.data(), 2, nullptr);
  }
  std::vector<png_bytep> pointers;
  const std::size_t row_size = rows.size() / static_cast<std::size_t>(height);
  for (std::size_t begin = 0; begin < rows.size(); begin += row_size) pointers.push_back(rows.data() + begin);
  png_set_rows(png, info, pointers.data());
  png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  png_destroy_write_struct(&png, &info);
  return file;
}

/// A JPEG file of these pixels, written by libjpeg with the least loss.
std::string jpeg_file(const Image& image, J_COLOR_SPACE color_space, bool progressive = false,
                      std::span<const jpeg_scan_info> scans = {}) {
  jpeg_compress_struct encoder = {};
  jpeg_error_mgr errors = {};
  encoder.err = jpeg_std_error(&errors);
  jpeg_create_compress(&encoder);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&encoder, &data, &size);
  encoder.image_height = static_cast<JDIMENSION>(image.height);
  encoder.image_width = static_cast<JDIMENSION>(image.width);
  encoder.input_components = static_cast<int>(image.channels);
  encoder.in_color_space = color_space;
  jpeg_set_defaults(&encoder);
  jpeg_set_quality(&encoder, 100, TRUE);
  encoder.comp_info[0].h_samp_factor = encoder.comp_info[0].v_samp_factor = 1;
  if (progressive) jpeg_simple_progression(&encoder);
  if (!scans.empty()) {
    encoder.scan_info = scans.data();
    encoder.num_scans = static_cast<int>(scans.size());
  }
  jpeg_start_compress(&encoder, TRUE);
  while (encoder.next_scanline < encoder.image_height) {
    const auto begin = static_cast<std::size_t>(image.width * image.channels) * encoder.next_scanline;
    auto* row = const_cast<JSAMPROW>(image.pixels.data() + begin);
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  std::string file(reinterpret_cast<char*>(data), size);
  jpeg_destroy_compress(&encoder);
  std::free(data);
  return file;
}

int largest_difference(const Image& a, const Image& b) {
  REQUIRE(a.pixels.size() == b.pixels.size());
  int largest = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  return largest;
}

std::string image_refusal(const std::string& file) {
  return message_of<FileError>([&] { static_cast<void>(parse_image(bytes_of(file), "x")); });
}

TEST_CASE("an RGB image is the same after writing and reading PNG") {
  const TemporaryFolder folder;
  for (const Index width : {1, 7, 64}) {
    const Image image = gradient(13, width, 3);
    write_png(folder.file("a.png"), image);
    const Image found = read_image(folder.file("a.png"));
    CHECK(found.height == 13);
    CHECK(found.width == width);
    CHECK(found.channels == 3);
    CHECK(found.pixels == image.pixels);
  }
}

TEST_CASE("a grey image comes back with its values in all three channels") {
  const TemporaryFolder folder;
  const Image image = gradient(5, 9, 1);
  write_png(folder.file("a.png"), image);
  const Image found = read_image(folder.file("a.png"));
  REQUIRE(found.pixels.size() == 3 * image.pixels.size());
  for (std::size_t i = 0; i < found.pixels.size(); ++i) CHECK(found.pixels[i] == image.pixels[i / 3]);
}

TEST_CASE("every PNG colour type becomes 8-bit RGB") {
  const auto pixels = [](const std::string& file) { return parse_image(bytes_of(file)).pixels; };
  using Bytes = std::vector<std::uint8_t>;
  CHECK(pixels(png_file(1, 2, 2, PNG_COLOR_TYPE_PALETTE, {0x30})) == Bytes{10, 20, 30, 100, 110, 120});
  CHECK(pixels(png_file(1, 2, 1, PNG_COLOR_TYPE_GRAY, {0x40})) == Bytes{0, 0, 0, 255, 255, 255});
  CHECK(pixels(png_file(1, 2, 16, PNG_COLOR_TYPE_GRAY, {0x12, 0x34, 0xFF, 0xFF})) ==
        Bytes{0x12, 0x12, 0x12, 255, 255, 255});
  CHECK(pixels(png_file(1, 1, 16, PNG_COLOR_TYPE_RGB, {0, 0, 0x80, 0x80, 0xFF, 0xFF})) == Bytes{0, 0x80, 255});
  CHECK(pixels(png_file(1, 2, 8, PNG_COLOR_TYPE_GRAY_ALPHA, {7, 0, 9, 255})) == Bytes{7, 7, 7, 9, 9, 9});
  CHECK(pixels(png_file(1, 1, 8, PNG_COLOR_TYPE_RGB_ALPHA, {1, 2, 3, 0})) == Bytes{1, 2, 3});
  CHECK(pixels(png_file(1, 1, 16, PNG_COLOR_TYPE_RGB_ALPHA, {1, 1, 2, 2, 3, 3, 0, 0})) == Bytes{1, 2, 3});
  const Image image = gradient(11, 10, 3);
  CHECK(pixels(png_file(11, 10, 8, PNG_COLOR_TYPE_RGB, image.pixels, PNG_INTERLACE_ADAM7)) == image.pixels);
}

TEST_CASE("JPEG images of every colour space come back as RGB, near the original") {
  const Image image = gradient(16, 24, 3);
  Image smooth = image;
  for (std::size_t i = 0; i < smooth.pixels.size(); ++i) smooth.pixels[i] = static_cast<std::uint8_t>(100 + i % 3 * 20);
  for (const bool progressive : {false, true}) {
    const Image found = parse_image(bytes_of(jpeg_file(smooth, JCS_RGB, progressive)));
    CHECK(found.height == 16);
    CHECK(found.width == 24);
    CHECK(largest_difference(found, smooth) <= 2);
  }
  const Image grey = parse_image(bytes_of(jpeg_file({8, 8, 1, std::vector<std::uint8_t>(64, 77)}, JCS_GRAYSCALE)));
  CHECK(grey.pixels == std::vector<std::uint8_t>(192, 77));

  Image inks{8, 8, 4, {}};
  for (int i = 0; i < 64; ++i)
    inks.pixels.insert(inks.pixels.end(), {255, 128, 0, 255});  // inverted, as Adobe stores them
  const Image light = parse_image(bytes_of(jpeg_file(inks, JCS_CMYK)));
  CHECK(std::abs(light.pixels[0] - 255) <= 2);
  CHECK(std::abs(light.pixels[1] - 128) <= 2);
  CHECK(std::abs(light.pixels[2] - 0) <= 2);
}

TEST_CASE("the first bytes decide, whatever the file is called") {
  const TemporaryFolder folder;
  write_content(folder.file("a.png"), jpeg_file(gradient(8, 8, 3), JCS_RGB));
  CHECK(read_image(folder.file("a.png")).width == 8);
  write_content(folder.file("b.jpg"), "GIF89a, not an image that is read here");
  CHECK_THAT(message_of<FileError>([&] { static_cast<void>(read_image(folder.file("b.jpg"))); }),
             EndsWith("b.jpg': expected a PNG or JPEG image, found a GIF picture"));
  CHECK_THAT(image_refusal(""), ContainsSubstring("expected a PNG or JPEG image"));
  CHECK_THAT(image_refusal("\x89PNG\r\n\x1A\n"), ContainsSubstring("expected a PNG image, found an error: "));
  CHECK_THAT(image_refusal("\xFF\xD8\xFF"), ContainsSubstring("expected a JPEG image, found an error: "));
}

// "Found neither by its first bytes" was all that was said of them.
TEST_CASE("what is no picture, or one of another format, is called what it is, whatever the name says") {
  const auto padded = [](const std::string& begin) { return begin + std::string(100, '\0'); };
  const std::vector<std::pair<std::string, std::string>> files = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "a Git LFS pointer"},
      {"<!DOCTYPE html><html></html>", "an HTML page"},
      {padded("RIFF1234WEBPVP8 "), "a WebP picture"},
      {padded("1234ftypheic"), "a HEIC picture"},
      {padded("1234ftypmif1"), "a HEIC picture"},
      {padded("1234ftypavif"), "an AVIF picture"},
      {padded("1234ftypisom"), "a video"},
      {padded("BM1234"), "a BMP picture"},
      {padded(std::string("II*\0", 4)), "a TIFF picture"},
      {padded(std::string("MM\0*", 4)), "a TIFF picture"},
      {padded("\x01\x02"), "102 bytes that begin 01 02 00"},
      {"", "an empty file"}};
  for (const auto& [content, name] : files)
    CHECK_THAT(image_refusal(content), ContainsSubstring("expected a PNG or JPEG image, found " + name));
}

TEST_CASE("every truncation of an image file is an error") {
  const Image image = gradient(16, 16, 3);
  const std::string grey = png_file(16, 16, 8, PNG_COLOR_TYPE_GRAY, std::vector<std::uint8_t>(256, 3));
  for (const std::string& file : {grey, jpeg_file(image, JCS_RGB), jpeg_file(image, JCS_RGB, true)}) {
    REQUIRE(image_refusal(file) == "threw nothing");
    for (std::size_t size = 0; size < file.size(); ++size) {
      CAPTURE(size, file.size());
      CHECK_THAT(image_refusal(file.substr(0, size)), ContainsSubstring("file 'x': expected a"));
    }
  }
}

TEST_CASE("every flipped bit of an image file gives an error or an image") {
  const Image image = gradient(16, 16, 3);
  for (const std::string& file : {png_file(4, 4, 2, PNG_COLOR_TYPE_PALETTE, std::vector<std::uint8_t>(4, 0x1B)),
                                  jpeg_file(image, JCS_RGB), jpeg_file(image, JCS_RGB, true)})
    for (std::size_t bit = 0; bit < 8 * std::min<std::size_t>(file.size(), 400); ++bit) {
      std::string flipped = file;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      const std::string answer = image_refusal(flipped);
      CAPTURE(bit, answer);
      CHECK((answer == "threw nothing" || answer.substr(0, 10) == "file 'x': "));
    }
}

TEST_CASE("an image that claims more pixels than it can hold is refused before they are allocated") {
  std::string png = png_file(1, 1, 8, PNG_COLOR_TYPE_GRAY, {0});
  const auto claim = [&](std::uint32_t height, std::uint32_t width) {
    std::string file = png;
    const auto put = [&](std::size_t at, std::uint32_t value) {
      for (std::size_t i = 0; i < 4; ++i) file[at + i] = static_cast<char>(value >> (24 - 8 * i));
    };
    put(16, width);
    put(20, height);
    const auto* const chunk = reinterpret_cast<const Bytef*>(file.data() + 12);
    put(29, static_cast<std::uint32_t>(::crc32(0, chunk, 17)));
    return image_refusal(file);
  };
  CHECK(claim(1, 1) == "threw nothing");
  CHECK_THAT(claim(10'000, 10'000), ContainsSubstring("expected the pixels of 10000 x 10000, found a file of only"));
  CHECK_THAT(claim(10'001, 10'000), ContainsSubstring("expected at most 100000000 pixels, found 10001 x 10000"));
  CHECK_THAT(claim(1, 200'000'000), ContainsSubstring("expected at most 100000000 pixels, found 1 x 200000000"));
  CHECK_THAT(claim(0, 1), ContainsSubstring("expected a PNG image"));
}

/// A number as PNG and JPEG files hold it.
std::string big_endian_number(std::uint32_t value, std::size_t size) {
  std::string bytes;
  for (std::size_t i = size; i-- > 0;) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

std::string little_endian_number(std::uint32_t value, std::size_t size) {
  std::string bytes = big_endian_number(value, size);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

std::string png_chunk(const std::string& name, const std::string& content) {
  const std::string named = name + content;
  const auto checksum = ::crc32(0, reinterpret_cast<const Bytef*>(named.data()), static_cast<uInt>(named.size()));
  return big_endian_number(static_cast<std::uint32_t>(content.size()), 4) + named +
         big_endian_number(static_cast<std::uint32_t>(checksum), 4);
}

std::string jpeg_segment(std::uint8_t marker, const std::string& content) {
  return "\xFF" + std::string(1, static_cast<char>(marker)) +
         big_endian_number(static_cast<std::uint32_t>(content.size()) + 2, 2) + content;
}

/// The file with `addition` behind the first `at` bytes.
std::string inserted(std::string file, std::size_t at, const std::string& addition) {
  return file.insert(at, addition);
}

constexpr std::size_t after_jpeg_start = 2, after_png_header = 33;

/// Where the markers of this kind are in a JPEG file.
std::vector<std::size_t> markers(const std::string& file, char marker) {
  std::vector<std::size_t> found;
  for (std::size_t at = 0; (at = file.find(std::string("\xFF") + marker, at)) != std::string::npos; ++at)
    found.push_back(at);
  return found;
}

/// The file without the segment that begins with this marker.
std::string without_segment(std::string file, char marker) {
  const std::size_t at = markers(file, marker).at(0);
  const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<std::uint8_t>(file[i])); };
  return file.erase(at, 2 + 256 * byte(at + 2) + byte(at + 3));
}

std::vector<std::uint8_t> pixels_of(const std::string& file) { return parse_image(bytes_of(file)).pixels; }

// Samsung's telephones write Ss = Se = Ah/Al = 0 in 0.3 % of their photographs, which libjpeg warns of; the three count
// in progressive files alone.
TEST_CASE("zero scan parameters in a sequential JPEG change nothing") {
  const std::string good = jpeg_file(gradient(16, 24, 3), JCS_RGB);
  std::string samsung = good;
  const std::size_t scan = markers(good, '\xDA').at(0), parameters = scan + 11;  // marker, size, and three colours
  REQUIRE(good.substr(parameters, 3) == std::string("\0\x3F\0", 3));
  samsung.replace(parameters, 3, 3, '\0');
  CHECK(pixels_of(samsung) == pixels_of(good));
}

TEST_CASE("unknown notes in a JPEG, and bytes between its segments, change nothing") {
  const std::string good = jpeg_file(gradient(16, 24, 3), JCS_RGB);
  const std::string bare =
      without_segment(good, '\xE0');  // without JFIF's note, which would say what colours there are
  const std::string adobe = std::string("Adobe\0\x64\0\0\0\0\x07", 12);
  CHECK(pixels_of(inserted(bare, after_jpeg_start, jpeg_segment(0xEE, adobe))) == pixels_of(good));
  std::string future = good;
  future[11] = 9;  // JFIF 9.01
  CHECK(pixels_of(future) == pixels_of(good));
  CHECK(pixels_of(inserted(good, markers(good, '\xDB').at(0), "???")) == pixels_of(good));
}

// "assume adobe conventions", as the reference's imaging library does: 255 - ink is stored, with and without Adobe's
// note.
TEST_CASE("a CMYK JPEG is read alike with and without Adobe's marker") {
  Image inks{8, 8, 4, {}};
  for (int i = 0; i < 64; ++i) inks.pixels.insert(inks.pixels.end(), {250, 128, 10, 200});
  const std::string adobe = jpeg_file(inks, JCS_CMYK);
  const std::vector<std::uint8_t> found = pixels_of(without_segment(adobe, '\xEE'));
  CHECK(found == pixels_of(adobe));
  const std::vector<int> expected{250 * 200 / 255, 128 * 200 / 255, 10 * 200 / 255};
  for (std::size_t c = 0; c < 3; ++c) CHECK(std::abs(found[c] - expected[c]) <= 2);
}

TEST_CASE("bytes behind the end of a picture change nothing") {
  for (const std::string& file :
       {png_file(2, 3, 8, PNG_COLOR_TYPE_GRAY, {1, 2, 3, 4, 5, 6}), jpeg_file(gradient(16, 24, 3), JCS_RGB),
        jpeg_file(gradient(16, 24, 3), JCS_RGB, true)})
    CHECK(pixels_of(file + std::string(10'000, '?')) == pixels_of(file));
}

TEST_CASE("a JPEG that has lost a scan is refused") {
  const std::string progressive = jpeg_file(gradient(16, 24, 3), JCS_RGB, true);
  const std::vector<std::size_t> scans = markers(progressive, '\xDA');
  REQUIRE(scans.size() == 10);
  std::string lost = progressive;
  lost.erase(scans[1], markers(progressive, '\xC4').at(3) - scans[1]);  // up to the tables of the next
  CHECK_THAT(image_refusal(lost),
             ContainsSubstring("expected a JPEG image, found an error: 'Inconsistent progression"));

  const std::vector<jpeg_scan_info> one_by_one{{1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
  std::string colours = jpeg_file(gradient(16, 24, 3), JCS_RGB, false, one_by_one);
  REQUIRE(image_refusal(colours) == "threw nothing");
  const std::size_t last = markers(colours, '\xDA').at(2);
  CHECK_THAT(image_refusal(colours.erase(last, colours.size() - 2 - last)),
             ContainsSubstring("'a colour has no scan'"));
}

/// A block of EXIF data whose only entry is of this tag, type and count; `value` is laid out in four bytes.
std::string exif(bool big, std::uint32_t tag, std::uint32_t type, std::uint32_t count, const std::string& value) {
  const auto number = big ? &big_endian_number : &little_endian_number;
  return (big ? "MM" : "II") + number(42, 2) + number(8, 4) + number(1, 2) + number(tag, 2) + number(type, 2) +
         number(count, 4) + value + number(0, 4);
}

std::string orientation_note(std::uint32_t orientation, bool big = true) {
  const auto number = big ? &big_endian_number : &little_endian_number;
  return exif(big, 0x0112, 3, 1, number(orientation, 2) + std::string(2, '\0'));
}

std::string jpeg_with(const std::string& file, const std::string& exif_data) {
  return inserted(file, after_jpeg_start, jpeg_segment(0xE1, std::string("Exif\0\0", 6) + exif_data));
}

TEST_CASE("a picture is turned as its EXIF orientation says, and left alone on request") {
  const std::string stored = png_file(2, 3, 8, PNG_COLOR_TYPE_GRAY, {1, 2, 3, 4, 5, 6});
  const std::vector<std::vector<std::uint8_t>> seen{{1, 2, 3, 4, 5, 6}, {3, 2, 1, 6, 5, 4}, {6, 5, 4, 3, 2, 1},
                                                    {4, 5, 6, 1, 2, 3}, {1, 4, 2, 5, 3, 6}, {4, 1, 5, 2, 6, 3},
                                                    {6, 3, 5, 2, 4, 1}, {3, 6, 2, 5, 1, 4}};
  for (std::uint32_t orientation = 1; orientation <= 8; ++orientation)
    for (const bool big : {false, true}) {
      CAPTURE(orientation, big);
      const std::string note = png_chunk("eXIf", orientation_note(orientation, big));
      for (const std::size_t at : {after_png_header, stored.size() - 12}) {  // before and after the pixels
        const std::string file = inserted(stored, at, note);
        const Image image = parse_image(bytes_of(file));
        CHECK(with_channels(image, 1).pixels == seen[orientation - 1]);
        CHECK(image.height == (orientation <= 4 ? 2 : 3));
        CHECK(image.width == (orientation <= 4 ? 3 : 2));
        const Image as_stored = parse_image(bytes_of(file), "x", PixelOrientation::as_stored);
        CHECK(as_stored.pixels == pixels_of(stored));
        CHECK(as_stored.height == 2);
      }
    }
}

TEST_CASE("a JPEG photograph held upright comes upright, through files too") {
  const TemporaryFolder folder;
  const std::string stored = jpeg_file(gradient(70, 40, 3), JCS_RGB);
  write_content(folder.file("a.jpg"), jpeg_with(stored, orientation_note(6)));
  const Image plain = parse_image(bytes_of(stored)), found = read_image(folder.file("a.jpg"));
  REQUIRE(found.height == 40);
  REQUIRE(found.width == 70);
  bool turned = true;  // by 90 degrees clockwise: the left column, read upwards, becomes the first row
  for (Index y = 0; y < 40; ++y)
    for (Index x = 0; x < 70; ++x)
      for (Index c = 0; c < 3; ++c)
        turned &= found.pixels[static_cast<std::size_t>((y * 70 + x) * 3 + c)] ==
                  plain.pixels[static_cast<std::size_t>(((69 - x) * 40 + y) * 3 + c)];
  CHECK(turned);
  CHECK(read_image(folder.file("a.jpg"), PixelOrientation::as_stored).pixels == plain.pixels);
}

TEST_CASE("the EXIF orientation is found behind other segments, in the first block that is one, and as a long number") {
  const std::string stored = jpeg_file(gradient(8, 16, 3), JCS_RGB);
  const auto height = [](const std::string& file) { return parse_image(bytes_of(file)).height; };
  const std::string xmp = jpeg_segment(0xE1, "http://ns.adobe.com/xap/1.0/ and so on");
  CHECK(height(inserted(jpeg_with(stored, orientation_note(6)), after_jpeg_start, xmp + "\xFF\xFF")) == 16);
  CHECK(height(jpeg_with(jpeg_with(stored, orientation_note(6)), orientation_note(3))) == 8);
  CHECK(height(jpeg_with(stored, exif(true, 0x0112, 4, 1, big_endian_number(6, 4)))) == 16);
  CHECK(height(inserted(stored, stored.size(), jpeg_segment(0xE1, std::string("Exif\0\0", 6) + orientation_note(6)))) ==
        8);
}

TEST_CASE("malformed EXIF data leave the picture as it is stored") {
  const std::string jpeg = jpeg_file(gradient(8, 16, 3), JCS_RGB);
  const std::string png = png_file(8, 16, 8, PNG_COLOR_TYPE_RGB, gradient(8, 16, 3).pixels);
  const auto left_alone = [&](const std::string& data) {
    return pixels_of(jpeg_with(jpeg, data)) == pixels_of(jpeg) &&
           pixels_of(inserted(png, after_png_header, png_chunk("eXIf", data))) == pixels_of(png);
  };
  REQUIRE_FALSE(left_alone(orientation_note(6)));
  CHECK(left_alone(orientation_note(0)));
  CHECK(left_alone(orientation_note(9)));
  CHECK(left_alone(orientation_note(0x0600)));
  CHECK(left_alone(exif(true, 0x0112, 2, 1, big_endian_number(6, 4))));                            // text
  CHECK(left_alone(exif(true, 0x0112, 3, 2, big_endian_number(6, 2) + big_endian_number(6, 2))));  // two
  CHECK(left_alone("MM" + big_endian_number(42, 2) + big_endian_number(0xFFFFFFFF, 4)));           // directory far away
  CHECK(left_alone("MM" + big_endian_number(42, 2) + big_endian_number(8, 4) +
                   big_endian_number(0xFFFF, 2)));  // entries that are not there
  CHECK(left_alone("XX" + orientation_note(6).substr(2)));
  const std::size_t end_of_value = 20;
  for (std::size_t size = 0; size < end_of_value; ++size) CHECK(left_alone(orientation_note(6).substr(0, size)));
}

TEST_CASE("every flipped bit of EXIF data gives an image") {
  const std::string jpeg = jpeg_file(gradient(8, 16, 3), JCS_RGB);
  for (std::size_t bit = 0; bit < 8 * orientation_note(6).size(); ++bit) {
    std::string data = orientation_note(6);
    data[bit / 8] = static_cast<char>(data[bit / 8] ^ (1 << (bit % 8)));
    CHECK(pixels_of(jpeg_with(jpeg, data)).size() == 384);
  }
}

/// What unpacks to 20 MB of zeros, `times` times over: a whole zlib stream of 20 kB each.
std::string packed_zeros(int times) {
  constexpr std::size_t size = 20'000'000;
  z_stream packer = {};
  deflateInit(&packer, Z_BEST_COMPRESSION);
  std::vector<Bytef> zeros(size), packed(size / 500);
  packer.next_in = zeros.data();
  packer.avail_in = size;
  packer.next_out = packed.data();
  packer.avail_out = static_cast<uInt>(packed.size());
  deflate(&packer, Z_FULL_FLUSH);
  const std::string all(reinterpret_cast<char*>(packed.data()), packed.size() - packer.avail_out);
  deflateEnd(&packer);
  std::string stream = all.substr(0, 2);
  for (int i = 0; i < times; ++i) stream += all.substr(2);
  return stream;
}

double processor_seconds(const std::string& file) {
  const std::clock_t start = std::clock();
  static_cast<void>(image_refusal(file));
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// 7.6 MB of them took 29 s: libpng unpacks texts and colour profiles unless told that nobody reads them.
TEST_CASE("what is packed beside the pixels of a PNG, or behind the last of them, is not unpacked") {
  const std::string plain = png_file(2, 3, 8, PNG_COLOR_TYPE_GRAY, {1, 2, 3, 4, 5, 6});
  const std::string zeros = packed_zeros(1);
  std::string chunks;
  for (int i = 0; i < 40; ++i) {
    chunks += png_chunk("zTXt", std::string("a\0\0", 3) + zeros);
    chunks += png_chunk("iTXt", std::string("a\0\1\0\0\0", 6) + zeros);
    chunks += png_chunk("iCCP", std::string("a\0\0", 3) + zeros);
  }
  const std::string texts = inserted(plain, after_png_header, chunks);
  CHECK(pixels_of(texts) == pixels_of(plain));
  CHECK(processor_seconds(texts) < 0.5);

  const std::string black =
      plain.substr(0, after_png_header) + png_chunk("IDAT", packed_zeros(150)) + png_chunk("IEND", "");
  CHECK(pixels_of(black) == std::vector<std::uint8_t>(18, 0));
  CHECK(processor_seconds(black) < 0.5);
}

/// A JPEG file in grey that claims this size; `frame` is its kind, and `scans` all from the first scan on.
std::string claiming_jpeg(std::uint8_t frame, std::uint32_t height, std::uint32_t width, const std::string& scans) {
  return "\xFF\xD8" + jpeg_segment(0xDB, std::string(1, '\0') + std::string(64, '\1')) +
         jpeg_segment(frame, "\x08" + big_endian_number(height, 2) + big_endian_number(width, 2) +
                                 std::string("\1\1\x11\0", 4)) +
         scans + "\xFF\xD9";
}

std::string jpeg_scan(std::uint8_t first, std::uint8_t last, std::uint8_t precision) {
  return jpeg_segment(0xDA, std::string("\1\1\0", 3) + static_cast<char>(first) + static_cast<char>(last) +
                                static_cast<char>(precision));
}

/// A Huffman table of one symbol, whose code is a zero bit.
std::string huffman_table(std::uint8_t place, std::uint8_t symbol) {
  return jpeg_segment(
      0xC4, std::string(1, static_cast<char>(place)) + '\1' + std::string(15, '\0') + static_cast<char>(symbol));
}

// 96 bytes took 474 MB: arithmetic codes need no bytes at all for what is as expected, and Huffman codes only end
// when read.
TEST_CASE("a JPEG that claims more pixels than it can hold is refused before they are allocated") {
  constexpr std::uint8_t baseline = 0xC0, progressive = 0xC2, arithmetic = 0xC9;
  const std::string early = "the file ends early: expected the pixels of 10000 x 10000, found a file of only ";
  for (const std::uint8_t frame : {baseline, progressive, arithmetic})
    CHECK_THAT(image_refusal(claiming_jpeg(frame, 10'000, 10'000, jpeg_scan(0, frame == progressive ? 0 : 63, 0))),
               ContainsSubstring(early));
  CHECK(image_refusal(claiming_jpeg(arithmetic, 16, 16, jpeg_scan(0, 63, 0))) == "threw nothing");

  const std::string padding = jpeg_segment(0xFE, std::string(60'000, '?'));  // large enough, but nothing for the pixels
  std::string scan = huffman_table(0x00, 0) + huffman_table(0x10, 0);
  for (int i = 0; i < 10; ++i) scan += padding;
  CHECK_THAT(image_refusal(claiming_jpeg(baseline, 10'000, 10'000, scan + jpeg_scan(0, 63, 0))),
             ContainsSubstring("premature end of data segment"));
}

// 98 scans of "nothing new for the next 32767 blocks" took 6 s: each goes over all pixels and costs a few bytes.
TEST_CASE("a JPEG with more scans over its pixels than its size accounts for is refused") {
  constexpr std::uint8_t progressive = 0xC2;
  constexpr std::size_t blocks = 262'144;
  const auto file = [&](int scans) {
    std::string content = huffman_table(0x00, 0) + jpeg_scan(0, 0, 0) + std::string(blocks / 8, '\0');
    content += huffman_table(0x10, 0xE0);  // no more in 2^14 + (14 bits) blocks
    for (int i = 0; i < scans; ++i) {
      const auto coefficient = static_cast<std::uint8_t>(i + 1);
      content += jpeg_scan(coefficient, coefficient, 0) + std::string(blocks / 16384 * 15 / 8, '\0');
    }
    return claiming_jpeg(progressive, 4096, 4096, content);
  };
  CHECK(image_refusal(file(10)) == "threw nothing");
  CHECK_THAT(image_refusal(file(60)), ContainsSubstring("'more scans over its pixels than a file of this size needs'"));
}

// 1 x 100,000,000 took 7 s and 1.3 GB, for a pointer to each row.
TEST_CASE("a PNG with a side beyond a million, or huge and empty, is refused at once") {
  const auto png = [](std::uint32_t height, std::uint32_t width, char depth, char colours, const std::string& data) {
    const std::string kind{depth, colours, '\0', '\0', '\0'};
    return "\x89PNG\r\n\x1A\n" + png_chunk("IHDR", big_endian_number(width, 4) + big_endian_number(height, 4) + kind) +
           png_chunk("IDAT", data) + png_chunk("IEND", "");
  };
  CHECK_THAT(image_refusal(png(100'000'000, 1, 8, 2, std::string(400'000, '\0'))),
             ContainsSubstring("expected sides of at most 1000000 pixels, found 100000000 x 1"));
  CHECK_THAT(image_refusal(png(1, 100'000'000, 1, 0, std::string(400'000, '\0'))),
             ContainsSubstring("expected sides of at most 1000000 pixels, found 1 x 100000000"));
  CHECK_THAT(image_refusal(png(10'000, 10'000, 1, 0, packed_zeros(1))),
             ContainsSubstring("expected a larger file for the pixels of 10000 x 10000, found "));
}

TEST_CASE("a plain white picture of 4000 x 3000 is read, however well it is packed") {
  const auto white = [](const std::string& file) {
    const Image image = parse_image(bytes_of(file));
    return image.height == 4000 && image.width == 3000 && image.pixels == std::vector<std::uint8_t>(36'000'000, 255);
  };
  const std::vector<std::uint8_t> bits(1'500'000, 0xFF);
  CHECK(white(png_file(4000, 3000, 1, PNG_COLOR_TYPE_GRAY, bits)));
  CHECK(white(png_file(4000, 3000, 1, PNG_COLOR_TYPE_GRAY, bits, PNG_INTERLACE_ADAM7)));
  const Image grey{4000, 3000, 1, std::vector<std::uint8_t>(12'000'000, 255)};
  CHECK(white(jpeg_file(grey, JCS_GRAYSCALE)));
  CHECK(white(jpeg_file(grey, JCS_GRAYSCALE, true)));
}

TEST_CASE("what is no image is not written") {
  const TemporaryFolder folder;
  const auto refused = [&](const Image& image) {
    return message_of<ShapeError>([&] { write_png(folder.file("a.png"), image); });
  };
  CHECK_THAT(refused({2, 2, 2, std::vector<std::uint8_t>(8)}), ContainsSubstring("expected 1 or 3 channels, found 2"));
  CHECK_THAT(refused({2, 2, 3, std::vector<std::uint8_t>(8)}), ContainsSubstring("expected 12, found 8"));
  CHECK_THAT(refused({0, 2, 3, {}}), ContainsSubstring("expected at least 1 x 1 x 1, found 0 x 2 x 3"));
  CHECK_THAT(refused({Index{1} << 62U, 2, 3, {}}), ContainsSubstring("image: expected at least"));
  CHECK_THAT(message_of<FileError>([&] { write_png(folder.file("none") / "a.png", gradient(2, 2, 3)); }),
             ContainsSubstring("cannot be written"));
  CHECK(folder.file_count() == 0);
}

}  // namespace
