// SPDX-License-Identifier: MIT
// Learns to classify sets of tokens, from a CSV file or drawn from mixtures of subspaces.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/crate.hpp"
#include "crate/io/formats/csv.hpp"
#include "program_options/program_options.hpp"

namespace {

using namespace crate;

struct Options {
  std::string input;  ///< drawn sets if empty
  std::uint64_t seed = 1;
  int threads = 1;
};

/// logits = W E^T mean(encoder(E Z)) + b: the embedding E reads tokens in and, transposed, their mean out.
struct SetClassifier : Chain<SetClassifier, float> {
  using Self = SetClassifier;
  static constexpr Index width = 32, depth = 2;
  Linear<float> embedding, head;
  Encoder<CrateBlock<float>> encoder{depth, {.dim = width, .heads = 4}};
  Pool<float> pool{width, Pooling::mean};

  SetClassifier(Index coordinates, Index classes)
      : embedding(coordinates, width, /*with_bias*/ false), head(coordinates, classes) {}

  static constexpr auto parts() {
    return std::tuple{part("embedding", &Self::embedding), part("", &Self::encoder), part("head", &Self::head)};
  }
  static constexpr auto links() {
    return std::tuple{part("embedding", &Self::embedding), part("", &Self::encoder), part("pool", &Self::pool),
                      part("readout", [](auto& model) { return Transposed{model.embedding}; }),
                      part("head", &Self::head)};
  }
};

struct LabelledSets {
  TokenSets<float> sets;
  std::vector<Index> labels;  ///< of each set
};

/// Every fourth set, or all others. A set is the tokens of one label whose first coordinate, its number, is the same.
LabelledSets sets_of(const CsvTable& table, bool every_fourth) {
  std::map<std::pair<Index, double>, std::vector<Index>> tokens_of;
  for (Index i = 0; const Index label : table.labels) tokens_of[{label, table.tokens(0, i)}].push_back(i), ++i;
  std::vector<Index> columns, lengths, labels;
  for (Index count = 0; const auto& [label_and_number, tokens] : tokens_of) {
    if ((++count % 4 == 0) != every_fourth) continue;
    columns.insert(columns.end(), tokens.begin(), tokens.end());
    lengths.push_back(std::ssize(tokens)), labels.push_back(label_and_number.first);
  }
  const auto coordinates = Eigen::lastN(table.tokens.rows() - 1);
  return {{table.tokens(coordinates, columns).cast<float>(), TokenLayout(lengths)}, labels};
}

/// 240 sets of 8 or 16 tokens. Those of class c lie in subspaces c and c + 1 of four, and all means are 0.
CsvTable toy_table(std::uint64_t seed) {
  CsvTable table{.tokens = Matrix<double>(1 + 12, 240 * 12), .classes = {"0", "1", "2", "3"}};
  Matrix<double> bases(12, 4 * 3), code(3, 1), noise(12, 1);
  Random random(seed);
  random.fill_normal(bases);
  for (Index token = 0; token < table.tokens.cols(); ++token) {
    const Index set = token / 24 * 2 + (token % 24 < 8), label = set / 2 % 4, subspace = (label + random.below(2)) % 4;
    random.fill_normal(code), random.fill_normal(noise);
    table.tokens.col(token) << static_cast<double>(set), bases.middleCols(3 * subspace, 3) * code + 0.1 * noise;
    table.labels.push_back(label);
  }
  return table;
}

void train(const CsvTable& table, const Options& options) {
  check_option(table.tokens.cwiseAbs().maxCoeff() <= 1e15, "numbers up to 1e15", table.tokens.cwiseAbs().maxCoeff());
  const LabelledSets training = sets_of(table, false), held_out = sets_of(table, true);
  check_option(!held_out.labels.empty(), "at least 4 sets", training.labels.size());
  SetClassifier model(table.tokens.rows() - 1, std::ssize(table.classes));
  initialise(model, options.seed);
  SetClassifier gradient = model;
  AdamW optimiser(model, {.rate = 3e-3});
  Recording<SetClassifier> recording;
  Threads threads(options.threads);
  for (int step = 1; step <= 100; ++step) {
    const auto logits = forward(model, training.sets, recording, {.threads = &threads}).tokens;
    const auto cotangent = cross_entropy_gradient(logits, training.labels, 1 / static_cast<double>(logits.cols()));
    clear_gradient(gradient, threads);
    backward(model, cotangent, recording, gradient, {.threads = &threads});
    optimiser.step(model, gradient, {}, threads);
    if (step % 20 == 0) std::cout << "loss " << cross_entropy(logits, training.labels).mean() << '\n';
  }
  const auto logits = forward(model, held_out.sets).tokens;
  const auto by_folded = forward(fold(std::move(model)), held_out.sets).tokens;
  std::cout << "correct on held-out sets: " << count_correct(logits, held_out.labels) << " of " << logits.cols()
            << "; folded: " << count_correct(by_folded, held_out.labels) << ", by logits that differ by at most "
            << (by_folded - logits).cwiseAbs().maxCoeff() << '\n';
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Learns to classify sets of tokens. Each line of the file is one token: number of its set, label of the\n"
      "set, then the coordinates. Every fourth set is used for testing. Without a file, sets are drawn from\n"
      "mixtures of subspaces.\n");
  program_options::set_up(app, "classify_token_sets");
  app.add_option("--input,input", options.input, "CSV file with the tokens [none]")->type_name("FILE");
  program_options::add_seed(app, options.seed);
  program_options::add_threads(app, options.threads);
  return program_options::run(app, count, arguments, [&] {
    const bool draws = options.input.empty();
    train(draws ? toy_table(options.seed) : read_csv_table(options.input, {.index = CsvPart::absent, .labels = "2"}),
          options);
    return 0;
  });
}
