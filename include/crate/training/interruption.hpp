// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>

namespace crate {

/// While it lives, Ctrl-C (SIGINT) and SIGTERM do not end the program but are noticed, so that work can end in order. A second
/// one ends it as usual. One at a time.
class Interruption {
 public:
  Interruption() {
    received = 0;
    before_interrupt_ = std::signal(SIGINT, &notice);
    before_terminate_ = std::signal(SIGTERM, &notice);
  }
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  ~Interruption() {
    std::signal(SIGINT, before_interrupt_);
    std::signal(SIGTERM, before_terminate_);
  }

  [[nodiscard]] static bool noticed() { return received != 0; }

 private:
  using Handler = void (*)(int);

  static void notice(int signal) {
    received = 1;
    std::signal(signal, SIG_DFL);
  }

  inline static volatile std::sig_atomic_t received = 0;
  Handler before_interrupt_, before_terminate_;
};

}  // namespace crate
