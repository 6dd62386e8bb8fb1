// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "crate/text/token.hpp"

// Texts with the ids that others' tokenisers give them. tokenisers.json is the reference of this library;
// tokenisers_more.json holds hostile texts with the ids that the published Python code gives them (openai/gpt-2;
// google-research/bert with Hugging Face's category C and 100 characters a word), where tiktoken and Hugging Face's
// tokenizers agree but for BERT's unassigned characters and final sigmas, which the latter keeps.

namespace crate::test {

inline const std::filesystem::path fixtures = CRATE_TEST_FIXTURES;

struct OracleCase {
  std::string text;
  std::vector<TokenId> ids;
};

/// All cases that the files have under `key`: gpt2, bert or bert_cased.
[[nodiscard]] inline std::vector<OracleCase> read_oracle_cases(const std::string& key) {
  std::vector<OracleCase> cases;
  for (const char* const name : {"tokenisers.json", "tokenisers_more.json"}) {
    std::ifstream file(fixtures / name);
    for (const auto& entry : nlohmann::json::parse(file))
      if (entry.contains(key)) cases.push_back({entry.at("text"), entry.at(key)});
  }
  return cases;
}

/// The texts to which the tokeniser gives other ids.
template <class T>
[[nodiscard]] std::vector<std::string> wrongly_encoded(const T& tokeniser, const std::vector<OracleCase>& cases) {
  std::vector<std::string> wrong;
  for (const OracleCase& one : cases)
    if (tokeniser.encode(one.text) != one.ids) wrong.push_back(one.text);
  return wrong;
}

}  // namespace crate::test
