// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/file_replacement.hpp"
#include "inspect_model/table.hpp"
#include "plots/indexed_png.hpp"
#include "plots/xml_text.hpp"

// One HTML file that holds all it shows and loads nothing: sections of charts, pictures and tables in the order in
// which they come, on light and dark screens, wide and narrow ones, and on paper. It is XML too.

namespace inspect_model {

/// A picture under its label.
struct Picture {
  std::string png;       ///< the bytes of a PNG file
  std::string label;     ///< shown below it; none if empty
  std::string alt;       ///< what it shows, for those who cannot see it
  double width = 160;    ///< in pixels of the page, at most
  bool is_sharp = true;  ///< whether pixels stay rectangles, however far they are magnified
};

/// How much of a row a chart takes.
enum class Width { column, row };

class Page {
 public:
  /// The heading, and below it what was inspected.
  Page(std::string title, std::string introduction)
      : title_(std::move(title)), introduction_(std::move(introduction)) {}

  /// What follows stands below this heading and the sentence, which says what is measured. Without anything that
  /// follows there will be no such section.
  void section(std::string title, std::string sentence) {
    sections_.push_back({.title = std::move(title), .sentence = std::move(sentence), .body = {}});
  }

  /// SVG as plots::svg writes it. The caption says what is shown, in which units, and what a healthy model shows.
  /// Charts stand beside each other where there is room.
  void chart(std::string_view svg, std::string_view caption, Width width = Width::column) {
    body() += figure(width == Width::row ? "chart row" : "chart", std::string(svg), caption);
  }

  void picture(std::string_view png, std::string_view alt, std::string_view caption) {
    pictures({{.png = std::string(png), .label = {}, .alt = std::string(alt), .width = 480}}, caption);
  }

  /// In rows as long as the page is wide.
  void pictures(const std::vector<Picture>& all, std::string_view caption) {
    std::string cells;
    for (const Picture& one : all) cells += cell(one);
    if (!all.empty()) body() += figure("row", "<div class=\"pictures\">\n" + cells + "</div>\n", caption);
  }

  /// Words and what they mean.
  void terms(const std::vector<std::pair<std::string, std::string>>& all) {
    std::string list;
    for (const auto& [term, meaning] : all)
      list += "<dt>" + plots::xml_text(term) + "</dt><dd>" + prose(meaning) + "</dd>\n";
    if (!all.empty()) body() += "<dl class=\"row\">\n" + list + "</dl>\n";
  }

  /// Folded, with its CSV file to save. Tables without rows are left out.
  void table(const Table& table, std::string_view caption) {
    if (!table.is_empty()) body() += "<details class=\"row\">\n" + contents(table, caption) + "</details>\n";
  }

  /// Unfolded. On narrow screens the words that begin a row, or stand among its numbers, have a line of their own.
  void open_table(const Table& table, std::string_view caption) {
    if (!table.is_empty())
      body() += "<details class=\"row" + std::string(table.rows()[0][0].is_number ? " numbered" : " worded") +
                "\" open=\"open\">\n" + contents(table, caption) + "</details>\n";
  }

  [[nodiscard]] std::string html() const;

  /// Throws FileError if it cannot be written.
  void write(const std::filesystem::path& path) const {
    crate::FileReplacement file(path);
    file.write(html());
    file.commit();
  }

 private:
  struct Section {
    std::string title, sentence, body;
  };

  [[nodiscard]] std::string& body() {
    if (sections_.empty()) section(title_, "");
    return sections_.back().body;
  }

  [[nodiscard]] static std::string figure(std::string_view kind, const std::string& what, std::string_view caption) {
    return "<figure class=\"" + std::string(kind) + "\">\n" + what +
           (caption.empty() ? "" : "<figcaption>" + prose(caption) + "</figcaption>\n") + "</figure>\n";
  }

  [[nodiscard]] static std::string cell(const Picture& picture) {
    std::string text = "<figure style=\"width:" + plots::coordinate(picture.width) + "px\"><img alt=\"" +
                       plots::xml_text(picture.alt) + "\"" + (picture.is_sharp ? " class=\"sharp\"" : "") +
                       " src=\"data:image/png;base64," + plots::base64(picture.png) + "\"/>";
    if (!picture.label.empty()) text += "<figcaption>" + plots::xml_text(picture.label) + "</figcaption>";
    return text + "</figure>\n";
  }

  [[nodiscard]] static std::string contents(const Table& table, std::string_view caption) {
    const std::string file = table.name() + ".csv";
    std::string text = "<summary>" + prose(caption) + "</summary>\n<p><a download=\"" + plots::xml_text(file) +
                       "\" href=\"data:text/csv;charset=utf-8;base64," + plots::base64(table.csv()) + "\">" +
                       plots::xml_text(file) + "</a></p>\n<div class=\"scroll\"><table>\n<thead><tr>";
    const std::vector<std::vector<Cell>> rows = table.rows();
    for (std::size_t c = 0; c < table.columns().size(); ++c)
      text += (is_of_numbers(rows, c) ? "<th class=\"number\">" : "<th>") + heading(table.columns()[c]) + "</th>";
    text += "</tr></thead>\n<tbody>\n";
    for (const std::vector<Cell>& row : rows) {
      text += "<tr>";
      for (const Cell& cell : row) text += "<td" + kind_of(cell) + ">" + plots::xml_text(cell.shown) + "</td>";
      text += "</tr>\n";
    }
    return text + "</tbody>\n</table></div>\n";
  }

  [[nodiscard]] static bool is_of_numbers(const std::vector<std::vector<Cell>>& rows, std::size_t column) {
    return std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row[column].is_number; });
  }

  [[nodiscard]] static std::string kind_of(const Cell& cell) {
    constexpr std::size_t longest_beside_others = 32;
    if (cell.is_number) return " class=\"number\"";
    return cell.shown.size() > longest_beside_others ? " class=\"long\"" : "";
  }

  /// As XML. No line ends between a number and its per cent.
  [[nodiscard]] static std::string prose(std::string_view words) {
    std::string text = plots::xml_text(words);
    for (std::size_t at = 0; (at = text.find(" %", at)) != std::string::npos; at += 2) text.replace(at, 1, "\u00a0");
    return text;
  }

  /// As XML. Names of columns may be broken behind underscores.
  [[nodiscard]] static std::string heading(std::string_view name) {
    std::string text = plots::xml_text(name);
    for (std::size_t at = 0; (at = text.find('_', at)) != std::string::npos; at += 7) text.insert(at + 1, "<wbr/>");
    return text;
  }

  std::string title_, introduction_;
  std::vector<Section> sections_;
};

namespace detail {

/// Of the paper and ink of the plots.
inline constexpr std::string_view page_style = R"(
:root{color-scheme:light dark;--paper:#ffffff;--ink:#1f2328;--soft:#57606a;--line:#d0d7de;--link:#0b62b8}
@media (prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--soft:#9aa4ae;--line:#30363d;--link:#58a6ff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:86rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;overflow-wrap:break-word}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.3rem;line-height:1.3;margin:0}
p{margin:0;max-width:60rem}
a{color:var(--link)}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:1rem 0 0;padding:0;list-style:none}
section{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr));gap:1.2rem 1.6rem;
align-items:start;margin-top:2.2rem;padding-top:1.4rem;border-top:1px solid var(--line)}
section>h2,section>p,.row{grid-column:1/-1}
figure{margin:0;min-width:0}
figure.chart svg{display:block}
figcaption{color:var(--soft);font-size:.88rem;line-height:1.45;margin-top:.3rem;max-width:60rem}
.scroll,.row.chart{overflow-x:auto}
.pictures{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}
.pictures figure{max-width:100%}
.pictures figcaption{text-align:center}
img{display:block;width:100%;height:auto}
img.sharp{image-rendering:pixelated}
details{min-width:0}
summary{cursor:pointer}
details p{margin:.4rem 0}
table{border-collapse:collapse;font-size:.82rem}
th,td{padding:.2rem .7rem .2rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{vertical-align:bottom}
th.number{text-align:right}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
dl{display:grid;grid-template-columns:minmax(6rem,max-content) minmax(0,56rem);gap:.5rem 1.2rem;margin:0;
font-size:.88rem;line-height:1.45}
dt{font-weight:600}
dd{margin:0;color:var(--soft)}
@media (max-width:40rem){dl{display:block}dd{margin:0 0 .7rem}
details[open].worded :is(table,thead,tbody),details[open].numbered :is(table,thead,tbody){display:block}
:is(.worded,.numbered) tr{display:flex;flex-wrap:wrap;column-gap:.4rem;border-bottom:1px solid var(--line)}
:is(.worded,.numbered) :is(th,td){flex:1 1 0;min-width:0;padding-right:0;border:0;text-align:right;white-space:normal;
overflow-wrap:anywhere}
.worded :is(th,td):first-child,.worded td.long,.numbered :is(th,td):not(.number){flex:0 0 100%;text-align:left}}
@media print{body{max-width:none;padding:0;font-size:10pt}nav,details:not([open]){display:none}
section{display:block;margin-top:1.4rem}section>*{margin-top:.6rem}figure,dt,dd,tr{break-inside:avoid}
section>h2,section>h2+p,summary,details p{break-after:avoid}section>p{break-inside:avoid}
figcaption{font-size:8pt}
figure.chart:not(.row){display:inline-block;width:48%;margin-right:1.5%;vertical-align:top}
.scroll,.row.chart{overflow:visible}table{font-size:7.5pt;max-width:100%}th,td{padding-right:.4rem;
overflow-wrap:anywhere}td.number{overflow-wrap:normal}}
)";

}  // namespace detail

inline std::string Page::html() const {
  std::string list, all;
  for (const Section& section : sections_) {
    if (section.body.empty()) continue;
    const std::string id = "section-" + std::to_string(&section - sections_.data() + 1);
    list += "<li><a href=\"#" + id + "\">" + plots::xml_text(section.title) + "</a></li>\n";
    all += "<section id=\"" + id + "\">\n<h2>" + plots::xml_text(section.title) + "</h2>\n";
    if (!section.sentence.empty()) all += "<p>" + prose(section.sentence) + "</p>\n";
    all += section.body + "</section>\n";
  }
  const std::string title = plots::xml_text(title_);
  return "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta "
         "charset=\"utf-8\"/>\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>" +
         title + "</title>\n<style>" + std::string(detail::page_style) + "</style>\n</head>\n<body>\n<header>\n<h1>" +
         title + "</h1>\n<p>" + plots::xml_text(introduction_) +
         "</p>\n</header>\n<nav aria-label=\"Sections\"><ul>\n" + list + "</ul></nav>\n<main>\n" + all +
         "</main>\n</body>\n</html>\n";
}

}  // namespace inspect_model
