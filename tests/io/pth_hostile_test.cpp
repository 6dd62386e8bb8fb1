// SPDX-License-Identifier: MIT
#include <chrono>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/families/find_weights.hpp"
#include "crate/io/formats/pth.hpp"
#include "io/fixture_path.hpp"
#include "io/heap.hpp"
#include "io/pth_content.hpp"
#include "io/temporary_folder.hpp"

namespace {

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

constexpr std::int64_t huge = std::int64_t{1} << 62U;

/// Why the reader refuses the file; otherwise "threw nothing".
std::string pth_refusal(const std::string& file) {
  return message_of<FileError>([&] {
    const TensorTable table = parse_pth(bytes_of(file), "x");
    for (const Tensor& tensor : table.tensors()) static_cast<void>(crate::detail::element_count(tensor));
  });
}

/// Why a file with this pickled value and one storage of two floats is refused.
std::string refusal_of(const std::string& value) { return pth_refusal(pth_of(value, {floats(1, 2)})); }

const std::string good = dict(text("a") + vector_tensor("0", 2));

TEST_CASE("what is no PyTorch file is refused") {
  CHECK_THAT(pth_refusal(""), ContainsSubstring("file 'x': expected a PyTorch file, found an empty file"));
  CHECK(pth_refusal("PK") == "file 'x': expected a PyTorch file, found a text that begins 'PK'");
  CHECK_THAT(pth_refusal("PK\x03\x04"), ContainsSubstring("expected at least 22 bytes"));
  CHECK_THAT(pth_refusal(pickled(good)), ContainsSubstring("found a Python pickle that torch.save did not write"));
  CHECK_THAT(pth_refusal(zip_of({{"x/a.txt", "1"}})),
             ContainsSubstring("with a member data.pkl, found one with 'x/a.txt'"));
  CHECK_THAT(pth_refusal(zip_of({{"array.npy", "1"}})), ContainsSubstring("found arrays of numpy (.npz)"));
  CHECK_THAT(pth_refusal(zip_of({{"config.json", "1"}, {"model.weights.h5", "1"}})), ContainsSubstring("Keras"));
  CHECK_THAT(pth_refusal(zip_of({{"readme", "1"}, {"a/model.pth", "1"}})), ContainsSubstring("*.pth in it: unpack it"));
  CHECK_THAT(message_of<FileError>([] { static_cast<void>(read_pth("/nowhere/a.pth")); }),
             ContainsSubstring("no such file"));
}

TEST_CASE("archives that mean something else are refused by name") {
  const std::string pickle = pickled("}");
  CHECK_THAT(pth_refusal(zip_of({{"x/data.pkl", pickle}, {"x/constants.pkl", ""}})), ContainsSubstring("TorchScript"));
  CHECK_THAT(pth_refusal(zip_of({{"x/data.pkl", pickle}, {"x/byteorder", "big"}})),
             ContainsSubstring("'little', found 'big'"));
  CHECK(pth_refusal(zip_of({{"x/data.pkl", pickle}, {"x/byteorder", "little"}, {"x/version", "3\n"}})) ==
        "threw nothing");
  CHECK_THAT(
      pth_refusal(zip_of({{"x/data.pkl", pickle, 8}})),
      ContainsSubstring("'x/data.pkl': expected a stored member as PyTorch writes, found it compressed (method 8)"));
  CHECK_THAT(pth_refusal(zip_of({{"x/data.pkl", pickle}, {"y/data.pkl", pickle}})),
             ContainsSubstring("expected one member data.pkl"));
  CHECK_THAT(pth_refusal(zip_of({{"x/data.pkl", pickle}, {"x/a", ""}, {"x/a", ""}})),
             ContainsSubstring("expected one member 'x/a', found two"));
  for (const std::string name : {"../x", "x/../../y", "..", "/x", "x\\y", ""}) {
    CAPTURE(name);
    CHECK_THAT(pth_refusal(zip_of({{"x/data.pkl", pickle}, {name, ""}})),
               ContainsSubstring("expected members with plain names"));
  }
  CHECK(pth_refusal(zip_of({{"a..b/data.pkl", pickle}})) == "threw nothing");
  CHECK_THAT(pth_refusal(zip_of({{"x/data.pkl", pickle, 0, 1}})),
             ContainsSubstring("'x/data.pkl': expected the checksum 1, found"));
  CHECK_THAT(pth_refusal(zip_of({{"x/data.pkl", pickle}}) + "x"),
             ContainsSubstring("expected an end record in the last 22 bytes"));
}

TEST_CASE("members lie side by side before the directory") {
  const std::string archive = zip_of({{"x/data.pkl", pickled("}")}, {"x/data/0", "1234"}});
  const std::size_t second = archive.find("PK\x03\x04", 1);
  const std::size_t directory = archive.find("PK\x01\x02");
  const std::size_t second_entry = archive.find("PK\x01\x02", directory + 1);
  const auto changed = [&](std::size_t position, const std::string& bytes) {
    std::string file = archive;
    return file.replace(position, bytes.size(), bytes);
  };
  CHECK(pth_refusal(archive) == "threw nothing");
  CHECK_THAT(pth_refusal(changed(second_entry + 42, little_endian(0U))),
             ContainsSubstring("expected its local header at byte 0"));
  CHECK_THAT(pth_refusal(changed(second_entry + 42, little_endian(0xFFFFFFFEU))),
             ContainsSubstring("expected a place before the central directory"));
  CHECK_THAT(pth_refusal(changed(second_entry + 20, little_endian(1000U) + little_endian(1000U))),
             ContainsSubstring("'x/data/0': byte 38: expected 1000 more bytes"));
  CHECK_THAT(pth_refusal(changed(second_entry + 24, little_endian(5U))),
             ContainsSubstring("'x/data/0': expected one size, found 4 and 5"));
  CHECK_THAT(pth_refusal(changed(second + 30, "y")), ContainsSubstring("expected its local header at byte"));
  CHECK_THAT(pth_refusal(changed(directory + 20, little_endian(20U) + little_endian(20U))),
             ContainsSubstring("found 'x/data/0' inside 'x/data.pkl'"));
  CHECK_THAT(pth_refusal(changed(archive.size() - 12, "\x03")), ContainsSubstring("zip archive: "));
  CHECK_THAT(pth_refusal(changed(archive.size() - 6, little_endian(0xFFFFFFFFU))),
             ContainsSubstring("expected a central directory up to byte"));
}

TEST_CASE("nothing that Python would have to execute is executed, and if the weights hang on it, it is named") {
  CHECK(refusal_of(dict(text("x") + call(global("posix", "system"), text("touch y") + vector_tensor("0", 2)))) ==
        "file 'x': 'x': expected tensors in dicts and lists, found a call of 'posix.system', which only Python could "
        "execute");
  for (const std::string function : {"torch.storage\n_load_from_bytes", "torch._utils\n_rebuild_sparse_tensor",
                                     "builtins\neval", "torch._utils\n_rebuild_qtensor"}) {
    CAPTURE(function);
    CHECK_THAT(refusal_of(dict(text("w") + "c" + function + "\n" + tuple(text("1")) + "R")),
               ContainsSubstring("'w': expected tensors in dicts and lists, found a call of"));
  }
  CHECK_THAT(refusal_of(dict(text("w") + tensor(storage("0", 1, "ComplexFloatStorage"), 0, {1}, {1}))),
             ContainsSubstring("found a tensor of type 'torch.ComplexFloatStorage'"));
  CHECK_THAT(refusal_of(global("models", "Crate") + ")\x81" + good + "b"),
             ContainsSubstring("found an object of class 'models.Crate'"));
  CHECK_THAT(refusal_of(dict(text("w") + call(text("posix.system"), text("touch y")))),
             ContainsSubstring("expected a call of a global"));
}

TEST_CASE("a whole model beside a few numbers is named, not passed over") {
  const std::string matrix = tensor(storage("0", 2), 0, {1, 2}, {2, 1});
  const std::string model = global("models", "Crate") + ")\x81" + dict(text("weight") + matrix) + "b";
  const std::string arguments = global("argparse", "Namespace") + ")\x81";
  CHECK_THAT(
      refusal_of(dict(text("args") + arguments + text("best") + vector_tensor("0", 2) + text("model") + model)),
      ContainsSubstring("'model': expected tensors in dicts and lists, found an object of class 'models.Crate'"));
  CHECK(refusal_of(dict(text("state_dict") + dict(text("w") + matrix) + text("model") + model)) == "threw nothing");
}

TEST_CASE("objects of unknown classes are inert, and never tensors") {
  const std::string object = global("argparse", "Namespace") + ")\x81" + dict(text("w") + vector_tensor("0", 2)) + "b";
  const std::string file = pth_of(dict(text("a") + vector_tensor("0", 2) + text("args") + object), {floats(1, 2)});
  const TensorTable table = parse_pth(bytes_of(file));
  CHECK(table.tensors().size() == 1);
  CHECK(table.metadata().empty());
  CHECK_THAT(refusal_of(dict(text("a") + call(global("torch._utils", "_rebuild_tensor_v2"),
                                              object + integer(0) + integers({1}) + integers({1}) + "\x89}"))),
             ContainsSubstring("near 'a': expected a storage"));
  CHECK_THAT(refusal_of(dict(text("a") + call(global("torch._utils", "_rebuild_parameter"), object + "\x89}"))),
             ContainsSubstring("expected a tensor as parameter"));
  CHECK_THAT(refusal_of(dict(text("a") + global("torch._utils", "_rebuild_tensor_v2") + ")\x81")),
             ContainsSubstring("expected a class"));
}

TEST_CASE("pickles of other protocols and operations are refused by number") {
  const auto refusal_of_pickle = [](const std::string& pickle) {
    return pth_refusal(zip_of({{"x/data.pkl", pickle}}));
  };
  CHECK(refusal_of_pickle("\x80\x03}.") == "threw nothing");
  CHECK(refusal_of_pickle("\x80\x05}.") == "threw nothing");
  CHECK_THAT(refusal_of_pickle("\x80\x01}."), ContainsSubstring("expected pickle protocol 2 to 5, found 1"));
  CHECK_THAT(refusal_of_pickle("\x80\x06}."), ContainsSubstring("found 6"));
  CHECK_THAT(refusal_of_pickle("(dp0\n."), ContainsSubstring("states no protocol"));
  CHECK_THAT(refusal_of_pickle("\x80\x05\x97}."), ContainsSubstring("found number 151"));
  CHECK_THAT(refusal_of_pickle("\x80\x04\x95" + little_endian(std::uint64_t{3}) + "}."),
             ContainsSubstring("expected a frame of 3 bytes, found 2"));
  CHECK_THAT(refusal_of_pickle("\x80\x02}"), ContainsSubstring("expected 1 more bytes, found 0"));
  CHECK_THAT(refusal_of_pickle("\x80\x02}.}"), ContainsSubstring("expected the end of the pickle"));
  CHECK_THAT(refusal_of_pickle(""), ContainsSubstring("expected 1 more bytes"));
}

TEST_CASE("every operation checks what it finds on the stack") {
  for (const std::string pickle : {"",
                                   "}}",
                                   "(",
                                   "a",
                                   "Na",
                                   "NNa",
                                   "}Na",
                                   "e",
                                   "(e",
                                   "N(e",
                                   "s",
                                   "NNs",
                                   "NNNs",
                                   "]NNs",
                                   "u",
                                   "}u",
                                   "}(Nu",
                                   "]((Ne",
                                   "(}(NNs",
                                   "t",
                                   "\x85",
                                   "\x86",
                                   "N\x87",
                                   "(N\x85\x86",
                                   "R",
                                   ")R",
                                   "N)R",
                                   "))R",
                                   "\x81",
                                   "b",
                                   "Nb",
                                   "NNb",
                                   "q\x01",
                                   "h\x07",
                                   "j\xFF\xFF\xFF\xFF",
                                   "Q",
                                   "NQ",
                                   ")Q",
                                   "cab",
                                   "ca\n",
                                   "X\xFF\xFF\xFF\xFF",
                                   "U\x05"
                                   "a",
                                   "K",
                                   "M\x01",
                                   "J\x01",
                                   "G\x01",
                                   "0",
                                   "1",
                                   "2",
                                   "N(2",
                                   "\x90",
                                   "\x91",
                                   "(N\x91(",
                                   "N(\x90",
                                   "\x92",
                                   ")}\x92",
                                   "N)}\x92",
                                   "\x93",
                                   "N\x93",
                                   "NN\x93",
                                   "\x94",
                                   "\x8C\x05",
                                   "\x8D\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
                                   "\x8E\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F",
                                   "\x96\xFF",
                                   "\x8B\xFF\xFF\xFF\xFF",
                                   "\x95\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
                                   "\x84\x01",
                                   "\x8A\x05\x01",
                                   "\x8A"}) {
    CAPTURE(pickle);
    CHECK_THAT(refusal_of(pickle), ContainsSubstring("file 'x': "));
  }
}

TEST_CASE("storages are what the pickle says, or an error") {
  const auto of_storage = [](const std::string& parts) {
    return refusal_of(dict(text("a") + tensor(tuple(parts) + "Q", 0, {1}, {1})));
  };
  const std::string type = global("torch", "FloatStorage");
  const std::string cpu = text("cpu");
  CHECK(of_storage(text("storage") + type + text("0") + cpu + integer(2)) == "threw nothing");
  CHECK(of_storage(text("storage") + type + text("0") + cpu + integer(3)) ==
        "file 'x': storage '0': expected 3 elements of 4 bytes, found 8 bytes");
  CHECK_THAT(of_storage(text("storage") + type + text("0") + cpu + integer(huge)), ContainsSubstring("found 8 bytes"));
  CHECK_THAT(of_storage(text("storage") + type + text("0") + cpu + integer(-1)),
             ContainsSubstring("('storage', type, key, location, count)"));
  CHECK_THAT(of_storage(text("storage") + type + text("1") + cpu + integer(2)),
             ContainsSubstring("expected a member 'x/data/1', found none"));
  CHECK_THAT(of_storage(text("storage") + type + text("../data/0") + cpu + integer(2)),
             ContainsSubstring("expected a member 'x/data/../data/0', found none"));
  CHECK_THAT(of_storage(text("storage") + type + integer(0) + cpu + integer(2)), ContainsSubstring("('storage', type"));
  CHECK_THAT(of_storage(text("storing") + type + text("0") + cpu + integer(2)), ContainsSubstring("('storage', type"));
  CHECK_THAT(of_storage(text("storage") + text("torch.FloatStorage") + text("0") + cpu + integer(2)),
             ContainsSubstring("('storage', type"));
  CHECK_THAT(of_storage(text("storage") + type + text("0") + cpu), ContainsSubstring("a tuple that names a storage"));
  CHECK_THAT(of_storage(text("storage") + global("torch", "QInt8Storage") + text("0") + cpu + integer(2)),
             ContainsSubstring("found a tensor of type 'torch.QInt8Storage'"));
  CHECK_THAT(of_storage(text("storage") + global("torch.storage", "UntypedStorage") + text("0") + cpu + integer(8)),
             ContainsSubstring("found one of bytes"));
  CHECK_THAT(of_storage(text("storage") + type + text(std::string(300, '0')) + cpu + integer(2)),
             ContainsSubstring("at most 256 bytes"));

  const std::string two_types =
      dict(text("a") + vector_tensor("0", 2) + text("b") + tensor(storage("0", 1, "DoubleStorage"), 0, {1}, {1}));
  CHECK_THAT(refusal_of(two_types),
             ContainsSubstring("near 'b': expected one type and size of storage '0', found two"));
}

TEST_CASE("tensors lie within their storage") {
  const auto of_tensor = [](std::int64_t offset, const std::vector<std::int64_t>& sizes,
                            const std::vector<std::int64_t>& strides) {
    return refusal_of(dict(text("a") + tensor(storage("0", 2), offset, sizes, strides)));
  };
  CHECK(of_tensor(0, {2}, {1}) == "threw nothing");
  CHECK(of_tensor(1, {1, 1}, {huge, huge}) == "threw nothing");
  CHECK(of_tensor(huge, {0, 3}, {huge, huge}) == "threw nothing");
  CHECK(of_tensor(1, {2}, {1}) ==
        "file 'x': tensor 'a': expected to lie within the 2 elements of its storage, found shape [2] with strides [1] "
        "from element 1");
  for (const auto& [sizes, strides] : std::vector<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>>{
           {{3}, {1}},
           {{2}, {2}},
           {{2}, {huge}},
           {{2, 2, 2}, {huge, huge, huge}},
           {{2, 2}, {huge, 2 * (huge - 1) + 1}},
           {{2}, {2 * (huge - 1) + 1}}}) {
    CHECK_THAT(of_tensor(0, sizes, strides), ContainsSubstring("expected to lie within"));
    CHECK_THAT(of_tensor(2 * (huge - 1) + 1, sizes, strides), ContainsSubstring("expected to lie within"));
  }
  for (const std::vector<std::int64_t>& strides : {std::vector<std::int64_t>{1, 2 * (huge - 1) + 1, 0},
                                                   std::vector<std::int64_t>{2 * (huge - 1) + 1, 1, 2 * (huge - 1) + 1},
                                                   std::vector<std::int64_t>{2 * (huge - 1) + 1, 0, 1}})
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{2, 1, 2}, std::vector<std::int64_t>{1, 2, 1}})
      CHECK_THAT(of_tensor(0, sizes, strides),
                 ContainsSubstring("threw nothing") || ContainsSubstring("expected to lie within"));
  CHECK_THAT(of_tensor(0, {huge, huge}, {0, 0}), ContainsSubstring("expected fewer than 2^60 bytes"));
  CHECK_THAT(of_tensor(-1, {1}, {1}), ContainsSubstring("an offset of at least 0"));
  CHECK_THAT(of_tensor(0, {-1}, {1}), ContainsSubstring("none negative"));
  CHECK_THAT(of_tensor(0, {2}, {-1}), ContainsSubstring("none negative"));
  CHECK_THAT(of_tensor(0, {2}, {}), ContainsSubstring("as many strides as dimensions"));
  CHECK_THAT(of_tensor(0, std::vector<std::int64_t>(17, 1), std::vector<std::int64_t>(17, 1)),
             ContainsSubstring("at most 16"));
}

TEST_CASE("names of tensors are different") {
  CHECK_THAT(refusal_of(dict(repeated(text("a") + vector_tensor("0", 2), 2))),
             ContainsSubstring("tensor 'a': expected one tensor of this name"));
  const std::string inner = dict(text("b") + vector_tensor("0", 2));
  CHECK_THAT(refusal_of(dict(text("a.b") + vector_tensor("0", 2) + text("a") + inner)),
             ContainsSubstring("tensor 'a.b': expected one"));
}

TEST_CASE("containers with tensors that hold themselves or lie deep are refused, others left out") {
  const std::string one = vector_tensor("0", 2);
  CHECK_THAT(refusal_of("]q\x01" + one + "ah\x01" + "a"),
             ContainsSubstring("expected at most 64 containers inside each other"));
  CHECK_THAT(refusal_of("}q\x01" + text("b") + one + "s" + text("a") + "h\x01s"), ContainsSubstring("'a.a.a.a"));
  CHECK_THAT(refusal_of(std::string(100, ']') + one + std::string(100, 'a')),
             ContainsSubstring("at most 64 containers"));
  for (const std::string& beside : {std::string("]q\x01h\x01"
                                                "a"),
                                    "}q\x01" + text("a") + "h\x01s", std::string(100, ']') + std::string(99, 'a'),
                                    dict(text(std::string(5000, 'k')) + "N")})
    CHECK(refusal_of(dict(text("a") + one + text("beside") + beside)) == "threw nothing");
  CHECK_THAT(refusal_of(dict(text(std::string(5000, 'k')) + one)), ContainsSubstring("keys and paths of at most 4096"));
  CHECK_THAT(refusal_of(std::string(std::size_t{17} << 20U, 'N')),
             ContainsSubstring("expected at most 16777216 values on the stack"));
  CHECK_THAT(refusal_of(std::string(100'000, '(') + std::string(100'000, 't')),
             ContainsSubstring("expected at most 1024 marks"));
  CHECK_THAT(refusal_of(")" + std::string(1'000'000, '\x85')), ContainsSubstring("memory"));
}

/// Files that would take much memory or time if they were believed.
std::vector<std::string> bombs() {
  const std::string one = vector_tensor("0", 2);
  const std::string storage_0 = storage("0", 2);
  std::vector<std::string> values = {
      "Nr\xFF\xFF\xFF\xFF",                                                        // a memo of 16 GB
      dict(text("a") + tensor(storage_0, 0, {std::int64_t{1} << 40U}, {0})),       // one element, 2^40 times
      dict(text("a") + tensor(storage_0, 0, {1 << 15U, 1 << 15U}, {0, 1})),        // beyond the storage
      dict(text("a") + tensor(storage_0, 0, {1 << 10U, 1 << 10U, 2}, {0, 0, 1})),  // 8 MB
      std::string(2'000'000, 'N'),
      "(" + std::string(60'000, 'N') + "t",
      "](" + repeated("]", 60'000) + "e",
      "](" + repeated("]", 1) + "q\x01" + repeated("h\x01", 60'000) + "e",
      dict(repeated(text(std::string(1000, 'k')) + "}", 1000)),
      "](" + one + "q\x01" + repeated("h\x01", 60'000) + "e",  // one tensor, many names
      "(" + std::string(1'000'000, '\x8F') + "\x91",
      "](" + repeated("K\x01", 1'000'000) + "e",
      "\x8C\x64" + std::string(100, 'm') + "q\x01" + repeated("h\x01h\x01\x93", 60'000),  // many names of globals
      "]" + std::string(1'000'000, '\x94') + repeated("h\x01", 1000),
  };
  std::string doubling = "]q" + std::string(1, '\0');  // 2^50 empty lists
  for (int i = 1; i <= 50; ++i)
    doubling +=
        std::string("](h") + static_cast<char>(i - 1) + "h" + static_cast<char>(i - 1) + "eq" + static_cast<char>(i);
  values.push_back(tuple(doubling));
  std::string doubling_dicts = one + "q" + std::string(1, '\0');  // 2^50 tensors
  for (int i = 1; i <= 50; ++i)
    doubling_dicts += std::string("}(") + text("a") + "h" + static_cast<char>(i - 1) + text("b") + "h" +
                      static_cast<char>(i - 1) + "uq" + static_cast<char>(i);
  values.push_back(tuple(doubling_dicts));
  std::string long_names = one;  // names of megabytes
  for (int i = 0; i < 60; ++i)
    long_names = "}" + (i == 0 ? text(std::string(4000, 'k')) + "q\x01" : "h\x01") + long_names + "s";
  values.push_back(long_names);
  std::string copies;  // transposed again and again
  for (int i = 0; i < 3000; ++i)
    copies += text(std::to_string(i)) + tensor(storage("0", 65536), 0, {256, 256}, {1, 256});
  std::string views;  // the whole storage again and again
  for (int i = 0; i < 3000; ++i) views += text(std::to_string(i)) + vector_tensor("0", 65536);

  std::vector<std::string> files;
  for (const std::string& value : values) {
    files.push_back(pth_of(value, {floats(1, 2)}));
    files.push_back(legacy_pth_of(value, {floats(1, 2)}));
  }
  files.push_back(pth_of(dict(copies), {std::string(262'144, '\0')}));
  files.push_back(pth_of(dict(views), {std::string(262'144, '\0')}));
  std::vector<ZipEntry> members(20'000, ZipEntry{"x/a", ""});
  for (std::size_t i = 0; i < members.size(); ++i) members[i].name += std::to_string(i);
  files.push_back(zip_of(members));
  return files;
}

TEST_CASE("reading takes at most four times the file's size and three mebibytes from the heap, and little time") {
  for (const std::string& file : bombs()) {
    CAPTURE(file.size(), file.substr(40, 60), pth_refusal(file).substr(0, 300));
    CHECK(heap_use([&] { static_cast<void>(pth_refusal(file)); }) <= 4 * file.size() + (std::size_t{3} << 20U));
  }
}

TEST_CASE("a storage shown many times over is refused, shown twice it is not") {
  const auto shown = [](int times) {
    std::string views;
    for (int i = 0; i < times; ++i) views += text(std::to_string(i)) + vector_tensor("0", 1 << 20U);
    return pth_refusal(pth_of(dict(views), {std::string(std::size_t{4} << 20U, '\0')}));
  };
  CHECK(shown(2) == "threw nothing");
  CHECK_THAT(shown(6), ContainsSubstring("tensor '4': expected tensors of at most four times the bytes in the file"));
}

/// A small training checkpoint with views, tied and transposed tensors, in either format.
std::vector<std::string> small_files() {
  const std::string weights =
      dict(text("module.a") + vector_tensor("0", 2) + text("module.b") + tensor(storage("1", 4), 0, {2, 2}, {1, 2}));
  const std::string state =
      dict(text("epoch") + integer(3) + text("state_dict") + weights + text("losses") + list("G12345678"));
  return {pth_of(state, {floats(1, 2), floats(1, 2, 3, 4)}), legacy_pth_of(state, {floats(1, 2), floats(1, 2, 3, 4)})};
}

TEST_CASE("every truncation of a file is refused") {
  std::vector<std::string> files = small_files();
  for (const std::string name : {"odd_tensors.pth", "odd_tensors_legacy.pth", "training_state.pth"})
    files.push_back(content_of(fixture_path(name)));
  for (const std::string& file : files)
    for (std::size_t size = 0; size < file.size(); ++size) {
      const std::string answer = pth_refusal(file.substr(0, size));
      if (!answer.starts_with("file 'x': ")) FAIL_CHECK("size " << size << ": " << answer);
    }
  for (const std::string name : {"classifier_checkpoint.pth", "classifier_legacy.pth"}) {
    const std::string file = content_of(fixture_path(name));
    for (std::size_t size = 0; size < file.size(); size += 997) {
      const std::string answer = pth_refusal(file.substr(0, size));
      if (!answer.starts_with("file 'x': ")) FAIL_CHECK(name << ", size " << size << ": " << answer);
    }
  }
}

/// Refuses or reads the file with each of its bits flipped; returns how many of these files were read.
int flip_bits(const std::string& original, std::size_t begin, std::size_t end, std::size_t step) {
  int accepted = 0;
  std::string file = original;
  for (std::size_t bit = 8 * begin; bit < 8 * end; bit += step) {
    const char mask = static_cast<char>(1U << bit % 8);
    file[bit / 8] = static_cast<char>(file[bit / 8] ^ mask);
    const std::string answer = pth_refusal(file);
    if (answer == "threw nothing")
      ++accepted;
    else if (!answer.starts_with("file 'x': "))
      FAIL_CHECK("bit " << bit << ": " << answer);
    file[bit / 8] = static_cast<char>(file[bit / 8] ^ mask);
  }
  return accepted;
}

TEST_CASE("every flipped bit of a small file, and samples of larger ones, give an error or a valid result") {
  for (const std::string& file : small_files()) CHECK(flip_bits(file, 0, file.size(), 1) > 0);
  for (const std::string name : {"odd_tensors.pth", "odd_tensors_legacy.pth", "training_state.pth"}) {
    const std::string file = content_of(fixture_path(name));
    CHECK(flip_bits(file, 0, file.size(), 11) > 0);
  }
  const std::string checkpoint = content_of(fixture_path("classifier_checkpoint.pth"));
  const std::size_t directory = checkpoint.find("PK\x01\x02");
  flip_bits(checkpoint, 0, 12'800, 101);
  flip_bits(checkpoint, directory, checkpoint.size(), 101);
}

TEST_CASE("a flipped bit in the weights of an archive is found by its checksum") {
  const std::string file = pth_of(good, {floats(1, 2)});
  const std::size_t weights = file.find(floats(1, 2));
  CHECK(flip_bits(file, weights, weights + 8, 1) == 0);
}

/// Pickles with wrong bits, but right checksums: the reader of pickles sees what the checksums would have kept from it.
TEST_CASE("flipped bits of a pickle whose checksum is right give an error or a valid result") {
  for (const std::string name : {"odd_tensors.pth", "training_state.pth"}) {
    const std::string file = content_of(fixture_path(name));
    crate::detail::MemoryBudget budget("x", file.size());
    const crate::detail::StoredZip archive(bytes_of(file), "x", budget);
    std::vector<ZipEntry> entries;
    std::size_t pickle = 0;
    for (const auto& member : archive.members()) {
      if (member.name.ends_with("data.pkl")) pickle = entries.size();
      entries.push_back(
          {std::string(member.name), {reinterpret_cast<const char*>(member.bytes.data()), member.bytes.size()}});
    }
    int accepted = 0;
    const std::string original = entries[pickle].content;
    for (std::size_t bit = 0; bit < 8 * original.size(); bit += 5) {
      entries[pickle].content = original;
      entries[pickle].content[bit / 8] = static_cast<char>(original[bit / 8] ^ (1 << bit % 8));
      const std::string answer = pth_refusal(zip_of(entries));
      accepted += answer == "threw nothing" ? 1 : 0;
      if (answer != "threw nothing" && !answer.starts_with("file 'x': ")) FAIL_CHECK("bit " << bit << ": " << answer);
    }
    CHECK(accepted > 0);
  }
}

TEST_CASE("pickles of random operations give an error or a valid result") {
  const std::vector<std::string> pieces = {"(",
                                           "N",
                                           "\x88",
                                           "\x89",
                                           "K\x02",
                                           integer(0),
                                           integer(huge),
                                           "G12345678",
                                           text("a"),
                                           text("0"),
                                           ")",
                                           "\x85",
                                           "\x86",
                                           "\x87",
                                           "t",
                                           "]",
                                           "a",
                                           "e",
                                           "}",
                                           "s",
                                           "u",
                                           "R",
                                           "\x81",
                                           "b",
                                           "Q",
                                           "q\x01",
                                           "q\x02",
                                           "h\x01",
                                           "h\x02",
                                           "\x94",
                                           "\x93",
                                           "\x91",
                                           "\x90",
                                           "\x8F",
                                           "\x92",
                                           "0",
                                           "1",
                                           "2",
                                           storage("0", 2),
                                           vector_tensor("0", 2),
                                           global("torch._utils", "_rebuild_tensor_v2"),
                                           global("torch._utils", "_rebuild_parameter"),
                                           global("collections", "OrderedDict"),
                                           global("torch", "FloatStorage"),
                                           global("a", "b"),
                                           integers({2}),
                                           integers({1})};
  std::uint64_t state = 1;
  const auto draw = [&](std::size_t count) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::size_t>(state >> 33U) % count;
  };
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string value;
    for (std::size_t length = draw(12); length > 0; --length) value += pieces[draw(pieces.size())];
    const std::string answer = refusal_of(value);
    accepted += answer == "threw nothing" ? 1 : 0;
    if (answer != "threw nothing" && !answer.starts_with("file 'x': ")) FAIL_CHECK(i << ": " << answer);
  }
  CHECK(accepted > 100);
}

}  // namespace
