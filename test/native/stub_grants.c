/*
 * /dev/xen/gntdev and /dev/xen/gntalloc. Reference r of domain 1 or 2 is its frame r, for r below 1000; those of domain
 * 0 are what gntalloc gave.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "stub.h"

enum { MAPS = 512, MOST_PAGES = 64, GRANTED = 1000 };

/* A run of pages that a file has out: mapped by gntdev, or given away by gntalloc. Index n of a file is at n * PAGE. */
static struct run {
  struct file *file; /* NULL: free */
  uint64_t index;
  uintptr_t address; /* where it is mapped, or 0 */
  int given;         /* by gntalloc: its references are free again with it */
  int dropped;       /* given back by DEALLOC_GREF, but mapped still */
  uint32_t count;
  struct {
    uint32_t domid, ref;
  } pages[MOST_PAGES];
} runs[MAPS];
static uint64_t next_index;
static uint8_t ref_given[STUB_GUEST_PAGES] = {1, 1, 1, 1, 1, 1, 1, 1}; /* the first are reserved */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct run *free_run(void) {
  for (int i = 0; i < MAPS; i++)
    if (!runs[i].file) return &runs[i];
  return NULL;
}

static struct run *run_at(const struct file *file, uint64_t index, uint32_t count) {
  for (int i = 0; i < MAPS; i++)
    if (runs[i].file == file && runs[i].index == index && runs[i].count == count) return &runs[i];
  return NULL;
}

static void free_of(struct run *run) {
  for (uint32_t i = 0; run->given && i < run->count; i++) ref_given[run->pages[i].ref] = 0;
  run->file = NULL;
}

static long take(struct file *file, uint32_t count, uint64_t *index, struct run **taken) {
  struct run *run = free_run();
  if (count == 0 || count > MOST_PAGES) return -EINVAL;
  if (!run) return -ENOSPC;
  *run = (struct run){.file = file, .index = next_index, .count = count};
  next_index += count * PAGE;
  *index = run->index;
  *taken = run;
  return 0;
}

/* gntalloc's pages live until they are unmapped, too. */
static long dealloc(const struct file *file, uint64_t index, uint32_t count) {
  struct run *run = run_at(file, index, count);
  if (!run || run->dropped) return -EINVAL;
  if (run->address)
    run->dropped = 1;
  else
    free_of(run);
  return 0;
}

void grants_unmapped(uintptr_t address) {
  pthread_mutex_lock(&lock);
  for (int i = 0; address && i < MAPS; i++) {
    if (runs[i].address != address) continue;
    runs[i].address = 0;
    if (runs[i].dropped) free_of(&runs[i]);
  }
  pthread_mutex_unlock(&lock);
}

static long drop(const struct file *file, uint64_t index, uint32_t count) {
  struct run *run = run_at(file, index, count);
  if (!run) return -ENOENT;
  free_of(run);
  return 0;
}

static int granted(uint32_t domid, uint32_t ref) {
  return domid == 0 ? ref < STUB_GUEST_PAGES && ref_given[ref] : domid < DOMAINS && ref < GRANTED;
}

static long run_mmap(struct file *file, int fd, void *hint, size_t length, int prot, off_t offset) {
  (void)fd;
  pthread_mutex_lock(&lock);
  struct run *run = run_at(file, (uint64_t)offset, (uint32_t)(length / PAGE));
  long rc = run ? 0 : -EINVAL;
  for (uint32_t i = 0; rc == 0 && i < run->count; i++)
    if (!granted(run->pages[i].domid, run->pages[i].ref)) rc = -EINVAL;
  if (rc == 0) rc = raw(SYS_mmap, (long)hint, (long)length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (uint32_t i = 0; rc > 0 && i < run->count; i++)
    raw(SYS_mmap, rc + (long)(i * PAGE), PAGE, prot, MAP_SHARED | MAP_FIXED, guest_memory[run->pages[i].domid],
        (long)(run->pages[i].ref * PAGE));
  if (rc > 0 && run->given && (prot & PROT_WRITE)) memset((void *)rc, 0, length); /* as from the kernel */
  if (rc > 0) run->address = (uintptr_t)rc;
  pthread_mutex_unlock(&lock);
  return rc;
}

struct map_grant_ref {
  uint32_t count, pad;
  uint64_t index;
  struct {
    uint32_t domid, ref;
  } refs[];
};

struct alloc_gref {
  uint16_t domid, flags;
  uint32_t count;
  uint64_t index;
  uint32_t refs[];
};

/* UNMAP_GRANT_REF and DEALLOC_GREF have the same structure */
struct index_and_count {
  uint64_t index;
  uint32_t count, pad;
};

static long map_grant_ref(struct file *file, struct map_grant_ref *map) {
  struct run *run;
  long rc = take(file, map->count, &map->index, &run);
  if (rc == 0) memcpy(run->pages, map->refs, map->count * sizeof(map->refs[0]));
  return rc;
}

static long alloc_gref(struct file *file, struct alloc_gref *alloc) {
  struct run *run;
  if (alloc->flags & ~1u) return -EINVAL;
  long rc = take(file, alloc->count, &alloc->index, &run);
  if (rc < 0) return rc;
  uint32_t found = 0;
  for (uint32_t ref = 0; ref < STUB_GUEST_PAGES && found < alloc->count; ref++) {
    if (ref_given[ref]) continue;
    run->pages[found].domid = 0;
    run->pages[found].ref = alloc->refs[found] = ref;
    found++;
  }
  if (found < alloc->count) {
    run->file = NULL;
    return -ENOSPC;
  }
  run->given = 1;
  for (uint32_t i = 0; i < found; i++) ref_given[alloc->refs[i]] = 1;
  return 0;
}

struct offset_for_vaddr {
  uint64_t vaddr, offset;
  uint32_t count, pad;
};

static long offset_for_vaddr(const struct file *file, struct offset_for_vaddr *get) {
  for (int i = 0; i < MAPS; i++) {
    if (runs[i].file != file || runs[i].address != get->vaddr) continue;
    get->offset = runs[i].index;
    get->count = runs[i].count;
    return 0;
  }
  return -EINVAL;
}

static long request(struct file *file, unsigned long number, void *argument) {
  const struct index_and_count *gone = argument;
  switch (number) {
    case 0x00184700ul:
      return map_grant_ref(file, argument);
    case 0x00104701ul:
      return drop(file, gone->index, gone->count);
    case 0x00184702ul:
      return offset_for_vaddr(file, argument);
    case 0x00184705ul:
      return alloc_gref(file, argument);
    case 0x00104706ul:
      return dealloc(file, gone->index, gone->count);
    default:
      return -ENOTTY;
  }
}

static long grants_ioctl(struct file *file, int fd, unsigned long number, void *argument) {
  (void)fd;
  pthread_mutex_lock(&lock);
  long rc = request(file, number, argument);
  pthread_mutex_unlock(&lock);
  return rc;
}

static long grants_open(struct file *file, int flags) {
  (void)file, (void)flags;
  return memfd("stub-grants", 0);
}

static void grants_release(struct file *file) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MAPS; i++)
    if (runs[i].file == file) free_of(&runs[i]);
  pthread_mutex_unlock(&lock);
}

long grants_in_use(void) {
  long pages = 0;
  for (int i = 0; i < MAPS; i++)
    if (runs[i].file) pages += runs[i].count;
  return pages;
}

const struct device gntdev_device = {
    .path = "/dev/xen/gntdev", .open = grants_open, .ioctl = grants_ioctl, .mmap = run_mmap, .release = grants_release};

const struct device gntalloc_device = {.path = "/dev/xen/gntalloc",
                                       .open = grants_open,
                                       .ioctl = grants_ioctl,
                                       .mmap = run_mmap,
                                       .release = grants_release};
