// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/io/families/crate_alpha_classifier.hpp"
#include "crate/io/families/crate_classifier.hpp"
#include "crate/io/families/crate_masked_autoencoder.hpp"
#include "crate/io/families/crate_masked_classifier.hpp"
#include "crate/io/families/language_models.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/families/masked_language_models.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/families/sizes_in_weights.hpp"
#include "crate/io/families/transformer_classifier.hpp"
#include "crate/io/families/transformer_masked_autoencoder.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

// The families of published weights that this library can read and write. To add one, write its header in io/families/
// and add its name to the list below.

namespace crate {

/// What reading and writing files needs to know about a family, as static members:
///   Model<S>, Options        the C++ types of its models and of their options
///   name                     in the metadata of files: "crate-alpha"
///   title, kind              in messages: "a CRATE-alpha classifier", "a classifier"
///   names                    our name and the published one of every parameter
///   marker                   our name of a parameter that every model has, under a distinctive published name
///   load_options             the members of LoadOptions that apply to a model, in the order of the metadata
///   options(weights, given)  the options of the model with these weights
///   options_to_load(model)   options that the weights do not determine; given at loading, they restore the model
///   least_weights(options)   a lower bound on the weights, so that a corrupt file cannot cause large allocations
///   smallest_like(model)     options of a small model with the settings that the published code gives this one
template <class F>
concept PublishedFamily = requires(const TensorTable& weights, const LoadOptions& given,
                                   const typename F::template Model<float>& model, const typename F::Options& options) {
  requires std::is_convertible_v<decltype(F::name), std::string_view>;
  requires std::is_convertible_v<decltype(F::title), std::string_view>;
  requires std::is_convertible_v<decltype(F::kind), std::string_view>;
  requires std::is_convertible_v<decltype(F::names), std::span<const PublishedName>>;
  requires std::is_convertible_v<decltype(F::marker), std::string_view>;
  F::load_options;
  { F::options(weights, given) } -> std::same_as<typename F::Options>;
  { F::options_to_load(model) } -> std::same_as<LoadOptions>;
  { F::least_weights(options) } -> std::same_as<detail::LeastWeights>;
  { F::smallest_like(model) } -> std::same_as<typename F::Options>;
};

/// Families of image models, of models that predict the next token of a text, and of all text models. If models of one
/// family contain the marker of another, list the other one later, or give both a `fits` that decides.
using ImageFamilies =
    std::tuple<CrateClassifierFamily, CrateAlphaClassifierFamily, CrateMaskedAutoencoderFamily,
               CrateMaskedClassifierFamily, TransformerClassifierFamily, TransformerMaskedAutoencoderFamily>;
using LanguageModelFamilies = std::tuple<CrateLanguageModelFamily, OvercompleteLanguageModelFamily,
                                         CrateAlphaLanguageModelFamily, TransformerLanguageModelFamily>;
using TextFamilies = decltype(std::tuple_cat(
    LanguageModelFamilies(), std::tuple<CrateMaskedLanguageModelFamily, CrateSentenceClassifierFamily,
                                        TransformerMaskedLanguageModelFamily, TransformerSentenceClassifierFamily>()));
using Families = decltype(std::tuple_cat(ImageFamilies(), TextFamilies()));

namespace detail {

template <class List>
struct FamilyList;

template <PublishedFamily... Family>
struct FamilyList<std::tuple<Family...>> {
  template <class S>
  using AnyModel = std::variant<typename Family::template Model<S>...>;

  /// Calls visit(family) for each family in turn.
  template <class Visit>
  static constexpr void for_each(const Visit& visit) {
    (visit(Family()), ...);
  }
};

/// The family in the list that has this Model; void if there is none.
template <class Model, class List>
struct FindFamily {
  using type = void;
};

template <class Model, class First, class... Rest>
requires Scalar<typename Model::Scalar>
struct FindFamily<Model, std::tuple<First, Rest...>>
    : std::conditional_t<std::is_same_v<Model, typename First::template Model<typename Model::Scalar>>,
                         std::type_identity<First>, FindFamily<Model, std::tuple<Rest...>>> {
};

}  // namespace detail

/// A model of any family in a list such as ImageFamilies, by default of any family.
template <Scalar S, class List = Families>
using AnyModel = typename detail::FamilyList<List>::template AnyModel<S>;

/// The family of a model; void if it has none.
template <class Model>
using FamilyOf = typename detail::FindFamily<Model, Families>::type;

/// Models whose weights have a known published form.
template <class Model>
concept PublishedModel = !std::is_void_v<FamilyOf<Model>>;

/// Models of which a part has a published form; only this part is saved.
template <class Model>
concept HasPublishedPart = requires(const Model& model) {
  requires PublishedModel<std::remove_cvref_t<decltype(model.published_part())>>;
  { Model::published_part_name } -> std::convertible_to<std::string_view>;
};

/// Calls visit(family) with an object of each family's type, in the order of the list.
template <class Visit>
constexpr void for_each_family(const Visit& visit) {
  detail::FamilyList<Families>::for_each(visit);
}

namespace detail {

/// The published tensor that identifies the family.
template <PublishedFamily Family>
[[nodiscard]] std::string published_marker() {
  return published_name(Family::names, Family::marker).name;
}

// Optional members of a family:
//   other_names            our names and those that other files have instead of all `names`
//   optional_first_part    first part of `names` that some files omit: "transformer"
//   buffers                tensors in files that models do not need, as in PublishedName
//   tied                   copies of tied tensors in files
//   fits(weights)          whether the weights are of this family, if another one has the same marker
//   as_published(weights)  converts weights that are stored in another form into that of `names`
//   model_name             the C++ name of Model, in messages: "CrateAlphaClassifier"

template <PublishedFamily Family>
[[nodiscard]] constexpr std::span<const PublishedName> other_names() {
  if constexpr (requires { Family::other_names; })
    return Family::other_names;
  else
    return {};
}

template <PublishedFamily Family>
[[nodiscard]] constexpr std::string_view optional_first_part() {
  if constexpr (requires { Family::optional_first_part; })
    return Family::optional_first_part;
  else
    return {};
}

template <PublishedFamily Family>
[[nodiscard]] constexpr std::span<const TiedName> tied_names() {
  if constexpr (requires { Family::tied; })
    return Family::tied;
  else
    return {};
}

/// The table of names that these weights use.
template <PublishedFamily Family>
[[nodiscard]] std::span<const PublishedName> names_in(const TensorTable& weights) {
  if (other_names<Family>().empty() || weights.find(published_marker<Family>()) != nullptr) return Family::names;
  return other_names<Family>();
}

/// Whether the weights are of this family.
template <PublishedFamily Family>
[[nodiscard]] bool is_of_family(const TensorTable& weights) {
  if (weights.find(published_name(names_in<Family>(weights), Family::marker).name) == nullptr) return false;
  if constexpr (requires { Family::fits(weights); })
    return Family::fits(weights);
  else
    return true;
}

/// "a, b or c"
[[nodiscard]] inline std::string alternatives(const std::vector<std::string>& texts) {
  std::string list;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) list += i + 1 == texts.size() ? " or " : ", ";
    list += texts[i];
  }
  return list;
}

}  // namespace detail

/// The name of the family of these weights, if there is one.
[[nodiscard]] inline std::optional<std::string_view> family_name(const TensorTable& weights) {
  std::optional<std::string_view> name;
  for_each_family([&]<class Family>(Family) {
    if (!name && detail::is_of_family<Family>(weights)) name = Family::name;
  });
  return name;
}

namespace detail {

/// The error for weights of no family in the list.
template <class List>
[[nodiscard]] FileError no_family_error(const TensorTable& weights) {
  std::vector<std::string> known;
  const auto found = family_name(weights);
  FamilyList<List>::for_each([&]<class Family>(Family) {
    known.push_back(found ? std::string(Family::title)
                          : concatenate(Family::title, " ('", published_marker<Family>(), "')"));
  });
  if (found)
    return file_error(weights.source(), "expected the weights of ", alternatives(known), ", found those of family ",
                      quote(*found));
  return file_error(weights.source(), "expected the weights of ", alternatives(known), ", found none of these tensors");
}

/// ", which load_model<CrateClassifier<S>> loads" for the family "crate"; empty if it has no model_name.
[[nodiscard]] inline std::string loader_of(std::string_view family) {
  std::string text;
  for_each_family([&]<class Family>(Family) {
    if constexpr (requires { Family::model_name; })
      if (family == Family::name) text = concatenate(", which load_model<", Family::model_name, "<S>> loads");
  });
  return text;
}

/// Throws FileError if the weights are of another family.
template <PublishedFamily Family>
void check_family(const TensorTable& weights) {
  const auto found = family_name(weights);
  if (found && *found != Family::name)
    throw file_error(weights.source(), "expected the weights of family ", quote(Family::name), ", found those of ",
                     quote(*found), loader_of(*found));
}

}  // namespace detail

}  // namespace crate
