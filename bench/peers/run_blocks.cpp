// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <utility>

#include "crate/crate.hpp"
#include "crate/io/safetensors.hpp"

// The half of a comparison that is ours: a stack of CrateBlocks whose weights, input [sets, tokens, d] and expected output come
// from a safetensors file that the peer wrote. Prints the largest difference of the outputs and the time of every pass.

namespace {

using Blocks = crate::Encoder<crate::CrateBlock<float>>;

Blocks load_blocks(const crate::TensorTable& file, crate::Index dim, crate::Index heads) {
  const std::string* depth = file.find_metadata("depth");
  if (depth == nullptr) throw crate::FileError("expected the depth of the stack in the metadata, found none");
  Blocks blocks(std::stol(*depth), {.dim = dim, .heads = heads});
  crate::for_each_parameter(
      [&](std::string_view name, crate::ParameterKind, auto& parameter) {
        crate::copy_values(file.at(name), std::span(parameter.data(), static_cast<std::size_t>(parameter.size())));
      },
      blocks);
  return blocks;
}

void compare_and_time(const std::string& path, crate::Index heads, int thread_count, int passes) {
  const crate::TensorTable file = crate::read_safetensors(path);
  const crate::Tensor& input = file.at("input");
  const crate::Index sets = input.shape.at(0), length = input.shape.at(1);
  const Blocks blocks = load_blocks(file, input.shape.at(2), heads);
  const crate::TokenSets<float> tokens(crate::tokens_from<float>(input), crate::TokenLayout::equal(sets, length));
  const crate::Matrix<float> expected = crate::tokens_from<float>(file.at("output"));

  crate::Threads threads(thread_count);
  crate::Workspace workspace;
  const auto run = [&] {
    return crate::forward(blocks, tokens, {.threads = &threads, .workspace = &workspace}).tokens;
  };
  const crate::Matrix<float> found = run();
  std::cout << "difference " << (found - expected).cwiseAbs().maxCoeff() << '\n';
  for (int pass = 0; pass < passes; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    const crate::Matrix<float> result = run();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    std::cout << "milliseconds " << time.count() << '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: crate_run_blocks FILE.safetensors HEADS THREADS PASSES\n";
    return 2;
  }
  try {
    compare_and_time(argv[1], std::stol(argv[2]), std::stoi(argv[3]), std::stoi(argv[4]));
  } catch (const std::exception& error) {
    std::cerr << "crate_run_blocks: " << error.what() << '\n';
    return 1;
  }
}
