// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "crate/text/detail/utf8_character.hpp"
#include "crate/text/token.hpp"

namespace crate {

namespace detail {

/// Appends complete characters of the bytes to the text, and U+FFFD for invalid ones. An incomplete character at the
/// end is left, unless `all`. Returns the number of bytes consumed.
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

/// The text with U+FFFD for bytes that are not valid UTF-8, one for each sequence that could have begun a character:
/// the result of Python's bytes.decode('utf-8', 'replace'), which the published decoders use.
[[nodiscard]] inline std::string valid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  detail::append_whole_characters(bytes, true, text);
  return text;
}

/// Decodes token by token, for text that is shown while it is generated: output never ends within a character, and all
/// output together is valid_utf8(tokeniser.decode(ids)). If it continues an existing text, a space is inserted where
/// the tokeniser would put one. The tokeniser must outlive this.
template <TextTokeniser T>
class StreamingDecoder {
 public:
  explicit StreamingDecoder(const T& tokeniser, std::string_view before = "")
      : tokeniser_(&tokeniser), bytes_(before.substr(before.empty() ? 0 : before.size() - 1)), shown_(bytes_.size()) {}
  explicit StreamingDecoder(T&&, std::string_view = "") = delete;

  /// The text that this token completes, possibly none. Throws VocabularyError as the tokeniser.
  [[nodiscard]] std::string next(TokenId id) {
    tokeniser_->append_text(id, bytes_);
    return take(false);
  }

  /// U+FFFD if the last character is incomplete, otherwise nothing. Resets the decoder.
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
    if (shown_ > 1) {  // keep one byte, so that the tokeniser knows that text precedes
      bytes_.erase(0, shown_ - 1);
      shown_ = 1;
    }
    return text;
  }

  const T* tokeniser_;
  std::string bytes_;      // the last byte shown, and those not shown yet
  std::size_t shown_ = 0;  // number of bytes_ shown
};

}  // namespace crate
