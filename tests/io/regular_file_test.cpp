// SPDX-License-Identifier: MIT
// What is no regular file is refused at once, by its kind; a file that is replaced while it is opened is read as one of
// the two.

#include "crate/io/formats/regular_file.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/formats/csv.hpp"
#include "crate/io/formats/detail/maybe_gzip.hpp"
#include "crate/io/formats/text_file.hpp"
#include "crate/io/pictures/image.hpp"
#include "crate/io/read_weights.hpp"
#include "io/temporary_folder.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

namespace {

void make_socket(const std::filesystem::path& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  REQUIRE(path.string().size() < sizeof address.sun_path);
  std::strcpy(static_cast<char*>(address.sun_path), path.c_str());
  const int file = socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(bind(file, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  close(file);
}

TEST_CASE("Readers never wait for a pipe or read a device: they name what they found") {
  const TemporaryFolder folder;
  REQUIRE(mkfifo(folder.file("pipe").c_str(), 0600) == 0);
  make_socket(folder.file("socket"));
  const std::vector<std::pair<std::filesystem::path, std::string>> wrong{{folder.file("pipe"), "a pipe"},
                                                                         {folder.file("socket"), "a socket"},
                                                                         {folder.path(), "a folder"},
                                                                         {"/dev/zero", "a device"}};
  for (const auto& [path, kind] : wrong) {
    const auto expect = [&file = path, end = "expected a regular file, found " + kind](const auto& read) {
      CHECK_THAT(message_of<FileError>([&] { static_cast<void>(read(file)); }), EndsWith(end));
    };
    expect([](const auto& p) { return FileBytes(p, FileAccess::map).bytes().size(); });
    expect([](const auto& p) { return FileBytes(p, FileAccess::copy).bytes().size(); });
    expect([](const auto& p) { return read_lines(p); });
    expect([](const auto& p) { return read_weights(p); });
    expect([](const auto& p) { return read_csv(p); });
    expect([](const auto& p) { return read_image(p); });
    expect([](const auto& p) { return detail::MaybeGzip(p).source(); });
  }
}

TEST_CASE("A file that was opened as a copy can be read to its end although it was truncated meanwhile") {
  const TemporaryFolder folder;
  const std::string content(100000, 'x');
  write_content(folder.file("text"), content);
  detail::MaybeGzip file(folder.file("text"), FileAccess::copy);
  std::filesystem::resize_file(folder.file("text"), 0);
  std::string found(content.size(), ' ');
  file.read_exactly(std::as_writable_bytes(std::span(found)), "text");
  REQUIRE(found == content);
}

TEST_CASE("A file that cannot be opened is refused for the reason that the system gives") {
  const TemporaryFolder folder;
  const auto message = [](const std::filesystem::path& path) {
    return message_of<FileError>([&] { static_cast<void>(read_text(path)); });
  };
  std::filesystem::create_symlink(folder.file("a"), folder.file("b"));
  std::filesystem::create_symlink(folder.file("b"), folder.file("a"));
  CHECK_THAT(message(folder.file("a")), EndsWith("cannot be opened: too many levels of symbolic links"));
  CHECK_THAT(message(folder.file("none")), EndsWith("cannot be opened: no such file"));
  write_content(folder.file("private"), "text");
  CHECK_THAT(message(folder.file("private") / "inside"), EndsWith("cannot be opened: not a directory"));
  if (geteuid() == 0) return;  // for whom nothing is forbidden
  std::filesystem::permissions(folder.file("private"), std::filesystem::perms::none);
  CHECK_THAT(message(folder.file("private")), EndsWith("cannot be opened: permission denied"));
}

TEST_CASE("Lines come without their ends, the byte order mark, and empty lines at the end") {
  const TemporaryFolder folder;
  const auto lines = [&](const std::string& text) {
    write_content(folder.file("names"), text);
    return read_lines(folder.file("names"));
  };
  using Lines = std::vector<std::string>;
  CHECK(lines("\xEF\xBB\xBF"
              "a\r\n\r\nb c\r\n\r\n\n") == Lines{"a", "", "b c"});
  CHECK(lines("a\nb") == Lines{"a", "b"});
  CHECK(lines("").empty());
  CHECK(lines("\n\n").empty());
}

// The size was asked of the path, the file opened later: a file that grew or shrank by a rename between was mapped with
// the size of the other one, and read beyond its end.
TEST_CASE("A file that is replaced whole while it is opened is read as one of the two") {
  const TemporaryFolder folder;
  const auto path = folder.file("a");
  const std::string small(100, 's'), large(1 << 20, 'l');
  write_content(path, small);
  const pid_t child = fork();
  if (child == 0)
    for (bool grow = true;; grow = !grow) {
      write_content(folder.file("b"), grow ? large : small);
      std::filesystem::rename(folder.file("b"), path);
    }
  REQUIRE(child > 0);
  int others = 0;
  for (int round = 0; round < 2000; ++round) {
    const FileBytes file(path, round % 2 == 0 ? FileAccess::map : FileAccess::copy);
    const auto bytes = file.bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    others += text != small && text != large;
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  CHECK(others == 0);
}

}  // namespace
