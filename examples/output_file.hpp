// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/io/formats/text_file.hpp"
#include "crate/io/pictures/image.hpp"
#include "crate/training/checkpoint.hpp"

namespace examples {

/// Whether two paths are, or would be, the same file.
inline bool same_file(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  return fs::weakly_canonical(fs::absolute(a, error), error) == fs::weakly_canonical(fs::absolute(b, error), error);
}

enum class FileContent { tensors, checkpoint, other };

inline FileContent content_of(const std::string& path) {
  try {
    return crate::is_checkpoint(crate::read_safetensors(path)) ? FileContent::checkpoint : FileContent::tensors;
  } catch (const crate::FileError&) { return FileContent::other; }
}

/// Throws FileError unless tensors can be written to `path`, which the option names. Tensors may be replaced, but not a
/// file that the program reads, the checkpoint of a training, or anything else.
inline void check_output(const std::string& path, std::initializer_list<std::string> what_is_read = {},
                         std::string_view option = "--output") {
  crate::check_replaceable(path);
  for (const std::string& read : what_is_read)
    if (!read.empty() && same_file(path, read))
      throw crate::file_error(path, option, " names a file that the program reads; choose another name");
  if (!crate::path_exists(path)) return;
  const FileContent content = content_of(path);
  if (content != FileContent::tensors)
    throw crate::file_error(path, option, " would replace ",
                            content == FileContent::checkpoint ? "the checkpoint of a training"
                                                               : "a file that is not a safetensors file of tensors",
                            "; choose another name");
}

/// Throws FileError unless a picture can be written to `path`, which the option names. Pictures (PNG or JPEG, or SVG if
/// the path ends so) may be replaced, but nothing else.
inline void check_picture_output(const std::string& path, std::string_view option) {
  crate::check_replaceable(path);
  if (!crate::path_exists(path)) return;
  try {
    if (!path.ends_with(".svg"))
      (void)crate::read_image(path);
    else if (crate::read_text(path).find("<svg") == std::string::npos)
      throw crate::file_error(path, "expected an SVG picture");
  } catch (const crate::FileError& error) {
    throw crate::FileError(crate::concatenate(
        error.what(), "; ", option, " would replace this file, and replaces only pictures; choose another name"));
  }
}

}  // namespace examples
