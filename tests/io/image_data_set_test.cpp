// SPDX-License-Identifier: MIT
// Data sets from files in the published formats, hostile files, and what models are given of them.

#include "crate/io/pictures/image_data_set.hpp"

#include <zlib.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/pictures/cifar.hpp"
#include "crate/io/pictures/idx.hpp"
#include "crate/io/pictures/image_data_set_kind.hpp"
#include "crate/io/pictures/image_folders.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "io/heap.hpp"
#include "io/temporary_folder.hpp"

namespace {

using namespace crate;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using crate::test::content_of;
using crate::test::heap_use;
using crate::test::message_of;
using crate::test::TemporaryFolder;
using crate::test::write_content;

std::string big_endian(const std::vector<std::uint32_t>& numbers) {
  std::string bytes;
  for (const std::uint32_t number : numbers)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift);
  return bytes;
}

std::string gzipped(const std::string& content) {
  std::string packed(content.size() + 1000, '\0');
  z_stream stream = {};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

const std::string idx_images = big_endian({2051, 3, 2, 1}) + "\x01\x02\x03\x04\x05\xFF";
const std::string idx_labels = big_endian({2049, 3}) + std::string("\x02\x00\x01", 3);

}  // namespace

TEST_CASE("IDX files are read plain and packed") {
  const TemporaryFolder folder;
  const auto images = folder.file("images"), labels = folder.file("labels");
  for (const bool packed : {false, true}) {
    write_content(images, packed ? gzipped(idx_images) : idx_images);
    write_content(labels, packed ? gzipped(idx_labels) : idx_labels);
    const ImageDataSet data = read_idx(images, labels);
    data.check();
    CHECK(data.height == 2);
    CHECK(data.width == 1);
    CHECK(data.channels == 1);
    CHECK(data.pixels.cast<int>() == Eigen::MatrixXi{{1, 3, 5}, {2, 4, 255}});
    CHECK(data.labels == std::vector<Index>{2, 0, 1});
    CHECK(data.class_names == std::vector<std::string>{"0", "1", "2"});
  }
}

TEST_CASE("Of IDX files the first images are read, and nothing behind them") {
  const TemporaryFolder folder;
  const auto images = folder.file("images"), labels = folder.file("labels");
  write_content(labels, idx_labels);
  for (const bool packed : {false, true}) {
    std::string content = packed ? gzipped(idx_images.substr(0, 20)) + gzipped(idx_images.substr(20)) : idx_images;
    for (const Index most : {1, 2, 3, 4}) {
      write_content(images, content);
      const ImageDataSet data = read_idx(images, labels, most);
      data.check();
      CHECK(data.pixels.cast<int>() == Eigen::MatrixXi{{1, 3, 5}, {2, 4, 255}}.leftCols(std::min<Index>(most, 3)));
      CHECK(data.classes() == 3);
    }
    content.back() ^= 1;
    write_content(images, content + "x");  // behind the first two
    CHECK(read_idx(images, labels, 2).pixels(1, 1) == 4);
    CHECK_THROWS_AS(read_idx(images, labels, 3), FileError);
  }
  const auto message = [&] { return message_of<FileError>([&] { (void)read_idx(images, labels, 2); }); };
  write_content(images, gzipped(idx_images.substr(0, 19)));
  CHECK_THAT(message(), EndsWith("expected 4 bytes of pixels, found 3"));
  write_content(images, idx_images);
  write_content(labels, big_endian({2049, 2}) + "12");
  CHECK_THAT(message(), ContainsSubstring("labels': expected 3 labels, as there are images in"));
  CHECK_THROWS_AS(read_idx(images, labels, 0), OptionError);
}

TEST_CASE("IDX files that lie, end early or go on are refused by name") {
  const TemporaryFolder folder;
  const auto images = folder.file("images"), labels = folder.file("labels");
  const auto message = [&](const std::string& image_file, const std::string& label_file) {
    write_content(images, image_file);
    write_content(labels, label_file);
    return message_of<FileError>([&] { (void)read_idx(images, labels); });
  };
  CHECK_THAT(message(idx_labels + "12345678", idx_labels),
             ContainsSubstring("images': expected the magic number 2051 of IDX images, found 2049"));
  CHECK_THAT(message(idx_images, idx_images), ContainsSubstring("labels': expected the magic number 2049"));
  const std::string page = "<!DOCTYPE html><html>" + std::string(100, ' ');
  for (const std::string& other : {page, gzipped(page)})
    CHECK_THAT(message(other, idx_labels), ContainsSubstring(": the file is an HTML page"));
  CHECK_THAT(message(idx_images, "version https://git-lfs.github.com/spec/v1\n"), EndsWith("'git lfs pull'"));
  CHECK_THAT(message(std::string(20, '\x01'), idx_labels), EndsWith("found 16843009"));
  CHECK_THAT(message(idx_images.substr(0, 11), idx_labels), EndsWith("expected 16 bytes of IDX header, found 11"));
  CHECK_THAT(message("", idx_labels), EndsWith("expected 16 bytes of IDX header, found 0"));
  CHECK_THAT(message(idx_images.substr(0, 21), idx_labels), EndsWith("expected 6 bytes of pixels, found 5"));
  CHECK_THAT(message(big_endian({2051, 30, 2, 1}) + "123456", idx_labels),
             ContainsSubstring("expected 60 bytes, as the header says, found a file too small"));
  CHECK_THAT(message(idx_images + "x", idx_labels), EndsWith("expected nothing after the pixels, found more"));
  CHECK_THAT(message(idx_images, big_endian({2049, 2}) + "12"),
             ContainsSubstring("labels': expected 3 labels, as there are images in"));
  CHECK_THAT(message(big_endian({2051, 0, 2, 1}), idx_labels), ContainsSubstring("found 0 of 2 x 1"));
  const std::string packed = gzipped(idx_images);
  CHECK_THAT(message(packed.substr(0, packed.size() - 9), idx_labels), EndsWith("found one that ends early"));
  std::string damaged = packed;
  damaged[packed.size() - 6] ^= 1;  // the checksum
  CHECK_THAT(message(damaged, idx_labels), EndsWith("expected gzip data, found damaged data"));
  CHECK_THAT(message(gzipped(idx_images.substr(0, 20)), idx_labels), EndsWith("expected 6 bytes of pixels, found 4"));
  CHECK_THAT(message(gzipped(idx_images + "x"), idx_labels), EndsWith("found more"));
  CHECK_THAT(message(packed + "x", idx_labels), EndsWith("found more"));
  CHECK_THAT(message_of<FileError>([&] { (void)read_idx_folder(folder.path()); }), EndsWith("no such file"));
}

TEST_CASE("A header that claims what cannot be there takes no memory") {
  const TemporaryFolder folder;
  const auto images = folder.file("images"), labels = folder.file("labels");
  const std::uint32_t huge = std::numeric_limits<std::uint32_t>::max();
  const auto use = [&](const std::string& content) {
    write_content(images, content);
    std::string message;
    const std::size_t bytes =
        heap_use([&] { message = message_of<FileError>([&] { (void)read_idx(images, labels); }); });
    CHECK_THAT(message, ContainsSubstring("images': expected"));
    return bytes;
  };
  CHECK(use(big_endian({2051, huge, huge, huge}) + "abc") < 100'000);
  CHECK(use(gzipped(big_endian({2051, huge, huge, huge}))) < 100'000);
  CHECK(use(gzipped(big_endian({2051, 1000, 28, 28}) + std::string(1'000, 'x'))) < 1'000'000);
}

TEST_CASE("A gzip file may have several members, cut anywhere, and zeros behind them") {
  const TemporaryFolder folder;
  const auto images = folder.file("images"), labels = folder.file("labels");
  write_content(labels, idx_labels);
  const std::string none = gzipped("");
  for (std::size_t cut = 0; cut <= idx_images.size(); ++cut) {
    const std::string members = gzipped(idx_images.substr(0, cut)) + none + gzipped(idx_images.substr(cut));
    for (const std::string& content : {members, members + std::string(512, '\0'), members + none}) {
      write_content(images, content);
      CHECK(read_idx(images, labels).pixels(1, 2) == 255);
    }
  }
  const auto message = [&](const std::string& content) {
    write_content(images, content);
    return message_of<FileError>([&] { (void)read_idx(images, labels); });
  };
  const std::string whole = gzipped(idx_images);
  CHECK_THAT(message(whole + gzipped("x")), EndsWith("expected nothing after the pixels, found more"));
  CHECK_THAT(message(whole + std::string(9, '\0') + "x"), EndsWith("found more"));
  CHECK_THAT(message(whole + "\x1F\x8B"), EndsWith("found one that ends early"));
  CHECK_THAT(message(whole + "\x1F\x8B no member"), EndsWith("expected gzip data, found damaged data"));
  CHECK_THAT(message(gzipped(idx_images.substr(0, 20)) + none), EndsWith("expected 6 bytes of pixels, found 4"));
}

TEST_CASE("A packed file that is cut, or has a bit flipped, is refused or gives the same images") {
  const TemporaryFolder folder;
  const auto images = folder.file("images"), labels = folder.file("labels");
  write_content(labels, idx_labels);
  const std::string packed = gzipped(idx_images.substr(0, 18)) + gzipped(idx_images.substr(18));
  const auto gives_the_same = [&](const std::string& content) {
    write_content(images, content);
    try {
      return read_idx(images, labels).pixels.cast<int>() == Eigen::MatrixXi{{1, 3, 5}, {2, 4, 255}};
    } catch (const FileError&) { return true; }
  };
  for (std::size_t size = 0; size < packed.size(); ++size) CHECK(gives_the_same(packed.substr(0, size)));
  for (std::size_t bit = 0; bit < 8 * packed.size(); ++bit) {
    std::string flipped = packed;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    CHECK(gives_the_same(flipped));
  }
}

TEST_CASE("What a header does not promise is not unpacked, and labels take no memory before they are counted") {
  const TemporaryFolder folder;
  const auto images = folder.file("images"), labels = folder.file("labels");
  const std::string zeros(50'000'000, '\0');
  const auto use = [&] {
    std::string message;
    const std::size_t bytes =
        heap_use([&] { message = message_of<FileError>([&] { (void)read_idx(images, labels); }); });
    CHECK_THAT(message, ContainsSubstring("': expected "));
    return bytes;
  };
  write_content(images, gzipped(idx_images + zeros));
  CHECK(use() < 100'000);
  write_content(images, idx_images);
  write_content(labels, gzipped(big_endian({2049, 50'000'000}) + zeros));
  CHECK(use() < 100'000);
  write_content(labels, gzipped(idx_labels + zeros));
  CHECK(use() < 100'000);
}

TEST_CASE("A folder of IDX files holds training and test images of one size") {
  const TemporaryFolder folder;
  write_content(folder.file("train-images-idx3-ubyte"), idx_images);
  write_content(folder.file("train-labels-idx1-ubyte.gz"), gzipped(idx_labels));
  write_content(folder.file("t10k-images-idx3-ubyte.gz"), gzipped(big_endian({2051, 1, 2, 1}) + "ab"));
  write_content(folder.file("t10k-labels-idx1-ubyte"), big_endian({2049, 1}) + "\x01");
  const TrainingAndTest sets = read_idx_folder(folder.path());
  CHECK(sets.training.size() == 3);
  CHECK(sets.test.size() == 1);
  CHECK(sets.test.classes() == 3);
  write_content(folder.file("t10k-labels-idx1-ubyte"), big_endian({2049, 1}) + "\x03");
  CHECK_THAT(message_of<FileError>([&] { (void)read_idx_folder(folder.path()); }),
             EndsWith("test labels: expected at most 2, found 3"));
  write_content(folder.file("t10k-images-idx3-ubyte.gz"), gzipped(big_endian({2051, 1, 1, 2}) + "ab"));
  CHECK_THAT(message_of<FileError>([&] { (void)read_idx_folder(folder.path()); }),
             EndsWith("test images: expected height 2, as for training, found 1"));
}

namespace {

/// The four files of a data set under these names; its training labels are 2, 0, 1, and `mark` is its first pixel.
void write_idx_files(const TemporaryFolder& folder, const std::array<std::string, 4>& names, char mark = 1) {
  std::string images = idx_images;
  images[16] = mark;
  const std::array<std::string, 4> contents{images, idx_labels, big_endian({2051, 1, 2, 1}) + "ab",
                                            big_endian({2049, 1}) + "\x01"};
  for (std::size_t i = 0; i < 4; ++i) {
    std::filesystem::create_directories(folder.file(names[i]).parent_path());
    write_content(folder.file(names[i]), names[i].ends_with("gz") ? gzipped(contents[i]) : contents[i]);
  }
}

const std::array<std::string, 4> mnist{"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                       "t10k-labels-idx1-ubyte"};

}  // namespace

TEST_CASE("MNIST is found under the names that it is unpacked and shipped with") {
  using Names = std::array<std::string, 4>;
  const std::vector<Names> spellings{
      mnist,
      {"train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"},
      {"train-images.idx3-ubyte.gz", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte.gz"},
      {"TRAIN-IMAGES-IDX3-UBYTE", "Train-Labels-Idx1-UByte.GZ", "T10K-IMAGES.IDX3-UBYTE", "t10k_labels_idx1_ubyte"},
      {"emnist-balanced-train-images-idx3-ubyte.gz", "emnist-balanced-train-labels-idx1-ubyte.gz",
       "emnist-balanced-test-images-idx3-ubyte.gz", "emnist-balanced-test-labels-idx1-ubyte.gz"},
      {mnist[0] + "/" + mnist[0], mnist[1] + "/" + mnist[1], mnist[2] + "/" + mnist[2], mnist[3] + "/" + mnist[3]}};
  for (const Names& names : spellings) {
    const TemporaryFolder folder;
    write_idx_files(folder, names);
    CAPTURE(names[0]);
    CHECK(find_image_data_set_kind(folder.path()) == ImageDataSetKind::idx);
    const TrainingAndTest sets = read_idx_folder(folder.path());
    CHECK(sets.training.labels == std::vector<Index>{2, 0, 1});
    CHECK(sets.test.size() == 1);
  }
}

TEST_CASE("Of several files that may be the same, the one with the original's name is read") {
  const TemporaryFolder folder;
  const auto first_pixel = [&] { return int{read_idx_folder(folder.path()).training.pixels(0, 0)}; };
  std::array<std::string, 4> names = mnist;
  for (std::string& name : names) name[name.rfind("-idx")] = '.';
  write_idx_files(folder, names, 3);
  for (const std::string& name : mnist) std::filesystem::create_directories(folder.file(name));
  CHECK(first_pixel() == 3);  // beside empty folders
  write_idx_files(
      folder,
      {mnist[0] + "/" + mnist[0], mnist[1] + "/" + mnist[1], mnist[2] + "/" + mnist[2], mnist[3] + "/" + mnist[3]}, 4);
  CHECK(first_pixel() == 3);  // beside folders that hold the files, as Kaggle ships them
  for (const std::string& name : mnist) std::filesystem::remove_all(folder.file(name));
  write_idx_files(folder, mnist, 1);
  CHECK(first_pixel() == 1);
  write_idx_files(folder, {mnist[0] + ".gz", mnist[1] + ".gz", mnist[2] + ".gz", mnist[3] + ".gz"}, 2);
  CHECK(first_pixel() == 1);
  write_content(folder.file("._" + mnist[0]), "AppleDouble");
  write_content(folder.file("my" + mnist[0]), "something else");
  CHECK(first_pixel() == 1);
}

TEST_CASE("Missing files of a data set are named, and several data sets in a folder") {
  const TemporaryFolder folder;
  const auto message = [&] { return message_of<FileError>([&] { (void)read_idx_folder(folder.path()); }); };
  std::array<std::string, 4> letters = mnist;
  for (std::string& name : letters) name.insert(0, "emnist-letters-");
  write_idx_files(folder, letters);
  std::filesystem::remove(folder.file(letters[3]));
  CHECK_THAT(message(), EndsWith("emnist-letters-t10k-labels-idx1-ubyte': cannot be opened: no such file"));
  write_idx_files(folder, mnist);
  CHECK(read_idx_folder(folder.path()).training.size() == 3);  // the whole one
  write_idx_files(folder, letters);
  CHECK_THAT(message(), EndsWith("expected the files of one data set, found '*' and 'emnist-letters-*'"));
}

TEST_CASE("CIFAR-10 records are read, from one file or several") {
  const TemporaryFolder folder;
  const auto record = [](char label, char fill) { return std::string(1, label) + std::string(3072, fill); };
  write_content(folder.file("data_batch_1.bin"), record(3, 'a') + record(9, 'b'));
  write_content(folder.file("data_batch_2.bin"), record(0, 'c'));
  write_content(folder.file("test_batch.bin"), record(1, 'd'));
  const TrainingAndTest sets = read_cifar10_folder(folder.path());
  sets.training.check();
  CHECK(sets.training.labels == std::vector<Index>{3, 9, 0});
  CHECK((sets.training.pixels.col(2).array() == std::uint8_t{'c'}).all());
  CHECK(sets.test.labels == std::vector<Index>{1});
  CHECK(sets.test.class_names[7] == "7");
  const TrainingAndTest first = read_cifar10_folder(folder.path(), 2);
  first.training.check();
  CHECK(first.training.pixels == sets.training.pixels.leftCols(2));
  CHECK(first.training.labels == std::vector<Index>{3, 9});
  CHECK(first.test.size() == 1);
  CHECK_THROWS_AS(read_cifar10_folder(folder.path(), 0), OptionError);

  write_content(folder.file("batches.meta.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  CHECK(read_cifar10_folder(folder.path()).test.class_names[7] == "h");
  write_content(folder.file("batches.meta.txt"), "a\nb\n");
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar10_folder(folder.path()); }),
             EndsWith("batches.meta.txt': expected the names of 10 classes, found 2"));
  write_content(folder.file("data_batch_2.bin"), record(0, 'c') + record(10, 'c'));
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar10_folder(folder.path()); }),
             EndsWith("data_batch_2.bin': record 1: expected a label from 0 to 9, found 10"));
  write_content(folder.file("data_batch_2.bin"), "<!DOCTYPE html><html></html>");
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar10_folder(folder.path()); }),
             ContainsSubstring("expected records of 3073 bytes, found 28 bytes: the file is an HTML page"));
  write_content(folder.file("data_batch_2.bin"), record(0, 'c').substr(1));
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar10_folder(folder.path()); }),
             EndsWith("data_batch_2.bin': expected records of 3073 bytes, found 3072 bytes"));
}

TEST_CASE("Names of classes may come from Windows: CRLF, a byte order mark, blank lines") {
  const TemporaryFolder folder;
  const std::string record = std::string(1, '\1') + std::string(3072, 'x');
  write_content(folder.file("data_batch_1.bin"), record);
  write_content(folder.file("test_batch.bin"), record);
  for (const std::string content : {"a\r\nb\r\nc c \r\nd\r\ne\r\nf\r\ng\r\nh\r\ni\r\nj\r\n\r\n",
                                    "\xEF\xBB\xBF"
                                    "a\n\n \nb\nc c\nd\ne\nf\ng\nh\ni\nj"}) {
    write_content(folder.file("batches.meta.txt"), content);
    CHECK(read_cifar10_folder(folder.path()).test.class_names ==
          std::vector<std::string>{"a", "b", "c c", "d", "e", "f", "g", "h", "i", "j"});
  }
  write_content(folder.file("batches.meta.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n");
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar10_folder(folder.path()); }),
             EndsWith("expected the names of 10 classes, found more"));
  std::filesystem::remove(folder.file("batches.meta.txt"));
  std::filesystem::create_directories(folder.file("batches.meta.txt"));
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar10_folder(folder.path()); }),
             ContainsSubstring("batches.meta.txt': "));
}

TEST_CASE("CIFAR-100 has two labels a record, and is told from CIFAR-10") {
  const TemporaryFolder folder;
  const auto record = [](char coarse, char fine, char fill) {
    return std::string{coarse, fine} + std::string(3072, fill);
  };
  write_content(folder.file("train.bin"), record(19, 99, 'a') + record(0, 3, 'b'));
  write_content(folder.file("test.bin"), record(7, 42, 'c'));
  CHECK(find_image_data_set_kind(folder.path()) == ImageDataSetKind::cifar100);
  const TrainingAndTest fine = read_cifar100_folder(folder.path());
  const TrainingAndTest coarse = read_cifar100_folder(folder.path(), Cifar100Labels::coarse);
  fine.training.check();
  coarse.test.check();
  CHECK(fine.training.labels == std::vector<Index>{99, 3});
  CHECK(coarse.training.labels == std::vector<Index>{19, 0});
  CHECK((fine.training.pixels.col(1).array() == std::uint8_t{'b'}).all());
  CHECK(fine.test.classes() == 100);
  CHECK(coarse.test.classes() == 20);

  std::string names;
  for (int c = 0; c < 20; ++c) names += "kind " + std::to_string(c) + "\n";
  write_content(folder.file("coarse_label_names.txt"), names);
  CHECK(read_cifar100_folder(folder.path(), Cifar100Labels::coarse).test.class_names[7] == "kind 7");
  write_content(folder.file("fine_label_names.txt"), names);
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar100_folder(folder.path()); }),
             EndsWith("fine_label_names.txt': expected the names of 100 classes, found 20"));
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar10_folder(folder.path()); }),
             EndsWith("expected records of 3073 bytes, found 6148 bytes, as of CIFAR-100, whose records have 3074"));
  write_content(folder.file("test.bin"), record(20, 42, 'c'));
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar100_folder(folder.path(), Cifar100Labels::coarse); }),
             EndsWith("test.bin': record 0: expected a label from 0 to 19, found 20"));
}

TEST_CASE("What a folder holds is told by the names in it") {
  const TemporaryFolder folder;
  const auto message = [&] { return message_of<FileError>([&] { (void)find_image_data_set_kind(folder.path()); }); };
  CHECK_THAT(message(), EndsWith("found none of them"));
  write_content(folder.file("weights.bin"), "no records");
  CHECK_THAT(message(), EndsWith("found none of them"));
  std::filesystem::create_directories(folder.file("raw/train/cat"));
  CHECK(find_image_data_set_kind(folder.file("raw")) == ImageDataSetKind::picture_folders);
  CHECK_THAT(message(), EndsWith("found one in its folder 'raw'"));
  write_content(folder.file("data_batch_1"), "a pickle");
  CHECK_THAT(message(), EndsWith("found CIFAR for Python (there is a binary version)"));
  write_content(folder.file("data_batch_1.bin"), std::string(3073, '\0'));
  CHECK(find_image_data_set_kind(folder.path()) == ImageDataSetKind::cifar10);
  CHECK_THAT(message_of<FileError>([&] { (void)find_image_data_set_kind(folder.file("nowhere")); }),
             ContainsSubstring("nowhere': cannot be listed"));
}

namespace {

/// A folder of folders of pictures, each of one value.
struct PictureFolders : TemporaryFolder {
  void picture(const std::string& name, std::uint8_t value) const {
    std::filesystem::create_directories(file(name).parent_path());
    write_png(file(name), {4, 6, 1, std::vector<std::uint8_t>(24, value)});
  }
  void other(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories(file(name).parent_path());
    write_content(file(name), content);
  }
};

const ImageFolderOptions two_by_two{.height = 2, .width = 2};

/// The value of each picture read.
std::vector<int> values(const ImageDataSet& data) {
  std::vector<int> found;
  for (Index i = 0; i < data.size(); ++i) {
    CHECK((data.pixels.col(i).array() == data.pixels(0, i)).all());
    found.push_back(data.pixels(0, i));
  }
  return found;
}

}  // namespace

TEST_CASE("Folders of pictures are classes, in order of name") {
  const PictureFolders folder;
  folder.picture("train/zebra/2.png", 30);
  folder.picture("train/zebra/1.PNG", 20);
  folder.picture("train/ant/x.png", 10);
  folder.other("train/ant/notes.txt", "no picture");
  folder.picture("val/zebra/1.png", 40);
  folder.picture("val/ant/1.png", 50);
  Threads threads(2);
  const ImageFoldersSplit split = read_image_folders_split(folder.path(), two_by_two, threads);
  split.sets.training.check();
  CHECK(split.sets.training.class_names == std::vector<std::string>{"ant", "zebra"});
  CHECK(split.sets.training.labels == std::vector<Index>{0, 1, 1});
  CHECK(split.sets.training.pixels.cast<int>() == Eigen::MatrixXi(Eigen::RowVector3i(10, 20, 30).replicate(12, 1)));
  CHECK(split.sets.test.labels == std::vector<Index>{0, 1});
  CHECK(split.left_out.empty());

  folder.picture("val/bee/1.png", 1);
  CHECK_THAT(message_of<FileError>([&] { (void)read_image_folders_split(folder.path(), two_by_two, threads); }),
             EndsWith("expected folders for the same classes as for training, found one for 'bee' too"));
  std::filesystem::create_directories(folder.file("train/empty"));
  CHECK_THAT(message_of<FileError>([&] { (void)read_image_folders(folder.file("train"), two_by_two, threads); }),
             EndsWith("empty': expected PNG or JPEG files in this folder, found none"));
  CHECK_THAT(message_of<FileError>([&] { (void)read_image_folders(folder.file("nowhere"), two_by_two, threads); }),
             ContainsSubstring("cannot be listed"));
  CHECK_THAT(message_of<FileError>([&] { (void)read_image_folders(folder.file("val/ant"), two_by_two, threads); }),
             EndsWith("ant': expected a folder for each class, found none"));
  CHECK_THAT(message_of<OptionError>([&] { (void)read_image_folders(folder.path(), {.height = 0}, threads); }),
             EndsWith("expected pictures of at least 1 x 1 pixels, found 0 x 224"));
}

// AppleDouble files of macOS, .ipynb_checkpoints of Jupyter and the like stopped the training.
TEST_CASE("What systems leave in folders is neither picture nor class") {
  const PictureFolders folder;
  folder.picture("cat/1.png", 10);
  folder.picture("dog/1.png", 20);
  folder.other("cat/._1.png", "AppleDouble");
  folder.other("cat/.DS_Store", "");
  folder.other("cat/Thumbs.db", "");
  folder.other(".ipynb_checkpoints/1.png", "");
  folder.other("__MACOSX/cat/._1.png", "");
  folder.other("@eaDir/1.png", "");
  folder.other("lost+found/1.png", "");
  folder.other("desktop.ini", "");
  folder.other("README.md", "");
  std::filesystem::create_directories(folder.file("cat/folder.png"));
  Threads threads(1);
  const ImageFolders found =
      read_image_folders(folder.path(), {.height = 2, .width = 2, .unreadable = UnreadablePicture::fail}, threads);
  CHECK(found.data.class_names == std::vector<std::string>{"cat", "dog"});
  CHECK(values(found.data) == std::vector<int>{10, 20});
  CHECK(found.left_out.empty());
}

// One damaged picture among thousands ended the training.
TEST_CASE("Pictures that cannot be read are left out and named, alike on any number of threads, or are an error") {
  const PictureFolders folder;
  for (int i = 0; i < 10; ++i) {
    folder.picture("cat/" + std::to_string(i) + ".png", static_cast<std::uint8_t>(10 + i));
    folder.picture("dog/" + std::to_string(i) + ".png", static_cast<std::uint8_t>(20 + i));
  }
  folder.other("cat/3.png", content_of(folder.file("cat/2.png")).substr(0, 60));
  folder.other("cat/9.png", "");
  folder.other("dog/0.png", "<html>404</html>");
  folder.other("dog/5.webp", "RIFF");
  write_png(folder.file("dog/6.png"),
            {400'000, 1, 1, std::vector<std::uint8_t>(400'000)});  // would cover it as 6400000 x 16
  std::filesystem::create_symlink("nowhere.png", folder.file("dog/7a.png"));
  for (const int count : {1, 2, 5}) {
    Threads threads(count);
    const ImageFolders found = read_image_folders(folder.path(), {.height = 2, .width = 16}, threads);
    found.data.check();
    CHECK(values(found.data) == std::vector<int>{10, 11, 12, 14, 15, 16, 17, 18, 21, 22, 23, 24, 25, 27, 28, 29});
    CHECK(found.data.labels == std::vector<Index>{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1});
    const std::vector<std::string> expected{"cat/3.png': expected a PNG image, found an error: 'the file ends early'",
                                            "cat/9.png': expected a PNG or JPEG image",
                                            "dog/0.png': expected a PNG or JPEG image",
                                            "dog/5.webp': expected a PNG or JPEG image",
                                            "dog/6.png': resized image: expected at most 100000000 pixels",
                                            "dog/7a.png': cannot be opened"};
    REQUIRE(found.left_out.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK_THAT(found.left_out[i], ContainsSubstring(expected[i]));
    const ImageFolderOptions strict{.height = 2, .width = 16, .unreadable = UnreadablePicture::fail};
    CHECK(message_of<FileError>([&] { (void)read_image_folders(folder.path(), strict, threads); }) ==
          found.left_out.front());
  }
}

TEST_CASE("Pictures kept in files are those that come into memory, to the bit") {
  const PictureFolders folder;
  for (std::uint8_t i = 0; i < 6; ++i) {
    Image picture{7, 5, 3, std::vector<std::uint8_t>(105)};
    for (std::size_t pixel = 0; pixel < 105; ++pixel)
      picture.pixels[pixel] = static_cast<std::uint8_t>(37 * pixel + 90 * i);
    const std::string name = (i < 3 ? "cat/" : "dog/") + std::to_string(i) + ".png";
    folder.other(name, "");
    write_png(folder.file(name), picture);
  }
  folder.other("cat/1.png", "no picture");
  Threads threads(2);
  const ImageFolders in_memory = read_image_folders(folder.path(), {.height = 4, .width = 6}, threads);
  ImageFolderOptions options{.height = 4, .width = 6, .kept = KeptPictures::in_files};
  const ImageFolders found = read_image_folders(folder.path(), options, threads);
  found.data.check();
  CHECK(found.data.pixels.size() == 0);
  CHECK(found.data.size() == 5);
  CHECK(found.data.labels == in_memory.data.labels);
  CHECK(found.left_out == in_memory.left_out);
  const std::vector<Index> drawn{4, 0, 3, 3};
  const ImageNormalisation normalisation = measure_normalisation(in_memory.data);
  CHECK(measure_normalisation(found.data, threads).mean == normalisation.mean);
  CHECK(measure_normalisation(found.data, threads).deviation == normalisation.deviation);
  const ImageAugmentation moves{.padding = 2, .flip = true}, cuts{.crop = RandomCrop{.height = 3, .width = 3}};
  for (const ImageAugmentation& augmentation : {ImageAugmentation{}, moves, cuts}) {
    const ImageSource<float> from_memory{in_memory.data, normalisation, augmentation},
        from_files{found.data, normalisation, augmentation};
    CHECK(from_files.draw(drawn, 7, 1).images == from_memory.draw(drawn, 7, 1).images);
    CHECK(from_files.draw(drawn, 7, 1).labels == from_memory.draw(drawn, 7, 1).labels);
    CHECK(from_files.take(drawn).images == from_memory.take(drawn).images);
  }
  CHECK(picture_of(found.data, 2).pixels == picture_of(in_memory.data, 2).pixels);
  CHECK(with_channels(found.data, 1).pixels == with_channels(in_memory.data, 1).pixels);

  const ImageSource<float> source{found.data, normalisation};
  folder.picture("dog/5.png", 9);  // which was another picture
  const ImageFolders changed = read_image_folders(folder.path(), options, threads);
  CHECK(source.fingerprint() != ImageSource<float>{changed.data, normalisation}.fingerprint());
  folder.other("dog/5.png", "no picture any more");
  CHECK_THAT(message_of<FileError>([&] { (void)source.draw(drawn, 7, 1); }),
             ContainsSubstring("dog/5.png': expected a PNG or JPEG image"));
  options.unreadable = UnreadablePicture::fail;
  CHECK_THAT(message_of<FileError>([&] { (void)read_image_folders(folder.path(), options, threads); }),
             ContainsSubstring("cat/1.png': expected a PNG or JPEG image"));
}

TEST_CASE("A class without one readable picture is an error that names it") {
  const PictureFolders folder;
  folder.picture("cat/1.png", 10);
  folder.other("dog/1.png", "no picture");
  folder.other("dog/2.png", "nor this");
  Threads threads(2);
  const auto message = [&] {
    return message_of<FileError>([&] { (void)read_image_folders(folder.path(), two_by_two, threads); });
  };
  CHECK_THAT(message(), ContainsSubstring("dog': expected pictures that can be read, found none; the first: file ") &&
                            ContainsSubstring("dog/1.png': expected a PNG or JPEG image"));
  std::filesystem::remove_all(folder.file("dog"));
  folder.other("dog/._1.png", "AppleDouble");
  CHECK_THAT(message(), EndsWith("dog': expected PNG or JPEG files in this folder, found none"));
}

TEST_CASE("Pictures and class folders may be symbolic links, but not to nothing") {
  const PictureFolders store, folder;
  store.picture("pictures/a.png", 10);
  store.picture("pictures/b.png", 20);
  store.picture("n01440764/1.png", 30);
  std::filesystem::create_directories(folder.file("cat"));
  std::filesystem::create_symlink(store.file("pictures/b.png"), folder.file("cat/1.png"));
  std::filesystem::create_symlink(store.file("pictures/a.png"), folder.file("cat/2.png"));
  std::filesystem::create_directory_symlink(store.file("n01440764"), folder.file("dog"));
  Threads threads(1);
  CHECK(values(read_image_folders(folder.path(), two_by_two, threads).data) == std::vector<int>{20, 10, 30});
  std::filesystem::create_directory_symlink(store.file("n01443537"), folder.file("fish"));
  CHECK_THAT(message_of<FileError>([&] { (void)read_image_folders(folder.path(), two_by_two, threads); }),
             EndsWith("fish': expected the folder of a class, found a broken link"));
}

TEST_CASE("Pictures in folders become images as `prepare` makes them, grey if asked for") {
  const PictureFolders folder;
  folder.other("a/1.png", "");
  write_png(folder.file("a/1.png"), {2, 2, 3, {10, 20, 30, 10, 20, 30, 10, 20, 30, 255, 0, 0}});
  Threads threads(1);
  const auto pixels = [&](const ImageFolderOptions& options) {
    const ImageDataSet data = read_image_folders(folder.path(), options, threads).data;
    data.check();
    CHECK(data.channels == options.channels);
    return std::vector<int>(data.pixels.data(), data.pixels.data() + data.pixels.size());
  };
  CHECK(pixels({.height = 2, .width = 2}) == std::vector<int>{10, 10, 10, 255, 20, 20, 20, 0, 30, 30, 30, 0});
  CHECK(pixels({.height = 2, .width = 2, .channels = 1}) == std::vector<int>{18, 18, 18, 76});
  // As published, 2 pixels' picture is resized to 2 * 256 / 224 = 2 and cropped: here the same as covering it.
  CHECK(pixels({.height = 2, .width = 2, .fit = PictureFit::published}) == pixels({.height = 2, .width = 2}));
  CHECK(message_of<OptionError>([&] { (void)pixels({.channels = 2}); }) ==
        "option: expected pictures of 1 or 3 channels, found 2");
}

TEST_CASE("The pictures of a folder come in order of name, whatever they are called") {
  const PictureFolders folder;
  for (const char* name : {"b.JPG", "a.png", "c.jfif", "B.jpeg", "._a.png", "notes.txt", "d.webp"})
    folder.other(name, "");
  std::filesystem::create_directories(folder.file("e.png"));
  std::vector<std::string> names;
  for (const auto& path : find_pictures(folder.path())) names.push_back(path.filename().string());
  CHECK(names == std::vector<std::string>{"B.jpeg", "a.png", "b.JPG", "c.jfif", "d.webp"});
  CHECK_THAT(message_of<FileError>([&] { (void)find_pictures(folder.file("e.png")); }),
             EndsWith("e.png': expected PNG or JPEG files in this folder, found none"));
}

namespace {

/// Two images of 2 x 3 pixels in two channels; a pixel's value tells where it is.
ImageDataSet two_images() {
  ImageDataSet data{.height = 2, .width = 3, .channels = 2, .labels = {0, 1}, .class_names = {"a", "b"}};
  data.pixels.resize(12, 2);
  for (Index i = 0; i < 24; ++i) data.pixels(i % 12, i / 12) = static_cast<std::uint8_t>(10 * i + 5);
  return data;
}

const ImageNormalisation plain{.mean = {0, 0}, .deviation = {1.0 / 255, 1.0 / 255}};

}  // namespace

TEST_CASE("Images are normalised by channel, in the order asked for") {
  const ImageDataSet data = two_images();
  const std::vector<Index> order{1, 0, 1};
  const Matrix<double> images = normalised_images<double>(data, order, {.mean = {0.5, 0.1}, .deviation = {0.25, 2}});
  CHECK(images.cols() == 3);
  CHECK(images.col(0) == images.col(2));
  CHECK(images(0, 0) == (125.0 / 255 - 0.5) / 0.25);
  CHECK(images(11, 1) == (115.0 / 255 - 0.1) / 2);
  CHECK(message_of<OptionError>([&] {
          (void)normalised_images<float>(data, order, {.mean = {1}, .deviation = {1}});
        }) == "option: expected a mean for each of 2 channels, found 1");
}

TEST_CASE("The measured normalisation gives mean 0 and deviation 1 to each channel") {
  const ImageDataSet data = two_images();
  const std::vector<Index> all{0, 1};
  const Matrix<double> images = normalised_images<double>(data, all, measure_normalisation(data));
  for (const Index c : {Index{0}, Index{1}}) {
    CHECK(std::abs(images.middleRows(6 * c, 6).mean()) < 1e-14);
    CHECK(std::abs(images.middleRows(6 * c, 6).squaredNorm() / 12 - 1) < 1e-14);
  }
}

TEST_CASE("An augmented image is a shifted, perhaps mirrored one, by (seed, stream, index) alone") {
  const ImageDataSet data = two_images();
  const ImageAugmentation augmentation{.padding = 1, .flip = true};
  const std::vector<Index> both{0, 1}, second{1};
  bool mirrored = false, moved = false, same = false;
  for (std::uint64_t stream = 0; stream < 200; ++stream) {
    const Matrix<float> images = augmented_images<float>(data, both, plain, augmentation, 7, stream);
    CHECK(augmented_images<float>(data, second, plain, augmentation, 7, stream) == images.col(1));
    const Matrix<float> plane = images.col(0).head(6).reshaped(3, 2).transpose();
    const Matrix<float> original{{5, 15, 25}, {35, 45, 55}};
    Index matches = 0;
    for (const bool flip : {false, true})
      for (Index top = -1; top <= 1; ++top)
        for (Index left = -1; left <= 1; ++left) {
          Matrix<float> padded = Matrix<float>::Zero(4, 5);
          padded.block(1, 1, 2, 3) = original;
          Matrix<float> expected = padded.block(1 + top, 1 + left, 2, 3);
          if (flip) expected = expected.rowwise().reverse().eval();
          if (expected != plane) continue;
          ++matches;
          mirrored |= flip;
          moved |= top != 0 || left != 0;
          same |= !flip && top == 0 && left == 0;
        }
    CHECK(matches >= 1);
  }
  CHECK(mirrored);
  CHECK(moved);
  CHECK(same);
  CHECK(augmented_images<float>(data, both, plain, {}, 7, 0) == normalised_images<float>(data, both, plain));
}

TEST_CASE("Resizing to cover keeps the middle") {
  const Image picture{1, 4, 1, {10, 20, 30, 40}};
  CHECK(resize_to_cover(picture, 1, 2).pixels == std::vector<std::uint8_t>{20, 30});
  const Image enlarged = resize_to_cover(picture, 2, 2);
  CHECK(enlarged.height == 2);
  CHECK(enlarged.width == 2);
  CHECK(resize(picture, 1, 1).pixels == std::vector<std::uint8_t>{25});
  CHECK_THAT(message_of<ShapeError>([&] { (void)centre_crop(picture, 2, 2); }),
             EndsWith("1 x 1 to 1 x 4, found 2 x 2"));
}
