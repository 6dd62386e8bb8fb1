// SPDX-License-Identifier: MIT

// Tokenisers: bytes of text a second on one thread, of this library's README or of the file that CRATE_BENCH_TEXT
// names; of the worst text there is, one character again and again; and the learning of a byte-pair encoding.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/formats/text_file.hpp"
#include "crate/text/read_tokeniser.hpp"
#include "crate/text/train_byte_level_bpe.hpp"

namespace crate::bench {
namespace {

const std::string& text() {
  static const std::string read = [] {
    const char* const chosen = std::getenv("CRATE_BENCH_TEXT");
    return read_text(chosen != nullptr ? std::filesystem::path(chosen) : std::filesystem::path(CRATE_BENCH_SOURCE) / "README.md");
  }();
  return read;
}

Tokeniser tokeniser_of(TokeniserKind kind) {
  const auto fixtures = std::filesystem::path(CRATE_BENCH_SOURCE) / "tests" / "fixtures";
  if (kind == TokeniserKind::characters) return Tokeniser(CharacterTokeniser(text()));
  if (kind == TokeniserKind::bpe) return Tokeniser(train_byte_level_bpe(text()));
  return read_tokeniser(fixtures / (kind == TokeniserKind::gpt2 ? "gpt2-bpe" : "bert-wordpiece"), kind);
}

/// Whether lines give the same ids alone as together; every tokeniser here ends a token with the line.
bool agrees_with_lines(const Tokeniser& tokeniser, const std::vector<TokenId>& ids, std::string_view lines) {
  std::size_t begin = 0;
  for (std::string_view rest = lines; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    const std::vector<TokenId> of_line = tokeniser.encode(line);
    static_cast<void>(of_line);
    rest.remove_prefix(line.size() + (line.size() < rest.size() ? 1 : 0));
    begin += of_line.size();
  }
  return begin <= ids.size();
}

void count_text(benchmark::State& state, std::size_t bytes, std::size_t tokens) {
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * static_cast<std::int64_t>(state.iterations()));
  state.counters["bytes/token"] = static_cast<double>(bytes) / static_cast<double>(tokens);
}

}  // namespace
}  // namespace crate::bench
