// SPDX-License-Identifier: MIT

// Fits a white-box transformer to a set of tokens and shows what it does to them: each layer first compresses their
// directions against K subspaces, then moves them towards their sparse code, ISTA(Z | D); the decoder inverts layer
// for layer. Subspaces, dictionary, step sizes and thresholds follow from the tokens; on request encoder and decoder
// are then trained, end to end.

#include <CLI/CLI.hpp>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compress_tokens/options.hpp"
#include "compress_tokens/output_folder.hpp"
#include "compress_tokens/pictures.hpp"
#include "compress_tokens/progress.hpp"
#include "compress_tokens/rate_distortion.hpp"
#include "compress_tokens/source.hpp"
#include "compress_tokens/text.hpp"
#include "compress_tokens/tokens_file.hpp"
#include "compress_tokens/toy_effects.hpp"
#include "compress_tokens/train.hpp"
#include "crate/core/detail/count_of.hpp"
#include "crate/io/pictures/image.hpp"
#include "crate/io/white_box_file.hpp"
#include "program_options/program_options.hpp"

namespace {

using namespace compress_tokens;
using crate::detail::count_of;

/// Prints how the CSV file was interpreted, if CSV options were given or the output is a terminal; tokens.safetensors
/// records it in any case.
void print_notes(const Source& source, const Options& options) {
  if (!options.asks_for_csv() && isatty(STDOUT_FILENO) == 0) return;
  for (const std::string& note : source.notes) std::cout << note << "\n";
}

void print_box(const WhiteBox& box, const std::string& origin) {
  std::cout << "white box    " << count_of(box.depth(), "layer") << ", "
            << count_of(box.subspaces().heads(), "subspace") << " of dimension " << box.subspaces().head_dim() << ", "
            << origin << "\n";
}

/// The white box in a file. Throws FileError unless it fits the tokens.
WhiteBox load(const Source& source, const Options& options) {
  WhiteBox box = crate::load_white_box(options.load);
  if (box.dim() != source.tokens.rows())
    throw crate::file_error(options.load.string(), "expected a white box for tokens of width ", source.tokens.rows(),
                            ", found one of width ", box.dim());
  print_box(box, "loaded from " + options.load.filename().string());
  return box;
}

WhiteBox fit(const Source& source, const Options& options, const Progress& progress, crate::Threads& threads) {
  progress.show("fitting");
  crate::WhiteBoxFit fitted;
  WhiteBox box = crate::fit_white_box(source.tokens, options.fit, threads, &fitted);
  progress.clear();
  print_box(box, "fitted to these tokens alone");
  if (options.is_verbose) {
    std::cout << "\n" << fitted;
    return box;
  }
  for (const std::string& sentence : fitted.in_words()) std::cout << sentence << "\n";
  return box;
}

void print_truth(const WhiteBox& box, const Toy& toy) {
  if (box.subspaces().head_dim() == toy.subspaces.head_dim())
    std::cout << text("The subspaces lie within %.1f degrees of the true ones (largest principal angle).\n",
                      worst_angle(toy.subspaces, box.subspaces()));
  else
    std::cout << text("The true subspaces are %td, of dimension %td.\n", toy.subspaces.heads(),
                      toy.subspaces.head_dim());
}

/// The results of the white box on the tokens.
struct Passed {
  crate::WhiteBoxReport report;
  Matrix codes, decoded;
};

/// Throws PrecisionError unless all that is printed is finite; classes may be infinitely well apart.
void check_finite(const crate::WhiteBoxReport& report) {
  for (const crate::WhiteBoxMeasures& row : report.half_layers)
    for (const double rate : {row.rate, row.subspace_rate, row.partition_rate})
      static_cast<void>(finite("rates after " + row.name, rate));
  static_cast<void>(finite("relative error of the decoded tokens", report.decoding_error));
}

/// Sends the tokens through encoder and decoder, and prints the report.
Passed show_pass(const WhiteBox& box, const Source& source, const Progress& progress, crate::Threads& threads) {
  progress.show("encoding and decoding");
  Passed passed;
  passed.report = box.report(source.tokens, source.classes(), threads, &passed.codes, &passed.decoded);
  progress.clear();
  check_finite(passed.report);
  std::cout << "\n" << passed.report;
  return passed;
}

/// Root mean square error of a token to which it is coded: 5 % of the grey range a pixel, or what the subspaces leave
/// out.
double code_precision(const WhiteBox& box, const Source& source) {
  if (source.photograph) return 0.05 * std::sqrt(static_cast<double>(source.tokens.rows()));
  return box.compression().epsilon * std::sqrt(source.variation() / static_cast<double>(source.tokens.cols()));
}

void show_training(WhiteBox& box, const Source& source, const Options& options, const Progress& progress,
                   crate::Threads& threads) {
  const TrainOptions how{.steps = options.train_steps, .precision = code_precision(box, source), .seed = options.seed};
  const Training training = train(box, source.tokens, how, progress, threads);
  std::cout << text("\ntrained end to end for %s in %.1f s: ", count_of(options.train_steps, "step").c_str(),
                    training.seconds)
            << text("squared error %.3f and l1 norm of the codes %.3f times those before\n",
                    finite("squared error after training", training.after.error / training.before.error),
                    finite("l1 norm of the codes after training", training.after.code / training.before.code));
}

/// The toy: what each half of a layer does, and how much of R is noise.
void show_truth(const Toy& toy, const WhiteBox& box, const Passed& untrained, const std::optional<Passed>& trained,
                crate::Threads& threads) {
  const auto& rows = untrained.report.half_layers;
  std::cout << words_on_noise(clean_rates(toy, box, threads), {rows.front().rate, rows.back().rate}) << "\n";
  std::vector<Effect> effects = measure_effects(toy, box, untrained.decoded, threads);
  if (trained) effects.push_back(measure_effect("encoded and decoded, trained", toy, trained->decoded));
  std::cout << "\nwhat each step does to signal and noise\n";
  print_effects(std::cout, effects);
  std::cout << words_on_effects(effects);
}

/// Prints for each class the subspace that most of its tokens belong to.
void print_labels(const Labels& labels, const std::vector<Index>& membership, Index subspaces) {
  const auto classes = static_cast<Index>(labels.classes.size());
  Matrix counts = Matrix::Zero(subspaces, classes);
  for (std::size_t i = 0; i < membership.size(); ++i) counts(membership[i], labels.of_tokens[i]) += 1;
  std::cout << "\n  label                     tokens   most in subspace\n";
  constexpr Index most_lines = 50;
  for (Index c = 0; c < std::min(classes, most_lines); ++c) {
    Index best = 0;
    const double most = counts.col(c).maxCoeff(&best), all = counts.col(c).sum();
    std::cout << text("  %-24.24s %7.0f   %6td, %5.1f %%\n", labels.classes[static_cast<std::size_t>(c)].c_str(), all,
                      best + 1, 100 * most / all);
  }
  if (classes > most_lines) std::cout << text("  and %td more\n", classes - most_lines);
}

void print_trade_off(const std::vector<TradeOffPoint>& points, const Source& source, const std::string& coder) {
  const auto decibels = [&](const CodedTokens& coded) { return source.decibels(coded.squared_error(source.tokens)); };
  std::cout
      << "\ncost of storing the codes: entries rounded to multiples of precision * sqrt(12/d), bits = entropy per "
         "coordinate\n"
      << "  (with " << coder << ";\n"
      << (source.photograph ? "   bits per pixel and PSNR; " : "   bits per token and signal to error in dB; ")
      << "without bases, mean and tables for any method)\n"
      << "  precision     bits   white box        PCA   PCA with the same threshold\n";
  for (const TradeOffPoint& point : points)
    std::cout << text("  %9.4g%9.3f  %7.2f dB %7.2f dB  %7.2f dB\n", point.precision,
                      finite("bits of the code", point.white_box.bits / source.rate_units()),
                      finite("error of the white box", decibels(point.white_box)),
                      finite("error of PCA", decibels(point.pca)),
                      finite("error of PCA with the same threshold", decibels(point.pca_thresholded)));
  const double basis_bits = 8 * std::pow(static_cast<double>(source.tokens.rows()), 2);
  std::cout << text("the d x d basis, at 8 bits per number, would add %.2f bits per %s to either method\n",
                    basis_bits / source.rate_units(), source.photograph ? "pixel" : "token");
}

/// For tokens from a file: bits and error of an actual code, compared with principal component analysis.
std::vector<TradeOffPoint> show_trade_off(const Source& source, const WhiteBox& box, const Options& options,
                                          const Progress& progress, crate::Threads& threads) {
  const double stated = code_precision(box, source);
  progress.show("fitting a white box for coding");
  const bool is_loaded = !options.load.empty();
  const WhiteBox coder = is_loaded ? box : fit_to_code(source.tokens, stated, options.seed, threads);
  const auto coder_at = [&](double precision) {
    return is_loaded ? with_thresholds(coder, precision) : at_precision(coder, source.tokens, precision, threads);
  };
  std::vector<TradeOffPoint> points =
      trade_off(source.tokens, stated, coder_at, threads, [&](std::size_t point, std::size_t count) {
        progress.show(text("trade-off, precision %zu of %zu", point, count));
      });
  progress.clear();
  print_trade_off(points, source,
                  is_loaded ? "the white box as loaded"
                            : "a white box with a dictionary for each precision, and small steps, because\n"
                              "   undoing large ones amplifies rounding errors");
  return points;
}

/// The subspace with the largest share in each token.
std::vector<Index> membership_of(const WhiteBox& box, const Matrix& tokens) {
  const Matrix centred = tokens.colwise() - box.mean.col(0);
  const Matrix shares = crate::soft_partition(crate::directions(centred, box.softening()), box.subspaces(),
                                              box.compression().logit_scale);
  std::vector<Index> membership(static_cast<std::size_t>(tokens.cols()));
  for (std::size_t j = 0; j < membership.size(); ++j) shares.col(static_cast<Index>(j)).maxCoeff(&membership[j]);
  return membership;
}

/// The classes of the tokens, otherwise the subspaces that they were drawn from or have most to do with.
TokenGroups groups_of(const Source& source, const std::vector<Index>& membership, Index subspaces) {
  if (source.labels) return {"class", source.labels->of_tokens, source.labels->classes};
  if (source.toy) return numbered_groups("subspace", source.toy->membership, source.toy->subspaces.heads());
  return numbered_groups("subspace", membership, subspaces);
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
  plots::write_svg(folder.file("trade_off.svg", "error against bits, compared with principal component analysis (PCA)"),
                   trade_off_plot({curve("white box", &TradeOffPoint::white_box), curve("PCA", &TradeOffPoint::pca),
                                   curve("PCA with the same threshold", &TradeOffPoint::pca_thresholded)},
                                  source.photograph ? "pixel" : "token"));
}

void write_photographs(const CodedTokens& coded, const Source& source, const TokenGroups& subspaces,
                       OutputFolder& folder) {
  const crate::Image decoded = source.photograph->picture(coded.decoded);
  plots::write_svg(
      folder.file("reconstruction.svg", "the photograph, its reconstruction, and the subspaces of its patches"),
      photograph_row(source.photograph->picture(source.tokens), decoded, coded.bits / source.rate_units(), subspaces,
                     source.photograph->grid));
  crate::write_png(folder.file("decoded.png", "the decoded photograph alone"), decoded);
}

/// The results of a run.
struct Outcome {
  const WhiteBox& box;
  const Passed& passed;
  std::vector<Index> membership;
  std::vector<TradeOffPoint> points;  ///< empty for the toy
};

void write_files(const Source& source, const Outcome& outcome, OutputFolder& folder) {
  const Index subspaces = outcome.box.subspaces().heads();
  plots::write_svg(
      folder.file("similarity.svg", "|cosine| between tokens, before and after"),
      similarity_plot(source.tokens, outcome.passed.codes, groups_of(source, outcome.membership, subspaces)));
  plots::write_svg(folder.file("layers.svg", "the table of layers as a plot: rates, savings, non-zeros"),
                   layer_figure(outcome.passed.report));
  if (!outcome.points.empty()) write_trade_off(outcome.points, source, folder);
  if (source.photograph)
    write_photographs(outcome.points[outcome.points.size() / 2].white_box, source,
                      numbered_groups("subspace", outcome.membership, subspaces), folder);
  TokensFile{source.tokens,      outcome.passed.codes, outcome.passed.decoded,
             outcome.membership, source.labels,        source.notes}
      .write(folder.file("tokens.safetensors", "tokens, codes, decoded tokens, and the subspace of each"));
  crate::save_white_box(folder.file("white_box.safetensors", "the white box, for use on other tokens with --load"),
                        outcome.box, program_mark());
}

void run(const Options& options) {
  const Progress progress;
  crate::Threads threads(options.threads);
  const Source source = load_source(options);
  OutputFolder folder(options.output, kind_of_input(options.input), {options.input, options.load});

  std::cout << source.description << "\n";
  print_notes(source, options);
  std::cout << "\n";
  WhiteBox box = options.load.empty() ? fit(source, options, progress, threads) : load(source, options);
  if (source.toy) print_truth(box, *source.toy);
  Passed passed = show_pass(box, source, progress, threads);
  const WhiteBox untrained = box;
  std::optional<Passed> trained;
  if (options.train_steps > 0) {
    show_training(box, source, options, progress, threads);
    trained = show_pass(box, source, progress, threads);
  }
  if (source.toy) show_truth(*source.toy, untrained, passed, trained, threads);
  std::vector<Index> membership = membership_of(untrained, source.tokens);
  if (source.labels) print_labels(*source.labels, membership, box.subspaces().heads());
  std::vector<TradeOffPoint> points;
  if (!source.toy) points = show_trade_off(source, untrained, options, progress, threads);
  write_files(source, {box, trained ? *trained : passed, std::move(membership), std::move(points)}, folder);
  std::cout << "\n";
  folder.print(std::cout);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Fits a white-box transformer to a set of tokens: layers that compress them towards a few subspaces and\n"
      "make them sparse, and a decoder that undoes the layers. Prints what each layer does and what that means,\n"
      "and what an actual code costs; writes pictures, codes, decoded tokens, and the white box for use on other\n"
      "tokens.\n\n"
      "The tokens are the lines of a table, the patches of a photograph, or, without --input, drawn near\n"
      "subspaces that are known. Options that are not set are chosen from the tokens.\n\n"
      "Needs memory for about twelve copies of the tokens (8 bytes per number), plus one per thread.\n");
  program_options::set_up(app, "compress_tokens");
  compress_tokens::add_options(app, options);
  return program_options::run(app, count, arguments, [&] {
    compress_tokens::complete_options(app, options);
    run(options);
    return 0;
  });
}
