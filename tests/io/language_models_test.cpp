// SPDX-License-Identifier: MIT
// Language models by the names of the published code: what that code computed with the same weights, its gradients, and
// files that go out and come back.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
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

std::vector<Index> indices_in(const TensorTable& file, const std::string& name) {
  const auto numbers = integers_from(file.at(name));
  return {numbers.begin(), numbers.end()};
}

/// Sets of one length from tensors [B, N], with what pads them.
struct TextBatch {
  std::vector<Index> ids, types, labels;
  TokenLayout layout;

  TextBatch(const TensorTable& file, const std::string& of_labels)
      : ids(indices_in(file, "input/tokens")), labels(indices_in(file, of_labels)), layout(layout_of(file)) {
    if (file.find("input/token_types") != nullptr) types = indices_in(file, "input/token_types");
    for (Index& label : labels) label = label < 0 ? -1 : label;
  }

  static TokenLayout layout_of(const TensorTable& file) {
    const auto& shape = file.at("input/tokens").shape;
    const TokenLayout layout = TokenLayout::equal(shape[0], shape[1]);
    if (file.find("input/attention_mask") == nullptr) return layout;
    std::vector<Index> visible(static_cast<std::size_t>(shape[0]), 0);
    const auto mask = integers_from(file.at("input/attention_mask"));
    for (std::size_t i = 0; i < mask.size(); ++i) visible[i / static_cast<std::size_t>(shape[1])] += mask[i];
    return layout.with_visible(visible);
  }
};

template <class Model>
void check_published_numbers(const std::string& name, const LoadOptions& given, const std::string& labels,
                             double tolerance, bool has_other_names = false) {
  using S = typename Model::Scalar;
  using Family = FamilyOf<Model>;
  const TensorTable file = read_safetensors(fixture_path(name));
  const auto model = std::get<Model>(load_model<S>(fixture_path(name), given));
  const TextBatch batch(file, labels);
  const TokenIds input(batch.ids, batch.layout, batch.types);
  const Matrix<S> logits = model.forward(input);
  CHECK(relative_error(logits, tokens_from<S>(file.at("output/logits"))) < tolerance);

  const LabelledTokens examples{batch.ids, batch.layout, batch.labels, batch.types};
  Recording<Model> recording;
  Model gradient = zeros_like(model);
  const TokenPredictionObjective<Model> objective;
  const auto sets = static_cast<double>(batch.layout.sets());
  const LossSum loss = objective.accumulate(model, examples, 1 / sets, gradient, recording, {}).loss;
  CHECK(relative_error(loss.mean(), static_cast<double>(scalar_from<S>(file.at("output/loss")))) < tolerance);
  CHECK(relative_error(objective.measure(model, examples, {}).loss.mean(), loss.mean()) < 1e-6);
  std::size_t checked = 0, expected = 0;
  for (const Tensor& found :
       published_tensors(gradient, has_other_names ? crate::detail::other_names<Family>() : std::span(Family::names))) {
    INFO(found.name);
    const Tensor& published = file.at("grad/" + found.name);
    CHECK(found.shape == published.shape);
    Vector<S> ours(static_cast<Index>(found.bytes.size() / sizeof(S))), theirs = ours;
    copy_values(found, std::span<S>(ours.data(), static_cast<std::size_t>(ours.size())));
    copy_values(published, std::span<S>(theirs.data(), static_cast<std::size_t>(theirs.size())));
    CHECK(relative_error(ours, theirs) < tolerance);
    ++checked;
  }
  for (const Tensor& tensor : file.tensors()) expected += tensor.name.starts_with("grad/") ? 1 : 0;
  CHECK(checked == expected);
}

}  // namespace

TEST_CASE("CRATE-GPT2 computes the published logits, loss and gradients") {
  check_published_numbers<CrateLanguageModel<float>>("gpt.safetensors", {.heads = 3}, "input/targets", 2e-5);
  check_published_numbers<OvercompleteLanguageModel<double>>("gpt_overcomplete.safetensors", {.heads = 2},
                                                             "input/targets", 1e-10);
}

TEST_CASE("CRATE-BERT computes the logits, loss and gradients of an independent implementation") {
  check_published_numbers<CrateMaskedLanguageModel<double>>("bert.safetensors", {.heads = 3}, "input/labels", 1e-10,
                                                            true);
}

namespace {

/// With every parameter away from its start, so that each matters.
template <class Model>
Model model_of_normal_numbers(const typename Model::Options& options) {
  Model model(options);
  Random random(3);
  for_each_parameter(
      [&](std::string_view, ParameterKind, auto& parameter) {
        random.fill_normal(parameter);
        parameter *= typename Model::Scalar(0.4);
      },
      model);
  return model;
}

const std::vector<Index> some_ids{3, 1, 0, 6, 2};

/// What comes back from a file computes the same bits, without options.
template <class Model>
TensorTable check_saved(const Model& model) {
  const TemporaryFolder folder;
  const auto path = folder.file("model.safetensors");
  save_model(path, model);
  const auto back = load_model<Model>(path);
  CHECK(back.forward(TokenIds(some_ids)) == model.forward(TokenIds(some_ids)));
  CHECK(std::holds_alternative<Model>(load_model<typename Model::Scalar>(path)));
  CHECK(*family_name(read_weights(path)) == FamilyOf<Model>::name);
  return read_tensors(path);
}

template <class Options>
Options small(Options options) {
  options.vocabulary = 7;
  options.context = 6;
  options.depth = 2;
  options.block.dim = 6;
  options.block.heads = 2;
  return options;
}

template <class Model>
typename Model::Options small_language_options() {
  auto options = small(typename Model::Options{});
  options.final_norm = true;
  return options;
}

template <class Model>
typename Model::Options small_text_options() {
  typename Model::Options options;
  options.text = small(options.text);
  return options;
}

/// A table of the same tensors, each changed; those that `change` does not return are left out.
template <class Change>
TensorTable with_tensors(const TensorTable& table, const Change& change) {
  std::vector<Tensor> tensors;
  for (const Tensor& tensor : table.tensors())
    if (auto changed = change(tensor)) tensors.push_back(*std::move(changed));
  return {table.source(), std::move(tensors), {}, std::make_shared<TensorTable>(table)};
}

}  // namespace

TEST_CASE("every language model comes back from its file") {
  using Square = CrateLanguageModel<double>;
  auto square = small_language_options<Square>();
  square.final_norm = false;
  square.block.step = 0.3;
  square.token_dropout = 0.25;
  const TensorTable file = check_saved(model_of_normal_numbers<Square>(square));
  CHECK(file.at("transformer.wte.weight").shape == std::vector<Index>{7, 6});
  CHECK(file.at("transformer.wpe.weight").shape == std::vector<Index>{6, 6});
  CHECK(file.at("lm_head.weight").shape == std::vector<Index>{7, 6});
  CHECK(file.find("transformer.ln_f.weight") == nullptr);
  CHECK(*file.find_metadata("crate.tokens.dropout") == "0.25");
  square.final_norm = true;
  check_saved(model_of_normal_numbers<Square>(square));

  using Overcomplete = OvercompleteLanguageModel<float>;
  auto overcomplete = small_language_options<Overcomplete>();
  const TensorTable wide = check_saved(model_of_normal_numbers<Overcomplete>(overcomplete));
  CHECK(wide.at("transformer.h.1.ista.weight").shape == std::vector<Index>{24, 6});
  overcomplete.block.atoms = 6;  // as many as a square one has, which the metadata tells apart
  check_saved(model_of_normal_numbers<Overcomplete>(overcomplete));
  check_saved(model_of_normal_numbers<CrateAlphaLanguageModel<float>>(
      small_language_options<CrateAlphaLanguageModel<float>>()));

  using Gpt2 = TransformerLanguageModel<double>;
  auto gpt2 = small_language_options<Gpt2>();
  gpt2.block.gelu = GeluForm::tanh;
  const TensorTable published = check_saved(model_of_normal_numbers<Gpt2>(gpt2));
  CHECK(*published.find_metadata("crate.gelu") == "tanh");
}

TEST_CASE("every masked language model and classifier of sentences comes back from its file") {
  using Crate = CrateMaskedLanguageModel<double>;
  auto options = small_text_options<Crate>();
  options.text.block.output_bias = false;
  const TensorTable tied = check_saved(model_of_normal_numbers<Crate>(options));
  CHECK(tied.find("crate.encoder.layer.0.attention.output.dense.bias") == nullptr);
  CHECK(tied.at("lm_head.decoder.weight").shape == std::vector<Index>{7, 6});
  CHECK(tied.at("lm_head.decoder.bias").shape == tied.at("lm_head.bias").shape);
  options.tied = false;
  options.text.first_position = 0;
  check_saved(model_of_normal_numbers<Crate>(options));
  using Transformer = TransformerMaskedLanguageModel<float>;
  check_saved(model_of_normal_numbers<Transformer>(small_text_options<Transformer>()));
  using Sentences = CrateSentenceClassifier<float>;
  auto sentences = model_of_normal_numbers<Sentences>(small_text_options<Sentences>());
  sentences.about.class_names = {"bad", "good"};
  const TensorTable named = check_saved(sentences);
  CHECK(*named.find_metadata("crate.class_names.0") == R"(["bad","good"])");
  CHECK(*named.find_metadata("crate.pooling") == "class_token");
  using TransformerSentences = TransformerSentenceClassifier<double>;
  check_saved(model_of_normal_numbers<TransformerSentences>(small_text_options<TransformerSentences>()));
}

TEST_CASE("a classifier of sentences comes back with its pooling, and files that do not tell it read the first token") {
  const auto check = []<class Model>(std::type_identity<Model>) {
    auto options = small_text_options<Model>();
    options.pooling = Pooling::mean;
    const auto model = model_of_normal_numbers<Model>(options);
    const TensorTable file = check_saved(model);
    CHECK(*file.find_metadata("crate.pooling") == "mean");
    const LoadOptions untold{.heads = 2};  // of a table without metadata, as files of before have no pooling in theirs
    const TensorTable bare = find_weights(with_tensors(file, [](const Tensor& t) { return std::optional(t); }));
    CHECK(model_from<Model>(bare, untold).pool.pooling == Pooling::class_token);
    const LoadOptions told{.heads = 2, .pooling = Pooling::mean};
    CHECK(model_from<Model>(bare, told).forward(TokenIds(some_ids)) == model.forward(TokenIds(some_ids)));
  };
  check(std::type_identity<CrateSentenceClassifier<float>>());
  check(std::type_identity<TransformerSentenceClassifier<double>>());
}

TEST_CASE("a nanoGPT checkpoint tells its heads, and its masks and optimiser are left out") {
  const auto model = load_model<CrateLanguageModel<float>>(fixture_path("gpt_checkpoint.pth"));
  CHECK(model.encoder.layers.front().compress.branch.layer.subspaces.heads() == 3);
  const TensorTable file = read_safetensors(fixture_path("gpt.safetensors"));
  const TextBatch batch(file, "input/targets");
  CHECK(relative_error(model.forward(TokenIds(batch.ids, batch.layout)), tokens_from<float>(file.at("output/logits"))) <
        2e-5);
  CHECK_THAT(
      message_of<OptionError>([] {
        static_cast<void>(load_model<CrateLanguageModel<float>>(fixture_path("gpt_checkpoint.pth"), {.heads = 4}));
      }),
      ContainsSubstring("heads: expected 3, as the weights have, found 4"));
}

TEST_CASE("GPT-2 in the layout of Hugging Face is turned, named and given its GELU") {
  const TemporaryFolder folder;
  const auto path = folder.file("gpt2.safetensors");
  auto options = small_language_options<TransformerLanguageModel<float>>();
  options.block.gelu = GeluForm::tanh;
  options.block.norm_epsilon = 1e-5;
  const auto model = model_of_normal_numbers<TransformerLanguageModel<float>>(options);
  save_model(path, model);
  const TensorTable nano = read_tensors(path);
  for (const bool has_prefix : {false, true}) {
    const TensorTable weights = with_tensors(nano, [&](const Tensor& tensor) -> std::optional<Tensor> {
      if (tensor.name == "lm_head.weight") return std::nullopt;
      Tensor changed =
          tensor.shape.size() == 2 && tensor.name.find(".h.") != std::string::npos ? transposed(tensor) : tensor;
      if (!has_prefix) changed.name.erase(0, std::string("transformer.").size());
      return changed;
    });
    std::vector<Tensor> with_masks = weights.tensors();
    const std::vector<float> mask(36, 1);
    for (const std::string name : {"h.0.attn.bias", "h.1.attn.bias"})
      with_masks.push_back(tensor_of<float>((has_prefix ? "transformer." : "") + name, {1, 1, 6, 6}, mask));
    const TensorTable found = find_weights({"x", with_masks, {}, nullptr}, {});
    const auto back = model_from<TransformerLanguageModel<float>>(found, {.heads = 2});
    CHECK(back.forward(TokenIds(some_ids)) == model.forward(TokenIds(some_ids)));
    const auto exact = model_from<TransformerLanguageModel<float>>(found, {.heads = 2, .gelu = GeluForm::exact});
    CHECK(back.forward(TokenIds(some_ids)) != exact.forward(TokenIds(some_ids)));
  }
}

namespace {

/// Of nanoGPT: bias=False leaves out the biases of norms and maps.
template <class Model>
void check_without_biases(typename Model::Options options) {
  const TemporaryFolder folder;
  const auto path = folder.file("model.safetensors");
  auto model = model_of_normal_numbers<Model>(options);
  for_each_parameter(
      [](std::string_view name, ParameterKind, auto& parameter) {
        if (name.ends_with("bias")) parameter.setZero();
      },
      model);
  save_model(path, model);
  const TensorTable file = read_tensors(path);
  const auto without = [&](auto is_left_out) {
    const TensorTable bare = with_tensors(
        file, [&](const Tensor& t) { return is_left_out(t.name) ? std::nullopt : std::optional<Tensor>(t); });
    return model_from<Model>(find_weights(bare), {.heads = options.block.heads}).forward(TokenIds(some_ids));
  };
  const auto expected = model.forward(TokenIds(some_ids));
  const auto is_bias = [](const std::string& name) { return name.ends_with(".bias"); };
  const auto is_of_norm = [](const std::string& name) {
    return name.find("norm") != std::string::npos || name.find("ln_") != std::string::npos;
  };
  CHECK(without(is_bias) == expected);
  CHECK(without([&](const std::string& name) { return is_bias(name) && is_of_norm(name); }) == expected);
  CHECK(without([&](const std::string& name) { return is_bias(name) && !is_of_norm(name); }) == expected);
  CHECK_THAT(message_of<FileError>([&] {
               (void)without([](const std::string& name) { return name == "transformer.h.1.attn.c_proj.bias"; });
             }),
             ContainsSubstring("missing: 'transformer.h.1.attn.c_proj.bias' [6]"));
}

}  // namespace

TEST_CASE("language models that were trained without biases load as if these were zero") {
  auto gpt2 = small_language_options<TransformerLanguageModel<float>>();
  gpt2.block.norm_epsilon = 1e-5;
  check_without_biases<TransformerLanguageModel<float>>(gpt2);
  check_without_biases<CrateLanguageModel<float>>(small_language_options<CrateLanguageModel<float>>());
}

TEST_CASE("a text encoder with too few positions is an error that names the file") {
  const TemporaryFolder folder;
  const auto path = folder.file("bert.safetensors");
  save_model(path, model_of_normal_numbers<CrateMaskedLanguageModel<float>>(
                       small_text_options<CrateMaskedLanguageModel<float>>()));
  const TensorTable file = read_tensors(path);
  const std::vector<float> numbers(12, 0.5F);
  const TensorTable few = with_tensors(file, [&](const Tensor& tensor) -> std::optional<Tensor> {
    if (tensor.name != "crate.embeddings.position_embeddings.weight") return tensor;
    return tensor_of<float>(tensor.name, {2, 6}, numbers);
  });
  CHECK_THAT(message_of<FileError>([&] { (void)model_from<CrateMaskedLanguageModel<float>>(few, {.heads = 2}); }),
             ContainsSubstring("bert.safetensors': expected more than the 2 positions of padding, found 2"));
}

TEST_CASE("a head that is not the embedding, and tables that do not fit, are errors that say so") {
  const TemporaryFolder folder;
  const auto path = folder.file("gpt.safetensors");
  save_model(path,
             model_of_normal_numbers<CrateLanguageModel<float>>(small_language_options<CrateLanguageModel<float>>()));
  const TensorTable file = read_tensors(path);
  const std::vector<float> others(8 * 6, 0.5F);
  const auto with_other = [&](const std::string& name, Index rows) {
    return message_of<FileError>([&] {
      static_cast<void>(model_from<CrateLanguageModel<float>>(
          with_tensors(
              file,
              [&](const Tensor& tensor) -> std::optional<Tensor> {
                if (tensor.name != name) return tensor;
                return tensor_of<float>(name, {rows, 6}, std::span(others).first(static_cast<std::size_t>(rows * 6)));
              }),
          {.heads = 2}));
    });
  };
  CHECK_THAT(with_other("lm_head.weight", 7),
             ContainsSubstring("tensor 'lm_head.weight': expected the numbers of 'transformer.wte.weight', to which it "
                               "is tied, found different numbers"));
  CHECK_THAT(with_other("transformer.wte.weight", 8), ContainsSubstring("'lm_head.weight': expected the numbers of"));
  CHECK_THAT(with_other("transformer.h.0.ista.weight", 8), ContainsSubstring("those of 'crate-lm'"));
}
