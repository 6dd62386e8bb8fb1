// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/training/communicator.hpp"

namespace crate {

/// Computes the columns of one or more matrices with the same number of columns, on several threads and ranks:
/// compute(first, count, worker) fills columns first, ..., first + count - 1 of all matrices, with count <= `step`.
/// Each range is computed by one rank; then all ranks have all columns. Ranges do not depend on the number of threads
/// and ranks. Rethrows what compute throws, and reports it to the other ranks; also throws as
/// share_blocks.
template <class Compute, class First, class... Others>
void compute_shared_columns(Communicator& ranks, std::string_view what, Index step, Threads& threads,
                            const Compute& compute, First& matrix, Others&... others) {
  const Index total = matrix.cols(), ranges = (total + step - 1) / step;
  const auto columns_in = [&](Index range) { return std::min(step, total - range * step); };
  const RankShare own(ranges, ranks);
  run_and_report_errors(ranks, [&] {
    threads.for_each(own.count, [&](Index i, int worker) {
      const Index range = own.first + i;
      compute(range * step, columns_in(range), worker);
    });
  });
  share_blocks(ranks, what, [&](int rank, const auto& visit) {
    for (Index range = 0; range < ranges; ++range) {
      if (RankShare::owner(range, ranges, ranks) != rank) continue;
      const auto visit_columns = [&](auto& columns) {
        auto* const begin = columns.data() + range * step * columns.rows();
        const auto numbers = static_cast<std::size_t>(columns_in(range) * columns.rows());
        visit(std::as_writable_bytes(std::span(begin, numbers)));
      };
      visit_columns(matrix);
      (visit_columns(others), ...);
    }
  });
}

}  // namespace crate
