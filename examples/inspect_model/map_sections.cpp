// SPDX-License-Identifier: MIT
#include "inspect_model/map_sections.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "crate/analysis/mask_cut.hpp"
#include "crate/analysis/masks.hpp"
#include "crate/analysis/principal_components.hpp"
#include "crate/analysis/spread.hpp"
#include "crate/analysis/subspace_geometry.hpp"

namespace inspect_model {

namespace {

const char* const seen_images = "The images, as the model sees them";

std::vector<Index> shown_heads(const crate::AttentionLayer& layer, const ShowOptions& options) {
  if (options.head) return {*options.head};
  std::vector<Index> all(static_cast<std::size_t>(layer.heads));
  std::iota(all.begin(), all.end(), Index{0});
  return all;
}

/// The token whose attention is shown: the class token, which comes first, or a patch.
Index query_token(const crate::PatchGrid& grid, const ShowOptions& options) {
  return options.query ? 1 + options.query->first * grid.columns + options.query->second : 0;
}

/// With spaces at which no line ends.
std::string unbroken(std::string text) {
  for (std::size_t at = 0; (at = text.find(' ', at)) != std::string::npos;) text.replace(at, 1, "\u00a0");
  return text;
}

/// The picture, with a frame around the patch whose attention is shown.
Image picture_with_query(const ShownLayer& shown, Index image, const ShowOptions& options) {
  Image picture = shown.picture(image);
  const crate::PatchGrid& grid = shown.grid();
  if (options.query)
    frame(picture, options.query->first * grid.height, options.query->second * grid.width, grid.height, grid.width);
  return picture;
}

/// What a head gives each token that prefers none.
std::string even_share(const crate::PatchGrid& grid) {
  const Index tokens = grid.patches() + 1;
  return "A head that prefers no token gives each of the " + std::to_string(tokens) + " tokens " +
         percent(1.0 / static_cast<double>(tokens)) + ".";
}

/// The patches that a head claims, and the shares that it holds of their energy.
std::pair<crate::Mask, crate::Spread> claimed_by(Index head, const std::vector<Index>& claims,
                                                 const Matrix<double>& shares, const crate::PatchGrid& grid) {
  crate::Mask claimed(grid.rows, grid.columns);
  crate::Spread share;
  for (Index i = 0; i < grid.patches(); ++i) {
    const bool is_claimed = claims[static_cast<std::size_t>(i)] == head;
    claimed(i / grid.columns, i % grid.columns) = is_claimed;
    if (is_claimed) share.add(shares(head, i));
  }
  return {claimed, share};
}

/// That the class token's attention matters less where the head reads all tokens; empty elsewhere.
std::string of_mean(const ImageModel& model, const ShowOptions& options) {
  if (options.query || !model.reads_mean) return "";
  return " The head of this model reads the mean of all tokens, so that its class token need not look at objects.";
}

/// The colours of so many masks, as tinted() gives them.
std::string colours_of(Index masks) {
  constexpr const char* names[] = {"orange", "blue", "green", "purple", "yellow"};
  std::string text;
  for (Index i = 0; i < std::min(masks, std::ssize(names)); ++i) text += (i > 0 ? ", " : "") + std::string(names[i]);
  return text + (masks > std::ssize(names) ? " and again" : "");
}

}  // namespace

void check_maps(const crate::AttentionLayer& layer, const crate::PatchGrid& grid, const ShowOptions& options) {
  if (options.head && (*options.head < 0 || *options.head >= layer.heads))
    throw crate::OptionError(crate::concatenate("option --head: expected a head of ", crate::quote(layer.name),
                                                " from 0 to ", layer.heads - 1, ", found ", *options.head));
  if (options.query && (options.query->first >= grid.rows || options.query->second >= grid.columns))
    throw crate::OptionError(crate::concatenate("option --query: expected a patch from 0,0 to ", grid.rows - 1, ",",
                                                grid.columns - 1, ", found ", options.query->first, ",",
                                                options.query->second));
}

void map_sections(FolderAndPage& out, const ShownLayer& shown, const ShowOptions& options) {
  Overlaps overlaps;
  attention_section(out, overlaps, shown, options);
  claims_section(out, shown, options);
  components_section(out, overlaps, shown);
  segments_section(out, overlaps, shown, options);
  out.add_table(
      overlaps.table(),
      "Overlaps with the given masks, intersection over union: 1 where both are the same. A mask by chance has at most "
      "about the share of the image that the object covers");
  overlaps.print();
}

void attention_section(FolderAndPage& out, Overlaps& overlaps, const ShownLayer& shown, const ShowOptions& options) {
  const std::vector<Index> heads = shown_heads(shown.layer, options);
  const Index query = query_token(shown.grid(), options);
  const std::string asked = options.query ? "the framed patch" : "the class token";
  out.begin_section("Attention", "How much " + asked + " attends to every patch in " + shown.layer.name +
                                     ", head by head: the softmax over all tokens of the scaled inner products "
                                     "of projected tokens. A healthy model that was trained on many images has "
                                     "heads that mark the object or a part of it; a small one, or one trained "
                                     "briefly, often has none. " +
                                     even_share(shown.grid()) + of_mean(shown.model, options));
  for (Index image = 0; image < shown.count(); ++image) {
    std::vector<NamedImage> maps{{shown.name(image), picture_with_query(shown, image, options)}};
    std::vector<NamedImage> kept{{shown.name(image), shown.picture(image)}};
    if (!shown.images.masks.empty())
      kept.front() = {"given mask", masked(shown.picture(image), shown.images.masks[static_cast<std::size_t>(image)])};
    for (const Index head : heads) {
      const Matrix<double> map = crate::over_patches(crate::attention_of(shown.features, image, head, query),
                                                     shown.grid().rows, shown.grid().columns);
      const crate::Mask most = crate::at_image_resolution(crate::top_mass(map, options.mass), shown.grid());
      const std::string name = "head " + std::to_string(head);
      maps.push_back({name + ": " + unbroken("≤ " + percent(map.maxCoeff())),
                      heated(shown.picture(image), crate::at_image_resolution(map, shown.grid()), map.maxCoeff())});
      kept.push_back(
          {name + overlaps.add(shown.images, image, "attention", name, most), masked(shown.picture(image), most)});
    }
    const std::string what = "Attention of " + asked + " in " + shown.layer.name + " to the patches of " +
                             shown.name(image) +
                             ": dark blue is 0, yellow the largest share, which stands below each map";
    const std::string held =
        "patches that hold " + percent(options.mass) + " of the attention to patches; the others are faded";
    out.add_pictures("attention-" + shown.name(image), {{maps, what}, {kept, "The fewest " + held}},
                     what + "; below, the fewest " + held);
  }
}

void claims_section(FolderAndPage& out, const ShownLayer& shown, const ShowOptions& options) {
  const Index all = shown.layer.heads;
  if (all < 2) return;  // one head claims all
  out.begin_section("Heads that claim patches",
                    "Each patch belongs to the head that holds the largest share of the energy of its projections, "
                    "‖Uₖᵀ z‖² / Σⱼ ‖Uⱼᵀ z‖², in " +
                        shown.layer.name +
                        ". In the derivation every token lies near one of the subspaces. In a healthy model heads "
                        "claim regions that mean something. Where one head claims nearly all patches, the subspaces do "
                        "not tell tokens apart; nor do they where the claiming heads hold hardly more than " +
                        percent(1.0 / static_cast<double>(all)) + " of the energy, an equal share (see the table).");
  Table table("claims", {"image", "head", "claimed_patches", "mean_share_of_claimed"});
  for (Index image = 0; image < shown.count(); ++image) {
    const Matrix<double> shares = crate::projected_head_shares(shown.features.patch_keys(image), all);
    const std::vector<Index> claims = crate::claiming_heads(shares);
    std::vector<NamedImage> pictures{{shown.name(image), shown.picture(image)}};
    for (const Index head : shown_heads(shown.layer, options)) {
      const auto [claimed, share] = claimed_by(head, claims, shares, shown.grid());
      table.add(shown.name(image)).add(head).add(share.count()).add(share.mean()).end_row();
      const double of_patches = static_cast<double>(share.count()) / static_cast<double>(shown.grid().patches());
      pictures.push_back({"head " + std::to_string(head) + ": " + unbroken(percent(of_patches)),
                          masked(shown.picture(image), crate::at_image_resolution(claimed, shown.grid()))});
    }
    const std::string what = "Patches of " + shown.name(image) +
                             " that each head claims, and their number as a share "
                             "of all patches; the others are faded";
    out.add_pictures("claims-" + shown.name(image), {{pictures, what}}, what);
  }
  out.add_table(table, "Patches that each head claims, and the mean share that it holds of their energy");
}

void components_section(FolderAndPage& out, Overlaps& overlaps, const ShownLayer& shown) {
  const crate::PatchGrid& grid = shown.grid();
  Matrix<double> keys(shown.features.keys.rows(), grid.patches() * shown.count());
  for (Index image = 0; image < shown.count(); ++image)
    keys.middleCols(grid.patches() * image, grid.patches()) = shown.features.patch_keys(image);
  if (keys.rows() < 4) return;  // of fewer features there are no colours
  out.begin_section(
      "Principal components of keys",
      "What varies most among the keys, in " + shown.layer.name +
          ", of the patches of all images together. In a healthy model that was trained on many images the first "
          "component tells objects from their background, and the next three tell their parts apart "
          "by colours that mean the same in every image; in small ones, or after brief training, they are "
          "often no more than light and dark, or edges and middle.");
  const crate::ComponentPicture found = crate::component_picture(keys, grid.rows, grid.columns);
  std::vector<NamedImage> pictures, scores, parts;
  for (Index image = 0; image < shown.count(); ++image) {
    const Index first = image * grid.patches();
    crate::Mask foreground(grid.rows, grid.columns);
    Image colours = blank_image(grid.image_height(), grid.image_width(), 0);
    for (Index i = 0; i < grid.patches(); ++i)
      foreground(i / grid.columns, i % grid.columns) = found.is_foreground[static_cast<std::size_t>(first + i)];
    for_each_pixel(colours, [&](Index y, Index x, std::uint8_t* pixel) {
      const Index patch = first + y / grid.height * grid.columns + x / grid.width;
      for (Index c = 0; c < 3; ++c) pixel[c] = blend(0, 255, found.colours(c, patch));
    });
    const Matrix<double> score =
        crate::over_patches(found.foreground_score.segment(first, grid.patches()).eval(), grid.rows, grid.columns);
    pictures.push_back({shown.name(image), shown.picture(image)});
    scores.push_back({"first component", heated(shown.picture(image), crate::at_image_resolution(score, grid), 1)});
    parts.push_back({"the next three" + overlaps.add(shown.images, image, "first component", "foreground",
                                                     crate::at_image_resolution(foreground, grid)),
                     std::move(colours)});
  }
  const std::string first =
      "The first component of the keys of " + shown.layer.name +
      ", on one scale for all images, with the sign that makes patches at their borders darker on average";
  const std::string next =
      "The next three in red, green and blue, where the first exceeds half its range, and black elsewhere";
  out.add_pictures("components", {{pictures, seen_images}, {scores, first}, {parts, next}},
                   first + "; below, the next three in red, green and blue, where it exceeds half its range");
}

void segments_section(FolderAndPage& out, Overlaps& overlaps, const ShownLayer& shown, const ShowOptions& options) {
  out.begin_section("Objects", "Normalised cuts of the graph in which patches of like keys in " + shown.layer.name +
                                   " are neighbours, one after another. In a healthy model that was trained on many "
                                   "images the first mask covers one "
                                   "object; a mask of half the image has found none.");
  std::vector<NamedImage> pictures, segments;
  for (Index image = 0; image < shown.count(); ++image) {
    std::vector<crate::Mask> masks;
    std::string of_first;
    for (const crate::Mask& mask :
         crate::mask_cut(shown.features.patch_keys(image), shown.grid().rows, shown.grid().columns,
                         {.masks = static_cast<int>(options.cuts), .threshold = options.threshold})) {
      masks.push_back(crate::at_image_resolution(mask, shown.grid()));
      const std::string overlap =
          overlaps.add(shown.images, image, "normalised cuts", "mask " + std::to_string(masks.size()), masks.back());
      if (masks.size() == 1) of_first = overlap;
    }
    pictures.push_back({shown.name(image), shown.picture(image)});
    segments.push_back(
        {masks.empty() ? "no object" : count_of(masks.size(), "mask") + of_first, tinted(shown.picture(image), masks)});
  }
  const std::string what = "Masks by normalised cuts of the keys of " + shown.layer.name + ": " +
                           colours_of(options.cuts) + ", in the order in which they are found";
  out.add_pictures("segments", {{pictures, seen_images}, {segments, what}}, what);
}

}  // namespace inspect_model
