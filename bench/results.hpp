// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

// What was measured, for the table and the picture at the end.

namespace crate::bench {

/// One benchmark, the fastest of its repetitions.
struct Result {
  std::string name;                        ///< with all arguments
  std::string subject;                     ///< "CrateBlock": what stands before the first slash of the name
  std::string pass;                        ///< "forward": what stands behind it; may be empty
  std::map<std::string, long> arguments;   ///< "dim", "tokens", "batch", "threads", as far as the benchmark has them
  std::map<std::string, double> counters;  ///< "tokens/s", "GFLOP/s", "%peak", as far as they were measured
  double milliseconds = 0;
  std::string error = {};  ///< why it was not measured; empty if it was

  [[nodiscard]] std::optional<long> argument(const std::string& key) const {
    const auto found = arguments.find(key);
    return found == arguments.end() ? std::nullopt : std::optional(found->second);
  }
  [[nodiscard]] std::optional<double> counter(const std::string& key) const {
    const auto found = counters.find(key);
    return found == counters.end() ? std::nullopt : std::optional(found->second);
  }
};

/// "dim:384/tokens:197" as numbers by name.
[[nodiscard]] inline std::map<std::string, long> arguments_in(const std::string& text) {
  std::map<std::string, long> arguments;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, '/');)
    if (const auto colon = part.find(':'); colon != std::string::npos)
      arguments[part.substr(0, colon)] = std::stol(part.substr(colon + 1));
  return arguments;
}

/// Why a run was not measured. Google Benchmark 1.8 changed how it says so.
template <class Run>
[[nodiscard]] std::string error_of(const Run& run) {
  if constexpr (requires { run.error_occurred; })
    return run.error_occurred ? run.error_message : std::string();
  else
    return run.skipped ? run.skip_message : std::string();
}

[[nodiscard]] inline Result result_of(const benchmark::BenchmarkReporter::Run& run) {
  const std::string& what = run.run_name.function_name;
  const auto slash = std::min(what.find('/'), what.size());
  Result result{.name = run.benchmark_name(),
                .subject = what.substr(0, slash),
                .pass = what.substr(std::min(slash + 1, what.size())),
                .arguments = arguments_in(run.run_name.args),
                .counters = {},
                .error = error_of(run)};
  for (const auto& [name, counter] : run.counters) result.counters[name] = counter.value;
  if (result.error.empty())
    result.milliseconds = 1e3 * run.GetAdjustedRealTime() / benchmark::GetTimeUnitMultiplier(run.time_unit);
  return result;
}

/// Hands everything on to the reporter that shows it, and keeps the results.
class KeepingReporter : public benchmark::BenchmarkReporter {
 public:
  explicit KeepingReporter(benchmark::BenchmarkReporter& shown) : shown_(shown) {}

  bool ReportContext(const Context& context) override { return shown_.ReportContext(context); }
  void ReportRuns(const std::vector<Run>& runs) override {
    shown_.ReportRuns(runs);
    for (const Run& run : runs)
      if (run.run_type == Run::RT_Iteration) keep(result_of(run));
  }
  void Finalize() override { shown_.Finalize(); }

  [[nodiscard]] const std::vector<Result>& results() const { return results_; }

 private:
  void keep(const Result& result) {
    const auto same =
        std::find_if(results_.begin(), results_.end(), [&](const Result& r) { return r.name == result.name; });
    if (same == results_.end())
      results_.push_back(result);
    else if (result.error.empty() && result.milliseconds < same->milliseconds)
      *same = result;
  }

  benchmark::BenchmarkReporter& shown_;
  std::vector<Result> results_;
};

}  // namespace crate::bench
