// SPDX-License-Identifier: MIT
#include "crate/io/csv.hpp"

#include <limits>
#include <string>

#include "catch.hpp"
#include "comparison.hpp"
#include "io/temporary_folder.hpp"

namespace {

using namespace crate;
using Catch::Matchers::ContainsSubstring;
using crate::test::content_of;
using crate::test::message_of;
using crate::test::TemporaryFolder;
using crate::test::write_content;

std::string refusal(const std::string& text) {
  return message_of<FileError>([&] { static_cast<void>(parse_csv(text, "x")); });
}

TEST_CASE("a line is a token, however its fields are separated") {
  Matrix<double> expected(2, 3);
  expected << 1, -3, 0.5,  //
      2.5, 4e2, -6;
  for (const std::string text :
       {"1,2.5\n-3,4e2\n.5,-6\n", "1;2.5\n-3;4e2\n.5;-6", "1\t2.5\n-3\t4e2\n.5\t-6\n", "1 2.5\n-3   4e2\n  .5 -6  \n",
        " 1 , 2.5 \r\n\r\n-3,4e2\r\n \n+.5,-6\r\n\n", "infant,nano\n1,2.5\n-3,4e2\n.5,-6\n",
        "\xEF\xBB\xBF\"a b\",c\n1,2.5\n-3,4e2\n.5,-6"}) {
    CAPTURE(text);
    CHECK(parse_csv(text) == expected);
  }
}

TEST_CASE("one number is a token of one coordinate") {
  CHECK(parse_csv("7") == Matrix<double>::Constant(1, 1, 7));
  CHECK(parse_csv("height\n7\n8\n").cols() == 2);
}

TEST_CASE("what is no finite number is named with its line and field") {
  CHECK(refusal("1,2\n3,x\n") == "file 'x': line 2, field 2: expected a finite number, found 'x'");
  CHECK(refusal("a,b\n\n1,2\n3,\n") == "file 'x': line 4, field 2: expected a finite number, found ''");
  CHECK(refusal("a,1\n") == "file 'x': line 1, field 1: expected a finite number, found 'a'");
  CHECK(refusal("1,,2\n") == "file 'x': line 1, field 2: expected a finite number, found ''");
  for (const std::string field : {"nan", "inf", "-inf", "1e999", "0x10", "1.5.2", "--1", "+-1", "1 2", "1e", "a\nb"}) {
    CAPTURE(field);
    CHECK_THAT(refusal("1,2\n" + field + ",3\n"), ContainsSubstring("line 2"));
  }
  CHECK_THAT(refusal("1e999,2\n"), ContainsSubstring("line 1, field 1"));
  CHECK_THAT(refusal("nan,nan\n1,2\n"), ContainsSubstring("line 1, field 1"));
  CHECK_THAT(refusal("1,5;2,5\n"), ContainsSubstring("field 1: expected a finite number, found '1,5'"));
}

TEST_CASE("lines of different lengths are named") {
  CHECK(refusal("1,2\n3,4\n5\n") == "file 'x': line 3: expected 2 numbers as in the lines before, found 1");
  CHECK(refusal("1,2\n\n3,4,5\n") == "file 'x': line 3: expected 2 numbers as in the lines before, found 3");
}

TEST_CASE("a file without numbers is refused") {
  CHECK(refusal("") == "file 'x': expected lines of numbers, found none");
  CHECK(refusal("\n \n") == "file 'x': expected lines of numbers, found none");
  CHECK(refusal("a,b\n") == "file 'x': expected lines of numbers, found none");
  CHECK_THAT(refusal("a,b\nc,d\n"), ContainsSubstring("line 2, field 1"));
  const TemporaryFolder folder;
  CHECK_THAT(message_of<FileError>([&] { static_cast<void>(read_csv(folder.file("none.csv"))); }),
             ContainsSubstring("none.csv': cannot be opened: no such file"));
}

TEST_CASE("tokens are exactly the same after writing and reading") {
  const TemporaryFolder folder;
  Matrix<double> tokens = Matrix<double>::Random(5, 7) * 1e5;
  tokens(0, 0) = std::numeric_limits<double>::denorm_min();
  tokens(1, 0) = -std::numeric_limits<double>::max();
  tokens(2, 0) = 0.1;
  write_csv(folder.file("a.csv"), tokens);
  CHECK(read_csv(folder.file("a.csv")) == tokens);

  const Matrix<float> singles = tokens.rightCols(6).cast<float>();
  write_csv(folder.file("a.csv"), singles);
  CHECK(read_csv(folder.file("a.csv")).cast<float>() == singles);
  CHECK(folder.file_count() == 1);

  write_csv(folder.file("b.csv"), Matrix<double>(Matrix<double>::Constant(2, 1, 0.1)));
  CHECK(content_of(folder.file("b.csv")) == "0.1,0.1\n");
}

}  // namespace
