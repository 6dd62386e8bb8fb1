// SPDX-License-Identifier: MIT
#include "crate/io/image.hpp"

#include <zlib.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "io/temporary_folder.hpp"

namespace {

using namespace crate;
using Catch::Matchers::ContainsSubstring;
using crate::test::bytes_of;
using crate::test::content_of;
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
std::string jpeg_file(const Image& image, J_COLOR_SPACE color_space, bool progressive = false) {
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

std::string refusal(const std::string& file) {
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
             ContainsSubstring("b.jpg': expected a PNG or JPEG image"));
  CHECK_THAT(refusal(""), ContainsSubstring("expected a PNG or JPEG image"));
  CHECK_THAT(refusal("\x89PNG\r\n\x1A\n"), ContainsSubstring("expected a PNG image, found an error: "));
  CHECK_THAT(refusal("\xFF\xD8\xFF"), ContainsSubstring("expected a JPEG image, found an error: "));
}

TEST_CASE("every truncation of an image file is an error") {
  const Image image = gradient(16, 16, 3);
  const std::string grey = png_file(16, 16, 8, PNG_COLOR_TYPE_GRAY, std::vector<std::uint8_t>(256, 3));
  for (const std::string& file : {grey, jpeg_file(image, JCS_RGB), jpeg_file(image, JCS_RGB, true)}) {
    REQUIRE(refusal(file) == "threw nothing");
    for (std::size_t size = 0; size < file.size(); ++size) {
      CAPTURE(size, file.size());
      CHECK_THAT(refusal(file.substr(0, size)), ContainsSubstring("file 'x': expected a"));
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
      const std::string answer = refusal(flipped);
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
    put(29, static_cast<std::uint32_t>(crc32(0, chunk, 17)));
    return refusal(file);
  };
  CHECK(claim(1, 1) == "threw nothing");
  CHECK_THAT(claim(10'000, 10'000), ContainsSubstring("expected the pixels of 10000 x 10000, found a file of only"));
  CHECK_THAT(claim(10'001, 10'000), ContainsSubstring("expected at most 100000000 pixels, found 10001 x 10000"));
  CHECK_THAT(claim(1, 200'000'000), ContainsSubstring("expected a PNG image"));
  CHECK_THAT(claim(0, 1), ContainsSubstring("expected a PNG image"));
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
