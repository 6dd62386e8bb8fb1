// SPDX-License-Identifier: MIT

// Runs a published model on a file of images and writes what it computes to another: logits of a classifier; latent,
// prediction, mask and loss of a masked autoencoder; on request what every layer computes and measures, and the
// gradient of the loss.

#include <cstdint>
#include <optional>
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
#include "output_file.hpp"
#include "program_options/program_options.hpp"
#include "run_model/options.hpp"
#include "run_model/outputs.hpp"

namespace {

using namespace crate;
using run_model::Options;
using run_model::Outputs;

/// Images [B, C, H, W].
template <Scalar S>
struct InputImages {
  Index height, width, channels;
  Matrix<S> pixels;  // (C H W) x B
};

template <Scalar S>
InputImages<S> read_images(const TensorTable& input) {
  const Tensor& tensor = input.at("images");
  const std::vector<Index>& shape = tensor.shape;
  if (shape.size() != 4 || shape[0] < 1 || shape[1] < 1 || shape[2] < 1 || shape[3] < 1)
    throw tensor_error(tensor, "expected shape [images, channels, height, width], none of them 0, found ",
                       shape_text(shape));
  InputImages<S> images{shape[2], shape[3], shape[1], Matrix<S>(shape[1] * shape[2] * shape[3], shape[0])};
  copy_values(tensor, std::span<S>(images.pixels.data(), static_cast<std::size_t>(images.pixels.size())));
  return images;
}

/// Noise [B, patches].
template <Scalar S>
Matrix<S> read_noise(const Tensor& tensor, const CrateMaskedAutoencoder<S>& model, Index images) {
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
  explicit LayerRecord(const auto& model) : meter_(model) {}

  Observer<S> observer() {
    return [this](const HalfStep<S>& step) {
      meter_.see(step);
      if (const std::string output = run_model::output_name(step.name); !output.empty())
        activations_.push_back({output, TokenSets<S>(step.activation, step.layout)});
    };
  }

  void write(Outputs& outputs) const {
    for (const auto& [name, sets] : activations_) outputs.add_tokens(name, sets.tokens, sets.layout);
    if (meter_.layers().empty()) return;
    std::vector<double> mean, deviation, zeros;
    for (const LayerMetrics& layer : meter_.layers()) {
      mean.push_back(layer.coding_rate_mean);
      deviation.push_back(layer.coding_rate_deviation);
      zeros.push_back(layer.zero_fraction);
    }
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

std::vector<Index> read_labels(const TensorTable& input) {
  const std::vector<std::int64_t> labels = integers_from(input.at("labels"));
  return {labels.begin(), labels.end()};
}

template <class Block, class Embedding, Scalar S>
void differentiate(const ImageClassifier<Block, Embedding>& model, const InputImages<S>& images,
                   const TensorTable& input, const Options& options, const Run<S>& run, Outputs& outputs) {
  const std::vector<Index> labels = read_labels(input);
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

template <Scalar S>
void run_in(const TensorTable& weights, const TensorTable& input, const Options& options) {
  const InputImages<S> images = read_images<S>(input);
  const AnyModel<S> any_model =
      any_model_from<S>(weights, options.for_images(images.height, images.width, images.channels));
  Threads threads(options.threads);
  Outputs outputs;
  std::visit(
      [&](const auto& model) {
        LayerRecord<S> record(model);
        Run<S> run{.threads = &threads};
        if (options.layers) run.observer = record.observer();
        compute(model, images, input, run, outputs);
        if (options.layers) record.write(outputs);
        if (options.gradients) differentiate(model, images, input, options, Run<S>{.threads = &threads}, outputs);
      },
      any_model);
  outputs.write(options.output);
}

}  // namespace

int main(int count, char** arguments) {
  return program_options::run("run_model", [&] {
    Options options;
    if (const std::optional<int> status = options.parse(count, arguments)) return *status;
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
