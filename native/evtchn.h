// An open event channel device, and nothing of Node. Results are >= 0, or -errno.
#pragma once

#include <cstdint>

#include "descriptor.h"
#include "ref.h"

namespace xenctrl {

class Evtchn : public Counted {
 public:
  /// What Wait() gives besides errors.
  enum : int { kTimeOver = 0, kPending = 1, kWoken = 2 };
  /// What Next() gives for kWoken: no port is that high.
  enum : int64_t { kWokenPort = int64_t{1} << 32 };

  /// Opens `path`, or /dev/xen/evtchn when it is null. Null when it fails; `error` then is -errno.
  static Ref<Evtchn> Open(const char *path, int *error);

  /// One more owner of a device that is open in this process. `wake_fd` below 0: a new one. Null when it fails, with
  /// -ENOTTY when `fd` is no event channel device.
  static Ref<Evtchn> OpenAgain(int fd, int wake_fd, int *error);

  Evtchn(Descriptor events, Descriptor wake) : events_(std::move(events)), wake_(std::move(wake)) {}

  int fd() const { return events_.get(); }
  int wake_fd() const { return wake_.get(); }

  /// A local port.
  int BindVirq(uint32_t virq) const;
  int BindInterdomain(uint32_t domid, uint32_t port) const;
  int BindUnbound(uint32_t domid) const;

  int Unbind(uint32_t port) const;
  int Notify(uint32_t port) const;
  int Restrict(uint16_t domid) const;

  /// The next pending port, masked by now; -EAGAIN: there is none.
  int64_t Pending() const;
  int Unmask(uint32_t port) const;

  /// Up to `room` pending ports, unmasked again; how many, or -EAGAIN: there are none.
  int Take(uint32_t *ports, unsigned room) const;

  /// Blocks until a port is pending, Wake() is called, or the time is over.
  int Wait(int milliseconds) const;
  /// Notify() unless the port is 0, Wait(), and Take() of one: it, or 0 when the time is over, or kWokenPort.
  int64_t Next(int milliseconds, uint32_t notify) const;
  /// From any thread.
  void Wake() const;

 private:
  int Request(unsigned long request, void *argument) const;

  const Descriptor events_;
  const Descriptor wake_;
};

}  // namespace xenctrl
