// A file descriptor that is closed when its owner goes.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace xenctrl {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor &operator=(Descriptor &&other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }

  /// Opens a file for reading and writing. None when that fails; `error` then is -errno.
  static Descriptor Open(const char *path, int flags, int *error) {
    return Checked(open(path, O_RDWR | O_CLOEXEC | flags), error);
  }

  /// The same open file under a number of our own.
  static Descriptor Duplicate(int fd, int *error) { return Checked(fcntl(fd, F_DUPFD_CLOEXEC, 0), error); }

  /// Takes what a system call gave.
  static Descriptor Checked(int fd, int *error) {
    if (fd < 0) *error = -errno;
    return Descriptor(fd);
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace xenctrl
