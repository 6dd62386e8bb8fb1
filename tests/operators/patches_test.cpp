// SPDX-License-Identifier: MIT
#include "crate/operators/patches.hpp"

#include "catch.hpp"
#include "comparison.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

TEST_CASE("a patch holds its pixels by row, column and channel, or by channel, row and column") {
  // One image of two channels, 2 x 4 pixels, in patches of 2 x 2: the value tells channel, row and column.
  Matrix<double> image(16, 1);
  image << 0, 1, 2, 3, 10, 11, 12, 13, 100, 101, 102, 103, 110, 111, 112, 113;
  const PatchGrid grid{.rows = 1, .columns = 2, .height = 2, .width = 2, .channels = 2};
  Matrix<double> channel_last(8, 2), channel_first(8, 2);
  channel_last.transpose() << 0, 100, 1, 101, 10, 110, 11, 111, 2, 102, 3, 103, 12, 112, 13, 113;
  channel_first.transpose() << 0, 1, 10, 11, 100, 101, 110, 111, 2, 3, 12, 13, 102, 103, 112, 113;
  CHECK(cut_patches(image, grid, PatchOrder::row_column_channel) == channel_last);
  CHECK(cut_patches(image, grid, PatchOrder::channel_row_column) == channel_first);
}

TEST_CASE("joining patches undoes cutting them") {
  for_random_draws(20, [](Random& random) {
    const auto side = [&] { return draw_index(random, 1, 5); };
    const PatchGrid grid{.rows = side(), .columns = side(), .height = side(), .width = side(), .channels = side()};
    const Matrix<double> images = draw_normal(random, grid.values_per_image(), draw_index(random, 1, 3));
    for (const PatchOrder order : {PatchOrder::row_column_channel, PatchOrder::channel_row_column})
      CHECK(join_patches(cut_patches(images, grid, order), grid, order) == images);
  });
}

TEST_CASE("images of another size and grids without patches are refused") {
  const PatchGrid grid{.rows = 2, .columns = 1, .height = 3, .width = 1, .channels = 1};
  CHECK(message_of<ShapeError>([&] { (void)cut_patches(Matrix<float>(5, 1), grid, PatchOrder::channel_row_column); }) ==
        "patches: values of an image: expected 6, found 5");
  CHECK(message_of<ShapeError>([] {
          (void)cut_patches(Matrix<float>(0, 1), PatchGrid{}, PatchOrder::channel_row_column);
        }) == "patches: expected sizes of at least 1, found 0 x 0 patches of 0 x 0 x 0");
  constexpr Index large = Index{1} << 32;
  CHECK_THROWS_AS((PatchGrid{.rows = large, .columns = large, .height = 1, .width = 1, .channels = 1}.check()),
                  ShapeError);
}
