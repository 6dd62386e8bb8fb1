// SPDX-License-Identifier: MIT
#include <crate/training/mpi.hpp>
#include <cstddef>
#include <span>

// Each rank adds one: the sum, on every rank, is how many there are. Started without mpirun, one.
int main() {
  crate::Mpi ranks;
  int sum = 0;
  const std::span<std::byte> piece = std::as_writable_bytes(std::span(&sum, 1));
  ranks.add_in_order(std::span(&piece, 1),
                     {.is_complete = [](std::size_t) { return true; }, .add = [&](std::size_t) { ++sum; }});
  return sum == ranks.size() ? 0 : 1;
}
