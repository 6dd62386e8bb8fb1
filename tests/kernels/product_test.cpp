// SPDX-License-Identifier: MIT
// The one door for products: every shape, order of operands and instruction set, within the bound of rounding.

#include "crate/kernels/product.hpp"

#include <limits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

namespace {

std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets;
  for (std::size_t i = 0; i < instruction_set_names.size(); ++i)
    if (const auto set = static_cast<InstructionSet>(i); is_supported(set)) sets.push_back(set);
  return sets;
}

/// Uses an instruction set as long as it lives.
class Using {
 public:
  explicit Using(InstructionSet set) { use_instruction_set(set); }
  Using(const Using&) = delete;
  Using& operator=(const Using&) = delete;
  ~Using() { use_instruction_set(before_); }

 private:
  InstructionSet before_ = instruction_set();
};

/// A matrix that lies column after column or row after row, with room between them.
template <class S>
struct Strided {
  Matrix<S> memory;
  Index rows, cols;
  bool row_major;

  Strided(Random& random, Index r, Index c, bool by_rows)
      : memory(draw_normal(random, (by_rows ? c : r) + 3, by_rows ? r : c).template cast<S>()),
        rows(r),
        cols(c),
        row_major(by_rows) {}

  template <class Body>
  decltype(auto) visit(const Body& body) {
    auto block = memory.topRows(row_major ? cols : rows);
    if (!row_major) return body(block);
    auto transposed = block.transpose();
    return body(transposed);
  }
  [[nodiscard]] Matrix<double> copy() const {
    const Matrix<S> block = memory.topRows(row_major ? cols : rows);
    return (row_major ? Matrix<S>(block.transpose()) : block).template cast<double>();
  }
  [[nodiscard]] Matrix<S> rest() const { return memory.bottomRows(3); }
};

template <class S>
void check_products(Random& random, Index rows, Index depth, Index cols, Threads& threads) {
  CAPTURE(rows, depth, cols);
  const double unit = static_cast<double>(std::numeric_limits<S>::epsilon()) / 2;
  for (int order = 0; order < 8; ++order) {
    Strided<S> a(random, rows, depth, (order & 1) != 0), b(random, depth, cols, (order & 2) != 0),
        out(random, rows, cols, (order & 4) != 0);
    const Matrix<double> x = a.copy(), y = b.copy(), before = out.copy(), rest = out.rest().template cast<double>();
    const Matrix<double> size = x.cwiseAbs() * y.cwiseAbs();
    const auto apply = [&](const auto& action) {
      a.visit([&](auto& left) {
        b.visit([&](auto& right) { out.visit([&](auto& result) { action(left, right, result); }); });
      });
    };
    apply([&](auto& left, auto& right, auto& result) { multiply_add(-0.75, left, right, result, threads); });
    const Matrix<double> error = out.copy() - (before - 0.75 * x * y);
    const Matrix<double> bound = unit * (static_cast<double>(depth + 4) * size + 2 * before.cwiseAbs());
    CHECK((error.cwiseAbs() - bound).maxCoeff() <= 0);
    apply([&](auto& left, auto& right, auto& result) { multiply(left, right, result, threads); });
    CHECK(((out.copy() - x * y).cwiseAbs() - static_cast<double>(depth + 2) * unit * size).maxCoeff() <= 0);
    CHECK(out.rest().template cast<double>() == rest);  // nothing is written beyond
  }
}

}  // namespace

TEMPLATE_TEST_CASE("products of every order are within the bound of rounding, from 1 x 1 to across the edges of tiles",
                   "", float, double) {
  Random random(1);
  Threads threads(2);
  for (const InstructionSet set : instruction_sets()) {
    CAPTURE(name_of(set));
    const Using chosen(set);
    const Index tile = detail::tile_rows(set, sizeof(TestType)),
                cols = detail::tile_shape(detail::vector_bytes(set)).columns;
    check_products<TestType>(random, 1, 1, 1, threads);
    for (const Index rows : {Index{1}, Index{7}, tile - 1, tile, 2 * tile + 1})
      for (const Index columns : {Index{1}, cols - 1, cols, 3 * cols + 1})
        check_products<TestType>(random, rows, draw_index(random, 1, 70), columns, threads);
    check_products<TestType>(random, 61, 1700, 37, threads);  // three blocks of the depth
    check_products<TestType>(random, 3 * tile, 64, 400, threads);
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
  const Matrix<TestType> a = draw_normal(random, 150, 900).template cast<TestType>(),
                         b = draw_normal(random, 900, 300).template cast<TestType>();
  Matrix<TestType> alone(150, 300), together(150, 300);
  Threads one(1);
  multiply(a, b, alone, one);
  for (const int count : {2, 3, 5}) {
    Threads threads(count);
    multiply(a, b, together, threads);
    CHECK(together == alone);
  }
}
