// SPDX-License-Identifier: MIT
#include "crate/io/formats/tensor.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"

namespace {

using namespace crate;
using Catch::Matchers::ContainsSubstring;
using crate::test::message_of;

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

std::vector<std::uint16_t> all_patterns() {
  std::vector<std::uint16_t> patterns(65536);
  std::iota(patterns.begin(), patterns.end(), std::uint16_t{0});
  return patterns;
}

/// How many of the 65,536 values, converted to S, differ from Eigen's conversion of the same bits.
template <Scalar S, class Reference>
int differences(Dtype dtype) {
  const std::vector<std::uint16_t> patterns = all_patterns();
  const Tensor tensor{.name = "x", .dtype = dtype, .shape = {65536}, .bytes = bytes_of(patterns)};
  const Vector<S> values = vector_from<S>(tensor);
  int count = 0;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const S expected = static_cast<S>(static_cast<float>(Reference(Eigen::numext::bit_cast<Reference>(patterns[i]))));
    const S found = values(static_cast<Index>(i));
    const bool equal = std::isnan(expected) ? std::isnan(found) && std::signbit(found) == std::signbit(expected)
                                            : std::memcmp(&found, &expected, sizeof(S)) == 0;
    count += equal ? 0 : 1;
  }
  return count;
}

TEST_CASE("every half and bfloat16 bit pattern becomes the float and double that Eigen makes of it") {
  CHECK(differences<float, Eigen::half>(Dtype::f16) == 0);
  CHECK(differences<double, Eigen::half>(Dtype::f16) == 0);
  CHECK(differences<float, Eigen::bfloat16>(Dtype::bf16) == 0);
  CHECK(differences<double, Eigen::bfloat16>(Dtype::bf16) == 0);
}

TEST_CASE("a d x N token matrix is the bytes of a tensor [N, d]") {
  Matrix<double> tokens(2, 3);
  tokens << 1, 3, 5,  //
      2, 4, 6;
  const Tensor tensor = tokens_tensor("Z", tokens);
  CHECK(tensor.shape == std::vector<Index>{3, 2});
  CHECK(tensor.dtype == Dtype::f64);
  CHECK(tokens_from<double>(tensor) == tokens);

  RowMajorMatrix<double> rows(3, 2);
  rows << 1, 2,  //
      3, 4,      //
      5, 6;
  CHECK(matrix_from<double>(tensor) == rows);
  CHECK(tokens_from<double>(matrix_tensor("Z", rows)) == tokens);
}

TEST_CASE("leading dimensions of a token tensor lie side by side") {
  std::vector<float> values(24);
  std::iota(values.begin(), values.end(), 0.0F);
  const Tensor tensor = tensor_of<float>("Z", {2, 3, 4}, values);
  const Matrix<float> tokens = tokens_from<float>(tensor);
  CHECK(tokens.rows() == 4);
  CHECK(tokens.cols() == 6);
  CHECK(tokens(1, 3) == 13.0F);
}

TEST_CASE("elements at odd addresses are read as at any other") {
  const std::vector<double> values = {1.5, -2.25, 1e300, 0.0, -0.0, std::numeric_limits<double>::denorm_min()};
  for (std::size_t shift = 0; shift < 8; ++shift) {
    std::vector<std::byte> memory(shift + values.size() * sizeof(double));
    std::memcpy(memory.data() + shift, values.data(), values.size() * sizeof(double));
    const Tensor tensor{.name = "x", .dtype = Dtype::f64, .shape = {6}, .bytes = std::span(memory).subspan(shift)};
    const Vector<double> found = vector_from<double>(tensor);
    const Vector<float> rounded = vector_from<float>(tensor);
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK(std::bit_cast<std::uint64_t>(found(static_cast<Index>(i))) == std::bit_cast<std::uint64_t>(values[i]));
      CHECK(rounded(static_cast<Index>(i)) == static_cast<float>(values[i]));
    }
  }
}

TEST_CASE("blocks of every length convert to their last element") {
  for (const Index size : {0, 1, 1023, 1024, 1025, 2048, 5000}) {
    const Vector<double> values = Vector<double>::LinSpaced(size, 0, static_cast<double>(size - 1));
    CHECK(vector_from<float>(vector_tensor("x", values)) == values.cast<float>());
  }
}

TEST_CASE("integers of every width keep their values and signs") {
  const auto check = [](Dtype dtype, std::span<const std::byte> bytes, const std::vector<std::int64_t>& expected) {
    const Tensor tensor{.name = "i", .dtype = dtype, .shape = {static_cast<Index>(expected.size())}, .bytes = bytes};
    CHECK(integers_from(tensor) == expected);
  };
  const std::vector<std::int64_t> i64 = {std::numeric_limits<std::int64_t>::min(), -1, 7};
  const std::vector<std::int32_t> i32 = {std::numeric_limits<std::int32_t>::min(), -1, 7};
  const std::vector<std::int16_t> i16 = {-32768, 32767};
  const std::vector<std::int8_t> i8 = {-128, 127};
  const std::vector<std::uint32_t> u32 = {4294967295U, 1U};
  const std::vector<std::uint16_t> u16 = {65535, 1};
  const std::vector<std::uint8_t> u8 = {255, 0, 1};
  check(Dtype::i64, bytes_of(i64), i64);
  check(Dtype::i32, bytes_of(i32), {-2147483648LL, -1, 7});
  check(Dtype::i16, bytes_of(i16), {-32768, 32767});
  check(Dtype::i8, bytes_of(i8), {-128, 127});
  check(Dtype::u32, bytes_of(u32), {4294967295LL, 1});
  check(Dtype::u16, bytes_of(u16), {65535, 1});
  check(Dtype::u8, bytes_of(u8), {255, 0, 1});
  check(Dtype::boolean, bytes_of(u8), {1, 0, 1});
}

TEST_CASE("a tensor of one element is a number, whatever its shape") {
  const std::vector<double> value = {0.5};
  CHECK(scalar_from<double>(tensor_of<double>("x", {}, value)) == 0.5);
  CHECK(scalar_from<float>(tensor_of<double>("x", {1, 1}, value)) == 0.5F);
}

TEST_CASE("the wrong dtype, shape or number of bytes is named") {
  const std::vector<std::int32_t> integers = {1, 2};
  const std::vector<double> numbers = {1, 2};
  Tensor tensor = tensor_of<std::int32_t>("layers.0.weight", {2}, integers);
  tensor.source = "a.safetensors";
  CHECK(message_of<FileError>([&] { static_cast<void>(vector_from<float>(tensor)); }) ==
        "file 'a.safetensors': tensor 'layers.0.weight': expected F64, F32, F16 or BF16, found I32");
  CHECK(message_of<FileError>([&] { static_cast<void>(tokens_from<float>(tensor)); }) ==
        "file 'a.safetensors': tensor 'layers.0.weight': expected at least 2 dimensions, found shape [2]");
  CHECK(message_of<FileError>([&] { static_cast<void>(integers_from(tensor_of<double>("x", {2}, numbers))); }) ==
        "tensor 'x': expected I64, I32, I16, I8, U32, U16, U8 or BOOL, found F64");
  tensor.shape = {3};
  CHECK_THAT(message_of<FileError>([&] { static_cast<void>(integers_from(tensor)); }),
             ContainsSubstring("I32 of shape [3] take, found 8"));
  CHECK(message_of<ShapeError>([&] { static_cast<void>(tensor_of<double>("x", {3}, numbers)); }) ==
        "tensor 'x': expected as many elements as shape [3] has, found 2");
}

TEST_CASE("sizes that overflow have no byte count") {
  constexpr Index huge = Index{1} << 62U;
  CHECK(byte_count(Dtype::f32, std::vector<Index>{2, 3}) == 24U);
  CHECK(byte_count(Dtype::f32, std::vector<Index>{}) == 4U);
  CHECK(byte_count(Dtype::f4, std::vector<Index>{2}) == 1U);
  CHECK(byte_count(Dtype::f32, std::vector<Index>{0, 5}) == 0U);
  CHECK_FALSE(byte_count(Dtype::f4, std::vector<Index>{3}));
  CHECK_FALSE(byte_count(Dtype::u8, std::vector<Index>{huge}));
  CHECK_FALSE(byte_count(Dtype::u8, std::vector<Index>{huge, huge}));
  CHECK_FALSE(byte_count(Dtype::u8, std::vector<Index>{huge, 0, huge}));
  CHECK_FALSE(byte_count(Dtype::u8, std::vector<Index>{-1}));
}

TEST_CASE("only finite numbers are copied where they are asked for, and the first other one is named") {
  const auto refusal = []<class S, class T>(S, const std::vector<T>& values, std::vector<Index> shape) {
    const Tensor tensor = tensor_of<T>("w", std::move(shape), values);
    std::vector<S> copied(values.size());
    return message_of<FileError>([&] { copy_finite_values(tensor, std::span<S>(copied)); });
  };
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float largest = std::numeric_limits<float>::max();
  CHECK(refusal(0.0F, std::vector<float>{0, -0.0F, largest, -largest, 1e-45F}, {5}) == "threw nothing");
  CHECK(refusal(0.0, std::vector<double>{1e308, -1e308, 5e-324}, {3}) == "threw nothing");
  CHECK(refusal(0.0F, std::vector<float>{1, 2, 3, nan, 5, infinity}, {2, 3}) ==
        "tensor 'w': expected finite numbers, found 2 of 6 that are not: nan at [1, 0] is the first");
  CHECK(refusal(0.0F, std::vector<float>{-infinity}, {}) ==
        "tensor 'w': expected finite numbers, found 1 of 1 that are not: -inf at []");
  CHECK(refusal(0.0F, std::vector<double>{1, -1e300}, {2}) ==
        "tensor 'w': expected finite numbers, found 1 of 2 that are not: -1e+300, more than float holds, at [1]");
  CHECK(refusal(0.0, std::vector<double>{1, 1e300}, {2}) == "threw nothing");
  CHECK_THAT(refusal(0.0, std::vector<double>{1, std::numeric_limits<double>::quiet_NaN()}, {2}),
             ContainsSubstring("nan at [1]"));
  CHECK_THAT(refusal(0.0F, std::vector<Eigen::half>{Eigen::half(1.0F), Eigen::half(infinity)}, {2}),
             ContainsSubstring("inf at [1]"));
  CHECK_THAT(refusal(0.0, std::vector<Eigen::bfloat16>{Eigen::bfloat16(nan)}, {1}), ContainsSubstring("nan at [0]"));
  for (const std::size_t place : {0U, 4095U, 4096U, 9999U}) {
    std::vector<float> values(10'000, 1.0F);
    CHECK(refusal(0.0F, values, {10'000}) == "threw nothing");
    values[place] = nan;
    CHECK_THAT(refusal(0.0F, values, {10'000}), ContainsSubstring(concatenate("nan at [", place, "]")));
  }
}

TEST_CASE("a table finds tensors by name and refuses two of one name") {
  const std::vector<double> value = {0.5};
  const TensorTable table("a.file", {tensor_of<double>("b", {1}, value), tensor_of<double>("a", {}, value)},
                          {{"format", "pt"}}, nullptr);
  const TensorTable copy = table;
  CHECK(copy.at("a").shape.empty());
  CHECK(copy.find("b")->source == "a.file");
  CHECK(copy.find("c") == nullptr);
  CHECK(*copy.find_metadata("format") == "pt");
  CHECK(copy.find_metadata("b") == nullptr);
  CHECK(message_of<FileError>([&] { static_cast<void>(table.at("c")); }) ==
        "file 'a.file': expected a tensor 'c', found none of that name");
  CHECK(message_of<FileError>([&] {
          TensorTable("a.file", {tensor_of<double>("b", {1}, value), tensor_of<double>("b", {}, value)}, {}, nullptr);
        }) == "file 'a.file': tensor 'b': expected one tensor of this name, found two");
}

TEST_CASE("names in messages cannot break the line and are cut between characters") {
  CHECK(quote("a\nb\tc\r\x1B[31m\x07\x7F") == R"('a\nb\tc\r\x1b[31m\x07\x7f')");
  const std::string cut = quote(std::string(119, 'x') + "\xC3\xA9" + std::string(50, 'y'));
  CHECK(cut == "'" + std::string(119, 'x') + "...'");
}

}  // namespace
