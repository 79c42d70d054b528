/* /dev/xen/privcmd, and the Xen behind it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "stub.h"

#define IOCTL_HYPERCALL 0x00305000ul
#define IOCTL_MMAPBATCH_V2 0x00205004ul
#define IOCTL_DM_OP 0x00105005ul
#define IOCTL_RESTRICT 0x00025006ul
#define IOCTL_MMAP_RESOURCE 0x00205007ul

enum {
  HYPERVISOR_xen_version = 17,
  HYPERVISOR_hvm_op = 34,
  HYPERVISOR_dm_op = 41,
  HVMOP_altp2m = 25,
  ALTP2M_OP_SIZE = 80
};

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

struct mmap_resource {
  uint16_t dom;
  uint32_t type, id, idx;
  uint64_t num, addr;
};

struct dm_op {
  uint16_t dom, num;
  const struct dm_op_buf {
    unsigned char *bytes;
    size_t size;
  } * bufs;
};

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
    case 1002: /* raises virtual interrupt arg[0] */
      evtchn_raise_virq((unsigned)call->arg[0]);
      return 0;
    case 1003: /* how many pages are mapped by gntdev or shared by gntalloc */
      return grants_in_use();
    default:
      return -ENOSYS;
  }
}

static void log_dm_op(const struct dm_op *call) {
  char line[2048];
  int length = snprintf(line, sizeof(line), "dm %d", call->dom);
  for (int i = 0; i < call->num; i++) {
    line[length++] = ' ';
    for (size_t at = 0; at < call->bufs[i].size && length < 2000; at++)
      length += snprintf(line + length, sizeof(line) - (size_t)length, "%02x", call->bufs[i].bytes[at]);
  }
  line[length++] = '\n';
  raw(SYS_write, config.log, (long)line, length, 0, 0, 0);
}

enum { DMOP_inject_event = 13, DMOP_nr_vcpus = 20, DMOP_modified_memory = 11 };

/* As Xen: the operation is in the first buffer, and answers are written there. */
static long dm_op(const struct dm_op *call) {
  if (config.log >= 0) log_dm_op(call);
  if (call->dom < 1 || call->dom >= DOMAINS) return -ESRCH;
  if (call->num < 1 || call->bufs[0].size < 16) return -EFAULT;
  uint32_t op;
  memcpy(&op, call->bufs[0].bytes, sizeof(op));
  if (op == DMOP_nr_vcpus) call->bufs[0].bytes[8] = 2;
  return op == DMOP_nr_vcpus || op == DMOP_inject_event || op == DMOP_modified_memory ? 0 : -EOPNOTSUPP;
}

static long hypercall(const struct file *file, const struct hypercall *call) {
  if (file->domid >= 0) return -EPERM;
  if (config.kernel_entry) raw(SYS_ioctl, -1, IOCTL_HYPERCALL, (long)call, 0, 0, 0);
  if (config.log >= 0) log_hypercall(call);
  if (call->op == HYPERVISOR_hvm_op && call->arg[0] == HVMOP_altp2m) return -config.altp2m_errno;
  if (call->op == HYPERVISOR_dm_op)
    return dm_op(&(struct dm_op){(uint16_t)call->arg[0], (uint16_t)call->arg[1], (void *)call->arg[2]});
  long result;
  if (more_hypercalls && more_hypercalls(call->op, call->arg, &result)) return result;
  if (call->op == HYPERVISOR_xen_version && call->arg[0] == 0) return config.xen_version;
  return test_hypercall(call);
}

struct page_rule {
  uint64_t gfn;
  int error;
  atomic_int times; /* how often the error is still given; -1: for ever */
};
static struct page_rule page_rules[64];
static int page_rule_count;

void read_page_rules(void) {
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

static long privcmd_mmap(struct file *file, int fd, void *hint, size_t length, int prot, off_t offset) {
  (void)file, (void)offset;
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

void forget_area(uintptr_t start) {
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

/* Whether the file is restricted to another domain. */
static int refused(const struct file *file, int domid) { return file->domid >= 0 && file->domid != domid; }

static long mmapbatch(const struct file *file, int fd, const struct mmapbatch_v2 *batch) {
  if (config.no_batch_v2) return -EINVAL;
  if (refused(file, batch->dom)) return -EPERM;
  pthread_mutex_lock(&areas_lock);
  long answer = mmapbatch_locked(fd, batch);
  pthread_mutex_unlock(&areas_lock);
  return answer;
}

/* The grant table's four frames are the domain's frames from 512 on. */
enum { RESOURCE_GRANT_TABLE = 1, RESOURCE_FRAMES = 4, RESOURCE_GFN = 512 };

static long map_resource(const struct file *file, int fd, struct mmap_resource *map) {
  if (refused(file, map->dom)) return -EPERM;
  if (!map->addr != !map->num) return -EINVAL;
  if (map->dom < 1 || map->dom >= DOMAINS) return -ESRCH;
  if (map->type != RESOURCE_GRANT_TABLE || map->id != 0) return -EINVAL;
  if (!map->addr) {
    map->num = RESOURCE_FRAMES;
    return 0;
  }
  if (map->num > RESOURCE_FRAMES || map->idx > RESOURCE_FRAMES - map->num) return -EINVAL;
  pthread_mutex_lock(&areas_lock);
  struct area *area = area_at(map->addr);
  long rc = !area || area->fd != fd || area->used || area->pages != map->num ? -EINVAL : 0;
  if (rc == 0) {
    area->used = 1;
    raw(SYS_mmap, (long)map->addr, (long)(map->num * PAGE), area->prot, MAP_SHARED | MAP_FIXED, guest_memory[map->dom],
        (long)((RESOURCE_GFN + map->idx) * PAGE));
  }
  pthread_mutex_unlock(&areas_lock);
  return rc;
}

static long privcmd_dm_op(const struct file *file, const struct dm_op *call) {
  if (refused(file, call->dom)) return -EPERM;
  if (call->num == 0) return 0;
  if (call->num > 16) return -E2BIG;
  for (int i = 0; i < call->num; i++)
    if (call->bufs[i].size > 4096) return -E2BIG;
  return dm_op(call);
}

static long privcmd_ioctl(struct file *file, int fd, unsigned long request, void *argument) {
  switch (request) {
    case IOCTL_HYPERCALL:
      return hypercall(file, argument);
    case IOCTL_MMAPBATCH_V2:
      return mmapbatch(file, fd, argument);
    case IOCTL_MMAP_RESOURCE:
      return map_resource(file, fd, argument);
    case IOCTL_DM_OP:
      return privcmd_dm_op(file, argument);
    case IOCTL_RESTRICT: {
      int domid = *(uint16_t *)argument;
      if (refused(file, domid)) return -EINVAL;
      file->domid = domid;
      return 0;
    }
    default:
      return -ENOTTY;
  }
}

static long privcmd_open(struct file *file, int flags) {
  (void)file, (void)flags;
  return memfd("stub-privcmd", 0);
}
static long hypercall_open(struct file *file, int flags) {
  (void)file, (void)flags;
  return memfd("stub-hypercall", 1ul << 40);
}

/* Pages that nobody else has, whatever the offset. */
static long hypercall_mmap(struct file *file, int fd, void *hint, size_t length, int prot, off_t offset) {
  static atomic_ulong next;
  (void)file, (void)offset;
  return raw(SYS_mmap, (long)hint, (long)length, prot, MAP_SHARED, fd, (long)atomic_fetch_add(&next, length));
}

const struct device privcmd_device = {
    .path = "/dev/xen/privcmd", .open = privcmd_open, .ioctl = privcmd_ioctl, .mmap = privcmd_mmap};
const struct device hypercall_device = {.path = "/dev/xen/hypercall", .open = hypercall_open, .mmap = hypercall_mmap};
