// SPDX-License-Identifier: MIT
#include "crate/core/token_sets.hpp"

#include "catch.hpp"

using crate::Index;
using crate::Matrix;
using crate::ShapeError;
using crate::TokenLayout;
using crate::TokenSets;

TEST_CASE("token sets lie side by side, each beginning where the last ended") {
  const TokenLayout layout({3, 1, 5});
  CHECK(layout.sets() == 3);
  CHECK(layout.tokens() == 9);
  CHECK(layout.longest() == 5);
  const Index begins[] = {0, 3, 4}, lengths[] = {3, 1, 5};
  for (Index set = 0; set < 3; ++set) {
    CHECK(layout.begin(set) == begins[set]);
    CHECK(layout.length(set) == lengths[set]);
    CHECK(layout.visible(set) == lengths[set]);
  }
}

TEST_CASE("equal sets and a single set are layouts like any other") {
  const TokenLayout equal = TokenLayout::equal(4, 7);
  CHECK(equal.sets() == 4);
  CHECK(equal.tokens() == 28);
  CHECK(equal.begin(3) == 21);
  const TokenLayout single = TokenLayout::single(11);
  CHECK(single.sets() == 1);
  CHECK(single.length(0) == 11);
  const TokenLayout none = TokenLayout::equal(0, 7);
  CHECK(none.sets() == 0);
  CHECK(none.tokens() == 0);
  CHECK(none.longest() == 0);
}

TEST_CASE("padding hides the last tokens of a set from attention and changes nothing else") {
  const TokenLayout padded = TokenLayout({3, 5}).with_visible({2, 5});
  CHECK(padded.visible(0) == 2);
  CHECK(padded.visible(1) == 5);
  CHECK(padded.length(0) == 3);
  CHECK(padded.tokens() == 8);
}

TEST_CASE("an empty token set is refused") {
  CHECK_THROWS_AS(TokenLayout({3, 0}), ShapeError);
  CHECK_THROWS_WITH(TokenLayout({3, 0}), "token set 1: expected at least 1 token, found 0");
  CHECK_THROWS_WITH(TokenLayout::single(-2), "token set 0: expected at least 1 token, found -2");
  CHECK_THROWS_WITH(TokenLayout::equal(-1, 4), "token sets: expected a count of at least 0, found -1");
  CHECK_THROWS_AS(TokenSets<float>(Matrix<float>(4, 0)), ShapeError);
  constexpr Index large = Index{1} << 32;
  CHECK_THROWS_AS(TokenLayout::equal(large, large), ShapeError);
  CHECK_THROWS_AS(TokenLayout({large << 30, large << 30}), ShapeError);
}

TEST_CASE("visible tokens that do not fit their set are refused") {
  const TokenLayout layout({3, 5});
  CHECK_THROWS_WITH(layout.with_visible({3}), "visible tokens: number of sets: expected 2, found 1");
  CHECK_THROWS_WITH(layout.with_visible({3, 6}), "visible tokens of set 1: expected between 1 and 5, found 6");
  CHECK_THROWS_WITH(layout.with_visible({0, 5}), "visible tokens of set 0: expected between 1 and 3, found 0");
  CHECK_THROWS_AS(layout.with_visible({3, 6}), ShapeError);
}

TEST_CASE("a layout that does not cover the columns is refused") {
  CHECK_THROWS_AS(TokenSets<double>(Matrix<double>(2, 7), TokenLayout({3, 5})), ShapeError);
  CHECK_THROWS_WITH(TokenSets<double>(Matrix<double>(2, 7), TokenLayout({3, 5})),
                    "token sets: columns: expected 8, found 7");
  const TokenSets<double> sets(Matrix<double>::Ones(2, 8), TokenLayout({3, 5}));
  CHECK(sets.layout.sets() == 2);
  CHECK(TokenSets<float>(Matrix<float>::Ones(2, 8)).layout.sets() == 1);
}
