// SPDX-License-Identifier: MIT

// Tokenisers on one thread, in bytes of text a second: of this library's README or of the file that CRATE_BENCH_TEXT
// names, and of the worst text there is, one character again and again; and learning a byte-pair encoding.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
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

const std::filesystem::path sources = CRATE_BENCH_SOURCES;

const std::string& text() {
  static const std::string read = [] {
    const char* const chosen = std::getenv("CRATE_BENCH_TEXT");
    return read_text(chosen != nullptr ? std::filesystem::path(chosen) : sources / "README.md");
  }();
  return read;
}

Tokeniser tokeniser_of(TokeniserKind kind) {
  if (kind == TokeniserKind::characters) return Tokeniser(CharacterTokeniser(text()));
  if (kind == TokeniserKind::bpe) return Tokeniser(train_byte_level_bpe(text()));
  const auto fixtures = sources / "tests" / "fixtures";
  return read_tokeniser(fixtures / (kind == TokeniserKind::gpt2 ? "gpt2-bpe" : "bert-wordpiece"), kind);
}

/// What the lines of a text have for ids, one after another.
std::vector<TokenId> encode_lines(const Tokeniser& tokeniser, std::string_view lines) {
  std::vector<TokenId> ids;
  while (!lines.empty()) {
    const std::vector<TokenId> of_line = tokeniser.encode(lines.substr(0, lines.find('\n')));
    ids.insert(ids.end(), of_line.begin(), of_line.end());
    lines.remove_prefix(std::min(lines.find('\n'), lines.size() - 1) + 1);
  }
  return ids;
}

/// Whether the ids are those of the text: it comes back, or where it cannot, lines alone have the same.
bool are_right(const Tokeniser& tokeniser, const std::vector<TokenId>& ids) {
  const bool loses = std::holds_alternative<WordPiece>(tokeniser.any());
  return loses ? ids == encode_lines(tokeniser, text()) : tokeniser.decode(ids) == text();
}

void count_bytes(benchmark::State& state, std::size_t bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * static_cast<std::int64_t>(state.iterations()));
}

void encode(benchmark::State& state, TokeniserKind kind) {
  const Tokeniser tokeniser = tokeniser_of(kind);
  const std::vector<TokenId> ids = tokeniser.encode(text());
  if (!are_right(tokeniser, ids)) return state.SkipWithError("the ids are not those of the text");
  for (auto _ : state) benchmark::DoNotOptimize(tokeniser.encode(text()).data());
  count_bytes(state, text().size());
  state.counters["bytes/token"] = static_cast<double>(text().size()) / static_cast<double>(ids.size());
}

void decode(benchmark::State& state, TokeniserKind kind) {
  const Tokeniser tokeniser = tokeniser_of(kind);
  const std::vector<TokenId> ids = tokeniser.encode(text());
  for (auto _ : state) benchmark::DoNotOptimize(tokeniser.decode(ids).data());
  count_bytes(state, text().size());
}

/// Argument: how often the character stands.
void encode_one_word(benchmark::State& state, TokeniserKind kind) {
  const Tokeniser tokeniser = tokeniser_of(kind);
  const std::string word(static_cast<std::size_t>(state.range(0)), 'a');
  for (auto _ : state) benchmark::DoNotOptimize(tokeniser.encode(word).data());
  count_bytes(state, word.size());
}

/// Argument: tokens to learn.
void train(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(train_byte_level_bpe(text(), {.vocabulary_size = state.range(0)}).vocabulary_size());
  count_bytes(state, text().size());
}

BENCHMARK_CAPTURE(encode, gpt2, TokeniserKind::gpt2)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, bert, TokeniserKind::bert)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, bert_cased, TokeniserKind::bert_cased)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, bpe, TokeniserKind::bpe)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, characters, TokeniserKind::characters)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode, gpt2, TokeniserKind::gpt2)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode_one_word, gpt2, TokeniserKind::gpt2)->Arg(10000)->Arg(1000000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode_one_word, bert, TokeniserKind::bert)->Arg(10000)->Arg(1000000)->Unit(benchmark::kMillisecond);
BENCHMARK(train)->Arg(1024)->Arg(16384)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace crate::bench
