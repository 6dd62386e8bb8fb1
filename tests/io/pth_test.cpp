// SPDX-License-Identifier: MIT
#include "crate/io/formats/pth.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/families/find_weights.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "io/fixture_path.hpp"
#include "io/heap.hpp"
#include "io/pth_content.hpp"
#include "io/temporary_folder.hpp"

namespace {

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

std::vector<float> values_of(const Tensor& tensor) {
  std::vector<float> values(crate::detail::element_count(tensor));
  copy_values(tensor, std::span<float>(values));
  return values;
}

/// Largest difference of the tensor's values from the expected ones,
/// relative to the larger of the value and `smallest`.
float relative_difference(const Tensor& tensor, const Tensor& expected, float smallest) {
  const std::vector<float> found = values_of(tensor), wanted = values_of(expected);
  float difference = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    difference = std::max(difference, std::abs(found[i] - wanted[i]) / std::max(std::abs(wanted[i]), smallest));
  return difference;
}

TEST_CASE("the weights in a PyTorch file of any kind are those of the safetensors file") {
  struct Case {
    std::string name;
    float rounding;         // half a unit in the last place
    float smallest_normal;  // below, the spacing of numbers no longer shrinks
  };
  const Case cases[] = {{"classifier_state_dict.pth", 0, 1},
                        {"classifier_checkpoint.pth", 0, 1},
                        {"classifier_legacy.pth", 0, 1},
                        {"classifier_half.pth", 0x1p-11F, 0x1p-14F},
                        {"classifier_bf16.pth", 0x1p-8F, 0x1p-126F}};
  const TensorTable expected = read_safetensors(fixture_path("classifier_weights.safetensors"));
  for (const Case& file : cases)
    for (const FileAccess access : {FileAccess::map, FileAccess::copy}) {
      const TensorTable weights = find_weights(read_pth(fixture_path(file.name), access));
      CAPTURE(file.name);
      REQUIRE(weights.tensors().size() == expected.tensors().size());
      for (const Tensor& tensor : expected.tensors()) {
        CAPTURE(tensor.name);
        CHECK(weights.at(tensor.name).shape == tensor.shape);
        CHECK(relative_difference(weights.at(tensor.name), tensor, file.smallest_normal) <= file.rounding);
      }
    }
}

TEST_CASE("tied weights of a language model appear under both names, buffers beside them") {
  const TensorTable expected = read_safetensors(fixture_path("gpt.safetensors"));
  const TensorTable checkpoint = read_pth(fixture_path("gpt_checkpoint.pth"));
  CHECK(*checkpoint.find_metadata("model_args.n_head") == "3");
  const TensorTable weights = find_weights(checkpoint);
  for (const Tensor& tensor : expected.tensors())
    if (tensor.name.starts_with("param/")) {
      CAPTURE(tensor.name);
      CHECK(relative_difference(weights.at(tensor.name.substr(6)), tensor, 1) == 0);
    }
  CHECK(weights.at("lm_head.weight").bytes.data() == weights.at("transformer.wte.weight").bytes.data());
  CHECK(weights.at("transformer.h.0.attn.bias").shape == std::vector<Index>{1, 1, 24, 24});
  CHECK(weights.tensors().size() == 21);
}

TEST_CASE("a checkpoint is listed with the paths of its tensors and its plain values") {
  const TensorTable table = read_pth(fixture_path("classifier_checkpoint.pth"));
  CHECK(table.tensors().size() == 145);
  CHECK(table.at("state_dict.module.cls_token").key_begin == std::string("state_dict.").size());
  CHECK(table.at("optimizer.state.0.exp_avg").key_begin == std::string("optimizer.state.0.").size());
  CHECK(table.at("best_acc1").key_begin == 0);
  CHECK(
      table.metadata() ==
      Metadata{{"epoch", "7"}, {"arch", "CRATE_tiny"}, {"scheduler.last_epoch", "7"}, {"scheduler._step_count", "8"}});
}

// odd_tensors.pth was saved by PyTorch 1.13 from views of arange(24).reshape(4, 6), scalars, empty and tied tensors,
// every dtype, nested containers, and what lies about in research code: Namespace, Counter, numpy, Path, Size, device,
// set, bytes.
TEST_CASE("views, shared storages and every dtype become packed tensors") {
  for (const std::string name : {"odd_tensors.pth", "odd_tensors_legacy.pth"}) {
    const TensorTable table = read_pth(fixture_path(name));
    CAPTURE(name);
    CHECK(table.tensors().size() == 28);
    const auto values = [&](const std::string& tensor) { return values_of(table.at(tensor)); };
    using Floats = std::vector<float>;
    CHECK(table.at("transposed").shape == std::vector<Index>{6, 4});
    CHECK(values("transposed") ==
          Floats{0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23});
    CHECK(values("row") == Floats{6, 7, 8, 9, 10, 11});
    CHECK(values("column") == Floats{2, 8, 14, 20});
    CHECK(values("block") == Floats{8, 9, 10, 14, 15, 16});
    CHECK(values("every_second") == Floats{0, 3, 12, 15});
    CHECK(values("expanded") == Floats{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2});
    CHECK(table.at("permuted").shape == std::vector<Index>{4, 2, 3});
    CHECK(values("permuted") ==
          Floats{0, 4, 8, 12, 16, 20, 1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22, 3, 7, 11, 15, 19, 23});
    CHECK(table.at("scalar").shape.empty());
    CHECK(values("scalar") == Floats{2.5F});
    CHECK(table.at("empty").shape == std::vector<Index>{0, 7});
    CHECK(values("one_by_one") == Floats{3});
    CHECK(values("parameter") == Floats{0, 1, 2});
    CHECK(values("tied.second") == Floats{0, 1, 2, 3, 4, 5});
    CHECK(table.at("row").bytes.data() == table.at("plain").bytes.data() + 6 * sizeof(float));
    for (const std::string dtype : {"f64", "f16", "bf16"}) CHECK(values("types." + dtype) == Floats{0, 1, 2});

    using Integers = std::vector<std::int64_t>;
    CHECK(integers_from(table.at("types.i64")) == Integers{-1, std::int64_t{1} << 62U});
    CHECK(integers_from(table.at("types.i32")) == Integers{-5, 7});
    CHECK(integers_from(table.at("types.i16")) == Integers{-300});
    CHECK(integers_from(table.at("types.i8")) == Integers{-128});
    CHECK(integers_from(table.at("types.u8")) == Integers{200});
    CHECK(integers_from(table.at("types.bool")) == Integers{1, 0});

    CHECK(values("nested.0") == Floats{1});
    CHECK(values("nested.1.1.k.e.y") == Floats{3});
    CHECK(table.at("nested.1.1.k.e.y").key_begin == std::string("nested.1.1.").size());
    CHECK(values("nested.1.1.7") == Floats{4});
    CHECK(values("defaultdict.t") == Floats{9});
    CHECK(table.find("args.nested.a") == nullptr);
    CHECK(table.metadata() == Metadata{{"epoch", "3"},
                                       {"best", "0.25"},
                                       {"done", "true"},
                                       {"big", "-1099511627776"},
                                       {"text", "caf\xC3\xA9"},
                                       {"config.heads", "6"},
                                       {"config.deep.er", "yes"}});
  }
}

TEST_CASE("files put together here are read in both formats") {
  const std::string value = dict(text("a") + vector_tensor("0", 2) + text("b") + tensor(storage("0", 2), 1, {}, {}));
  for (const std::string& file : {pth_of(value, {floats(1, 2)}), legacy_pth_of(value, {floats(1, 2)})}) {
    const TensorTable table = parse_pth(bytes_of(file));
    CHECK(values_of(table.at("a")) == std::vector<float>{1, 2});
    CHECK(values_of(table.at("b")) == std::vector<float>{2});
  }
  const std::string alone = pth_of(vector_tensor("0", 1), {floats(7)});
  const TensorTable table = parse_pth(bytes_of(alone));
  REQUIRE(table.tensors().size() == 1);
  CHECK(table.tensors().front().name.empty());
}

TEST_CASE("a legacy storage may be a part of another") {
  const auto part_of = [](std::int64_t begin, std::int64_t count) {
    const std::string view = tuple(text("part") + integer(begin) + integer(count));
    const std::string id =
        tuple(text("storage") + global("torch", "FloatStorage") + text("0") + text("cpu") + integer(3) + view);
    return legacy_pth_of(dict(text("a") + tensor(id + "Q", 0, {2}, {1})), {floats(1, 2, 3)});
  };
  const std::string file = part_of(1, 2);
  const TensorTable table = parse_pth(bytes_of(file));
  CHECK(values_of(table.at("a")) == std::vector<float>{2, 3});
  for (const std::string& wrong :
       {part_of(2, 2), part_of(4, 0), part_of(std::int64_t{1} << 62U, std::int64_t{1} << 62U)})
    CHECK_THAT(message_of<FileError>([&] { static_cast<void>(parse_pth(bytes_of(wrong), "x")); }),
               ContainsSubstring("expected a part of storage '0' of 3 elements"));
}

TEST_CASE("pairs from Python 2, newer tensors and classes derived from dicts are understood") {
  const std::string pairs = list(tuple(text("a") + vector_tensor("0", 1)) + list("U\x01"
                                                                                 "b" +
                                                                                 vector_tensor("0", 1)));
  const std::string python2 = pth_of(call(global("collections", "OrderedDict"), pairs), {floats(1)});
  const TensorTable python2_table = parse_pth(bytes_of(python2));
  CHECK(python2_table.find("b") != nullptr);

  const std::string untyped =
      tuple(text("storage") + global("torch.storage", "UntypedStorage") + text("0") + text("cpu") + integer(4)) + "Q";
  const std::string newer =
      call(global("torch._utils", "_rebuild_tensor_v3"),
           untyped + integer(1) + integers({1}) + integers({1}) + "\x89}" + global("torch", "uint16"));
  const std::string version3 = pth_of(dict(text("a") + newer), {std::string("\x01\x00\x02\x00", 4)});
  const TensorTable table = parse_pth(bytes_of(version3));
  CHECK(integers_from(table.at("a")) == std::vector<std::int64_t>{2});

  const std::string attributes = dict(text("_metadata") + "N");
  const std::string built = pth_of(
      call(global("collections", "OrderedDict"), "") + text("a") + vector_tensor("0", 1) + "s" + attributes + "b",
      {floats(1)});
  const TensorTable built_table = parse_pth(bytes_of(built));
  CHECK(built_table.find("a") != nullptr);
}

// What lies beside the weights is left out, and only that. The bytes are what Python's pickle writes.
TEST_CASE("enums, partials, sets and the like beside the weights do not keep them from loading") {
  const std::string array =
      call(global("numpy.core.multiarray", "_reconstruct"), global("numpy", "ndarray") + "K\x01\x85");
  const std::string partial = call(global("functools", "partial"), global("builtins", "max"));
  const std::vector<std::string> besides = {
      call(global("__main__", "Mode"), "K\x01"),
      partial + tuple(global("builtins", "max") + tuple("K\x01") + "}N") + "b",
      call(call(global("builtins", "getattr"), global("__main__", "Outer") + text("Inner")), ""),
      call(global("builtins", "getattr"), global("__main__", "Outer") + text("Inner")) + ")\x81}b",
      array + tuple("K\x01" + tuple("K\x03") + "N\x89" + text("abc")) + "b",
      call(global("builtins", "set"), list("K\x01")),
      "\x8F(K\x01K\x02\x90",
      "(K\x01\x91",
      call(global("__main__", "Ordered"), "") + "(" + text("t") + vector_tensor("0", 2) + "u",
      call(global("collections", "defaultdict"), partial) + "(" + text("k") + "K\x01u",
      call(global("collections", "OrderedDict"), "K\x01K\x02"),
      global("__main__", "Data") + ")" + dict(text("k") + "K\x01") + "\x92",
      call(global("torch._utils", "_rebuild_sparse_tensor"), "N" + tuple(vector_tensor("0", 2))),
      tensor(tuple(text("storage") + global("torch", "QInt8Storage") + text("7") + text("cpu") + integer(1)) + "Q", 0,
             {1}, {1}),
      tuple(repeated("K\x01", 100'000)),
      list(repeated("K\x01", 100'000)),
      dict(text("\xED\xB2\x80") + text("\xED\xB2\x80") + text("1") + "K\x01K\x01K\x02"),
      "\x8B\x0C" + std::string(3, '\0') + "123456789012",
      "\x82\x07)R",
      ")(K\x01K\x02" + std::string("1(N00"),
  };
  const TemporaryFolder folder;
  for (const std::string& beside : besides) {
    CAPTURE(beside.substr(0, 60));
    const std::string file = pth_of(dict(text("before") + beside + text("state_dict") +
                                         dict(text("w") + vector_tensor("0", 2)) + text("after") + beside),
                                    {floats(1, 2)});
    const TensorTable table = parse_pth(bytes_of(file));
    CHECK(values_of(table.at("state_dict.w")) == std::vector<float>{1, 2});
    const TensorTable weights = find_weights(table);
    REQUIRE(weights.tensors().size() == 1);
    CHECK(weights.tensors().front().name == "w");
    write_safetensors(folder.file("a"), table.tensors(), table.metadata());
  }
}

TEST_CASE("a parameter with attributes, a tensor of a derived class and a derived dict hold their numbers") {
  const std::string numbers = vector_tensor("0", 2);
  const std::string arguments = tuple(storage("0", 2) + integer(0) + integers({2}) + integers({1}) + "\x89}");
  const std::string rebuild = global("torch._utils", "_rebuild_tensor_v2");
  const std::string file = pth_of(
      call(global("__main__", "MyDict"), "") + "(" + text("a") +
          call(global("torch._utils", "_rebuild_parameter_with_state"), numbers + "\x88}" + dict(text("k") + "N")) +
          text("b") +
          call(global("torch._tensor", "_rebuild_from_type_v2"),
               rebuild + global("__main__", "Mine") + arguments + "}") +
          "u",
      {floats(1, 2)});
  const TensorTable table = parse_pth(bytes_of(file));
  CHECK(values_of(table.at("a")) == std::vector<float>{1, 2});
  CHECK(values_of(table.at("b")) == std::vector<float>{1, 2});
}

// The pickles of protocol 4 and 5 differ by frames, short texts, memory by position and globals from the stack.
TEST_CASE("pickles of protocols 4 and 5 are read, zip and legacy") {
  const auto short_text = [](const std::string& content) {
    return std::string("\x8C") + static_cast<char>(content.size()) + content;
  };
  const auto global_4 = [&](const std::string& module, const std::string& name) {
    return short_text(module) + "\x94" + short_text(name) + "\x94\x93\x94";
  };
  const std::string id = "(" + short_text("storage") + "\x94" + global_4("torch", "FloatStorage") + short_text("0") +
                         "\x94" + "\x8D" + little_endian(std::uint64_t{3}) + "cpu\x94K\x02t\x94Q";
  const std::string made = global_4("torch._utils", "_rebuild_tensor_v2") + "(" + id + "K" + std::string(1, '\0') +
                           "K\x02\x85\x94K\x01\x85\x94\x89}t\x94R\x94";
  // The tensor is the value remembered under 15.
  const std::string body = "}\x94(" + short_text("a") + "\x94" + made + short_text("b") + "\x94" + "h\x0F" +
                           short_text("c") + "\x94\x8E" + little_endian(std::uint64_t{2}) + "xy\x94" + short_text("d") +
                           "\x94\x96" + little_endian(std::uint64_t{2}) + "xyu.";
  const std::string framed = "\x95" + little_endian(static_cast<std::uint64_t>(body.size())) + body;
  for (const std::string protocol : {"\x80\x04", "\x80\x05"}) {
    const std::string file = zip_of({{"x/data.pkl", protocol + framed}, {"x/data/0", floats(1, 2)}});
    const TensorTable table = parse_pth(bytes_of(file));
    CHECK(values_of(table.at("a")) == std::vector<float>{1, 2});
    CHECK(values_of(table.at("b")) == std::vector<float>{1, 2});
    CHECK(table.tensors().size() == 2);

    const auto pickle = [&](const std::string& content) {
      return protocol + "\x95" + little_endian(static_cast<std::uint64_t>(content.size() + 1)) + content + ".";
    };
    const std::string mark("\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19", 12);
    const std::string legacy = pickle(mark) + pickle("M\xE9\x03") +
                               pickle("}" + short_text("little_endian") + "\x88s") + protocol + framed +
                               pickle("]" + short_text("0") + "a") + little_endian(std::uint64_t{2}) + floats(1, 2);
    const TensorTable legacy_table = parse_pth(bytes_of(legacy));
    CHECK(values_of(legacy_table.at("b")) == std::vector<float>{1, 2});
  }
}

TEST_CASE("tensors outlive the table of the file, as long as a table of some of them lives") {
  std::optional<TensorTable> weights;
  weights = find_weights(read_pth(fixture_path("classifier_checkpoint.pth")));
  CHECK(values_of(weights->at("cls_token")).size() == 48);
  const std::string transposed =
      pth_of(dict(text("a") + tensor(storage("0", 4), 0, {2, 2}, {1, 2})), {floats(1, 2, 3, 4)});
  weights = find_weights(parse_pth(bytes_of(transposed)));
  CHECK(values_of(weights->at("a")) == std::vector<float>{1, 3, 2, 4});
}

TEST_CASE("what was read from a PyTorch file can be written as safetensors, metadata included") {
  const TemporaryFolder folder;
  const TensorTable table = read_pth(fixture_path("odd_tensors.pth"));
  write_safetensors(folder.file("a.safetensors"), table.tensors(), table.metadata());
  const TensorTable again = read_safetensors(folder.file("a.safetensors"));
  CHECK(again.tensors().size() == table.tensors().size());
  CHECK(values_of(again.at("permuted")) == values_of(table.at("permuted")));
  CHECK(*again.find_metadata("text") == "caf\xC3\xA9");
}

}  // namespace
