// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "compress_tokens/options.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "output_file.hpp"

namespace compress_tokens {

/// All files that the program may write.
inline constexpr std::array<const char*, 7> output_names = {"similarity.svg",       "layers.svg",  "trade_off.svg",
                                                            "reconstruction.svg",   "decoded.png", "tokens.safetensors",
                                                            "white_box.safetensors"};

/// Whether a run on this kind of input writes the file.
[[nodiscard]] inline bool is_written_for(InputKind kind, std::string_view name) {
  if (name == "trade_off.svg") return kind != InputKind::toy;
  if (name == "reconstruction.svg" || name == "decoded.png") return kind == InputKind::photograph;
  return true;
}

/// The metadata by which the program recognises the safetensors files that it has written.
[[nodiscard]] inline crate::Metadata program_mark() { return {{"program", "compress_tokens"}}; }

/// The folder that the program fills. It remembers what each file is, and says so at the end.
class OutputFolder {
 public:
  /// Makes the folder unless it is there. Throws FileError if it cannot be written to, or if a run on this kind of
  /// input would replace a file that is read, a safetensors file that the program has not written, or, under the name
  /// of a picture, a file that is none; paths in `what_is_read` may be empty.
  OutputFolder(std::filesystem::path folder, InputKind input, std::initializer_list<std::filesystem::path> what_is_read)
      : folder_(std::move(folder)) {
    std::vector<std::string> names;
    std::copy_if(output_names.begin(), output_names.end(), std::back_inserter(names),
                 [&](std::string_view name) { return is_written_for(input, name); });
    for (const std::string& name : names)
      for (const std::filesystem::path& read : what_is_read)
        if (!read.empty() && examples::same_file((folder_ / name).string(), read.string()))
          throw crate::file_error((folder_ / name).string(),
                                  "--output would replace this file, which the program reads; give another folder");
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (!std::filesystem::is_directory(folder_))
      throw crate::file_error(folder_.string(), "--output: expected a folder, or a name to make one by",
                              error ? ": " + crate::system_message(error) : std::string());
    const crate::FileReplacement trial(folder_ / "tokens.safetensors");
    for (const std::string& name : names) check_output((folder_ / name).string());
  }

  /// The path of a file to write at once, one of the output_names of the run; the phrase describes its content in the
  /// list that is printed at the end.
  [[nodiscard]] std::filesystem::path file(const std::string& name, const std::string& phrase) {
    files_.emplace_back(name, phrase);
    replaces_ = replaces_ || crate::path_exists(folder_ / name);
    return folder_ / name;
  }

  /// A line for each file, also for those that only an earlier run wrote.
  void print(std::ostream& out) const {
    std::size_t width = 0;
    for (const auto& [name, phrase] : files_) width = std::max(width, name.size());
    out << "written to " << folder_.string() << "/" << (replaces_ ? ", in place of the files of an earlier run" : "")
        << "\n";
    for (const auto& [name, phrase] : files_)
      out << "  " << name << std::string(width + 2 - name.size(), ' ') << phrase << "\n";
    for (const char* const name : output_names)
      if (!is_written(name) && crate::path_exists(folder_ / name))
        out << "not written in this run, and left as it was: " << name << "\n";
  }

 private:
  static void check_output(const std::string& path) {
    if (!path.ends_with(".safetensors")) return examples::check_picture_output(path, "--output");
    examples::check_output(path);
    if (!crate::path_exists(path)) return;
    const crate::TensorTable table = crate::read_safetensors(path);
    for (const auto& [key, text] : program_mark())
      if (const std::string* const found = table.find_metadata(key); found == nullptr || *found != text)
        throw crate::file_error(path,
                                "--output would replace this file, which the program has not written; give another "
                                "folder");
  }

  [[nodiscard]] bool is_written(std::string_view name) const {
    return std::any_of(files_.begin(), files_.end(), [&](const auto& file) { return file.first == name; });
  }

  std::filesystem::path folder_;
  std::vector<std::pair<std::string, std::string>> files_;
  bool replaces_ = false;  ///< whether a file of an earlier run was there
};

}  // namespace compress_tokens
