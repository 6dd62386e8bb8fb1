// SPDX-License-Identifier: MIT

// Lists what is inside a PyTorch or safetensors file, and writes the weights in it as safetensors.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "crate/io/checkpoint.hpp"
#include "load_options.hpp"

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
  std::printf("%zu tensors, %.2f MB\n", table.tensors().size(), bytes / 1e6);
}

/// The tensors as they are; as a model with its sizes if the heads are given.
void write(const std::string& output, const TensorTable& table, const LoadOptions& options) {
  if (!options.heads) return write_safetensors(output, table.tensors(), table.metadata());
  if (holds_doubles(table))
    std::visit([&](const auto& model) { save_model(output, model); }, any_model_from<double>(table, options));
  else
    std::visit([&](const auto& model) { save_model(output, model); }, any_model_from<float>(table, options));
}

}  // namespace

int main(int count, char** arguments) {
  std::string input, output;
  bool all = false;
  examples::LoadOptionsParser model_options;
  CLI::App app(
      "Lists the tensors of a PyTorch (.pth) or safetensors file and, if --output is given, writes its weights as\n"
      "safetensors. Weights are found inside nested dictionaries, and prefixes such as `module.` taken off;\n"
      "--weights-at chooses among several.\n"
      "With --heads they are checked to be a model's, and the file written carries its sizes, so that it loads without "
      "options.");
  app.add_option("input", input, "PyTorch or safetensors file")->required();
  app.add_option("--output", output, "safetensors file to write");
  app.add_flag("--all", all, "list and write every tensor under its full name, not the weights alone");
  model_options.add_sizes(app);
  CLI11_PARSE(app, count, arguments);
  try {
    const LoadOptions options = model_options.parsed();
    const TensorTable table = all ? read_tensors(input) : read_weights(input, options.weights_at);
    print_tensors(table);
    if (!output.empty()) write(output, table, options);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "convert_weights: " << error.what() << '\n';
    return 1;
  }
}
