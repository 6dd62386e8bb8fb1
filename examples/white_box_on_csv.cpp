// SPDX-License-Identifier: MIT
// Fits a white box to the tokens in a CSV file, one per line: white_box_on_csv FILE [COLUMN_OF_LABELS]

#include <crate/crate.hpp>
#include <crate/io/formats/csv.hpp>
#include <iostream>
#include <string>

int main(int count, char** arguments) try {
  if (count != 2 && count != 3) {
    std::cerr << "usage: white_box_on_csv FILE [COLUMN_OF_LABELS]\n";
    return 2;
  }
  crate::CsvOptions how;
  if (count > 2) how.labels = arguments[2];
  const crate::CsvTable table = crate::read_csv_table(arguments[1], how);
  for (const std::string& note : table.notes) std::cout << note << "\n";  // how names and labels were recognised

  const auto box = crate::fit_white_box(table.tokens);     // tokens: d x N, one per column
  std::cout << box.report(table.tokens, table.labels);     // what each layer does, and what it means
  const Eigen::MatrixXd codes = box.encode(table.tokens);  // d x N, sparse
  const Eigen::MatrixXd back = box.decode(codes);
  std::cout << "The first token\n"
            << table.tokens.col(0).transpose() << "\nis decoded as\n"
            << back.col(0).transpose() << "\n";
} catch (const crate::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
