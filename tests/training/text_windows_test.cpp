// SPDX-License-Identifier: MIT
// What models of text are trained and measured on.

#include "crate/training/text_windows.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "crate/training/labelled_texts.hpp"
#include "crate/training/masked_text_windows.hpp"

using namespace crate;

namespace {

/// The text 0, 1, 2, ...: an id tells its place.
std::vector<TokenId> counting_text(std::size_t size) {
  std::vector<TokenId> ids(size);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

std::vector<Index> all_of(Index size) {
  std::vector<Index> indices(static_cast<std::size_t>(size));
  std::iota(indices.begin(), indices.end(), Index{0});
  return indices;
}

/// How often each token is a label.
std::map<Index, int> label_counts(const LabelledTokens& examples) {
  std::map<Index, int> counts;
  for (const Index label : examples.labels)
    if (label >= 0) ++counts[label];
  return counts;
}

}  // namespace

TEST_CASE("a window of a text labels each token with the next") {
  const auto ids = counting_text(100);
  const TextWindows windows(ids, 8, 50);
  const std::vector<Index> indices = all_of(50);
  for (const LabelledTokens& examples : {windows.draw(indices, 3, 1), windows.take(indices)}) {
    CHECK(examples.layout.sets() == 50);
    CHECK(examples.layout.longest() == 8);
    for (std::size_t j = 0; j < examples.ids.size(); ++j) CHECK(examples.labels[j] == examples.ids[j] + 1);
  }
}

TEST_CASE("drawn windows depend on seed, epoch and index alone and reach both ends of the text") {
  const auto ids = counting_text(20);
  const TextWindows windows(ids, 8, 1000);
  const LabelledTokens all = windows.draw(all_of(1000), 3, 1);
  const std::vector<Index> third{2};
  CHECK(windows.draw(third, 3, 1).ids == std::vector<Index>(all.ids.begin() + 16, all.ids.begin() + 24));
  CHECK(windows.draw(all_of(1000), 4, 1).ids != all.ids);
  CHECK(windows.draw(all_of(1000), 3, 2).ids != all.ids);
  CHECK(*std::min_element(all.ids.begin(), all.ids.end()) == 0);
  CHECK(*std::max_element(all.labels.begin(), all.labels.end()) == 19);
}

TEST_CASE("sliding windows predict each token but the first once") {
  const auto ids = counting_text(53);
  for (const Index context : {1, 7, 52, 60})
    for (Index stride = 1; stride <= context; ++stride) {
      const TextWindows windows = TextWindows::sliding(ids, context, stride);
      const auto counts = label_counts(windows.take(all_of(windows.size())));
      CHECK(counts.size() == 52);
      CHECK(std::all_of(counts.begin(), counts.end(), [](const auto& entry) { return entry.second == 1; }));
    }
}

TEST_CASE("windows that are spread do not overlap and are no more than the text has") {
  const auto ids = counting_text(101);
  const TextWindows few = TextWindows::spread(ids, 8, 5);
  CHECK(few.size() == 5);
  const auto counts = label_counts(few.take(all_of(5)));
  CHECK(counts.size() == 40);
  CHECK(counts.rbegin()->first > 80);
  const TextWindows whole = TextWindows::spread(ids, 8, 1000);
  CHECK(whole.size() == 13);
  CHECK(label_counts(whole.take(all_of(13))).size() == 100);
}

TEST_CASE("a text shorter than the context is one window and a text of one token is none") {
  const auto ids = counting_text(3);
  CHECK(TextWindows(ids, 8, 1).draw(all_of(1), 0, 0).ids == std::vector<Index>{0, 1});
  CHECK_THROWS_AS(TextWindows(counting_text(1), 8, 1), OptionError);
  CHECK_THROWS_AS(TextWindows(ids, 0, 1), OptionError);
  CHECK_THROWS_AS(TextWindows(ids, 8, 0), OptionError);
  CHECK_THROWS_AS(TextWindows::sliding(ids, 8, 9), OptionError);
}

TEST_CASE(
    "masked windows hide 15 of 100 tokens and 80, 10 and 10 of 100 of these become the mask, any token and stay") {
  const std::vector<TokenId> ids(5000, 7);
  const MaskedTextWindows windows(TextWindows(ids, 100, 400), {.mask = 3, .vocabulary = 1000, .begin = 1, .end = 2});
  const LabelledTokens examples = windows.draw(all_of(400), 5, 0);
  double labelled = 0, masked = 0, kept = 0;
  for (std::size_t j = 0; j < examples.ids.size(); ++j) {
    if (examples.labels[j] < 0) continue;
    CHECK(examples.labels[j] == 7);
    ++labelled;
    masked += examples.ids[j] == 3 ? 1 : 0;
    kept += examples.ids[j] == 7 ? 1 : 0;
  }
  CHECK(labelled / 40000 == Approx(0.15).epsilon(0.05));
  CHECK(masked / labelled == Approx(0.8).epsilon(0.05));
  CHECK(kept / labelled == Approx(0.1).epsilon(0.2));
}

TEST_CASE("masked windows stand between the tokens of a sentence, which are never hidden") {
  const auto ids = counting_text(500);
  const MaskedTextWindows windows(TextWindows(ids, 6, 50),
                                  {.mask = 3, .vocabulary = 500, .share = 1, .begin = 1, .end = 2});
  const LabelledTokens examples = windows.draw(all_of(50), 5, 0);
  for (Index s = 0; s < 50; ++s) {
    const auto first = static_cast<std::size_t>(examples.layout.begin(s)), last = first + 7;
    CHECK(examples.layout.length(s) == 8);
    CHECK((examples.ids[first] == 1 && examples.labels[first] == -1));
    CHECK((examples.ids[last] == 2 && examples.labels[last] == -1));
  }
}

TEST_CASE("what is hidden depends on seed, epoch and index alone and is the same each time it is taken") {
  const auto ids = counting_text(500);
  const MaskedTextWindows windows(TextWindows(ids, 6, 50), {.mask = 3, .vocabulary = 500});
  const std::vector<Index> third{2};
  const LabelledTokens all = windows.draw(all_of(50), 5, 1);
  CHECK(windows.draw(third, 5, 1).labels == std::vector<Index>(all.labels.begin() + 12, all.labels.begin() + 18));
  CHECK(windows.draw(all_of(50), 5, 2).labels != all.labels);
  CHECK(windows.take(all_of(50)).ids == windows.take(all_of(50)).ids);
}

TEST_CASE("masking refuses a mask outside the vocabulary and shares that cannot be") {
  const auto ids = counting_text(10);
  const TextWindows windows(ids, 4, 1);
  CHECK_THROWS_AS(MaskedTextWindows(windows, {.mask = 5, .vocabulary = 5}), OptionError);
  CHECK_THROWS_AS(MaskedTextWindows(windows, {.vocabulary = 5, .share = 0}), OptionError);
  CHECK_THROWS_AS(MaskedTextWindows(windows, {.vocabulary = 5, .masked = 0.9, .replaced = 0.2}), OptionError);
}

TEST_CASE("labelled texts stand side by side without padding") {
  const LabelledTexts source{{{1, 2, 3}, {4}, {5, 6}}, {0, 1, 0}};
  const LabelledTokens examples = source.take(std::vector<Index>{2, 0});
  CHECK(examples.ids == std::vector<Index>{5, 6, 1, 2, 3});
  CHECK(examples.labels == std::vector<Index>{0, 0});
  CHECK(examples.layout.length(0) == 2);
  CHECK(examples.layout.length(1) == 3);
}

TEST_CASE("words that drop out become the mask, in training alone, and never the first") {
  const std::vector<TokenId> text(1000, 7);
  const LabelledTexts source{{text, text}, {0, 1}, 0.25, 3};
  const std::vector<Index> both = {0, 1};
  const LabelledTokens drawn = source.draw(both, 1, 2);
  const auto masked = std::count(drawn.ids.begin(), drawn.ids.end(), 3);
  CHECK(std::abs(static_cast<double>(masked) - 500) < 80);
  CHECK(std::count(drawn.ids.begin(), drawn.ids.end(), 7) == 2000 - masked);
  for (Index epoch = 0; epoch < 20; ++epoch) CHECK(source.draw(both, 1, epoch).ids[0] == 7);
  CHECK(drawn.labels == std::vector<Index>{0, 1});
  CHECK(source.draw(both, 1, 2).ids == drawn.ids);
  CHECK(source.draw(both, 1, 3).ids != drawn.ids);
  CHECK(source.draw(both, 2, 2).ids != drawn.ids);
  const LabelledTokens alone = source.draw(std::vector<Index>{1}, 1, 2);
  CHECK(std::equal(alone.ids.begin(), alone.ids.end(), drawn.ids.begin() + 1000));
  CHECK(std::equal(alone.ids.begin(), alone.ids.end(), drawn.ids.begin()) == false);
  const LabelledTokens taken = source.take(both);
  CHECK(std::count(taken.ids.begin(), taken.ids.end(), 7) == 2000);
}
