// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/training/checkpoint.hpp"

namespace examples {

/// Whether two paths are, or would be, the same file.
inline bool same_file(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  return fs::weakly_canonical(fs::absolute(a, error), error) == fs::weakly_canonical(fs::absolute(b, error), error);
}

/// Whether a file holds tensors, and not a whole training.
inline bool holds_tensors(const std::string& path) {
  try {
    return !crate::is_checkpoint(crate::read_safetensors(path));
  } catch (const crate::FileError&) { return false; }
}

/// Throws FileError unless tensors can be written to `path`: tensors may be replaced, but neither what the program
/// reads, nor the checkpoint of a training, nor anything else.
inline void check_output(const std::string& path, std::initializer_list<std::string> what_is_read = {}) {
  crate::check_replaceable(path);
  for (const std::string& read : what_is_read)
    if (!read.empty() && same_file(path, read))
      throw crate::file_error(path, "expected another file for --output than the program reads, found the same");
  if (crate::path_exists(path) && !holds_tensors(path))
    throw crate::file_error(path,
                            "expected no file where --output is written, or tensors to replace that are no "
                            "training, found something else; give another name");
}

}  // namespace examples
