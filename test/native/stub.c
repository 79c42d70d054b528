/*
 * A stand-in for Linux's Xen devices, to be put in front of any program with LD_PRELOAD: /dev/xen/privcmd, hypercall,
 * evtchn, gntdev and gntalloc exist, and a small Xen answers behind them. It serves libxenctrl, libxencall and their
 * like and the addon alike. This file has privcmd and what stands in front of libc, stub_*.c the other devices.
 *
 * Hypercalls: xen_version 0 answers STUB_XEN_VERSION; hvm_op altp2m answers 0 or -STUB_ALTP2M_ERRNO; the numbers from
 * 1000 on, which no Xen has, are for the tests: see test_hypercall(). All others: ENOSYS.
 *
 * The environment says how it behaves:
 *   STUB_XEN_VERSION     what xen_version 0 answers; default 0x40011 (4.17)
 *   STUB_ALTP2M_ERRNO    errno of every altp2m operation; default 0
 *   STUB_OPEN_ERRNO      errno of opening privcmd
 *   STUB_DEVICE_ERRNO    errno of opening the others but /dev/xen/hypercall
 *   STUB_NO_HYPERCALL=1  there is no /dev/xen/hypercall
 *   STUB_KERNEL_ENTRY=1  a hypercall enters the kernel once, as a real one does (for benchmarks)
 *   STUB_NO_BATCH_V2=1   MMAPBATCH_V2 is not known
 *   STUB_PAGES           what mapping a frame gives: "gfn:errno[*times]", comma-separated; after so many times it maps
 *   STUB_LOG             a file to which each hypercall is added as a line: op and arguments, and an altp2m operation's
 *                        80 bytes; and each DM_OP: "dm", domain, the buffers in hex
 *
 * Domain 1 and 2 exist, and have two vCPUs and a grant table (resource 1) of four frames, their frames 512 and on; each
 * has STUB_GUEST_PAGES frames, frame n of domain d starting with the 64-bit word d << 32 | n.
 */
#define _GNU_SOURCE
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static long as_libc(long result) {
  if (result < 0 && result >= -4095) {
    errno = (int)-result;
    return -1;
  }
  return result;
}

/* --- what the environment asks for --- */

struct config config;

static long number_from(const char *name, long otherwise) {
  const char *value = getenv(name);
  return value && *value ? strtol(value, NULL, 0) : otherwise;
}

/* --- descriptors that are ours, and domains' memory --- */

#define MAX_FD 4096
static struct file *_Atomic files[MAX_FD];
int guest_memory[DOMAINS];

static struct file *file_of(long fd) { return fd >= 0 && fd < MAX_FD ? files[fd] : NULL; }

long memfd(const char *name, unsigned long size) {
  long fd = raw(SYS_memfd_create, (long)name, MFD_CLOEXEC, 0, 0, 0, 0);
  if (fd >= 0) raw(SYS_ftruncate, fd, (long)size, 0, 0, 0, 0);
  return fd;
}

__attribute__((constructor)) static void start(void) {
  config.xen_version = number_from("STUB_XEN_VERSION", 0x40011);
  config.altp2m_errno = number_from("STUB_ALTP2M_ERRNO", 0);
  config.open_errno = number_from("STUB_OPEN_ERRNO", 0);
  config.device_errno = number_from("STUB_DEVICE_ERRNO", 0);
  config.no_hypercall = (int)number_from("STUB_NO_HYPERCALL", 0);
  config.kernel_entry = (int)number_from("STUB_KERNEL_ENTRY", 0);
  config.no_batch_v2 = (int)number_from("STUB_NO_BATCH_V2", 0);
  config.log = -1;
  const char *log = getenv("STUB_LOG");
  if (log && *log) config.log = (int)raw(SYS_open, (long)log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600, 0, 0, 0);
  read_page_rules();
  guest_memory[0] = (int)memfd("stub-granted", STUB_GUEST_PAGES * PAGE);
  for (int domid = 1; domid < DOMAINS; domid++) {
    guest_memory[domid] = (int)memfd("stub-guest", STUB_GUEST_PAGES * PAGE);
    for (uint64_t gfn = 0; gfn < STUB_GUEST_PAGES; gfn++) {
      uint64_t word = (uint64_t)domid << 32 | gfn;
      raw(SYS_pwrite64, guest_memory[domid], (long)&word, sizeof(word), (long)(gfn * PAGE), 0, 0);
    }
  }
}

static const struct device *const devices[] = {&privcmd_device, &hypercall_device, &evtchn_device, &gntdev_device,
                                               &gntalloc_device};

static const struct device *device_at(const char *path) {
  for (size_t i = 0; path && i < sizeof(devices) / sizeof(devices[0]); i++)
    if (!strcmp(path, devices[i]->path)) return devices[i];
  return NULL;
}

static long open_error(const struct device *device) {
  if (device == &privcmd_device) return -config.open_errno;
  if (device == &hypercall_device) return config.no_hypercall ? -ENOENT : 0;
  return -config.device_errno;
}

static long open_device(const struct device *device, int flags) {
  long fd = open_error(device);
  if (fd < 0) return fd;
  struct file *file = malloc(sizeof(*file));
  *file = (struct file){.device = device, .owners = 1, .domid = -1, .kept = -1};
  fd = device->open(file, flags);
  if (fd >= MAX_FD) abort();
  if (fd < 0)
    free(file);
  else
    files[fd] = file;
  return fd;
}

static long duplicated(long from, long to) {
  struct file *file = file_of(from);
  if (to >= MAX_FD) abort();
  if (to < 0 || !file) return to;
  file->owners++;
  files[to] = file;
  return to;
}

static void forget_descriptor(long fd) {
  struct file *file = file_of(fd);
  if (!file) return;
  files[fd] = NULL;
  if (--file->owners > 0) return;
  if (file->device->release) file->device->release(file);
  if (file->kept >= 0) raw(SYS_close, file->kept, 0, 0, 0, 0, 0);
  free(file);
}

/* --- libc's functions, in front of libc --- */

static int open_any(int directory, const char *path, int flags, int mode) {
  const struct device *device = device_at(path);
  if (device) return (int)as_libc(open_device(device, flags));
  return (int)as_libc(raw(SYS_openat, directory, (long)path, flags, mode, 0, 0));
}

static int mode_of(int flags, va_list arguments) {
  return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, int) : 0;
}

EXPORT int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  int mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_any(AT_FDCWD, path, flags, mode);
}

/* what programs call that were compiled with checks */
EXPORT int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
EXPORT int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));

EXPORT int openat(int directory, const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  int mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_any(directory, path, flags, mode);
}

/* off_t has 64 bits either way on x86-64 */
EXPORT int open64(const char *path, int flags, ...) __attribute__((alias("open")));
EXPORT int openat64(int directory, const char *path, int flags, ...) __attribute__((alias("openat")));

EXPORT int access(const char *path, int mode) {
  const struct device *device = device_at(path);
  if (device) return open_error(device) == -ENOENT ? (int)as_libc(-ENOENT) : 0;
  return (int)as_libc(raw(SYS_access, (long)path, mode, 0, 0, 0, 0));
}

EXPORT int close(int fd) {
  forget_descriptor(fd);
  return (int)as_libc(raw(SYS_close, fd, 0, 0, 0, 0, 0));
}

EXPORT int fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  long argument = va_arg(arguments, long);
  va_end(arguments);
  long result = raw(SYS_fcntl, fd, command, argument, 0, 0, 0);
  if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) duplicated(fd, result);
  return (int)as_libc(result);
}

EXPORT int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

static long ioctl_any(int fd, unsigned long request, void *argument) {
  struct file *file = request == FIONBIO ? NULL : file_of(fd); /* that one is any file's, not the device's */
  if (file && file->device->ioctl) return file->device->ioctl(file, fd, request, argument);
  return raw(SYS_ioctl, fd, (long)request, (long)argument, 0, 0, 0);
}

EXPORT int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  return (int)as_libc(ioctl_any(fd, request, argument));
}

EXPORT ssize_t read(int fd, void *bytes, size_t size) {
  struct file *file = file_of(fd);
  if (file && file->device->read) return as_libc(file->device->read(file, fd, bytes, size));
  return as_libc(raw(SYS_read, fd, (long)bytes, (long)size, 0, 0, 0));
}

EXPORT ssize_t write(int fd, const void *bytes, size_t size) {
  struct file *file = file_of(fd);
  if (file && file->device->write) return as_libc(file->device->write(file, fd, bytes, size));
  return as_libc(raw(SYS_write, fd, (long)bytes, (long)size, 0, 0, 0));
}

EXPORT long syscall(long number, ...) {
  va_list arguments;
  va_start(arguments, number);
  long a = va_arg(arguments, long), b = va_arg(arguments, long), c = va_arg(arguments, long);
  if (number == SYS_ioctl) {
    va_end(arguments);
    return as_libc(ioctl_any((int)a, (unsigned long)b, (void *)c));
  }
  long d = va_arg(arguments, long), e = va_arg(arguments, long), f = va_arg(arguments, long);
  va_end(arguments);
  if (number == SYS_close) forget_descriptor(a); /* libuv closes so */
  long result = raw(number, a, b, c, d, e, f);
  if (number == SYS_fcntl && (b == F_DUPFD || b == F_DUPFD_CLOEXEC)) duplicated(a, result);
  return as_libc(result);
}

EXPORT void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset) {
  struct file *file = flags & MAP_ANONYMOUS ? NULL : file_of(fd);
  if (file && file->device->mmap) return (void *)as_libc(file->device->mmap(file, fd, address, length, prot, offset));
  return (void *)as_libc(raw(SYS_mmap, (long)address, (long)length, prot, flags, fd, offset));
}

EXPORT void *mmap64(void *address, size_t length, int prot, int flags, int fd, off64_t offset)
    __attribute__((alias("mmap")));

EXPORT int munmap(void *address, size_t length) {
  forget_area((uintptr_t)address);
  grants_unmapped((uintptr_t)address);
  return (int)as_libc(raw(SYS_munmap, (long)address, (long)length, 0, 0, 0, 0));
}
