// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/text/token.hpp"

namespace crate::detail {

/// A key to look up bytes: for up to 8 bytes the bytes and their count, which identify them; for more, a hash.
struct BytesKey {
  std::uint64_t bits = 0;
  std::uint64_t size = 0;

  friend bool operator==(const BytesKey&, const BytesKey&) = default;

  [[nodiscard]] std::uint64_t hash() const { return mixed(bits ^ size * 0x9E3779B97F4A7C15U); }

  [[nodiscard]] static std::uint64_t mixed(std::uint64_t x) {
    x = (x ^ x >> 32U) * 0xD6E8FEB86659FD93U;
    x = (x ^ x >> 32U) * 0xD6E8FEB86659FD93U;
    return x ^ x >> 32U;
  }
};

template <class Word>
[[nodiscard]] Word word_at(const char* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

/// Up to 8 bytes as one number; different bytes of the same count give different numbers.
[[nodiscard]] inline std::uint64_t bits_of_few(const char* bytes, std::size_t count) {
  if (count >= 4)
    return word_at<std::uint32_t>(bytes) | std::uint64_t{word_at<std::uint32_t>(bytes + count - 4)} << 32U;
  if (count == 0) return 0;
  const auto byte = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(bytes[i])}; };
  return byte(0) | byte(count / 2) << 8U | byte(count - 1) << 16U;
}

[[nodiscard]] inline BytesKey key_of(std::string_view bytes) {
  BytesKey key{0, bytes.size()};
  const char* next = bytes.data();
  std::size_t left = bytes.size();
  for (; left > 8; left -= 8, next += 8) key.bits = BytesKey::mixed(key.bits + word_at<std::uint64_t>(next));
  key.bits = bytes.size() > 8 ? BytesKey::mixed(key.bits + bits_of_few(next, left)) : bits_of_few(next, left);
  return key;
}

/// Tokens by their bytes and by their ids. Looking up bytes does not allocate, and mostly needs one memory access.
class Vocabulary {
 public:
  static constexpr TokenId none = -1;

  Vocabulary() : Vocabulary(std::vector<std::string>()) {}

  /// Token i has id i. If tokens are equal, the last is found by its bytes.
  explicit Vocabulary(std::vector<std::string> tokens)
      : tokens_(std::move(tokens)), slots_(std::bit_ceil(2 * tokens_.size() + 2)) {
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      Slot& slot = slots_[place_of(key_of(tokens_[id]), tokens_[id])];
      slot = {key_of(tokens_[id]), static_cast<TokenId>(id)};
    }
  }

  [[nodiscard]] std::size_t size() const { return tokens_.size(); }
  [[nodiscard]] const std::vector<std::string>& tokens() const { return tokens_; }

  /// Throws VocabularyError if there is no such token.
  [[nodiscard]] const std::string& at(TokenId id) const {
    check_token_id(id, tokens_.size());
    return tokens_[static_cast<std::size_t>(id)];
  }

  /// Two tokens with the same bytes, if there are any.
  [[nodiscard]] std::optional<TokenPair> find_twin() const {
    for (std::size_t i = 0; i < tokens_.size(); ++i)
      if (const TokenId id = find(tokens_[i]); id != static_cast<TokenId>(i))
        return TokenPair{static_cast<TokenId>(i), id};
    return std::nullopt;
  }

  [[nodiscard]] TokenId find(std::string_view bytes) const { return find(key_of(bytes), bytes); }
  [[nodiscard]] TokenId find(const BytesKey& key, std::string_view bytes) const {
    return slots_[place_of(key, bytes)].id;
  }

 private:
  struct Slot {
    BytesKey key;
    TokenId id = none;
  };

  /// The slot that holds the bytes, or the empty one for them.
  [[nodiscard]] std::size_t place_of(const BytesKey& key, std::string_view bytes) const {
    for (std::size_t place = key.hash();; ++place) {
      place &= slots_.size() - 1;
      const Slot& slot = slots_[place];
      if (slot.id == none) return place;
      if (slot.key == key && (bytes.size() <= 8 || tokens_[static_cast<std::size_t>(slot.id)] == bytes)) return place;
    }
  }

  std::vector<std::string> tokens_;
  std::vector<Slot> slots_;  // a power of two, at least half of them empty
};

}  // namespace crate::detail
