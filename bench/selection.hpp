// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>

// Which benchmarks run: a chosen few, those of --benchmark_filter, or all.

namespace crate::bench {

/// What runs without arguments, as regular expressions of names; within three minutes on two cores.
inline constexpr const char* chosen[] = {
    // A block, by width, batch and threads.
    "^CrateBlock/.*/dim:(384|768)/tokens:197/",
    // Each operator as a layer: by width, by batch, by threads.
    "^(Mssa<tied>|Compression<.*>|Ista|OvercompleteIsta|LayerNorm)/.*/dim:(384|768)/tokens:197/batch:8/threads:2",
    "^(Mssa<tied>|Compression<.*>|Ista|OvercompleteIsta|LayerNorm)/.*/dim:384/tokens:197/batch:1/threads:2",
    "^(Mssa<tied>|Compression<.*>|Ista|OvercompleteIsta|LayerNorm)/.*/dim:384/tokens:197/batch:8/threads:1",
    // What is quadratic in the number of tokens, and what is linear.
    "^(CrateBlock|Mssa<tied>)/.*/dim:384/tokens:(256|512|1024|2048|4096)/batch:1/threads:2",
    "^Compression<(exact|rate_reduction|soft_partition)>/.*/dim:384/tokens:(256|512|1024|2048|4096)/batch:1/threads:2",
    // Rates and their gradients.
    "^(coding_rate|subspace_coding_rate|rate_reduction)(_gradient)?<float>/.*/tokens:1024",
};

[[nodiscard]] inline std::string chosen_filter() {
  std::string filter;
  for (const char* const pattern : chosen) {
    if (!filter.empty()) filter += '|';
    filter += pattern;
  }
  return filter;
}

inline void print_help() {
  std::puts(R"(crate_bench: how fast this library is on this machine

Without arguments it runs a chosen few benchmarks within three minutes: a CrateBlock and each operator, forward and
backward, by width, tokens, batch and threads. It ends with a table (tokens/s, GFLOP/s, share of the processor's
multiply-add peak) and a picture of throughput against tokens. Every result is compared with a plain formula first.

  --all                      run everything: half an hour or longer
  --benchmark_filter=REGEX   run the benchmarks whose names match
  --benchmark_list_tests     print the names of those that would run, and run none
  --picture=FILE             where the picture goes (crate_bench.svg)
  --version                  print the version of the library

Names are parts with slashes between them: what, the pass, the sizes. Filters that are worth knowing:

  CrateBlock                         a block of the encoder, forward and forward with backward
  TransformerBlock, Block            the ordinary transformer's; every block
  Mssa, Ista, Compression, LayerNorm operators as layers, on batches and threads (--benchmark_list_tests lists more)
  'Compression<soft_partition>'      one of the steps: exact, first_order, softmax, rate_reduction, soft_partition
  '/forward/', forward_backward      one pass of all layers and blocks
  'dim:768/', 'tokens:197/', 'batch:8/', 'threads:2'     one size; join by .* as in 'CrateBlock.*dim:768/.*threads:2'
  ^coding_rate, ^compress, ^mssa_tied, ^ista, adjoint    operators as functions of one thread, and their adjoints
  ^product                           products of matrices at the shapes of training
  '^crate/', '^vit/', ^crate_mae     published models as published, images to outputs
  ^folded, time_of_stages            models folded for inference, and where the time of a pass goes
  ^layer_meter                       what measuring every layer costs beside a plain pass
  _step                              training steps
  ^arithmetic                        the multiply-add peak itself

On a busy machine, --benchmark_repetitions=5 runs each of them five times; the table shows the fastest. Options of
Google Benchmark, which measures:
)");
  benchmark::PrintDefaultHelp();
}

}  // namespace crate::bench
