/*
 * The rival on a real Xen: a listener as libxenctrl's and libxenevtchn's users write it. Its guest is a domain whose program
 * (bench/events_dom0.mjs) causes events for ever, of the kind that a word in its memory says. Answers lines "case count":
 * the guest runs until `count` events are answered, and the nanoseconds that one took are printed.
 */
/* clang-format off: the order matters */
#define __XEN_TOOLS__ 1
#define XC_WANT_COMPAT_MAP_FOREIGN_API
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xen/vm_event.h>
/* clang-format on */

enum { PAGE = 4096, CASE_GFN = 0x20 };

static uint32_t domid;
static xc_interface *xch;
static xenevtchn_handle *xce;
static evtchn_port_t port;
static vm_event_back_ring_t back;

static void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static void answer(void) {
  vm_event_request_t request;
  vm_event_response_t response;
  memcpy(&request, RING_GET_REQUEST(&back, back.req_cons), sizeof(request));
  back.req_cons++;
  back.sring->req_event = back.req_cons + 1;
  if (request.version != VM_EVENT_INTERFACE_VERSION) abort();
  memset(&response, 0, sizeof(response));
  response.version = VM_EVENT_INTERFACE_VERSION;
  response.vcpu_id = request.vcpu_id;
  response.flags = request.flags & VM_EVENT_FLAG_VCPU_PAUSED;
  response.reason = request.reason;
  if (request.reason == VM_EVENT_REASON_CPUID) {
    response.flags |= VM_EVENT_FLAG_SET_REGISTERS;
    response.data = request.data;
    response.data.regs.x86.rip += request.u.cpuid.insn_length;
  }
  memcpy(RING_GET_RESPONSE(&back, back.rsp_prod_pvt), &response, sizeof(response));
  back.rsp_prod_pvt++;
  RING_PUSH_RESPONSES(&back);
}

/* Answers until `count` events have been, and then stops the guest. */
static void listen_for(unsigned long count) {
  struct pollfd file = {.fd = xenevtchn_fd(xce), .events = POLLIN};
  unsigned long done = 0;
  while (done < count) {
    int answers = 0;
    if (poll(&file, 1, 1000) < 1) continue;
    int pending = xenevtchn_pending(xce);
    must(pending >= 0 && !xenevtchn_unmask(xce, (evtchn_port_t)pending), "xenevtchn");
    for (; RING_HAS_UNCONSUMED_REQUESTS(&back); answers++) {
      answer();
      if (++done == count) must(!xc_domain_pause(xch, domid), "xc_domain_pause");
    }
    if (answers > 0) must(!xenevtchn_notify(xce, port), "xenevtchn_notify");
  }
}

static volatile uint32_t *set_up(void) {
  uint32_t remote;
  xch = xc_interface_open(NULL, NULL, 0);
  xce = xenevtchn_open(NULL, 0);
  must(xch && xce, "open");
  void *word = xc_map_foreign_range(xch, domid, PAGE, PROT_READ | PROT_WRITE, CASE_GFN);
  must(word != NULL, "xc_map_foreign_range");
  must(!xc_domain_pause(xch, domid), "xc_domain_pause");
  vm_event_sring_t *ring = xc_monitor_enable(xch, domid, &remote);
  must(ring != NULL, "xc_monitor_enable");
  SHARED_RING_INIT(ring);
  BACK_RING_INIT(&back, ring, PAGE);
  int local = xenevtchn_bind_interdomain(xce, domid, remote);
  must(local >= 0, "xenevtchn_bind_interdomain");
  port = (evtchn_port_t)local;
  must(!xc_monitor_guest_request(xch, domid, true, true, false), "xc_monitor_guest_request");
  must(!xc_monitor_cpuid(xch, domid, true), "xc_monitor_cpuid");
  must(!xc_monitor_write_ctrlreg(xch, domid, VM_EVENT_X86_CR3, true, false, 0, true), "xc_monitor_write_ctrlreg");
  return word;
}

int main(int argc, char **argv) {
  unsigned long what, count;
  if (argc != 2) return 2;
  domid = (uint32_t)strtoul(argv[1], NULL, 10);
  volatile uint32_t *word = set_up();
  while (scanf("%lu %lu", &what, &count) == 2) {
    struct timespec start, end;
    *word = (uint32_t)what;
    clock_gettime(CLOCK_MONOTONIC, &start);
    must(!xc_domain_unpause(xch, domid), "xc_domain_unpause");
    listen_for(count);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%f\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)count);
    fflush(stdout);
  }
  return 0;
}
