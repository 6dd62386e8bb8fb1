// SPDX-License-Identifier: MIT
// What does not need several processes; tests/programs/ranks.py has them.

#include "crate/training/communicator.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/core/launched_process.hpp"
#include "crate/core/threads.hpp"
#include "crate/layers/linear.hpp"
#include "crate/training/detail/sum_over_ranks.hpp"
#include "crate/training/shared_columns.hpp"

using namespace crate;
using namespace crate::test;

namespace {

/// One of several ranks, whose others give what they are told.
class RankAmongOthers final : public Communicator {
 public:
  RankAmongOthers(int rank, int size, std::vector<std::string> gathered = {})
      : rank_(rank), size_(size), gathered_(std::move(gathered)) {}
  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] std::string name_of(int rank) const override { return concatenate("rank ", rank, " on node", rank); }
  [[nodiscard]] std::vector<std::string> gather(std::string_view what, std::string_view own) override {
    told.emplace_back(what);
    std::vector<std::string> all = gathered_;
    all.insert(all.begin() + rank_, std::string(own));
    return all;
  }
  void add_in_order(std::span<const std::span<std::byte>> pieces, const Addend& addend) override {
    for (const auto piece : pieces)
      for (std::size_t at = 0; at < piece.size(); at += sizeof of_before_)
        std::memcpy(&piece[at], &of_before_, sizeof of_before_);
    single_process().add_in_order(pieces, addend);
  }
  void ask_to_wait() override {}

  /// What each sum of floats is on the ranks before.
  void give(float of_before) { of_before_ = of_before; }

  std::vector<std::string> told;  // what it gathered

 private:
  float of_before_ = 0;
  int rank_, size_;
  std::vector<std::string> gathered_;
};

}  // namespace

TEST_CASE("Things are dealt to ranks in order, evenly, and to the first if to any") {
  for (Index total = 1; total < 20; ++total)
    for (int size = 1; size < 8; ++size) {
      Index next = 0;
      for (int rank = 0; rank < size; ++rank) {
        const RankAmongOthers ranks(rank, size);
        const RankShare share(total, ranks);
        CHECK(share.first == next);
        CHECK(share.count <= (total + size - 1) / size);
        CHECK(share.count >= total / size);
        for (Index i = 0; i < share.count; ++i) CHECK(RankShare::owner(share.first + i, total, ranks) == rank);
        next += share.count;
      }
      CHECK(next == total);
      CHECK(RankShare(total, RankAmongOthers(0, size)).count > 0);
    }
}

TEST_CASE("Ranks share values in the order of those who own them") {
  std::vector<int> values{0, 7, 0, 9};
  RankAmongOthers ranks(1, 2, {std::string("\1\0\0\0\2\0\0\0", 8)});
  share_values(ranks, "values", values, [](Index i) { return i % 2 == 0 ? 0 : 1; });
  CHECK(values == std::vector<int>{1, 7, 2, 9});
  RankAmongOthers short_of_one(1, 2, {std::string("\1\0\0\0", 4)});
  CHECK(message_of<Error>([&] {
          share_values(short_of_one, "values", values, [](Index i) { return i % 2 == 0 ? 0 : 1; });
        }) == "values: expected more of rank 0 on node0, found 4 bytes");
}

TEST_CASE("Ranks share out the columns of matrices, in ranges that do not depend on them") {
  const auto bytes_of = [](const auto& matrix) {
    return std::string(reinterpret_cast<const char*>(matrix.data()),
                       sizeof(*matrix.data()) * std::size_t(matrix.size()));
  };
  const Matrix<double> whole = Matrix<double>::Random(3, 5);
  const Eigen::RowVectorXi whole_of_labels = Eigen::RowVectorXi::Random(5);
  Threads threads;
  for (int rank = 0; rank < 2; ++rank) {
    Matrix<double> columns = Matrix<double>::Zero(3, 5);
    Eigen::RowVectorXi labels = Eigen::RowVectorXi::Zero(5);
    std::vector<Index> begun;
    std::string of_other;  // who has the ranges 0 and 1, or 2: columns 0, 1 and 2, 3, or 4
    for (const Index first : {0, 2, 4})
      if ((first == 4) == (rank == 0))
        of_other += bytes_of(whole.middleCols(first, std::min<Index>(2, 5 - first)).eval()) +
                    bytes_of(whole_of_labels.middleCols(first, std::min<Index>(2, 5 - first)).eval());
    RankAmongOthers ranks(rank, 2, {of_other});
    const auto compute = [&](Index first, Index count, int) {
      begun.push_back(first);
      columns.middleCols(first, count) = whole.middleCols(first, count);
      labels.middleCols(first, count) = whole_of_labels.middleCols(first, count);
    };
    compute_shared_columns(ranks, "columns", 2, threads, compute, columns, labels);
    CHECK(begun == (rank == 0 ? std::vector<Index>{0, 2} : std::vector<Index>{4}));
    CHECK(columns == whole);
    CHECK(labels == whole_of_labels);
  }
}

TEST_CASE("An error in shared columns is told to the other ranks") {
  Threads threads(1);
  RankAmongOthers ranks(0, 2);
  Matrix<double> columns(3, 5);
  const auto compute = [](Index, Index, int) { throw Error("no picture"); };
  CHECK(message_of<Error>([&] { compute_shared_columns(ranks, "columns", 2, threads, compute, columns); }) ==
        "no picture");
  CHECK(ranks.told == std::vector<std::string>{"an error: no picture"});
}

TEST_CASE("A rank adds its lanes to what those before have added, each part when it is complete") {
  Threads threads(2);
  std::vector<Linear<float>> lanes(3, zeros_like(Linear<float>(200, 300)));
  for (std::size_t lane = 0; lane < 3; ++lane) lanes[lane].weight.setConstant(static_cast<float>(lane + 1));
  RankAmongOthers ranks(1, 2);
  detail::SumOverRanks<float> over_ranks(ranks, threads);
  for (const float of_before : {0.25F, 0.5F}) {
    ranks.give(of_before);
    detail::LaneSum<Linear<float>> sum(ranks, lanes, 2, &over_ranks, threads);
    sum.compute([&](Index lane, int) { lanes[std::size_t(lane)].bias.setConstant(7); });  // which the sum waits for
    CHECK(lanes[0].weight == Matrix<float>::Constant(300, 200, 3.0F + of_before));
    CHECK(lanes[0].bias == Vector<float>::Constant(300, 14.0F + of_before));
    lanes[0].weight.setOnes();
  }
}

TEST_CASE("An error in a lane ends a step, is told to the other ranks, and does not reach the next step") {
  Threads threads(1);
  std::vector<Linear<float>> lanes(1, zeros_like(Linear<float>(2, 3)));
  RankAmongOthers ranks(0, 2);
  detail::SumOverRanks<float> over_ranks(ranks, threads);
  CHECK(message_of<Error>([&] {
          detail::LaneSum<Linear<float>> sum(ranks, lanes, 1, &over_ranks, threads);
          sum.compute([](Index, int) { throw Error("no gradient"); });
        }) == "no gradient");
  CHECK(ranks.told == std::vector<std::string>{"an error: no gradient"});
  detail::LaneSum<Linear<float>> sum(ranks, lanes, 1, &over_ranks, threads);
  sum.compute([&](Index, int) { lanes[0].weight.setOnes(); });
  CHECK(lanes[0].weight == Matrix<float>::Ones(3, 2));
}

TEST_CASE("The first text in which ranks differ is named, with what they have") {
  const std::vector<std::pair<std::string, std::string>> own{{"seed", "1"}, {"batch", "8"}};
  RankAmongOthers same(0, 2, {std::string("seed: 1\0batch: 8\0", 17)});
  check_agreement(same, "options", own);
  RankAmongOthers other(0, 2, {std::string("seed: 1\0batch: 9\0", 17)});
  CHECK(message_of<Error>([&] { check_agreement(other, "options", own); }) ==
        "ranks must agree in options: rank 0 on node0 has 'batch: 8', rank 1 on node1 has 'batch: 9'");
  RankAmongOthers fewer(0, 2, {std::string("seed: 1\0", 8)});
  CHECK(message_of<Error>([&] { check_agreement(fewer, "options", own); }) ==
        "ranks must agree in options: rank 0 on node0 has 'batch: 8', rank 1 on node1 has ''");
}

TEST_CASE("A process knows that it was started with others") {
  for (const char* name :
       {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE", "PMIX_RANK", "SLURM_STEP_NUM_TASKS"})
    ::unsetenv(name);
  CHECK_FALSE(launched_process().has_value());
  CHECK_FALSE(is_launched());
  ::setenv("PMI_RANK", "1", 1);
  CHECK(is_launched());
  CHECK_FALSE(launched_process().has_value());
  ::setenv("PMI_SIZE", "4", 1);
  REQUIRE(launched_process().has_value());
  CHECK(launched_process()->rank == 1);
  CHECK(launched_process()->count == 4);
  ::setenv("PMI_SIZE", "four", 1);
  CHECK_FALSE(launched_process().has_value());
  ::unsetenv("PMI_RANK");
  ::unsetenv("PMI_SIZE");

  ::setenv("SLURM_STEP_NUM_TASKS", "2", 1);
  CHECK_FALSE(is_launched());
  ::setenv("PMIX_RANK", "0", 1);
  REQUIRE(launched_process().has_value());
  CHECK(launched_process()->count == 2);
  ::unsetenv("PMIX_RANK");
  ::unsetenv("SLURM_STEP_NUM_TASKS");
}
