// SPDX-License-Identifier: MIT
#include "crate/io/formats/safetensors.hpp"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <new>
#include <string>
#include <vector>

#ifdef __linux__
#include <unistd.h>
#endif

#include "catch.hpp"
#include "comparison.hpp"
#include "io/fixture_path.hpp"
#include "io/heap.hpp"
#include "io/temporary_folder.hpp"

using crate::test::heap_now;
using crate::test::heap_peak;

namespace {
constexpr std::size_t counter_size = alignof(std::max_align_t);
}  // namespace

void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  auto* const block = static_cast<std::byte*>(std::malloc(size + counter_size));
  if (block == nullptr) return nullptr;
  *reinterpret_cast<std::size_t*>(block) = size;
  heap_now += size;
  heap_peak = std::max(heap_peak, heap_now);
  return block + counter_size;
}
void* operator new(std::size_t size) {
  void* const block = operator new(size, std::nothrow);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void operator delete(void* pointer) noexcept {
  if (pointer == nullptr) return;
  std::byte* const block = static_cast<std::byte*>(pointer) - counter_size;
  heap_now -= *reinterpret_cast<std::size_t*>(block);
  std::free(block);
}
void operator delete(void* pointer, std::size_t) noexcept { operator delete(pointer); }
void operator delete(void* pointer, const std::nothrow_t&) noexcept { operator delete(pointer); }

namespace {

using namespace crate;
using Catch::Matchers::ContainsSubstring;
using crate::test::bytes_of;
using crate::test::content_of;
using crate::test::message_of;
using crate::test::TemporaryFolder;
using crate::test::write_content;

/// The file with this header, as it stands, and so many bytes of data.
std::string file_of(const std::string& header, std::size_t data_size = 0) {
  const std::uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  file += header;
  for (std::size_t i = 0; i < data_size; ++i) file += static_cast<char>(i);
  return file;
}

std::string file_of_length(std::uint64_t length, const std::string& rest) {
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + rest;
}

/// Why the reader refuses the file; otherwise "threw nothing".
std::string safetensors_refusal(const std::string& file) {
  return message_of<FileError>([&] { static_cast<void>(parse_safetensors(bytes_of(file), "x")); });
}

const std::string two_tensors =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"U8","shape":[3,1],"data_offsets":[8,11]}})";

#ifdef __linux__
/// Bytes of this program that are in memory.
long resident_bytes() {
  std::ifstream counts("/proc/self/statm");
  long size = 0, resident = 0;
  counts >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}
#else
long resident_bytes() { return 0; }
#endif

TEST_CASE("tensors, shapes, dtypes and texts are what the header says") {
  const std::string file = file_of(two_tensors, 11);
  const TensorTable table = parse_safetensors(bytes_of(file), "x");
  REQUIRE(table.tensors().size() == 2);
  CHECK(table.at("a").dtype == Dtype::f32);
  CHECK(table.at("b").shape == std::vector<Index>{3, 1});
  CHECK(integers_from(table.at("b")) == std::vector<std::int64_t>{8, 9, 10});
  CHECK(table.metadata() == Metadata{{"format", "pt"}});
}

TEST_CASE("what the format allows is read") {
  CHECK(safetensors_refusal(file_of("{}")) == "threw nothing");
  CHECK(safetensors_refusal(file_of(" \n{ } \t\r\n")) == "threw nothing");
  CHECK(safetensors_refusal(file_of(R"({"a":{"shape":[],"data_offsets":[0,8],"dtype":"I64"}})", 8)) == "threw nothing");
  CHECK(safetensors_refusal(file_of(R"({"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]}})", 3)) ==
        "threw nothing");
  CHECK(safetensors_refusal(file_of(R"({"a":{"dtype":"F4","shape":[2,3],"data_offsets":[0,3]}})", 3)) ==
        "threw nothing");

  const std::string empty_tensors = file_of(
      R"({"z":{"dtype":"F32","shape":[0,7],"data_offsets":[1,1]},"m":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
      R"("a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
      1);
  const TensorTable table = parse_safetensors(bytes_of(empty_tensors));
  CHECK(tokens_from<float>(table.at("z")).rows() == 7);
  CHECK(tokens_from<float>(table.at("z")).cols() == 0);
  CHECK(table.tensors().front().name == "a");

  const std::string escaped = file_of(R"({"\u00e9\n\"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
  const TensorTable escaped_table = parse_safetensors(bytes_of(escaped));
  CHECK(escaped_table.tensors().front().name == "\xC3\xA9\n\"");
}

TEST_CASE("lengths that the file does not have are refused before anything is read") {
  CHECK_THAT(safetensors_refusal(""), ContainsSubstring("file 'x': expected a safetensors file, found an empty file"));
  CHECK(safetensors_refusal("1234567") == "file 'x': expected a safetensors file, found a text that begins '1234567'");
  CHECK(safetensors_refusal("\x01\x02\x03") ==
        "file 'x': expected a safetensors file, found 3 bytes that begin 01 02 03");
  CHECK_THAT(safetensors_refusal(file_of_length(3, "{}")),
             ContainsSubstring("expected a safetensors header of 3 bytes, found 2"));
  CHECK_THAT(safetensors_refusal(file_of_length(~std::uint64_t{0}, "{}")),
             ContainsSubstring("found a length of 18446744073709551615"));
  CHECK_THAT(safetensors_refusal(file_of_length(100'000'001, "{}")), ContainsSubstring("at most 100000000 bytes"));
  CHECK_THAT(safetensors_refusal(file_of_length(0, "{}")), ContainsSubstring("expected a JSON object, found ''"));
}

TEST_CASE("a file that is no weights is called what it is, by its first bytes") {
  const auto zeros = [](const std::string& begin) { return begin + std::string(300, '\0'); };
  const std::vector<std::pair<std::string, std::string>> files = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 91234567\n", "'git lfs pull'"},
      {"<!DOCTYPE html><html><head><title>Google Drive</title></head></html>", "an HTML page"},
      {"\n\n <HTML lang=en>", "an HTML page"},
      {"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML text"},
      {"checkpoint" + std::string(247, '\0') + "ustar" + std::string(300, '\0'), "a tar archive"},
      {zeros("\x1F\x8B\x08"), "a gzip file"},
      {zeros("BZh9"), "a bzip2 file"},
      {zeros("\xFD"
             "7zXZ"),
       "an xz file"},
      {zeros("\x28\xB5\x2F\xFD"), "a Zstandard file"},
      {zeros("GGUF\x03"), "a GGUF file"},
      {zeros("\x08\x07\x12\x07pytorch\x1A\x05"), "ONNX"},
      {zeros("\x89HDF\r\n\x1A\n"), "an HDF5 file"},
      {zeros("\x93NUMPY\x01"), "an array of numpy"},
      {zeros("\x89PNG\r\n\x1A\n"), "a PNG picture"},
      {zeros("\xFF\xD8\xFF\xE0"), "a JPEG picture"},
      {zeros("RIFF1234WEBP"), "a WebP picture"},
      {zeros("BM1234"), "a BMP picture"},
      {zeros("PK\x03\x04"), "bytes that begin 50 4B 03 04"},
      {R"({"metadata": {"total_size": 9}, "weight_map": {"a": "model-00001-of-00002.safetensors"}})", "JSON index"},
      {"{\n  \"hidden_size\": 768\n}", "a JSON text that begins"},
      {"404: Not Found", "a text that begins '404: Not Found'"},
  };
  for (const auto& [content, name] : files) {
    CAPTURE(name, content.substr(0, 20));
    CHECK_THAT(safetensors_refusal(content),
               ContainsSubstring("expected a safetensors file, found ") && ContainsSubstring(name));
    CHECK(safetensors_refusal(content).size() < 600);
  }
  CHECK(safetensors_refusal("{" + std::string(1'000'000, 'x')).size() < 600);
}

TEST_CASE("a header that is not one JSON object is refused") {
  CHECK_THAT(safetensors_refusal(file_of("[]")), ContainsSubstring("expected a JSON object, found '[]'"));
  CHECK_THAT(safetensors_refusal(file_of("\"a\"")), ContainsSubstring("expected a JSON object"));
  CHECK_THAT(safetensors_refusal(file_of("\xEF\xBB\xBF{}")), ContainsSubstring("expected a JSON object"));
  CHECK_THAT(safetensors_refusal(file_of("{")), ContainsSubstring("expected JSON, found an error at byte 2"));
  CHECK_THAT(safetensors_refusal(file_of("{}{}")), ContainsSubstring("expected JSON, found an error"));
  CHECK_THAT(safetensors_refusal(file_of("{/**/}")), ContainsSubstring("expected JSON, found an error"));
  CHECK_THAT(safetensors_refusal(file_of(std::string("{}\0}", 4))), ContainsSubstring("found a zero byte"));
  CHECK_THAT(safetensors_refusal(file_of("{\"\xFF\":1}")), ContainsSubstring("expected JSON, found an error"));
  CHECK_THAT(safetensors_refusal(file_of("{\"\\ud800\":1}")), ContainsSubstring("expected JSON, found an error"));
}

TEST_CASE("values of another kind than the format's are refused, with their place") {
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":1})")), ContainsSubstring("top level: expected objects, found 1"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"dtype":7}})")),
             ContainsSubstring("tensor 'a': dtype: expected a text, found 7"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"dtype":"F33"}})")), ContainsSubstring("unknown dtype 'F33'"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"shape":"2"}})")),
             ContainsSubstring("shape: expected an array, found '2'"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"shape":[[1]]}})")), ContainsSubstring("found an array"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"shape":[null]}})")), ContainsSubstring("found null"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"shape":{}}})")), ContainsSubstring("found an object"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"extra":1}})")), ContainsSubstring("found 'extra'"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"data_offsets":[0]}})")),
             ContainsSubstring("two unsigned integers, found 1"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"data_offsets":[0,1,2]}})")),
             ContainsSubstring("two unsigned integers"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"dtype":"U8","shape":[0]}})")),
             ContainsSubstring("found only some of them"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"__metadata__":{"a":1}})")),
             ContainsSubstring("__metadata__: 'a': expected a text"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"__metadata__":{"a":{}}})")),
             ContainsSubstring("__metadata__: 'a': expected a text"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"__metadata__":"a"})")), ContainsSubstring("expected objects, found 'a'"));
}

TEST_CASE("numbers are plain unsigned integers that fit") {
  for (const std::string number : {"-1", "-0", "1.0", "1e0", "true", "\"1\"", "18446744073709551616"}) {
    CAPTURE(number);
    CHECK_THAT(
        safetensors_refusal(file_of(R"({"a":{"dtype":"U8","shape":[)" + number + R"(],"data_offsets":[0,1]}})", 1)),
        ContainsSubstring("tensor 'a': shape: expected at most 16 unsigned integers"));
    CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,)" + number + "]}}", 1)),
               ContainsSubstring("tensor 'a': data_offsets: expected two unsigned integers"));
  }
  CHECK_THAT(
      safetensors_refusal(file_of(R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}})", 1)),
      ContainsSubstring("below 2^63, found 9223372036854775808"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"shape":[1e999]}})")), ContainsSubstring("number overflow"));
}

TEST_CASE("a name may stand only once") {
  const std::string empty = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":)" + empty + R"(,"\u0061":)" + empty + "}")),
             ContainsSubstring("tensor 'a': expected one tensor of this name, found two"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"dtype":"U8","dtype":"U8"}})")),
             ContainsSubstring("dtype: expected once"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"shape":[0],"shape":[0]}})")),
             ContainsSubstring("shape: expected once"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"__metadata__":{"k":"1","\u006b":"2"}})")),
             ContainsSubstring("'k': expected once"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"__metadata__":{},"__metadata__":{}})")),
             ContainsSubstring("expected once"));
}

TEST_CASE("offsets lie in the file and agree with the shape") {
  const auto tensor = [](const std::string& shape, const std::string& offsets) {
    return safetensors_refusal(
        file_of(R"({"a":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}", 8));
  };
  CHECK(tensor("[2]", "[0,8]") == "threw nothing");
  CHECK(
      tensor("[2]", "[0,9]") ==
      "file 'x': tensor 'a': data_offsets: expected a range within the 8 bytes of data, found [0, 9]: the file may end "
      "early");
  CHECK_THAT(tensor("[2]", "[8,0]"), ContainsSubstring("expected a range within"));
  CHECK_THAT(tensor("[2]", "[18446744073709551608,0]"), ContainsSubstring("expected a range within"));
  CHECK_THAT(tensor("[1]", "[0,8]"), ContainsSubstring("expected 4 bytes for F32 of shape [1], found 8"));
  CHECK_THAT(tensor("[4294967296,4294967296]", "[0,0]"),
             ContainsSubstring("expected a whole number of bytes below 2^60"));
  CHECK_THAT(tensor("[4611686018427387904]", "[0,0]"),
             ContainsSubstring("expected a whole number of bytes below 2^60"));
  CHECK_THAT(tensor("[9223372036854775807,0,9223372036854775807]", "[0,0]"), ContainsSubstring("whole number"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2)),
             ContainsSubstring("whole number of bytes"));
}

TEST_CASE("tensors fill the data without hole, overlap or remainder") {
  const auto pair = [](const std::string& first, const std::string& second, std::size_t size) {
    return safetensors_refusal(file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
                                           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}",
                                       size));
  };
  CHECK(pair("[0,4]", "[4,8]", 8) == "threw nothing");
  CHECK(pair("[4,8]", "[0,4]", 8) == "threw nothing");
  CHECK_THAT(pair("[0,4]", "[5,9]", 9), ContainsSubstring("tensor 'b': data_offsets: expected to begin at 4"));
  CHECK_THAT(pair("[1,5]", "[5,9]", 9), ContainsSubstring("tensor 'a': data_offsets: expected to begin at 0"));
  CHECK_THAT(pair("[0,4]", "[3,7]", 7),
             ContainsSubstring("expected to begin at 4 where the tensor before ends, found 3"));
  CHECK_THAT(pair("[0,4]", "[0,4]", 4), ContainsSubstring("expected to begin at 4"));
  CHECK(pair("[0,4]", "[4,8]", 9) == "file 'x': expected 8 bytes of data for the tensors of the header, found 9");
  CHECK(safetensors_refusal(file_of("{}", 1)) ==
        "file 'x': expected 0 bytes of data for the tensors of the header, found 1");
}

TEST_CASE("sizes beyond the limits are refused") {
  const auto named = [](std::size_t size) {
    return safetensors_refusal(
        file_of("{\"" + std::string(size, 'n') + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1));
  };
  CHECK(named(4096) == "threw nothing");
  CHECK_THAT(named(4097), ContainsSubstring("expected names of at most 4096 bytes"));
  const auto ranked = [](int rank) {
    std::string shape = "1";
    for (int i = 1; i < rank; ++i) shape += ",1";
    return safetensors_refusal(file_of(R"({"a":{"dtype":"U8","shape":[)" + shape + R"(],"data_offsets":[0,1]}})", 1));
  };
  CHECK(ranked(16) == "threw nothing");
  CHECK_THAT(ranked(17), ContainsSubstring("shape: expected at most 16"));
  const auto with_texts = [](int count) {
    std::string texts;
    for (int i = 0; i < count; ++i) texts += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":\"\"";
    return safetensors_refusal(file_of(R"({"__metadata__":{)" + texts + "}}"));
  };
  CHECK(with_texts(4096) == "threw nothing");
  CHECK_THAT(with_texts(4097), ContainsSubstring("expected at most 4096 texts"));
  const auto with_text_of = [](std::size_t size) {
    return safetensors_refusal(file_of(R"({"__metadata__":{"a":")" + std::string(size, 'x') + "\"}}"));
  };
  CHECK(with_text_of((std::size_t{128} << 10U) - 1) == "threw nothing");
  CHECK_THAT(with_text_of(std::size_t{128} << 10U), ContainsSubstring("expected texts of at most 131072 bytes"));
  CHECK_THAT(safetensors_refusal(file_of("{" + std::string(2'000'000, ' ') + "}")),
             ContainsSubstring("expected texts of at most"));
  CHECK_THAT(safetensors_refusal(file_of(std::string(1'000'000, '['))), ContainsSubstring("expected a JSON object"));
  CHECK_THAT(safetensors_refusal(file_of(R"({"a":)" + std::string(100'000, '['))), ContainsSubstring("found an array"));
}

TEST_CASE("every truncation and every flipped bit of a header gives an error or a valid table, within a second") {
  const std::string file = file_of(two_tensors, 11);
  for (std::size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    CHECK_THAT(safetensors_refusal(file.substr(0, size)), ContainsSubstring("file 'x': "));
  }
  int accepted = 0;
  for (std::size_t bit = 0; bit < 8 * (8 + two_tensors.size()); ++bit) {
    std::string flipped = file;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const std::string answer = safetensors_refusal(flipped);
    CAPTURE(bit, answer);
    CHECK((answer == "threw nothing" || answer.substr(0, 10) == "file 'x': "));
    accepted += answer == "threw nothing" ? 1 : 0;
  }
  CHECK(accepted > 0);  // a letter of a name or of a text
}

/// The most that reading the file takes from the heap, in bytes.
std::size_t memory_to_read(const std::string& file) {
  return crate::test::heap_use([&] { static_cast<void>(safetensors_refusal(file)); });
}

TEST_CASE("reading takes at most four times the file's size and a mebibyte from the heap") {
  std::vector<std::string> files;
  std::string tensors, deep_tensors, texts;
  for (int i = 0; i < 40'000; ++i) {
    const std::string name = (i > 0 ? ",\"" : "\"") + std::to_string(i);
    tensors += name + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    deep_tensors += name + R"(":{"dtype":"U8","shape":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"data_offsets":[0,0]})";
    texts += name + R"(":"")";
  }
  files.push_back(file_of("{" + tensors + "}"));
  files.push_back(file_of("{" + deep_tensors + "}"));
  files.push_back(file_of("{" + deep_tensors + "]"));
  files.push_back(file_of(R"({"__metadata__":{)" + texts + "}}"));
  for (const std::size_t size : {std::size_t{130'000}, std::size_t{20'000'000}}) {
    files.push_back(file_of("{\"" + std::string(size, 'x')));
    files.push_back(file_of("{\"" + std::string(size, 'x') + "\":1}"));
    files.push_back(file_of(R"({"__metadata__":{"a":")" + std::string(size, 'x') + "\"}}"));
    files.push_back(file_of(R"({"a":)" + std::string(size, '1') + "}"));
    files.push_back(file_of("{" + std::string(size, ' ')));
  }
  for (const std::string& file : files) {
    CAPTURE(file.size(), file.substr(8, 60));
    CHECK(memory_to_read(file) <= 4 * file.size() + (std::size_t{1} << 20U));
  }
}

TEST_CASE("mapped and copied files give the same tensors") {
  for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
    const TensorTable table = read_safetensors(fixture_path("operators.safetensors"), access);
    CHECK(table.tensors().size() == 31);
    CHECK(table.source() == fixture_path("operators.safetensors"));
    const Matrix<double> tokens = tokens_from<double>(table.at("Z"));
    CHECK(tokens.rows() == std::stoi(*table.find_metadata("d")));
    CHECK(tokens.cols() == std::stoi(*table.find_metadata("N")));
    const Matrix<double> bases = tokens_from<double>(table.at("U"));
    CHECK(bases.cols() == std::stoi(*table.find_metadata("K")) * std::stoi(*table.find_metadata("p")));
    CHECK((bases.transpose() * bases).diagonal().allFinite());
  }
}

TEST_CASE("tensors outlive the table that was read first, as long as a copy of it lives") {
  std::optional<TensorTable> copy;
  {
    const TensorTable table = read_safetensors(fixture_path("operators.safetensors"));
    copy = table;
  }
  CHECK(tokens_from<double>(copy->at("Z")).allFinite());
  CHECK_THAT(message_of<FileError>([&] { static_cast<void>(vector_from<double>(copy->at("Z"))); }),
             ContainsSubstring("operators.safetensors"));
}

TEST_CASE("what is written is read again, bit for bit, with names, shapes and texts") {
  const TemporaryFolder folder;
  const Matrix<float> tokens = Matrix<float>::Random(3, 5);
  const RowMajorMatrix<double> weights = RowMajorMatrix<double>::Random(2, 7);
  const Vector<float> nothing(0);
  const std::vector<std::int64_t> labels = {3, -1};
  const std::vector<Eigen::half> halves = {Eigen::half(0.5F), Eigen::half(-2.0F)};
  const Metadata metadata = {{"z", "last \"quoted\" \n\x01 \xC3\xA9"}, {"a", ""}};
  const std::string name = "layer \"\xC3\xA9\"\t\\/";
  write_safetensors(folder.file("a"),
                    {tokens_tensor(name, tokens), matrix_tensor("W", weights), vector_tensor("none", nothing),
                     tensor_of<std::int64_t>("labels", {2}, labels), tensor_of<Eigen::half>("h", {2, 1}, halves)},
                    metadata);

  const TensorTable table = read_safetensors(folder.file("a"));
  CHECK(table.metadata() == metadata);
  CHECK(tokens_from<float>(table.at(name)) == tokens);
  CHECK(matrix_from<double>(table.at("W")) == weights);
  CHECK(table.at("none").bytes.empty());
  CHECK(integers_from(table.at("labels")) == labels);
  CHECK(tokens_from<double>(table.at("h")).row(0) == Eigen::RowVector2d(0.5, -2.0));

  write_safetensors(folder.file("b"), table.tensors(), table.metadata());
  CHECK(content_of(folder.file("a")) == content_of(folder.file("b")));
  CHECK(folder.file_count() == 2);
}

// What the reference implementation writes for these tensors.
TEST_CASE("files are written as the reference implementation writes them") {
  const TemporaryFolder folder;
  const std::vector<float> f32 = {1, 2};
  const std::vector<double> f64 = {3};
  const std::vector<std::int64_t> i64 = {4};
  const std::vector<std::uint8_t> u8 = {5, 6, 7};
  const std::vector<Eigen::bfloat16> bf16 = {Eigen::bfloat16(1.0F)};
  write_safetensors(folder.file("a"),
                    {tensor_of<std::uint8_t>("u", {3}, u8), tensor_of<float>("b", {2, 1}, f32),
                     tensor_of<Eigen::bfloat16>("half", {}, bf16), tensor_of<double>("d", {1}, f64),
                     tensor_of<float>("a", {1, 2}, f32), tensor_of<std::int64_t>("i", {1}, i64)},
                    {{"format", "pt"}});
  std::string expected = R"({"__metadata__":{"format":"pt"},"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                         R"("d":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},)"
                         R"("a":{"dtype":"F32","shape":[1,2],"data_offsets":[16,24]},)"
                         R"("b":{"dtype":"F32","shape":[2,1],"data_offsets":[24,32]},)"
                         R"("half":{"dtype":"BF16","shape":[],"data_offsets":[32,34]},)"
                         R"("u":{"dtype":"U8","shape":[3],"data_offsets":[34,37]}})";
  while (expected.size() % 8 != 0) expected += ' ';
  const std::string file = content_of(folder.file("a"));
  CHECK(file.substr(8, expected.size()) == expected);
  CHECK(file.size() == 8 + expected.size() + 37);
  CHECK(static_cast<unsigned char>(file[0]) == expected.size() % 256);
}

TEST_CASE("the data of a written file begin at a multiple of 8 bytes, whatever the header's length") {
  const TemporaryFolder folder;
  const std::vector<double> one = {1};
  for (std::size_t size = 1; size <= 16; ++size) {
    write_safetensors(folder.file("a"), {tensor_of<double>(std::string(size, 'n'), {1}, one)});
    const std::string file = content_of(folder.file("a"));
    CHECK(file.size() % 8 == 0);
    CHECK(safetensors_refusal(file) == "threw nothing");
  }
}

// The checksum of the other file was written along, and the reader refused what it found.
TEST_CASE("tensors of a file with a checksum are written with its texts, but not its checksum") {
  const TemporaryFolder folder;
  const std::vector<double> one = {1}, two = {2};
  const std::vector<Tensor> tensors = {tensor_of<double>("x", {1}, one), tensor_of<double>("y", {1}, two)};
  write_checked_safetensors(folder.file("all"), tensors, {{"checkpoint format", "2"}, {"k", "text"}});
  const TensorTable all = read_safetensors(folder.file("all"));
  write_safetensors(folder.file("some"), {tensors[1]}, all.metadata());
  CHECK(read_safetensors(folder.file("some")).metadata() == Metadata{{"k", "text"}});
  write_checked_safetensors(folder.file("some"), {tensors[1]}, all.metadata());
  CHECK(read_safetensors(folder.file("some")).metadata().size() == 3);
}

TEST_CASE("what the reader would refuse is not written, and what stood there stays") {
  const TemporaryFolder folder;
  write_content(folder.file("a"), "before");
  const std::vector<double> one = {1};
  const Tensor good = tensor_of<double>("x", {1}, one);
  Tensor short_of_bytes = good;
  short_of_bytes.shape = {2};
  const auto named = [&](std::string name) { return tensor_of<double>(std::move(name), {1}, one); };
  const auto written = [&](const std::vector<Tensor>& tensors, const Metadata& metadata = {}) {
    return message_of<FileError>([&] { write_safetensors(folder.file("a"), tensors, metadata); });
  };
  CHECK_THAT(written({good, good}), ContainsSubstring("expected one tensor 'x', found two"));
  CHECK_THAT(written({short_of_bytes}), ContainsSubstring("expected as many bytes as F64 of shape [2] take, found 8"));
  CHECK_THAT(written({named("__metadata__")}), ContainsSubstring("other than __metadata__"));
  CHECK_THAT(written({named(std::string(4097, 'x'))}), ContainsSubstring("names of at most 4096 bytes"));
  CHECK_THAT(written({named("\xFF")}), ContainsSubstring("expected UTF-8"));
  CHECK_THAT(written({tensor_of<double>("x", std::vector<Index>(17, 1), one)}),
             ContainsSubstring("at most 16 dimensions"));
  CHECK_THAT(written({good}, {{"k", "1"}, {"k", "2"}}), ContainsSubstring("'k': expected once"));
  CHECK_THAT(written({good}, {{"k", std::string(2'000'000, 'x')}}), ContainsSubstring("too long"));
  CHECK(content_of(folder.file("a")) == "before");
  CHECK(folder.file_count() == 1);
}

TEST_CASE("a file can be written over itself while it is mapped") {
  const TemporaryFolder folder;
  std::filesystem::copy_file(fixture_path("operators.safetensors"), folder.file("a"));
  const TensorTable table = read_safetensors(folder.file("a"));
  const Matrix<double> before = tokens_from<double>(table.at("Z"));
  write_safetensors(folder.file("a"), table.tensors(), table.metadata());
  CHECK(tokens_from<double>(table.at("Z")) == before);
  const TensorTable again = read_safetensors(folder.file("a"));
  CHECK(tokens_from<double>(again.at("Z")) == before);
}

TEST_CASE("a tensor keeps its bytes when their memory is given back") {
  const TemporaryFolder folder;
  Matrix<float> tokens(1024, 8192);  // 32 MB
  for (Index i = 0; i < tokens.size(); ++i) tokens.data()[i] = static_cast<float>(i % 1021);
  write_safetensors(folder.file("a"), {tokens_tensor("Z", tokens)});
  for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
    const TensorTable table = read_safetensors(folder.file("a"), access);
    CHECK(tokens_from<float>(table.at("Z")) == tokens);
    const long held = resident_bytes();
    release(table.at("Z"));
    if (held > 0 && access == FileAccess::map) CHECK(held - resident_bytes() > 28 << 20);
    CHECK(tokens_from<float>(table.at("Z")) == tokens);
  }
  const Matrix<float> others = tokens;
  FileBytes(folder.file("a")).release(std::as_bytes(std::span(others.data(), static_cast<std::size_t>(others.size()))));
  CHECK(others == tokens);
}

TEST_CASE("paths that are no regular files are refused, for reading and for writing") {
  const TemporaryFolder folder;
  const auto read = [](const std::filesystem::path& path) {
    return message_of<FileError>([&] { static_cast<void>(read_safetensors(path)); });
  };
  CHECK_THAT(read(folder.file("none")), ContainsSubstring("no such file"));
  CHECK_THAT(read(folder.path()), ContainsSubstring("expected a regular file"));
  CHECK_THAT(read("/dev/zero"), ContainsSubstring("file '/dev/zero': "));
  write_content(folder.file("empty"), "");
  CHECK_THAT(read(folder.file("empty")), ContainsSubstring("found an empty file"));
  const auto write = [](const std::filesystem::path& path) {
    return message_of<FileError>([&] { write_safetensors(path, {}); });
  };
  CHECK_THAT(write(folder.path()), ContainsSubstring("cannot be written"));
  CHECK_THAT(write("/dev/null"), ContainsSubstring("cannot be written: expected a regular file or none"));
  CHECK_THAT(write(folder.file("none") / "a"), ContainsSubstring("cannot be written: there is no folder "));
}

}  // namespace
