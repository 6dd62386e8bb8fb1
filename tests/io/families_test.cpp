// SPDX-License-Identifier: MIT
// What it takes to read and write models of a further family: here a language model, which has no patches.

#include "crate/io/families.hpp"

#include <array>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "crate/io/save_model.hpp"
#include "temporary_folder.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

namespace {

struct WordModelOptions {
  Index words = 0, depth = 0;
  CrateBlockOptions block = {};
};

template <Scalar S>
struct WordModel {
  using Scalar = S;
  using Options = WordModelOptions;

  Matrix<S> words;  // d x V
  Encoder<CrateBlock<S>> encoder;

  explicit WordModel(const Options& o) : words(Matrix<S>::Zero(o.block.dim, o.words)), encoder(o.depth, o.block) {}

  static constexpr auto parts() { return std::tuple{part("words", &WordModel::words), part("", &WordModel::encoder)}; }
};

constexpr std::array word_model_names = {
    PublishedName{"words", "wte.weight"},
    PublishedName{"layers.*.compress.norm.", "h.*.ln_1."},
    PublishedName{"layers.*.compress.subspaces", "h.*.attn.qkv.weight"},
    PublishedName{"layers.*.compress.output.", "h.*.attn.c_proj."},
    PublishedName{"layers.*.sparsify.norm.", "h.*.ln_2."},
    PublishedName{"layers.*.sparsify.dictionary", "h.*.ista.weight"},
};

struct WordModelFamily {
  template <Scalar S>
  using Model = WordModel<S>;
  using Options = WordModelOptions;

  static constexpr std::string_view name = "crate-words", title = "a CRATE language model", kind = "a language model";
  static constexpr std::string_view marker = "words";
  static constexpr std::span<const PublishedName> names = word_model_names;
  static constexpr std::tuple load_options{crate::detail::load_option::heads, crate::detail::load_option::step,
                                           crate::detail::load_option::lambda};

  static Options options(const TensorTable& weights, const LoadOptions& given) {
    const LoadOptions told = crate::detail::completed(given, weights, load_options, kind);
    const Index heads = crate::detail::heads_of(told);
    const Index width = crate::detail::dimension(weights, "h.0.attn.qkv.weight", 2, 0);
    return {.words = crate::detail::dimension(weights, "wte.weight", 2, 0),
            .depth = crate::detail::count_layers(weights, "h.", ".ista.weight"),
            .block = {.dim = crate::detail::dimension(weights, "wte.weight", 2, 1),
                      .heads = heads,
                      .head_dim = crate::detail::head_dim_of(heads, width),
                      .step = told.step.value_or(0.1),
                      .lambda = told.lambda.value_or(0.1)}};
  }

  static LoadOptions options_to_load(const auto& model) {
    const auto first = crate::detail::first_layer(model);
    return {.heads = first.heads, .step = first.step, .lambda = first.lambda};
  }

  static crate::detail::LeastWeights least_weights(const Options& o) {
    return {.numbers = static_cast<double>(o.words) * static_cast<double>(o.block.dim),
            .tensors = 6 * static_cast<double>(o.depth)};
  }

  static Options smallest_like(const auto& model) {
    const auto first = crate::detail::first_layer(model);
    return {.words = 1,
            .depth = 1,
            .block = {.dim = 1, .heads = 1, .head_dim = *first.head_dim, .step = *first.step, .lambda = *first.lambda}};
  }
};

static_assert(PublishedFamily<WordModelFamily>);
static_assert(!PublishedModel<WordModel<float>>);  // until the family stands in the list
static_assert(PublishedModel<CrateClassifier<double>> && !PublishedModel<Linear<float>>);

WordModel<float> small_word_model() {
  WordModel<float> model({.words = 11, .depth = 2, .block = {.dim = 6, .heads = 3, .step = 0.3}});
  initialise(model, 1);
  model.encoder.layers[1].sparsify.layer.options.threshold = Threshold::soft;
  return model;
}

constexpr std::array vision_transformer_names = {
    PublishedName{"class_token", "cls_token"},
    PublishedName{"layers.*.attention.", "blocks.*.attn.qkv."},
};
constexpr std::array masked_transformer_names = {
    PublishedName{"class_token", "cls_token"},
    PublishedName{"encoder.*.attention.", "blocks.*.attn.qkv."},
    PublishedName{"decoder.*.attention.", "decoder_blocks.*.attn.qkv."},
};

}  // namespace

TEST_CASE("a model without patches is saved and loaded like any other") {
  const TemporaryFolder folder;
  const auto path = folder.file("model.safetensors");
  const auto model = small_word_model();
  save_model<WordModel<float>, WordModelFamily>(path, model);
  const TensorTable file = read_tensors(path);
  CHECK(file.at("wte.weight").shape == std::vector<Index>{11, 6});
  CHECK(*file.find_metadata("crate.family") == "crate-words");
  CHECK(*file.find_metadata("crate.layers.1.sparsify.threshold") == "soft");
  CHECK(file.find_metadata("crate.image_height") == nullptr);
  const auto back = load_model<WordModel<float>, WordModelFamily>(path);
  for_each_parameter([](std::string_view, ParameterKind, const auto& a, const auto& b) { CHECK(a == b); }, model, back);
  CHECK(back.encoder.layers[1].sparsify.layer.options.threshold == Threshold::soft);
  CHECK(back.encoder.layers[1].sparsify.layer.options.step == 0.3);
}

TEST_CASE("options that a family does not have are refused by what has them") {
  const TemporaryFolder folder;
  const auto path = folder.file("model.safetensors");
  save_model<WordModel<float>, WordModelFamily>(path, small_word_model());
  const auto refusal = [&](const LoadOptions& options) {
    return message_of<OptionError>(
        [&] { static_cast<void>(load_model<WordModel<float>, WordModelFamily>(path, options)); });
  };
  CHECK(refusal({.pooling = Pooling::mean}) ==
        "pooling: expected the weights of a classifier, found those of a language model");
  CHECK(refusal({.image_height = 8}) ==
        "image height: expected the weights of a model of images, found those of a language model");
  CHECK_THAT(refusal({.class_names = std::vector<std::string>{"a"}}),
             ContainsSubstring("class names: expected the weights of a classifier"));
  CHECK_THAT(refusal({.heads = 2}), ContainsSubstring("heads: expected 3, as the weights have, found 2"));
}

TEST_CASE("a convolution kernel of a model without patches is an error that names it") {
  constexpr std::array names = {PublishedName{"words", "conv.weight", PublishedLayout::convolution}};
  CHECK_THAT(message_of<Error>([&] { static_cast<void>(published_tensors(small_word_model(), names)); }),
             ContainsSubstring("a grid of patches for the convolution kernel 'words', found none"));
}

TEST_CASE("weights of which another family's names are a part are one set") {
  const std::vector<float> number{1};
  const auto sets_in = [&](const std::string& prefix) {
    std::vector<Tensor> tensors;
    for (const std::string name : {"cls_token", "blocks.0.attn.qkv.weight", "decoder_blocks.0.attn.qkv.weight"})
      tensors.push_back(tensor_of<float>(prefix + name, {1}, number));
    const TensorTable table("x", tensors, {}, nullptr);
    return crate::detail::WeightSets(
               table, {crate::detail::FamilyPatterns(masked_transformer_names, "decoder.0.attention.weight"),
                       crate::detail::FamilyPatterns(vision_transformer_names, "layers.0.attention.weight")})
        .list();
  };
  CHECK(sets_in("") == "the top level '.'");
  CHECK(sets_in("model.") == "'model'");
}
