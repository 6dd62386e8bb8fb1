// SPDX-License-Identifier: MIT

// The views of pictures that self-distillation takes: two global crops and the local ones, with colours, blur and
// solarising, normalised. They are first compared with those of each picture by itself. Beside them a step of
// self-distillation, which draws the views itself: in images/s, how much of its time the views take.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "crate/augmentation/view_presets.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/self_distillation.hpp"
#include "crate/training/adamw.hpp"
#include "crate/training/joint_gradient.hpp"
#include "crate/training/moving_average.hpp"
#include "crate/training/self_distillation.hpp"
#include "measurement.hpp"

namespace crate::bench {
namespace {

constexpr Index batch = 16;

ImageDataSet random_pictures(Index side, Index channels, Index count = batch) {
  ImageDataSet data{.height = side, .width = side, .channels = channels};
  data.pixels.resize(channels * side * side, count);
  Random random(1);
  for (Index i = 0; i < data.pixels.size(); ++i) data.pixels.data()[i] = static_cast<std::uint8_t>(random.below(256));
  data.labels.assign(static_cast<std::size_t>(count), 0);
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

std::vector<Index> all_of(const ImageDataSet& data) {
  std::vector<Index> indices(static_cast<std::size_t>(data.size()));
  std::iota(indices.begin(), indices.end(), Index{0});
  return indices;
}

void count_images(benchmark::State& state, Index images) {
  state.counters["images/s"] =
      benchmark::Counter(static_cast<double>(images), benchmark::Counter::kIsIterationInvariantRate);
}

/// Arguments: side of the pictures, threads.
void multi_crop(benchmark::State& state, const MultiCrop& crop, Index channels) {
  const ImageDataSet data = random_pictures(state.range(0), channels);
  const ImageNormalisation normalisation = measure_normalisation(data);
  const std::vector<ImageAugmentation> augmentations = multi_crop_views(crop);
  const std::vector<Index> all = all_of(data);
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
  count_images(state, batch * threads.count());
}

/// The student that train_dino trains where nothing else is said.
SelfDistilled<CrateClassifier<float>> small_grey_student() {
  const ImageOptions image{.height = 28, .width = 28, .channels = 1, .patch_height = 4, .patch_width = 4};
  SelfDistilled<CrateClassifier<float>> student(
      CrateClassifier<float>({.image = image, .classes = 10, .depth = 4, .block = {.dim = 96, .heads = 4}}),
      {.hidden = 256, .bottleneck = 64});
  initialise(student, 1);
  return student;
}

/// Of the positions, which all views add to.
template <class Student>
Matrix<float> by_positions(const Student& gradient) {
  return gradient.encoder.tokens.positions;
}

/// Arguments: images in a batch, threads.
void self_distillation_step(benchmark::State& state) {
  using Student = SelfDistilled<CrateClassifier<float>>;
  using Objective = SelfDistillationObjective<Student>;
  constexpr Index locals = 4, local_side = 16;
  const ImageDataSet data = random_pictures(28, 1, state.range(0));
  const ViewSource<float> source{data, measure_normalisation(data),
                                 multi_crop_views(small_grey_multi_crop(28, local_side, locals))};
  const std::vector<Index> all = all_of(data);
  Student student = small_grey_student();
  const Objective objective(CodingRateDistillationOptions{}, student.output_dim(), locals, {local_side, local_side});
  Threads threads(static_cast<int>(state.range(1)));
  JointGradient<Student, Objective> gradient(student, objective, {}, threads);
  JointGradient<Student, Objective> whole(student, objective, {.micro_batch = data.size(), .lanes = 1}, threads);
  gradient.compute(student, student, source, all, {});
  whole.compute(student, student, source, all, {});
  if (!agrees<float>(state, by_positions(gradient.gradient()), by_positions(whole.gradient()), 1e4)) return;

  AdamW<Student> optimiser(student);
  MovingAverage<Student> teacher(student, 0.99);
  const Student other = resized(student, local_side, local_side);
  const TokenLayout images = TokenLayout::equal(data.size(), 1);
  const double of_globals = 2 * student.multiply_adds(images), of_locals = locals * other.multiply_adds(images);
  time_work<float>(state, {.multiply_adds = 4 * of_globals + 3 * of_locals, .threads = threads.count()}, [&] {
    const double loss = gradient.compute(student, teacher.average, source, all, {}).loss.mean();
    optimiser.step(student, gradient.gradient(), {}, threads);
    teacher.update(student, threads);
    return loss;
  });
  count_images(state, data.size());
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
BENCHMARK(self_distillation_step)
    ->ArgNames({"batch", "threads"})
    ->ArgsProduct({{64}, {1, 2}})
    ->MinTime(0.1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(multi_crop, small, small_multi_crop(32), 3)->Apply(threads_and<32>);
BENCHMARK_CAPTURE(multi_crop, published, MultiCrop{}, 3)->Apply(threads_and<224>);

}  // namespace
}  // namespace crate::bench
