// SPDX-License-Identifier: MIT
// Language models by the names of the published code: what that code computed with the same weights, its gradients, and
// files that go out and come back.

#include <string>
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

std::string fixture_path(const std::string& name) { return std::string(CRATE_TEST_FIXTURES) + "/" + name; }

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
