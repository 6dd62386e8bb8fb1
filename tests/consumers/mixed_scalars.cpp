// SPDX-License-Identifier: MIT
// Refused where SCALAR is another than that of the subspaces.
#include <crate/operators/compression.hpp>
#include <crate/operators/ista.hpp>

#ifndef SCALAR
#define SCALAR double
#endif

using Tokens = Eigen::Matrix<SCALAR, Eigen::Dynamic, Eigen::Dynamic>;
using Subspaces = crate::Subspaces<Eigen::MatrixXd>;

#ifdef COMPRESS
Tokens compressed(const Tokens& tokens, const Subspaces& subspaces) { return crate::compress(tokens, subspaces); }
#elif defined(ATTEND)
Tokens attended(const Tokens& tokens, const Subspaces& subspaces) { return crate::mssa(tokens, subspaces); }
#elif defined(SPARSIFY)
Tokens sparse(const Tokens& tokens, const Eigen::MatrixXd& dictionary) { return crate::ista(tokens, dictionary); }
#else
double rate(const Tokens& tokens, const Subspaces& subspaces) { return crate::subspace_coding_rate(tokens, subspaces); }
#endif
