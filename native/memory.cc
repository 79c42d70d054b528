#include "memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "privcmd_abi.h"

namespace xenctrl {

Ref<Memory> Memory::Map(size_t size, int prot, int flags, int fd, int *error) {
  void *base = mmap(nullptr, size, prot, flags, fd, 0);
  if (base == MAP_FAILED) {
    *error = -errno;
    return {};
  }
  return Ref<Memory>(new Memory(base, size));
}

Memory::~Memory() { Unmap(); }

void Memory::Unmap() {
  if (base_) munmap(base_, size_);
  base_ = nullptr;
}

namespace {

/// Pages of the kernel, which never move. Linux 4.18 and newer have the device.
Ref<Memory> MapHypercallDevice(size_t size) {
  const int fd = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
  if (fd < 0) return {};
  int error = 0;
  auto memory = Memory::Map(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, &error);
  close(fd);
  return memory;
}

/// Pages of our own, locked. Without the right to lock so much they are at least all there when they are first used.
Ref<Memory> MapLocked(size_t size, int *error) {
  constexpr int kProt = PROT_READ | PROT_WRITE;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
  auto memory = Memory::Map(size, kProt, kFlags | MAP_LOCKED, -1, error);
  if (memory) return memory;
  memory = Memory::Map(size, kProt, kFlags, -1, error);
  if (memory) mlock(memory->base(), size);
  return memory;
}

}  // namespace

Ref<Memory> AllocateArena(size_t pages, int *error) {
  const size_t size = pages * kPageSize;
  auto memory = MapHypercallDevice(size);
  if (!memory) memory = MapLocked(size, error);
  if (!memory) return {};
  // A child would share the pages copy-on-write, and the copy could be ours while Xen writes to the child's.
  madvise(memory->base(), size, MADV_DONTFORK);
  memset(memory->base(), 0, size);
  return memory;
}

}  // namespace xenctrl
