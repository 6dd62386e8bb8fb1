// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <vector>

#include "compress_tokens/layer_table.hpp"
#include "compress_tokens/rate_distortion.hpp"
#include "compress_tokens/source.hpp"

// The pictures that the program writes into its output folder.

namespace compress_tokens {

/// similarity.png: |cosine| between tokens before and after encoding, sorted by subspace.
void write_similarity(const std::filesystem::path& folder, const Matrix& before, const Matrix& after,
                      const std::vector<Index>& membership);

/// layers.svg: R^c, the share of non-zeros and the objective, layer by layer.
void write_layers(const std::filesystem::path& folder, const std::vector<LayerMeasures>& measures);

/// trade_off.svg: quality against rate for the three methods.
void write_trade_off(const std::filesystem::path& folder, const std::vector<TradeOffPoint>& points,
                     const Source& source);

/// reconstruction.png: the photograph beside what was decoded. subspaces.png: each patch in the colour of its subspace.
void write_photographs(const std::filesystem::path& folder, const Source& source, const Matrix& decoded,
                       const std::vector<Index>& membership, Index subspaces);

}  // namespace compress_tokens
