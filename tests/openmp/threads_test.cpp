// SPDX-License-Identifier: MIT
// In a program built with OpenMP there are the caller's threads and no others.

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <string>

#include "catch.hpp"
#include "crate/inference/fold.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/image_classifier.hpp"

using namespace crate;

namespace {

/// How many threads this process has, by the system's own count.
int threads_of_process() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("Threads:", 0) == 0) return std::stoi(line.substr(8));
  return 0;
}

}  // namespace

TEST_CASE("inside our pieces OpenMP has one thread, outside as many as before") {
  omp_set_num_threads(3);
  for (const int count : {1, 2}) {
    Threads threads(count);
    std::atomic<int> most{0};
    threads.for_each(8, [&](Index, int) { most = std::max(most.load(), omp_get_max_threads()); });
    CHECK(most == 1);
    CHECK(omp_get_max_threads() == 3);
  }
}

TEST_CASE("models start no threads of OpenMP, folded or not") {
  omp_set_num_threads(1);  // to fold, for outside of our pieces Eigen may use OpenMP
  CrateClassifier<float> model({.image = {.height = 64, .width = 64, .patch_height = 4, .patch_width = 4},
                                .classes = 10,
                                .depth = 1,
                                .block = {.dim = 256, .heads = 4}});
  initialise(model, 1);
  const Matrix<float> images = Matrix<float>::Constant(patch_grid(model).values_per_image(), 1, 0.5F);
  const auto folded = fold(model);
  omp_set_num_threads(5);
  Threads threads(2);
  const int before = threads_of_process();
  (void)model.forward(images, {.threads = &threads});
  CHECK(threads_of_process() == before);
  (void)folded.forward(images, {.threads = &threads});
  CHECK(threads_of_process() == before);
}

TEST_CASE("the count of threads sees those of OpenMP") {
  omp_set_num_threads(7);
  const int before = threads_of_process();
  int inside = 0;
#pragma omp parallel
#pragma omp single
  inside = threads_of_process();
  CHECK(inside > before);
}
