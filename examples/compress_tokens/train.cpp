// SPDX-License-Identifier: MIT
#include "compress_tokens/train.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string_view>
#include <tuple>
#include <utility>

#include "compress_tokens/text.hpp"
#include "crate/core/part.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/recording.hpp"
#include "crate/training/adamw.hpp"
#include "crate/training/schedule.hpp"

namespace compress_tokens {

namespace {

constexpr double code_weight = 0.25;

using Encoder = crate::Encoder<crate::WhiteBoxBlock<double>>;
using Decoder = crate::Decoder<crate::WhiteBoxDecoderBlock<double>>;

/// What is trained of a white box.
struct Autoencoder {
  using Scalar = double;

  Encoder encoder;
  Decoder decoder;

  static constexpr auto parts() {
    return std::tuple{crate::part("encoder", &Autoencoder::encoder), crate::part("decoder", &Autoencoder::decoder)};
  }
};

/// Encoder and decoder with their steps for so many tokens.
Autoencoder take_layers(WhiteBox& box, Index tokens) {
  Autoencoder layers{box.for_tokens(std::move(box.encoder), tokens), box.for_tokens(std::move(box.decoder), tokens)};
  for (auto& layer : layers.decoder.layers) layer.decompress.options.iterations = 1;
  return layers;
}

/// The subspaces of a layer in the coordinates of its dictionary, of unit columns.
crate::Subspaces<Matrix> subspaces_after(const crate::WhiteBoxBlock<double>& layer) {
  const crate::Subspaces<Matrix>& u = layer.compress.layer.subspaces;
  return {(layer.sparsify.dictionary.transpose() * u.bases()).colwise().normalized(), u.heads()};
}

void give_layers(Autoencoder layers, WhiteBox& box, Index tokens) {
  box.encoder = std::move(layers.encoder);
  box.decoder = std::move(layers.decoder);
  box.code_subspaces = subspaces_after(box.encoder.layers.back());
  box.fitted_tokens = tokens;
}

/// Scales every column of `model` to the length of that of `origin`; columns of zeros stay.
void restore_lengths(Autoencoder& model, const Autoencoder& origin) {
  crate::for_each_parameter(
      [](std::string_view, crate::ParameterKind, auto& matrix, const auto& original) {
        for (Index j = 0; j < matrix.cols(); ++j) {
          const double length = matrix.col(j).norm();
          if (length > 0) matrix.col(j) *= original.col(j).norm() / length;
        }
      },
      model, origin);
}

/// Recorded passes through encoder and decoder, and back.
class Passes {
 public:
  Passes(const Matrix& tokens, const TrainOptions& options, crate::Threads& threads)
      : tokens_(tokens),
        codes_(tokens),
        run_{.threads = &threads, .workspace = &workspace_},
        random_(options.seed),
        deviation_(options.precision / std::sqrt(static_cast<double>(tokens.rows()))) {}

  TrainLoss forward(const Autoencoder& model) {
    codes_ = crate::forward(model.encoder, tokens_, encoding_, run_);
    Matrix errors(codes_.tokens.rows(), codes_.tokens.cols());
    random_.fill_normal(errors);
    coded_ = codes_;
    coded_.tokens += deviation_ * errors;
    difference_ = crate::forward(model.decoder, coded_, decoding_, run_).tokens - tokens_.tokens;
    return {difference_.squaredNorm(), codes_.tokens.lpNorm<1>()};
  }

  /// Adds the gradient of the loss, measured by what it was before training.
  void backward(const Autoencoder& model, const TrainLoss& unit, Autoencoder& gradient) {
    Matrix cotangent =
        crate::backward(model.decoder, Matrix(2 / unit.error * difference_), decoding_, gradient.decoder, run_);
    cotangent += codes_.tokens.cwiseSign() * (code_weight / unit.code);
    crate::backward(model.encoder, cotangent, encoding_, gradient.encoder, run_);
  }

 private:
  crate::TokenSets<double> tokens_, codes_;
  crate::TokenSets<double> coded_ = codes_;  // with the errors of their precision; lives as long as the recording
  Matrix difference_;
  crate::Workspace workspace_;
  crate::Run<double> run_;
  crate::Random random_;
  double deviation_;  // of the error of a coordinate
  crate::Recording<Encoder> encoding_;
  crate::Recording<Decoder> decoding_;
};

}  // namespace

Training train(WhiteBox& box, const Matrix& tokens, const TrainOptions& options, const Progress& progress,
               crate::Threads& threads) {
  Autoencoder autoencoder = take_layers(box, tokens.cols());
  const Autoencoder origin = autoencoder;
  const crate::Schedule schedule{.decay = crate::Decay::cosine, .steps = options.steps};
  crate::AdamW<Autoencoder> adam(autoencoder, {.rate = options.rate, .weight_decay = 0});
  Autoencoder gradient = crate::zeros_like(autoencoder);
  Passes passes(tokens.colwise() - box.mean.col(0), options, threads);
  Training training;
  training.before = training.after = passes.forward(autoencoder);
  const TrainLoss unit{std::max(training.before.error, 1e-300), std::max(training.before.code, 1e-300)};
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  for (Index step = 0; step < options.steps; ++step) {
    gradient = crate::zeros_like(std::move(gradient));
    passes.backward(autoencoder, unit, gradient);
    adam.step(autoencoder, gradient, {.rate = schedule.factor(step)}, threads);
    restore_lengths(autoencoder, origin);
    training.after = passes.forward(autoencoder);
    const auto done = static_cast<double>(step + 1);
    progress.show(text("training, step %td of %td: error %.4f, code %.4f of before, %.0f s to go", step + 1,
                       options.steps, training.after.error / unit.error, training.after.code / unit.code,
                       seconds() / done * (static_cast<double>(options.steps) - done)));
  }
  progress.clear();
  training.seconds = seconds();
  give_layers(std::move(autoencoder), box, tokens.cols());
  return training;
}

}  // namespace compress_tokens
