// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/detail/number_text.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/formats/detail/maybe_gzip.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/text_file.hpp"
#include "program_options/program_options.hpp"

// Files of sentences and their classes.

namespace classify_text {

using crate::Index;

struct Sentences {
  std::vector<std::string> texts, classes;  ///< as many of each, or no classes
  std::vector<std::size_t> lines;           ///< of the file where each stands, counted from 1
  std::optional<std::string> header = {};   ///< the first line of their file, if it names the columns
};

namespace detail {

[[nodiscard]] inline std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t begin = text.find_first_not_of(blanks);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

/// Appends a sentence and its class. Throws FileError on a line that does not have both.
inline void append_line(Sentences& sentences, std::string_view line, bool has_tabs, const std::string& path,
                        std::size_t number) {
  const std::size_t cut = has_tabs ? line.rfind('\t') : line.find(' ');
  const std::string_view front = trimmed(line.substr(0, std::min(cut, line.size())));
  const std::string_view back = cut < line.size() ? trimmed(line.substr(cut + 1)) : "";
  if (front.empty() || back.empty())
    throw crate::file_error(path, "line ", number, ": expected a sentence, a tab and its class",
                            has_tabs ? "" : ", or a class, a space and the sentence", ", found ", crate::quote(line));
  sentences.texts.emplace_back(has_tabs ? front : back);
  sentences.classes.emplace_back(has_tabs ? back : front);
  sentences.lines.push_back(number);
}

/// Whether the first line names the columns: its class is not a number, not a known one, and in no other line, while
/// other classes are in several.
[[nodiscard]] inline bool names_columns(const Sentences& sentences, const std::vector<std::string>& known) {
  const std::string& first = sentences.classes.front();
  std::map<std::string_view, std::size_t> counts;
  for (const std::string& name : sentences.classes) ++counts[name];
  const bool others_repeat = std::any_of(counts.begin(), counts.end(), [](const auto& one) { return one.second > 1; });
  return counts.at(first) == 1 && others_repeat && !crate::detail::number_from_text<double>(first) &&
         std::find(known.begin(), known.end(), first) == known.end();
}

}  // namespace detail

/// The sentences in the lines of a file, one per line: SENTENCE<tab>CLASS, as in GLUE, or without any tab
/// CLASS<space>SENTENCE, as in the stsa files. `header` says whether the first line names the columns: "yes", "no", or
/// "auto": if there are tabs, and it is "sentence TAB label" or its class is not a number, not a known one and in no
/// other line. Throws FileError on a line of another form.
[[nodiscard]] inline Sentences labelled_sentences_in(const std::vector<std::string>& lines, const std::string& path,
                                                     std::string_view header,
                                                     const std::vector<std::string>& known = {}) {
  const bool has_tabs =
      std::any_of(lines.begin(), lines.end(), [](const std::string& l) { return l.find('\t') != std::string::npos; });
  Sentences sentences;
  std::string_view first;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = detail::trimmed(lines[i]);
    if (line.empty()) continue;
    const bool is_first = first.empty();
    if (is_first) first = line;
    if (is_first && (header == "yes" || (header == "auto" && line == "sentence\tlabel")))
      sentences.header = line;
    else
      detail::append_line(sentences, line, has_tabs, path, i + 1);
  }
  if (sentences.texts.empty()) throw crate::file_error(path, "expected sentences with their classes, found none");
  if (header == "auto" && has_tabs && !sentences.header && detail::names_columns(sentences, known)) {
    sentences.header = first;
    sentences.texts.erase(sentences.texts.begin());
    sentences.classes.erase(sentences.classes.begin());
    sentences.lines.erase(sentences.lines.begin());
  }
  return sentences;
}

/// The same of the lines of a file.
[[nodiscard]] inline Sentences read_labelled_sentences(const std::string& path, std::string_view header,
                                                       const std::vector<std::string>& known = {}) {
  return labelled_sentences_in(crate::lines_in(crate::detail::read_unpacked(path)), path, header, known);
}

/// Whether a file's lines are those of a table and no sentences: each that is not blank has a tab.
[[nodiscard]] inline bool is_table(const std::vector<std::string>& lines) {
  std::size_t with_tab = 0, blank = 0;
  for (const std::string& line : lines) {
    const std::string_view text = detail::trimmed(line);
    if (text.empty())
      ++blank;
    else if (text.find('\t') != std::string_view::npos)
      ++with_tab;
  }
  return with_tab > 0 && with_tab + blank == lines.size();
}

/// Throws FileError if a class of a table is none of the names.
inline void check_classes_of_table(const Sentences& sentences, const std::vector<std::string>& class_names,
                                   const std::string& path) {
  for (std::size_t i = 0; i < sentences.classes.size(); ++i)
    if (std::find(class_names.begin(), class_names.end(), sentences.classes[i]) == class_names.end())
      throw crate::file_error(path, "line ", sentences.lines[i],
                              ": expected a sentence, or, as every line has a tab, SENTENCE<tab>CLASS with a class of "
                              "the model, ",
                              program_options::alternatives(class_names), ", found ",
                              crate::quote(sentences.classes[i]));
}

/// The sentences in the lines of a file, one per line, without blank ones; of a table, those with their classes, or
/// without them if there are no class names to compare them with. Throws FileError if there are no sentences, or if a
/// table is not one of sentences and these classes; OptionError if a header is spoken of where there are no columns.
[[nodiscard]] inline Sentences sentences_in(const std::vector<std::string>& lines, const std::string& path,
                                            std::string_view header, const std::vector<std::string>& class_names) {
  Sentences sentences;
  if (is_table(lines)) {
    sentences = labelled_sentences_in(lines, path, header, class_names);
    if (class_names.empty())
      sentences.classes.clear();
    else
      check_classes_of_table(sentences, class_names, path);
    return sentences;
  }
  if (header != "auto") throw crate::OptionError("option --header would have no effect: --text has no columns");
  for (std::size_t i = 0; i < lines.size(); ++i)
    if (!detail::trimmed(lines[i]).empty()) {
      sentences.texts.push_back(lines[i]);
      sentences.lines.push_back(i + 1);
    }
  if (sentences.texts.empty()) throw crate::file_error(path, "expected sentences, one per line, found none");
  return sentences;
}

/// The classes in the order of their names.
[[nodiscard]] inline std::vector<std::string> class_names_in(const Sentences& sentences) {
  std::vector<std::string> names = sentences.classes;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

/// Throws FileError unless there are two classes, and most of them, if there are three, are of several sentences.
inline void check_classes(const Sentences& sentences, const std::vector<std::string>& names, const std::string& path) {
  if (names.size() < 2) throw crate::file_error(path, "expected sentences of at least 2 classes, found ", names.size());
  std::map<std::string_view, std::size_t> counts;
  for (const std::string& name : sentences.classes) ++counts[name];
  const auto once = std::count_if(counts.begin(), counts.end(), [](const auto& one) { return one.second == 1; });
  if (names.size() >= 3 && 10 * once >= 9 * std::ssize(names))
    throw crate::file_error(path, "expected several sentences of each class, found ", names.size(), " classes, ", once,
                            " of them of one sentence; the columns may be the other way round: expected "
                            "SENTENCE<tab>CLASS, or CLASS<space>SENTENCE");
}

/// The numbers of the classes of a file. Throws FileError if one has a class that is none of the names, or if there are
/// no names.
[[nodiscard]] inline std::vector<Index> labels_of(const Sentences& sentences, const std::vector<std::string>& names,
                                                  const std::string& path) {
  if (names.empty()) throw crate::file_error(path, "expected a model that names its classes, found one without names");
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
