// Linux's event channel device: request numbers and layouts, as in include/uapi/xen/evtchn.h.
#pragma once

#include <cstdint>

namespace xenctrl {

constexpr unsigned long kIoctlBindVirq = 0x00044500;
constexpr unsigned long kIoctlBindInterdomain = 0x00084501;
constexpr unsigned long kIoctlBindUnboundPort = 0x00044502;
constexpr unsigned long kIoctlUnbind = 0x00044503;
constexpr unsigned long kIoctlNotify = 0x00044504;
constexpr unsigned long kIoctlRestrictDomid = 0x00024506;

/// struct ioctl_evtchn_bind_interdomain. The other requests' structures are one number each.
struct RemotePort {
  uint32_t domid;
  uint32_t port;
};
static_assert(sizeof(RemotePort) == 8);

}  // namespace xenctrl
