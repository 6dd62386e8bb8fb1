// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <csignal>
#include <string_view>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace crate {

/// While an object of this class lives, Ctrl-C (SIGINT), SIGTERM and SIGHUP (a closed terminal) do not end the program;
/// noticed() reports them, so that work can be finished properly. A second SIGINT or SIGTERM ends the program at once;
/// further SIGHUPs, of which shells send several, do not. SIGPIPE is ignored. Signals that were ignored before, as
/// under nohup, stay ignored. Only one object may exist at a time.
class Interruption {
 public:
  Interruption() {
    received = 0;
    for (Caught& caught : caught_) caught.before = handle(caught.signal, caught.handler);
  }
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  ~Interruption() {
    for (const Caught& caught : caught_) std::signal(caught.signal, caught.before);
  }

  [[nodiscard]] static bool noticed() { return received != 0; }

 private:
  using Handler = void (*)(int);

  struct Caught {
    int signal;
    Handler handler, before = nullptr;
  };

  /// Installs a handler, unless the signal is ignored; returns the previous handler.
  static Handler handle(int signal, Handler handler) {
    const Handler before = std::signal(signal, handler);
    if (before == SIG_IGN) std::signal(signal, SIG_IGN);
    return before;
  }

  static void notice(int signal) {
    received = 1;
    say_so(signal);
    handle(SIGINT, SIG_DFL);
    handle(SIGTERM, SIG_DFL);
#ifdef SIGHUP
    handle(SIGHUP, SIG_IGN);
#endif
  }

  /// Informs the user that the current step is finished first, which may take a while.
  static void say_so([[maybe_unused]] int signal) {
#if defined(__unix__) || defined(__APPLE__)
    constexpr std::string_view sentence = "\nstopping after this step; press Ctrl-C again to stop immediately\n";
    [[maybe_unused]] ssize_t written = 0;  // nothing can be done if nobody reads
    if (signal == SIGINT) written = ::write(STDERR_FILENO, sentence.data(), sentence.size());
#endif
  }

  inline static volatile std::sig_atomic_t received = 0;
#ifdef SIGHUP
  std::array<Caught, 4> caught_{{{SIGINT, &notice}, {SIGTERM, &notice}, {SIGHUP, &notice}, {SIGPIPE, SIG_IGN}}};
#else
  std::array<Caught, 2> caught_{{{SIGINT, &notice}, {SIGTERM, &notice}}};
#endif
};

}  // namespace crate
