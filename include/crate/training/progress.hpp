// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <iomanip>
#include <sstream>
#include <string>

#include "crate/core/matrix.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/ioctl.h>
#include <unistd.h>
#endif

namespace crate {

/// "1:02:03", or "2:03" below an hour.
[[nodiscard]] inline std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(std::max(seconds, 0.0));
  std::ostringstream text;
  text << std::setfill('0');
  if (whole >= 3600)
    text << whole / 3600 << ':' << std::setw(2) << whole / 60 % 60;
  else
    text << whole / 60;
  text << ':' << std::setw(2) << whole % 60;
  return text.str();
}

/// A progress line on standard error, with a rate and the remaining time; updated at most ten times a second and cut to
/// the terminal's width. Silent if standard error is not a terminal.
class ProgressLine {
 public:
  /// `total` is the amount of work, of which `done` is already done; `unit` is what is counted, such as "images".
  ProgressLine(double total, double done, std::string unit)
      : total_(total), done_before_(done), unit_(std::move(unit)), shown_(standard_error_is_terminal()) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  /// Shows `what` is done, the rate, the remaining time and the `result`; a narrow terminal cuts the end of the line.
  void show(double done, const std::string& what, const std::string& result) {
    if (!shown_) return;
    const Clock::time_point now = Clock::now();
    if (now - last_shown_ < std::chrono::milliseconds(100)) return;
    last_shown_ = now;
    const double rate = (done - done_before_) / std::chrono::duration<double>(now - start_).count();
    std::ostringstream line;
    line << what << "  " << std::setprecision(4) << rate << ' ' << unit_ << "/s";
    if (rate > 0) line << "  " << duration_text((total_ - done) / rate) << " to go";
    line << "  " << result;
    std::fprintf(stderr, "\r\033[K%s", line.str().substr(0, terminal_width() - 1).c_str());
    std::fflush(stderr);
  }

  void clear() const {
    if (shown_) std::fputs("\r\033[K", stderr);
  }

 private:
  using Clock = std::chrono::steady_clock;

  static bool standard_error_is_terminal() {
#if defined(__unix__) || defined(__APPLE__)
    return isatty(STDERR_FILENO) != 0;
#else
    return false;
#endif
  }

  /// In columns; unlimited if it is unknown.
  static std::size_t terminal_width() {
#if defined(__unix__) || defined(__APPLE__)
    winsize size{};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
#endif
    return std::string::npos;
  }

  double total_, done_before_;
  std::string unit_;
  bool shown_;
  Clock::time_point start_ = Clock::now(), last_shown_ = {};
};

}  // namespace crate
