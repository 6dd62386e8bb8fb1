// SPDX-License-Identifier: MIT
// Data sets from files in the published formats, hostile files, and what models are given of them.

#include "crate/io/image_data_set.hpp"

#include <zlib.h>

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/cifar.hpp"
#include "crate/io/idx.hpp"
#include "crate/io/image_data_set_kind.hpp"
#include "crate/io/image_folders.hpp"
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
  CHECK_THAT(message(idx_images.substr(0, 11), idx_labels), EndsWith("expected 16 bytes of IDX header, found 11"));
  CHECK_THAT(message("", idx_labels), EndsWith("expected 16 bytes of IDX header, found 0"));
  CHECK_THAT(message(idx_images.substr(0, 21), idx_labels), EndsWith("expected 6 bytes of pixels, found 5"));
  CHECK_THAT(message(big_endian({2051, 30, 2, 1}) + "123456", idx_labels),
             ContainsSubstring("expected 60 bytes, as the header says, found a file too small"));
  CHECK_THAT(message(idx_images + "x", idx_labels), EndsWith("expected nothing behind the pixels, found more"));
  CHECK_THAT(message(idx_images, big_endian({2049, 2}) + "12"),
             ContainsSubstring("labels': expected 3 labels, as there are images in"));
  CHECK_THAT(message(big_endian({2051, 0, 2, 1}), idx_labels), ContainsSubstring("found 0 of 2 x 1"));
  const std::string packed = gzipped(idx_images);
  CHECK_THAT(message(packed.substr(0, packed.size() - 9), idx_labels), EndsWith("found one that ends early"));
  std::string damaged = packed;
  damaged[packed.size() - 6] ^= 1;  // the checksum
  CHECK_THAT(message(damaged, idx_labels), EndsWith("expected gzip data, found damaged ones"));
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
  CHECK_THAT(message(whole + gzipped("x")), EndsWith("expected nothing behind the pixels, found more"));
  CHECK_THAT(message(whole + std::string(9, '\0') + "x"), EndsWith("found more"));
  CHECK_THAT(message(whole + "\x1F\x8B"), EndsWith("found one that ends early"));
  CHECK_THAT(message(whole + "\x1F\x8B no member"), EndsWith("expected gzip data, found damaged ones"));
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

  write_content(folder.file("batches.meta.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  CHECK(read_cifar10_folder(folder.path()).test.class_names[7] == "h");
  write_content(folder.file("batches.meta.txt"), "a\nb\n");
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar10_folder(folder.path()); }),
             EndsWith("batches.meta.txt': expected the names of 10 classes, found 2"));
  write_content(folder.file("data_batch_2.bin"), record(0, 'c') + record(10, 'c'));
  CHECK_THAT(message_of<FileError>([&] { (void)read_cifar10_folder(folder.path()); }),
             EndsWith("data_batch_2.bin': record 1: expected a label from 0 to 9, found 10"));
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

TEST_CASE("Folders of pictures are classes, in order of name") {
  const TemporaryFolder folder;
  const auto picture = [&](const std::string& name, std::uint8_t value) {
    std::filesystem::create_directories(folder.file(name).parent_path());
    write_png(folder.file(name), {4, 6, 1, std::vector<std::uint8_t>(24, value)});
  };
  picture("train/zebra/2.png", 30);
  picture("train/zebra/1.PNG", 20);
  picture("train/ant/x.png", 10);
  write_content(folder.file("train/ant/notes.txt"), "no picture");
  picture("val/zebra/1.png", 40);
  picture("val/ant/1.png", 50);
  Threads threads(2);
  const TrainingAndTest sets = read_image_folders_split(folder.path(), 2, 2, threads);
  sets.training.check();
  CHECK(sets.training.class_names == std::vector<std::string>{"ant", "zebra"});
  CHECK(sets.training.labels == std::vector<Index>{0, 1, 1});
  CHECK(sets.training.pixels.cast<int>() == Eigen::MatrixXi(Eigen::RowVector3i(10, 20, 30).replicate(12, 1)));
  CHECK(sets.test.labels == std::vector<Index>{0, 1});

  picture("val/bee/1.png", 1);
  CHECK_THAT(message_of<FileError>([&] { (void)read_image_folders_split(folder.path(), 2, 2, threads); }),
             EndsWith("expected folders for the same 2 classes as for training, found others"));
  write_content(folder.file("train/ant/cut.png"), content_of(folder.file("train/ant/x.png")).substr(0, 60));
  CHECK_THAT(message_of<FileError>([&] { (void)read_image_folders(folder.file("train"), 2, 2, threads); }),
             ContainsSubstring("cut.png"));
  std::filesystem::create_directories(folder.file("train/empty"));
  CHECK_THAT(message_of<FileError>([&] { (void)read_image_folders(folder.file("train"), 2, 2, threads); }),
             EndsWith("empty': expected PNG or JPEG files in this folder, found none"));
  CHECK_THAT(message_of<FileError>([&] { (void)read_image_folders(folder.file("nowhere"), 2, 2, threads); }),
             ContainsSubstring("cannot be listed"));
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
        }) == "option: expected means of 2 channels, found 1");
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
