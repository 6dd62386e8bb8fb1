// SPDX-License-Identifier: MIT
#include "crate/core/errors.hpp"

#include <limits>

#include "catch.hpp"
#include "crate/core/detail/count_of.hpp"

using Eigen::MatrixXd;

TEST_CASE("errors name the thing, what was expected and what was found") {
  CHECK_THROWS_WITH(crate::check_size("tokens: rows", 3, 4), "tokens: rows: expected 4, found 3");
  CHECK_THROWS_WITH(crate::check_shape("dictionary", MatrixXd(2, 3), 3, 3), "dictionary: expected 3 x 3, found 2 x 3");
  CHECK_THROWS_WITH(crate::check_not_empty("tokens", MatrixXd(2, 0)), "tokens: expected at least 1 x 1, found 2 x 0");
  CHECK_THROWS_WITH(crate::check_option(false, "epsilon > 0", -0.5), "option: expected epsilon > 0, found -0.5");
  CHECK_THROWS_WITH(crate::check_option(false, "ISTA: step >= 0", -1), "ISTA: expected step >= 0, found -1");
}

TEST_CASE("a number that is not finite is named with its first place") {
  MatrixXd tokens = MatrixXd::Ones(3, 4);
  CHECK_NOTHROW(crate::check_finite("tokens", tokens));
  CHECK_NOTHROW(crate::check_finite("tokens", MatrixXd(0, 0)));
  tokens(0, 3) = std::numeric_limits<double>::quiet_NaN();
  tokens(2, 1) = -std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(crate::check_finite("tokens", tokens), crate::PrecisionError);
  CHECK_THROWS_WITH(crate::check_finite("tokens", tokens),
                    "tokens: expected finite numbers, found -inf in row 2 of column 1");
}

TEST_CASE("a number agrees with its noun") {
  CHECK(crate::detail::count_of(1, "layer") == "1 layer");
  CHECK(crate::detail::count_of(0, "layer") == "0 layers");
  CHECK(crate::detail::count_of(std::size_t{2}, "test image") == "2 test images");
  CHECK(crate::detail::count_of(1, "class") == "1 class");
  CHECK(crate::detail::count_of(4, "epoch") == "4 epochs");
  for (const char* const noun : {"class", "patch", "box", "mesh"})
    CHECK(crate::detail::count_of(3, noun) == crate::concatenate("3 ", noun, "es"));
}

TEST_CASE("what fits its expectation passes") {
  CHECK_NOTHROW(crate::check_size("tokens: rows", 4, 4));
  CHECK_NOTHROW(crate::check_shape("dictionary", MatrixXd(3, 2), 3, 2));
  CHECK_NOTHROW(crate::check_not_empty("tokens", MatrixXd(1, 1)));
  CHECK_NOTHROW(crate::check_option(true, "epsilon > 0", 0.5));
}

TEST_CASE("each error has its type, and all are crate::Error and std::runtime_error") {
  CHECK_THROWS_AS(crate::check_size("tokens", 3, 4), crate::ShapeError);
  CHECK_THROWS_AS(crate::check_option(false, "epsilon > 0", 0), crate::OptionError);
  CHECK_THROWS_AS(throw crate::FileError("no such file"), crate::Error);
  CHECK_THROWS_AS(throw crate::ShapeError("wrong size"), std::runtime_error);
}
