// Linux's privcmd device: request numbers and layouts, as in include/uapi/xen/privcmd.h (x86-64 and arm64 agree).
#pragma once

#include <cstddef>
#include <cstdint>

namespace xenctrl {

constexpr size_t kPageSize = 4096;  // Xen's, whatever the kernel's

constexpr unsigned long kIoctlHypercall = 0x00305000;
constexpr unsigned long kIoctlMmapBatchV2 = 0x00205004;
constexpr unsigned long kIoctlDmOp = 0x00105005;
constexpr unsigned long kIoctlRestrict = 0x00025006;
constexpr unsigned long kIoctlMmapResource = 0x00205007;

/// struct privcmd_hypercall, and behind it the result, which is ours: the kernel does not touch it.
struct Slot {
  uint64_t op;
  uint64_t arg[5];
  int64_t result;
};
static_assert(offsetof(Slot, arg) == 8 && offsetof(Slot, result) == 48 && sizeof(Slot) == 56);

/// struct privcmd_mmapbatch_v2. `address` is the start of a fresh mapping of the device, or lies within one.
struct MmapBatchV2 {
  uint32_t count;
  uint16_t domid;
  uint64_t address;
  const uint64_t *gfns;
  int32_t *errors;
};
static_assert(offsetof(MmapBatchV2, domid) == 4 && offsetof(MmapBatchV2, address) == 8);
static_assert(offsetof(MmapBatchV2, gfns) == 16 && offsetof(MmapBatchV2, errors) == 24);
static_assert(sizeof(MmapBatchV2) == 32);

/// struct privcmd_dm_op_buf.
struct DmOpBuffer {
  void *bytes;
  size_t size;
};
static_assert(sizeof(DmOpBuffer) == 16);

/// struct privcmd_dm_op.
struct DmOp {
  uint16_t domid;
  uint16_t count;
  const DmOpBuffer *buffers;
};
static_assert(offsetof(DmOp, count) == 2 && offsetof(DmOp, buffers) == 8 && sizeof(DmOp) == 16);

/// struct privcmd_mmap_resource. With `address` and `count` 0 it asks how many frames there are, and `count` answers.
struct MmapResource {
  uint16_t domid;
  uint32_t type;
  uint32_t id;
  uint32_t frame;
  uint64_t count;
  uint64_t address;
};
static_assert(offsetof(MmapResource, type) == 4 && offsetof(MmapResource, frame) == 12);
static_assert(offsetof(MmapResource, count) == 16 && sizeof(MmapResource) == 32);

}  // namespace xenctrl
