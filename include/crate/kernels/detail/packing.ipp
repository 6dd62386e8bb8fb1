// SPDX-License-Identifier: MIT

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// to(j, i) = from(i, j) for rows x cols numbers: those of a row lie side by side in `from`, rows `from_stride` apart;
/// those of a column side by side in `to`, columns `to_stride` apart.
template <Scalar S>
void transpose_into(const S* from, Index from_stride, Index rows, Index cols, S* to, Index to_stride) {
  using V = Simd<S>;
  constexpr Index lanes = lanes_of<V>;
  const Index whole_rows = rows / lanes * lanes, whole_cols = cols / lanes * lanes;
  for (Index i = 0; i < whole_rows; i += lanes)
    for (Index j = 0; j < whole_cols; j += lanes) {
      Registers<V, lanes> square;
      for (Index k = 0; k < lanes; ++k) square[k] = load<V>(from + (i + k) * from_stride + j);
      transpose(square);
      for (Index k = 0; k < lanes; ++k) store(square[k], to + (j + k) * to_stride + i);
    }
  for (Index i = 0; i < rows; ++i)
    for (Index j = i < whole_rows ? whole_cols : 0; j < cols; ++j) to[j * to_stride + i] = from[i * from_stride + j];
}

/// A panel for the micro-kernel: for each of `depth` steps `rows` numbers of A side by side, and 0 up to `width`.
template <Scalar S>
void pack_panel_of(MatrixView<const S> a, Index width, S* panel) {
  if (a.rows < width)
    for (Index k = 0; k < a.cols; ++k) std::fill(panel + k * width + a.rows, panel + (k + 1) * width, S(0));
  if (a.row_step == 1)
    for (Index k = 0; k < a.cols; ++k)
      std::memcpy(panel + k * width, a.at(0, k), static_cast<std::size_t>(a.rows) * sizeof(S));
  else
    transpose_into(a.first, a.row_step, a.rows, a.cols, panel, width);
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
