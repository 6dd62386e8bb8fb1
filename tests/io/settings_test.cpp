// SPDX-License-Identifier: MIT
// A saved model comes back with everything that its tensors do not tell, and computes the same bits.

#include <string>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "crate/io/save_model.hpp"
#include "draw.hpp"
#include "fixture_path.hpp"
#include "temporary_folder.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

namespace {

const ImageOptions small_image{.height = 8, .width = 12, .channels = 2, .patch_height = 4, .patch_width = 3};

template <class Model>
Model random_model(const typename Model::Options& options) {
  Model model(options);
  initialise(model, 7);
  Random random(8);
  for_each_parameter(
      [&](std::string_view, ParameterKind, auto& parameter) {
        auto noise = parameter;
        random.fill_uniform(noise, -0.2, 0.2);
        parameter += noise;
      },
      model);
  return model;
}

const CrateClassifier<float>::Options classifier{
    .image = small_image, .classes = 5, .depth = 2, .block = {.dim = 6, .heads = 3}};
const CrateAlphaClassifier<double>::Options alpha{
    .image = small_image, .classes = 5, .depth = 2, .block = {.dim = 6, .heads = 2, .head_dim = 4, .atoms = 10}};
const TransformerClassifier<double>::Options transformer{
    .image = small_image, .classes = 5, .depth = 2, .head_norm_epsilon = 1e-6, .block = {.dim = 6, .heads = 2}};
const MaskedAutoencoderOptions autoencoder{
    .image = small_image, .dim = 8, .heads = 2, .depth = 2, .decoder_depth = 3, .mask_ratio = 0.4};

template <class Model>
Matrix<typename Model::Scalar> output_of(const Model& model) {
  Random random(9);
  Matrix<typename Model::Scalar> images(patch_grid(model).values_per_image(), 2);
  random.fill_normal(images);
  if constexpr (requires { model.pool.pooling; })
    return model.forward(images);
  else
    return autoencode(model, images).prediction;
}

std::vector<std::string> settings_of(const auto& model) {
  std::vector<std::string> settings;
  crate::detail::for_each_setting(
      [&](const std::string& name, auto value) {
        settings.push_back(name + " = " + crate::detail::setting_text(value));
      },
      model);
  return settings;
}

/// Another legal value, different in every layer where it can be.
template <class Setting>
void change(Setting& setting, int layer) {
  if constexpr (std::is_enum_v<Setting>)
    setting = setting == Setting{} ? static_cast<Setting>(1) : Setting{};
  else if constexpr (std::is_integral_v<Setting>)
    setting += 1 + layer;
  else
    setting = setting * 0.9 + 0.013 / (1 + layer);
}

/// Changes every setting, one at a time and then all together.
template <class Model>
void check_every_setting(const Model& original) {
  const TemporaryFolder folder;
  const auto path = folder.file("model.safetensors");
  const auto check = [&](const Model& model) {
    save_model(path, model);
    const auto back = model_from<Model>(read_weights(path));
    CHECK(settings_of(back) == settings_of(model));
    CHECK(output_of(back) == output_of(model));
  };
  const std::size_t count = settings_of(original).size();
  for (std::size_t chosen = 0; chosen <= count; ++chosen) {
    Model model = original;
    std::size_t index = 0;
    crate::detail::for_each_setting(
        [&](const std::string&, auto& setting) {
          if (chosen == count || chosen == index) change(setting, static_cast<int>(index));
          ++index;
        },
        model);
    INFO(settings_of(original).at(chosen % count));
    CHECK(settings_of(model) != settings_of(original));
    check(model);
  }
}

template <class Model>
TensorTable with_metadata(const Model& model, const std::string& key, const std::string& text) {
  static const TemporaryFolder folder;
  const auto path = folder.file("model.safetensors");
  save_model(path, model);
  const TensorTable table = read_weights(path);
  Metadata metadata = table.metadata();
  std::erase_if(metadata, [&](const auto& entry) { return entry.first == key; });
  metadata.emplace_back(key, text);
  return {table.source(), table.tensors(), metadata, std::make_shared<TensorTable>(table)};
}

}  // namespace

TEST_CASE("every setting of every layer comes back, and with it every bit of the output") {
  check_every_setting(random_model<CrateClassifier<float>>(classifier));
  check_every_setting(random_model<CrateAlphaClassifier<double>>(alpha));
  check_every_setting(random_model<CrateMaskedAutoencoder<float>>(autoencoder));
  check_every_setting(random_model<TransformerClassifier<double>>(transformer));
}

TEST_CASE("what sets a transformer apart from the published ones is written, and nothing else") {
  auto options = transformer;
  CHECK(crate::detail::metadata_of(TransformerClassifier<double>(options)).size() == 9);  // the sizes
  options.pooling = Pooling::mean;
  options.token_dropout = 0.1;
  options.head_norm_epsilon = 1e-5;
  options.block.mask = AttentionMask::causal;
  options.block.gelu = GeluForm::tanh;
  options.block.norm_epsilon = 1e-3;
  options.block.dropout = 0.2;
  const auto model = random_model<TransformerClassifier<double>>(options);
  Metadata settings;
  for (const auto& entry : crate::detail::metadata_of(model))
    if (entry.first.find("layers.1") == std::string::npos) settings.push_back(entry);
  settings.erase(settings.begin(), settings.begin() + 9);
  CHECK(settings == Metadata{{"crate.token_dropout", "0.1"},
                             {"crate.layers.0.attend.norm.epsilon", "0.001"},
                             {"crate.layers.0.attend.dropout", "0.2"},
                             {"crate.layers.0.attend.mask", "causal"},
                             {"crate.layers.0.transform.norm.epsilon", "0.001"},
                             {"crate.layers.0.transform.activation.form", "tanh"},
                             {"crate.head.norm.epsilon", "1e-05"}});
  const TensorTable table = with_metadata(model, "crate.layers.0.transform.activation.form", "sigmoid");
  CHECK_THAT(message_of<FileError>([&] { (void)model_from<TransformerClassifier<double>>(table); }),
             ContainsSubstring("expected 'exact' or 'tanh', found 'sigmoid'"));
}

TEST_CASE("the settings of a strict block, given as texts to another of the same parameters, make it the same") {
  const StrictBlockOptions sizes{.dim = 6, .heads = 2};
  StrictBlock<double> block(sizes);
  Random random(5);
  random.fill_normal(block.compress.subspaces.bases());
  random.fill_normal(block.sparsify.dictionary);
  auto other = block;
  block.compress.options = {
      .kappa = 0.3, .epsilon = 0.7, .step = CompressionStep::softmax, .logit_scale = 0.4, .mssa_factor = 0.6};
  block.sparsify.options = {.step = 0.2,
                            .lambda = 0.3,
                            .threshold = Threshold::soft,
                            .rule = SparsifyRule::majorisation_minimisation,
                            .alpha = 0.5};
  CHECK(settings_of(block) ==
        std::vector<std::string>{
            "compress.kappa = 0.3", "compress.epsilon = 0.7", "compress.compression_step = softmax",
            "compress.logit_scale = 0.4", "compress.mssa_factor = 0.6", "sparsify.step = 0.2", "sparsify.lambda = 0.3",
            "sparsify.threshold = soft", "sparsify.rule = majorisation_minimisation", "sparsify.alpha = 0.5"});
  const auto from = crate::detail::list_layers(block), to = crate::detail::list_layers(other);
  for (std::size_t i = 0; i < from.size(); ++i)
    for (std::size_t k = 0; k < from[i].settings.size(); ++k) to[i].settings[k].set(from[i].settings[k].text());
  const Matrix<double> tokens = draw_normal(random, 6, 5);
  CHECK(forward(other, tokens) == forward(block, tokens));
}

TEST_CASE("settings that are as published are not written") {
  const auto texts = [](const auto& model) { return crate::detail::metadata_of(model).size(); };
  const auto model = random_model<CrateClassifier<float>>(classifier);
  CHECK(texts(model) == 11);
  auto changed = model;
  changed.encoder.layers[1].sparsify.layer.options.threshold = Threshold::soft;
  CHECK(texts(changed) == 12);
  CHECK(crate::detail::metadata_of(changed).back() ==
        std::pair<std::string, std::string>("crate.layers.1.sparsify.threshold", "soft"));
}

TEST_CASE("a step and a lambda given to the loader hold in every layer") {
  auto model = random_model<CrateClassifier<float>>(classifier);
  model.encoder.layers[1].sparsify.layer.options.step = 0.3;
  const auto back = model_from<CrateClassifier<float>>(with_metadata(model, "other", "x"), {.step = 0.2});
  CHECK(back.encoder.layers[0].sparsify.layer.options.step == 0.2);
  CHECK(back.encoder.layers[1].sparsify.layer.options.step == 0.2);
}

TEST_CASE("metadata of ours that cannot be followed is an error that names it") {
  const auto model = random_model<CrateClassifier<float>>(classifier);
  const auto refusal = [&](const std::string& key, const std::string& text) {
    const TensorTable table = with_metadata(model, key, text);
    return message_of<FileError>([&] { (void)model_from<CrateClassifier<float>>(table); });
  };
  CHECK_THAT(refusal("crate.layers.0.sparsify.threshold", "hard"),
             ContainsSubstring("metadata 'crate.layers.0.sparsify.threshold': expected 'non_negative' or 'soft', found "
                               "'hard'"));
  CHECK_THAT(
      refusal("crate.layers.0.compress.norm.epsilon", "-1"),
      ContainsSubstring("metadata 'crate.layers.0.compress.norm': option: expected a finite layer norm epsilon >= 0"));
  CHECK_THAT(refusal("crate.layers.0.compress.logit_scale", "nan"),
             ContainsSubstring("expected a number, found 'nan'"));
  CHECK_THAT(refusal("crate.layers.0.compress.dropout", "1"), ContainsSubstring("dropout in [0, 1), found 1"));
  CHECK_THAT(refusal("crate.layers.2.sparsify.alpha", "1"), ContainsSubstring("found one that it does not have"));
  CHECK_THAT(refusal("crate.colour", "red"), ContainsSubstring("metadata 'crate.colour': expected a setting"));
  CHECK_THAT(refusal("crate.family", "crate-beta"), ContainsSubstring("expected 'crate', found 'crate-beta'"));
  CHECK_THAT(refusal("crate.pooling", "max"), ContainsSubstring("expected 'mean' or 'class_token', found 'max'"));
  CHECK_THAT(refusal("crate.heads", "3x"), ContainsSubstring("expected a number, found '3x'"));
  const TensorTable twice =
      with_metadata(random_model<CrateMaskedAutoencoder<float>>(autoencoder), "crate.normalise_pixels", "2");
  CHECK_THAT(message_of<FileError>([&] { (void)model_from<CrateMaskedAutoencoder<float>>(twice); }),
             ContainsSubstring("expected 0 or 1, found 2"));
}

TEST_CASE("a model that the published tensors cannot tell is not saved") {
  const TemporaryFolder folder;
  const auto refusal = [&](const auto& model) {
    const auto message = message_of<OptionError>([&] { save_model(folder.file("model.safetensors"), model); });
    CHECK(folder.file_count() == 0);
    return message;
  };
  auto tied = random_model<CrateClassifier<float>>(classifier);
  tied.encoder.layers[1].compress.branch.layer.output_kind = MssaOutput::tied;
  tied.encoder.layers[1].compress.branch.layer.output.reset();
  CHECK_THAT(refusal(tied),
             ContainsSubstring("layers.1.compress: expected a free output map, as the published format has, "
                               "found a tied one"));
  auto other_heads = random_model<CrateClassifier<float>>(classifier);
  auto& subspaces = other_heads.encoder.layers[1].compress.branch.layer.subspaces;
  subspaces = Subspaces<Matrix<float>>(subspaces.bases(), 2);
  CHECK_THAT(refusal(other_heads),
             ContainsSubstring("layers.1.compress: expected as many heads as in the first layer, 3, found 2"));
  auto other_transformer = random_model<TransformerClassifier<double>>(transformer);
  other_transformer.encoder.layers[1].attend.branch.layer.heads = 3;
  CHECK_THAT(refusal(other_transformer),
             ContainsSubstring("layers.1.attend: expected as many heads as in the first layer, 2, found 3"));
  auto without_decoding = random_model<CrateAlphaClassifier<double>>(alpha);
  without_decoding.encoder.layers[0].sparsify.branch.layer.decoding.resize(0, 0);
  CHECK_THAT(refusal(without_decoding),
             ContainsSubstring("layers.0.sparsify: expected a decoding of its own, found a tied one"));
}

TEST_CASE("what a model expects of a picture and how its classes are called is saved with it") {
  const TemporaryFolder folder;
  const auto path = folder.file("model.safetensors");
  auto model = random_model<CrateClassifier<float>>(classifier);
  model.about.preprocessing = {.fit = PictureFit::cover,
                               .orientation = PixelOrientation::as_stored,
                               .normalisation = {.mean = {0.1, 1.0 / 3}, .deviation = {0.2, 0.7}}};
  model.about.class_names = {"T-shirt/top", "na\u00efve \"bag\"", "", "a\nb", "\xFF"};
  save_model(path, model);
  CHECK(load_classifier<float>(path).about.head_is_trained);
  model.about.head_is_trained = false;
  save_model(path, model);
  const auto back = load_classifier<float>(path);
  CHECK_FALSE(back.about.head_is_trained);
  CHECK(back.about.preprocessing.fit == PictureFit::cover);
  CHECK(back.about.preprocessing.orientation == PixelOrientation::as_stored);
  CHECK(same_normalisation(back.about.preprocessing.normalisation, model.about.preprocessing.normalisation));
  CHECK(back.about.class_names ==
        std::vector<std::string>{"T-shirt/top", "na\u00efve \"bag\"", "", "a\nb", "\xEF\xBF\xBD"});
  const auto folded = fold(back);
  CHECK(same_normalisation(folded.about.preprocessing.normalisation, model.about.preprocessing.normalisation));
  CHECK(folded.about.class_names == back.about.class_names);

  const auto told =
      load_classifier<float>(path, {.fit = PictureFit::published,
                                    .normalisation = ImageNormalisation{.mean = {0, 0}, .deviation = {1, 1}},
                                    .class_names = std::vector<std::string>{"a", "b", "c", "d", "e"}});
  CHECK(told.about.preprocessing.fit == PictureFit::published);
  CHECK(told.about.preprocessing.normalisation.deviation == std::vector<double>{1, 1});
  CHECK(told.about.class_names.back() == "e");
}

TEST_CASE("files that say nothing of pictures mean the published evaluation") {
  const auto rgb = load_classifier<float>(weights_file, {.heads = 3});
  CHECK(rgb.about.preprocessing.fit == PictureFit::published);
  CHECK(same_normalisation(rgb.about.preprocessing.normalisation, imagenet_normalisation()));
  CHECK(rgb.about.class_names.empty());
  CHECK(!random_model<CrateClassifier<float>>(classifier).about.preprocessing.is_known());  // of two channels
}

TEST_CASE("the names of 30,000 classes come back, though one text of metadata is too short for them") {
  const TemporaryFolder folder;
  const auto path = folder.file("model.safetensors");
  auto options = classifier;
  options.classes = 30000;
  CrateClassifier<float> model(options);
  for (int i = 0; i < 30000; ++i) model.about.class_names.push_back("a class with the number " + std::to_string(i));
  save_model(path, model);
  CHECK(load_classifier<float>(path).about.class_names == model.about.class_names);
}

TEST_CASE("metadata of the input that cannot be followed is an error that names it") {
  auto model = random_model<CrateClassifier<float>>(classifier);
  model.about.preprocessing.normalisation = {.mean = {0.1, 0.2}, .deviation = {0.3, 0.4}};
  const auto refusal = [&](const std::string& key, const std::string& text) {
    const TensorTable table = with_metadata(model, key, text);
    return message_of<FileError>([&] { (void)model_from<CrateClassifier<float>>(table); });
  };
  CHECK_THAT(refusal("crate.fit", "stretch"), ContainsSubstring("expected 'published' or 'cover', found 'stretch'"));
  CHECK_THAT(refusal("crate.mean", "0.1 x"), ContainsSubstring("'crate.mean': expected numbers, found '0.1 x'"));
  CHECK_THAT(refusal("crate.mean", "0.1"), ContainsSubstring("a mean for each of 2 channels, found 1"));
  CHECK_THAT(refusal("crate.mean", "0.1 nan"), ContainsSubstring("means of pixels that are finite"));
  CHECK_THAT(refusal("crate.deviation", "0.1 0"), ContainsSubstring("deviations of pixels > 0, found 0"));
  CHECK_THAT(refusal("crate.head", "new"), ContainsSubstring("'crate.head': expected 'untrained', found 'new'"));
  CHECK_THAT(refusal("crate.class_names.0", "[\"a\", 2]"), ContainsSubstring("expected a JSON array of texts"));
  CHECK_THAT(refusal("crate.class_names.0", "[\"a\"]"), ContainsSubstring("names of 5 classes, found 1"));
  CHECK_THAT(message_of<ShapeError>([&] {
               model.about.class_names = {"one"};
               save_model("never-written.safetensors", model);
             }),
             ContainsSubstring("class names: expected 5, found 1"));
}
