// SPDX-License-Identifier: MIT
// The bodies of positions.hpp.

namespace crate {

namespace detail {

/// Four neighbouring samples and their weights.
struct CubicTaps {
  std::array<Index, 4> at;
  std::array<double, 4> weight;
};

/// Cubic convolution with a = -3/4 at target sample i of an axis of `size` samples stretched by `scale`, sample centres
/// aligned, borders repeated.
inline CubicTaps cubic_taps(Index i, Index size, double scale) {
  const double source = (static_cast<double>(i) + 0.5) / scale - 0.5;
  const double whole = std::floor(source), t = source - whole;
  CubicTaps taps;
  for (std::size_t k = 0; k < 4; ++k) {
    const Index offset = static_cast<Index>(k) - 1;
    taps.at[k] = std::clamp<Index>(static_cast<Index>(whole) + offset, 0, size - 1);
    taps.weight[k] = cubic_convolution_weight(std::abs(t - static_cast<double>(offset)), -0.75);
  }
  return taps;
}

inline void check_stretch(Index rows, Index columns, Index new_rows, Index new_columns) {
  check_option(rows >= 1 && columns >= 1, "positions: at least 1 x 1 patches", concatenate(rows, " x ", columns));
  check_option(new_rows >= 1 && new_columns >= 1, "positions: at least 1 x 1 patches",
               concatenate(new_rows, " x ", new_columns));
}

/// Calls visit(patch, new patch, weight) for the sixteen patches that each new one is made of.
template <class Visit>
void for_each_tap(Index rows, Index columns, Index new_rows, Index new_columns, const Visit& visit) {
  const double down = (static_cast<double>(new_rows) + 0.1) / static_cast<double>(rows);
  const double across = (static_cast<double>(new_columns) + 0.1) / static_cast<double>(columns);
  for (Index patch = 0; patch < new_rows * new_columns; ++patch) {
    const CubicTaps y = cubic_taps(patch / new_columns, rows, down);
    const CubicTaps x = cubic_taps(patch % new_columns, columns, across);
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t j = 0; j < 4; ++j) visit(y.at[i] * columns + x.at[j], patch, y.weight[i] * x.weight[j]);
  }
}

}  // namespace detail

template <Scalar S>
Matrix<S> sin_cos_positions(Index dim, Index rows, Index columns) {
  check_option(dim >= 4 && dim % 4 == 0, "sin-cos positions: dimension a positive multiple of 4", dim);
  check_option(rows >= 1 && columns >= 1, "sin-cos positions: at least 1 x 1 patches",
               concatenate(rows, " x ", columns));
  const Index quarter = dim / 4;
  Matrix<S> table = Matrix<S>::Zero(dim, 1 + rows * columns);
  for (Index patch = 0; patch < rows * columns; ++patch) {
    const Index row = patch / columns, column = patch % columns;
    for (Index i = 0; i < quarter; ++i) {
      const double frequency = std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(quarter));
      const double across = static_cast<double>(column) * frequency;
      const double down = static_cast<double>(row) * frequency;
      table(i, 1 + patch) = static_cast<S>(std::sin(across));
      table(quarter + i, 1 + patch) = static_cast<S>(std::cos(across));
      table(2 * quarter + i, 1 + patch) = static_cast<S>(std::sin(down));
      table(3 * quarter + i, 1 + patch) = static_cast<S>(std::cos(down));
    }
  }
  return table;
}

template <Scalar S>
Matrix<S> interpolate_positions(const Matrix<S>& table, Index rows, Index columns, Index new_rows, Index new_columns) {
  detail::check_stretch(rows, columns, new_rows, new_columns);
  check_size("positions: columns of the table", table.cols(), 1 + rows * columns);
  if (rows == new_rows && columns == new_columns) return table;
  Matrix<S> stretched = Matrix<S>::Zero(table.rows(), 1 + new_rows * new_columns);
  stretched.col(0) = table.col(0);
  detail::for_each_tap(rows, columns, new_rows, new_columns, [&](Index patch, Index new_patch, double weight) {
    stretched.col(1 + new_patch) += static_cast<S>(weight) * table.col(1 + patch);
  });
  return stretched;
}

template <Scalar S>
Matrix<S> interpolate_positions_adjoint(const Matrix<S>& stretched_cotangent, Index rows, Index columns, Index new_rows,
                                        Index new_columns) {
  detail::check_stretch(rows, columns, new_rows, new_columns);
  check_size("positions: columns of the cotangent", stretched_cotangent.cols(), 1 + new_rows * new_columns);
  if (rows == new_rows && columns == new_columns) return stretched_cotangent;
  Matrix<S> by_table = Matrix<S>::Zero(stretched_cotangent.rows(), 1 + rows * columns);
  by_table.col(0) = stretched_cotangent.col(0);
  detail::for_each_tap(rows, columns, new_rows, new_columns, [&](Index patch, Index new_patch, double weight) {
    by_table.col(1 + patch) += static_cast<S>(weight) * stretched_cotangent.col(1 + new_patch);
  });
  return by_table;
}

}  // namespace crate
