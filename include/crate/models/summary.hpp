// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <iomanip>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/detail/count_of.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/linked.hpp"

namespace crate {

namespace detail {

struct SummaryRow {
  std::string name, formula, shape, parameters, multiply_adds;
};

/// The number of parameters of a layer, 0 for views; for a folded layer, whose numbers differ, the number of bytes.
template <class L>
std::string size_text(const L& layer) {
  if constexpr (requires { layer.bytes_held(); })
    return concatenate(layer.bytes_held(), " bytes");
  else if constexpr (HasParts<L>)
    return std::to_string(parameter_count(layer));
  else
    return "0";
}

template <class L>
SummaryRow summary_row(std::string name, const std::string& formula, const L& layer, const TokenLayout& layout) {
  std::ostringstream millions;
  millions << std::fixed << std::setprecision(2) << layer.multiply_adds(layout) / 1e6;
  return {std::move(name), formula, concatenate(layer.input_dim(), " -> ", layer.output_dim()), size_text(layer),
          millions.str()};
}

template <class L>
void add_summary_rows(std::vector<SummaryRow>& rows, const std::string& name, const L& layer,
                      const TokenLayout& layout) {
  if constexpr (requires { layer.for_each_link([](const std::string&, const auto&, std::size_t) {}); }) {
    LayoutCourse course(layout);
    layer.for_each_link([&](const std::string& link_name, const auto& link, std::size_t) {
      add_summary_rows(rows, join_names(name, link_name), link, course.current());
      course.pass_through(link);
    });
  } else {
    rows.push_back(summary_row(name, layer.formula("Z"), layer, layout));
  }
}

}  // namespace detail

/// A table of a layer, block or model: one line for each half-step, with its name, formula, dimensions, number of
/// parameters and millions of multiply-adds for input token sets of this layout (an image counts as one column),
/// and a line with the totals.
template <class L>
[[nodiscard]] std::string summary(const L& model, const TokenLayout& layout) {
  using detail::SummaryRow;
  std::vector<SummaryRow> rows{{"half-step", "formula", "dimensions", "parameters", "multiply-adds / 1e6"}};
  detail::add_summary_rows(rows, "", model, layout);
  rows.push_back(detail::summary_row(
      "total",
      concatenate("on ", detail::count_of(layout.tokens(), "token"), " in ", detail::count_of(layout.sets(), "set")),
      model, layout));
  const auto width = [&](std::string SummaryRow::*column) {
    std::size_t widest = 0;
    for (const SummaryRow& row : rows) widest = std::max(widest, (row.*column).size());
    return static_cast<int>(widest);
  };
  const int name = width(&SummaryRow::name), formula = width(&SummaryRow::formula), shape = width(&SummaryRow::shape),
            parameters = width(&SummaryRow::parameters), multiply_adds = width(&SummaryRow::multiply_adds);
  std::ostringstream table;
  for (const SummaryRow& row : rows)
    table << std::left << std::setw(name) << row.name << "  " << std::setw(formula) << row.formula << "  "
          << std::setw(shape) << row.shape << "  " << std::right << std::setw(parameters) << row.parameters << "  "
          << std::setw(multiply_adds) << row.multiply_adds << '\n';
  return table.str();
}

}  // namespace crate
