#include "xenbus.h"

namespace xenctrl {

Ref<Xenbus> Xenbus::Open(const char *path, int *error) {
  Descriptor device = Descriptor::Open(path, O_NONBLOCK, error);
  if (!device) return {};
  return Ref<Xenbus>(new Xenbus(std::move(device)));
}

int64_t Xenbus::Read(uint8_t *bytes, size_t size) const {
  const ssize_t taken = read(device_.get(), bytes, size);
  return taken < 0 ? -errno : taken;
}

int64_t Xenbus::Write(const uint8_t *bytes, size_t size) const {
  const ssize_t given = write(device_.get(), bytes, size);
  return given < 0 ? -errno : given;
}

}  // namespace xenctrl
