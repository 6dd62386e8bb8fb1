// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/text_file.hpp"
#include "program_options/program_options.hpp"

// Files of sentences and their classes.

namespace classify_text {

using crate::Index;

struct Sentences {
  std::vector<std::string> texts, classes;  ///< as many of each
  std::vector<std::size_t> lines;           ///< of the file where each stands, counted from 1
};

namespace detail {

[[nodiscard]] inline std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t begin = text.find_first_not_of(blanks);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

}  // namespace detail

/// The sentences of a file, one a line: SENTENCE TAB CLASS, where a first line "sentence TAB label" is a heading, as in
/// GLUE; or without any tab CLASS BLANK SENTENCE, as in the stsa files. Throws FileError on a line that is neither.
[[nodiscard]] inline Sentences read_labelled_sentences(const std::string& path) {
  const std::vector<std::string> lines = crate::read_lines(path);
  const bool has_tabs =
      std::any_of(lines.begin(), lines.end(), [](const std::string& l) { return l.find('\t') != std::string::npos; });
  Sentences sentences;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = detail::trimmed(lines[i]);
    if (line.empty() || (i == 0 && line == "sentence\tlabel")) continue;
    const std::size_t cut = has_tabs ? line.rfind('\t') : line.find(' ');
    const std::string_view front = detail::trimmed(line.substr(0, std::min(cut, line.size())));
    const std::string_view back = cut < line.size() ? detail::trimmed(line.substr(cut + 1)) : "";
    if (front.empty() || back.empty())
      throw crate::file_error(path, "line ", i + 1, ": expected a sentence, a tab and its class",
                              has_tabs ? "" : ", or a class, a blank and the sentence", ", found ", crate::quote(line));
    sentences.texts.emplace_back(has_tabs ? front : back);
    sentences.classes.emplace_back(has_tabs ? back : front);
    sentences.lines.push_back(i + 1);
  }
  if (sentences.texts.empty()) throw crate::file_error(path, "expected sentences with their classes, found none");
  return sentences;
}

/// The classes in the order of their names.
[[nodiscard]] inline std::vector<std::string> class_names_in(const Sentences& sentences) {
  std::vector<std::string> names = sentences.classes;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

/// The numbers of the classes of a file. Throws FileError if one has a class that is none of the names.
[[nodiscard]] inline std::vector<Index> labels_of(const Sentences& sentences, const std::vector<std::string>& names,
                                                  const std::string& path) {
  std::vector<Index> labels;
  for (std::size_t i = 0; i < sentences.classes.size(); ++i) {
    const auto found = std::find(names.begin(), names.end(), sentences.classes[i]);
    if (found == names.end())
      throw crate::file_error(path, "line ", sentences.lines[i], ": expected a class of the training sentences, ",
                              program_options::alternatives(names), ", found ", crate::quote(sentences.classes[i]));
    labels.push_back(found - names.begin());
  }
  return labels;
}

}  // namespace classify_text
