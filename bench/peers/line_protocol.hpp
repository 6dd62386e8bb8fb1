// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "crate/core/errors.hpp"

// What every engine of a comparison speaks: it says "ready",
// then answers each line on its input with one on its output.

namespace crate::bench {

/// All of a file of numbers in the processor's own format.
template <class Number>
[[nodiscard]] std::vector<Number> read_numbers(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw FileError(concatenate(path.string(), ": expected a file of numbers, cannot open it"));
  std::vector<Number> numbers(static_cast<std::size_t>(file.tellg()) / sizeof(Number));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(numbers.data()), static_cast<std::streamsize>(numbers.size() * sizeof(Number)));
  return numbers;
}

inline void write_numbers(const std::filesystem::path& path, const Matrix<float>& numbers) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(numbers.data()),
             numbers.size() * static_cast<std::streamsize>(sizeof(float)));
  if (!file.flush()) throw FileError(concatenate(path.string(), ": cannot write it"));
}

/// Milliseconds that one call takes.
template <class Body>
[[nodiscard]] double milliseconds(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// Prints answer() for every line that comes in, until no more come.
template <class Answer>
void answer_lines(const Answer& answer) {
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) std::cout << answer() << std::endl;
}

/// The exit status of a program whose body throws on errors.
template <class Body>
[[nodiscard]] int status_of(const char* program, const Body& body) {
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << program << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace crate::bench
