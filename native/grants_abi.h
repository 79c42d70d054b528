// Linux's devices for grants: request numbers and layouts, as in include/uapi/xen/gntdev.h and gntalloc.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xenctrl {

constexpr unsigned long kIoctlMapGrantRef = 0x00184700;
constexpr unsigned long kIoctlUnmapGrantRef = 0x00104701;
constexpr unsigned long kIoctlAllocGref = 0x00184705;
constexpr unsigned long kIoctlDeallocGref = 0x00104706;

/// struct ioctl_gntdev_grant_ref.
struct GrantRef {
  uint32_t domid;
  uint32_t ref;
};

/// struct ioctl_gntdev_map_grant_ref, up to the references that follow it. `index` answers: the offset to mmap.
struct MapGrantRef {
  uint32_t count;
  uint32_t pad;
  uint64_t index;
};
static_assert(offsetof(MapGrantRef, index) == 8 && sizeof(MapGrantRef) == 16 && sizeof(GrantRef) == 8);

/// struct ioctl_gntalloc_alloc_gref, up to the references that follow it. They and `index` answer.
struct AllocGref {
  uint16_t domid;
  uint16_t flags;
  uint32_t count;
  uint64_t index;
};
static_assert(offsetof(AllocGref, count) == 4 && offsetof(AllocGref, index) == 8 && sizeof(AllocGref) == 16);
constexpr uint16_t kGntallocWritable = 1;

/// struct ioctl_gntdev_unmap_grant_ref and struct ioctl_gntalloc_dealloc_gref.
struct GrantRange {
  uint64_t index;
  uint32_t count;
  uint32_t pad;
};
static_assert(offsetof(GrantRange, count) == 8 && sizeof(GrantRange) == 16);

}  // namespace xenctrl
