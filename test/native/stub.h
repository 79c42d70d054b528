/* What the parts of the stub kernel share: see stub.c. */
#pragma once
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>

#define PAGE 4096ul
#define STUB_GUEST_PAGES 1024ul
#define DOMAINS 3
#define STUB_DOMID_SELF 0x7ff0

/* A system call: no libc wrapper, since this library is in their place. A result, or -errno. */
static inline long raw(long number, long a, long b, long c, long d, long e, long f) {
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

/* An open file of a device of ours; several descriptors may have it. */
struct file {
  const struct device *device;
  atomic_int owners;
  int domid; /* the domain it is restricted to, or -1 */
  int kept;  /* a descriptor of the device's own, or -1 */
};

/* Results are the kernel's: >= 0, or -errno. What a device leaves out is as with the kernel's own file. */
struct device {
  const char *path;
  /* The descriptor of a file of the kernel that is there instead. */
  long (*open)(struct file *file, int flags);
  long (*ioctl)(struct file *file, int fd, unsigned long request, void *argument);
  long (*read)(struct file *file, int fd, void *bytes, size_t size);
  long (*write)(struct file *file, int fd, const void *bytes, size_t size);
  long (*mmap)(struct file *file, int fd, void *hint, size_t length, int prot, off_t offset);
  /* The last descriptor is being closed. */
  void (*release)(struct file *file);
};

extern const struct device privcmd_device, hypercall_device, evtchn_device, gntdev_device, gntalloc_device;

/* What the environment asks for. */
extern struct config {
  long xen_version, altp2m_errno, open_errno, device_errno;
  int no_hypercall, kernel_entry, no_batch_v2, log;
} config;
void read_page_rules(void);

/* Frame n of domain d starts at n * PAGE of the file guest_memory[d]; d = 0: what gntalloc gave away. */
extern int guest_memory[DOMAINS];

long memfd(const char *name, unsigned long size);

/* An area of the address space that a mapping of privcmd was made in is unmapped. */
void forget_area(uintptr_t start);

/*
 * What other sources may add when they are linked to these (bench/children/event_source.c): hypercalls, 0 for those
 * that are none of theirs; and hearing that a domain's port was notified, 1 when it is to notify in return.
 */
__attribute__((weak)) int more_hypercalls(uint64_t op, const uint64_t *arg, long *result);
__attribute__((weak)) int port_notified(unsigned domid, unsigned remote_port);
/* A domain's port notifies: whoever is connected to it is told. */
void evtchn_raise_remote(unsigned domid, unsigned remote_port);
/* A virtual interrupt, to whoever has bound it. */
void evtchn_raise_virq(unsigned virq);
void grants_unmapped(uintptr_t address);
/* How many pages gntdev and gntalloc have out. */
long grants_in_use(void);
