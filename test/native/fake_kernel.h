// A kernel for the addon's napi-free code, in the place of native/kernel.cc. Build all of it with XENCTRL_FAKE_KERNEL.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <functional>

#include "../../native/privcmd.h"

struct FakeKernel {
  /// Answers a request: >= 0, or -errno.
  std::function<long(unsigned long request, void *argument)> ioctl;
  /// Microseconds; sleeping is all that makes time pass.
  uint64_t now = 0;
};

inline FakeKernel fake_kernel;

namespace xenctrl {

long KernelIoctl(int /*fd*/, unsigned long request, void *argument) noexcept {
  return fake_kernel.ioctl(request, argument);
}
void KernelSleep(uint32_t microseconds) noexcept { fake_kernel.now += microseconds; }
uint64_t KernelNow() noexcept { return fake_kernel.now; }

}  // namespace xenctrl

/// A device whose mappings are ordinary memory.
inline xenctrl::Ref<xenctrl::Privcmd> FakeDevice(size_t arena_pages) {
  const int fd = memfd_create("fake-privcmd", MFD_CLOEXEC);
  int error = 0;
  auto arena = xenctrl::AllocateArena(arena_pages, &error);
  if (fd < 0 || !arena || ftruncate(fd, 1 << 20) != 0) abort();
  return xenctrl::Ref<xenctrl::Privcmd>(new xenctrl::Privcmd(fd, std::move(arena)));
}
