// SPDX-License-Identifier: MIT
// Needs libpng and libjpeg (Debian: libpng-dev, libjpeg-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "crate/core/detail/fingerprint.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/pixels.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/io/pictures/detail/folder_entries.hpp"
#include "crate/io/pictures/image.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "crate/io/pictures/prepare.hpp"

namespace crate {

namespace detail {

/// Whether the name is one that operating systems create: names that begin with a dot ("._1.jpg",
/// ".ipynb_checkpoints"), and a few folders.
[[nodiscard]] inline bool is_litter(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 5> folders{"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN",
                                                    "System Volume Information"};
  const std::string name = path.filename().string();
  return name.starts_with('.') || std::find(folders.begin(), folders.end(), name) != folders.end();
}

}  // namespace detail

/// Whether the file's name is that of a picture. Includes formats that `read_image` refuses, so that they are
/// reported rather than ignored.
[[nodiscard]] inline bool is_picture(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 16> endings{".png",  ".jpg", ".jpeg", ".jpe",  ".jfif", ".bmp",
                                                     ".gif",  ".tif", ".tiff", ".webp", ".heic", ".heif",
                                                     ".avif", ".jxl", ".ppm",  ".pgm"};
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return !detail::is_litter(path) && std::find(endings.begin(), endings.end(), ending) != endings.end();
}

/// The folders in a folder, one per class, and links to folders, ordered by name. Throws FileError if the folder cannot
/// be listed, or a link is broken.
[[nodiscard]] inline std::vector<std::filesystem::path> list_class_folders(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  for (const std::filesystem::directory_entry& entry : detail::folder_entries(folder)) {
    std::error_code unknown;
    if (detail::is_litter(entry.path())) continue;
    if (entry.is_symlink(unknown) && !entry.exists(unknown) && !is_picture(entry.path()))
      throw file_error(entry.path().string(), "expected the folder of a class, found a broken link");
    if (entry.is_directory(unknown)) found.push_back(entry.path());
  }
  return found;
}

/// list_class_folders; also throws FileError if there are none.
[[nodiscard]] inline std::vector<std::filesystem::path> find_class_folders(const std::filesystem::path& folder) {
  auto found = list_class_folders(folder);
  if (found.empty()) throw file_error(folder.string(), "expected a folder for each class, found none");
  return found;
}

/// The pictures in a folder, ordered by name: files and links for which `is_picture`. They need not be readable. Throws
/// FileError if the folder cannot be listed.
[[nodiscard]] inline std::vector<std::filesystem::path> list_pictures(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  for (const std::filesystem::directory_entry& entry : detail::folder_entries(folder)) {
    std::error_code unknown;
    if (is_picture(entry.path()) && !entry.is_directory(unknown)) found.push_back(entry.path());
  }
  return found;
}

/// list_pictures; also throws FileError if there are none.
[[nodiscard]] inline std::vector<std::filesystem::path> find_pictures(const std::filesystem::path& folder) {
  auto found = list_pictures(folder);
  if (found.empty()) throw file_error(folder.string(), "expected PNG or JPEG files in this folder, found none");
  return found;
}

/// What to do about a picture that cannot be read.
enum class UnreadablePicture {
  leave_out,  ///< read the others, and report the reason
  fail,       ///< an error
};

/// Where the pixels are kept after all pictures have been read once.
enum class KeptPictures {
  in_memory,
  in_files,  ///< a picture is decoded each time it is needed
};

/// Options of reading pictures in folders.
struct ImageFolderOptions {
  Index height = 224;
  Index width = 224;
  Index channels = 3;  ///< 1: grey, 3: RGB
  PictureFit fit = PictureFit::cover;
  PixelOrientation orientation = PixelOrientation::upright;
  UnreadablePicture unreadable = UnreadablePicture::leave_out;
  Index most_of_class = std::numeric_limits<Index>::max();  ///< pictures to read per class, the first ones; >= 1
  KeptPictures kept = KeptPictures::in_memory;

  /// Throws OptionError if an option is out of range.
  void check() const {
    check_option(height >= 1 && width >= 1, "pictures of at least 1 x 1 pixels", concatenate(height, " x ", width));
    check_option(height <= maximal_pixels / width, concatenate("pictures of at most ", maximal_pixels, " pixels"),
                 concatenate(height, " x ", width));
    check_option(channels == 1 || channels == 3, "pictures of 1 or 3 channels", channels);
    check_option(most_of_class >= 1, "at least 1 picture of a class", most_of_class);
  }
};

/// The content of folders of pictures.
struct ImageFolders {
  ImageDataSet data;
  std::vector<std::string> left_out = {};  ///< why, for each unreadable picture: "file 'cat/1.jpg': ..."
};

/// The content of folders for training and test; `left_out` is that of both.
struct ImageFoldersSplit {
  TrainingAndTest sets;
  std::vector<std::string> left_out = {};
};

namespace detail {

/// A picture, fitted to the size. Throws FileError that names it if it cannot be read or fitted.
inline Image read_fitted_picture(const std::filesystem::path& path, const ImageFolderOptions& options) try {
  const Image picture = read_image(path, options.orientation);
  return fit_picture(picture, options.fit, options.height, options.width, options.channels);
} catch (const ShapeError& error) { throw file_error(path.string(), error.what()); } catch (const std::bad_alloc&) {
  throw file_error(path.string(), "the picture needs more memory than is available");
}

/// Copies pixels from the order row, column, channel to that of data sets: channel, row, column.
inline void copy_by_channel(const Image& picture, const ImageFolderOptions& options, std::uint8_t* to) {
  check_image(picture);
  check_size("fitted picture: height", picture.height, options.height);
  check_size("fitted picture: width", picture.width, options.width);
  check_size("fitted picture: channels", picture.channels, options.channels);
  for (Index c = 0; c < options.channels; ++c)
    for (Index i = 0; i < options.height * options.width; ++i)
      *to++ = picture.pixels[static_cast<std::size_t>(i * options.channels + c)];
}

/// Reads all pictures and calls use(i, picture) with each, fitted, on the threads. Returns for each the reason why it
/// could not be read, or nothing.
template <class Use>
std::vector<std::optional<std::string>> read_pictures(const std::vector<std::filesystem::path>& pictures,
                                                      const ImageFolderOptions& options, Threads& threads,
                                                      const Use& use) {
  std::vector<std::optional<std::string>> reasons(pictures.size());
  threads.for_each(std::ssize(pictures), [&](Index i, int) {
    Image picture;
    try {
      picture = read_fitted_picture(pictures[static_cast<std::size_t>(i)], options);
    } catch (const FileError& error) {
      reasons[static_cast<std::size_t>(i)] = error.what();
      return;
    }
    use(i, picture);
  });
  return reasons;
}

/// Throws FileError if no picture of a class could be read, or if any could not and `unreadable` is `fail`.
inline void check_reasons(const std::vector<std::optional<std::string>>& reasons, const std::vector<Index>& labels,
                          const std::vector<std::filesystem::path>& class_folders, UnreadablePicture unreadable) {
  std::vector<std::optional<std::string>> first_reason(class_folders.size());
  std::vector<bool> readable(class_folders.size());
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    const auto label = static_cast<std::size_t>(labels[i]);
    if (!reasons[i]) readable[label] = true;
    if (reasons[i] && unreadable == UnreadablePicture::fail) throw FileError(*reasons[i]);
    if (!first_reason[label]) first_reason[label] = reasons[i];
  }
  for (std::size_t label = 0; label < class_folders.size(); ++label)
    if (!readable[label])
      throw file_error(class_folders[label].string(),
                       "expected pictures that can be read, found none; the first: ", *first_reason[label]);
}

/// Removes the values of images with a reason to be left out; keeps the order.
template <class Value>
void leave_out(const std::vector<std::optional<std::string>>& reasons, std::vector<Value>& values) {
  std::vector<Value> kept;
  for (std::size_t i = 0; i < reasons.size(); ++i)
    if (!reasons[i]) kept.push_back(std::move(values[i]));
  values = std::move(kept);
}

/// Removes the images in memory with a reason to be left out; keeps the order.
inline void leave_out(const std::vector<std::optional<std::string>>& reasons, ImageDataSet& data) {
  Index kept = 0;
  for (Index i = 0; i < data.pixels.cols(); ++i) {
    if (reasons[static_cast<std::size_t>(i)]) continue;
    if (kept != i) data.pixels.col(kept) = data.pixels.col(i);
    ++kept;
  }
  data.pixels.conservativeResize(Eigen::NoChange, kept);
}

/// Reads the pictures into the data set. Returns as read_pictures.
inline std::vector<std::optional<std::string>> read_into_memory(const std::vector<std::filesystem::path>& pictures,
                                                                const ImageFolderOptions& options, Threads& threads,
                                                                ImageDataSet& data) {
  data.pixels.resize(data.values_per_image(), std::ssize(pictures));
  auto reasons = read_pictures(pictures, options, threads, [&](Index i, const Image& picture) {
    copy_by_channel(picture, options, data.pixels.col(i).data());
  });
  leave_out(reasons, data);
  return reasons;
}

/// Reads the pictures once, and leaves them in their files. Returns as read_pictures.
inline std::vector<std::optional<std::string>> leave_in_files(const std::vector<std::filesystem::path>& pictures,
                                                              const ImageFolderOptions& options, Threads& threads,
                                                              ImageDataSet& data) {
  std::vector<std::uint64_t> fingerprints(pictures.size());
  auto reasons = read_pictures(pictures, options, threads, [&](Index i, const Image& picture) {
    fingerprints[static_cast<std::size_t>(i)] = fingerprint(std::span<const std::uint8_t>(picture.pixels));
  });
  std::vector<std::string> paths(pictures.begin(), pictures.end());  // as text, which takes a part of a path's memory
  leave_out(reasons, paths);
  leave_out(reasons, fingerprints);
  data.files.emplace();
  data.files->read = [options, paths = std::move(paths)](Index i, std::uint8_t* pixels) {
    copy_by_channel(read_fitted_picture(paths[static_cast<std::size_t>(i)], options), options, pixels);
  };
  data.files->fingerprint = fingerprint(std::span<const std::uint64_t>(fingerprints));
  return reasons;
}

}  // namespace detail

/// Reads a folder of folders of pictures, one per class, named after it; classes and the pictures in them are ordered
/// by name. All pictures are read once, also those that are then kept in files. The result does not depend on the
/// number of threads. Throws FileError that names a folder without classes, a class without pictures or without
/// readable ones, and, with UnreadablePicture::fail, the first unreadable picture; OptionError as options.check().
[[nodiscard]] inline ImageFolders read_image_folders(const std::filesystem::path& folder,
                                                     const ImageFolderOptions& options, Threads& threads) {
  options.check();
  ImageFolders result{{.height = options.height, .width = options.width, .channels = options.channels}};
  ImageDataSet& data = result.data;
  std::vector<std::filesystem::path> pictures;
  const std::vector<std::filesystem::path> class_folders = find_class_folders(folder);
  for (const std::filesystem::path& class_folder : class_folders) {
    auto found = find_pictures(class_folder);
    found.resize(static_cast<std::size_t>(std::min(std::ssize(found), options.most_of_class)));
    data.labels.insert(data.labels.end(), found.size(), data.classes());
    data.class_names.push_back(class_folder.filename().string());
    pictures.insert(pictures.end(), found.begin(), found.end());
  }
  std::vector<std::optional<std::string>> reasons;
  try {
    reasons = options.kept == KeptPictures::in_memory ? detail::read_into_memory(pictures, options, threads, data)
                                                      : detail::leave_in_files(pictures, options, threads, data);
  } catch (const std::bad_alloc&) {
    throw file_error(folder.string(), pictures.size(), " pictures of ", data.height, " x ", data.width,
                     " pixels need more memory than is available; kept in files they need little");
  }
  detail::check_reasons(reasons, data.labels, class_folders, options.unreadable);
  detail::leave_out(reasons, data.labels);
  for (const std::optional<std::string>& reason : reasons)
    if (reason) result.left_out.push_back(*reason);
  return result;
}

namespace detail {

/// Throws FileError that names the first class that exists in only one of the two.
inline void check_same_classes(const std::filesystem::path& test, const std::vector<std::string>& training_classes,
                               const std::vector<std::string>& test_classes) {
  const auto first_missing = [](const auto& wanted, const auto& found) {
    return std::find_if(wanted.begin(), wanted.end(), [&](const std::string& name) {
      return std::find(found.begin(), found.end(), name) == found.end();
    });
  };
  if (const auto lacking = first_missing(training_classes, test_classes); lacking != training_classes.end())
    throw file_error(test.string(), "expected folders for the same classes as for training, found none for ",
                     quote(*lacking));
  if (const auto surplus = first_missing(test_classes, training_classes); surplus != test_classes.end())
    throw file_error(test.string(), "expected folders for the same classes as for training, found one for ",
                     quote(*surplus), " too");
}

}  // namespace detail

/// The folder of the test pictures: `test`, or else `val`.
[[nodiscard]] inline std::filesystem::path find_test_folder(const std::filesystem::path& folder) {
  std::error_code unknown;
  return folder / (std::filesystem::exists(folder / "test", unknown) ? "test" : "val");
}

/// Reads such folders in `train`, and in `test` or `val`.
/// Throws as read_image_folders, and unless both have the same classes.
[[nodiscard]] inline ImageFoldersSplit read_image_folders_split(const std::filesystem::path& folder,
                                                                const ImageFolderOptions& options, Threads& threads) {
  const std::filesystem::path test = find_test_folder(folder);
  if (!path_exists(test))
    throw file_error(folder.string(), "expected a folder 'test' or 'val' next to 'train', found neither");
  ImageFolders for_training = read_image_folders(folder / "train", options, threads);
  ImageFolders for_test = read_image_folders(test, options, threads);
  detail::check_same_classes(test, for_training.data.class_names, for_test.data.class_names);
  ImageFoldersSplit split{{std::move(for_training.data), std::move(for_test.data)}, std::move(for_training.left_out)};
  split.left_out.insert(split.left_out.end(), for_test.left_out.begin(), for_test.left_out.end());
  return split;
}

}  // namespace crate
