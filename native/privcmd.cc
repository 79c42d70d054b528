#include "privcmd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace xenctrl {
namespace {

constexpr uint64_t kPagedOutPatience = 60'000'000;  // us
constexpr uint32_t kFirstSleep = 100;               // us
constexpr uint32_t kLongestSleep = 100'000;         // us

int OpenDevice(const char *path) {
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

bool IsProt(int prot) { return prot != 0 && (prot & ~(PROT_READ | PROT_WRITE)) == 0; }

int OpenDefaultDevice() {
  const int fd = OpenDevice("/dev/xen/privcmd");
  if (fd != -ENOENT) return fd;
  return OpenDevice("/proc/xen/privcmd");  // kernels without devtmpfs
}

}  // namespace

Ref<Privcmd> Privcmd::Open(const char *path, size_t arena_pages, int *error) {
  if (arena_pages == 0 || arena_pages > kMaxArenaPages) {
    *error = -EINVAL;
    return {};
  }
  const int fd = path ? OpenDevice(path) : OpenDefaultDevice();
  if (fd < 0) {
    *error = fd;
    return {};
  }
  auto arena = AllocateArena(arena_pages, error);
  if (!arena) {
    close(fd);
    return {};
  }
  return Ref<Privcmd>(new Privcmd(fd, std::move(arena)));
}

Privcmd::Privcmd(int fd, Ref<Memory> arena) : fd_(fd), arena_(std::move(arena)) {}

Privcmd::~Privcmd() { close(fd_); }

Slot *Privcmd::SlotsAt(uint64_t offset, uint64_t count) const {
  const uint64_t size = arena_->size();
  if (offset % alignof(Slot) != 0 || offset > size) return nullptr;
  if (count > (size - offset) / sizeof(Slot)) return nullptr;
  return reinterpret_cast<Slot *>(static_cast<char *>(arena_->base()) + offset);
}

int Privcmd::ReadSlot(uint64_t offset, Slot *slot) const {
  const Slot *from = SlotsAt(offset, 1);
  if (!from) return -EINVAL;
  *slot = *from;
  return 0;
}

int Privcmd::Batch(uint64_t offset, uint64_t count) const {
  Slot *slots = SlotsAt(offset, count);
  if (!slots) return -EINVAL;
  for (uint64_t i = 0; i < count; i++) slots[i].result = Issue(&slots[i]);
  return 0;
}

int Privcmd::MapForeign(uint16_t domid, const uint64_t *gfns, size_t count, int prot, int32_t *errors,
                        Ref<Memory> *mapping) const {
  if (count == 0 || !IsProt(prot)) return -EINVAL;
  if (count > kMaxMapPages) return -E2BIG;
  int error = 0;
  // The request wants a mapping of its own, of exactly so many pages, that nothing has been put in yet.
  auto memory = Memory::Map(count * kPageSize, prot, MAP_SHARED, fd_, &error);
  if (!memory) return error;
  std::fill_n(errors, count, 0);
  MmapBatchV2 batch{static_cast<uint32_t>(count), domid, memory->address(), gfns, errors};
  const long rc = KernelIoctl(fd_, kIoctlMmapBatchV2, &batch);
  if (rc == -ENOENT) {
    RetryPagedOut(domid, gfns, count, errors, memory->address());
  } else if (rc < 0) {
    return static_cast<int>(rc);
  }
  *mapping = std::move(memory);
  return 0;
}

/// The answer -ENOENT says that some pages are paged out, marked so in `errors`; asking made Xen fetch them.
void Privcmd::RetryPagedOut(uint16_t domid, const uint64_t *gfns, size_t count, int32_t *errors,
                            uintptr_t address) const {
  const uint64_t deadline = KernelNow() + kPagedOutPatience;
  const int32_t *const end = errors + count;
  uint32_t sleep = kFirstSleep;
  while (std::find(errors, errors + count, -ENOENT) != end && KernelNow() < deadline) {
    KernelSleep(sleep);
    sleep = std::min(sleep * 2, kLongestSleep);
    size_t first = 0;
    while (first < count) {
      if (errors[first] != -ENOENT) {
        first++;
        continue;
      }
      size_t after = first + 1;
      while (after < count && errors[after] == -ENOENT) after++;
      MmapBatchV2 run{static_cast<uint32_t>(after - first), domid, address + first * kPageSize, gfns + first,
                      errors + first};
      const long rc = KernelIoctl(fd_, kIoctlMmapBatchV2, &run);
      // refused as a whole: that is these pages' error, and asking again would not help
      if (rc < 0 && rc != -ENOENT) std::fill(errors + first, errors + after, static_cast<int32_t>(rc));
      first = after;
    }
  }
}

int Privcmd::MapResource(uint16_t domid, uint32_t type, uint32_t id, uint32_t frame, size_t count, int prot,
                         Ref<Memory> *mapping) const {
  if (count == 0 || !IsProt(prot)) return -EINVAL;
  if (count > kMaxMapPages) return -E2BIG;
  int error = 0;
  auto memory = Memory::Map(count * kPageSize, prot, MAP_SHARED, fd_, &error);
  if (!memory) return error;
  MmapResource request{domid, type, id, frame, count, memory->address()};
  const long rc = KernelIoctl(fd_, kIoctlMmapResource, &request);
  if (rc < 0) return static_cast<int>(rc);
  *mapping = std::move(memory);
  return 0;
}

int64_t Privcmd::ResourceSize(uint16_t domid, uint32_t type, uint32_t id) const {
  MmapResource request{domid, type, id, 0, 0, 0};
  const long rc = KernelIoctl(fd_, kIoctlMmapResource, &request);
  return rc < 0 ? rc : static_cast<int64_t>(request.count);
}

int Privcmd::DeviceModelOp(uint16_t domid, const DmOpBuffer *buffers, size_t count) const {
  if (count > kMaxDmBuffers) return -E2BIG;
  for (size_t i = 0; i < count; i++) {
    if (buffers[i].size > kMaxDmBufferSize) return -E2BIG;
  }
  DmOp request{domid, static_cast<uint16_t>(count), buffers};
  return static_cast<int>(KernelIoctl(fd_, kIoctlDmOp, &request));
}

int Privcmd::Restrict(uint16_t domid) const { return static_cast<int>(KernelIoctl(fd_, kIoctlRestrict, &domid)); }

}  // namespace xenctrl
