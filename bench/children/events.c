/*
 * The rival: a listener as libxenctrl's and libxenevtchn's users write it, in a thread. Answers lines "case count" with
 * the nanoseconds that a round of the case took: the case is the number of events that are sent in one go.
 */
/* clang-format off: the order matters */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xencall.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xen/vm_event.h>
/* clang-format on */

enum { DOMID = 1, PLAY_XEN = 1004, PAGE = 4096 };

static xc_interface *xch;
static xenevtchn_handle *xce;
static evtchn_port_t port;
static vm_event_back_ring_t back;

static void answer(void) {
  vm_event_request_t request;
  vm_event_response_t response;
  memcpy(&request, RING_GET_REQUEST(&back, back.req_cons), sizeof(request));
  back.req_cons++;
  back.sring->req_event = back.req_cons + 1;
  if (request.version != VM_EVENT_INTERFACE_VERSION || request.reason != VM_EVENT_REASON_MEM_ACCESS) abort();
  memset(&response, 0, sizeof(response));
  response.version = VM_EVENT_INTERFACE_VERSION;
  response.vcpu_id = request.vcpu_id;
  response.flags = (request.flags & VM_EVENT_FLAG_VCPU_PAUSED) | VM_EVENT_FLAG_EMULATE;
  response.u.mem_access = request.u.mem_access;
  memcpy(RING_GET_RESPONSE(&back, back.rsp_prod_pvt), &response, sizeof(response));
  back.rsp_prod_pvt++;
  RING_PUSH_RESPONSES(&back);
}

static void *listen(void *unused) {
  struct pollfd file = {.fd = xenevtchn_fd(xce), .events = POLLIN};
  for (;;) {
    int answers = 0;
    if (poll(&file, 1, 1000) < 1) continue;
    int pending = xenevtchn_pending(xce);
    if (pending < 0 || xenevtchn_unmask(xce, (evtchn_port_t)pending)) abort();
    for (; RING_HAS_UNCONSUMED_REQUESTS(&back); answers++) answer();
    if (answers > 0 && xenevtchn_notify(xce, port)) abort();
  }
  return unused;
}

static void set_up(void) {
  uint32_t remote;
  pthread_t thread;
  xch = xc_interface_open(NULL, NULL, 0);
  vm_event_sring_t *ring = xch ? xc_monitor_enable(xch, DOMID, &remote) : NULL;
  xce = xenevtchn_open(NULL, 0);
  if (!ring || !xce) exit(1);
  SHARED_RING_INIT(ring);
  BACK_RING_INIT(&back, ring, PAGE);
  int local = xenevtchn_bind_interdomain(xce, DOMID, remote);
  if (local < 0) exit(1);
  port = (evtchn_port_t)local;
  if (pthread_create(&thread, NULL, listen, NULL)) exit(1);
}

int main(void) {
  unsigned long batch, count;
  set_up();
  xencall_handle *xcall = xencall_open(NULL, 0);
  if (!xcall) return 1;
  while (scanf("%lu %lu", &batch, &count) == 2) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (xencall2(xcall, PLAY_XEN, batch, count) != 0) return 1;
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%f\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)count);
    fflush(stdout);
  }
  return 0;
}
