/*
 * The rivals: libxencall and libxenforeignmemory. Answers lines "case count" with the nanoseconds a call took. With the
 * argument `threads` it has a second thread, which sleeps: Linux counts references to descriptors then, as it always
 * has to for Node.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xencall.h>
#include <xenforeignmemory.h>

enum { xen_version = 17, MOST = 64 };

static xencall_handle *xcall;
static xenforeignmemory_handle *fmem;

static void map(size_t pages) {
  xen_pfn_t gfns[MOST];
  int errors[MOST];
  for (size_t i = 0; i < pages; i++) gfns[i] = i;
  void *mapping = xenforeignmemory_map(fmem, 1, PROT_READ, pages, gfns, errors);
  if (!mapping || errors[0] || *(volatile unsigned char *)mapping != 0) abort();
  xenforeignmemory_unmap(fmem, mapping, pages);
}

static void call(const char *what) {
  if (!strcmp(what, "map1"))
    map(1);
  else if (!strcmp(what, "map64"))
    map(MOST);
  else if (xencall2(xcall, xen_version, 0, 0) <= 0)
    abort();
}

static void *sleeper(void *unused) {
  pause();
  return unused;
}

int main(int argc, char **argv) {
  char what[64];
  long count;
  pthread_t thread;
  if (argc > 1 && !strcmp(argv[1], "threads") && pthread_create(&thread, NULL, sleeper, NULL)) return 1;
  xcall = xencall_open(NULL, XENCALL_OPENFLAG_NON_REENTRANT);
  fmem = xenforeignmemory_open(NULL, 0);
  if (!xcall || !fmem) return 1;
  while (scanf("%63s %ld", what, &count) == 2) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < count; i++) call(what);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%f\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)count);
    fflush(stdout);
  }
  return 0;
}
