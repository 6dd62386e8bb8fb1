// SPDX-License-Identifier: MIT
// A checkpoint is read wherever weights are, as the model that training would have saved.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "crate/io/save_model.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/masked_autoencoder.hpp"
#include "crate/training/checkpoint.hpp"
#include "io/temporary_folder.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

namespace {

const ImageOptions oblong{.height = 12, .width = 10, .channels = 2, .patch_height = 4, .patch_width = 5};

struct AnyObjective {
  using Measures = LossMeasures;
};

template <class Model>
using SgdState = TrainingState<Model, Sgd<Model>, AnyObjective>;

template <class Model>
SgdState<Model> state_of(const typename Model::Options& options, bool with_average) {
  Model model(options), average(options);
  initialise(model, 1);
  initialise(average, 2);
  SgdState<Model> state{.model = model, .optimiser = Sgd(model)};
  if (with_average) state.average.emplace(average, 0.5);
  return state;
}

template <class Model>
void check_same_parameters(const Model& found, const Model& expected) {
  for_each_parameter(
      [](std::string_view name, ParameterKind, const auto& a, const auto& b) {
        INFO(name);
        CHECK(a == b);
      },
      found, expected);
}

/// Saves the state, loads the file as weights, and writes it as weights: the model comes back, and what save_model
/// writes.
template <class Model>
void check_as_weights(const SgdState<Model>& state) {
  const TemporaryFolder folder;
  save_checkpoint(folder.file("checkpoint"), state, {{"seed", "1"}}, {{"--data", "folder"}});
  const TensorTable weights = read_weights(folder.file("checkpoint"));
  check_same_parameters(model_from<Model>(weights), state.result());
  write_safetensors(folder.file("converted"), weights.tensors(), weights.metadata());
  save_model(folder.file("saved"), state.result());
  CHECK(content_of(folder.file("converted")) == content_of(folder.file("saved")));
  const TensorTable file = read_tensors(folder.file("checkpoint"));
  check_same_parameters(model_from<Model>(find_weights(file, "model")), state.model);
}

/// The checkpoint as it was written before it said anything of the model.
void make_old(const std::filesystem::path& path) {
  const TensorTable file = read_safetensors(path, FileAccess::copy);
  Metadata metadata;
  for (const auto& entry : file.metadata())
    if (!entry.first.starts_with("checkpoint ") && !entry.first.starts_with("crate.")) metadata.push_back(entry);
  write_safetensors(path, file.tensors(), metadata);
}

CrateClassifier<float>::Options small_crate() {
  return {.image = oblong,
          .classes = 7,
          .depth = 2,
          .pooling = Pooling::mean,
          .token_dropout = 0.1,
          .block = {.dim = 12, .heads = 3, .head_dim = 4, .step = 0.3, .lambda = 0.7}};
}

}  // namespace

// classify, convert_weights and train_classifier --from found 'none of these tensors'.
TEST_CASE(
    "The checkpoint of a training of any family is read as its moving average or its model, and written as such") {
  const CrateAlphaClassifier<float>::Options alpha{
      .image = oblong, .classes = 3, .depth = 2, .block = {.dim = 6, .heads = 3}};
  const MaskedAutoencoderOptions autoencoder{
      .image = oblong, .dim = 8, .heads = 1, .depth = 1, .decoder_depth = 2, .mask_ratio = 0.3};
  for (const bool with_average : {false, true}) {
    check_as_weights(state_of<CrateClassifier<float>>(small_crate(), with_average));
    check_as_weights(state_of<CrateAlphaClassifier<float>>(alpha, with_average));
    check_as_weights(state_of<CrateMaskedAutoencoder<double>>(autoencoder, with_average));
  }
}

TEST_CASE("A checkpoint that is written again as plain safetensors is read as the same weights") {
  const TemporaryFolder folder;
  const auto state = state_of<CrateClassifier<float>>(small_crate(), true);
  save_checkpoint(folder.file("checkpoint"), state, {{"eta", "0.1"}, {"lambda", "0.1"}});
  const TensorTable file = read_safetensors(folder.file("checkpoint"));
  write_safetensors(folder.file("again"), file.tensors(), file.metadata());
  const TensorTable weights = read_weights(folder.file("again"));
  check_same_parameters(model_from<CrateClassifier<float>>(weights), state.result());
  CHECK(weights.metadata() == read_weights(folder.file("checkpoint")).metadata());
}

TEST_CASE("A checkpoint of an older version is read as weights as files of others are, with options") {
  const TemporaryFolder folder;
  const auto path = folder.file("checkpoint");
  const Recipe recipe{{"eta", "0.3"}, {"lambda", "0.7"}, {"pixels of channel 0", ""}, {"pixels of channel 1", ""}};
  const LoadOptions options{
      .heads = 3, .image_height = 12, .image_width = 10, .patch_height = 4, .patch_width = 5, .pooling = Pooling::mean};
  const auto state = state_of<CrateClassifier<float>>(small_crate(), true);
  save_checkpoint(path, state, recipe);
  make_old(path);
  const auto model = load_classifier<float>(path, options);
  check_same_parameters(model, state.result());
  CHECK(detail::first_layer(model).step == 0.3);
  CHECK(detail::first_layer(model).lambda == 0.7);
  CHECK_THROWS_AS(load_classifier<float>(path), OptionError);

  CrateAlphaClassifier<float>::Options square{.classes = 3, .depth = 1, .block = {.dim = 6, .heads = 3}};
  square.image = {.height = 8, .width = 8, .channels = 2, .patch_height = 4, .patch_width = 4};
  const auto alpha = state_of<CrateAlphaClassifier<float>>(square, false);
  save_checkpoint(path, alpha, recipe);
  make_old(path);
  check_same_parameters(load_alpha_classifier<float>(path, {.heads = 3}), alpha.model);
}

TEST_CASE("A checkpoint whose weights are asked for by another name, or are of no family, or are damaged, is refused") {
  const TemporaryFolder folder;
  const auto path = folder.file("checkpoint");
  const auto state = state_of<CrateClassifier<float>>(small_crate(), false);
  save_checkpoint(path, state, {});
  const auto message = [&](const auto& read) { return message_of<FileError>([&] { static_cast<void>(read()); }); };
  CHECK_THAT(message([&] { return find_weights(read_tensors(path), "average"); }),
             EndsWith("expected 'model', the weights in this checkpoint of a training, found 'average'"));
  std::string content = content_of(path);
  content.back() = static_cast<char>(content.back() ^ 1);
  write_content(path, content);
  CHECK_THAT(message([&] { return read_weights(path); }), ContainsSubstring("the file is damaged"));

  const SgdState<Linear<float>> layer{.model = Linear<float>(2, 3), .optimiser = Sgd(Linear<float>(2, 3))};
  save_checkpoint(path, layer, {});
  CHECK_THAT(message([&] { return read_weights(path); }), ContainsSubstring("found 'model' to be another"));
}

TEST_CASE("A model that published tensors cannot tell is trained and resumed, but not read as weights") {
  const TemporaryFolder folder;
  const auto path = folder.file("checkpoint");
  auto state = state_of<CrateClassifier<float>>(small_crate(), false);
  state.model.encoder.layers[1].compress.branch.layer.output_kind = MssaOutput::tied;
  save_checkpoint(path, state, {});
  auto loaded = state;
  load_checkpoint(path, loaded, {});
  CHECK_THAT(
      message_of<FileError>([&] { static_cast<void>(read_weights(path)); }),
      ContainsSubstring("the model of this training cannot be read as weights: layers.1.compress: expected a free "
                        "output map"));
}

// Other heads of the same width have tensors of the same shapes: they were taken.
TEST_CASE("A training does not go on with a model of other heads or settings") {
  const TemporaryFolder folder;
  const auto path = folder.file("checkpoint");
  auto options = small_crate();
  save_checkpoint(path, state_of<CrateClassifier<float>>(options, false), {});
  options.block.heads = 4;
  options.block.head_dim = 3;
  auto other = state_of<CrateClassifier<float>>(options, false);
  CHECK_THAT(message_of<FileError>([&] { load_checkpoint(path, other, {}); }),
             EndsWith("this training was begun with another model: heads: '3' in the checkpoint, '4' now"));
  auto settings = small_crate();
  settings.token_dropout = 0;
  auto undropped = state_of<CrateClassifier<float>>(settings, false);
  CHECK_THAT(message_of<FileError>([&] { load_checkpoint(path, undropped, {}); }),
             EndsWith("another model: token_dropout: '0.1' in the checkpoint, nothing now"));
}
