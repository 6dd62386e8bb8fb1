// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "crate/text/detail/utf8_character.hpp"
#include "crate/text/token.hpp"

namespace crate {

namespace detail {

/// Moves what is whole from the bytes to the text: characters, and U+FFFD for bytes that are none. What could become a
/// character with more bytes stays, unless this is `all`. Returns how many bytes were taken.
inline std::size_t append_whole_characters(std::string_view bytes, bool all, std::string& text) {
  std::size_t taken = 0;
  while (taken < bytes.size()) {
    const Utf8Character next = first_character(bytes.substr(taken));
    if (next.cut_off && !all) break;
    if (next.valid)
      text += bytes.substr(taken, next.size);
    else
      append_utf8(replacement_character, text);
    taken += next.size;
  }
  return taken;
}

}  // namespace detail

/// The text with U+FFFD for bytes that are no UTF-8, one for as many as could have begun a character: what Python's
/// bytes.decode('utf-8', 'replace') gives, and so the published decoders.
[[nodiscard]] inline std::string valid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  detail::append_whole_characters(bytes, true, text);
  return text;
}

/// Decodes one token at a time for a reader who watches: what is handed out never ends within a character, and all of
/// it together is valid_utf8(tokeniser.decode(ids)). Behind a text that was there before, words are parted from it as
/// the tokeniser parts words. The tokeniser must outlive it.
template <TextTokeniser T>
class StreamingDecoder {
 public:
  explicit StreamingDecoder(const T& tokeniser, std::string_view before = "")
      : tokeniser_(&tokeniser), bytes_(before.substr(before.empty() ? 0 : before.size() - 1)), shown_(bytes_.size()) {}
  explicit StreamingDecoder(T&&, std::string_view = "") = delete;

  /// The text that is whole with this token, perhaps none. Throws VocabularyError as the tokeniser.
  [[nodiscard]] std::string next(TokenId id) {
    tokeniser_->append_text(id, bytes_);
    return take(false);
  }

  /// What is left of a character that never became whole: U+FFFD, or nothing. The decoder then begins anew.
  [[nodiscard]] std::string finish() {
    std::string rest = take(true);
    bytes_.clear();
    shown_ = 0;
    return rest;
  }

 private:
  std::string take(bool all) {
    std::string text;
    shown_ += detail::append_whole_characters(std::string_view(bytes_).substr(shown_), all, text);
    if (shown_ > 1) {  // a byte stays, so that the tokeniser sees that text precedes
      bytes_.erase(0, shown_ - 1);
      shown_ = 1;
    }
    return text;
  }

  const T* tokeniser_;
  std::string bytes_;      // the last one shown, and those that are not
  std::size_t shown_ = 0;  // of them
};

}  // namespace crate
