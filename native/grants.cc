#include "grants.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "grants_abi.h"
#include "kernel.h"
#include "privcmd_abi.h"

namespace xenctrl {
namespace {

/// Pages that a device gave, and that are to be given back to it once they are unmapped.
class GrantMemory final : public Memory {
 public:
  static int Map(Ref<GrantDevice> device, unsigned long release, uint64_t index, size_t count, int prot,
                 Ref<Memory> *mapping) {
    const size_t size = count * kPageSize;
    const int fd = device->fd();
    void *base = mmap(nullptr, size, prot, MAP_SHARED, fd, static_cast<off_t>(index));
    if (base == MAP_FAILED) {
      const int error = -errno;
      Release(fd, release, index, count);
      return error;
    }
    *mapping = Ref<Memory>(new GrantMemory(base, size, std::move(device), release, index));
    return 0;
  }

  GrantMemory(void *base, size_t size, Ref<GrantDevice> device, unsigned long release, uint64_t index)
      : Memory(base, size), device_(std::move(device)), release_(release), index_(index) {}
  GrantMemory(const GrantMemory &) = delete;
  GrantMemory &operator=(const GrantMemory &) = delete;

  ~GrantMemory() override {
    Unmap();
    Release(device_->fd(), release_, index_, size() / kPageSize);
  }

 private:
  static void Release(int fd, unsigned long request, uint64_t index, size_t count) {
    GrantRange range{index, static_cast<uint32_t>(count), 0};
    KernelIoctl(fd, request, &range);
  }

  const Ref<GrantDevice> device_;
  const unsigned long release_;
  const uint64_t index_;
};

/// A request: its head, and behind it room for `count` entries. In 64-bit words, so that all is aligned.
template <typename Head, typename Entry>
class Request {
 public:
  Request(const Head &head, size_t count) : words_((sizeof(Head) + count * sizeof(Entry) + 7) / 8) {
    memcpy(words_.data(), &head, sizeof(head));
  }
  Head *head() { return reinterpret_cast<Head *>(words_.data()); }
  Entry *entries() { return reinterpret_cast<Entry *>(words_.data() + sizeof(Head) / 8); }

 private:
  static_assert(sizeof(Head) % 8 == 0);
  std::vector<uint64_t> words_;
};

int Ensure(Ref<GrantDevice> *device, const char *path) {
  int error = 0;
  if (!*device) *device = GrantDevice::Open(path, &error);
  return error;
}

}  // namespace

Ref<GrantDevice> GrantDevice::Open(const char *path, int *error) {
  Descriptor file = Descriptor::Open(path, 0, error);
  return file ? Ref<GrantDevice>(new GrantDevice(std::move(file))) : Ref<GrantDevice>();
}

int Grants::Map(uint16_t domid, const uint32_t *refs, size_t count, int prot, Ref<Memory> *mapping) {
  if (count == 0 || prot == 0 || (prot & ~(PROT_READ | PROT_WRITE)) != 0) return -EINVAL;
  if (count > kMaxPages) return -E2BIG;
  const int error = Ensure(&gntdev_, "/dev/xen/gntdev");
  if (error < 0) return error;
  Request<MapGrantRef, GrantRef> request({static_cast<uint32_t>(count), 0, 0}, count);
  for (size_t i = 0; i < count; i++) request.entries()[i] = {domid, refs[i]};
  const long rc = KernelIoctl(gntdev_->fd(), kIoctlMapGrantRef, request.head());
  if (rc < 0) return static_cast<int>(rc);
  return GrantMemory::Map(gntdev_, kIoctlUnmapGrantRef, request.head()->index, count, prot, mapping);
}

int Grants::Share(uint16_t domid, bool writable, uint32_t *refs, size_t count, Ref<Memory> *mapping) {
  if (count == 0) return -EINVAL;
  if (count > kMaxPages) return -E2BIG;
  const int error = Ensure(&gntalloc_, "/dev/xen/gntalloc");
  if (error < 0) return error;
  const uint16_t flags = writable ? kGntallocWritable : 0;
  Request<AllocGref, uint32_t> request({domid, flags, static_cast<uint32_t>(count), 0}, count);
  const long rc = KernelIoctl(gntalloc_->fd(), kIoctlAllocGref, request.head());
  if (rc < 0) return static_cast<int>(rc);
  std::copy_n(request.entries(), count, refs);
  return GrantMemory::Map(gntalloc_, kIoctlDeallocGref, request.head()->index, count, PROT_READ | PROT_WRITE, mapping);
}

}  // namespace xenctrl
