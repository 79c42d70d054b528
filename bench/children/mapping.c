/*
 * The rival: libxenforeignmemory. Answers lines "case count" with the nanoseconds that one took, and "open20000" with
 * the megabytes by which the process has grown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <xenforeignmemory.h>

enum { DOMID = 1, PAGE = 4096, MOST = 256 };

static xenforeignmemory_handle *fmem;
static unsigned char copy[MOST * PAGE];

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

static double resident_mb(void) {
  long all, resident;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%ld %ld", &all, &resident) != 2) abort();
  fclose(file);
  return (double)resident * PAGE / 1e6;
}

static double growth(void) {
  double before = resident_mb();
  maps(1, 20000);
  return resident_mb() - before;
}

static double measure(const char *what, long count) {
  struct timespec start, end;
  if (!strcmp(what, "open20000")) return growth();
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
