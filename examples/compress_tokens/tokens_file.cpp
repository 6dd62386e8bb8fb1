// SPDX-License-Identifier: MIT
#include "compress_tokens/tokens_file.hpp"

#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "compress_tokens/text.hpp"
#include "crate/io/formats/safetensors.hpp"

namespace compress_tokens {

namespace {

[[nodiscard]] std::string lines(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : "\n") + name;
  return text;
}

[[nodiscard]] crate::Metadata metadata_of(const TokensFile& file) {
  crate::Metadata metadata = {{"program", "compress_tokens"},
                              {"subspaces_from", file.subspaces_from},
                              {"dictionary_from", file.dictionary_from},
                              {"compression_step", step_name(file.strength.step)},
                              {"epsilon", text("%.17g", file.strength.epsilon)},
                              {"lambda", text("%.17g", file.strength.lambda)},
                              {"kappa", text("%.17g", file.strength.kappa)},
                              {"depth", std::to_string(file.weights.dictionaries.size())}};
  if (!file.notes.empty()) metadata.emplace_back("read_as", lines(file.notes));
  if (file.labels) metadata.emplace_back("classes", lines(file.labels->classes));
  return metadata;
}

}  // namespace

void TokensFile::write(const std::filesystem::path& path) const {
  const Subspaces& u = weights.subspaces.front();
  const crate::RowMajorMatrix<double> dictionary = whole_dictionary(weights);
  const std::vector<std::int64_t> members(membership.begin(), membership.end());
  std::vector<crate::Tensor> tensors = {
      crate::tokens_tensor("tokens", tokens),
      crate::tokens_tensor("codes", codes),
      crate::tokens_tensor("decoded", decoded),
      crate::tensor_of("membership", {tokens.cols()}, std::span<const std::int64_t>(members)),
      crate::tensor_of("subspaces", {u.heads(), u.head_dim(), u.dim()},
                       std::span<const double>(u.bases().data(), static_cast<std::size_t>(u.bases().size()))),
      crate::matrix_tensor("dictionary", dictionary)};
  std::vector<std::int64_t> classes;
  if (labels) {
    classes.assign(labels->of_tokens.begin(), labels->of_tokens.end());
    tensors.push_back(crate::tensor_of("labels", {tokens.cols()}, std::span<const std::int64_t>(classes)));
  }
  bool finite = codes.allFinite() && decoded.allFinite() && dictionary.allFinite() && u.bases().allFinite();
  crate::for_each_parameter(
      [&](std::string_view name, crate::ParameterKind, const auto& parameter) {
        finite = finite && parameter.allFinite();
        if constexpr (std::remove_cvref_t<decltype(parameter)>::IsRowMajor)
          tensors.push_back(crate::matrix_tensor(std::string(name), parameter));
        else
          tensors.push_back(crate::tokens_tensor(std::string(name), parameter));
      },
      autoencoder);
  if (!finite) throw crate::PrecisionError("tokens, codes or weights to write: expected finite numbers, found others");
  crate::write_safetensors(path, tensors, metadata_of(*this));
}

}  // namespace compress_tokens
