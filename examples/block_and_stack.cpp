// SPDX-License-Identifier: MIT
// A CRATE block, a stack of blocks, and what an observer sees inside.

#include <crate/crate.hpp>
#include <iomanip>
#include <iostream>

int main() {
  // A block is one compression step and one sparsifying step, each behind a layer norm.
  crate::CrateBlock<float> block({.dim = 64, .heads = 4});
  crate::initialise(block, /*seed*/ 1);

  Eigen::MatrixXf tokens(64, 50);  // 50 tokens, a token a column
  crate::Random random(/*seed*/ 2);
  random.fill_normal(tokens);
  const Eigen::MatrixXf next = block.forward(tokens);
  std::cout << block.formula("Z") << " is " << next.rows() << " x " << next.cols() << "\n\n";

  // A stack of three, on two sets of tokens side by side: attention stays within a set.
  crate::Encoder<crate::CrateBlock<float>> encoder(/*depth*/ 3, {.dim = 64, .heads = 4});
  crate::initialise(encoder, /*seed*/ 1);
  const crate::TokenSets<float> sets(tokens, crate::TokenLayout({20, 30}));
  std::cout << crate::summary(encoder, sets.layout) << '\n';

  // An observer is told every half-step by its name. It may also change the activation.
  crate::Threads threads(2);   // yours, for any number of calls
  crate::Workspace workspace;  // memory that the next call uses again
  const auto watch = [](crate::HalfStep<float> step) {
    const double non_zero = (step.activation.array() != 0).cast<double>().mean();
    std::cout << std::left << std::setw(30) << step.name << std::right << std::setw(4) << step.activation.rows()
              << " x " << step.activation.cols() << "   non-zero " << std::fixed << std::setprecision(2) << non_zero
              << '\n';
  };
  const auto codes = encoder.forward(sets, {.threads = &threads, .workspace = &workspace, .observer = watch});

  // A model is a value: a copy is deep, and any part can be reached by the name that the observer saw.
  auto sparser = encoder;
  for (auto& layer : sparser.layers) layer.sparsify.layer.options.lambda = 5;
  std::cout << "\nlambda 0.1 leaves " << std::setprecision(2) << (codes.tokens.array() != 0).cast<double>().mean()
            << ", lambda 5 leaves " << (sparser.forward(sets).tokens.array() != 0).cast<double>().mean() << '\n';
}

// Output:
//
//   ISTA(LN(Z + MSSA(LN(Z)))) is 64 x 50
//
//   half-step          formula                 dimensions  parameters  multiply-adds / 1e6
//   layers.0.compress  Z + MSSA(LN(Z))         64 -> 64          8384                 0.58
//   layers.0.sparsify  ISTA(LN(Z))             64 -> 64          4224                 0.41
//   layers.1.compress  Z + MSSA(LN(Z))         64 -> 64          8384                 0.58
//   layers.1.sparsify  ISTA(LN(Z))             64 -> 64          4224                 0.41
//   layers.2.compress  Z + MSSA(LN(Z))         64 -> 64          8384                 0.58
//   layers.2.sparsify  ISTA(LN(Z))             64 -> 64          4224                 0.41
//   total              on 50 tokens in 2 sets  64 -> 64         37824                 2.96
//
//   layers.0.compress.projection    64 x 50   non-zero 1.00
//   layers.0.compress               64 x 50   non-zero 1.00
//   layers.0.sparsify               64 x 50   non-zero 0.49
//   layers.1.compress.projection    64 x 50   non-zero 1.00
//   layers.1.compress               64 x 50   non-zero 1.00
//   layers.1.sparsify               64 x 50   non-zero 0.37
//   layers.2.compress.projection    64 x 50   non-zero 1.00
//   layers.2.compress               64 x 50   non-zero 1.00
//   layers.2.sparsify               64 x 50   non-zero 0.31
//
//   lambda 0.1 leaves 0.31, lambda 5 leaves 0.12
