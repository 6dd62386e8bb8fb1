// SPDX-License-Identifier: MIT
// Chains whose links change the token sets, view other parts, may be absent, or take something that is no token matrix.

#include <concepts>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/blocks/crate_block.hpp"
#include "crate/blocks/strict_block.hpp"
#include "crate/blocks/transformer_block.hpp"
#include "crate/inference/fold.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/find_layer.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/masked_patch_embedding.hpp"
#include "crate/layers/mssa.hpp"
#include "crate/layers/place_tokens.hpp"
#include "crate/layers/pooling.hpp"
#include "crate/layers/recompute.hpp"
#include "crate/layers/transposed.hpp"
#include "crate/layers/without_class_token.hpp"
#include "crate/models/encoder.hpp"
#include "crate/models/summary.hpp"
#include "crate/testing/backward.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;
using crate::testing::check_backward;

namespace {

template <class L>
concept RecordsWhatEnds = requires(const L& layer, Recording<L>& recording, TokenSets<double> (*make)()) {
  forward(layer, make(), recording);
};
template <class L>
concept RecordsWhatStays = requires(const L& layer, Recording<L>& recording, const TokenSets<double>& sets) {
  forward(layer, sets, recording);
};
template <class L>
concept RecordsMatrixThatEnds = requires(const L& layer, Recording<L>& recording, Matrix<double> (*make)()) {
  forward(layer, make(), recording);
};
template <class L>
concept RecordsMatrixThatStays = requires(const L& layer, Recording<L>& recording, const Matrix<double>& tokens) {
  { forward(layer, tokens, recording) } -> std::same_as<Matrix<double>>;
};
static_assert(RecordsWhatStays<Linear<double>> && !RecordsWhatEnds<Linear<double>>);
static_assert(RecordsMatrixThatStays<CrateBlock<double>> && !RecordsMatrixThatEnds<CrateBlock<double>>);
static_assert(!std::constructible_from<Kept<double>, Matrix<double>>);
static_assert(!std::constructible_from<Images<double>, Matrix<double>>);
static_assert(FrontEnd<NormalisedPatchEmbedding<float>> && !Layer<NormalisedPatchEmbedding<float>>);
static_assert(ChangesLayout<Pool<float>> && !ChangesLayout<Linear<float>> && Tokenwise<PreNorm<Linear<float>>>);

template <class L>
L with_random_weights(L layer) {
  Random random(1);
  for_each_parameter([&](std::string_view, ParameterKind, auto& parameter) { random.fill_normal(parameter); }, layer);
  return layer;
}

TokenSets<double> uneven_sets(Index dim) {
  Random random(7);
  return {draw_normal(random, dim, 14), TokenLayout({5, 1, 8}).with_visible({5, 1, 6})};
}

TokenSets<double> equal_sets(Index dim) {
  Random random(7);
  return {draw_normal(random, dim, 12), TokenLayout::equal(3, 4)};
}

/// Token sets to one token each, W^T mean(LN(W Z)), with a map that stands in the chain twice and a norm that may lack.
struct TiedModel : Chain<TiedModel, double> {
  Linear<double> embedding{3, 4};
  std::optional<LayerNorm<double>> norm = LayerNorm<double>(4);
  Pool<double> pool{4, Pooling::mean};
  Matrix<double> unused = Matrix<double>::Zero(2, 2);

  static constexpr auto parts() {
    return std::tuple{part("embedding", &TiedModel::embedding), part("norm", &TiedModel::norm),
                      part("unused", &TiedModel::unused, ParameterKind::unused)};
  }
  static constexpr auto links() {
    return std::tuple{part("embedding", &TiedModel::embedding), part("norm", &TiedModel::norm),
                      part("pool", &TiedModel::pool),
                      part("head", [](auto& model) { return Transposed{model.embedding}; })};
  }
};

/// Mixes tokens in a way that no fold knows.
struct ShiftTokens {
  using Scalar = double;

  Index dim;

  static constexpr auto parts() { return std::tuple{}; }
  [[nodiscard]] Index input_dim() const { return dim; }
  [[nodiscard]] Index output_dim() const { return dim; }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "shift(" + argument + ")"; }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }
  void forward(ConstTokens<double> z, Tokens<double> out, Pass<double>& pass) const {
    for (Index s = 0; s < pass.layout().sets(); ++s)
      for (Index j = 0; j < pass.layout().length(s); ++j)
        out.col(pass.layout().begin(s) + j) = z.col(pass.layout().begin(s) + (j + 1) % pass.layout().length(s));
  }
};

struct ShiftedFirsts : Chain<ShiftedFirsts, double> {
  Residual<PreNorm<Mssa<double>>> compress{PreNorm(Mssa<double>({.dim = 4, .heads = 2}))};
  ShiftTokens shift{4};
  Linear<double> map{4, 4};
  Pool<double> pool{4};

  static constexpr auto parts() {
    return std::tuple{part("compress", &ShiftedFirsts::compress), part("shift", &ShiftedFirsts::shift),
                      part("map", &ShiftedFirsts::map), part("pool", &ShiftedFirsts::pool)};
  }
};

}  // namespace

TEST_CASE("leaves that change the token sets have their adjoints") {
  for (const Pooling pooling : {Pooling::class_token, Pooling::mean})
    CHECK(check_backward(Pool<double>{3, pooling}, uneven_sets(3)));
  CHECK(check_backward(WithoutClassToken<double>{3}, equal_sets(3)));
  const auto placed = with_random_weights(PlaceTokens<double>(Matrix<double>::Zero(3, 5), 0.3));
  CHECK(check_backward(placed, equal_sets(3), {.step = 1e-5, .tolerance = 1e-7}, {.dropout = {.seed = 2}}));
}

TEST_CASE("front ends have their adjoints by all that they learn") {
  const PatchGrid grid{.rows = 2, .columns = 1, .height = 2, .width = 3, .channels = 2};
  Random random(2);
  const Matrix<double> images = draw_normal(random, grid.values_per_image(), 3);
  CHECK(check_backward(with_random_weights(NormalisedPatchEmbedding<double>(grid, 3)), Images<double>(images)));
  const ConvolutionPatchEmbedding<double> convolution = with_random_weights(ConvolutionPatchEmbedding<double>(grid, 3));
  CHECK(check_backward(convolution, Images<double>(images)));
  const Matrix<double> mask{{1, 0, 1}, {0, 0, 1}};
  CHECK(check_backward(with_random_weights(MaskedPatchEmbedding(convolution)), MaskedImages(images, mask)));
}

TEST_CASE("a chain hands each link its own token sets, and its gradient is right where a part stands twice") {
  TiedModel model = with_random_weights(TiedModel());
  const TokenSets<double> sets = uneven_sets(3);
  CHECK(forward(model, sets).layout.tokens() == 3);
  CHECK(check_backward(model, sets));
  const double with_norm = forward(model, sets).tokens.norm();
  model.norm.reset();
  CHECK(check_backward(model, sets));
  CHECK(std::abs(forward(model, sets).tokens.norm() - with_norm) > 1e-3);
  CHECK(model.formula("Z") == "W^T mean(W Z + b)");
  CHECK(parameter_count(model) == 4 * 3 + 4 + 4);
}

TEST_CASE("a summary tells what each link costs on the token sets that come to it") {
  const std::string table = summary(TiedModel(), TokenLayout::equal(1000, 100));
  const auto ends_with = [&](std::string_view name, std::string_view cost) {
    const std::string line = table.substr(table.find(name), table.find('\n', table.find(name)) - table.find(name));
    return line.ends_with(cost);
  };
  CHECK(ends_with("embedding", " 1.20"));  // 3 x 4 on every token
  CHECK(ends_with("head", " 0.01"));       // and on one of each set
  CHECK(ends_with("total", " 1.21"));
}

TEST_CASE("observers are told where the token sets begin, behind every link") {
  const TiedModel model = with_random_weights(TiedModel());
  std::vector<std::string> names;
  std::vector<Index> tokens;
  (void)model.forward(uneven_sets(3), {.observer = [&](HalfStep<double> step) {
                        names.emplace_back(step.name);
                        tokens.push_back(step.layout.tokens());
                        CHECK(step.activation.cols() == step.layout.tokens());
                      }});
  CHECK(names == std::vector<std::string>{"embedding", "norm", "pool", "head"});
  CHECK(tokens == std::vector<Index>{14, 14, 3, 3});
}

TEST_CASE("attention probabilities are shown to whoever asks, head after head") {
  Mssa<double> layer({.dim = 6, .heads = 2, .mask = AttentionMask::causal});
  initialise(layer, 1);
  const TokenSets<double> sets = uneven_sets(6);
  Matrix<double> projected, shown;
  const Run<double> run{.observer =
                            [&](HalfStep<double> step) {
                              if (step.name == "projection") projected = step.activation;
                              if (step.name == "attention") shown = step.activation;
                            },
                        .shows_attention = true};
  const Matrix<double> out = forward(layer, sets, run).tokens;
  REQUIRE(shown.rows() == 2 * 8);
  Matrix<double> attended = Matrix<double>::Zero(6, 14);
  for (const Index k : {0, 1})
    for (Index s = 0; s < 3; ++s) {
      const Index begin = sets.layout.begin(s), length = sets.layout.length(s);
      attended.block(3 * k, begin, 3, length) =
          projected.block(3 * k, begin, 3, length) * shown.block(8 * k, begin, length, length);
    }
  CHECK(relative_error(layer.output->weight * attended + layer.output->bias.replicate(1, 14), out) < rounding<double>);
  CHECK(shown.col(5 + 1 + 7).segment(6, 2).isZero(0));  // padding is no key
  CHECK(forward(layer, sets).tokens == out);
}

TEST_CASE("self-attention shows its probabilities as MSSA does, and an MLP what is inside it") {
  TransformerBlock<double> block({.dim = 6, .heads = 2, .hidden = 9, .mask = AttentionMask::causal});
  initialise(block, 1);
  const TokenSets<double> sets = uneven_sets(6);
  Matrix<double> values, shown, attended = Matrix<double>::Zero(6, 14), left;
  std::vector<std::string> names;
  const Run<double> run{.observer =
                            [&](HalfStep<double> step) {
                              names.emplace_back(step.name);
                              if (step.name == "attend.projection") values = step.activation.bottomRows(6);
                              if (step.name == "attend.attention") shown = step.activation;
                              if (step.name == "attend") left = step.activation - sets.tokens;
                            },
                        .shows_attention = true};
  (void)forward(block, sets, run);
  CHECK(names == std::vector<std::string>{"attend.projection", "attend.attention", "attend", "transform.expand",
                                          "transform.activation", "transform.contract", "transform"});
  for (const Index k : {0, 1})
    for (Index s = 0; s < 3; ++s) {
      const Index begin = sets.layout.begin(s), length = sets.layout.length(s);
      attended.block(3 * k, begin, 3, length) =
          values.block(3 * k, begin, 3, length) * shown.block(8 * k, begin, length, length);
    }
  const Linear<double>& output = block.attend.branch.layer.output;
  CHECK(relative_error(output.weight * attended + output.bias.replicate(1, 14), left) < rounding<double>);
  CHECK(find_layer<SelfAttention<double>>(block, "attend") == &block.attend.branch.layer);
}

TEST_CASE("a layer is found by the name that observers and files call it") {
  const CrateBlock<double> block({.dim = 6, .heads = 3});
  REQUIRE(find_layer<Mssa<double>>(block, "compress") == &block.compress.branch.layer);
  CHECK(find_layer<Mssa<double>>(block, "sparsify") == nullptr);
  CHECK(find_layer<Ista<double>>(block, "sparsify") == &block.sparsify.layer);
  const TiedModel model;
  CHECK(find_layer<Pool<double>>(model, "pool") == &model.pool);  // a link that owns nothing
}

TEST_CASE("what no fold knows stays as it is, and no token is spared that such a layer may need") {
  const auto model = with_random_weights(ShiftedFirsts());
  const TokenSets<double> sets = uneven_sets(4);
  CHECK(relative_error(fold(model).forward(sets).tokens, model.forward(sets).tokens) < rounding<double>);
  const auto strict = with_random_weights(StrictBlock<double>({.dim = 4, .heads = 2, .ista = {.lambda = 0.01}}));
  CHECK(relative_error(fold(strict).forward(sets).tokens, strict.forward(sets).tokens) < rounding<double>);
}

namespace {

/// A part that is two links, and a view that comes before the part it views.
struct SharedModel : Chain<SharedModel, double> {
  Linear<double> map{3, 3};
  LayerNorm<double> norm{3};

  static constexpr auto parts() { return std::tuple{part("map", &SharedModel::map), part("norm", &SharedModel::norm)}; }
  static constexpr auto links() {
    return std::tuple{part("head", [](auto& model) { return Transposed{model.map}; }), part("map", &SharedModel::map),
                      part("norm", &SharedModel::norm), part("again", &SharedModel::map),
                      part("norm", &SharedModel::norm)};
  }
};

}  // namespace

TEST_CASE("parts that are shared in any order go backward and fold") {
  const auto model = with_random_weights(SharedModel());
  const TokenSets<double> sets = uneven_sets(3);
  CHECK(check_backward(model, sets));
  CHECK(relative_error(fold(model).forward(sets).tokens, model.forward(sets).tokens) < rounding<double>);
}

namespace {

/// A part that goes back through its links twice, for half of the cotangent each time.
struct GoesBackTwice : Chain<GoesBackTwice, double> {
  Linear<double> map{3, 3};
  static constexpr auto parts() { return std::tuple{part("map", &GoesBackTwice::map)}; }

  void backward(ConstTokens<double> out_cotangent, const Tape& tape, Tokens<double> z_cotangent,
                GoesBackTwice& gradient, Pass<double>& pass) const {
    const Matrix<double> half = 0.5 * out_cotangent;
    Chain::backward(half, tape, z_cotangent, gradient, pass);
    const Matrix<double> first = z_cotangent;
    Chain::backward(half, tape, z_cotangent, gradient, pass);
    z_cotangent += first;
  }
};

/// With a backward of its own beside Chain's, where dL/dZ is asked for.
struct OverloadsBackward : Chain<OverloadsBackward, double> {
  Linear<double> map{3, 3};
  static constexpr auto parts() { return std::tuple{part("map", &OverloadsBackward::map)}; }

  using Chain<OverloadsBackward, double>::backward;
  void backward(ConstTokens<double> out_cotangent, const Tape& tape, Tokens<double> z_cotangent,
                OverloadsBackward& gradient, Pass<double>& pass) const {
    Chain::backward(out_cotangent, tape, z_cotangent, gradient, pass);
  }
};

struct HasGoesBackTwice : Chain<HasGoesBackTwice, double> {
  LayerNorm<double> norm{3};
  GoesBackTwice twice;
  static constexpr auto parts() {
    return std::tuple{part("norm", &HasGoesBackTwice::norm), part("twice", &HasGoesBackTwice::twice)};
  }
};

static_assert(detail::GoesBackAsChain<HasGoesBackTwice> && !detail::GoesBackAsChain<GoesBackTwice> &&
              !detail::GoesBackAsChain<OverloadsBackward>);

/// The names of the parameters that a backward pass tells of.
template <class Model>
std::string reported_parameters(const Model& model) {
  Model gradient = zeros_like(model);
  std::string names;
  const Run<double> run{.on_complete = [&](const ConstParameterList& parameters) {
    for (const ConstParameter& told : parameters)
      for (const ConstParameter& known : list_parameters(std::as_const(gradient)))
        if (told.data == known.data) names += known.name + ' ';
  }};
  const TokenSets<double> sets = uneven_sets(model.input_dim());
  Recording<Model> recording;
  const Matrix<double> out = forward(model, sets, recording, run).tokens;
  static_cast<void>(backward(model, out, recording, gradient, run));
  return names;
}

}  // namespace

TEST_CASE("a backward pass tells of gradients when no link in front adds to them") {
  CHECK(reported_parameters(with_random_weights(TiedModel())) ==
        "norm.weight norm.bias embedding.weight embedding.bias ");
  CHECK(reported_parameters(with_random_weights(SharedModel())) == "");
  CHECK(check_backward(with_random_weights(HasGoesBackTwice()), uneven_sets(3)));
  CHECK(reported_parameters(with_random_weights(HasGoesBackTwice())) ==
        "twice.map.weight twice.map.bias norm.weight norm.bias ");
  CHECK(reported_parameters(with_random_weights(CrateBlock<double>({.dim = 4, .heads = 2}))) ==
        "sparsify.norm.weight sparsify.norm.bias sparsify.dictionary compress.norm.weight compress.norm.bias "
        "compress.subspaces compress.output.weight compress.output.bias ");
}

namespace {

struct Tail : Chain<Tail, double> {
  Linear<double> map{3, 3};
  Pool<double> pool{3, Pooling::mean};
  static constexpr auto parts() { return std::tuple{part("map", &Tail::map), part("pool", &Tail::pool)}; }
};

}  // namespace

TEST_CASE("what wraps a layer hands on the token sets that the layer hands on") {
  const Tail tail = with_random_weights(Tail());
  const TokenSets<double> sets = uneven_sets(3);
  const Recompute<Tail> recomputed(tail);
  CHECK(forward(recomputed, sets).tokens == forward(tail, sets).tokens);
  CHECK(check_backward(recomputed, sets));
  CHECK(check_backward(with_random_weights(PreNorm<Tail>(tail)), sets));
}

TEST_CASE("a mean is one of visible tokens") {
  const Matrix<double> mean = forward(Pool<double>{3, Pooling::mean}, uneven_sets(3)).tokens;
  CHECK(relative_error(mean.col(2), uneven_sets(3).tokens.middleCols(6, 6).rowwise().mean()) < rounding<double>);
}

TEST_CASE("a folded branch that is subtracted takes observers") {
  const auto model = with_random_weights(Subtract<PreNorm<Ista<double>>>(PreNorm(Ista<double>(4))));
  const TokenSets<double> sets = uneven_sets(4);
  const auto found = forward(fold(model), sets, {.observer = [](HalfStep<double>) {}});
  CHECK(relative_error(found.tokens, forward(model, sets).tokens) < rounding<double>);
}

TEST_CASE("a recorded pass that throws leaves nothing to go back through") {
  const auto model = with_random_weights(Linear<double>(3, 2));
  const TokenSets<double> sets = uneven_sets(3);
  Recording<Linear<double>> recording;
  (void)forward(model, sets, recording);
  Linear<double> broken = model, gradient = model;
  broken.bias.resize(5);
  CHECK_THROWS_AS(forward(broken, sets, recording), ShapeError);
  CHECK_THROWS_AS(backward(model, Matrix<double>::Zero(2, 14), recording, gradient), Error);
}

TEST_CASE("links that do not fit each other are refused by name") {
  struct Misfit : Chain<Misfit, double> {
    Linear<double> first{3, 4};
    Pool<double> second{5};
    static constexpr auto parts() { return std::tuple{part("first", &Misfit::first), part("second", &Misfit::second)}; }
  };
  CHECK(message_of<ShapeError>([] { (void)forward(Misfit(), uneven_sets(3)); }) ==
        "tokens that come to 'second': expected 5 rows, found 4");
}

TEST_CASE("a part that stands twice is folded twice") {
  const auto model = with_random_weights(TiedModel());
  const TokenSets<double> sets = uneven_sets(3);
  const Folded<TiedModel> folded = fold(model);
  CHECK(relative_error(folded.forward(sets).tokens, model.forward(sets).tokens) < rounding<double>);
  Matrix<double> out(3, 3);
  folded.forward(sets, out);
  CHECK(out == folded.forward(sets).tokens);
  CHECK(folded.layout_after(sets.layout).tokens() == 3);
}

TEST_CASE("a layer that is computed again shows each half-step once, under the names that it has alone") {
  const CrateBlockOptions block{.dim = 4, .heads = 2};
  const auto names = [](const auto& layer) {
    std::vector<std::string> seen;
    (void)forward(layer, uneven_sets(4), {.observer = [&](HalfStep<double> step) { seen.emplace_back(step.name); }});
    return seen;
  };
  const auto recomputed = names(Encoder<Recompute<CrateBlock<double>>>(2, block));
  CHECK(recomputed == names(Encoder<CrateBlock<double>>(2, block)));
}
