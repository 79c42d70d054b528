// Grants of memory between domains, through Linux's gntdev and gntalloc; nothing of Node. Results are 0, or -errno.
#pragma once

#include <cstddef>
#include <cstdint>

#include "descriptor.h"
#include "memory.h"
#include "ref.h"

namespace xenctrl {

/// An open device of either kind. It stays open as long as one of its mappings is there.
class GrantDevice : public Counted {
 public:
  static Ref<GrantDevice> Open(const char *path, int *error);

  explicit GrantDevice(Descriptor file) : file_(std::move(file)) {}
  int fd() const { return file_.get(); }

 private:
  const Descriptor file_;
};

/// Both devices, each opened when it is first needed.
class Grants : public Counted {
 public:
  /// Pages of one mapping.
  static constexpr size_t kMaxPages = 1024;

  /// Maps pages that `domid` granted: all of them or none.
  int Map(uint16_t domid, const uint32_t *refs, size_t count, int prot, Ref<Memory> *mapping);

  /// Grants `domid` access to as many fresh pages of ours as there is room in `refs`, which is filled.
  int Share(uint16_t domid, bool writable, uint32_t *refs, size_t count, Ref<Memory> *mapping);

 private:
  Ref<GrantDevice> gntdev_;
  Ref<GrantDevice> gntalloc_;
};

}  // namespace xenctrl
