#include "evtchn.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "evtchn_abi.h"
#include "kernel.h"

namespace xenctrl {
namespace {

Descriptor NewWake(int *error) { return Descriptor::Checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), error); }

Ref<Evtchn> Make(Descriptor events, Descriptor wake) {
  return Ref<Evtchn>(new Evtchn(std::move(events), std::move(wake)));
}

/// No device has this port, so asking changes nothing; and only this device has the request.
bool IsEvtchn(int fd) {
  uint32_t port = UINT32_MAX;
  return KernelIoctl(fd, kIoctlUnbind, &port) == -EINVAL;
}

}  // namespace

Ref<Evtchn> Evtchn::Open(const char *path, int *error) {
  // Not blocking: Wait() does that, and can be woken.
  Descriptor events = Descriptor::Open(path ? path : "/dev/xen/evtchn", O_NONBLOCK, error);
  if (!events) return {};
  Descriptor wake = NewWake(error);
  if (!wake) return {};
  return Make(std::move(events), std::move(wake));
}

Ref<Evtchn> Evtchn::OpenAgain(int fd, int wake_fd, int *error) {
  Descriptor events = Descriptor::Duplicate(fd, error);
  if (!events) return {};
  if (!IsEvtchn(events.get())) {
    *error = -ENOTTY;
    return {};
  }
  const int flags = fcntl(events.get(), F_GETFL);
  if (flags < 0 || fcntl(events.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
    *error = -errno;
    return {};
  }
  Descriptor wake = wake_fd < 0 ? NewWake(error) : Descriptor::Duplicate(wake_fd, error);
  if (!wake) return {};
  return Make(std::move(events), std::move(wake));
}

int Evtchn::Request(unsigned long request, void *argument) const {
  return static_cast<int>(KernelIoctl(events_.get(), request, argument));
}

int Evtchn::BindVirq(uint32_t virq) const { return Request(kIoctlBindVirq, &virq); }

int Evtchn::BindInterdomain(uint32_t domid, uint32_t port) const {
  RemotePort remote{domid, port};
  return Request(kIoctlBindInterdomain, &remote);
}

int Evtchn::BindUnbound(uint32_t domid) const { return Request(kIoctlBindUnboundPort, &domid); }

int Evtchn::Unbind(uint32_t port) const { return Request(kIoctlUnbind, &port); }

int Evtchn::Notify(uint32_t port) const { return Request(kIoctlNotify, &port); }

int Evtchn::Restrict(uint16_t domid) const { return Request(kIoctlRestrictDomid, &domid); }

int64_t Evtchn::Pending() const {
  uint32_t port = 0;
  const ssize_t size = read(events_.get(), &port, sizeof(port));
  if (size < 0) return -errno;
  return size == sizeof(port) ? int64_t{port} : -EIO;
}

int Evtchn::Unmask(uint32_t port) const {
  const ssize_t size = write(events_.get(), &port, sizeof(port));
  if (size < 0) return -errno;
  return size == sizeof(port) ? 0 : -EIO;
}

int Evtchn::Wait(int milliseconds) const {
  pollfd files[] = {{events_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  if (poll(files, 2, milliseconds) < 0) return -errno;
  if (files[0].revents != 0) return kPending;  // an error, too: Pending() tells it
  if (files[1].revents == 0) return kTimeOver;
  uint64_t count = 0;
  (void)!read(wake_.get(), &count, sizeof(count));  // nothing there: another thread was woken by it
  return kWoken;
}

int Evtchn::Take(uint32_t *ports, unsigned room) const {
  const ssize_t size = read(events_.get(), ports, room * sizeof(*ports));
  if (size < 0) return -errno;
  if (size == 0 || static_cast<size_t>(size) % sizeof(*ports) != 0) return -EIO;
  if (write(events_.get(), ports, static_cast<size_t>(size)) < 0) return -errno;
  return static_cast<int>(static_cast<size_t>(size) / sizeof(*ports));
}

int64_t Evtchn::Next(int milliseconds, uint32_t notify) const {
  if (notify != 0) Notify(notify);  // one that is not bound here has nobody to be told
  const int rc = Wait(milliseconds);
  if (rc == kWoken) return kWokenPort;
  if (rc != kPending) return rc;
  uint32_t port = 0;
  const int taken = Take(&port, 1);
  if (taken == 1) return port;
  return taken == -EAGAIN ? 0 : taken;  // another thread was faster
}

void Evtchn::Wake() const {
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));  // full: then it is awake anyway
}

}  // namespace xenctrl
