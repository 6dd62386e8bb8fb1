// SPDX-License-Identifier: MIT

// Shows what a white-box transformer does to a set of tokens: each layer first lowers the coding rate R^c of the
// tokens against K subspaces, Z - kappa grad R^c(Z | U), then moves towards their sparse code, ISTA(Z | D); the
// decoder mirrors it. The subspaces and dictionaries are those that the tokens were drawn from, or estimated from the
// tokens; on request they are then trained, end to end.

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compress_tokens/layer_table.hpp"
#include "compress_tokens/options.hpp"
#include "compress_tokens/output_folder.hpp"
#include "compress_tokens/pictures.hpp"
#include "compress_tokens/plan.hpp"
#include "compress_tokens/progress.hpp"
#include "compress_tokens/rate_distortion.hpp"
#include "compress_tokens/source.hpp"
#include "compress_tokens/text.hpp"
#include "compress_tokens/tokens_file.hpp"
#include "compress_tokens/toy_effects.hpp"
#include "compress_tokens/train.hpp"
#include "crate/io/pictures/image.hpp"
#include "program_options/program_options.hpp"

namespace {

using namespace compress_tokens;

/// What was taken for what in a file of text, where it was asked about, and for who looks on; the file of tokens has it
/// anyway.
void print_notes(const Source& source, const Options& options) {
  if (!options.asks_for_csv() && isatty(STDOUT_FILENO) == 0) return;
  for (const std::string& note : source.notes) std::cout << note << "\n";
}

void print_plan(const Plan& plan, const Source& source, const EstimatedSubspaces& estimated) {
  const Subspaces& u = plan.weights.subspaces.front();
  const Strength& s = plan.strength;
  std::cout << text("subspaces    %td of dimension %td, ", u.heads(), u.head_dim()) << plan.subspaces_from << "\n"
            << text("             those estimated from the tokens hold %.1f %% of their energy\n",
                    100 * (1 - estimated.residual));
  if (source.toy)
    std::cout << text("             and lie within %.1f degrees of the true ones (largest principal angle)\n",
                      worst_angle(source.toy->subspaces, estimated.subspaces));
  std::cout << "dictionary   " << plan.dictionary_from << "\n"
            << text("precision    epsilon = %.4g, lambda = %.4g in %zu layers\n", s.epsilon, s.lambda,
                    plan.weights.dictionaries.size())
            << text("compression  %s steps, kappa = %.3g N epsilon^2 / (p ||U||^2)\n\n", step_name(s.step), s.kappa);
}

void print_coding_length(const EncodedTokens& encoded, const Source& source, double epsilon) {
  const Index count = source.tokens.cols();
  const double before = coding_length_bits(encoded.measures.front().rate, count);
  const double after = coding_length_bits(encoded.measures.back().rate, count);
  std::cout << text("\ncoding length N R(Z) at epsilon = %.4g: ", epsilon) << with_commas(before) << " bits before, "
            << with_commas(after) << " after";
  if (after > 0) std::cout << text(" (%.1f to 1)", before / after);
  std::cout << "\n";
}

/// What became of R^c, and whether kappa may be why.
void print_compression(const std::vector<LayerMeasures>& measures, const Encoder& encoder, Index tokens) {
  std::cout << describe_compression(measures) << "\n";
  const double beyond = kappa_beyond_bound(encoder, tokens);
  const bool exact = encoder.layers.front().compress.options.step == crate::CompressionStep::exact;
  if (exact && beyond > 1 + rate_rounding)
    std::cout << text(
        "warning: kappa is %.3g times the largest with which no step raises R^c, 2 N epsilon^2 / (p ||U||^2)\n",
        beyond);
}

/// For each class, the subspace that holds most of its tokens.
void print_labels(const Labels& labels, const std::vector<Index>& membership, Index subspaces) {
  const auto classes = static_cast<Index>(labels.classes.size());
  crate::Matrix<double> counts = crate::Matrix<double>::Zero(subspaces, classes);
  for (std::size_t i = 0; i < membership.size(); ++i) counts(membership[i], labels.of_tokens[i]) += 1;
  std::cout << "\n  label                     tokens   most in subspace\n";
  constexpr Index most_lines = 50;
  for (Index c = 0; c < std::min(classes, most_lines); ++c) {
    Index best = 0;
    const double most = counts.col(c).maxCoeff(&best), all = counts.col(c).sum();
    std::cout << text("  %-24.24s %7.0f   %6td, %5.1f %%\n", labels.classes[static_cast<std::size_t>(c)].c_str(), all,
                      best, 100 * most / all);
  }
  if (classes > most_lines) std::cout << text("  and %td more\n", classes - most_lines);
}

double relative_error(const Matrix& tokens, const Matrix& decoded) { return (tokens - decoded).norm() / tokens.norm(); }

void print_trade_off(const std::vector<TradeOffPoint>& points, const Source& source, bool trained) {
  const auto decibels = [&](const CodedTokens& coded) { return source.decibels(coded.squared_error(source.tokens)); };
  std::cout << "\nrate and error of an actual code: codes rounded to steps of epsilon sqrt(12/d), entropy of each "
               "coordinate\n"
            << (trained ? "  (by the layers as they were before training)\n" : "")
            << (source.photograph ? "  (bits a pixel and PSNR; " : "  (bits a token and signal to error in dB; ")
            << "bases, mean and tables not counted for any method)\n"
            << "  epsilon       bits   white box        PCA   PCA with the same threshold\n";
  for (const TradeOffPoint& point : points)
    std::cout << text("  %7.4g  %9.3f  %7.2f dB %7.2f dB  %7.2f dB\n", point.epsilon,
                      finite("bits of the code", point.white_box.bits / source.rate_units()),
                      finite("error of the white box", decibels(point.white_box)),
                      finite("error of PCA", decibels(point.pca)),
                      finite("error of PCA with the same threshold", decibels(point.pca_thresholded)));
  const double basis_bits = 8 * std::pow(static_cast<double>(source.tokens.rows()), 2);
  std::cout << text("to send the d x d basis of either method as well, 8 bits a number, would add %.2f bits a %s\n",
                    basis_bits / source.rate_units(), source.photograph ? "pixel" : "token");
}

struct PassedTokens {
  EncodedTokens encoded;
  Matrix decoded;
};

/// Sends the tokens through encoder and decoder, and prints the table of layers and what it comes to.
PassedTokens show_pass(const Autoencoder& box, const Weights& weights, const Source& source, const Options& options,
                       double epsilon, const Progress& progress, crate::Threads& threads) {
  progress.show("encoding");
  EncodedTokens encoded = encode_and_measure(box.encoder, weights, source.tokens, epsilon, options.weight, threads);
  progress.clear();
  print_layer_table(std::cout, encoded.measures);
  print_compression(encoded.measures, box.encoder, source.tokens.cols());
  print_coding_length(encoded, source, epsilon);
  Matrix decoded = crate::forward(box.decoder, encoded.codes, {.threads = &threads});
  std::cout << text("reconstruction from the unrounded codes: relative error %.3f\n",
                    finite("relative error of the reconstruction", relative_error(source.tokens, decoded)));
  return {std::move(encoded), std::move(decoded)};
}

void show_training(const Training& training, Index steps) {
  std::cout << text("\ntrained end to end for %td steps in %.1f s: ", steps, training.seconds)
            << text("squared error %.3f and l1 norm of the codes %.3f times those before\n\n",
                    finite("squared error after training", training.after.error / training.before.error),
                    finite("l1 norm of the codes after training", training.after.code / training.before.code));
}

/// The toy: what each half of a layer does, and that estimated subspaces serve as well as the true ones.
void show_toy_effects(const Source& source, const Plan& plan, const EstimatedSubspaces& estimated,
                      const Matrix& decoded, const std::optional<Matrix>& decoded_by_trained, const Options& options,
                      crate::Threads& threads) {
  const WhiteBox box{plan.weights, plan.strength};
  std::vector<Effect> effects = measure_effects(*source.toy, box, decoded, threads);
  const bool given = !options.estimate;
  const Subspaces& others = given ? estimated.subspaces : source.toy->subspaces;
  const Plan other = make_plan(source.tokens, others, !given, plan.strength, options, threads);
  effects.push_back(measure_effect(given ? "the same, subspaces estimated" : "the same, subspaces given", *source.toy,
                                   WhiteBox{other.weights, other.strength}.decode_of_encode(source.tokens, threads)));
  if (decoded_by_trained)
    effects.push_back(measure_effect("encoded and decoded, trained", *source.toy, *decoded_by_trained));
  std::cout << "\nwhat each step does to signal and noise\n";
  print_effects(std::cout, effects);
}

/// The user's own tokens: bits and error of an actual code, beside principal component analysis.
std::vector<TradeOffPoint> show_trade_off(const Source& source, const Plan& plan, bool trained,
                                          const Progress& progress, crate::Threads& threads) {
  std::vector<TradeOffPoint> points =
      trade_off(source.tokens, plan.weights, plan.strength, threads, [&](std::size_t point, std::size_t count) {
        progress.show(text("trade-off, precision %zu of %zu", point, count));
      });
  progress.clear();
  print_trade_off(points, source, trained);
  return points;
}

/// The classes of the tokens, otherwise the subspaces that they were drawn from or that hold most of them.
TokenGroups groups_of(const Source& source, const EstimatedSubspaces& estimated) {
  if (source.labels) return {"class", source.labels->of_tokens, source.labels->classes};
  if (source.toy) return numbered_groups("subspace", source.toy->membership, source.toy->subspaces.heads());
  return numbered_groups("subspace", estimated.membership, estimated.subspaces.heads());
}

void write_layers(const std::vector<LayerMeasures>& measures, OutputFolder& folder) {
  std::vector<std::string> half_layers;
  LayerColumn rate{"R(Z)", {}}, subspace_rate{"R^c(Z|U)", {}}, difference{"R - R^c", {}}, nonzero{"non-zero", {}},
      objective{"objective", {}};
  for (const LayerMeasures& row : measures) {
    half_layers.push_back(row.name);
    rate.values.push_back(row.rate);
    subspace_rate.values.push_back(row.subspace_rate);
    difference.values.push_back(row.rate - row.subspace_rate);
    nonzero.values.push_back(100 * row.nonzero_share);
    objective.values.push_back(row.objective);
  }
  const std::string unit = "nats per token";
  plots::write_svg(folder.file("layers.svg", "R, R^c, R - R^c, non-zeros and objective by half-layer"),
                   layer_figure(half_layers, {{"coding rates", unit, {rate, subspace_rate}},
                                              {"rate reduction R - R^c", unit, {difference}},
                                              {"non-zero entries", "%", {nonzero}},
                                              {"objective, sparse rate reduction", unit, {objective}}}));
}

void write_trade_off(const std::vector<TradeOffPoint>& points, const Source& source, OutputFolder& folder) {
  const auto curve = [&](const char* method, CodedTokens TradeOffPoint::*coded) {
    TradeOffCurve result{method, {}, {}};
    for (const TradeOffPoint& point : points) {
      result.bits.push_back((point.*coded).bits / source.rate_units());
      result.decibels.push_back(source.decibels((point.*coded).squared_error(source.tokens)));
    }
    return result;
  };
  plots::write_svg(folder.file("trade_off.svg", "error against bits, beside principal component analysis (PCA)"),
                   trade_off_plot({curve("white box", &TradeOffPoint::white_box), curve("PCA", &TradeOffPoint::pca),
                                   curve("PCA with the same threshold", &TradeOffPoint::pca_thresholded)},
                                  source.photograph ? "pixel" : "token"));
}

void write_photographs(const CodedTokens& coded, const Source& source, const EstimatedSubspaces& estimated,
                       OutputFolder& folder) {
  const crate::Image decoded = source.photograph->picture(coded.decoded);
  plots::write_svg(
      folder.file("reconstruction.svg", "the photograph, what was decoded of it, and the subspaces of its patches"),
      photograph_row(source.photograph->picture(source.tokens), decoded, coded.bits / source.rate_units(),
                     numbered_groups("subspace", estimated.membership, estimated.subspaces.heads()),
                     source.photograph->grid));
  crate::write_png(folder.file("decoded.png", "the decoded photograph alone"), decoded);
}

struct Preparation {
  EstimatedSubspaces estimated;
  Plan plan;
};

Preparation prepare(const Source& source, const Options& options, const Progress& progress, crate::Threads& threads) {
  progress.show("estimating subspaces");
  EstimatedSubspaces estimated = estimate(source, options, threads);
  const bool given = source.toy && !options.estimate;
  const Strength strength = choose_strength(source, estimated, options);
  progress.show("preparing the layers");
  Plan plan =
      make_plan(source.tokens, given ? source.toy->subspaces : estimated.subspaces, given, strength, options, threads);
  progress.clear();
  return {std::move(estimated), std::move(plan)};
}

/// The white box at the end, trained if that was asked for, and what it does to the tokens.
struct Outcome {
  Autoencoder box;
  Weights weights;
  PassedTokens passed;
  Matrix decoded_untrained;
};

Outcome pass_and_train(const Source& source, const Plan& plan, const Options& options, const Progress& progress,
                       crate::Threads& threads) {
  const double epsilon = plan.strength.epsilon;
  Autoencoder box{make_encoder(plan.weights, plan.strength, source.tokens.cols()),
                  make_decoder(plan.weights, plan.strength, source.tokens.cols())};
  PassedTokens passed = show_pass(box, plan.weights, source, options, epsilon, progress, threads);
  Matrix decoded = passed.decoded;
  if (options.train_steps == 0) return {std::move(box), plan.weights, std::move(passed), std::move(decoded)};
  const TrainOptions training{.steps = options.train_steps, .epsilon = epsilon, .seed = options.seed};
  show_training(train(box, source.tokens, training, progress, threads), options.train_steps);
  Weights weights = weights_of(box.encoder, plan.weights.subspaces.back());
  passed = show_pass(box, weights, source, options, epsilon, progress, threads);
  return {std::move(box), std::move(weights), std::move(passed), std::move(decoded)};
}

void write_tokens(const std::filesystem::path& path, const Source& source, const Preparation& prepared,
                  const Outcome& outcome, bool trained) {
  const std::string then = trained ? ", then trained" : "";
  TokensFile{source.tokens,
             outcome.passed.encoded.codes,
             outcome.passed.decoded,
             prepared.estimated.membership,
             source.labels,
             source.notes,
             outcome.weights,
             outcome.box,
             prepared.plan.strength,
             prepared.plan.subspaces_from + then,
             prepared.plan.dictionary_from + then}
      .write(path);
}

void run(const Options& options) {
  const Progress progress;
  crate::Threads threads(options.threads);
  const Source source = load_source(options);
  OutputFolder folder(options.output);

  const Preparation prepared = prepare(source, options, progress, threads);
  const auto& [estimated, plan] = prepared;
  std::cout << source.description << "\n";
  print_notes(source, options);
  std::cout << "\n";
  print_plan(plan, source, estimated);

  const Outcome outcome = pass_and_train(source, plan, options, progress, threads);
  const bool trained = options.train_steps > 0;
  if (source.toy)
    show_toy_effects(source, plan, estimated, outcome.decoded_untrained,
                     trained ? std::optional(outcome.passed.decoded) : std::nullopt, options, threads);
  if (source.labels) print_labels(*source.labels, estimated.membership, estimated.subspaces.heads());
  std::vector<TradeOffPoint> points;
  if (!source.toy) points = show_trade_off(source, plan, trained, progress, threads);

  plots::write_svg(folder.file("similarity.svg", "|cosine| between tokens, before and after"),
                   similarity_plot(source.tokens, outcome.passed.encoded.codes, groups_of(source, estimated)));
  write_layers(outcome.passed.encoded.measures, folder);
  if (!source.toy) write_trade_off(points, source, folder);
  if (source.photograph) write_photographs(points[points.size() / 2].white_box, source, estimated, folder);
  write_tokens(folder.file("tokens.safetensors", "tokens, codes, decoded tokens, and the weights that make them"),
               source, prepared, outcome, trained);
  std::cout << "\n";
  folder.print(std::cout);
}

}  // namespace

int main(int argc, char** argv) {
  return program_options::run("compress_tokens", [&] {
    int exit_code = 0;
    if (const auto options = read_options(argc, argv, exit_code)) run(*options);
    return exit_code;
  });
}
