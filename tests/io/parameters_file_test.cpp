// SPDX-License-Identifier: MIT
// Files of layers and blocks that have no published form.

#include "crate/io/parameters_file.hpp"

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/blocks/crate_block.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/layers/initialise.hpp"
#include "io/temporary_folder.hpp"

using namespace crate;
using namespace crate::test;

TEST_CASE("A block that was saved computes the same bits when it is loaded") {
  const TemporaryFolder folder;
  CrateBlock<double> saved({.dim = 6, .heads = 2}), loaded({.dim = 6, .heads = 2});
  initialise(saved, 1);
  initialise(loaded, 2);
  save_parameters(folder.file("block.safetensors"), saved);
  load_parameters(folder.file("block.safetensors"), loaded);
  const Matrix<double> z = Matrix<double>::Random(6, 5);
  CHECK(loaded.forward(z) == saved.forward(z));
  CrateBlock<float> of_floats({.dim = 6, .heads = 2});
  load_parameters(folder.file("block.safetensors"), of_floats);
  CHECK(relative_error(of_floats.forward(z.cast<float>()), saved.forward(z)) < 1e-5);
}

TEST_CASE("A block of other sizes refuses the file, and stays as it was") {
  const TemporaryFolder folder;
  CrateBlock<double> saved({.dim = 6, .heads = 2}), other({.dim = 8, .heads = 2});
  initialise(saved, 1);
  initialise(other, 2);
  save_parameters(folder.file("block.safetensors"), saved);
  const Matrix<double> z = Matrix<double>::Random(8, 5), before = other.forward(z);
  CHECK_THROWS_WITH(load_parameters(folder.file("block.safetensors"), other),
                    Catch::Contains("misshapen: 'compress.norm.weight': expected [8], found [6]"));
  CHECK(other.forward(z) == before);
  CHECK_THROWS_AS(load_parameters(folder.file("none.safetensors"), other), FileError);
}
