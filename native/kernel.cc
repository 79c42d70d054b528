#include "kernel.h"

#include <ctime>

namespace xenctrl {

void KernelSleep(uint32_t microseconds) noexcept {
  timespec wait{};
  wait.tv_sec = microseconds / 1000000;
  wait.tv_nsec = static_cast<long>(microseconds % 1000000) * 1000;
  nanosleep(&wait, nullptr);  // cut short by a signal: the caller looks at the clock, not at the sleep
}

uint64_t KernelNow() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace xenctrl
