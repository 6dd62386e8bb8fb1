// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crate/text/token.hpp"

namespace crate {

/// Each byte is a token, with ids 0 to 255; any text can be encoded and is decoded exactly.
struct ByteTokeniser {
  [[nodiscard]] static std::vector<TokenId> encode(std::string_view text) {
    std::vector<TokenId> ids(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) ids[i] = static_cast<unsigned char>(text[i]);
    return ids;
  }

  /// Throws VocabularyError on an id beyond 255, as other tokenisers do on ids beyond their vocabulary.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids) const { return detail::decode_each(*this, ids); }

  static void append_text(TokenId id, std::string& text) {
    detail::check_token_id(id, 256);
    text += static_cast<char>(static_cast<unsigned char>(id));
  }

  [[nodiscard]] static Index vocabulary_size() { return 256; }
  [[nodiscard]] static SpecialTokens special_tokens() { return {}; }
};

static_assert(TextTokeniser<ByteTokeniser>);

}  // namespace crate
