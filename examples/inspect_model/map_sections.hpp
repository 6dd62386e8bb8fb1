// SPDX-License-Identifier: MIT
#pragma once

#include "inspect_model/folder_and_page.hpp"
#include "inspect_model/show_options.hpp"
#include "inspect_model/shown_images.hpp"

// Sections about what one layer sees in single images.

namespace inspect_model {

/// Throws OptionError unless the layer has the head, and the grid the patch, whose attention is asked for.
void check_maps(const crate::AttentionLayer& layer, const crate::PatchGrid& grid, const ShowOptions& options);

/// All of these, and how well what they find covers the masks that are given.
void map_sections(FolderAndPage& out, const ShownLayer& shown, const ShowOptions& options);

/// The attention of each head, or of one, to every patch, and the patches that hold most of it.
void attention_section(FolderAndPage& out, Overlaps& overlaps, const ShownLayer& shown, const ShowOptions& options);

/// The patches of which each head holds most of the energy.
void claims_section(FolderAndPage& out, const ShownLayer& shown, const ShowOptions& options);

/// Principal components of the keys of all images: the foreground by the first, colours of the next three.
void components_section(FolderAndPage& out, Overlaps& overlaps, const ShownLayer& shown);

/// Objects by normalised cuts of how alike the keys of patches are.
void segments_section(FolderAndPage& out, Overlaps& overlaps, const ShownLayer& shown, const ShowOptions& options);

}  // namespace inspect_model
