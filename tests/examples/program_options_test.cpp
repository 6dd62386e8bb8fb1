// SPDX-License-Identifier: MIT
#include "program_options/program_options.hpp"

#include <cstdlib>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "training_program/ranks.hpp"

using namespace program_options;
using Catch::Matchers::ContainsSubstring;

namespace {

enum class Step { exact, softmax };

struct Options {
  std::string input, pool = "cls";
  Step step = Step::exact;
  int threads = 1;
  double rate = 0.1;
  std::optional<double> epsilon = {};
  std::vector<double> mean = {};
  std::vector<std::string> pictures = {};
  bool layers = false;
};

/// What a stream prints while this object lives.
class Printed {
 public:
  explicit Printed(std::ostream& stream) : stream_(stream), before_(stream.rdbuf(text_.rdbuf())) {}
  ~Printed() { stream_.rdbuf(before_); }
  Printed(const Printed&) = delete;
  Printed& operator=(const Printed&) = delete;
  [[nodiscard]] std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::ostream& stream_;
  std::streambuf* before_;
};

struct Parsed {
  Options options;
  std::optional<int> exit_code;
  std::string printed, complaint;
};

void add_options(CLI::App& app, Options& options) {
  begin_group(app, "Files");
  app.add_option("--input,input", options.input, "what is read")->type_name("FILE");
  app.add_option("pictures", options.pictures, "what is shown")->type_name("FILE...");
  begin_group(app, "Steps");
  add_choice(app, "--step", options.step, {{"exact", Step::exact}, {"softmax", Step::softmax}}, "exact or softmax");
  add_choice(app, "--pool", options.pool, {"cls", "mean", "both"}, "cls, mean or both");
  app.add_option("--rate", options.rate, "of learning")->check(CLI::Range(0.0, 1.0));
  app.add_option("--epsilon", options.epsilon, "precision [that of the noise]");
  app.add_option("--mean", options.mean, "of the pixels")->delimiter(',')->type_name("X,X,...");
  app.add_flag("--layers", options.layers, "also write layers");
  add_threads(app, options.threads);
}

Parsed parsed(std::vector<const char*> arguments) {
  Parsed result;
  CLI::App app("What the program does.\n");
  set_up(app, "program");
  add_options(app, result.options);
  arguments.insert(arguments.begin(), "/some/folder/program");
  const Printed out(std::cout), err(std::cerr);
  result.exit_code = parse(app, static_cast<int>(arguments.size()), arguments.data());
  result.printed = out.text();
  result.complaint = err.text();
  return result;
}

}  // namespace

TEST_CASE("help says what is taken, what it means and the default, in words") {
  const Parsed help = parsed({"--help"});
  REQUIRE(help.exit_code == 0);
  for (const char* const line :
       {"What the program does.\n", "Usage: program [OPTIONS]", "\nFiles:\n", "\nSteps:\n",
        "  --input FILE              what is read\n", "  --step NAME               exact or softmax [exact]\n",
        "  --pool NAME               cls, mean or both [cls]\n", "  --rate X                  of learning [0.1]\n",
        "  --epsilon X               precision [that of the noise]\n", "  --mean X,X,...            of the pixels\n",
        "  --layers                  also write layers\n", "  --version                 print the version and exit\n",
        "  --threads N               number of threads; the result does not depend on it [all cores: ",
        "  pictures FILE...          what is shown\n"})
    REQUIRE_THAT(help.printed, ContainsSubstring(line));
  for (const char* const notation : {"ENUM", "INT", "FLOAT", "value in", "{", "Positionals", "\n\n\n"})
    REQUIRE_THAT(help.printed, !ContainsSubstring(notation));
  std::istringstream lines(help.printed);
  for (std::string line; std::getline(lines, line);) REQUIRE(line.size() <= 100);
}

TEST_CASE("an option chooses by name, and a name that is none is told the others") {
  REQUIRE(parsed({"--step", "softmax"}).options.step == Step::softmax);
  REQUIRE(parsed({}).options.step == Step::exact);
  REQUIRE(parsed({"--pool", "mean"}).options.pool == "mean");
  const Parsed wrong = parsed({"--pool", "max"});
  REQUIRE(wrong.exit_code == usage_error);
  REQUIRE_THAT(wrong.complaint, ContainsSubstring("program: --pool: expected cls, mean or both, found 'max'"));
  REQUIRE(parsed({"--step", "1"}).exit_code == usage_error);
}

TEST_CASE("threads are all cores unless they are given") {
  REQUIRE(parsed({}).options.threads == all_cores());
  REQUIRE(parsed({"--threads", "3"}).options.threads == 3);
  REQUIRE(parsed({"--threads", "0"}).exit_code == usage_error);
}

TEST_CASE("a file may be given with or without its option") {
  REQUIRE(parsed({"a.csv"}).options.input == "a.csv");
  REQUIRE(parsed({"--input", "a.csv"}).options.input == "a.csv");
}

TEST_CASE("the version is that of the library") {
  const Parsed version = parsed({"--version"});
  REQUIRE(version.exit_code == 0);
  REQUIRE_THAT(version.printed, ContainsSubstring(crate::concatenate("program (crate) ", CRATE_VERSION_MAJOR, ".")));
}

TEST_CASE("a line that cannot be read ends the program with its own exit code") {
  const Parsed unknown = parsed({"--foo"});
  REQUIRE(unknown.exit_code == usage_error);
  REQUIRE_THAT(unknown.complaint, ContainsSubstring("program: ") && ContainsSubstring("--foo") &&
                                      ContainsSubstring("--help lists the options"));
}

TEST_CASE("a mistyped option is told the one that may be meant") {
  const auto complaint = [](const char* word) { return parsed({word, "--layers"}).complaint; };
  for (const char* const word : {"--lyaers", "--layer", "-layers", "--lay", "--Layers", "--layer=3"})
    REQUIRE_THAT(complaint(word),
                 ContainsSubstring(crate::concatenate("program: unknown option or argument: ", word)) &&
                     ContainsSubstring("; did you mean --layers?\n--help lists the options\n"));
  REQUIRE_THAT(complaint("--rat"), ContainsSubstring("; did you mean --rate?"));
  for (const char* const word : {"--bogus", "--x", "--"})
    REQUIRE_THAT(complaint(word), !ContainsSubstring("did you mean"));
}

TEST_CASE("a program reads its command line, and acts unless that ends it") {
  const auto run_with = [](const char* word) {
    CLI::App app;
    Options options;
    set_up(app, "program");
    add_options(app, options);
    const std::vector<const char*> line = {"/some/folder/program", word};
    return run(app, 2, line.data(), [&]() -> int {
      if (!options.layers) throw crate::OptionError("option --layers: expected");
      return 7;
    });
  };
  const Printed out(std::cout), err(std::cerr);
  REQUIRE(run_with("--layers") == 7);
  REQUIRE(run_with("--help") == 0);
  REQUIRE(run_with("--foo") == usage_error);
  REQUIRE(run_with("a.csv") == usage_error);
  REQUIRE_THAT(err.text(), ContainsSubstring("program: option --layers: expected\n"));
}

TEST_CASE("an option that cannot apply is refused with the reason") {
  CLI::App app;
  Options options;
  set_up(app, "program");
  add_options(app, options);
  const std::vector<const char*> line = {"program", "--layers"};
  REQUIRE(!parse(app, 2, line.data()));
  const auto reason = [](std::string_view option) {
    return option == "--layers" || option == "--rate" ? std::string_view("there are none") : "";
  };
  try {
    check_effects(app, reason);
    FAIL("was not refused");
  } catch (const crate::OptionError& error) {
    REQUIRE(std::string(error.what()) == "option --layers would have no effect: there are none");
  }
  REQUIRE_NOTHROW(check_effects(app, [](std::string_view) { return std::string_view(); }));
}

TEST_CASE("an error ends the program with 1, or 2 for options, and its name") {
  const Printed err(std::cerr);
  REQUIRE(run("program", []() -> int { throw crate::FileError("file 'x': is missing"); }) == 1);
  REQUIRE(run("program", []() -> int { throw std::bad_alloc(); }) == 1);
  REQUIRE(run("program", []() -> int { throw crate::OptionError("option --x: no"); }) == 2);
  REQUIRE(err.text() ==
          "program: file 'x': is missing\nprogram: there is not enough memory\nprogram: option --x: no\n");
  REQUIRE(run("program", [] { return 7; }) == 7);
}

TEST_CASE("without MPI, one training process of several is refused before it does anything") {
  const Printed err(std::cerr);
  training_program::Options options;
  int calls = 0;
  const auto train = [&] { return ++calls; };
  REQUIRE(training_program::on_all_ranks("train", options, train) == 1);
  REQUIRE(calls == 1);
  ::setenv("OMPI_COMM_WORLD_RANK", "1", 1);
  ::setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  const int status = training_program::on_all_ranks("train", options, train);
  ::unsetenv("OMPI_COMM_WORLD_RANK");
  ::unsetenv("OMPI_COMM_WORLD_SIZE");
  REQUIRE(status == 1);
  REQUIRE(calls == 1);
  REQUIRE_THAT(err.text(),
               ContainsSubstring("train: this is one of 2 processes, but the program was built without MPI"));
}
