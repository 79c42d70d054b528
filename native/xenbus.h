// An open xenbus device, and nothing of Node. Results are >= 0, or -errno.
#pragma once

#include <cstddef>
#include <cstdint>

#include "descriptor.h"
#include "ref.h"

namespace xenctrl {

class Xenbus : public Counted {
 public:
  /// Null when it fails; `error` then is -errno.
  static Ref<Xenbus> Open(const char *path, int *error);

  explicit Xenbus(Descriptor device) : device_(std::move(device)) {}

  int fd() const { return device_.get(); }

  /// What has come, at most `size` bytes; -EAGAIN: nothing.
  int64_t Read(uint8_t *bytes, size_t size) const;
  /// One whole message. The driver may block until xenstored has room for it.
  int64_t Write(const uint8_t *bytes, size_t size) const;

 private:
  const Descriptor device_;
};

}  // namespace xenctrl
