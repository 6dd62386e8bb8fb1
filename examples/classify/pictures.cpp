// SPDX-License-Identifier: MIT
#include "classify/pictures.hpp"

#include <algorithm>
#include <iostream>
#include <utility>

#include "crate/io/pictures/read_image_data_set.hpp"

namespace classify {

namespace {

namespace fs = std::filesystem;

void append(std::vector<fs::path>& paths, const std::vector<fs::path>& more) {
  paths.insert(paths.end(), more.begin(), more.end());
}

/// The pictures in all folders of a folder, which are classes.
std::vector<fs::path> pictures_of_classes(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const fs::path& class_folder : crate::find_class_folders(folder))
    append(found, crate::find_pictures(class_folder));
  return found;
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

}  // namespace

Pictures::Pictures(const Options& options, const std::vector<std::string>& class_names, Index classes,
                   crate::PixelOrientation orientation, crate::Threads& threads)
    : are_shown_(options.data.empty()), folder_classes_(class_names), orientation_(orientation) {
  if (options.data.empty() == options.pictures.empty())
    throw crate::OptionError("expected pictures or --data, found " +
                             std::string(options.data.empty() ? "neither" : "both"));
  for (const std::string& given : options.pictures) { append(paths_, find_given(given)); }
  if (options.data.empty()) return;
  if (options.top)
    throw crate::OptionError("option --top would have no effect: for --data only the accuracy is printed");
  if (crate::find_image_data_set_kind(options.data) == crate::ImageDataSetKind::picture_folders) {
    paths_ = pictures_of_classes(crate::find_test_folder(options.data));
    if (std::none_of(paths_.begin(), paths_.end(),
                     [&](const auto& p) { return folder_classes_.of(p) != unknown_class; }))
      throw crate::OptionError("option --data: expected folders named after the model's classes, found none");
    return;
  }
  data_ = std::move(crate::read_image_data_set(options.data, {}, threads).sets.test);
  check_classes(*data_, class_names, classes);
}

}  // namespace classify
