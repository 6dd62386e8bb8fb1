// SPDX-License-Identifier: MIT
#include "crate/io/formats/csv.hpp"

#include <limits>
#include <string>
#include <vector>

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

std::string csv_refusal(const std::string& text) {
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
  const std::string labels = "; if the column holds labels, name it as labels, or choose the columns that hold numbers";
  const std::string missing = ": a missing value; fill it in, or leave the line or the column out";
  CHECK(csv_refusal("1,2\n3,x\n") == "file 'x': line 2, field 2: expected a finite number, found 'x'" + labels);
  CHECK(csv_refusal("a,b\n\n1,2\n3,\n") ==
        "file 'x': line 4, field 2 ('b'): expected a finite number, found ''" + missing);
  CHECK(csv_refusal("a,1\n") == "file 'x': line 1, field 1: expected a finite number, found 'a'" + labels);
  CHECK(csv_refusal("1,,2\n") == "file 'x': line 1, field 2: expected a finite number, found ''" + missing);
  for (const std::string field : {"nan", "inf", "-inf", "1e999", "0x10", "1.5.2", "--1", "+-1", "1 2", "1e", "a\nb"}) {
    CAPTURE(field);
    CHECK_THAT(csv_refusal("1,2\n" + field + ",3\n"), ContainsSubstring("line 2"));
  }
  CHECK_THAT(csv_refusal("1e999,2\n"), ContainsSubstring("line 1, field 1"));
  CHECK_THAT(csv_refusal("nan,nan\n1,2\n"), ContainsSubstring("line 1, field 1"));
  CHECK_THAT(csv_refusal("1,5;2,5\n"), ContainsSubstring("field 1: expected a finite number, found '1,5'"));
}

TEST_CASE("lines of different lengths are named") {
  CHECK(csv_refusal("1,2\n3,4\n5\n") == "file 'x': line 3: expected 2 numbers as in the lines before, found 1");
  CHECK(csv_refusal("1,2\n\n3,4,5\n") == "file 'x': line 3: expected 2 numbers as in the lines before, found 3");
}

TEST_CASE("a file without numbers is refused") {
  CHECK(csv_refusal("") == "file 'x': expected lines of numbers, found none");
  CHECK(csv_refusal("\n \n") == "file 'x': expected lines of numbers, found none");
  CHECK(csv_refusal("a,b\n") == "file 'x': expected lines of numbers, found none");
  CHECK_THAT(csv_refusal("a,b\nc,d\n"), ContainsSubstring("line 2, field 1"));
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

// pandas: DataFrame(array).to_csv(index=False) numbers the columns, and to_csv() puts the index in front. They became a
// token and a coordinate.
TEST_CASE("column numbers and row numbers as pandas writes them are no tokens and no coordinates") {
  Matrix<double> expected(3, 3);
  expected << 1.5, 4.5, 7.5,  //
      2.5, 5.5, 8.5,          //
      3.5, 6.5, 9.5;
  for (const std::string text :
       {"0,1,2\n1.5,2.5,3.5\n4.5,5.5,6.5\n7.5,8.5,9.5\n", ",a,b,c\n0,1.5,2.5,3.5\n1,4.5,5.5,6.5\n2,7.5,8.5,9.5\n",
        ",0,1,2\n0,1.5,2.5,3.5\n1,4.5,5.5,6.5\n2,7.5,8.5,9.5\n",
        "Unnamed: 0,a,b,c\n17,1.5,2.5,3.5\n3,4.5,5.5,6.5\n8,7.5,8.5,9.5\n",
        "id,a,b,c\n1,1.5,2.5,3.5\n2,4.5,5.5,6.5\n3,7.5,8.5,9.5\n",
        "\"\",\"a\",\"b\",\"c\"\n\"x\",1.5,2.5,3.5\n\"y\",4.5,5.5,6.5\n\"z\",7.5,8.5,9.5\n",
        "\"a\" \"b\" \"c\"\n\"1\" 1.5 2.5 3.5\n\"2\" 4.5 5.5 6.5\n\"3\" 7.5 8.5 9.5\n"}) {  // R's write.table
    CAPTURE(text);
    const CsvTable table = parse_csv_table(text);
    CHECK(table.tokens == expected);
    CHECK(!table.notes.empty());
  }
  CHECK(parse_csv_table(",a,b\n0,1.5,2\n").notes ==
        std::vector<std::string>{"line 1 taken as names: ', a, b'",
                                 "column 1 ('') taken as the index of the lines, left out"});
}

TEST_CASE("the other reading of names and row numbers is to be had") {
  CHECK(parse_csv_table("0,1\n1,0\n", "x", {.header = CsvPart::absent}).tokens.cols() == 2);
  CHECK(parse_csv_table("7,8\n1,0\n", "x", {.header = CsvPart::present}).columns == std::vector<std::string>{"7", "8"});
  CHECK(parse_csv_table("id,a\n0,5\n1,6\n", "x", {.index = CsvPart::absent}).tokens.rows() == 2);
  CHECK(parse_csv_table("9,5\n8,6\n", "x", {.index = CsvPart::present}).tokens == Matrix<double>{{5, 6}});
}

TEST_CASE("where names or row numbers may as well be numbers, nobody guesses") {
  CHECK_THAT(csv_refusal("t,a\n0,5\n1,6\n2,7\n"),
             ContainsSubstring("column 1 ('t') counts the lines, 0, 1, ...: an index or a coordinate?"));
  CHECK_THAT(csv_refusal("1,5\n2,6\n3,7\n"),
             ContainsSubstring("column 1 counts the lines, 1, 2, ...: an index or a coordinate?"));
  CHECK_THAT(csv_refusal("0\n5\n6\n"), ContainsSubstring("line 1: it is the number of its column"));
  CHECK_THAT(csv_refusal(",a\n0.5,5\n"), ContainsSubstring("column 1 has no name"));
}

TEST_CASE("tokens that look like names or row numbers come back from the file they were written to") {
  const TemporaryFolder folder;
  for (const Matrix<double>& tokens :
       {Matrix<double>{{0, 1}, {1, 0}, {2, 5}}, Matrix<double>{{0, 1, 2}, {5, 6, 7}},
        Matrix<double>{{1, 2, 3}, {5, 6, 7}}, Matrix<double>{{0, 3}}, Matrix<double>{{0}}}) {
    write_csv(folder.file("a.csv"), tokens);
    CHECK(read_csv(folder.file("a.csv")) == tokens);
  }
}

TEST_CASE("quoted numbers, other line ends, comments, an empty last field and sep= are read") {
  const Matrix<double> expected{{1.5, -3}, {2.5, 4}};
  for (const std::string text :
       {"\"1.5\",\"2.5\"\n\"-3\",\"4\"\n", "\"a,b\";\"c\"\"d\"\n1.5;2.5\n-3;4\n", "1.5,2.5\r-3,4\r",
        "# written by x\n1.5,2.5\n-3,4\n", "1.5,2.5,\n-3,4,\n", "a,b,\n1.5,2.5,\n-3,4,\n", "sep=;\n1.5;2.5\n-3;4\n",
        "\"two\nlines\",b\n1.5,2.5\n-3,4\n", "1.5 \t 2.5\n-3\t4\n"}) {
    CAPTURE(text);
    CHECK(parse_csv(text) == expected);
  }
}

TEST_CASE("what is refused is told its cause") {
  CHECK_THAT(csv_refusal("a;b\n1,5;2,5\n"), ContainsSubstring("found '1,5': a decimal comma"));
  CHECK_THAT(csv_refusal("a,b\n\"1,234.5\",2\n"), ContainsSubstring("thousands separators"));
  CHECK_THAT(csv_refusal("a;b\n1,234;2\n"), ContainsSubstring("a decimal comma or a thousands separator"));
  CHECK_THAT(csv_refusal("a,b\n12%,2\n"), ContainsSubstring("a unit"));
  CHECK_THAT(csv_refusal("a,b\n1.5 cm,2\n"), ContainsSubstring("a unit"));
  CHECK_THAT(csv_refusal("1,5\t2,5\n"), ContainsSubstring("found '5\\t2': fields separated by tabs"));
  for (const std::string field : {"NA", "nan", "", "null", "?"})
    CHECK_THAT(csv_refusal("a,b\n1,2\n" + field + ",3\n"),
               ContainsSubstring("line 3, field 1 ('a')") && ContainsSubstring("a missing value"));
  CHECK_THAT(csv_refusal("a,b\ninf,3\n"), ContainsSubstring("infinite"));
  CHECK_THAT(csv_refusal("1,2\n\"3,4\n"), ContainsSubstring("line 2: a quote is opened and never closed"));
  CHECK_THAT(csv_refusal("1,2\n\"3\"x,4\n"), ContainsSubstring("line 2: expected ','"));
  CHECK_THAT(csv_refusal(std::string("\xFF\xFE") + std::string("1\0,\0", 4)), ContainsSubstring("found UTF-16"));
  CHECK_THAT(csv_refusal("PK\x03\x04..."), ContainsSubstring("zip archive"));
  CHECK_THAT(csv_refusal("a,b,c\n1,2\n"),
             ContainsSubstring("line 2: expected 3 fields as in the names of the columns, found 2"));
  CHECK_THAT(csv_refusal(std::string(300000, ',')), ContainsSubstring("expected at most 262144 columns"));
}

TEST_CASE("labels and columns are chosen by name or number") {
  const std::string iris = "length,width,species\n5.1,3.5,setosa\n7,3.2,versicolor\n4.9,3,setosa\n";
  for (const std::string label : {"species", "3"}) {
    const CsvTable table = parse_csv_table(iris, "x", {.labels = label});
    CHECK(table.tokens == Matrix<double>{{5.1, 7, 4.9}, {3.5, 3.2, 3}});
    CHECK(table.classes == std::vector<std::string>{"setosa", "versicolor"});
    CHECK(table.labels == std::vector<Index>{0, 1, 0});
    CHECK(table.columns == std::vector<std::string>{"length", "width"});
  }
  CHECK(parse_csv_table(iris, "x", {.columns = {"width", "1"}}).tokens == Matrix<double>{{3.5, 3.2, 3}, {5.1, 7, 4.9}});
  CHECK(parse_csv_table("5.1,3,setosa\n7,4,versicolor\n", "x", {.labels = "3"}).tokens.cols() == 2);
  CHECK(parse_csv_table("0,1,kind\n5.1,3,a\n", "x", {.labels = "3"}).columns == std::vector<std::string>{"0", "1"});
  CHECK(parse_csv_table("1.5,10\n2.5,9\n3.5,10\n", "x", {.labels = "2"}).classes ==
        std::vector<std::string>{"9", "10"});
  const auto refused = [&](const CsvOptions& options) {
    return message_of<FileError>([&] { static_cast<void>(parse_csv_table(iris, "x", options)); });
  };
  CHECK_THAT(refused({.labels = "kind"}),
             ContainsSubstring("labels: expected the name or number (1 to 3) of a column, found 'kind'; "
                               "the names are 'length, width, species'"));
  CHECK_THAT(refused({.columns = {"4"}}), ContainsSubstring("columns: expected the name or number"));
  CHECK_THAT(refused({.labels = "1", .columns = {"length"}}), ContainsSubstring("is the column of labels"));
  CHECK_THAT(refused({}), ContainsSubstring("line 2, field 3 ('species')"));
}

// Behind a closing quote any character was taken for the line's end: "1"|"2" were two tokens, and "1"2 was 1.
TEST_CASE("nothing behind a closing quote is lost, and quoted fields are separated as others are") {
  const Matrix<double> expected{{1, 3}, {2, 4}};
  for (const std::string text : {"\"1\"|\"2\"\n\"3\"|\"4\"", "1|2\n3|4\n", "\"1\"\t\"2\"\n\"3\" \t \"4\"\n",
                                 "\"1\" \"2\"\n\"3\"\t\"4\" \n", "\"1\" , \"2\" \n\"3\",\"4\"\n"}) {
    CAPTURE(text);
    CHECK(parse_csv(text) == expected);
  }
  CHECK(csv_refusal("\"1\"2\n\"3\"4\n") ==
        "file 'x': line 1: expected ' ' or the line's end after a closing quote, found '2'");
  for (const std::string text :
       {"\"1\":\"2\"\n\"3\":\"4\"", "\"1\"2", "1 \"2\"3\n", "\"1\"\"2\"|\"3\"4\n", "1,2\n\"3\" 4,5\n", "1\t\"2\"x\n"}) {
    CAPTURE(text);
    CHECK_THAT(csv_refusal(text), ContainsSubstring("after a closing quote"));
  }
  for (const std::string separator : {"\"", "1", "x", "Z", "-", ".", "#"})
    CHECK_THAT(csv_refusal("sep=" + separator + "\n1\n"), ContainsSubstring("expected a separator after sep="));
}

// "nan" and "NA" became classes, and the order by number had no place for NaN.
TEST_CASE("a missing label is an error, and classes are in order whatever they are called") {
  for (const std::string label : {"nan", "NaN", "-nan", "NA", "null", "?", "<NA>", "nan(1)"}) {
    CAPTURE(label);
    const auto text = "a,kind\n1,x\n2," + label + "\n3,1\n";
    CHECK(message_of<FileError>([&] { static_cast<void>(parse_csv_table(text, "x", {.labels = "kind"})); }) ==
          "file 'x': line 3, field 2 ('kind'): expected a label, found a missing value, '" + label + "'");
  }
  CHECK_THAT(message_of<FileError>([&] { static_cast<void>(parse_csv_table("1,\n", "x", {.labels = "2"})); }),
             ContainsSubstring("line 1, field 2: expected a label, found none"));
  CHECK(parse_csv_table("a,k\n9,b\n9,10\n9,inf\n9,2\n9,-\n9,-1\n9,+\n", "x", {.labels = "k"}).classes ==
        std::vector<std::string>{"-1", "2", "10", "+", "-", "b", "inf"});
}

TEST_CASE("a line with # alone is a comment") {
  const CsvTable table = parse_csv_table("# a\n#\n# b\n1,2,3\n# \n4,5,6\n#");
  CHECK(table.tokens == Matrix<double>{{1, 4}, {2, 5}, {3, 6}});
  CHECK(table.notes == std::vector<std::string>{"5 lines that begin with # left out"});
  CHECK(parse_csv_table("#|a\n1|5\n2|6\n").columns == std::vector<std::string>{"a"});
}

TEST_CASE("a file that is no CSV is told what it is") {
  const auto found = [](std::string_view text) { return csv_refusal(std::string(text)); };
  using namespace std::string_view_literals;
  CHECK_THAT(found("\x1F\x8B\x08\x00\x00\x00\x00\x00"sv), ContainsSubstring("found a gzip file"));
  CHECK_THAT(found("\x1F\x8B\x08\x01"sv), ContainsSubstring("found a gzip file"));
  CHECK_THAT(found("version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 12\n"),
             ContainsSubstring("found a Git LFS pointer"));
  CHECK_THAT(found("<!DOCTYPE html>\n<html lang=\"en\">\n"), ContainsSubstring("found an HTML page"));
  CHECK_THAT(found("{\"a\": 1, \"b\": [2, 3]}\n"), ContainsSubstring("found a JSON text"));
  CHECK_THAT(found("\x93NUMPY\x01\x00v\x00"sv), ContainsSubstring("found an array of numpy"));
  CHECK_THAT(found("\x89PNG\r\n\x1A\n\0\0\0\0"sv), ContainsSubstring("found a PNG picture"));
  CHECK_THAT(found("1\0,\0002\0\n\0"sv), ContainsSubstring("found UTF-16"));
  CHECK_THAT(found("\0001\0,\0002\0\n"sv), ContainsSubstring("found UTF-16"));
  CHECK(parse_csv("<OPEN>,<CLOSE>\n1,2\n").rows() == 2);
}

}  // namespace
