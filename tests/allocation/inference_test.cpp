// SPDX-License-Identifier: MIT
#include "no_allocation.hpp"
//
#include "catch.hpp"
#include "crate/inference/fold.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/masked_autoencoder.hpp"
#include "crate/models/transformer.hpp"

// A folded model asks for its memory beforehand and allocates nothing in a pass.

using namespace crate;
using namespace crate::test;

namespace {

/// Both passes of a classifier go without allocation if its workspace is reserved.
template <FoldedWeight W, class Model>
void check_without_allocations(Model model) {
  initialise(model, 1);
  const auto folded = fold<W>(std::move(model));
  for (const int count : {1, 2}) {
    Threads threads(count);
    Workspace workspace;
    workspace.reserve(folded.workspace_bytes(TokenLayout::equal(/*images*/ 3, 1), count));
    const std::size_t held = workspace.capacity();
    const Run<ScalarOf<W>> run{.threads = &threads, .workspace = &workspace};
    const Matrix<ScalarOf<W>> images = Matrix<ScalarOf<W>>::Constant(patch_grid(folded).values_per_image(), 3, 0.5F);
    Matrix<ScalarOf<W>> logits(folded.output_dim(), 3);
    for (int pass = 0; pass < 2; ++pass)
      CHECK_NOTHROW(without_allocations([&] { folded.forward(images, logits, run); }));
    CHECK(workspace.capacity() == held);
  }
}

template <class Model>
typename Model::Options options_of(Pooling pooling) {
  // wide and long enough that a product of Eigen's would ask for packing buffers
  return {.image = {.height = 48, .width = 56, .patch_height = 4, .patch_width = 4},
          .classes = 7,
          .depth = 3,
          .pooling = pooling,
          .block = {.dim = 132, .heads = 6}};
}

}  // namespace

TEST_CASE("a folded classifier with a reserved workspace allocates nothing") {
  for (const Pooling pooling : {Pooling::class_token, Pooling::mean}) {
    check_without_allocations<float>(CrateClassifier<float>(options_of<CrateClassifier<float>>(pooling)));
    check_without_allocations<bfloat16>(CrateClassifier<float>(options_of<CrateClassifier<float>>(pooling)));
    check_without_allocations<float>(CrateAlphaClassifier<float>(options_of<CrateAlphaClassifier<float>>(pooling)));
    check_without_allocations<bfloat16>(CrateAlphaClassifier<float>(options_of<CrateAlphaClassifier<float>>(pooling)));
    check_without_allocations<float>(TransformerClassifier<float>(options_of<TransformerClassifier<float>>(pooling)));
    check_without_allocations<bfloat16>(
        TransformerClassifier<float>(options_of<TransformerClassifier<float>>(pooling)));
    auto odd_atoms = options_of<CrateAlphaClassifier<float>>(pooling);
    odd_atoms.block.atoms = 527;
    check_without_allocations<bfloat16>(CrateAlphaClassifier<float>(odd_atoms));
  }
}

TEST_CASE("a folded masked autoencoder with a reserved workspace allocates nothing, however large its patches are") {
  const Index side = GENERATE(4, 28);
  CrateMaskedAutoencoder<float> model({.image = {.height = 56, .width = 56, .patch_height = side, .patch_width = side},
                                       .dim = 4 * side > 100 ? Index{12} : Index{132},
                                       .heads = 6,
                                       .depth = 2,
                                       .decoder_depth = 1});
  initialise(model, 1);
  const auto folded = fold<bfloat16>(std::move(model));
  const Matrix<float> images = Matrix<float>::Constant(patch_grid(folded).values_per_image(), 3, 0.5F);
  Matrix<float> mask = Matrix<float>::Zero(patch_grid(folded).patches(), 3), pixels(folded.output_dim(), mask.size());
  mask.row(1).setOnes();
  Threads threads(2);
  Workspace workspace;
  workspace.reserve(folded.workspace_bytes(TokenLayout::equal(3, 1), 2));
  const std::size_t held = workspace.capacity();
  const Run<float> run{.threads = &threads, .workspace = &workspace};
  const MaskedImages<float> input(images, mask);
  for (int pass = 0; pass < 2; ++pass) CHECK_NOTHROW(without_allocations([&] { folded.forward(input, pixels, run); }));
  CHECK(workspace.capacity() == held);
}
