// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/token_sets.hpp"

namespace crate {

/// Throws OptionError unless a probability of dropping an entry lies in [0, 1).
inline void check_dropout(double probability) {
  check_option(probability >= 0 && probability < 1, "dropout in [0, 1)", probability);
}

/// Which random numbers dropout draws. They depend on the seed, the step of training, the place in the model and the
/// index of the token set in its batch alone, so neither threads nor how a batch is cut change them, and the backward
/// pass draws them again. Numbers of `Random` with the same seed are not independent of them: at step 0 those of set s
/// are among the numbers of Random(seed, s).
struct DropoutStream {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;   ///< of training
  Index first_set = 0;      ///< of this pass, in the batch
  std::uint64_t place = 0;  ///< which of the model's dropouts comes next

  /// The next place, for a tape to keep.
  std::uint64_t take_place() { return place++; }
};

namespace detail {

/// Where in its stream a dropout draws: numbers 4 c, ..., 4 c + 3 are philox({c, counter[1], counter[2], counter[3]},
/// key). `set` counts from the first of the pass, `part` tells apart what one place drops of one set.
struct DropoutDraws {
  std::array<std::uint32_t, 4> counter;
  std::array<std::uint32_t, 2> key;

  DropoutDraws(const DropoutStream& stream, std::uint64_t place, Index set, Index part)
      : counter{0, low(place), static_cast<std::uint32_t>(stream.first_set + set), static_cast<std::uint32_t>(part)},
        key{low(stream.seed) ^ high(stream.step), high(stream.seed) ^ low(stream.step)} {}

 private:
  static constexpr std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
  static constexpr std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }
};

/// What is drawn below this is dropped.
[[nodiscard]] inline std::uint32_t dropout_threshold(double probability) {
  return static_cast<std::uint32_t>(probability * 0x1p32);
}

/// Replaces every set by zeros with the given probability, else by itself / (1 - probability); its cotangent, too.
template <class Block>
void drop_whole_sets(const TokenLayout& layout, double probability, const DropoutStream& stream, std::uint64_t place,
                     Block&& tokens) {
  using S = typename std::decay_t<Block>::Scalar;
  check_dropout(probability);
  for (Index set = 0; set < layout.sets(); ++set) {
    const DropoutDraws draws(stream, place, set, 0);
    const bool is_dropped = philox(draws.counter, draws.key)[0] < dropout_threshold(probability);
    tokens.middleCols(layout.begin(set), layout.length(set)) *=
        is_dropped ? S(0) : static_cast<S>(1 / (1 - probability));
  }
}

}  // namespace detail

}  // namespace crate
