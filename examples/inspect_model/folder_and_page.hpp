// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "crate/io/pictures/image.hpp"
#include "inspect_model/image_drawing.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/table.hpp"
#include "inspect_model/wording.hpp"

namespace inspect_model {

/// Where pictures and tables of single inputs go: as files into a folder, named on standard output, and to a page.
class FolderAndPage {
 public:
  /// No folder if it is empty, no page if it is null, which must outlive this. `subject` is a sentence for every
  /// section, `of_model` the end of every title; perhaps empty.
  FolderAndPage(std::filesystem::path folder, Page* page, std::string subject, std::string of_model = "")
      : folder_(std::move(folder)), page_(page), subject_(std::move(subject)), of_model_(std::move(of_model)) {
    std::error_code error;
    if (!folder_.empty()) std::filesystem::create_directories(folder_, error);  // where that fails, writing says why
  }

  [[nodiscard]] bool shows() const { return page_ != nullptr || !folder_.empty(); }

  void begin_section(const std::string& title, const std::string& sentence) {
    if (page_ != nullptr) page_->section(title + of_model_, sentence + (subject_.empty() ? "" : " " + subject_));
  }

  /// Rows of images: as name.png, told by the caption, and on the page, each row with its own. Throws FileError if the
  /// file cannot be written.
  void add_pictures(const std::string& name, const std::vector<ImageRow>& rows, const std::string& caption) {
    if (rows.empty()) return;
    if (!folder_.empty()) {
      const std::filesystem::path path = folder_ / (name + ".png");
      crate::write_png(path, montage(rows));
      std::printf("%s: %s\n", path.string().c_str(), caption.c_str());
    }
    for (const ImageRow& row : rows) {
      std::vector<Picture> pictures;
      for (const NamedImage& image : row.images) pictures.push_back(picture_of(image));
      if (page_ != nullptr) page_->pictures(pictures, row.caption);
    }
  }

  /// As a file, and on the page.
  void add_table(const Table& table, const std::string& caption) {
    if (table.is_empty()) return;
    if (!folder_.empty()) table.write(folder_);
    if (page_ != nullptr) page_->table(table, caption);
  }

  /// The same, unfolded on the page.
  void add_open_table(const Table& table, const std::string& caption) {
    if (table.is_empty()) return;
    if (!folder_.empty()) table.write(folder_);
    if (page_ != nullptr) page_->open_table(table, caption);
  }

 private:
  [[nodiscard]] static Picture picture_of(const NamedImage& image) {
    const std::vector<std::byte> png = crate::encode_png(image.image);
    const Index factor = magnification(image.image.height);
    constexpr Index widest = 260;
    return {.png = std::string(reinterpret_cast<const char*>(png.data()), png.size()),
            .label = image.name,
            .alt = image.name,
            .width = static_cast<double>(std::min(factor * image.image.width, widest)),
            .is_sharp = factor > 1};
  }

  std::filesystem::path folder_;
  Page* page_;
  std::string subject_, of_model_;
};

}  // namespace inspect_model
