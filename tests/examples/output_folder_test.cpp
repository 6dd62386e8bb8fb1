// SPDX-License-Identifier: MIT
#include "compress_tokens/output_folder.hpp"

#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/pictures/image.hpp"
#include "io/temporary_folder.hpp"

using namespace compress_tokens;
using Catch::Matchers::ContainsSubstring;
using crate::test::content_of;
using crate::test::TemporaryFolder;
using crate::test::write_content;

namespace {

void write_tensors(const std::filesystem::path& path, const crate::Metadata& metadata) {
  const std::vector<float> numbers = {1, 2};
  crate::write_safetensors(path, {crate::tensor_of("tokens", {1, 2}, std::span<const float>(numbers))}, metadata);
}

/// Why a run on this kind of input does not write into the folder.
std::string refusal(const TemporaryFolder& folder, InputKind input) {
  return crate::test::message_of<crate::FileError>([&] { OutputFolder(folder.path(), input, {}); });
}

std::string printed(const OutputFolder& folder) {
  std::ostringstream out;
  folder.print(out);
  return out.str();
}

}  // namespace

TEST_CASE("tensors of another program are not replaced, and those of the program are") {
  for (const std::string name : {"tokens.safetensors", "white_box.safetensors"})
    for (const crate::Metadata& metadata :
         {crate::Metadata{}, crate::Metadata{{"program", "another"}}, crate::Metadata{{"crate.family", "white_box"}}}) {
      const TemporaryFolder folder;
      write_tensors(folder.file(name), metadata);
      REQUIRE_THAT(refusal(folder, InputKind::csv),
                   ContainsSubstring(name) && ContainsSubstring("which the program has not written"));
      write_tensors(folder.file(name), program_mark());
      REQUIRE(refusal(folder, InputKind::csv) == "threw nothing");
    }
}

TEST_CASE("only the files that a run on this kind of input writes are checked") {
  for (const auto& [name, writing, others] :
       {std::tuple{"decoded.png", std::vector{InputKind::photograph},
                   std::vector{InputKind::toy, InputKind::csv, InputKind::npy, InputKind::safetensors}},
        std::tuple{"reconstruction.svg", std::vector{InputKind::photograph},
                   std::vector{InputKind::toy, InputKind::csv, InputKind::npy, InputKind::safetensors}},
        std::tuple{"trade_off.svg", std::vector{InputKind::photograph, InputKind::csv, InputKind::npy},
                   std::vector{InputKind::toy}}}) {
    const TemporaryFolder folder;
    write_content(folder.file(name), "no picture");
    for (const InputKind kind : writing) REQUIRE_THAT(refusal(folder, kind), ContainsSubstring("only pictures"));
    for (const InputKind kind : others) REQUIRE(refusal(folder, kind) == "threw nothing");
  }
}

TEST_CASE("files of an earlier run are said to be replaced only where one is") {
  const TemporaryFolder folder;
  write_content(folder.file("decoded.png"), "of the user");
  OutputFolder output(folder.path(), InputKind::csv, {});
  write_content(output.file("layers.svg", "a picture"), "<svg/>");
  REQUIRE_THAT(printed(output), !ContainsSubstring("in place of"));
  REQUIRE_THAT(printed(output), ContainsSubstring("left as it was: decoded.png"));
  REQUIRE(content_of(folder.file("decoded.png")) == "of the user");
  OutputFolder again(folder.path(), InputKind::csv, {});
  REQUIRE_THAT(printed(again), !ContainsSubstring("in place of"));
  static_cast<void>(again.file("layers.svg", "a picture"));
  REQUIRE_THAT(printed(again), ContainsSubstring("in place of the files of an earlier run"));
}

TEST_CASE("a file that cannot be read as a picture is refused for the reason found") {
  const TemporaryFolder folder;
  write_content(folder.file("decoded.png"), "no picture");
  const std::string reason = crate::test::message_of<crate::FileError>(
      [&] { static_cast<void>(crate::read_image(folder.file("decoded.png"))); });
  REQUIRE(refusal(folder, InputKind::photograph) ==
          reason + "; --output would replace this file, and replaces only pictures; choose another name");
}
