// A piece of mapped memory, unmapped when its last owner lets go of it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ref.h"

namespace xenctrl {

class Memory : public Counted {
 public:
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;
  virtual ~Memory();

  /// mmap(2). Null when it fails; `error` then is -errno.
  static Ref<Memory> Map(size_t size, int prot, int flags, int fd, int *error);

  void *base() const { return base_; }
  size_t size() const { return size_; }
  uintptr_t address() const { return reinterpret_cast<uintptr_t>(base_); }

 protected:
  Memory(void *base, size_t size) : base_(base), size_(size) {}
  void Unmap();

 private:
  void *base_;
  const size_t size_;
};

/// Memory that operands of hypercalls live in: Xen, which cannot wait for a page fault, reads and writes it. Zeroed.
/// Null when it fails; `error` then is -errno.
Ref<Memory> AllocateArena(size_t pages, int *error);

}  // namespace xenctrl
