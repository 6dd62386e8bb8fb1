// SPDX-License-Identifier: MIT
#include "classify/pictures.hpp"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <utility>

#include "crate/core/detail/count_of.hpp"
#include "crate/core/detail/number_text.hpp"
#include "crate/io/pictures/read_image_data_set.hpp"

namespace classify {

namespace {

namespace fs = std::filesystem;

void append(std::vector<fs::path>& paths, const std::vector<fs::path>& more) {
  paths.insert(paths.end(), more.begin(), more.end());
}

/// The file, or the pictures in the folder and in its folders.
std::vector<fs::path> find_given(const fs::path& given) {
  std::error_code unknown;
  if (!fs::is_directory(given, unknown)) return {given};
  std::vector<fs::path> found = crate::list_pictures(given);
  for (const fs::path& inside : crate::list_class_folders(given)) append(found, crate::list_pictures(inside));
  if (!found.empty()) return found;
  const bool is_data = fs::is_directory(crate::find_test_folder(given), unknown);
  throw crate::file_error(given.string(), "expected PNG or JPEG files in this folder or its folders, found none",
                          is_data ? "; for a data set use --data, or name its test folder" : "");
}

/// The numbers of the classes as names, which a data set has whose labels nobody named.
std::vector<std::string> numbers(Index classes) {
  std::vector<std::string> names;
  for (Index c = 0; c < classes; ++c) names.push_back(std::to_string(c));
  return names;
}

/// Throws OptionError unless the model's classes are those of the data set, in their order. Where one of them has but
/// numbers for names, their count tells.
void check_classes(const crate::ImageDataSet& data, const std::vector<std::string>& names, Index classes) {
  crate::check_option(data.classes() == classes,
                      crate::concatenate("--data of ", classes, " classes, as the model has"), data.classes());
  const std::vector<std::string> numbered = numbers(classes);
  if (names.empty() || names == numbered || data.class_names == numbered || names == data.class_names) return;
  const auto [ours, theirs] = std::mismatch(names.begin(), names.end(), data.class_names.begin());
  throw crate::OptionError(crate::concatenate("option --data: expected the model's classes, found ",
                                              crate::quote(*theirs), " where the model has ", crate::quote(*ours)));
}

/// "0.49, 0.48, 0.45"
std::string text_of(const std::vector<double>& numbers) {
  std::string text;
  for (const double number : numbers)
    text += (text.empty() ? "" : ", ") + crate::detail::number_text(std::round(100 * number) / 100);
  return text;
}

/// Whether pixels are much darker, brighter, paler or richer in contrast than expected, as those of other data sets
/// are: the parts of one differ by a few percent.
bool differs_much(const crate::ImageNormalisation& found, const crate::ImageNormalisation& expected) {
  constexpr double share = 0.25;  // of the expected deviation
  for (std::size_t c = 0; c < found.mean.size(); ++c)
    if (std::abs(found.mean[c] - expected.mean[c]) > share * expected.deviation[c] ||
        std::abs(found.deviation[c] - expected.deviation[c]) > share * expected.deviation[c])
      return true;
  return false;
}

/// Size and pixels of a data set, where they are other than expected.
std::string differences(const crate::ImageDataSet& data, const Expected& expected, crate::Threads& threads) {
  std::string text;
  const auto size = [](const auto& of) {
    return crate::concatenate(of.height, " x ", of.width, " with ", crate::detail::count_of(of.channels, "channel"));
  };
  if (size(data) != size(expected))
    text = crate::concatenate("images of ", size(data), ", which are resized to ", size(expected));
  const crate::ImageNormalisation &pixels = expected.preprocessing.normalisation,
                                  found = crate::measure_normalisation(data, threads);
  if (pixels.mean.size() == found.mean.size() && differs_much(found, pixels))
    text += crate::concatenate(text.empty() ? "" : "; ", "pixels of mean ", text_of(found.mean), " and deviation ",
                               text_of(found.deviation), " instead of ", text_of(pixels.mean), " and ",
                               text_of(pixels.deviation));
  return text;
}

/// The names of one that the other lacks, in words: "'cat', 'dog' and 3 more".
std::string lacking(const std::vector<std::string>& names, const std::vector<std::string>& others) {
  constexpr std::size_t most = 3;
  std::string text;
  std::size_t count = 0;
  for (const std::string& name : names)
    if (std::find(others.begin(), others.end(), name) == others.end() && ++count <= most)
      text += (count > 1 ? ", " : "") + crate::quote(name);
  return count > most ? crate::concatenate(text, " and ", count - most, " more") : text;
}

/// The classes of the folders, where they are not those of the model.
std::string differences(const std::vector<fs::path>& class_folders, const std::vector<std::string>& class_names) {
  std::vector<std::string> folders;
  for (const fs::path& folder : class_folders) folders.push_back(folder.filename().string());
  const std::string surplus = lacking(folders, class_names), missing = lacking(class_names, folders);
  std::string text;
  if (!surplus.empty()) text = "folders that are no classes of the model, and are not scored: " + surplus;
  if (!missing.empty()) text += (text.empty() ? "" : "; ") + ("no folders for the classes " + missing);
  return text;
}

}  // namespace

void Pictures::read_folders(const Options& options, const Expected& expected) {
  const fs::path folder = crate::find_test_folder(options.data);
  const std::vector<fs::path> class_folders = crate::find_class_folders(folder);
  for (const fs::path& class_folder : class_folders) append(paths_, crate::find_pictures(class_folder));
  if (std::none_of(paths_.begin(), paths_.end(), [&](const auto& p) { return folder_classes_.of(p) != unknown_class; }))
    throw crate::OptionError("option --data: expected folders named after the model's classes, found none");
  note_ = differences(class_folders, expected.class_names);
}

Pictures::Pictures(const Options& options, const Expected& expected, crate::Threads& threads)
    : are_shown_(options.data.empty()),
      folder_classes_(expected.class_names),
      orientation_(expected.preprocessing.orientation) {
  if (options.data.empty() == options.pictures.empty())
    throw crate::OptionError("expected pictures or --data, found " +
                             std::string(options.data.empty() ? "neither" : "both"));
  for (const std::string& given : options.pictures) append(paths_, find_given(given));
  if (options.data.empty()) return;
  if (options.top)
    throw crate::OptionError("option --top would have no effect: for --data only the accuracy is printed");
  if (crate::find_image_data_set_kind(options.data) == crate::ImageDataSetKind::picture_folders) {
    read_folders(options, expected);
  } else {
    data_ = std::move(crate::read_image_data_set(options.data, {}, threads).sets.test);
    check_classes(*data_, expected.class_names, expected.classes);
    note_ = differences(*data_, expected, threads);
  }
  if (!note_.empty()) note_ = "--data differs from what the weights expect: " + note_;
}

}  // namespace classify
