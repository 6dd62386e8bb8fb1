// SPDX-License-Identifier: MIT
#include "probe/features_file.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

#include "crate/core/errors.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/io/formats/text_file.hpp"

namespace probe {

namespace {

using crate::Index;

[[nodiscard]] crate::LabelledFeatures<float> features_in(const crate::TensorTable& file, const std::string& part) {
  crate::LabelledFeatures<float> features{crate::tokens_from_numbers<float>(file.at(part + "_features")), {}, 0};
  const crate::Tensor& labels = file.at(part + "_labels");
  for (const std::int64_t label : crate::integers_from(labels)) {
    if (label < 0 || label > 1'000'000)
      throw crate::file_error(file.source(), "tensor '", labels.name, "': expected classes in 0 to 1000000, found ",
                              label);
    features.labels.push_back(static_cast<Index>(label));
    features.classes = std::max(features.classes, static_cast<Index>(label) + 1);
  }
  if (std::ssize(features.labels) != features.size())
    throw crate::file_error(file.source(), "tensor '", labels.name, "': expected ", features.size(),
                            " labels, one an example, found ", features.labels.size());
  return features;
}

}  // namespace

void write_features(const std::filesystem::path& path, const Features& features) {
  std::vector<std::vector<std::int64_t>> labels;
  std::vector<crate::Tensor> tensors;
  labels.reserve(2);
  const auto add = [&](const std::string& part, const crate::LabelledFeatures<float>& of_part) {
    crate::check_finite_features(part + " features to write", of_part.features);
    labels.emplace_back(of_part.labels.begin(), of_part.labels.end());
    tensors.push_back(crate::tokens_tensor(part + "_features", of_part.features));
    tensors.push_back(
        crate::tensor_of(part + "_labels", {of_part.size()}, std::span<const std::int64_t>(labels.back())));
  };
  add("training", features.training);
  add("test", features.test);
  std::string names;
  for (const std::string& name : features.class_names) names += (names.empty() ? "" : "\n") + name;
  crate::write_safetensors(path, tensors, {{"program", "probe"}, {"classes", names}});
}

Features read_features(const std::filesystem::path& path) {
  const crate::TensorTable file = crate::read_safetensors(path);
  Features features{.training = features_in(file, "training"), .test = features_in(file, "test"), .class_names = {}};
  if (const std::string* const names = file.find_metadata("classes")) features.class_names = crate::lines_in(*names);
  if (features.test.dim() != features.training.dim())
    throw crate::file_error(path.string(), "expected test features of ", features.training.dim(),
                            " numbers, as those to learn from, found ", features.test.dim());
  const Index classes = std::max(features.training.classes, features.test.classes);
  features.training.classes = features.test.classes = classes;
  if (std::ssize(features.class_names) != classes) features.class_names.clear();
  return features;
}

}  // namespace probe
