/* On a real Xen: libxencall and libxenctrl. Answers lines "case count" with the nanoseconds a call took. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xencall.h>
#include <xenctrl.h>

enum { xen_version = 17 };

static xencall_handle *xcall;
static xc_interface *xch;

static void call(const char *what) {
  xc_physinfo_t info = {0};
  int ok;
  if (!strcmp(what, "hypercall"))
    ok = xencall2(xcall, xen_version, 0, 0) > 0;
  else if (!strcmp(what, "physinfo"))
    ok = xc_physinfo(xch, &info) == 0;
  else /* altp2m, refused: dom0 is no HVM domain */
    ok = xc_altp2m_set_visibility(xch, 0, 1, 1) < 0 && errno == EOPNOTSUPP;
  if (!ok) {
    perror(what);
    exit(1);
  }
}

int main(void) {
  char what[64];
  long count;
  xcall = xencall_open(NULL, XENCALL_OPENFLAG_NON_REENTRANT);
  xch = xc_interface_open(NULL, NULL, XC_OPENFLAG_NON_REENTRANT);
  if (!xcall || !xch) return 1;
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
