// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/labelled_tokens.hpp"
#include "crate/text/token.hpp"
#include "crate/training/text_windows.hpp"

namespace crate {

/// Masking of tokens for a masked language model (arXiv 1810.04805, section 3.1). Of the tokens to be predicted, a
/// share `masked` becomes the mask token, a share `replaced` a random token, and the rest stay unchanged.
struct MaskingOptions {
  TokenId mask = 0;
  Index vocabulary = 1;  ///< from which replacements are drawn
  double share = 0.15;   ///< of the tokens that is predicted, in (0, 1]
  double masked = 0.8, replaced = 0.1;
  std::optional<TokenId> begin = {}, end = {};  ///< tokens added around every window: [CLS], [SEP]

  /// The number of tokens that are added around a window.
  [[nodiscard]] Index around() const { return (begin ? 1 : 0) + (end ? 1 : 0); }

  void check() const {
    check_option(vocabulary >= 1, "masking: vocabulary >= 1", vocabulary);
    check_option(mask >= 0 && mask < vocabulary, concatenate("masking: mask from 0 to ", vocabulary - 1), mask);
    check_option(share > 0 && share <= 1, "masking: share in (0, 1]", share);
    check_option(masked >= 0 && replaced >= 0 && masked + replaced <= 1,
                 "masking: masked, replaced >= 0, together <= 1", masked + replaced);
  }
};

/// Windows of a text in which some tokens are masked and to be predicted. The choice depends on the seed, the epoch and
/// the index of the window in `draw`, and only on the index in `take`.
class MaskedTextWindows {
 public:
  using Examples = LabelledTokens;

  /// Throws OptionError on an option out of range.
  MaskedTextWindows(TextWindows windows, const MaskingOptions& masking) : windows_(windows), masking_(masking) {
    masking.check();
  }

  [[nodiscard]] Index size() const { return windows_.size(); }
  [[nodiscard]] std::uint64_t fingerprint() const { return windows_.fingerprint(); }

  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t seed, Index epoch) const {
    return hidden(windows_.draw(indices, seed, epoch), indices,
                  Random(seed, detail::stream_of_name("masked tokens") + static_cast<std::uint64_t>(epoch)));
  }

  [[nodiscard]] Examples take(std::span<const Index> indices) const {
    return hidden(windows_.take(indices), indices, Random(0, detail::stream_of_name("masked tokens of test")));
  }

 private:
  static constexpr std::uint64_t draws = 3;  // random numbers per token

  /// The windows with some tokens masked, these labelled, and with `begin` and `end` added.
  [[nodiscard]] Examples hidden(const Examples& text, std::span<const Index> indices, Random random) const {
    std::vector<Index> lengths, ids, labels;
    const auto add = [&](Index id, Index label) {
      ids.push_back(id);
      labels.push_back(label);
    };
    for (Index s = 0; s < text.layout.sets(); ++s) {
      const auto place = static_cast<std::uint64_t>(indices[static_cast<std::size_t>(s)] * windows_.length());
      if (masking_.begin) add(*masking_.begin, -1);
      for (Index j = 0; j < text.layout.length(s); ++j) {
        random.seek(draws * (place + static_cast<std::uint64_t>(j)));
        const Index id = text.ids[static_cast<std::size_t>(text.layout.begin(s) + j)];
        const bool counts = random.uniform() < masking_.share;
        add(counts ? shown(id, random) : id, counts ? id : -1);
      }
      if (masking_.end) add(*masking_.end, -1);
      lengths.push_back(text.layout.length(s) + masking_.around());
    }
    return {.ids = std::move(ids), .layout = TokenLayout(lengths), .labels = std::move(labels)};
  }

  /// The token that the model sees in place of one that it is to predict.
  [[nodiscard]] Index shown(Index id, Random& random) const {
    const double choice = random.uniform();
    if (choice < masking_.masked) return masking_.mask;
    return choice < masking_.masked + masking_.replaced ? random.below(masking_.vocabulary) : id;
  }

  TextWindows windows_;
  MaskingOptions masking_;
};

}  // namespace crate
