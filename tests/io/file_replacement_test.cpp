// SPDX-License-Identifier: MIT
// A file that is replaced stays as private as it was and where its links point; what killed writers left goes.

#include "crate/io/formats/file_replacement.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/formats/text_file.hpp"
#include "io/temporary_folder.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

namespace {

void replace(const std::filesystem::path& path, const std::string& content) {
  FileReplacement file(path);
  file.write(content);
  file.commit();
}

[[nodiscard]] mode_t mode_of(const std::filesystem::path& path) {
  struct stat status = {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

// 0600 became 0644: private weights were readable by all.
TEST_CASE("A file that is replaced keeps its permissions, and a new one has those of any other new file") {
  const TemporaryFolder folder;
  write_content(folder.file("a"), "before");
  for (const mode_t mode : {0600U, 0640U, 0666U}) {
    ::chmod(folder.file("a").c_str(), mode);
    replace(folder.file("a"), "after");
    CHECK(mode_of(folder.file("a")) == mode);
  }
  replace(folder.file("b"), "new");
  write_content(folder.file("c"), "new");
  CHECK(mode_of(folder.file("b")) == mode_of(folder.file("c")));
}

TEST_CASE("The bytes of a private file are private from the first one on") {
  const TemporaryFolder folder;
  write_content(folder.file("a"), "before");
  ::chmod(folder.file("a").c_str(), 0600);
  const FileReplacement file(folder.file("a"));
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) CHECK(mode_of(entry.path()) == 0600);
  CHECK(folder.file_count() == 2);
}

// A link to a file that was not there yet was replaced by the file.
TEST_CASE("A symbolic link stays, and what it points to is written, there or not yet, over several links") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.file("elsewhere"));
  std::filesystem::create_symlink("elsewhere/target", folder.file("link"));
  std::filesystem::create_symlink("link", folder.file("link_to_link"));
  for (const std::string content : {"first", "second"}) {
    replace(folder.file("link_to_link"), content);
    CHECK(std::filesystem::is_symlink(folder.file("link")));
    CHECK(std::filesystem::is_symlink(folder.file("link_to_link")));
    CHECK(content_of(folder.file("elsewhere") / "target") == content);
  }
  std::filesystem::create_symlink("circle", folder.file("circle"));
  CHECK_THAT(message_of<FileError>([&] { check_replaceable(folder.file("circle")); }),
             EndsWith("cannot be written: too many levels of symbolic links"));
}

TEST_CASE("What a killed writer left goes when the file is written again, but nothing of a living one or of others") {
  const TemporaryFolder folder;
  const auto path = folder.file("a");
  int ready[2] = {};
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    FileReplacement file(path);
    file.write("half");
    if (::write(ready[1], "x", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  REQUIRE(child > 0);
  char mark = 0;
  REQUIRE(::read(ready[0], &mark, 1) == 1);
  const std::vector<std::string> of_others{"a.tmp", "a.crate-1.tmp", "a.crate-0123456789abcdeX.tmp", "a.12345.tmp",
                                           "b.crate-0123456789abcdef.tmp"};
  for (const std::string& name : of_others) write_content(folder.file(name), name);
  replace(path, "one");
  CHECK(folder.file_count() == 7);  // with the one of the living writer
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  CHECK(content_of(path) == "one");
  replace(path, "two");
  CHECK(folder.file_count() == 6);
  for (const std::string& name : of_others) CHECK(content_of(folder.file(name)) == name);
  close(ready[0]);
  close(ready[1]);
}

// Every write listed the folder: 8000 pictures took 42 seconds, and twice as many four times as long.
TEST_CASE("New files are written without a look at what else is in the folder") {
  const TemporaryFolder folder;
  const std::string leftover = "a.crate-0123456789abcdef.tmp";
  write_content(folder.file(leftover), "half");
  replace(folder.file("a"), "one");
  CHECK(content_of(folder.file(leftover)) == "half");
  replace(folder.file("a"), "two");
  CHECK(folder.file_count() == 1);
}

TEST_CASE("What is printed on a closed standard stream does not go into the file that is being written") {
  const TemporaryFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    for (const int stream : {0, 1, 2}) close(stream);
    FileReplacement file(folder.file("a"));
    file.write("all");
    for (const int stream : {0, 1, 2})
      if (::write(stream, "lost", 4) >= 0) _exit(1);
    file.commit();
    append_text(folder.file("a"), " of it");
    _exit(0);
  }
  REQUIRE(child > 0);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(content_of(folder.file("a")) == "all of it");
}

TEST_CASE("Writers of one file at the same time each write it whole") {
  const TemporaryFolder folder;
  const auto path = folder.file("a");
  std::vector<pid_t> children;
  for (const char letter : {'a', 'b', 'c'}) {
    children.push_back(fork());
    if (children.back() != 0) continue;
    try {
      for (int i = 0; i < 200; ++i) replace(path, std::string(5000, letter));
    } catch (...) { _exit(1); }
    _exit(0);
  }
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  const std::string content = content_of(path);
  CHECK(content == std::string(5000, content.at(0)));
  CHECK(folder.file_count() == 1);
}

TEST_CASE("What cannot be written is known before, by a sentence, and what stood there stays") {
  const TemporaryFolder folder;
  const auto message = [](const std::filesystem::path& path) {
    return message_of<FileError>([&] { check_replaceable(path); });
  };
  CHECK_THAT(message(folder.file("none") / "a"),
             EndsWith("cannot be written: there is no folder '" + folder.file("none").string() + "'"));
  CHECK_THAT(message(folder.file("none") / ""), ContainsSubstring("cannot be written: there is no folder "));
  CHECK_THAT(message(folder.path()), EndsWith("cannot be written: expected a regular file or none, found a folder"));
  CHECK_THAT(message(""), EndsWith("cannot be written: expected the name of a file"));
  REQUIRE(mkfifo(folder.file("pipe").c_str(), 0600) == 0);
  CHECK_THAT(message(folder.file("pipe")), EndsWith("found a pipe"));
  write_content(folder.file("file"), "text");
  CHECK_THAT(message(folder.file("file") / "a"), EndsWith("its folder: not a directory"));
  check_replaceable(folder.file("file"));
  check_replaceable(folder.file("new"));
  CHECK(folder.file_count() == 2);
  CHECK(content_of(folder.file("file")) == "text");
  if (geteuid() == 0) return;  // for whom nothing is forbidden
  ::chmod(folder.file("file").c_str(), 0444);
  CHECK_THAT(message(folder.file("file")), EndsWith("cannot be written: permission denied"));
  ::chmod(folder.path().c_str(), 0555);
  CHECK_THAT(message(folder.file("new")), EndsWith("cannot be written: its folder: permission denied"));
  ::chmod(folder.path().c_str(), 0755);
}

TEST_CASE("A file that grows larger than allowed, or than the disk, is an error, and leaves nothing behind") {
  const TemporaryFolder folder;
  write_content(folder.file("a"), "before");
  const auto signal_before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small = {.rlim_cur = 1000, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string found = message_of<FileError>([&] { replace(folder.file("a"), std::string(100000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, signal_before);
  CHECK_THAT(found, EndsWith("cannot be written: file too large"));
  CHECK(content_of(folder.file("a")) == "before");
  CHECK(folder.file_count() == 1);
}

}  // namespace
