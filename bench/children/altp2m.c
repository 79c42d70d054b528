/* The rival: libxenctrl's own functions. Answers lines "case count" with the nanoseconds a call took. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xenctrl.h>

static void call(xc_interface *xch, const char *what, long i) {
  int rc;
  if (!strcmp(what, "set_visibility"))
    rc = xc_altp2m_set_visibility(xch, 1, 1, i & 1);
  else
    rc = xc_altp2m_set_mem_access(xch, 1, 1, (xen_pfn_t)i, XENMEM_access_rx);
  if (rc) {
    perror(what);
    exit(1);
  }
}

int main(void) {
  xc_interface *xch = xc_interface_open(NULL, NULL, 0);
  char what[64];
  long count;
  if (!xch) return 1;
  while (scanf("%63s %ld", what, &count) == 2) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < count; i++) call(xch, what, i);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%f\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)count);
    fflush(stdout);
  }
  xc_interface_close(xch);
  return 0;
}
