// SPDX-License-Identifier: MIT
// Needs libpng and libjpeg (Debian: libpng-dev, libjpeg-dev), in addition to Eigen.
#pragma once

#include <cstddef>
#include <filesystem>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/detail/exif.hpp"
#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/detail/jpeg.hpp"
#include "crate/io/formats/detail/png.hpp"
#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/pixels.hpp"
#include "crate/models/image_preprocessing.hpp"

namespace crate {

/// A picture from a PNG or JPEG file, recognised by its first bytes, always as 8-bit RGB: grey values are repeated,
/// palettes looked up, 16 bits rounded to 8, transparency and colour profiles ignored.
/// Throws FileError for other files, damaged or truncated ones, pictures of more than `maximal_pixels`, and files that
/// claim more pixels, or have more scans, than their size justifies.
[[nodiscard]] Image read_image(const std::filesystem::path& path,
                               PixelOrientation orientation = PixelOrientation::upright);

/// read_image for the bytes of a file in memory. `source` names them in messages.
[[nodiscard]] Image parse_image(std::span<const std::byte> bytes, std::string_view source = "in memory",
                                PixelOrientation orientation = PixelOrientation::upright);

/// The bytes of a PNG file, grey or RGB depending on the image's channels. Throws ShapeError for other numbers of
/// channels or pixels that do not fit the size, Error if libpng cannot encode them.
[[nodiscard]] std::vector<std::byte> encode_png(const Image& image);

/// Writes a PNG file, grey or RGB depending on the image's channels, completely or not at all. Throws ShapeError for
/// other numbers of channels or pixels that do not fit the size, FileError if the file cannot be written.
void write_png(const std::filesystem::path& path, const Image& image);

namespace detail {

[[nodiscard]] inline Image oriented(Image image, std::span<const std::byte> exif, PixelOrientation orientation) {
  return orientation == PixelOrientation::upright ? upright(std::move(image), exif_orientation(exif)) : image;
}

}  // namespace detail

inline Image parse_image(std::span<const std::byte> bytes, std::string_view source, PixelOrientation orientation) try {
  if (detail::begins_with(bytes, "\x89PNG\r\n\x1A\n"))
    return detail::oriented(detail::PngReader(bytes, source).read(), detail::exif_of_png(bytes), orientation);
  if (detail::begins_with(bytes, "\xFF\xD8\xFF"))
    return detail::oriented(detail::JpegReader(bytes, source).read(), detail::exif_of_jpeg(bytes), orientation);
  throw detail::other_file_error(source, "a PNG or JPEG image", bytes);
} catch (const std::bad_alloc&) { throw file_error(source, "the image needs more memory than is available"); }

inline Image read_image(const std::filesystem::path& path, PixelOrientation orientation) {
  const FileBytes file(path);
  return parse_image(file.bytes(), path.string(), orientation);
}

namespace detail {

inline void check_png_channels(const Image& image) {
  check_image(image);
  if (image.channels != 1 && image.channels != 3)
    throw ShapeError(concatenate("image: expected 1 or 3 channels, found ", image.channels));
}

}  // namespace detail

inline std::vector<std::byte> encode_png(const Image& image) {
  detail::check_png_channels(image);
  detail::PngWriter writer;
  const std::span<const std::byte> bytes = writer.encode(image);
  if (bytes.empty()) throw Error(concatenate("image: cannot be encoded: ", writer.message()));
  return {bytes.begin(), bytes.end()};
}

inline void write_png(const std::filesystem::path& path, const Image& image) {
  detail::check_png_channels(image);
  detail::PngWriter writer;
  const std::span<const std::byte> bytes = writer.encode(image);
  if (bytes.empty()) throw file_error(path.string(), "cannot be written: ", writer.message());
  FileReplacement file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace crate
