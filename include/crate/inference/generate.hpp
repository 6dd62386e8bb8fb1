// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/inference/sampling.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/pass.hpp"
#include "crate/layers/token_cache.hpp"
#include "crate/layers/token_embedding.hpp"

// Text generation from prompts with a key-value cache: one pass of the prompts through the model, then one token
// at a time. A TokenCache keeps what later tokens need of each token: for CRATE one vector per layer, half of keys
// and values. Works with any model whose input is TokenIds, folded or not; the logits are those of a pass of the
// whole text, up to rounding.

namespace crate {

/// The largest number of tokens per set that a model accepts, limited by its positions.
template <class Model>
[[nodiscard]] Index context_of(const Model& model) {
  Index context = std::numeric_limits<Index>::max();
  model.for_each_link([&](const std::string&, const auto& link, std::size_t) {
    if constexpr (requires { link.longest(); }) context = std::min(context, link.longest());
  });
  return context;
}

/// A cache for `sets` texts of at most `longest` tokens.
template <class Model>
[[nodiscard]] TokenCache<typename Model::Scalar> token_cache(const Model& model, Index longest, Index sets = 1) {
  return TokenCache<typename Model::Scalar>(cached_rows(model), longest, sets);
}

/// The bytes of such a cache. Throws ShapeError if their number overflows.
template <class Model>
[[nodiscard]] std::size_t token_cache_bytes(const Model& model, Index longest, Index sets = 1) {
  const std::size_t of_token = TokenCache<typename Model::Scalar>::bytes_per_token(cached_rows(model));
  const Index tokens = checked_product("token cache: tokens", sets, longest);
  return static_cast<std::size_t>(checked_product("token cache: bytes", tokens, static_cast<Index>(of_token)));
}

struct GenerationOptions {
  Index tokens = 128;                  ///< maximum number of tokens to generate per prompt, >= 1
  std::vector<Index> end_tokens = {};  ///< a text ends with the first of these that is generated
  Index slide = 0;       ///< 0: texts longer than the model's context are an error. N > 0: whenever the context is
                         ///< full, its first N tokens are dropped and the others recomputed at new
                         ///< positions; 1, for each token, is the published code's way
  Index vocabulary = 0;  ///< only ids below this are generated; 0: all of the model's ids
  SamplingOptions sampling = {};

  void check(Index context, Index known_ids) const {
    check_option(vocabulary >= 0 && vocabulary <= known_ids,
                 concatenate("generation: ids within the model's vocabulary of ", known_ids), vocabulary);
    check_option(tokens >= 1, "generation: tokens >= 1", tokens);
    check_option(slide >= 0 && slide <= context, concatenate("generation: tokens to slide by in 0..", context), slide);
    sampling.check();
  }
};

/// Called with each generated token: the index of its prompt, and its id. If it returns false, the text ends.
using TokenListener = std::function<bool(Index prompt, Index id)>;

namespace detail {

/// Throws as generate does, unless a model of this context and vocabulary can continue the prompts with these options.
inline void check_prompts(const std::vector<std::vector<Index>>& prompts, const GenerationOptions& options,
                          Index context, Index known_ids) {
  options.check(context, known_ids);
  check_option(!prompts.empty(), "generation: prompts >= 1", std::ssize(prompts));
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const Index length = std::ssize(prompts[i]);
    if (length == 0)
      throw OptionError(concatenate("generation: expected at least 1 token in prompt ", i, ", found none"));
    if (options.slide == 0 && (length > context || options.tokens - 1 > context - length))
      throw OptionError(concatenate("generation: expected a text within the model's context of ", context,
                                    " tokens, or slide > 0, found prompt ", i, " of ", length, " and ", options.tokens,
                                    " to generate"));
    for (const Index id : prompts[i])
      if (id < 0 || id >= known_ids)
        throw ShapeError(concatenate("prompt ", i, ": expected ids from 0 to ", known_ids - 1, ", found ", id));
  }
}

/// Texts that a model continues.
template <class Model>
class Texts {
 public:
  using S = typename Model::Scalar;

  Texts(const Model& model, std::vector<std::vector<Index>> prompts, const GenerationOptions& options,
        const Run<S>& run)
      : model_(model),
        options_(options),
        context_(context_of(model)),
        run_(run),
        texts_(std::move(prompts)),
        cache_(token_cache(model, longest_kept(), std::ssize(texts_))),
        randoms_(texts_.size(), Random(options.sampling.seed)) {
    run_.cache = &cache_;
  }

  std::vector<std::vector<Index>> write(const TokenListener& listener) {
    std::vector<std::vector<Index>> written(texts_.size());
    std::vector<Index> writing(texts_.size());
    std::iota(writing.begin(), writing.end(), Index{0});
    Matrix<S> logits = pass_prompts();
    for (Index step = 1;; ++step) {
      std::vector<Index> going_on;
      for (std::size_t i = 0; i < writing.size(); ++i) {
        const Index id = choose_and_append(writing[i], logits.col(static_cast<Index>(i)));
        written[at(writing[i])].push_back(id);
        const auto& ends = options_.end_tokens;
        const bool ended = std::find(ends.begin(), ends.end(), id) != ends.end();
        if ((!listener || listener(writing[i], id)) && !ended) going_on.push_back(writing[i]);
      }
      writing = std::move(going_on);
      if (step == options_.tokens || writing.empty()) return written;
      logits = pass_last_tokens(writing);
    }
  }

 private:
  static std::size_t at(Index text) { return static_cast<std::size_t>(text); }

  /// The largest number of tokens of a text that the cache must hold; the last generated token need not be cached.
  [[nodiscard]] Index longest_kept() const {
    Index longest = 0;
    for (const std::vector<Index>& text : texts_) {
      const Index length = std::ssize(text);
      longest =
          std::max(longest, length < context_ ? length + std::min(options_.tokens - 1, context_ - length) : context_);
    }
    return longest;
  }

  [[nodiscard]] Index choose_and_append(Index text, const auto& logits) {
    const Index ids = options_.vocabulary > 0 ? options_.vocabulary : model_.output_dim();
    const Index id = choose_token(logits.head(ids), texts_[at(text)], options_.sampling, randoms_[at(text)]);
    texts_[at(text)].push_back(id);
    return id;
  }

  /// The logits after the last `lengths[i]` tokens of each of these texts.
  [[nodiscard]] Matrix<S> pass(const std::vector<Index>& texts, const std::vector<Index>& lengths) {
    std::vector<Index> ids, last;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::vector<Index>& text = texts_[at(texts[i])];
      ids.insert(ids.end(), text.end() - lengths[i], text.end());
      last.push_back(std::ssize(ids) - 1);
    }
    cache_.go_on_with(texts);
    return crate::forward(model_, TokenIds(ids, TokenLayout(lengths).with_chosen(std::move(last))), run_).tokens;
  }

  [[nodiscard]] Matrix<S> pass_prompts() {
    std::vector<Index> all(texts_.size()), lengths;
    std::iota(all.begin(), all.end(), Index{0});
    for (const std::vector<Index>& text : texts_) lengths.push_back(std::min(std::ssize(text), context_));
    return pass(all, lengths);
  }

  /// Texts that have filled the context are passed one by one, as they would be without the others.
  [[nodiscard]] Matrix<S> pass_last_tokens(const std::vector<Index>& writing) {
    Matrix<S> logits(model_.output_dim(), std::ssize(writing));
    std::vector<Index> short_ones, columns;
    for (std::size_t i = 0; i < writing.size(); ++i) {
      if (cache_.length(writing[i]) < context_) {
        short_ones.push_back(writing[i]);
        columns.push_back(static_cast<Index>(i));
      } else {
        cache_.forget(writing[i]);
        logits.col(static_cast<Index>(i)) = pass({writing[i]}, {context_ - options_.slide + 1});
      }
    }
    if (short_ones.size() == writing.size()) return pass(writing, std::vector<Index>(writing.size(), 1));
    if (short_ones.empty()) return logits;
    const Matrix<S> of_short_ones = pass(short_ones, std::vector<Index>(short_ones.size(), 1));
    for (std::size_t i = 0; i < columns.size(); ++i) logits.col(columns[i]) = of_short_ones.col(static_cast<Index>(i));
    return logits;
  }

  const Model& model_;
  const GenerationOptions& options_;
  Index context_;
  Run<S> run_;
  std::vector<std::vector<Index>> texts_;
  TokenCache<S> cache_;
  std::vector<Random> randoms_;
};

}  // namespace detail

/// The ids that a model generates after each prompt, a list of token ids. Each text is the same as without the others:
/// it has its own random numbers, with the same seed.
/// Throws OptionError if an option is out of range, if there is no prompt or an empty one, and if a text would become
/// longer than the context and slide is 0; ShapeError on an id outside the vocabulary.
template <class Model>
std::vector<std::vector<Index>> generate(const Model& model, std::vector<std::vector<Index>> prompts,
                                         const GenerationOptions& options = {},
                                         const Run<typename Model::Scalar>& run = {},
                                         const TokenListener& listener = {}) {
  detail::check_prompts(prompts, options, context_of(model), model.output_dim());
  return detail::Texts<Model>(model, std::move(prompts), options, run).write(listener);
}

}  // namespace crate
