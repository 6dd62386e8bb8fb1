// SPDX-License-Identifier: MIT

// Runs a published model on a file of images or of tokens and writes what it computes to another: logits of classifiers
// and language models; latent, prediction, mask and loss of a masked autoencoder; on request what every layer computes
// and measures, the gradient of the loss, and how a language model goes on with a prompt.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "crate/analysis/layer_metrics.hpp"
#include "crate/crate.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "crate/io/save_model.hpp"
#include "image_program/input_images.hpp"
#include "output_file.hpp"
#include "program_options/program_options.hpp"
#include "run_model/options.hpp"
#include "run_model/outputs.hpp"
#include "run_model/texts.hpp"

namespace {

using namespace crate;
using image_program::InputImages;
using run_model::Options;
using run_model::Outputs;

/// Noise [B, patches].
template <class Model, Scalar S = typename Model::Scalar>
Matrix<S> read_noise(const Tensor& tensor, const Model& model, Index images) {
  const std::vector<Index> expected{images, patch_grid(model).patches()};
  if (tensor.shape != expected)
    throw tensor_error(tensor, "expected shape ", shape_text(expected), ", found ", shape_text(tensor.shape));
  Matrix<S> noise = tokens_from<S>(tensor);
  if (noise.hasNaN()) throw tensor_error(tensor, "expected numbers that can be ordered, found nan");
  return noise;
}

/// Keeps every half-step that is asked for, and measures the layers.
template <Scalar S>
class LayerRecord {
 public:
  LayerRecord(const auto& model, Threads& threads) : meter_(model, {.paper_rates = false}, &threads) {}

  Observer<S> observer() {
    return [this](const HalfStep<S>& step) {
      meter_.see(step);
      if (const std::string output = run_model::output_name(step.name); !output.empty())
        activations_.push_back({output, TokenSets<S>(step.activation, step.layout)});
    };
  }

  void write(Outputs& outputs) const {
    for (const auto& [name, sets] : activations_) outputs.add_tokens(name, sets.tokens, sets.layout);
    std::vector<double> mean, deviation, zeros;
    for (const LayerMetrics& layer : meter_.layers()) {
      if (!layer.name.ends_with(".compress")) continue;  // but in a decoder, or of a transformer
      mean.push_back(layer.before.published_rate.mean());
      deviation.push_back(layer.before.published_rate.deviation());
      zeros.push_back(1 - layer.after.non_zero.mean());
    }
    if (mean.empty()) return;
    outputs.add_vector("coding_rate_mean", mean);
    outputs.add_vector("coding_rate_std", deviation);
    outputs.add_vector("zero_fraction", zeros);
  }

 private:
  LayerMeter<S> meter_;
  std::vector<std::pair<std::string, TokenSets<S>>> activations_;
};

template <class Block, class Embedding, Scalar S>
void compute(const ImageClassifier<Block, Embedding>& model, const InputImages<S>& images, const TensorTable&,
             const Run<S>& run, Outputs& outputs) {
  outputs.add_rows("logits", model.forward(images.pixels, run));
}

template <class EncoderBlock, class DecoderBlock, Scalar S>
void compute(const MaskedAutoencoder<EncoderBlock, DecoderBlock>& model, const InputImages<S>& images,
             const TensorTable& input, const Run<S>& run, Outputs& outputs) {
  const Tensor* const noise = input.find("noise");
  const MaskedAutoencoding<S> result =
      noise != nullptr ? autoencode(model, images.pixels, read_noise(*noise, model, images.pixels.cols()), run)
                       : autoencode(model, images.pixels, run);
  outputs.add_tokens("latent", result.latent,
                     TokenLayout::equal(images.pixels.cols(), 1 + patch_grid(model).patches()));
  outputs.add_tokens("pred", result.prediction, TokenLayout::equal(images.pixels.cols(), patch_grid(model).patches()));
  outputs.add_rows("mask", Matrix<float>(result.mask.template cast<float>()));
  if (result.loss) outputs.add_vector("loss", std::vector<S>{static_cast<S>(*result.loss)});
}

template <class Block, class Embedding, Scalar S>
void differentiate(const ImageClassifier<Block, Embedding>& model, const InputImages<S>& images,
                   const TensorTable& input, const Options& options, const Run<S>& run, Outputs& outputs) {
  const std::vector<Index> labels = run_model::read_indices(input.at("labels"));
  const CrossEntropyOptions smoothed{.label_smoothing = options.label_smoothing};
  Recording<ImageClassifier<Block, Embedding>> recording;
  const Matrix<S> logits = forward(model, images.pixels, recording, run).tokens;
  const LossSum loss = cross_entropy(logits, labels, smoothed);
  if (loss.count == 0) throw tensor_error(input.at("labels"), "expected a label that counts, found none");
  auto gradient = zeros_like(model);
  backward(model, cross_entropy_gradient(logits, labels, 1 / static_cast<double>(loss.count), smoothed), recording,
           gradient, run);
  outputs.add_vector("loss", std::vector<S>{static_cast<S>(loss.mean())});
  outputs.add_gradient(trainable_tensors(gradient));
}

template <class EncoderBlock, class DecoderBlock, Scalar S>
void differentiate(const MaskedAutoencoder<EncoderBlock, DecoderBlock>& model, const InputImages<S>& images,
                   const TensorTable& input, const Options&, const Run<S>& run, Outputs& outputs) {
  Recording<MaskedAutoencoder<EncoderBlock, DecoderBlock>> recording;
  const Matrix<S> mask = mask_by_noise(model, read_noise(input.at("noise"), model, images.pixels.cols()));
  const Matrix<S> prediction = forward(model, MaskedImages<S>(images.pixels, mask), recording, run).tokens;
  const Matrix<S> target = cut_patches(images.pixels, patch_grid(model), PatchOrder::row_column_channel);
  const auto hidden = static_cast<double>(mask.sum());
  if (hidden == 0)
    throw OptionError(
        concatenate("gradients: expected hidden patches, found none with mask ratio ", model.about.mask_ratio));
  auto gradient = zeros_like(model);
  backward(model, masked_patch_error_gradient(prediction, target, mask, 1 / hidden, model.about.normalise_pixels),
           recording, gradient, run);
  outputs.add_gradient(trainable_tensors(gradient));
}

/// A mean loss, and the gradient under the names that the weights have.
template <class Model>
void add_loss_and_gradient(Outputs& outputs, const LossSum& loss, const Model& gradient, const TensorTable& weights) {
  outputs.add_vector("loss", std::vector{static_cast<typename Model::Scalar>(loss.mean())});
  outputs.add_gradient(
      published_tensors(gradient, detail::names_in<FamilyOf<Model>>(weights), ParameterKind::trainable));
}

/// The loss of language models is over the labels of tokens, of causal ones their `targets`.
template <class Model>
void differentiate_tokens(const Model& model, const TensorTable& weights, const TensorTable& input,
                          const std::string& of_labels, const Options& options, const Run<typename Model::Scalar>& run,
                          Outputs& outputs) {
  const LabelledTokens texts = run_model::read_texts(input, of_labels);
  Recording<Model> recording;
  Model gradient = zeros_like(model);
  const TokenPredictionObjective<Model> objective{{.label_smoothing = options.label_smoothing}};
  const LossSum loss =
      objective.accumulate(model, texts, 1 / static_cast<double>(texts.layout.sets()), gradient, recording, run).loss;
  if (loss.count == 0) throw tensor_error(input.at(of_labels), "expected a label that counts, found none");
  add_loss_and_gradient(outputs, loss, gradient, weights);
}

/// Goes on with each prompt by the token of the largest logit, `count` times. Where the text becomes longer than the
/// model's context, its last tokens are read, as by the published code.
template <class Block>
void continue_prompts(const LanguageModel<Block>& model, const TensorTable& input, Index count,
                      const Run<typename Block::Scalar>& run, Outputs& outputs) {
  using S = typename Block::Scalar;
  std::vector<std::vector<Index>> texts = run_model::read_prompts(input);
  Matrix<S> logits(model.vocabulary(), std::ssize(texts) * count);
  for (Index i = 0; i < logits.cols(); ++i) {
    std::vector<Index>& text = texts[static_cast<std::size_t>(i / count)];
    const auto read =
        std::span<const Index>(text).last(std::min(text.size(), static_cast<std::size_t>(model.context())));
    const TokenLayout last = TokenLayout::single(std::ssize(read)).with_chosen({std::ssize(read) - 1});
    logits.col(i) = model.forward(TokenIds(read, last), run);
    Index best = 0;
    logits.col(i).maxCoeff(&best);
    text.push_back(best);
  }
  outputs.add_indices("greedy/tokens", texts);
  if (texts.size() == 1)
    outputs.add_rows("greedy/logits", logits);
  else
    outputs.add_tokens("greedy/logits", logits, TokenLayout::equal(std::ssize(texts), count));
}

template <class Block>
void run_on_text(const LanguageModel<Block>& model, const TensorTable& weights, const TensorTable& input,
                 const Options& options, const Run<typename Block::Scalar>& run, Outputs& outputs) {
  if (input.find("tokens") != nullptr || options.greedy == 0) {
    const LabelledTokens texts = run_model::read_texts(input);
    outputs.add_tokens("logits", model.forward(texts.input(), run), texts.layout);
  }
  const Run<typename Block::Scalar> unobserved{.threads = run.threads};
  if (options.gradients) differentiate_tokens(model, weights, input, "targets", options, unobserved, outputs);
  if (options.greedy > 0) continue_prompts(model, input, options.greedy, unobserved, outputs);
}

template <class Block>
void run_on_text(const MaskedLanguageModel<Block>& model, const TensorTable& weights, const TensorTable& input,
                 const Options& options, const Run<typename Block::Scalar>& run, Outputs& outputs) {
  const LabelledTokens texts = run_model::read_texts(input);
  const Run<typename Block::Scalar> unobserved{.threads = run.threads};
  outputs.add_tokens("logits", model.forward(texts.input(), run), texts.layout);
  outputs.add_tokens("hidden", model.text.forward(texts.input(), unobserved), texts.layout);
  if (options.gradients) differentiate_tokens(model, weights, input, "labels", options, unobserved, outputs);
}

template <class Block>
void run_on_text(const SentenceClassifier<Block>& model, const TensorTable& weights, const TensorTable& input,
                 const Options& options, const Run<typename Block::Scalar>& run, Outputs& outputs) {
  outputs.add_rows("logits", model.forward(run_model::read_texts(input).input(), run));
  if (!options.gradients) return;
  const LabelledTokens texts = run_model::read_texts(input, "labels");
  const CrossEntropyOptions smoothed{.label_smoothing = options.label_smoothing};
  const Run<typename Block::Scalar> unobserved{.threads = run.threads};
  Recording<SentenceClassifier<Block>> recording;
  const auto logits = forward(model, texts.input(), recording, unobserved).tokens;
  const LossSum loss = cross_entropy(logits, texts.labels, smoothed);
  if (loss.count == 0) throw tensor_error(input.at("labels"), "expected a label that counts, found none");
  auto gradient = zeros_like(model);
  backward(model, cross_entropy_gradient(logits, texts.labels, 1 / static_cast<double>(loss.count), smoothed),
           recording, gradient, unobserved);
  add_loss_and_gradient(outputs, loss, gradient, weights);
}

/// What a model of tokens or of images computes of its input.
template <class Model>
void run_on_input(const Model& model, const TensorTable& weights, const TensorTable& input, const Options& options,
                  const Run<typename Model::Scalar>& run, Outputs& outputs) {
  using S = typename Model::Scalar;
  if constexpr (requires { model.context(); }) {
    run_on_text(model, weights, input, options, run, outputs);
  } else {
    const InputImages<S> images = image_program::read_images<S>(input);
    compute(model, images, input, run, outputs);
    if (options.gradients) differentiate(model, images, input, options, Run<S>{.threads = run.threads}, outputs);
  }
}

/// Throws OptionError if a model is to go on with a prompt that cannot.
template <class Model>
void check_greedy(const Model&, const Options& options) {
  if (options.greedy > 0)
    throw OptionError(concatenate("option --greedy: expected a language model, found ", FamilyOf<Model>::kind));
}
template <class Block>
void check_greedy(const LanguageModel<Block>&, const Options&) {}

/// The options of the model; of a model of images also the size of its images.
LoadOptions load_options_for(const TensorTable& input, const Options& options) {
  const Tensor* const images = input.find("images");
  if (images == nullptr) return options.model;
  if (images->shape.size() != 4)
    throw tensor_error(*images, "expected shape [images, channels, height, width], none of them 0, found ",
                       shape_text(images->shape));
  return options.for_images(images->shape[2], images->shape[3], images->shape[1]);
}

template <Scalar S>
void run_in(const TensorTable& weights, const TensorTable& input, const Options& options) {
  const AnyModel<S> any_model = any_model_from<S>(weights, load_options_for(input, options));
  Threads threads(options.threads);
  Outputs outputs;
  std::visit(
      [&](const auto& model) {
        LayerRecord<S> record(model, threads);
        Run<S> run{.threads = &threads};
        if (options.layers) run.observer = record.observer();
        check_greedy(model, options);
        run_on_input(model, weights, input, options, run, outputs);
        if (options.layers) record.write(outputs);
      },
      any_model);
  outputs.write(options.output);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Runs a published model on images (CRATE, CRATE-alpha, vision transformer, CRATE masked autoencoder) or on\n"
      "tokens (CRATE-GPT2, CRATE-LM, GPT-2, CRATE-BERT and classifiers of sentences).\n"
      "Family and sizes are derived from the weights; give the rest as options.\n");
  program_options::set_up(app, "run_model");
  examples::LoadOptionsParser model_options;
  run_model::add_options(app, options, model_options);
  return program_options::run(app, count, arguments, [&] {
    run_model::check_options(app, options);
    options.model = model_options.parsed();
    examples::check_output(options.output, {options.weights, options.input});
    const TensorTable weights = read_weights(options.weights, options.model.weights_at);
    const TensorTable input = read_safetensors(options.input);
    if (holds_doubles(weights))
      run_in<double>(weights, input, options);
    else
      run_in<float>(weights, input, options);
    return 0;
  });
}
