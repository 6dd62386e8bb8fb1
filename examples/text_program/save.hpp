// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "crate/io/save_model.hpp"
#include "text_program/tokeniser_options.hpp"

namespace text_program {

/// Saves weights and, next to them, their tokeniser. Between the two writes, new weights are next to the old tokeniser.
struct SaveWithTokeniser {
  const ChosenTokeniser& chosen;

  template <class Model>
  void operator()(const std::string& path, const Model& model) const {
    crate::save_model(path, model);
    write_beside(path, chosen);
  }
};

}  // namespace text_program
