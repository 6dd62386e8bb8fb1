// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/detail/number_text.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/formats/text_file.hpp"
#include "program_options/program_options.hpp"

// Options for what the weights of a model do not determine.

namespace examples {

using crate::Index;

/// "3x4" as (3, 4), and "5" as (5, 5).
inline std::pair<Index, Index> sides_from(const std::string& option, const std::string& text) {
  const std::size_t cut = text.find('x');
  const auto height = crate::detail::number_from_text<Index>(text.substr(0, cut));
  const auto width = cut == std::string::npos ? height : crate::detail::number_from_text<Index>(text.substr(cut + 1));
  if (height && width && *height >= 1 && *width >= 1) return {*height, *width};
  throw crate::OptionError(
      crate::concatenate("option ", option, ": expected HEIGHTxWIDTH, such as 224x224, or one number for both, found ",
                         crate::quote(text)));
}

/// The option that chooses among several sets of weights in a file.
inline void add_weights_at(CLI::App& app, std::string& weights_at) {
  app.add_option(
         "--weights-at", weights_at,
         "which weights to take from a file that holds several: a dict or prefix, such as teacher or model_ema; "
         "'.' for the top level [the only ones]")
      ->type_name("NAME");
}

/// Throws OptionError unless --mean and --deviation are of pixels in 0..1, and both or neither are given.
inline void check_pixels(const std::vector<double>& mean, const std::vector<double>& deviation) {
  if (mean.empty() != deviation.empty())
    throw crate::OptionError(crate::concatenate("options --mean and --deviation: expected both or neither, found ",
                                                mean.empty() ? "--deviation" : "--mean", " alone"));
  for (const auto& [option, numbers] : {std::pair("--mean", &mean), std::pair("--deviation", &deviation)})
    for (const double number : *numbers)
      if (!(number >= 0 && number <= 1))
        throw crate::OptionError(
            crate::concatenate("option ", option, ": expected numbers from 0 to 1, found ", number));
}

/// Sizes of the model, as options of a command line.
class LoadOptionsParser {
 public:
  /// For models without other options of size.
  void add_heads(CLI::App& app) {
    app.add_option("--heads", options_.heads,
                   "number of attention heads; needed unless the file records it [from the file]");
    add_weights_at(app, weights_at_);
  }

  void add_sizes(CLI::App& app) {
    add_heads(app);
    app.add_option("--decoder-heads", options_.decoder_heads,
                   "number of heads in a masked autoencoder's decoder [from the file, or as in the encoder]");
    app.add_option("--image", image_, "size of the images, such as 224x224 [from the weights]")
        ->type_name("HEIGHTxWIDTH");
    app.add_option("--patch", patch_, "size of the patches, such as 16x16 [from the weights, assuming square patches]")
        ->type_name("HEIGHTxWIDTH");
    app.add_option("--channels", options_.channels, "number of channels of the images [from the weights]");
  }

  /// How the model expects pictures to be prepared, and the names of its classes.
  void add_input(CLI::App& app) {
    app.add_option("--mean", mean_,
                   "mean of the pixels (0 to 1), one number per channel, such as 0.485,0.456,0.406 [from the file, or "
                   "as published]")
        ->delimiter(',')
        ->type_name("X,X,...")
        ->allow_extra_args(false);
    app.add_option("--deviation", deviation_,
                   "standard deviation of the pixels, one number per channel [from the file, or as published]")
        ->delimiter(',')
        ->type_name("X,X,...")
        ->allow_extra_args(false);
    program_options::add_choice(
        app, "--fit", fit_, {"published", "cover"},
        "how pictures are fitted to the image size: published (resize the shorter side to 256/224 of the image size, "
        "crop the centre) or cover (resize to just cover the image, crop the centre) [from the file, or published]");
    app.add_flag("--as-stored", as_stored_,
                 "ignore the orientation that a camera recorded (EXIF), as the published evaluation did");
    app.add_option("--names", names_, "file with one class name per line [from the weights]")->type_name("FILE");
  }

  void add_gelu(CLI::App& app) {
    program_options::add_choice(app, "--gelu", gelu_, {"exact", "tanh"},
                                "form of GELU in GPT-2: exact or tanh [tanh for Hugging Face files, exact for others]");
  }

  void add_settings(CLI::App& app) {
    program_options::add_choice(app, "--pool", pooling_, {"cls", "mean"},
                                "what the head reads: cls (the class token) or mean (the mean of all tokens) [cls]");
    app.add_option("--step-size", options_.step, "step size eta of ISTA [0.1]");
    app.add_option("--lambda", options_.lambda, "threshold lambda of ISTA [0.1; 0.5 in a masked autoencoder]");
    app.add_option("--mask-ratio", options_.mask_ratio, "share of the patches that a masked autoencoder hides [0.75]");
    add_gelu(app);
    app.add_flag("--normalise-patches", normalise_pixels_,
                 "compute a masked autoencoder's loss on patches that are each normalised to mean 0 and deviation 1");
  }

  /// The options of the command line. Throws OptionError on a malformed size, FileError if the names cannot be read.
  [[nodiscard]] crate::LoadOptions parsed() const {
    crate::LoadOptions options = options_;
    if (!image_.empty()) std::tie(options.image_height, options.image_width) = sides_from("--image", image_);
    if (!patch_.empty()) std::tie(options.patch_height, options.patch_width) = sides_from("--patch", patch_);
    if (!pooling_.empty()) options.pooling = pooling_ == "mean" ? crate::Pooling::mean : crate::Pooling::class_token;
    if (!gelu_.empty()) options.gelu = gelu_ == "tanh" ? crate::GeluForm::tanh : crate::GeluForm::exact;
    if (normalise_pixels_) options.normalise_pixels = true;
    if (!fit_.empty()) options.fit = fit_ == "cover" ? crate::PictureFit::cover : crate::PictureFit::published;
    if (as_stored_) options.orientation = crate::PixelOrientation::as_stored;
    check_pixels(mean_, deviation_);
    if (!mean_.empty()) options.normalisation = crate::ImageNormalisation{mean_, deviation_};
    if (!weights_at_.empty()) options.weights_at = weights_at_;
    if (!names_.empty()) options.class_names = crate::read_lines(names_);
    return options;
  }

 private:
  crate::LoadOptions options_;
  std::string weights_at_, image_, patch_, pooling_, fit_, names_, gelu_;
  std::vector<double> mean_, deviation_;
  bool normalise_pixels_ = false, as_stored_ = false;
};

}  // namespace examples
