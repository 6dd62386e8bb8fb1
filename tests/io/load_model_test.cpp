// SPDX-License-Identifier: MIT
// Models from and to files: every format gives the same model, faults are listed by name, what is written comes back.

#include <string>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "crate/io/save_model.hpp"
#include "fixture_path.hpp"
#include "temporary_folder.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

namespace {

template <class Model>
Matrix<float> some_images(const Model& model) {
  Random random(1);
  Matrix<float> images(patch_grid(model).values_per_image(), 2);
  random.fill_normal(images);
  return images;
}

/// The weights with one tensor changed by `change`.
template <class Change>
TensorTable altered(const TensorTable& weights, const Change& change) {
  std::vector<Tensor> tensors = weights.tensors();
  change(tensors);
  return {weights.source(), tensors, weights.metadata(), std::make_shared<TensorTable>(weights)};
}

Tensor& named(std::vector<Tensor>& tensors, const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& tensor) { return tensor.name == name; });
}

template <class Model>
Model small_model(typename Model::Options options, std::uint64_t seed) {
  Model model(options);
  initialise(model, seed);
  return model;
}

TransformerMaskedAutoencoder<float>::Options small_transformer_autoencoder(const ImageOptions& image) {
  return {.image = image,
          .encoder = {.dim = 8, .heads = 2, .hidden = 5},
          .decoder = {.dim = 8, .heads = 4, .hidden = 7},
          .depth = 2,
          .decoder_depth = 1,
          .mask_ratio = 0.4,
          .normalise_pixels = true};
}

}  // namespace

TEST_CASE("every file format of the same weights gives the same model") {
  const auto expected = load_classifier<float>(weights_file, {.heads = 3});
  const Matrix<float> images = some_images(expected), logits = expected.forward(images);
  for (const std::string name : {"state_dict", "checkpoint", "legacy"}) {
    INFO(name);
    CHECK(load_classifier<float>(fixture_path("classifier_" + name + ".pth"), {.heads = 3}).forward(images) == logits);
  }
  // Half precision keeps 11 bits of a weight, bfloat16 keeps 8.
  CHECK(relative_error(load_classifier<float>(fixture_path("classifier_half.pth"), {.heads = 3}).forward(images),
                       logits) < 0x1p-8);
  CHECK(relative_error(load_classifier<float>(fixture_path("classifier_bf16.pth"), {.heads = 3}).forward(images),
                       logits) < 0x1p-5);
}

TEST_CASE("every published name has one name of ours and the way back") {
  const auto check = [](const auto& model, std::span<const PublishedName> names) {
    for_each_parameter(
        [&](std::string_view ours, ParameterKind, const auto&) {
          CHECK(our_name(names, published_name(names, ours).name) == std::string(ours));
        },
        model);
  };
  check(CrateClassifier<float>({.image = {.height = 16, .width = 16, .patch_height = 4, .patch_width = 4},
                                .depth = 12,
                                .block = {.dim = 8, .heads = 2}}),
        crate_classifier_names);
  check(CrateAlphaClassifier<float>({.depth = 2, .block = {.dim = 8, .heads = 2}}), crate_alpha_classifier_names);
  check(CrateMaskedAutoencoder<float>({.dim = 8, .heads = 2, .depth = 2, .decoder_depth = 3}),
        masked_autoencoder_names);
  check(TransformerClassifier<float>({.depth = 2, .block = {.dim = 8, .heads = 2}}), transformer_classifier_names);
  check(CrateMaskedClassifier<float>({.depth = 2, .block = {.dim = 8, .heads = 2}}), crate_masked_classifier_names);
  check(TransformerMaskedAutoencoder<float>(small_transformer_autoencoder({})), transformer_masked_autoencoder_names);
  CHECK(published_name(crate_classifier_names, "layers.11.sparsify.dictionary").name ==
        "transformer.layers.11.1.fn.weight");
  CHECK(!our_name(crate_classifier_names, "transformer.layers.x.1.fn.weight").has_value());
  CHECK(!our_name(crate_classifier_names, "cls_token.more").has_value());
}

TEST_CASE("a model that was saved loads without options and is the same, byte for byte when saved again") {
  const TemporaryFolder folder;
  const auto check = [&](const auto& model, const LoadOptions& options) {
    using Model = std::remove_cvref_t<decltype(model)>;
    const auto first = folder.file("first.safetensors"), second = folder.file("second.safetensors");
    save_model(first, model);
    const Model back = model_from<Model>(read_weights(first), options);
    for_each_parameter([](std::string_view, ParameterKind, const auto& a, const auto& b) { CHECK(a == b); }, model,
                       back);
    save_model(second, back);
    CHECK(content_of(first) == content_of(second));
  };
  const ImageOptions oblong{.height = 12, .width = 10, .channels = 2, .patch_height = 4, .patch_width = 5};
  check(
      small_model<CrateClassifier<double>>({.image = oblong,
                                            .classes = 7,
                                            .depth = 2,
                                            .pooling = Pooling::mean,
                                            .block = {.dim = 9, .heads = 3, .head_dim = 2, .step = 0.3, .lambda = 0.7}},
                                           1),
      {});
  check(small_model<CrateClassifier<float>>({.image = oblong, .depth = 1, .block = {.dim = 5, .heads = 1}}, 2), {});
  check(small_model<CrateAlphaClassifier<float>>({.image = oblong, .depth = 2, .block = {.dim = 6, .heads = 3}}, 3),
        {.heads = 3});
  check(small_model<CrateMaskedAutoencoder<double>>({.image = oblong,
                                                     .dim = 8,
                                                     .heads = 1,
                                                     .depth = 1,
                                                     .decoder_depth = 2,
                                                     .mask_ratio = 0.3,
                                                     .normalise_pixels = true},
                                                    4),
        {});
  check(small_model<TransformerClassifier<double>>({.image = oblong,
                                                    .classes = 7,
                                                    .depth = 2,
                                                    .pooling = Pooling::mean,
                                                    .block = {.dim = 6, .heads = 3, .hidden = 11}},
                                                   5),
        {});
  check(small_model<TransformerClassifier<float>>({.image = oblong, .depth = 1, .block = {.dim = 4, .heads = 1}}, 6),
        {.heads = 1});
  check(small_model<CrateMaskedClassifier<double>>({.image = oblong,
                                                    .classes = 7,
                                                    .depth = 2,
                                                    .pooling = Pooling::mean,
                                                    .head_norm_epsilon = 1e-6,
                                                    .block = {.dim = 8, .heads = 2, .head_dim = 3, .lambda = 0.7}},
                                                   7),
        {});
  check(small_model<TransformerMaskedAutoencoder<double>>(small_transformer_autoencoder(oblong), 8), {});
}

TEST_CASE("a vision transformer of PyTorch loads by its file and its heads, and gives PyTorch's logits") {
  const TensorTable file = read_safetensors(fixture_path("vit.safetensors"));
  std::vector<Tensor> tensors;
  for (const Tensor& tensor : file.tensors())
    if (tensor.name.starts_with("param/")) {
      tensors.push_back(tensor);
      tensors.back().name.replace(0, 6, "module.");
    }
  const TemporaryFolder folder;
  const auto path = folder.file("vit.safetensors");
  write_safetensors(path, tensors);

  CHECK(*family_name(read_weights(path)) == "vit");
  const LoadOptions given{.heads = 3, .image_height = 8, .image_width = 9};
  const auto model = load_vision_transformer<double>(path, given);
  CHECK(std::holds_alternative<TransformerClassifier<double>>(load_model<double>(path, given)));
  const Matrix<double> images = tokens_from<double>(file.at("input/images")).reshaped(144, 3),
                       logits = tokens_from<double>(file.at("output/logits"));
  CHECK(relative_error(model.forward(images), logits) < 1e-10);

  const auto refusal = [&](const LoadOptions& options) {
    return message_of<OptionError>([&] { (void)load_model<double>(path, options); });
  };
  CHECK_THAT(refusal({.image_height = 8}), ContainsSubstring("heads: expected to be given"));
  CHECK_THAT(refusal({.heads = 5, .image_height = 8}), ContainsSubstring("heads that divide dim = 12, found 5"));
  CHECK_THAT(refusal({.heads = 3, .step = 0.1}),
             ContainsSubstring("step: expected the weights of a model with ISTA, found those of a vision transformer"));
  CHECK_THAT(refusal({.heads = 3, .channels = 3}), ContainsSubstring("channels: expected 2, as the weights have"));
}

// A masked autoencoder of arXiv 2111.06377 has a ViT without head for its encoder, and another for its decoder.
TEST_CASE("a masked autoencoder of transformer blocks is not taken for a classifier") {
  const TemporaryFolder folder;
  const auto path = folder.file("vit.safetensors");
  const ImageOptions image{.height = 8, .width = 8, .patch_height = 4, .patch_width = 4};
  const auto model =
      small_model<TransformerClassifier<float>>({.image = image, .depth = 1, .block = {.dim = 6, .heads = 2}}, 1);
  save_model(path, model);
  const TensorTable masked = altered(read_weights(path), [](std::vector<Tensor>& tensors) {
    std::erase_if(tensors, [](const Tensor& tensor) { return tensor.name.starts_with("head."); });
    const std::size_t of_encoder = tensors.size();
    for (std::size_t i = 0; i < of_encoder; ++i)
      if (const Tensor tensor = tensors[i]; !tensor.name.starts_with("patch_embed") && tensor.name != "cls_token") {
        tensors.push_back(tensor);
        tensors.back().name.insert(0, "decoder_");
      }
    tensors.push_back(named(tensors, "cls_token"));
    tensors.back().name = "mask_token";
  });
  const TensorTable found = find_weights(masked);
  CHECK(found.find("blocks.0.attn.qkv.weight") != nullptr);
  CHECK_THAT(message_of<FileError>([&] { (void)any_model_from<float>(found); }),
             ContainsSubstring("expected a tensor 'head.weight', found none"));
}

// The published constructor takes decoder_num_heads.
TEST_CASE("heads of a decoder that are not the encoder's come back, and are asked for where no file tells them") {
  const TemporaryFolder folder;
  const auto path = folder.file("model.safetensors");
  const auto check = [&](const MaskedAutoencoderOptions& options, Index heads, Index head_dim) {
    const auto model = small_model<CrateMaskedAutoencoder<float>>(options, 1);
    save_model(path, model);
    const TensorTable file = read_weights(path);
    const TensorTable bare(file.source(), file.tensors(), {}, std::make_shared<TensorTable>(file));
    Random random(2);
    Matrix<float> images(patch_grid(model).values_per_image(), 2);
    random.fill_normal(images);
    const LoadOptions given{.heads = options.heads, .decoder_heads = options.decoder_heads};
    for (const auto& back : {load_masked_autoencoder<float>(path), load_masked_autoencoder<float>(path, given),
                             model_from<CrateMaskedAutoencoder<float>>(bare, given)}) {
      const auto first = crate::detail::first_layer(back, "decoder.");
      CHECK(first.heads == heads);
      CHECK(first.head_dim == head_dim);
      CHECK(autoencode(back, images).prediction == autoencode(model, images).prediction);
    }
  };
  const ImageOptions image{.height = 8, .width = 8, .patch_height = 4, .patch_width = 4};
  MaskedAutoencoderOptions options{.image = image, .dim = 12, .heads = 3, .depth = 1, .decoder_depth = 2};
  options.decoder_heads = 2;
  check(options, 2, 6);
  options.decoder_heads = 1;  // then the decoder has no output map
  check(options, 1, 12);
  options.decoder_heads = 5;
  CHECK_THAT(message_of<OptionError>([&] { CrateMaskedAutoencoder<float>{options}; }),
             ContainsSubstring("decoder heads that divide the encoder's width 12, found 5"));
  options.decoder_head_dim = 3;
  check(options, 5, 3);
  const TensorTable told = read_weights(path);
  CHECK(*told.find_metadata("crate.decoder_heads") == "5");
  CHECK_THAT(message_of<OptionError>([&] { (void)load_model<float>(path, {.decoder_heads = 3}); }),
             ContainsSubstring("decoder heads: expected 5, as the weights have, found 3"));

  options.decoder_heads = options.decoder_head_dim = 0;
  save_model(path, small_model<CrateMaskedAutoencoder<float>>(options, 1));
  const TensorTable untold = read_weights(path);
  CHECK(untold.find_metadata("crate.decoder_heads") == nullptr);
  CHECK_THAT(message_of<OptionError>([&] { (void)load_model<float>(path, {.decoder_heads = 2}); }),
             ContainsSubstring("decoder heads: expected 3, as the weights have, found 2"));
  CHECK_THAT(
      message_of<OptionError>([] { (void)load_model<float>(weights_file, {.heads = 3, .decoder_heads = 3}); }),
      ContainsSubstring("decoder heads: expected the weights of a masked autoencoder, found those of a classifier"));
}

TEST_CASE("settings come back from the file and can be overridden, sizes cannot") {
  const TemporaryFolder folder;
  const auto path = folder.file("model.safetensors");
  save_model(path, small_model<CrateClassifier<float>>(
                       {.image = {.height = 8, .width = 8, .patch_height = 4, .patch_width = 4},
                        .classes = 3,
                        .depth = 1,
                        .pooling = Pooling::mean,
                        .block = {.dim = 6, .heads = 2, .step = 0.25, .lambda = 0.5}},
                       1));
  const auto as_saved = load_classifier<float>(path);
  CHECK(as_saved.pool.pooling == Pooling::mean);
  CHECK(as_saved.encoder.layers[0].sparsify.layer.options.step == 0.25);
  CHECK(as_saved.encoder.layers[0].sparsify.layer.options.lambda == 0.5);
  const auto overridden = load_classifier<float>(path, {.pooling = Pooling::class_token, .lambda = 0.1});
  CHECK(overridden.pool.pooling == Pooling::class_token);
  CHECK(overridden.encoder.layers[0].sparsify.layer.options.lambda == 0.1);
  CHECK_THAT(message_of<OptionError>([&] { (void)load_classifier<float>(path, {.heads = 3}); }),
             ContainsSubstring("heads: expected 2, as the weights have, found 3"));
  CHECK_THAT(message_of<OptionError>([&] { (void)load_classifier<float>(path, {.patch_height = 2}); }),
             ContainsSubstring("patch height: expected 4, as the weights have, found 2"));
}

TEST_CASE("what weights do not tell is asked for by name, what contradicts them is refused") {
  const auto failing = [](const LoadOptions& options) {
    return message_of<OptionError>([&] { (void)load_classifier<float>(weights_file, options); });
  };
  CHECK_THAT(failing({}), ContainsSubstring("heads: expected to be given"));
  CHECK_THAT(failing({.heads = 5}), ContainsSubstring("heads that divide the 48"));
  CHECK_THAT(failing({.heads = 3, .image_height = 40}), ContainsSubstring("whose product is 16"));
  CHECK_THAT(failing({.heads = 3, .image_height = 31}),
             ContainsSubstring("image height: expected a multiple of the patch's 8 rows, found 31"));
  CHECK_THAT(failing({.heads = 3, .channels = 2}), ContainsSubstring("96, which is not a square"));
  CHECK_THAT(failing({.heads = 3, .patch_height = 4, .patch_width = 4, .channels = 3}),
             ContainsSubstring("whose product is 64"));
  const auto oblong = load_classifier<float>(weights_file, {.heads = 3, .image_height = 16, .patch_height = 4});
  CHECK(patch_grid(oblong).width == 16);
  CHECK(patch_grid(oblong).columns == 4);
}

TEST_CASE("settings that the family does not have are refused") {
  CHECK_THAT(message_of<OptionError>([] { (void)load_model<float>(weights_file, {.heads = 3, .mask_ratio = 0.5}); }),
             ContainsSubstring("mask ratio: expected the weights of a masked autoencoder"));
  const TemporaryFolder folder;
  const auto path = folder.file("mae.safetensors");
  save_model(path,
             small_model<CrateMaskedAutoencoder<float>>({.dim = 4, .heads = 1, .depth = 1, .decoder_depth = 1}, 1));
  CHECK_THAT(message_of<OptionError>([&] { (void)load_model<float>(path, {.pooling = Pooling::mean}); }),
             ContainsSubstring("pooling: expected the weights of a classifier"));
}

TEST_CASE("a loaded classifier runs on images of another size, and is saved for them") {
  auto model = load_classifier<float>(weights_file, {.heads = 3});
  const Matrix<float> positions = model.tokens.positions;
  model.resize_images(48, 24);
  CHECK(model.tokens.positions == interpolate_positions(positions, 4, 4, 6, 3));
  const Matrix<float> images = some_images(model), logits = model.forward(images);
  const TemporaryFolder folder;
  const auto path = folder.file("resized.safetensors");
  save_model(path, model);
  CHECK(load_classifier<float>(path).forward(images) == logits);
}

TEST_CASE("a masked autoencoder runs on images of another size, and is saved for them") {
  auto model = small_model<CrateMaskedAutoencoder<float>>(
      {.image = {.height = 8, .width = 12, .channels = 1, .patch_height = 4, .patch_width = 4},
       .dim = 4,
       .heads = 1,
       .depth = 1,
       .decoder_depth = 1},
      1);
  const Matrix<float> positions = model.tokens.positions;
  model.resize_images(16, 20);
  CHECK(model.tokens.positions == interpolate_positions(positions, 2, 3, 4, 5));
  const Matrix<float> images = some_images(model), prediction = autoencode(model, images).prediction;
  CHECK(prediction.cols() == 2 * 20);
  const TemporaryFolder folder;
  const auto path = folder.file("resized.safetensors");
  save_model(path, model);
  CHECK(autoencode(load_masked_autoencoder<float>(path), images).prediction == prediction);
}

TEST_CASE("all faults are listed at once, by name and with both shapes, and the model stays as it was") {
  const TensorTable weights = read_weights(weights_file);
  const TensorTable faulty = altered(weights, [](std::vector<Tensor>& tensors) {
    named(tensors, "cls_token").name = "klass_token";
    named(tensors, "mlp_head.0.bias").shape = {1, 48};
    std::swap(named(tensors, "transformer.layers.1.1.norm.bias").shape, named(tensors, "mlp_head.1.bias").shape);
    named(tensors, "pos_embedding").dtype = Dtype::i32;
  });
  auto model = load_classifier<float>(weights_file, {.heads = 3});
  const Matrix<float> before = model.embedding.map.projection.weight;
  const std::string message = message_of<FileError>([&] { load_weights(model, faulty, crate_classifier_names); });
  CHECK_THAT(message, ContainsSubstring("missing: 'cls_token' [1, 1, 48]"));
  CHECK_THAT(message, ContainsSubstring("surplus: 'klass_token' [1, 1, 48]"));
  CHECK_THAT(message, ContainsSubstring("misshapen: 'mlp_head.0.bias': expected [48], found [1, 48]"));
  CHECK_THAT(message, ContainsSubstring("misshapen: 'mlp_head.1.bias': expected [10], found [48]"));
  CHECK_THAT(message, ContainsSubstring("of another type: 'pos_embedding': expected F64, F32, F16 or BF16, found I32"));
  CHECK(model.embedding.map.projection.weight == before);
}

TEST_CASE("a file that lies about its sizes is refused before the model is made") {
  // Each tensor is as large as it says, but together they tell of a projection of 2 million by 2 million.
  const std::vector<float> values(2'000'000);
  const TensorTable weights = read_weights(weights_file);
  const TensorTable lying = altered(weights, [&](std::vector<Tensor>& tensors) {
    const auto replace = [&](const std::string& name, std::vector<Index> shape) {
      named(tensors, name) = tensor_of(name, std::move(shape), std::span<const float>(values));
    };
    replace("pos_embedding", {1, 2, 1'000'000});
    replace("transformer.layers.0.0.fn.qkv.weight", {2'000'000, 1});
  });
  CHECK_THAT(message_of<FileError>([&] { (void)model_from<CrateClassifier<float>>(lying, {.heads = 1}); }),
             ContainsSubstring("expected at least"));
}

TEST_CASE("a patch without rows is refused, not divided by") {
  const TemporaryFolder folder;
  const auto path = folder.file("alpha.safetensors");
  save_model(path, small_model<CrateAlphaClassifier<float>>(
                       {.image = {.height = 8, .width = 8, .patch_height = 4, .patch_width = 4},
                        .depth = 1,
                        .block = {.dim = 6, .heads = 2}},
                       1));
  const TensorTable weights = read_weights(path);
  const TensorTable flat = altered(weights, [](std::vector<Tensor>& tensors) {
    named(tensors, "conv1.weight").shape = {6, 3, 0, 4};
    named(tensors, "conv1.weight").bytes = {};
  });
  CHECK_THAT(message_of<FileError>([&] { (void)model_from<CrateAlphaClassifier<float>>(flat); }),
             ContainsSubstring("expected dimensions of at least 1, found shape [6, 3, 0, 4]"));
}

TEST_CASE("weights of another family are refused by its name, and by that of the function that loads them") {
  CHECK_THAT(message_of<FileError>([&] { (void)load_alpha_classifier<float>(weights_file, {.heads = 3}); }),
             ContainsSubstring("expected the weights of family 'crate-alpha', found those of 'crate', which "
                               "load_model<CrateClassifier<S>> loads"));
  for_each_family([]<class Family>(Family) {
    CHECK(detail::loader_of(Family::name) == concatenate(", which load_model<", Family::model_name, "<S>> loads"));
  });
  CHECK_THAT(message_of<FileError>([&] { (void)load_masked_autoencoder<float>(weights_file, {.heads = 3}); }),
             ContainsSubstring("expected the weights of family 'crate-mae', found those of 'crate'"));
}

TEST_CASE("weights of no family are refused") {
  const TemporaryFolder folder;
  const auto path = folder.file("other.safetensors");
  const std::vector<float> value{1};
  write_safetensors(path, {tensor_of("fc.weight", {1}, std::span<const float>(value))});
  CHECK_THAT(message_of<FileError>([&] { (void)load_model<float>(path); }), ContainsSubstring("found none of these"));
}
