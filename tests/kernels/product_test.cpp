// SPDX-License-Identifier: MIT
// The one door for products: every shape, order of operands and instruction set, within the bound of rounding.

#include "crate/kernels/product.hpp"

#include <limits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/operators/gelu.hpp"
#include "draw.hpp"
#include "kernels/use_instruction_set.hpp"

using namespace crate;
using namespace crate::test;

namespace {

/// A matrix that lies column after column or row after row, with three numbers of room between them, which are 7.
template <class S>
struct Strided {
  Matrix<S> memory;
  bool row_major;

  Strided(const Matrix<S>& entries, bool by_rows)
      : memory(Matrix<S>::Constant((by_rows ? entries.cols() : entries.rows()) + 3,
                                   by_rows ? entries.rows() : entries.cols(), 7)),
        row_major(by_rows) {
    visit([&](auto& matrix) { matrix = entries; });
  }

  template <class Body>
  decltype(auto) visit(const Body& body) {
    auto block = memory.topRows(memory.rows() - 3);
    if (!row_major) return body(block);
    auto transposed = block.transpose();
    return body(transposed);
  }
  [[nodiscard]] Matrix<double> copy() const {
    const Matrix<S> block = memory.topRows(memory.rows() - 3);
    return (row_major ? Matrix<S>(block.transpose()) : block).template cast<double>();
  }
  /// Whether nothing was written between its columns or rows.
  [[nodiscard]] bool is_unharmed() const { return (memory.bottomRows(3).array() == 7).all(); }
};

template <class S>
Matrix<S> draw(Random& random, Index rows, Index cols) {
  return draw_normal(random, rows, cols).template cast<S>();
}

template <class S>
Matrix<double> wide(const Matrix<S>& matrix) {
  return matrix.template cast<double>();
}

/// Calls body(order) with bits for the orders of the factors and the result, on every instruction set.
template <class Body>
void for_every_set_and_order(const std::vector<InstructionSet>& sets, const Body& body) {
  for (const InstructionSet set : sets)
    for (int order = 0; order < 8; ++order) {
      CAPTURE(name_of(set), order);
      const UseInstructionSet chosen(set);
      body(order);
    }
}

template <class S>
void check_products(const std::vector<InstructionSet>& sets, Random& random, Index rows, Index depth, Index cols,
                    Threads& threads) {
  CAPTURE(rows, depth, cols);
  const double unit = static_cast<double>(std::numeric_limits<S>::epsilon()) / 2;
  const Matrix<S> x = draw<S>(random, rows, depth), y = draw<S>(random, depth, cols),
                  before = draw<S>(random, rows, cols);
  const Matrix<double> product = wide(x) * wide(y), size = wide(x).cwiseAbs() * wide(y).cwiseAbs();
  const Matrix<double> bound = unit * (static_cast<double>(depth + 4) * size + 2 * wide(before).cwiseAbs());
  for_every_set_and_order(sets, [&](int order) {
    Strided<S> a(x, (order & 1) != 0), b(y, (order & 2) != 0), out(before, (order & 4) != 0);
    const auto apply = [&](const auto& action) {
      a.visit([&](auto& left) {
        b.visit([&](auto& right) { out.visit([&](auto& result) { action(left, right, result); }); });
      });
    };
    apply([&](auto& left, auto& right, auto& result) { multiply_add(-0.75, left, right, result, threads); });
    CHECK(is_within(out.copy() - (wide(before) - 0.75 * product), bound));
    apply([&](auto& left, auto& right, auto& result) { multiply(left, right, result, threads); });
    CHECK(is_within(out.copy() - product, static_cast<double>(depth + 2) * unit * size));
    CHECK(out.is_unharmed());
  });
}

/// The lower triangle of C + 0.5 A B, where nothing is known of the entries above the diagonal.
template <class S>
void check_lower_triangle(Random& random, Index size, Index depth, Threads& threads) {
  CAPTURE(size, depth);
  const double unit = static_cast<double>(std::numeric_limits<S>::epsilon()) / 2;
  const Matrix<S> a = draw<S>(random, size, depth), b = draw<S>(random, depth, size), c = draw<S>(random, size, size);
  Matrix<S> out = c;
  out.template triangularView<Eigen::StrictlyUpper>().setConstant(std::numeric_limits<S>::quiet_NaN());
  detail::multiply<S>(detail::Entries::lower_triangle, detail::view_of<const S>(a), detail::view_of<const S>(b),
                      detail::view_of<S>(out), {.scale = S(0.5), .addend = detail::view_of<const S>(out)}, threads);
  out.template triangularView<Eigen::StrictlyUpper>().setZero();
  Matrix<double> expected = wide(c) + 0.5 * wide(a) * wide(b);
  expected.triangularView<Eigen::StrictlyUpper>().setZero();
  const Matrix<double> sizes = wide(c).cwiseAbs() + wide(a).cwiseAbs() * wide(b).cwiseAbs();
  CHECK(is_within(wide(out) - expected, static_cast<double>(depth + 4) * unit * sizes));
}

/// The epilogue of a product as its formula says it, from what it does to the sum of |A| |B| and the addends.
template <class S>
void check_epilogues(Random& random, Index rows, Index depth, Index cols, Threads& threads) {
  CAPTURE(rows, depth, cols);
  const double unit = static_cast<double>(std::numeric_limits<S>::epsilon()) / 2;
  const Matrix<S> a = draw<S>(random, rows, depth), b = draw<S>(random, depth, cols),
                  addend = draw<S>(random, rows, cols), mask = draw<S>(random, rows, cols).cwiseMax(0),
                  shift = draw<S>(random, rows, 1);
  const double level = 0.25;
  const Matrix<double> product = wide(a) * wide(b), sum = -0.75 * product + wide(addend);
  const Matrix<double> size = 0.75 * wide(a).cwiseAbs() * wide(b).cwiseAbs() + 2 * wide(addend).cwiseAbs();
  const Matrix<double> bound = unit * (static_cast<double>(depth + 6) * size.array() + 1).matrix();
  const auto check = [&](const Matrix<S>& out, const Matrix<double>& expected, const Matrix<double>& allowed) {
    CHECK(is_within(wide(out) - expected, allowed));
  };
  const auto view = [](const auto& matrix) { return detail::view_of<const S>(matrix); };
  Matrix<S> out(rows, cols);
  for (const auto activation : {detail::Activation::relu, detail::Activation::soft_threshold}) {
    out = addend;  // in its own place
    multiply(a, b, out,
             {.scale = S(-0.75), .addend = view(out), .activation = activation, .level = static_cast<S>(level)},
             threads);
    const Matrix<double> expected = activation == detail::Activation::relu
                                        ? Matrix<double>((sum.array() - level).max(0))
                                        : Matrix<double>(sum.array() - sum.array().min(level).max(-level));
    check(out, expected, bound);
    RowMajorMatrix<S> by_rows(rows, cols);
    const RowMajorMatrix<S> row_addend = addend;
    multiply(a, b, by_rows,
             {.scale = S(-0.75), .addend = view(row_addend), .activation = activation, .level = static_cast<S>(level)},
             threads);
    check(by_rows, expected, bound);
  }
  multiply(a, b, out, {.scale = S(-0.75), .addend = view(addend), .activation = detail::Activation::gelu}, threads);
  check(out, gelu(sum), 2 * bound + 8 * unit * sum.cwiseAbs());  // the slope of GELU is below 2
  multiply(a, b, out, {.scale = S(-0.75), .addend = view(addend), .mask = view(mask)}, threads);
  check(out, (wide(mask).array() != 0).select(sum, 0.0), (wide(mask).array() != 0).select(bound, 0.0));
  multiply(a, b, out, {.shift = shift.data()}, threads);
  check(out, product.colwise() + wide(shift).col(0),
        ((2 * bound).colwise() + 2 * unit * wide(shift).col(0).cwiseAbs()));
}

template <class S>
void check_gram_matrices(const std::vector<InstructionSet>& sets, Random& random, Index rows, Index depth,
                         Threads& threads) {
  CAPTURE(rows, depth);
  const double unit = static_cast<double>(std::numeric_limits<S>::epsilon()) / 2;
  const Matrix<S> x = draw<S>(random, depth, rows), before = draw<S>(random, rows, rows);
  const Matrix<double> gram = wide(x).transpose() * wide(x);
  const Matrix<double> bound =
      static_cast<double>(depth + 2) * unit * (wide(x).cwiseAbs().transpose() * wide(x).cwiseAbs());
  for_every_set_and_order(sets, [&](int order) {
    if ((order & 2) != 0) return;  // one factor
    Strided<S> a(x, (order & 1) != 0), out(before, (order & 4) != 0);
    const auto apply = [&](const auto& action) {
      a.visit([&](auto& factor) { out.visit([&](auto& result) { action(factor, result); }); });
    };
    apply([&](auto& factor, auto& result) { gram_into(factor, result, threads); });
    CHECK(is_within(out.copy() - gram, bound));
    CHECK(out.copy() == out.copy().transpose());
    apply([&](auto& factor, auto& result) { gram_add(-1.5, factor, result, threads); });
    CHECK(is_within(out.copy() + 0.5 * gram, 4 * bound));
    CHECK(out.copy() == out.copy().transpose());
    CHECK(out.is_unharmed());
  });
}

}  // namespace

TEMPLATE_TEST_CASE("products of every order are within the bound of rounding, from 1 x 1 to across the edges of tiles",
                   "", float, double) {
  Random random(1);
  Threads threads(2);
  const auto sets = instruction_sets_of_floats();
  check_products<TestType>(sets, random, 1, 1, 1, threads);
  check_products<TestType>(sets, random, 61, 3300, 37, threads);  // three blocks of the depth
  for (const InstructionSet set : sets) {
    const Index tile = detail::tile_rows(set, sizeof(TestType)),
                cols = detail::tile_shape(detail::vector_bytes(set)).columns;
    for (const Index rows : {Index{1}, Index{7}, tile - 1, tile, 2 * tile + 1})
      for (const Index columns : {Index{1}, cols - 1, cols, 3 * cols + 1})
        check_products<TestType>({set}, random, rows, draw_index(random, 1, 70), columns, threads);
    check_products<TestType>({set}, random, 3 * tile, 64, 400, threads);
  }
}

TEMPLATE_TEST_CASE("what is added, cut off and masked on a product's way to memory is within the bound of rounding", "",
                   float, double) {
  Random random(3);
  Threads threads(2);
  for (const InstructionSet set : instruction_sets_of_floats()) {
    CAPTURE(name_of(set));
    const UseInstructionSet chosen(set);
    const Index tile = detail::tile_rows(set, sizeof(TestType));
    check_epilogues<TestType>(random, 3, 2, 5, threads);
    check_epilogues<TestType>(random, 40, 50, 3, threads);
    check_epilogues<TestType>(random, 2 * tile + 1, 33, 29, threads);
    check_epilogues<TestType>(random, tile, 3300, 9, threads);  // three blocks of the depth
  }
}

TEMPLATE_TEST_CASE("The lower triangle of a product is right, whatever stands above the diagonal", "", float, double) {
  Random random(5);
  Threads threads(2);
  for (const InstructionSet set : supported_instruction_sets()) {
    CAPTURE(name_of(set));
    const UseInstructionSet chosen(set);
    const Index tile = detail::tile_rows(set, sizeof(TestType));
    for (const Index size : {tile / 2, tile - 1, tile, tile + 5, 2 * tile + 3})
      check_lower_triangle<TestType>(random, size, 40, threads);
    check_lower_triangle<TestType>(random, tile + 3, 3300, threads);  // three blocks of the depth
  }
}

TEMPLATE_TEST_CASE(
    "Gram matrices of every size and order are within the bound of rounding, and symmetric to the last bit", "", float,
    double) {
  Random random(4);
  Threads threads(2);
  const auto sets = instruction_sets_of_floats();
  for (const Index rows : {1, 2, 7, 131}) check_gram_matrices<TestType>(sets, random, rows, 70, threads);
  check_gram_matrices<TestType>(sets, random, 67, 3300, threads);
  for (const InstructionSet set : sets) {
    const Index tile = detail::tile_rows(set, sizeof(TestType));
    for (const Index rows : {tile - 1, tile, tile + 1, 3 * tile + 5})
      check_gram_matrices<TestType>({set}, random, rows, draw_index(random, 1, 70), threads);
  }
}

TEMPLATE_TEST_CASE("not a number stays one under every activation", "", float, double) {
  constexpr TestType nan = std::numeric_limits<TestType>::quiet_NaN();
  Threads threads;
  for (const InstructionSet set : instruction_sets_of_floats()) {
    const UseInstructionSet chosen(set);
    for (const Index size : {Index{2}, Index{40}})  // by columns and packed
      for (const auto activation : {detail::Activation::relu, detail::Activation::soft_threshold}) {
        CAPTURE(name_of(set), size);
        Matrix<TestType> a = Matrix<TestType>::Ones(size, size), out(size, size);
        a(1, 0) = nan;
        multiply(a, Matrix<TestType>(Matrix<TestType>::Ones(size, size)), out,
                 {.activation = activation, .level = TestType(0.5)}, threads);
        CHECK(out.row(1).array().isNaN().all());
        CHECK(out.row(0).allFinite());
      }
  }
}

TEMPLATE_TEST_CASE("a product of no depth is zero, and one of no rows or columns nothing", "", float, double) {
  Threads threads;
  Matrix<TestType> out = Matrix<TestType>::Ones(3, 4);
  multiply_add(2, Matrix<TestType>(3, 0), Matrix<TestType>(0, 4), out, threads);
  CHECK(out == Matrix<TestType>::Ones(3, 4));
  multiply(Matrix<TestType>(3, 0), Matrix<TestType>(0, 4), out, threads);
  CHECK(out == Matrix<TestType>::Zero(3, 4));
  Matrix<TestType> empty(0, 4);
  multiply(Matrix<TestType>(0, 9), Matrix<TestType>(9, 4), empty, threads);
}

TEMPLATE_TEST_CASE("any number of threads gives the same bits of a product", "", float, double) {
  Random random(2);
  const Matrix<TestType> a = draw_normal(random, 150, 1900).template cast<TestType>(),
                         b = draw_normal(random, 1900, 300).template cast<TestType>();
  Matrix<TestType> alone(150, 300), together(150, 300), gram_alone(300, 300), gram_together(300, 300);
  Threads one(1);
  multiply(a, b, alone, one);
  gram_into(b, gram_alone, one);
  for (const int count : {2, 3, 5}) {
    Threads threads(count);
    multiply(a, b, together, threads);
    CHECK(together == alone);
    gram_into(b, gram_together, threads);
    CHECK(gram_together == gram_alone);
  }
}

TEST_CASE("products of sizes that do not fit are refused before anything is written") {
  Threads threads;
  const Matrix<float> a(3, 5), b(5, 4), shorter(4, 4);
  Matrix<float> out(3, 4), small(2, 2);
  const auto refusal = [](const auto& compute) { return message_of<ShapeError>(compute); };
  CHECK(refusal([&] { multiply(a, shorter, out, threads); }) ==
        "product: rows of the right factor: expected 5, found 4");
  CHECK(refusal([&] { multiply(a, b, small, threads); }) == "product: rows of the result: expected 3, found 2");
  CHECK(refusal([&] { multiply_add(1, b.transpose(), a.transpose(), small, threads); }) ==
        "product: rows of the result: expected 4, found 2");
  CHECK(refusal([&] { gram_into(a, small, threads); }) == "product: rows of the result: expected 5, found 2");
  CHECK(refusal([&] { gram_add(1, a.transpose(), out, threads); }) ==
        "product: columns of the result: expected 3, found 4");
  CHECK(refusal([&] { multiply(a, b, out, {.addend = detail::view_of<const float>(b)}, threads); }) ==
        "product: rows of the addend or mask: expected 3, found 5");
  const Eigen::Matrix3f fixed = Eigen::Matrix3f::Ones();
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, 0, 3, 3> bounded(2, 3);
  CHECK(refusal([&] { multiply(fixed, fixed, bounded, threads); }) ==
        "product: rows of the result: expected 3, found 2");
}
