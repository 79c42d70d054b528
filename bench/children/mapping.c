/*
 * The rival: libxenforeignmemory. Answers lines "case count" with the nanoseconds that one took.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <xenforeignmemory.h>

enum { DOMID = 1, PAGE = 4096, MOST = 256 };

static xenforeignmemory_handle *fmem;
/* half a page off, as in mapping.mjs */
static unsigned char room[MOST * PAGE + PAGE] __attribute__((aligned(4096)));
static unsigned char *const copy = room + PAGE / 2;

static void *map(size_t pages) {
  xen_pfn_t gfns[MOST];
  int errors[MOST];
  for (size_t i = 0; i < pages; i++) gfns[i] = i;
  void *mapping = xenforeignmemory_map(fmem, DOMID, PROT_READ, pages, gfns, errors);
  if (!mapping || errors[0]) abort();
  return mapping;
}

static void take(const void *mapping, size_t pages) {
  memcpy(copy, mapping, pages * PAGE);
  __asm__ volatile("" : : "r"(copy) : "memory"); /* it is wanted */
}

static void copies(size_t pages, long count) {
  void *mapping = map(pages);
  for (long i = 0; i < count; i++) take(mapping, pages);
  xenforeignmemory_unmap(fmem, mapping, pages);
}

static void maps(size_t pages, long count) {
  for (long i = 0; i < count; i++) {
    void *mapping = map(pages);
    take(mapping, pages);
    xenforeignmemory_unmap(fmem, mapping, pages);
  }
}

static double measure(const char *what, long count) {
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  if (!strcmp(what, "copy4k")) copies(1, count);
  if (!strcmp(what, "copy1m")) copies(MOST, count);
  if (!strcmp(what, "map4k")) maps(1, count);
  if (!strcmp(what, "map1m")) maps(MOST, count);
  clock_gettime(CLOCK_MONOTONIC, &end);
  return ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)count;
}

int main(void) {
  char what[64];
  long count;
  fmem = xenforeignmemory_open(NULL, 0);
  if (!fmem) return 1;
  while (scanf("%63s %ld", what, &count) == 2) {
    printf("%f\n", measure(what, count));
    fflush(stdout);
  }
  return 0;
}
