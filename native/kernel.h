// What the addon asks of the kernel besides memory and files, apart, so that the tests and the fuzzer can link a
// kernel of their own.
#pragma once

#include <cstdint>

namespace xenctrl {

/// ioctl(2) with all 64 bits of the result: >= 0, or -errno.
long KernelIoctl(int fd, unsigned long request, void *argument) noexcept;

void KernelSleep(uint32_t microseconds) noexcept;

/// Microseconds of a clock that only moves forward.
uint64_t KernelNow() noexcept;

}  // namespace xenctrl
