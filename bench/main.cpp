// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/version.hpp"
#include "measurement.hpp"
#include "results.hpp"
#include "results_picture.hpp"
#include "results_table.hpp"
#include "selection.hpp"

namespace crate::bench {
namespace {

/// Our own options; Google Benchmark reads the rest.
struct Options {
  bool all = false, version = false;
  std::string picture = "crate_bench.svg";
};

/// Takes them out of the arguments.
[[nodiscard]] Options take_options(std::vector<char*>& arguments) {
  constexpr std::string_view picture = "--picture=";
  Options options;
  std::erase_if(arguments, [&](std::string_view argument) {
    if (argument == "--all") return options.all = true;
    if (argument == "--version") return options.version = true;
    if (!argument.starts_with(picture)) return false;
    options.picture = argument.substr(picture.size());
    return true;
  });
  return options;
}

/// After benchmark::Initialize.
void select_benchmarks(const Options& options) {
  const std::string filter = benchmark::GetBenchmarkFilter();
  check_option(!options.all || filter.empty(), "no --benchmark_filter beside --all", filter);
  if (filter.empty()) benchmark::SetBenchmarkFilter(options.all ? "." : chosen_filter());
}

void print_summary(const std::vector<Result>& results, const Options& options) {
  if (results.empty()) return;
  print_table(std::cout, results);
  std::cout
      << "\nof peak: of the multiply-adds that the processor reaches on tiles in its first cache, measured here.\n"
         "GFLOP/s count the published arithmetic. Where less is done (ISTA, products that are symmetric), the share\n"
         "may pass 100 %. The time of forward and backward is that of both together.\n";
  if (const plots::Figure figure = picture_of(results); !figure.plots.empty()) {
    plots::write_svg(options.picture, figure);
    std::cout << "written to " << options.picture << ": tokens per second against tokens in a set\n";
  }
}

[[nodiscard]] int run(std::vector<char*> arguments) {
  const Options options = take_options(arguments);
  if (options.version) {
    std::cout << concatenate("crate_bench ", CRATE_VERSION_MAJOR, ".", CRATE_VERSION_MINOR, ".", CRATE_VERSION_PATCH,
                             '\n');
    return 0;
  }
  int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  benchmark::Initialize(&count, arguments.data(), print_help);
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
  select_benchmarks(options);
  add_machine_context();

  benchmark::BenchmarkReporter& shown = *benchmark::CreateDefaultDisplayReporter();
  KeepingReporter reporter(shown);
  const bool any = benchmark::RunSpecifiedBenchmarks(&reporter) > 0;
  if (dynamic_cast<benchmark::ConsoleReporter*>(&shown) != nullptr) print_summary(reporter.results(), options);
  benchmark::Shutdown();
  return any ? 0 : 1;
}

}  // namespace
}  // namespace crate::bench

int main(int argc, char** argv) {
  try {
    return crate::bench::run({argv, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "crate_bench: " << error.what() << '\n';
    return 1;
  }
}
