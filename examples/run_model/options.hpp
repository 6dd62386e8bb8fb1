// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <utility>

#include "crate/io/model_options.hpp"

namespace run_model {

using crate::Index;

/// "3x4" as (3, 4).
inline std::pair<Index, Index> sides_from(const std::string& option, const std::string& text) {
  const char* const end = text.data() + text.size();
  Index height = 0, width = 0;
  const auto [after_height, no_height] = std::from_chars(text.data(), end, height);
  if (no_height == std::errc() && after_height != end && *after_height == 'x') {
    const auto [after_width, no_width] = std::from_chars(after_height + 1, end, width);
    if (no_width == std::errc() && after_width == end && height >= 1 && width >= 1) return {height, width};
  }
  throw crate::OptionError(
      crate::concatenate("option ", option, ": expected HEIGHTxWIDTH, as in 224x224, found '", text, "'"));
}

struct Options {
  std::string weights, input, output;
  bool layers = false;
  int threads = 1;

  /// Fills the options. Returns the exit status if there is nothing to run: --help or a mistake, which is then reported.
  std::optional<int> parse(int count, char** arguments) {
    CLI::App app(
        "Runs a published CRATE model (classifier, CRATE-alpha, masked autoencoder) on images.\n"
        "Family and sizes are read off the weights; what weights do not tell is an option.");
    std::string image, patch, pooling;
    bool normalise_pixels = false;
    app.add_option("--weights", weights, "safetensors or PyTorch file")->required();
    app.add_option("--input", input,
                   "safetensors with `images` [B, C, H, W]; of a masked autoencoder also `noise` "
                   "[B, patches], without which nothing is masked")
        ->required();
    app.add_option("--output", output, "safetensors to write")->required();
    app.add_option("--heads", given_.heads, "number of heads; files of this library carry it, others never do");
    app.add_option("--image", image, "HEIGHTxWIDTH of the images (as in the input)");
    app.add_option("--patch", patch, "HEIGHTxWIDTH of the patches (square if not given)");
    app.add_option("--channels", given_.channels, "channels of the images (as in the input)");
    app.add_option("--pool", pooling, "token that the head reads: cls or mean (cls)")
        ->check(CLI::IsMember({"cls", "mean"}));
    app.add_option("--step-size", given_.step, "eta of ISTA (0.1)");
    app.add_option("--lambda", given_.lambda, "lambda of ISTA (0.1; 0.5 in a masked autoencoder)");
    app.add_option("--mask-ratio", given_.mask_ratio, "share of the patches that a masked autoencoder hides (0.75)");
    app.add_flag("--normalize-pixels", normalise_pixels, "loss against patches normalised one by one");
    app.add_flag("--layers", layers, "also write tokens, every half-step, coding rates and zero fractions");
    app.add_option("--threads", threads, "threads (1)")->check(CLI::PositiveNumber);
    try {
      app.parse(count, arguments);
    } catch (const CLI::ParseError& error) { return app.exit(error); }
    if (!image.empty()) std::tie(given_.image_height, given_.image_width) = sides_from("--image", image);
    if (!patch.empty()) std::tie(given_.patch_height, given_.patch_width) = sides_from("--patch", patch);
    if (!pooling.empty()) given_.pooling = pooling == "mean" ? crate::Pooling::mean : crate::Pooling::class_token;
    if (normalise_pixels) given_.normalise_pixels = true;
    return std::nullopt;
  }

  /// What the command line and the images say of the model. Throws OptionError where they contradict each other.
  [[nodiscard]] crate::LoadOptions for_images(Index height, Index width, Index channels) const {
    const auto agree = [](const char* what, std::optional<Index> given, Index found) {
      if (given && *given != found)
        throw crate::OptionError(
            crate::concatenate(what, ": expected ", *given, ", as the options say, found ", found, " in the input"));
      return found;
    };
    crate::LoadOptions options = given_;
    options.image_height = agree("image height", given_.image_height, height);
    options.image_width = agree("image width", given_.image_width, width);
    options.channels = agree("channels", given_.channels, channels);
    return options;
  }

 private:
  crate::LoadOptions given_;
};

}  // namespace run_model
