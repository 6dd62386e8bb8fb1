// SPDX-License-Identifier: MIT
#include "run_model/outputs.hpp"

#include "catch.hpp"

using run_model::output_name;

TEST_CASE("both half-steps of every block are written, whatever the block is") {
  CHECK(output_name("layers.0.compress") == "layers.0.half");
  CHECK(output_name("encoder.layers.11.sparsify") == "layers.11.out");
  CHECK(output_name("decoder.layers.2.expand") == "decoder_layers.2.half");
  CHECK(output_name("decoder.layers.2.decompress") == "decoder_layers.2.out");
  CHECK(output_name("layers.0.attend") == "layers.0.half");
  CHECK(output_name("layers.0.transform") == "layers.0.out");
  CHECK(output_name("tokens") == "tokens");
}

TEST_CASE("what is computed inside of a half-step is not written") {
  for (const char* name : {"layers.0.transform.expand", "layers.0.compress.projection", "layers.0.attend.norm",
                           "embedding", "head.linear", "expand", ""})
    CHECK(output_name(name).empty());
}
