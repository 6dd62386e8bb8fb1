// SPDX-License-Identifier: MIT
#include "crate/io/formats/npy.hpp"

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "io/temporary_folder.hpp"

namespace {

using namespace crate;
using Catch::Matchers::ContainsSubstring;
using crate::test::bytes_of;
using crate::test::message_of;

template <class Number>
std::string elements(const std::vector<Number>& numbers, bool is_big_endian = false) {
  std::string bytes;
  for (const Number number : numbers) {
    std::string element(sizeof number, '\0');
    std::memcpy(element.data(), &number, sizeof number);
    bytes += is_big_endian ? std::string(element.rbegin(), element.rend()) : element;
  }
  return bytes;
}

/// As numpy.save writes it, header padded to 64 bytes.
std::string npy(std::string header, const std::string& data, char version = 1) {
  const std::size_t before = version == 1 ? 10 : 12;
  while ((before + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string file = std::string("\x93NUMPY") + version + '\0';
  for (std::size_t i = 0; i < before - 8; ++i) file += static_cast<char>(header.size() >> 8 * i & 0xFFU);
  return file + header + data;
}

std::string header(const std::string& type, const std::string& shape, const std::string& fortran = "False") {
  return "{'descr': '" + type + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }";
}

/// Of an array [tokens, width].
Matrix<double> tokens_of(const std::string& file) {
  const TensorTable table = parse_npy(bytes_of(file));
  return tokens_from_numbers<double>(table.at("array"));
}

std::string message(const std::string& file) {
  return message_of<FileError>([&] { static_cast<void>(parse_npy(bytes_of(file), "a.npy")); });
}

const Matrix<double> expected = (Matrix<double>(3, 2) << 1, 4, 2, 5, 3, 6).finished();  // [[1, 2, 3], [4, 5, 6]]

template <class Number>
void check_type(const std::string& type) {
  const std::vector<Number> rows = {1, 2, 3, 4, 5, 6}, columns = {1, 4, 2, 5, 3, 6};
  for (const char version : {'\1', '\2', '\3'}) {
    REQUIRE(tokens_of(npy(header("<" + type, "(2, 3)"), elements(rows), version)) == expected);
    REQUIRE(tokens_of(npy(header(">" + type, "(2, 3)"), elements(rows, true), version)) == expected);
    REQUIRE(tokens_of(npy(header("<" + type, "(2, 3)", "True"), elements(columns), version)) == expected);
    REQUIRE(tokens_of(npy(header(">" + type, "(2, 3)", "True"), elements(columns, true), version)) == expected);
  }
}

}  // namespace

TEST_CASE("arrays of numpy are read in every version, order, byte order and type of number") {
  check_type<double>("f8");
  check_type<float>("f4");
  check_type<std::int64_t>("i8");
  check_type<std::uint64_t>("u8");
  check_type<std::int32_t>("i4");
  check_type<std::uint32_t>("u4");
  check_type<std::int16_t>("i2");
  check_type<std::uint16_t>("u2");
  check_type<std::int8_t>("i1");
  check_type<std::uint8_t>("u1");
  const std::vector<std::uint16_t> halves = {0x3C00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600};
  REQUIRE(tokens_of(npy(header("<f2", "(2, 3)"), elements(halves))) == expected);
  REQUIRE(tokens_of(npy(header("|b1", "(1, 2)"), std::string("\0\1", 2))) == Matrix<double>({{0}, {1}}));
}

TEST_CASE("integers of an array keep their signs") {
  REQUIRE(tokens_of(npy(header("<i1", "(1, 2)"), "\xFF\x80")) == Matrix<double>({{-1}, {-128}}));
  REQUIRE(tokens_of(npy(header("|u1", "(1, 2)"), "\xFF\x80")) == Matrix<double>({{255}, {128}}));
  const std::vector<std::uint64_t> largest = {std::numeric_limits<std::uint64_t>::max()};
  REQUIRE(tokens_of(npy(header("<u8", "(1, 1)"), elements(largest)))(0, 0) == 18446744073709551616.0);
}

TEST_CASE("the header of an array may be spaced, ordered and quoted otherwise") {
  const std::string data = elements(std::vector<float>{7});
  for (const char* const text : {"{\"shape\":(1L,1L),\"descr\":\"<f4\",\"fortran_order\":False}",
                                 "{ 'fortran_order' : True , 'shape' : ( 1 , 1, ) , 'descr' : '=f4' , } "})
    REQUIRE(tokens_of(npy(text, data))(0, 0) == 7);
}

TEST_CASE("an array in C order is not copied, and lives as long as its table") {
  const test::TemporaryFolder folder;
  test::write_content(folder.file("a.npy"), npy(header("<f8", "(2,)"), elements(std::vector<double>{1, 2})));
  const TensorTable table = read_npy(folder.file("a.npy"));
  REQUIRE(table.tensors().front().file != nullptr);
  REQUIRE(vector_from<double>(table.at("array")) == Vector<double>({{1}, {2}}));
  const std::string text = npy(header("<f8", "(0, 3)"), "");
  const TensorTable empty = parse_npy(bytes_of(text));
  REQUIRE(empty.at("array").shape == std::vector<Index>{0, 3});
}

TEST_CASE("faults of an array of numpy are named") {
  const std::string data = elements(std::vector<double>{1, 2});
  const auto of_header = [&](const std::string& text) { return message(npy(text, data)); };
  REQUIRE_THAT(message(""), ContainsSubstring("file 'a.npy': expected an array of numpy (.npy), found an empty file"));
  REQUIRE_THAT(message("PK\x03\x04"), ContainsSubstring("numpy.savez"));
  REQUIRE_THAT(message("1,2,3\n"), ContainsSubstring("a text that begins '1,2,3"));
  REQUIRE_THAT(message("\x93NUMPY\x04"), ContainsSubstring("expected 1 more bytes, found 0"));
  REQUIRE_THAT(message(std::string("\x93NUMPY\x04\0\0\0", 10)), ContainsSubstring("found 4.0"));
  REQUIRE_THAT(message(std::string("\x93NUMPY\x01\0\xFF\0{", 11)), ContainsSubstring("expected 255 more bytes"));
  REQUIRE_THAT(of_header(header("<f8", "(3,)")), ContainsSubstring("F64 of shape [3] take, found 16"));
  REQUIRE_THAT(of_header(header("<f8", "(1,)")), ContainsSubstring("found 16: more than one array?"));
  REQUIRE_THAT(of_header(header("<f8", "(9223372036854775807, 16)")), ContainsSubstring("found 16"));
  REQUIRE_THAT(of_header(header("<f8", "(99999999999999999999,)")), ContainsSubstring("a shape"));
  REQUIRE_THAT(of_header(header("<f8", "(-2,)")), ContainsSubstring("a shape"));
  REQUIRE_THAT(of_header(header("<f8", "(2 3)")), ContainsSubstring("',' or ')'"));
  REQUIRE_THAT(of_header(header("|O", "(2,)")), ContainsSubstring("'|O', Python objects"));
  REQUIRE_THAT(of_header(header("<c8", "(2,)")), ContainsSubstring("complex numbers"));
  REQUIRE_THAT(of_header(header("<f16", "(1,)")), ContainsSubstring("long doubles"));
  REQUIRE_THAT(of_header(header("", "(2,)")), ContainsSubstring("found ''"));
  REQUIRE_THAT(of_header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,)}"),
               ContainsSubstring("records of several fields"));
  REQUIRE_THAT(of_header("{'descr': '<f8', 'shape': (2,)}"), ContainsSubstring("found fewer"));
  REQUIRE_THAT(of_header("{'shape': (2,), 'shape': (2,)}"), ContainsSubstring("once each, found 'shape'"));
  REQUIRE_THAT(of_header("{'descr': '<f8', 'fortran_order': 1}"), ContainsSubstring("True or False, found '1}"));
  REQUIRE_THAT(of_header("{'descr': '<f8"), ContainsSubstring("quotation marks"));
  REQUIRE_THAT(of_header(header("<f8", "(2,)") + "x"), ContainsSubstring("found 'x"));
}

TEST_CASE("a header that is cut anywhere is refused") {
  const std::string whole = npy(header("<f8", "(1, 2)"), elements(std::vector<double>{1, 2}));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    REQUIRE_THROWS_AS(parse_npy(bytes_of(cut)), FileError);
  }
}

TEST_CASE("sets of tokens in an array lie one behind another, and a list of numbers is no tokens") {
  const std::vector<std::int16_t> numbers = {1, 2, 3, 4, 5, 6};
  REQUIRE(tokens_of(npy(header("<i2", "(1, 2, 3)"), elements(numbers))) == expected);
  REQUIRE_THROWS_AS(tokens_of(npy(header("<i2", "(6,)"), elements(numbers))), FileError);
}
