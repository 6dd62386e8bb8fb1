// SPDX-License-Identifier: MIT

// Lists what is inside a PyTorch or safetensors file, and writes the weights in it as safetensors.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "crate/core/detail/count_of.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "crate/io/save_model.hpp"
#include "load_options.hpp"
#include "output_file.hpp"
#include "program_options/program_options.hpp"
#include "text_program/tokeniser_options.hpp"

namespace {

using namespace crate;

void print_tensors(const TensorTable& table) {
  std::size_t width = 4;
  for (const Tensor& tensor : table.tensors()) width = std::max(width, tensor.name.size());
  double bytes = 0;
  for (const Tensor& tensor : table.tensors()) {
    std::printf("%-*s  %-4s  %s\n", static_cast<int>(width), tensor.name.c_str(),
                std::string(dtype_name(tensor.dtype)).c_str(), shape_text(tensor.shape).c_str());
    bytes += static_cast<double>(tensor.bytes.size());
  }
  std::printf("%s, %.2f MB\n", detail::count_of(table.tensors().size(), "tensor").c_str(), bytes / 1e6);
}

/// How the model expects pictures to be prepared, and the names of its classes.
void print_input(const TensorTable& table) {
  const auto number = [&](std::string_view key) { return detail::number_in_metadata<Index>(table, key); };
  const auto channels = number("crate.channels");
  if (!channels) {
    std::printf("pictures   not in the file; the published evaluation is assumed\n");
    return;
  }
  const ImagePreprocessing input = detail::preprocessing_in_metadata(table, *channels);
  const auto height = number("crate.image_height"), width = number("crate.image_width");
  const std::string size = height && width ? concatenate(*height, " x ", *width, ", ") : "";
  std::printf("pictures   become images of %s%s: %s\n", size.c_str(), detail::count_of(*channels, "channel").c_str(),
              input.fit == PictureFit::cover
                  ? "resized until they just cover it, centre cropped"
                  : "as in the published evaluation, shorter side to 256/224, centre cropped");
  if (input.orientation == PixelOrientation::as_stored) std::printf("           read as they are stored\n");
  std::printf("pixels     %s\n", input.is_known()
                                     ? concatenate("mean ", detail::numbers_text(input.normalisation.mean),
                                                   ", deviation ", detail::numbers_text(input.normalisation.deviation))
                                           .c_str()
                                     : "the file does not say their mean and deviation");
  const std::vector<std::string> names = detail::class_names_in_metadata(table);
  constexpr std::size_t shown = 20;
  std::printf("classes    %s", names.empty() ? "without names" : "");
  for (std::size_t i = 0; i < std::min(names.size(), shown); ++i)
    std::printf("%s%s", i == 0 ? "" : ", ", names[i].c_str());
  if (names.size() > shown) std::printf(", and %zu more", names.size() - shown);
  std::printf("\n");
}

/// Whether models of this family read pictures.
bool reads_pictures(std::string_view family) {
  bool reads = false;
  for_each_family([&]<class Family>(Family) {
    if (family == Family::name) reads = detail::has_option(Family::load_options, detail::load_option::fit.what);
  });
  return reads;
}

/// Prints the family and the settings that the file records.
void print_model(const TensorTable& table, std::string_view family) {
  const auto text = [&](std::string_view key) {
    const std::string* const found = table.find_metadata(key);
    return found != nullptr ? *found : std::string("not in the file");
  };
  std::printf("model      %s", std::string(family).c_str());
  for_each_family([&]<class Family>(Family) {
    const auto print = [&](const auto& option) {
      if (family == Family::name && detail::has_option(Family::load_options, option.what))
        std::printf(", %s: %s", std::string(option.what).c_str(), text(option.key).c_str());
    };
    print(detail::load_option::heads), print(detail::load_option::step), print(detail::load_option::lambda);
  });
  std::printf("\n");
  if (reads_pictures(family)) print_input(table);
}

/// Throws unless the tensors are those of a model.
void check_model(const TensorTable& table, const LoadOptions& options) {
  std::visit(
      [](const auto& model) {
        std::printf("checked: the tensors form a model of %td parameters\n", parameter_count(model));
      },
      any_model_from<float>(table, options));
}

/// Whether the number of heads, without which there is no model, is given or in the file.
bool is_model(const TensorTable& table, const LoadOptions& options) {
  return options.heads || table.find_metadata("crate.heads") != nullptr ||
         table.find_metadata("model_args.n_head") != nullptr;
}

/// The tensors as they are; as a model with its sizes and settings if the number of heads is known.
void write(const std::string& output, const TensorTable& table, const LoadOptions& options) {
  if (!is_model(table, options)) return write_safetensors(output, table.tensors(), table.metadata());
  if (holds_doubles(table))
    std::visit([&](const auto& model) { save_model(output, model); }, any_model_from<double>(table, options));
  else
    std::visit([&](const auto& model) { save_model(output, model); }, any_model_from<float>(table, options));
}

/// Copies the tokeniser beside a language model, and says what was written.
void copy_tokeniser(const std::string& input, const std::string& output, const TensorTable& table) {
  std::printf("tensors written to %s", output.c_str());
  const auto family = family_name(table);
  bool is_of_text = false;
  detail::FamilyList<TextFamilies>::for_each([&]<class Family>(Family) { is_of_text |= family == Family::name; });
  const std::filesystem::path from = text_program::tokeniser_folder(input), to = text_program::tokeniser_folder(output);
  if (is_of_text && !examples::same_file(from.string(), to.string())) {
    if (const auto tokeniser = text_program::read_beside(input)) {
      text_program::write_beside(output, *tokeniser);
      std::printf(", their tokeniser to %s", to.c_str());
    } else {
      std::printf("; there is no tokeniser %s to copy", from.c_str());
    }
  }
  std::printf("\n");
}

/// Throws OptionError if the file would be taken for one of PyTorch's.
void check_ending(const std::string& output) {
  const std::string ending = std::filesystem::path(output).extension().string();
  if (ending == ".pth" || ending == ".pt")
    throw OptionError(concatenate("option --output: expected a name that does not end in ", ending,
                                  ", because safetensors are written, not a PyTorch file; found ", quote(output)));
}

/// Whether an option describes the model, and not the files.
bool describes_model(std::string_view option) {
  return !detail::is_among(std::array<std::string_view, 4>{"--input", "--output", "--all", "--weights-at"}, option);
}

/// Throws OptionError if an option that was given has no effect next to the others.
void check_effects(const CLI::App& app, bool all, bool writes) {
  program_options::check_effects(app, [&](std::string_view option) -> std::string_view {
    constexpr std::array<std::string_view, 5> of_input = {"--fit", "--as-stored", "--mean", "--deviation", "--names"};
    if (all && (describes_model(option) || option == "--weights-at")) return "--all takes every tensor as it is";
    return !writes && detail::is_among(of_input, option) ? "--output is not given" : "";
  });
}

/// Throws OptionError if an option describes the model, but the number of heads is not known.
void check_is_model(const CLI::App& app, const TensorTable& table, const LoadOptions& options) {
  if (is_model(table, options)) return;
  program_options::check_effects(app, [](std::string_view option) -> std::string_view {
    return describes_model(option) ? "neither --heads nor the file gives the number of heads, without which the "
                                     "tensors are copied as they are"
                                   : "";
  });
}

}  // namespace

int main(int count, char** arguments) {
  std::string input, output;
  bool all = false;
  examples::LoadOptionsParser model_options;
  CLI::App app(
      "Lists the tensors of a PyTorch (.pth) or safetensors file and, if --output is given, writes its weights as\n"
      "safetensors. Weights inside nested dictionaries are found, and prefixes such as `module.` removed; if\n"
      "there are several sets of weights, --weights-at chooses one. If the number of heads is known, from --heads\n"
      "or the file, the program checks that the weights form a model, and stores its sizes and the preparation of\n"
      "pictures in the output, so that it loads without options. Checkpoints of the training programs can be\n"
      "read, too.\n");
  program_options::set_up(app, "convert_weights");
  program_options::begin_group(app, "Files");
  app.add_option("--input,input", input, "PyTorch or safetensors file")->required()->type_name("FILE");
  app.add_option("--output", output, "safetensors file to write [none]")->type_name("FILE");
  app.add_flag("--all", all, "list and write every tensor of the file under its full name, not only the weights");
  program_options::begin_group(app, "Model, where the file does not determine it");
  model_options.add_sizes(app);
  program_options::begin_group(app, "Preparation of pictures, stored in the output");
  model_options.add_input(app);
  model_options.add_gelu(app);
  return program_options::run(app, count, arguments, [&] {
    const LoadOptions options = model_options.parsed();
    check_effects(app, all, !output.empty());
    if (!output.empty()) {
      check_ending(output);
      examples::check_output(output, {input});
    }
    const TensorTable table = all ? read_tensors(input) : read_weights(input, options.weights_at);
    print_tensors(table);
    if (const auto family = family_name(table); family && !all) print_model(table, *family);
    if (!all) check_is_model(app, table, options);
    if (output.empty() && !all && is_model(table, options)) check_model(table, options);
    if (output.empty()) return 0;
    if (all)
      write_safetensors(output, table.tensors(), table.metadata());
    else
      write(output, table, options);
    copy_tokeniser(input, output, table);
    return 0;
  });
}
