// SPDX-License-Identifier: MIT

// The views of pictures that self-distillation takes: two global crops and the local ones, with colours, blur and
// solarising, normalised. They are first compared with those of each picture by itself. To be held against a training
// step on as many images.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "crate/augmentation/view_presets.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "measurement.hpp"

namespace crate::bench {
namespace {

constexpr Index batch = 16;

ImageDataSet random_pictures(Index side, Index channels) {
  ImageDataSet data{.height = side, .width = side, .channels = channels};
  data.pixels.resize(channels * side * side, batch);
  Random random(1);
  for (Index i = 0; i < data.pixels.size(); ++i) data.pixels.data()[i] = static_cast<std::uint8_t>(random.below(256));
  return data;
}

/// The views of picture i, under each other.
Vector<float> views_of(const ImageDataSet& data, const ImageNormalisation& normalisation,
                       const std::vector<ImageAugmentation>& augmentations, Index i) {
  Vector<float> all(0);
  const std::vector<Index> indices{i};
  for (const Matrix<float>& view : augmented_views<float>(data, indices, normalisation, augmentations, 1, 2)) {
    all.conservativeResize(all.size() + view.size());
    all.tail(view.size()) = view.col(0);
  }
  return all;
}

/// Arguments: side of the pictures, threads.
void multi_crop(benchmark::State& state, const MultiCrop& crop, Index channels) {
  const ImageDataSet data = random_pictures(state.range(0), channels);
  const ImageNormalisation normalisation = measure_normalisation(data);
  const std::vector<ImageAugmentation> augmentations = multi_crop_views(crop);
  std::vector<Index> all(static_cast<std::size_t>(batch));
  std::iota(all.begin(), all.end(), Index{0});
  const auto together = augmented_views<float>(data, all, normalisation, augmentations, 1, 2);
  const Vector<float> last = views_of(data, normalisation, augmentations, batch - 1);
  if (!agrees<float>(state, last.tail(together.back().rows()), together.back().col(batch - 1))) return;
  Threads threads(static_cast<int>(state.range(1)));
  std::uint64_t epoch = 0;
  time_work<float>(state, {.threads = threads.count()}, [&] {
    ++epoch;
    threads.for_each(threads.count(), [&](Index, int) {
      benchmark::DoNotOptimize(augmented_views<float>(data, all, normalisation, augmentations, 1, epoch));
    });
    return epoch;
  });
  state.counters["images/s"] =
      benchmark::Counter(static_cast<double>(batch) * threads.count(), benchmark::Counter::kIsIterationInvariantRate);
}

template <Index side>
void threads_and(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"side", "threads"})
      ->ArgsProduct({{side}, {1, 2}})
      ->MinTime(0.1)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(multi_crop, small_grey, small_grey_multi_crop(28), 1)->Apply(threads_and<28>);
BENCHMARK_CAPTURE(multi_crop, small, small_multi_crop(32), 3)->Apply(threads_and<32>);
BENCHMARK_CAPTURE(multi_crop, published, MultiCrop{}, 3)->Apply(threads_and<224>);

}  // namespace
}  // namespace crate::bench
