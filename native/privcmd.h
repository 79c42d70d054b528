// An open privcmd device with its arena: everything that touches the hypervisor, and nothing of Node.
//
// Every function that takes a number from outside checks it. Results are >= 0, or -errno.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel.h"
#include "memory.h"
#include "privcmd_abi.h"
#include "ref.h"

namespace xenctrl {

class Privcmd : public Counted {
 public:
  static constexpr size_t kMaxArenaPages = 1024;
  /// Pages of one foreign mapping: 1 GiB.
  static constexpr size_t kMaxMapPages = size_t{1} << 18;
  /// What the kernel takes of a device model operation, unless its administrator chose otherwise.
  static constexpr size_t kMaxDmBuffers = 16;
  static constexpr size_t kMaxDmBufferSize = 4096;

  /// Opens `path`, or the device where Linux has it when `path` is null. Null when it fails; `error` then is -errno.
  static Ref<Privcmd> Open(const char *path, size_t arena_pages, int *error);

  Privcmd(int fd, Ref<Memory> arena);
  ~Privcmd();

  const Ref<Memory> &arena() const { return arena_; }

  /// Issues the call in the arena's first slot and puts the result behind it.
  void Hypercall() const {
    auto *slot = static_cast<Slot *>(arena_->base());
    slot->result = Issue(slot);
  }

  /// Issues one call.
  int64_t Issue(Slot *slot) const { return KernelIoctl(fd_, kIoctlHypercall, slot); }

  /// Copies a slot out of the arena. 0, or -EINVAL when `offset` is none of a slot.
  int ReadSlot(uint64_t offset, Slot *slot) const;

  /// Issues `count` calls, one slot after the other, each result behind its call. 0, or -EINVAL when the slots do not
  /// lie in the arena; then none was issued.
  int Batch(uint64_t offset, uint64_t count) const;

  /// Maps frames of another domain. `errors` gets one entry a page: 0, or -errno. Pages that are paged out are asked
  /// for again, for up to a minute. 0, or -errno when nothing was mapped.
  int MapForeign(uint16_t domid, const uint64_t *gfns, size_t count, int prot, int32_t *errors,
                 Ref<Memory> *mapping) const;

  /// Maps `count` frames of a resource, from `frame` on. 0, or -errno.
  int MapResource(uint16_t domid, uint32_t type, uint32_t id, uint32_t frame, size_t count, int prot,
                  Ref<Memory> *mapping) const;

  /// How many frames a resource has, or -errno.
  int64_t ResourceSize(uint16_t domid, uint32_t type, uint32_t id) const;

  /// A device model operation. 0, or -errno: -E2BIG for more buffers, or longer ones, than the kernel takes.
  int DeviceModelOp(uint16_t domid, const DmOpBuffer *buffers, size_t count) const;

  /// From now on this handle serves only `domid`.
  int Restrict(uint16_t domid) const;

 private:
  /// The slot at `offset` when it and all after it, `count` in all, lie in the arena; else null.
  Slot *SlotsAt(uint64_t offset, uint64_t count) const;
  void RetryPagedOut(uint16_t domid, const uint64_t *gfns, size_t count, int32_t *errors, uintptr_t address) const;

  const int fd_;
  const Ref<Memory> arena_;
};

}  // namespace xenctrl
