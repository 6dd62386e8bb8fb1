// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "crate/blocks/strict_block.hpp"
#include "crate/core/errors.hpp"
#include "crate/models/encoder.hpp"
#include "crate/operators/coding_rate.hpp"

// From subspaces and a dictionary to the weights of a strict encoder and of the decoder that mirrors it.

namespace compress_tokens {

using crate::Index;
using Matrix = crate::Matrix<double>;
using Subspaces = crate::Subspaces<Matrix>;
using Encoder = crate::Encoder<crate::StrictBlock<double>>;
using Decoder = crate::Decoder<crate::StrictDecoderBlock<double>>;

/// The weights of L layers: layer l compresses against U^l and sparsifies in D^l. Its output are coordinates in D^l,
/// so what its input was near to, U^l, lies at U^{l+1} afterwards.
struct Weights {
  std::vector<Subspaces> subspaces;  ///< U^1 to U^{L+1}, d x (K p), orthonormal bases
  std::vector<Matrix> dictionaries;  ///< D^1 to D^L, d x d
};

/// How strongly the layers act.
struct Strength {
  double epsilon = 0.5;  ///< precision to which tokens are coded
  double kappa =
      0.1;  ///< of the compression steps, in units of N epsilon^2 / (p ||U||^2): exact ones below 2 lower R^c
  double lambda = 0.1;  ///< of all sparsification steps together: each takes its L-th part
  crate::CompressionStep step = crate::CompressionStep::exact;

  void check() const {
    crate::CodingRateOptions{.epsilon = epsilon}.check();
    crate::check_option(std::isfinite(kappa) && kappa >= 0, "a finite kappa >= 0", kappa);
    crate::check_option(std::isfinite(lambda) && lambda >= 0, "a finite lambda >= 0", lambda);
  }
};

[[nodiscard]] inline const char* step_name(crate::CompressionStep step) {
  switch (step) {
    case crate::CompressionStep::exact:
      return "exact";
    case crate::CompressionStep::first_order:
      return "first-order";
    case crate::CompressionStep::softmax:
      return "softmax";
    case crate::CompressionStep::rate_reduction:
      return "rate-reduction";
    case crate::CompressionStep::soft_partition:
      return "soft-partition";
  }
  return "unknown";
}

/// Orthonormal bases of what the bases U_k become when space is mapped by `map`.
[[nodiscard]] inline Subspaces mapped(const Subspaces& subspaces, const Matrix& map) {
  Subspaces result(map * subspaces.bases(), subspaces.heads());
  for (Index k = 0; k < result.heads(); ++k) {
    const Eigen::HouseholderQR<Matrix> qr(result.basis(k));
    result.basis(k) = qr.householderQ() * Matrix::Identity(result.dim(), result.head_dim());
  }
  return result;
}

/// [U_1 ... U_K] completed to a basis of the whole space by directions orthogonal to all. Needs K p <= d.
[[nodiscard]] inline Matrix completed(const Matrix& bases) {
  const Eigen::HouseholderQR<Matrix> qr(bases);
  Matrix basis = qr.householderQ() * Matrix::Identity(bases.rows(), bases.rows());
  basis.leftCols(bases.cols()) = bases;
  return basis;
}

/// How far the subspaces are from sharing a direction: the smallest eigenvalue of the Gram matrix of [U_1 ... U_K].
/// It is 1 if they are orthogonal and 0 if they share one, as they do if K p > d.
[[nodiscard]] inline double independence(const Subspaces& subspaces) {
  if (subspaces.bases().cols() > subspaces.dim()) return 0;
  const Eigen::SelfAdjointEigenSolver<Matrix> gram(subspaces.bases().transpose() * subspaces.bases(),
                                                   Eigen::EigenvaluesOnly);
  return std::max(0.0, gram.eigenvalues().minCoeff());
}

/// Below this, coordinates in the bases of the subspaces would blow noise up tenfold.
inline constexpr double least_independence = 0.01;

/// Layers whose dictionaries multiply to the completed bases themselves, D^1 D^2 ... D^L = B = [U_1 ... U_K, U_perp].
/// The first is the orthonormal frame nearest to B, the others are equal roots of what is left, B = D^1 G^{1/2} with
/// G = B^T B: each is near the identity, where one ISTA step, started at its input as the paper has it, comes close
/// to the sparse code. So a token of subspace k ends with its coordinates in U_k and nothing elsewhere, and the
/// subspaces end orthogonal. Throws OptionError unless the subspaces are independent.
[[nodiscard]] inline Weights weights_from_subspaces(const Subspaces& subspaces, Index depth) {
  crate::check_option(independence(subspaces) >= least_independence, "subspaces that share no direction (K p <= d)",
                      independence(subspaces));
  const Matrix basis = completed(subspaces.bases());
  const Eigen::SelfAdjointEigenSolver<Matrix> gram(basis.transpose() * basis);
  const auto gram_to_the = [&](double power) -> Matrix {
    return gram.eigenvectors() * gram.eigenvalues().array().pow(power).matrix().asDiagonal() *
           gram.eigenvectors().transpose();
  };
  const auto further_layers = static_cast<double>(std::max<Index>(1, depth - 1));
  const Subspaces coordinate_subspaces(Matrix::Identity(subspaces.dim(), subspaces.bases().cols()), subspaces.heads());

  Weights weights{{subspaces}, {basis * gram_to_the(-0.5)}};
  for (Index layer = 1; layer < depth; ++layer) {
    const double power_left = 0.5 * static_cast<double>(depth - layer) / further_layers;
    weights.subspaces.push_back(mapped(coordinate_subspaces, gram_to_the(power_left)));
    weights.dictionaries.push_back(gram_to_the(0.5 / further_layers));
  }
  weights.subspaces.push_back(coordinate_subspaces);
  return weights;
}

/// Layers that code in an orthonormal dictionary: the first changes to its coordinates, all of them threshold.
[[nodiscard]] inline Weights weights_from_dictionary(const Subspaces& subspaces, const Matrix& dictionary,
                                                     Index depth) {
  const Matrix identity = Matrix::Identity(subspaces.dim(), subspaces.dim());
  Weights weights{{subspaces}, {dictionary}};
  weights.subspaces.resize(static_cast<std::size_t>(depth) + 1, mapped(subspaces, dictionary.transpose()));
  weights.dictionaries.resize(static_cast<std::size_t>(depth), identity);
  return weights;
}

/// D^1 D^2 ... D^L: what expands a code.
[[nodiscard]] inline Matrix whole_dictionary(const Weights& weights) {
  Matrix product = weights.dictionaries.front();
  for (std::size_t l = 1; l < weights.dictionaries.size(); ++l) product = (product * weights.dictionaries[l]).eval();
  return product;
}

/// ||M||^2, the squared spectral norm.
[[nodiscard]] inline double squared_norm(const Matrix& matrix) {
  const Matrix gram =
      matrix.rows() < matrix.cols() ? Matrix(matrix * matrix.transpose()) : Matrix(matrix.transpose() * matrix);
  return Eigen::SelfAdjointEigenSolver<Matrix>(gram, Eigen::EigenvaluesOnly).eigenvalues().maxCoeff();
}

/// kappa in the units of the theory, for sets of `tokens` tokens.
[[nodiscard]] inline double compression_step_size(const Subspaces& subspaces, const Strength& strength, Index tokens) {
  const double a = crate::rate_factor(subspaces.head_dim(), tokens, strength.epsilon);
  return strength.kappa / (a * squared_norm(subspaces.bases()));
}

/// The weights that an encoder has now; `after` is U^{L+1}.
[[nodiscard]] inline Weights weights_of(const Encoder& encoder, const Subspaces& after) {
  Weights weights;
  for (const auto& layer : encoder.layers) {
    weights.subspaces.push_back(layer.compress.subspaces);
    weights.dictionaries.emplace_back(layer.sparsify.dictionary);
  }
  weights.subspaces.push_back(after);
  return weights;
}

namespace detail {

[[nodiscard]] inline crate::StrictBlockOptions block_options(const Weights& weights, const Strength& strength,
                                                             Index tokens) {
  strength.check();
  const Subspaces& u = weights.subspaces.front();
  const double kappa = compression_step_size(u, strength, tokens);
  const auto layers = static_cast<double>(weights.dictionaries.size());
  return {.dim = u.dim(),
          .heads = u.heads(),
          .head_dim = u.head_dim(),
          .compression = {.kappa = kappa, .epsilon = strength.epsilon, .step = strength.step},
          .ista = {.lambda = strength.lambda / layers, .threshold = crate::Threshold::soft}};
}

}  // namespace detail

/// Layer l: Z - kappa grad R^c(Z | U^l), then ISTA in D^l with soft threshold and the step 1 / ||D^l||^2, for sets of
/// `tokens` tokens.
[[nodiscard]] inline Encoder make_encoder(const Weights& weights, const Strength& strength, Index tokens) {
  const std::size_t depth = weights.dictionaries.size();
  Encoder encoder(static_cast<Index>(depth), detail::block_options(weights, strength, tokens));
  for (std::size_t l = 0; l < depth; ++l) {
    encoder.layers[l].compress.subspaces = weights.subspaces[l];
    encoder.layers[l].sparsify.dictionary = weights.dictionaries[l];
    encoder.layers[l].sparsify.options.step = 1 / squared_norm(weights.dictionaries[l]);
  }
  return encoder;
}

/// The mirror: for l from L to 1, D^l Z, then Z + kappa grad R^c(Z | U^l).
[[nodiscard]] inline Decoder make_decoder(const Weights& weights, const Strength& strength, Index tokens) {
  const std::size_t depth = weights.dictionaries.size();
  Decoder decoder(static_cast<Index>(depth), detail::block_options(weights, strength, tokens));
  for (std::size_t l = 0; l < depth; ++l) {
    decoder.layers[depth - 1 - l].expand.dictionary = weights.dictionaries[l];
    decoder.layers[depth - 1 - l].decompress.subspaces = weights.subspaces[l];
  }
  return decoder;
}

}  // namespace compress_tokens
