// SPDX-License-Identifier: MIT
#include "crate/io/families/weights.hpp"

#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "io/fixture_path.hpp"
#include "io/heap.hpp"
#include "io/temporary_folder.hpp"

namespace {

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

/// The weights of the fixture, of which one tensor has other elements.
template <class T>
class ChangedWeights {
 public:
  ChangedWeights(const std::string& name, std::size_t place, T value) : original_(read_weights(weights_file)) {
    for (Tensor& tensor : tensors_ = original_.tensors()) {
      if (tensor.name != name) continue;
      std::vector<float> values(crate::detail::element_count(tensor));
      copy_values(tensor, std::span<float>(values));
      for (const float number : values) values_.push_back(static_cast<T>(number));
      values_[place] = value;
      tensor = tensor_of<T>(name, tensor.shape, values_);
    }
  }

  [[nodiscard]] TensorTable table() const { return {"x", tensors_, {}, original_.owner()}; }

 private:
  TensorTable original_;
  std::vector<Tensor> tensors_;
  std::vector<T> values_;
};

template <Scalar S, class T>
std::string refusal(const std::string& name, std::size_t place, T value) {
  const ChangedWeights<T> weights(name, place, value);
  return message_of<FileError>(
      [&] { static_cast<void>(model_from<CrateClassifier<S>>(weights.table(), LoadOptions{.heads = 3})); });
}

// One NaN among 30,000 weights made every probability NaN.
TEST_CASE("weights that are not finite are refused by name and place") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const std::string name = "mlp_head.1.weight";
  CHECK(refusal<float>(name, 49, nan) ==
        "file 'x': tensor 'mlp_head.1.weight': expected finite numbers, found 1 of 480 that are not: nan at [1, 1]");
  CHECK_THAT(refusal<double>(name, 49, nan), ContainsSubstring("nan at [1, 1]"));
  CHECK_THAT(refusal<float>("cls_token", 0, -infinity), ContainsSubstring("-inf at [0, 0, 0]"));
  CHECK_THAT(refusal<float>(name, 0, Eigen::half(infinity)), ContainsSubstring("inf at [0, 0]"));
  CHECK_THAT(refusal<double>(name, 479, Eigen::bfloat16(nan)), ContainsSubstring("nan at [9, 47]"));
  CHECK_THAT(refusal<float>(name, 0, 1e39), ContainsSubstring("1e+39, more than float holds, at [0, 0]"));
  CHECK(refusal<double>(name, 0, 1e39) == "threw nothing");
}

TEST_CASE("a model stays as it was if the weights are not finite") {
  auto model = load_classifier<float>(weights_file, {.heads = 3});
  const auto head = model.head.linear.weight;
  const auto token = model.tokens.class_token;
  model.tokens.class_token.setOnes();
  const ChangedWeights<float> weights("mlp_head.1.weight", 7, std::numeric_limits<float>::quiet_NaN());
  CHECK_THAT(message_of<FileError>([&] { load_weights(model, weights.table(), crate_classifier_names); }),
             ContainsSubstring("nan at [0, 7]"));
  CHECK(model.head.linear.weight == head);
  CHECK((model.tokens.class_token.array() == 1).all());
  load_weights(model, read_weights(weights_file), crate_classifier_names);
  CHECK(model.tokens.class_token == token);
}

TEST_CASE("of many faults the first are listed and the others counted") {
  auto model = load_classifier<float>(weights_file, {.heads = 3});
  const std::vector<float> number{1};
  std::vector<Tensor> tensors;
  tensors.reserve(5000);
  for (int i = 0; i < 5000; ++i) tensors.push_back(tensor_of<float>("surplus." + std::to_string(i), {1}, number));
  const TensorTable weights("x", tensors, {}, nullptr);
  const std::string message = message_of<FileError>([&] { load_weights(model, weights, crate_classifier_names); });
  CHECK_THAT(message,
             ContainsSubstring("missing: 'cls_token' [1, 1, 48]") && ContainsSubstring("surplus: 'surplus.0'"));
  CHECK_THAT(message, ContainsSubstring("and 4996 more"));
  CHECK(message.size() < 10'000);
}

/// The file with the tensors of so many layers, of which each has one number under the name.
std::string many_layers(int layers) {
  std::string header, comma;
  std::size_t end = 0;
  const auto add = [&](const std::string& name, const std::string& shape, std::size_t numbers) {
    header += std::exchange(comma, ",") + '"' + name + R"(":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[)" +
              std::to_string(end) + ',' + std::to_string(end + 4 * numbers) + "]}";
    end += 4 * numbers;
  };
  add("to_patch_embedding.1.weight", "[3]", 3);
  add("pos_embedding", "[1,2,1]", 2);
  add("mlp_head.1.weight", "[1,1]", 1);
  add("transformer.layers.0.0.fn.qkv.weight", "[1,1]", 1);
  for (int i = 0; i < layers; ++i) add("transformer.layers." + std::to_string(i) + ".1.fn.weight", "[1,1]", 1);
  const std::string whole = '{' + header + '}';
  const std::uint64_t length = whole.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + whole + std::string(end, '\0');
}

// 400,000 such layers took 1.3 GB, 16 s and a message of 113 MB.
TEST_CASE("a file of many layers that lack tensors takes memory by its size") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.safetensors");
  write_content(path, many_layers(40'000));
  const std::size_t size = content_of(path).size();
  std::string message;
  const std::size_t memory = heap_use(
      [&] { message = message_of<FileError>([&] { static_cast<void>(load_model<float>(path, {.heads = 1})); }); });
  CHECK_THAT(message, ContainsSubstring("expected at least 240000 tensors for the layers that it names, found 40004"));
  CHECK(memory <= 4 * size + (std::size_t{2} << 20U));
}

TEST_CASE("what is given in place of weights is called what it is") {
  const TemporaryFolder folder;
  const auto refusal_of = [&](const std::string& content) {
    write_content(folder.file("a.pth"), content);
    return message_of<FileError>([&] { static_cast<void>(read_weights(folder.file("a.pth"))); });
  };
  CHECK_THAT(refusal_of("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n"),
             ContainsSubstring("expected a PyTorch or safetensors file, found a Git LFS pointer") &&
                 ContainsSubstring("git lfs pull"));
  CHECK_THAT(refusal_of("<!DOCTYPE html>"), ContainsSubstring("an HTML page"));
  CHECK_THAT(refusal_of(""), ContainsSubstring("an empty file"));
  CHECK_THAT(refusal_of(std::string("a\0\0\0\0\0\0\0", 8) + std::string(249, '\0') + "ustar" + std::string(300, '\0')),
             ContainsSubstring("a tar archive"));
  const std::string whole = content_of(fixture_path("classifier_state_dict.pth"));
  CHECK_THAT(refusal_of(whole.substr(0, whole.size() / 2)), ContainsSubstring("it may be cut off"));
  const std::string tensors = content_of(weights_file);
  CHECK_THAT(refusal_of(tensors.substr(0, tensors.size() / 2)), ContainsSubstring("the file may end early"));
  CHECK_THAT(refusal_of(tensors.substr(0, 1000)), ContainsSubstring("the file ends early"));
}

TEST_CASE("an option of loading chooses among sets of weights") {
  const TemporaryFolder folder;
  const auto path = folder.file("two.safetensors");
  const TensorTable weights = read_weights(weights_file);
  std::vector<Tensor> both;
  for (const std::string prefix : {"model.", "model_ema.module."})
    for (Tensor tensor : weights.tensors()) {
      tensor.name = prefix + tensor.name;
      both.push_back(std::move(tensor));
    }
  write_safetensors(path, both);
  CHECK_THAT(message_of<FileError>([&] { static_cast<void>(load_model<float>(path, {.heads = 3})); }),
             ContainsSubstring("found 'model' (36 tensors), 'model_ema.module' (36 tensors)"));
  const auto chosen = load_classifier<float>(path, {.heads = 3, .weights_at = "model_ema"});
  CHECK(chosen.tokens.class_token == load_classifier<float>(weights_file, {.heads = 3}).tokens.class_token);
}

}  // namespace
