// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <type_traits>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/gelu_form.hpp"
#include "crate/kernels/packed_product.hpp"
#include "crate/kernels/views.hpp"

// All matrix products of the library go through these functions.

namespace crate {

namespace detail {

/// Products of fewer multiply-adds, or of fewer columns, are not worth packing.
inline constexpr Index smallest_packed_product = 4096, fewest_packed_columns = 4;

/// What the epilogue makes of the entry (i, j) of a product.
template <Scalar S>
[[nodiscard]] S finished(S product, Index i, Index j, const ProductEpilogue<S>& epilogue) {
  S x = epilogue.scale * product;
  if (epilogue.shift != nullptr) x += epilogue.shift[i];
  if (epilogue.addend.first != nullptr) x += *epilogue.addend.at(i, j);
  if (epilogue.activation == Activation::relu)
    x = x - epilogue.level < 0 ? 0 : x - epilogue.level;
  else if (epilogue.activation == Activation::soft_threshold)
    x -= std::max(std::min(x, epilogue.level), -epilogue.level);
  else if (epilogue.activation != Activation::none)
    x = gelu(x, epilogue.activation == Activation::gelu ? GeluForm::exact : GeluForm::tanh);
  return epilogue.mask.first != nullptr && *epilogue.mask.at(i, j) == 0 ? 0 : x;
}

/// Memory of a thread for what products pack, used again from product to product.
[[nodiscard]] inline Workspace& packing_workspace() {
  static thread_local Workspace workspace;
  return workspace;
}

/// y = A x: the sum of the columns of A, or the dot products of its rows, whichever lie in memory.
template <Scalar S>
void multiply_vector(MatrixView<const S> a, const S* x, S* y) {
  using Numbers = Eigen::Map<const Vector<S>>;
  if (a.row_step != 1) {
    for (Index i = 0; i < a.rows; ++i) y[i] = Numbers(a.at(i, 0), a.cols).dot(Numbers(x, a.cols));
    return;
  }
  Eigen::Map<Vector<S>> sum(y, a.rows);
  const auto column = [&](Index k) { return Numbers(a.at(0, k), a.rows); };
  sum.setZero();
  Index k = 0;
  for (; k + 4 <= a.cols; k += 4)
    sum += x[k] * column(k) + x[k + 1] * column(k + 1) + x[k + 2] * column(k + 2) + x[k + 3] * column(k + 3);
  for (; k < a.cols; ++k) sum += x[k] * column(k);
}

/// out = epilogue(A B), column by column as products of A with a vector, or row by row as products of B^T if rows are
/// fewer.
template <Scalar S>
void multiply_columns(MatrixView<const S> a, MatrixView<const S> b, Columns<S> out,
                      const ProductEpilogue<S>& epilogue) {
  const bool by_rows = a.rows < b.cols;
  const MatrixView<const S> factor = by_rows ? b.transposed() : a, vectors = by_rows ? a.transposed() : b;
  Workspace::Frame frame(packing_workspace());
  S* const x = frame.array<S>(vectors.rows);
  S* const y = frame.array<S>(factor.rows);
  for (Index j = 0; j < vectors.cols; ++j) {
    for (Index k = 0; k < vectors.rows; ++k) x[k] = *vectors.at(k, j);
    multiply_vector(factor, x, y);
    for (Index i = 0; i < factor.rows; ++i) {
      const Index row = by_rows ? j : i, col = by_rows ? i : j;
      *out.at(row, col) = finished(y[i], row, col, epilogue);
    }
  }
}

/// How many numbers of the depth are multiplied at a time: as many as a panel of them leaves room for in the second
/// cache, in equal blocks.
[[nodiscard]] inline Index depth_of_block(Index depth) {
  constexpr Index largest = 1600;
  const Index blocks = (depth + largest - 1) / largest;
  return blocks == 0 ? 0 : (depth + blocks - 1) / blocks;
}

/// Numbers from one packed column to the next: an odd number of cache lines, for neighbours at a distance of many
/// powers of two would take each other's place in the cache.
template <Scalar S>
[[nodiscard]] constexpr Index packed_column_step(Index depth) {
  constexpr Index line = 64 / sizeof(S);
  return ((depth + line - 1) / line | 1) * line;
}

/// The epilogue of a block of the depth: the first adds the addend, the others what was summed before, the last one
/// does the rest.
template <Scalar S>
[[nodiscard]] Epilogue<S> epilogue_of_block(const ProductEpilogue<S>& whole, Columns<S> out, bool first, bool last) {
  Epilogue<S> epilogue{.scale = whole.scale};
  epilogue.addend =
      first ? Columns<const S>{whole.addend.first, whole.addend.col_step} : Columns<const S>{out.first, out.stride};
  if (!last) return epilogue;
  epilogue.shift = whole.shift;
  epilogue.activation = whole.activation;
  epilogue.level = whole.level;
  epilogue.mask = {whole.mask.first, whole.mask.col_step};
  return epilogue;
}

/// A block of the depth of a product's operands, arranged for the micro-kernel: A by panels, and B by columns unless
/// these lie in memory as they are.
template <class K, Scalar S>
class PackedBlock {
 public:
  using Tiles = typename K::template Tiles<typename K::template Arithmetic<S>>;

  /// Room for blocks of at most `depth`.
  PackedBlock(MatrixView<const S> a, MatrixView<const S> b, Index depth, Workspace::Frame& frame)
      : a_(a), b_(b), panels_(frame.array<S>(round_up(a.rows, Tiles::lanes) * depth)) {
    if (b.row_step != 1) columns_ = frame.array<S>(packed_column_step<S>(depth) * b.cols);
  }

  [[nodiscard]] Index panels() const { return (a_.rows + Tiles::rows - 1) / Tiles::rows; }
  [[nodiscard]] Index depth() const { return depth_; }
  [[nodiscard]] Index rows_of(Index panel) const { return std::min(Tiles::rows, a_.rows - panel * Tiles::rows); }
  [[nodiscard]] const S* panel(Index index) const { return panels_ + index * Tiles::rows * depth_; }
  [[nodiscard]] Columns<const S> columns() const {
    if (columns_ == nullptr) return {b_.at(from_, 0), b_.col_step};
    return {columns_, packed_column_step<S>(depth_)};
  }

  /// Packs the numbers of the depth from `from` on.
  void pack(Index from, Index depth, Threads& threads) {
    constexpr Index steps = 128, cols = 4 * Tiles::lanes;
    from_ = from;
    depth_ = depth;
    const Index parts = (depth + steps - 1) / steps;
    const Index col_pieces = columns_ == nullptr ? 0 : (b_.cols + cols - 1) / cols;
    threads.for_each((panels() + col_pieces) * parts, [&](Index piece, int) {
      const Index first = piece % parts * steps, count = std::min(steps, depth - first), of = piece / parts;
      if (of < panels())
        pack_panel(of, first, count);
      else
        pack_columns((of - panels()) * cols, std::min(cols, b_.cols - (of - panels()) * cols), first, count);
    });
  }

 private:
  void pack_panel(Index panel, Index first, Index count) {
    const Index row = panel * Tiles::rows, width = round_up(rows_of(panel), Tiles::lanes);
    K::template pack_panel_of<S>(a_.block(row, from_ + first, rows_of(panel), count), width,
                                 panels_ + row * depth_ + first * width);
  }
  void pack_columns(Index col, Index cols, Index first, Index count) {
    const Index step = packed_column_step<S>(depth_);
    K::template transpose_into<S>(b_.at(from_ + first, col), b_.row_step, count, cols, columns_ + col * step + first,
                                  step);
  }

  MatrixView<const S> a_, b_;
  Index from_ = 0, depth_ = 0;
  S* panels_;
  S* columns_ = nullptr;
};

/// out = epilogue(A B). Of every block of the depth first the operands are packed, then pieces of the output are
/// multiplied. The cut of the depth depends on sizes alone, and so do the bits.
template <Scalar S>
void multiply_packing(Entries entries, MatrixView<const S> a, MatrixView<const S> b, Columns<S> out,
                      const ProductEpilogue<S>& epilogue, Threads& threads) {
  const InstructionSet set = instruction_set();
  with_kernels(set, [&]<class K>(K) {
    const Index block = depth_of_block(a.cols);
    Workspace::Frame frame(packing_workspace());
    PackedBlock<K, S> packed(a, b, block, frame);
    for (Index from = 0; from < a.cols; from += block) {
      packed.pack(from, std::min(block, a.cols - from), threads);
      const Epilogue<S> of_block = epilogue_of_block(epilogue, out, from == 0, from + block >= a.cols);
      const Columns<const S> x = packed.columns();
      for_each_piece(packed.panels(), b.cols, packed.depth() * Index{sizeof(S)}, set, threads,
                     [&](Index panel, Index first, Index last, int) {
                       const Index row = panel * PackedBlock<K, S>::Tiles::rows, rows = packed.rows_of(panel);
                       if (entries == Entries::lower_triangle) last = std::min(last, row + rows);
                       if (first >= last) return;
                       K::template multiply_panel<typename K::template Arithmetic<S>>(
                           packed.panel(panel), packed.depth(), row, rows, x, first, last, of_block, out, entries);
                     });
    }
  });
}

/// out = epilogue(A B).
template <Scalar S>
void multiply(Entries entries, MatrixView<const S> a, MatrixView<const S> b, MatrixView<S> out,
              ProductEpilogue<S> epilogue, Threads& threads) {
  if (out.row_step != 1) {
    epilogue.addend = epilogue.addend.transposed();
    epilogue.mask = epilogue.mask.transposed();
    return multiply<S>(entries, b.transposed(), a.transposed(), out.transposed(), epilogue, threads);
  }
  if (out.rows == 0 || out.cols == 0) return;
  const Columns<S> columns{out.first, out.col_step};
  if (out.cols < fewest_packed_columns || out.rows * out.cols * a.cols < smallest_packed_product)
    return multiply_columns<S>(a, b, columns, epilogue);
  multiply_packing<S>(entries, a, b, columns, epilogue, threads);
}

/// Entries below the diagonal are copied to their mirror images above it.
template <Scalar S>
void mirror_lower_triangle(Columns<S> a, Index size, Threads& threads) {
  constexpr Index step = 64;
  with_kernels(instruction_set(), [&]<class K>(K) {
    threads.for_each_range(size, step, [&](Index col, Index cols, int) {
      for (Index row = 0; row < col; row += step)
        K::template transpose_into<S>(a.at(col, row), a.stride, step, cols, a.at(row, col), a.stride);
      for (Index j = col; j < col + cols; ++j)
        for (Index i = col; i < j; ++i) *a.at(i, j) = *a.at(j, i);
    });
  });
}

/// out = epilogue(A^T A), symmetric, as is the addend.
template <Scalar S>
void gram(MatrixView<const S> a, MatrixView<S> out, ProductEpilogue<S> epilogue, Threads& threads) {
  if (out.row_step != 1) {  // both are their own transposes
    out = out.transposed();
    epilogue.addend = epilogue.addend.transposed();
  }
  multiply<S>(Entries::lower_triangle, a.transposed(), a, out, epilogue, threads);
  mirror_lower_triangle<S>({out.first, out.col_step}, out.rows, threads);
}

struct ProductShape {
  Index rows, cols;
};

/// Throws ShapeError unless A is m x k, B is k x n and the result m x n.
inline void check_product(ProductShape a, ProductShape b, ProductShape out) {
  check_size("product: rows of the right factor", b.rows, a.cols);
  check_size("product: rows of the result", out.rows, a.rows);
  check_size("product: columns of the result", out.cols, b.cols);
}

/// Throws ShapeError unless what the epilogue adds, and what it masks with, is as large as the product.
template <Scalar S>
void check_epilogue(const ProductEpilogue<S>& epilogue, ProductShape out) {
  for (const MatrixView<const S>& operand : {epilogue.addend, epilogue.mask}) {
    if (operand.first == nullptr) continue;
    check_size("product: rows of the addend or mask", operand.rows, out.rows);
    check_size("product: columns of the addend or mask", operand.cols, out.cols);
  }
}

/// The matrix itself if it can be viewed, otherwise what the expression evaluates to.
template <class Derived>
decltype(auto) viewable(const Eigen::MatrixBase<Derived>& expression) {
  if constexpr (is_viewable<Derived>)
    return (expression.derived());
  else
    return Plain<Derived>(expression);
}

template <class A, class B, class Out>
void multiply(const A& a, const B& b, Out& out, const ProductEpilogue<typename Out::Scalar>& epilogue,
              Threads& threads) {
  using S = typename Out::Scalar;
  static_assert(is_viewable<Out>, "a product goes into a matrix, a block of columns or the transpose of one");
  const auto& left = viewable(a);
  const auto& right = viewable(b);
  multiply<S>(Entries::all, view_of<const S>(left), view_of<const S>(right), view_of<S>(out), epilogue, threads);
}

template <class A, class Out>
void gram(const A& a, Out& out, const ProductEpilogue<typename Out::Scalar>& epilogue, Threads& threads) {
  using S = typename Out::Scalar;
  static_assert(is_viewable<Out>, "a Gram matrix goes into a matrix, or a block of one");
  const auto& factor = viewable(a);
  gram<S>(view_of<const S>(factor), view_of<S>(out), epilogue, threads);
}

}  // namespace detail

/// out = A B on several threads, by the library's own kernels; bounded sizes by Eigen. `out` must not overlap A or B.
/// It is cut into pieces by its size alone, so that any number of threads gives the same bits. Throws ShapeError, as
/// all below, unless the sizes fit.
template <class A, class B, class Out>
void multiply(const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b, Eigen::MatrixBase<Out>& out,
              Threads& threads) {
  detail::check_product({a.rows(), a.cols()}, {b.rows(), b.cols()}, {out.rows(), out.cols()});
  if constexpr (is_bounded<Out>)
    out.noalias() = a * b;
  else
    detail::multiply(a.derived(), b.derived(), out.derived(), {}, threads);
}

/// out = epilogue(A B), as multiply, without a further pass over `out`. See detail::ProductEpilogue.
template <class A, class B, class Out>
void multiply(const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b, Eigen::MatrixBase<Out>& out,
              const detail::ProductEpilogue<typename Out::Scalar>& epilogue, Threads& threads) {
  detail::check_product({a.rows(), a.cols()}, {b.rows(), b.cols()}, {out.rows(), out.cols()});
  detail::check_epilogue(epilogue, {out.rows(), out.cols()});
  if constexpr (is_bounded<Out>) {
    Plain<Out> product;
    product.noalias() = a * b;
    for (Index j = 0; j < out.cols(); ++j)
      for (Index i = 0; i < out.rows(); ++i) out(i, j) = detail::finished(product(i, j), i, j, epilogue);
  } else {
    detail::multiply(a.derived(), b.derived(), out.derived(), epilogue, threads);
  }
}

/// out += scale A B on several threads, as multiply.
template <class A, class B, class Out>
void multiply_add(double scale, const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b,
                  Eigen::MatrixBase<Out>& out, Threads& threads) {
  using S = typename Out::Scalar;
  detail::check_product({a.rows(), a.cols()}, {b.rows(), b.cols()}, {out.rows(), out.cols()});
  const auto factor = static_cast<S>(scale);
  if constexpr (is_bounded<Out>)
    out.noalias() += factor * (a * b);
  else
    detail::multiply(a.derived(), b.derived(), out.derived(),
                     {.scale = factor, .addend = detail::view_of<const S>(out.derived())}, threads);
}

/// out = A^T A, by half the multiplications of a product, as multiply; symmetric to the last bit. A A^T is that of A^T.
template <class A, class Out>
void gram_into(const Eigen::MatrixBase<A>& a, Eigen::MatrixBase<Out>& out, Threads& threads) {
  detail::check_product({a.cols(), a.rows()}, {a.rows(), a.cols()}, {out.rows(), out.cols()});
  if constexpr (is_bounded<Out>)
    out.noalias() = a.transpose() * a;
  else
    detail::gram(a.derived(), out.derived(), {}, threads);
}

/// out += scale A^T A, as gram_into; `out` is symmetric.
template <class A, class Out>
void gram_add(double scale, const Eigen::MatrixBase<A>& a, Eigen::MatrixBase<Out>& out, Threads& threads) {
  using S = typename Out::Scalar;
  detail::check_product({a.cols(), a.rows()}, {a.rows(), a.cols()}, {out.rows(), out.cols()});
  const auto factor = static_cast<S>(scale);
  if constexpr (is_bounded<Out>)
    out.noalias() += factor * (a.transpose() * a);
  else
    detail::gram(a.derived(), out.derived(), {.scale = factor, .addend = detail::view_of<const S>(out.derived())},
                 threads);
}

}  // namespace crate

#ifdef CRATE_COMPILED_KERNELS
#define CRATE_INSTANCE extern template
#include "crate/kernels/detail/product_instances.ipp"
#undef CRATE_INSTANCE
#endif
