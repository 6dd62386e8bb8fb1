// SPDX-License-Identifier: MIT
#include "crate/io/families/find_weights.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/formats/pth.hpp"
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
  for (const std::string& name : names) tensors.push_back(Tensor{.name = name, .shape = {0}});
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

std::string refusal(const TensorTable& table, const std::optional<std::string>& weights_at = {}) {
  return message_of<FileError>([&] { static_cast<void>(find_weights(table, weights_at)); });
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
        "file 'x': expected one dict with the weights of a model, found 'student' (2 tensors), 'teacher' (1 tensors): "
        "choose one by its name as weights_at, in programs --weights-at");
  CHECK(names_of(find_weights(table, "teacher")) == Names{"c"});
  CHECK(names_of(find_weights(table, "student")) == Names{"a", "module.b"});
  CHECK_THAT(refusal(table, "nobody"), ContainsSubstring("found none"));
  CHECK_THAT(refusal(table, "teach"), ContainsSubstring("found none"));

  CHECK_THAT(refusal(flat_table({"student.a", "teacher.a"})),
             ContainsSubstring("found 'student' (1 tensors), 'teacher'"));
  CHECK(names_of(find_weights(flat_table({"student.a", "teacher.b"}), "teacher")) == Names{"b"});
  CHECK_THAT(refusal(nested_table(dict(text("a") + dict_of({"b"}) + text("c") + one))),
             ContainsSubstring("found the top level '.' (1 tensors), 'a' (1 tensors)"));
  CHECK(names_of(find_weights(nested_table(dict(text("a") + dict_of({"b"}) + text("c") + one)), ".")) == Names{"c"});
}

/// What a small published model is made of, besides what only some have.
const Names published = {"to_patch_embedding.1.weight",
                         "to_patch_embedding.2.weight",
                         "to_patch_embedding.3.weight",
                         "cls_token",
                         "pos_embedding",
                         "transformer.layers.0.0.norm.weight",
                         "transformer.layers.0.0.fn.qkv.weight",
                         "transformer.layers.0.0.fn.to_out.0.bias",
                         "transformer.layers.0.1.norm.weight",
                         "transformer.layers.0.1.fn.weight",
                         "mlp_head.0.weight",
                         "mlp_head.1.weight"};

Names with_prefix(const std::string& prefix, Names names = published) {
  for (std::string& name : names) name.insert(0, prefix);
  return names;
}

Names joined(Names first, const Names& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

/// The names with the word put into those that begin with `begin`, behind it.
Names with_wrapper(const std::string& begin, const std::string& word, Names names = published) {
  for (std::string& name : names)
    if (name.starts_with(begin)) name.insert(begin.size(), word);
  return names;
}

Names found(const Names& names, const std::optional<std::string>& weights_at = {}) {
  return names_of(find_weights(flat_table(names), weights_at));
}

// DINO's 'backbone.', Lightning Fabric's '_forward_module.' and many more stand in front of published names: no list
// has all.
TEST_CASE("any prefix is found that, taken off, leaves published names") {
  for (const std::string prefix : {"", "backbone.", "_forward_module.", "module.", "teacher.backbone.", "a.b.c.0.d.",
                                   "ema_", "online/net/", "x", "transformer.", "optimizer_of.model."}) {
    CAPTURE(prefix);
    CHECK(found(with_prefix(prefix)) == published);
    CHECK(found(joined(with_prefix(prefix), {"optimizer.state.0.exp_avg", "scheduler.rate"})) == published);
  }
  CHECK(names_of(find_weights(nested_table(
            dict(text("teacher") + dict_of(with_prefix("backbone.")) + text("epoch") + integer(1))))) == published);
}

TEST_CASE("the names of every published family are found behind a prefix") {
  const Names alpha = {"conv1.weight", "cls_token", "transformer.layers.0.0.fn.qkv.weight",
                       "transformer.layers.0.1.fn.D", "transformer.layers.0.1.fn.D1"};
  const Names autoencoder = {"mask_token",
                             "decoder_pos_embed",
                             "blocks.0.layers.0.1.fn.weight",
                             "norm.weight",
                             "decoder_blocks.0.layers.0.0.fn.weight",
                             "decoder_norm.weight",
                             "decoder_pred.bias"};
  const Names transformer = {"cls_token",
                             "pos_embed",
                             "patch_embed.proj.weight",
                             "blocks.0.norm1.weight",
                             "blocks.0.attn.qkv.weight",
                             "blocks.0.mlp.fc2.bias",
                             "norm.weight",
                             "head.bias"};
  for (const Names& names : {alpha, autoencoder, transformer}) CHECK(found(with_prefix("net.inner.", names)) == names);
}

TEST_CASE("wrappers inside of names are taken out") {
  CHECK(found(with_wrapper("transformer.layers.0.", "_checkpoint_wrapped_module.")) == published);
  CHECK(found(with_wrapper("transformer.layers.0.0.fn.", "_orig_mod.")) == published);
  CHECK(found(with_wrapper("transformer.", "a.b.")) == published);
  CHECK(found(with_wrapper("mlp_head.", "wrapped.", with_wrapper("transformer.", "wrapped."))) == published);
  CHECK(found(with_prefix("_fsdp_wrapped_module.", with_wrapper("transformer.layers.0.1.",
                                                                "_fsdp_wrapped_module._checkpoint_wrapped_module."))) ==
        published);
  Names headed = with_prefix("encoder.");
  headed[10] = "head.mlp_head.0.weight", headed[11] = "head.mlp_head.1.weight";
  CHECK(found(headed) == published);
}

// A low-rank adapter changes what a model computes: to take its names for a wrapper's would load the wrong numbers.
TEST_CASE("two tensors never become one by taking out wrappers") {
  Names adapted = published;
  adapted.push_back("transformer.layers.0.0.fn.qkv.lora_A.weight");
  CHECK(found(adapted) == adapted);
  adapted[6] = "transformer.layers.0.0.fn.qkv.base_layer.weight";
  CHECK(found(adapted) == adapted);
  CHECK(found(joined(published, {"transformer.layers.0.0.fn.3.qkv.weight"})).back() ==
        "transformer.layers.0.0.fn.3.qkv.weight");
}

TEST_CASE("tensors beside a prefix are left out, those among the names are not") {
  CHECK(found(joined(with_prefix("backbone."), {"head.mlp.0.weight", "n_averaged"})) == published);
  CHECK(found(joined(published, {"dino_head.weight"})).back() == "dino_head.weight");
  CHECK(found(joined(with_prefix("module."), {"module.scale"})).back() == "scale");
  CHECK(found(joined(published, {"optimizer.weight", "ema.shadow"})) == joined(published, {"ema.shadow"}));
  const TensorTable nested = nested_table(dict(text("beside") + dict_of({"a"}) + text("rates") + list(one) +
                                               dict_of(published).substr(2, dict_of(published).size() - 3)));
  CHECK(names_of(find_weights(nested)) == published);
}

TEST_CASE("of several sets of published weights one is chosen by its dict or prefix, and an error names all") {
  const Names both = joined(with_prefix("model."), with_prefix("model_ema."));
  CHECK(
      refusal(flat_table(both)) ==
      "file 'x': expected one set of weights, found 'model' (12 tensors), 'model_ema' (12 tensors): choose one by its "
      "name as weights_at, in programs --weights-at");
  CHECK(found(both, "model") == published);
  CHECK(found(both, "model_ema") == published);
  CHECK_THAT(refusal(flat_table(both), "teacher"),
             ContainsSubstring("expected weights at 'teacher', found none there, but at 'model', 'model_ema'"));
  CHECK_THAT(refusal(flat_table(both), "."), ContainsSubstring("found none there, but at 'model'"));

  const Names inside = joined(published, with_prefix("ema."));
  CHECK_THAT(refusal(flat_table(inside)),
             ContainsSubstring("found the top level '.' (12 tensors), 'ema' (12 tensors)"));
  CHECK(found(inside, ".") == published);
  CHECK(found(inside, "ema") == published);

  const Names three =
      joined(with_prefix("student.backbone."), joined(with_prefix("teacher.backbone."), {"student.head"}));
  CHECK(found(three, "student") == published);
  CHECK(found(three, "teacher.backbone") == published);
  CHECK_THAT(refusal(flat_table(joined(with_prefix("a.b."), with_prefix("a.c."))), "a"),
             ContainsSubstring("expected one set of weights at 'a', found 'a.b' (12 tensors), 'a.c' (12 tensors)"));
  CHECK(found(joined(with_prefix("a."), with_prefix("a.b.")), "a") == published);
}

TEST_CASE("whole weights go before parts of some and before the state of an optimiser") {
  CHECK(found(joined({"best.transformer.layers.0.1.fn.weight"}, with_prefix("net."))) == published);
  CHECK(found(joined(with_prefix("optimizer.exp_avg."), with_prefix("net."))) == published);
  CHECK(found(joined(with_prefix("optimizer.exp_avg."), with_prefix("net.")), "optimizer.exp_avg") == published);
}

TEST_CASE("an error about thousands of sets is short and comes soon") {
  Names names;
  for (int i = 0; i < 40'000; ++i) names.push_back(std::to_string(i) + ".transformer.layers.0.1.fn.weight");
  const TensorTable table = flat_table(names);
  const std::string message = refusal(table);
  CHECK_THAT(message,
             ContainsSubstring("found '0', '1', '10', '100', '1000', '10000', '10001', '10002', and 39992 more"));
  CHECK(found(names, "17") == Names{"transformer.layers.0.1.fn.weight"});
}

TEST_CASE("a file without weights is an error") {
  CHECK_THAT(refusal(flat_table({})), ContainsSubstring("found none"));
  CHECK_THAT(refusal(nested_table(dict(text("optimizer") + dict_of({"a"})))), ContainsSubstring("found none"));
}

}  // namespace
