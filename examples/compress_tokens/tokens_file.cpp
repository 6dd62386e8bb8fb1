// SPDX-License-Identifier: MIT
#include "compress_tokens/tokens_file.hpp"

#include <cstdint>
#include <span>

#include "compress_tokens/output_folder.hpp"
#include "crate/io/formats/safetensors.hpp"

namespace compress_tokens {

namespace {

[[nodiscard]] std::string lines(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : "\n") + name;
  return text;
}

[[nodiscard]] crate::Metadata metadata_of(const TokensFile& file) {
  crate::Metadata metadata = program_mark();
  if (!file.notes.empty()) metadata.emplace_back("read_as", lines(file.notes));
  if (file.labels) metadata.emplace_back("classes", lines(file.labels->classes));
  return metadata;
}

}  // namespace

void TokensFile::write(const std::filesystem::path& path) const {
  if (!codes.allFinite() || !decoded.allFinite())
    throw crate::PrecisionError("codes and decoded tokens to write: expected finite numbers, found nan or infinity");
  const std::vector<std::int64_t> members(membership.begin(), membership.end());
  std::vector<crate::Tensor> tensors = {
      crate::tokens_tensor("tokens", tokens), crate::tokens_tensor("codes", codes),
      crate::tokens_tensor("decoded", decoded),
      crate::tensor_of("membership", {tokens.cols()}, std::span<const std::int64_t>(members))};
  std::vector<std::int64_t> classes;
  if (labels) {
    classes.assign(labels->of_tokens.begin(), labels->of_tokens.end());
    tensors.push_back(crate::tensor_of("labels", {tokens.cols()}, std::span<const std::int64_t>(classes)));
  }
  crate::write_safetensors(path, tensors, metadata_of(*this));
}

}  // namespace compress_tokens
