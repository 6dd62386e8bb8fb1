// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <iostream>
#include <string>

namespace compress_tokens {

/// One line on a terminal's standard error that says what is being done, and goes away. Silent elsewhere.
class Progress {
 public:
  Progress() : shown_(isatty(STDERR_FILENO) != 0) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  void show(const std::string& what) const {
    if (shown_) std::cerr << "\r\033[K" << what << " ..." << std::flush;
  }
  void clear() const {
    if (shown_) std::cerr << "\r\033[K" << std::flush;
  }

 private:
  bool shown_;
};

}  // namespace compress_tokens
