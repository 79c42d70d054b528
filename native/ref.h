// Shared ownership, counted without atomics: all owners of a thing live on one thread. (std::shared_ptr would cost the
// prebuilt addon its place on systems older than glibc 2.32.)
#pragma once

#include <cstdint>
#include <utility>

namespace xenctrl {

class Counted {
 public:
  Counted(const Counted &) = delete;
  Counted &operator=(const Counted &) = delete;

 protected:
  Counted() = default;
  ~Counted() = default;

 private:
  template <typename T>
  friend class Ref;
  uint32_t owners_ = 0;
};

/// One owner of a T, which is a Counted; the last to go deletes it.
template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T *thing) : thing_(thing) {
    if (thing_) thing_->owners_++;
  }
  Ref(const Ref &other) : Ref(other.thing_) {}
  Ref(Ref &&other) noexcept : thing_(std::exchange(other.thing_, nullptr)) {}
  Ref &operator=(Ref other) noexcept {
    std::swap(thing_, other.thing_);
    return *this;
  }
  ~Ref() {
    if (thing_ && --thing_->owners_ == 0) delete thing_;
  }

  T *get() const { return thing_; }
  T *operator->() const { return thing_; }
  explicit operator bool() const { return thing_ != nullptr; }

 private:
  T *thing_ = nullptr;
};

}  // namespace xenctrl
