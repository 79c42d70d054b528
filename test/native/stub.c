/*
 * A stand-in for Linux's Xen devices, to be put in front of any program with LD_PRELOAD: /dev/xen/privcmd and
 * /dev/xen/hypercall exist, and a small Xen answers behind them. It serves libxenctrl, libxencall and the addon alike.
 *
 * Hypercalls: xen_version 0 answers STUB_XEN_VERSION; hvm_op altp2m answers 0 or -STUB_ALTP2M_ERRNO; the numbers from
 * 1000 on, which no Xen has, are for the tests: see test_hypercall(). All others: ENOSYS.
 *
 * The environment says how it behaves:
 *   STUB_XEN_VERSION     what xen_version 0 answers; default 0x40011 (4.17)
 *   STUB_ALTP2M_ERRNO    errno of every altp2m operation; default 0
 *   STUB_OPEN_ERRNO      errno of opening privcmd
 *   STUB_NO_HYPERCALL=1  there is no /dev/xen/hypercall
 *   STUB_KERNEL_ENTRY=1  a hypercall enters the kernel once, as a real one does (for benchmarks)
 *   STUB_NO_BATCH_V2=1   MMAPBATCH_V2 is not known
 *   STUB_PAGES           what mapping a frame gives: "gfn:errno[*times]", comma-separated; after so many times it maps
 *   STUB_LOG             a file to which each hypercall is added as a line: op and arguments, and an altp2m operation's
 *                        80 bytes
 *
 * Domain 1 and 2 exist; each has STUB_GUEST_PAGES frames, frame n of domain d starting with the 64-bit word d << 32 |
 * n.
 */
#define _GNU_SOURCE
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
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define PAGE 4096ul
#define STUB_GUEST_PAGES 1024ul
#define DOMAINS 3

#define IOCTL_HYPERCALL 0x00305000ul
#define IOCTL_MMAPBATCH_V2 0x00205004ul
#define IOCTL_RESTRICT 0x00025006ul

enum { HYPERVISOR_xen_version = 17, HYPERVISOR_hvm_op = 34, HVMOP_altp2m = 25, ALTP2M_OP_SIZE = 80 };

struct hypercall {
  uint64_t op, arg[5];
};

struct mmapbatch_v2 {
  uint32_t num;
  uint16_t dom;
  uint64_t addr;
  const uint64_t *arr;
  int *err;
};

/* --- the kernel beneath: no libc wrapper, since this library is in their place --- */

static long raw(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static long as_libc(long result) {
  if (result < 0 && result >= -4095) {
    errno = (int)-result;
    return -1;
  }
  return result;
}

/* --- what the environment asks for --- */

static struct {
  long xen_version, altp2m_errno, open_errno;
  int no_hypercall, kernel_entry, no_batch_v2, log;
} config;

struct page_rule {
  uint64_t gfn;
  int error;
  atomic_int times; /* how often the error is still given; -1: for ever */
};
static struct page_rule page_rules[64];
static int page_rule_count;

static long number_from(const char *name, long otherwise) {
  const char *value = getenv(name);
  return value && *value ? strtol(value, NULL, 0) : otherwise;
}

static void read_page_rules(void) {
  const char *at = getenv("STUB_PAGES");
  while (at && *at && page_rule_count < 64) {
    struct page_rule *rule = &page_rules[page_rule_count++];
    char *end;
    rule->gfn = strtoull(at, &end, 0);
    if (*end++ != ':') abort();
    rule->error = (int)strtol(end, &end, 0);
    rule->times = *end == '*' ? (int)strtol(end + 1, &end, 0) : -1;
    at = *end == ',' ? end + 1 : NULL;
  }
}

/* --- descriptors that are ours, and domains' memory --- */

enum kind { ORDINARY, PRIVCMD, HYPERCALL_DEVICE };
#define MAX_FD 4096
static atomic_char fd_kind[MAX_FD];
static atomic_int fd_domid[MAX_FD]; /* privcmd: the domain it is restricted to, or -1 */
static int guest_memory[DOMAINS];

static enum kind kind_of(long fd) { return fd >= 0 && fd < MAX_FD ? (enum kind)fd_kind[fd] : ORDINARY; }

static long memfd(const char *name, unsigned long size) {
  long fd = raw(SYS_memfd_create, (long)name, MFD_CLOEXEC, 0, 0, 0, 0);
  if (fd >= 0) raw(SYS_ftruncate, fd, (long)size, 0, 0, 0, 0);
  return fd;
}

__attribute__((constructor)) static void start(void) {
  config.xen_version = number_from("STUB_XEN_VERSION", 0x40011);
  config.altp2m_errno = number_from("STUB_ALTP2M_ERRNO", 0);
  config.open_errno = number_from("STUB_OPEN_ERRNO", 0);
  config.no_hypercall = (int)number_from("STUB_NO_HYPERCALL", 0);
  config.kernel_entry = (int)number_from("STUB_KERNEL_ENTRY", 0);
  config.no_batch_v2 = (int)number_from("STUB_NO_BATCH_V2", 0);
  config.log = -1;
  const char *log = getenv("STUB_LOG");
  if (log && *log) config.log = (int)raw(SYS_open, (long)log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600, 0, 0, 0);
  read_page_rules();
  for (int domid = 1; domid < DOMAINS; domid++) {
    guest_memory[domid] = (int)memfd("stub-guest", STUB_GUEST_PAGES * PAGE);
    for (uint64_t gfn = 0; gfn < STUB_GUEST_PAGES; gfn++) {
      uint64_t word = (uint64_t)domid << 32 | gfn;
      raw(SYS_pwrite64, guest_memory[domid], (long)&word, sizeof(word), (long)(gfn * PAGE), 0, 0);
    }
  }
}

static long open_device(const char *path) {
  long fd;
  if (!strcmp(path, "/dev/xen/privcmd")) {
    if (config.open_errno) return -config.open_errno;
    fd = memfd("stub-privcmd", 0);
    if (fd >= MAX_FD) abort();
    if (fd >= 0) {
      fd_domid[fd] = -1;
      fd_kind[fd] = PRIVCMD;
    }
    return fd;
  }
  if (config.no_hypercall) return -ENOENT;
  fd = memfd("stub-hypercall", 4096 * PAGE);
  if (fd >= MAX_FD) abort();
  if (fd >= 0) fd_kind[fd] = HYPERCALL_DEVICE;
  return fd;
}

/* --- hypercalls --- */

static void log_hypercall(const struct hypercall *call) {
  char line[512];
  int length = snprintf(line, sizeof(line), "%lx %lx %lx %lx %lx %lx", call->op, call->arg[0], call->arg[1],
                        call->arg[2], call->arg[3], call->arg[4]);
  if (call->op == HYPERVISOR_hvm_op && call->arg[0] == HVMOP_altp2m) {
    const unsigned char *bytes = (const unsigned char *)call->arg[1];
    line[length++] = ' ';
    for (int i = 0; i < ALTP2M_OP_SIZE; i++)
      length += snprintf(line + length, sizeof(line) - (size_t)length, "%02x", bytes[i]);
  }
  line[length++] = '\n';
  raw(SYS_write, config.log, (long)line, length, 0, 0, 0);
}

static void sleep_ms(uint64_t ms) {
  struct timespec wait = {(long)(ms / 1000), (long)(ms % 1000) * 1000000};
  raw(SYS_nanosleep, (long)&wait, 0, 0, 0, 0, 0);
}

static long test_hypercall(const struct hypercall *call) {
  switch (call->op) {
    case 1000: /* answers arg[0], whatever it is */
      return (long)call->arg[0];
    case 1001: /* sleeps arg[0] ms, then answers the 32-bit word at arg[1] and writes arg[2] there */
    {
      sleep_ms(call->arg[0]);
      uint32_t *word = (uint32_t *)call->arg[1], found = *word;
      *word = (uint32_t)call->arg[2];
      return found;
    }
    default:
      return -ENOSYS;
  }
}

static long hypercall(int fd, const struct hypercall *call) {
  if (fd_domid[fd] >= 0) return -EPERM;
  if (config.kernel_entry) raw(SYS_ioctl, -1, IOCTL_HYPERCALL, (long)call, 0, 0, 0);
  if (config.log >= 0) log_hypercall(call);
  if (call->op == HYPERVISOR_hvm_op && call->arg[0] == HVMOP_altp2m) return -config.altp2m_errno;
  if (call->op == HYPERVISOR_xen_version && call->arg[0] == 0) return config.xen_version;
  return test_hypercall(call);
}

/* --- foreign mappings: reserved without access when mmapped, filled once by MMAPBATCH_V2 --- */

struct area {
  uintptr_t start;
  unsigned long pages; /* 0: the entry is free */
  int prot, fd, used;
};
static struct area areas[32768];
static size_t areas_end; /* behind the last entry in use */
static pthread_mutex_t areas_lock = PTHREAD_MUTEX_INITIALIZER;

static struct area *area_at(uintptr_t address) {
  for (struct area *area = areas; area < areas + areas_end; area++)
    if (area->pages && address >= area->start && address - area->start < area->pages * PAGE) return area;
  return NULL;
}

static long map_privcmd(void *hint, unsigned long length, int prot, int fd) {
  long address = raw(SYS_mmap, (long)hint, (long)length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address < 0 && address >= -4095) return address;
  pthread_mutex_lock(&areas_lock);
  size_t place = 0;
  while (place < areas_end && areas[place].pages) place++;
  if (place == sizeof(areas) / sizeof(areas[0])) abort();
  if (place == areas_end) areas_end++;
  areas[place] = (struct area){(uintptr_t)address, (length + PAGE - 1) / PAGE, prot, fd, 0};
  pthread_mutex_unlock(&areas_lock);
  return address;
}

static void forget_area(uintptr_t start) {
  pthread_mutex_lock(&areas_lock);
  for (struct area *area = areas; area < areas + areas_end; area++)
    if (area->start == start) area->pages = 0;
  while (areas_end > 0 && areas[areas_end - 1].pages == 0) areas_end--;
  pthread_mutex_unlock(&areas_lock);
}

static int page_error(int domid, uint64_t gfn) {
  if (domid < 1 || domid >= DOMAINS) return -ESRCH;
  for (int i = 0; i < page_rule_count; i++) {
    struct page_rule *rule = &page_rules[i];
    if (rule->gfn != gfn || rule->times == 0) continue;
    if (rule->times > 0) rule->times--;
    return -rule->error;
  }
  return gfn < STUB_GUEST_PAGES ? 0 : -EINVAL;
}

/* Whether a page of an area has been put in: what has not has no access, and reading it is EFAULT. */
static int is_mapped(uintptr_t address) {
  int ends[2];
  if (raw(SYS_pipe2, (long)ends, O_CLOEXEC, 0, 0, 0, 0) < 0) abort();
  long written = raw(SYS_write, ends[1], (long)address, 1, 0, 0, 0);
  raw(SYS_close, ends[0], 0, 0, 0, 0, 0);
  raw(SYS_close, ends[1], 0, 0, 0, 0, 0);
  return written == 1;
}

static long mmapbatch_locked(int fd, const struct mmapbatch_v2 *batch) {
  struct area *area = area_at(batch->addr);
  unsigned long size = batch->num * PAGE;
  if (!area || area->fd != fd || batch->num == 0 || batch->addr % PAGE) return -EINVAL;
  if (!area->used && (batch->addr != area->start || batch->num != area->pages)) return -EINVAL;
  if (batch->addr + size > area->start + area->pages * PAGE) return -EINVAL;
  for (uint32_t i = 0; area->used && i < batch->num; i++)
    if (is_mapped(batch->addr + i * PAGE)) return -EINVAL;
  area->used = 1;
  long answer = 0;
  for (uint32_t i = 0; i < batch->num; i++) {
    batch->err[i] = page_error(batch->dom, batch->arr[i]);
    if (batch->err[i] == -ENOENT) answer = -ENOENT;
    if (batch->err[i] == 0)
      raw(SYS_mmap, (long)(batch->addr + i * PAGE), PAGE, area->prot, MAP_SHARED | MAP_FIXED, guest_memory[batch->dom],
          (long)(batch->arr[i] * PAGE));
  }
  return answer;
}

static long mmapbatch(int fd, const struct mmapbatch_v2 *batch) {
  if (config.no_batch_v2) return -EINVAL;
  if (fd_domid[fd] >= 0 && fd_domid[fd] != batch->dom) return -EPERM;
  pthread_mutex_lock(&areas_lock);
  long answer = mmapbatch_locked(fd, batch);
  pthread_mutex_unlock(&areas_lock);
  return answer;
}

static long privcmd_ioctl(int fd, unsigned long request, void *argument) {
  switch (request) {
    case IOCTL_HYPERCALL:
      return hypercall(fd, argument);
    case IOCTL_MMAPBATCH_V2:
      return mmapbatch(fd, argument);
    case IOCTL_RESTRICT: {
      int domid = *(uint16_t *)argument;
      if (fd_domid[fd] >= 0 && fd_domid[fd] != domid) return -EINVAL;
      fd_domid[fd] = domid;
      return 0;
    }
    default:
      return -ENOTTY;
  }
}

/* --- libc's functions, in front of libc --- */

static int is_device(const char *path) {
  return path && (!strcmp(path, "/dev/xen/privcmd") || !strcmp(path, "/dev/xen/hypercall"));
}

static int open_any(int directory, const char *path, int flags, int mode) {
  if (is_device(path)) return (int)as_libc(open_device(path));
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
  if (is_device(path)) return config.open_errno == ENOENT ? (int)as_libc(-ENOENT) : 0;
  return (int)as_libc(raw(SYS_access, (long)path, mode, 0, 0, 0, 0));
}

EXPORT int close(int fd) {
  if (fd >= 0 && fd < MAX_FD) fd_kind[fd] = ORDINARY;
  return (int)as_libc(raw(SYS_close, fd, 0, 0, 0, 0, 0));
}

EXPORT int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  if (kind_of(fd) == PRIVCMD) return (int)as_libc(privcmd_ioctl(fd, request, argument));
  return (int)as_libc(raw(SYS_ioctl, fd, (long)request, (long)argument, 0, 0, 0));
}

EXPORT long syscall(long number, ...) {
  va_list arguments;
  va_start(arguments, number);
  long a = va_arg(arguments, long), b = va_arg(arguments, long), c = va_arg(arguments, long);
  if (number == SYS_ioctl && kind_of((int)a) == PRIVCMD) {
    va_end(arguments);
    return as_libc(privcmd_ioctl((int)a, (unsigned long)b, (void *)c));
  }
  long d = va_arg(arguments, long), e = va_arg(arguments, long), f = va_arg(arguments, long);
  va_end(arguments);
  return as_libc(raw(number, a, b, c, d, e, f));
}

EXPORT void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset) {
  if (!(flags & MAP_ANONYMOUS) && kind_of(fd) == PRIVCMD)
    return (void *)as_libc(map_privcmd(address, length, prot, fd));
  return (void *)as_libc(raw(SYS_mmap, (long)address, (long)length, prot, flags, fd, offset));
}

EXPORT void *mmap64(void *address, size_t length, int prot, int flags, int fd, off64_t offset)
    __attribute__((alias("mmap")));

EXPORT int munmap(void *address, size_t length) {
  forget_area((uintptr_t)address);
  return (int)as_libc(raw(SYS_munmap, (long)address, (long)length, 0, 0, 0, 0));
}
