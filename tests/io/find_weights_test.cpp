// SPDX-License-Identifier: MIT
#include "crate/io/find_weights.hpp"

#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/pth.hpp"
#include "io/pth_content.hpp"
#include "io/temporary_folder.hpp"

namespace {

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;
using Names = std::vector<std::string>;

Names names_of(const TensorTable& table) {
  Names names;
  for (const Tensor& tensor : table.tensors()) names.push_back(tensor.name);
  return names;
}

/// A table whose tensors lie in no nested dict, as in safetensors files.
TensorTable flat_table(const Names& names) {
  std::vector<Tensor> tensors;
  for (const std::string& name : names) tensors.push_back({name, Dtype::f32, {0}, {}, {}});
  return TensorTable("x", std::move(tensors), {{"kept", "yes"}}, nullptr);
}

const std::string one = vector_tensor("0", 1);

std::string dict_of(const Names& keys) {
  std::string items;
  for (const std::string& key : keys) items += text(key) + one;
  return dict(items);
}

/// The tensors of a PyTorch file with this value.
TensorTable nested_table(const std::string& value) {
  const auto file = std::make_shared<const std::string>(pth_of(value, {floats(1)}));
  const TensorTable table = parse_pth(bytes_of(*file));
  return TensorTable("x", table.tensors(), table.metadata(), file);
}

std::string refusal(const TensorTable& table, const std::string& nesting = "") {
  return message_of<FileError>([&] { static_cast<void>(find_weights(table, nesting)); });
}

TEST_CASE("names without prefix stay as they are") {
  const Names names = {"cls_token", "transformer.layers.0.1.fn.weight", "module"};
  CHECK(names_of(find_weights(flat_table(names))) == names);
  CHECK(find_weights(flat_table(names)).metadata() == Metadata{{"kept", "yes"}});
}

TEST_CASE("prefixes in front of all names are taken off, any number of times") {
  CHECK(names_of(find_weights(flat_table({"module.a", "module.b.c"}))) == Names{"a", "b.c"});
  CHECK(names_of(find_weights(flat_table({"_orig_mod.a", "_orig_mod.b"}))) == Names{"a", "b"});
  CHECK(names_of(find_weights(flat_table({"module._orig_mod.module.a"}))) == Names{"a"});
  CHECK(names_of(find_weights(flat_table({"state_dict.model.module.a", "state_dict.model.module.b"}))) ==
        Names{"a", "b"});
}

TEST_CASE("a prefix that some names do not have is part of the names") {
  const Names names = {"model.layers.0.weight", "lm_head.weight"};
  CHECK(names_of(find_weights(flat_table(names))) == names);
}

TEST_CASE("a whole checkpoint written as safetensors gives its weights") {
  const TensorTable table = flat_table({"state_dict.module.a", "optimizer.state.0.exp_avg", "state_dict.module.b"});
  CHECK(names_of(find_weights(table)) == Names{"a", "b"});
}

TEST_CASE("the dict of the weights is found whatever its name, if it is the only one") {
  const std::string optimizer = text("optimizer") + dict(text("state") + dict(integer(0) + dict_of({"exp_avg"})));
  for (const std::string name : {"state_dict", "model", "model_state", "net", "my_weights"}) {
    CAPTURE(name);
    const TensorTable table = nested_table(dict(optimizer + text(name) + dict_of({"module.a.b", "module.c"})));
    CHECK(names_of(find_weights(table)) == Names{"a.b", "c"});
  }
  const TensorTable deep = nested_table(dict(text("state") + dict(text("model") + dict_of({"a"}) + optimizer)));
  CHECK(names_of(find_weights(deep)) == Names{"a"});
}

TEST_CASE("a dict known to hold weights goes before tensors beside it") {
  const TensorTable table =
      nested_table(dict(text("best_acc1") + one + text("rng") + list(one) + text("model") + dict_of({"a"})));
  CHECK(names_of(find_weights(table)) == Names{"a"});
}

TEST_CASE("a key may contain dots and even look like a path") {
  const TensorTable table = nested_table(dict(text("model") + dict_of({"optimizer.state.weight", "a"})));
  CHECK(names_of(find_weights(table)) == Names{"optimizer.state.weight", "a"});
}

TEST_CASE("several dicts of weights are an error that names them, unless one is asked for") {
  const TensorTable table =
      nested_table(dict(text("student") + dict_of({"a", "module.b"}) + text("teacher") + dict_of({"module.c"})));
  CHECK(refusal(table) ==
        "file 'x': expected one dict with the weights of a model, found 'student' (2 tensors), 'teacher' (1 tensors)");
  CHECK(names_of(find_weights(table, "teacher")) == Names{"c"});
  CHECK(names_of(find_weights(table, "student")) == Names{"a", "module.b"});
  CHECK_THAT(refusal(table, "nobody"), ContainsSubstring("found none"));
  CHECK_THAT(refusal(table, "teach"), ContainsSubstring("found none"));

  CHECK_THAT(refusal(flat_table({"student.a", "teacher.a"})),
             ContainsSubstring("found 'student' (1 tensors), 'teacher'"));
  CHECK(names_of(find_weights(flat_table({"student.a", "teacher.b"}), "teacher")) == Names{"b"});
  CHECK_THAT(refusal(nested_table(dict(text("a") + dict_of({"b"}) + text("c") + one))),
             ContainsSubstring("found the top level (1 tensors), 'a' (1 tensors)"));
}

TEST_CASE("a file without weights is an error") {
  CHECK_THAT(refusal(flat_table({})), ContainsSubstring("found none"));
  CHECK_THAT(refusal(nested_table(dict(text("optimizer") + dict_of({"a"})))), ContainsSubstring("found none"));
}

}  // namespace
