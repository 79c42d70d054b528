// What the addon asks of the kernel besides memory and files, apart, so that the tests and the fuzzer can be built with
// a kernel of their own (XENCTRL_FAKE_KERNEL).
#pragma once

#include <cstdint>

#ifndef XENCTRL_FAKE_KERNEL
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace xenctrl {

/// ioctl(2) with all 64 bits of the result: >= 0, or -errno.
#ifdef XENCTRL_FAKE_KERNEL
long KernelIoctl(int fd, unsigned long request, void *argument) noexcept;
#else
// Inline, as all that lies between Node and the system call: processors forget where functions return to while the
// kernel runs (it sees to that), so every level of calls costs a mispredicted return.
inline long KernelIoctl(int fd, unsigned long request, void *argument) noexcept {
  // Not ioctl(): glibc's returns an int, and a hypercall's result may need 64 bits.
  const long result = syscall(SYS_ioctl, fd, request, argument);
  return result == -1 ? -static_cast<long>(errno) : result;
}
#endif

void KernelSleep(uint32_t microseconds) noexcept;

/// Microseconds of a clock that only moves forward.
uint64_t KernelNow() noexcept;

}  // namespace xenctrl
