/*
 * For the stub kernel (test/native/stub.h): domain 1 can be monitored. It answers what setting up the ring takes, and
 * hypercall 1004 plays Xen's end of it: events are put into the ring as long as there is room, the agent is notified,
 * its answers are taken, and so on until all are answered. Whoever makes that hypercall is a thread of its own.
 */
/* clang-format off: the order matters */
#define __XEN_TOOLS__ 1
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/vm_event.h>
#include "../../test/native/stub.h"
/* clang-format on */

enum { DOMID = 1, RING_GFN = 600, PORT = 7, PLAY_XEN = 1004 };

static vm_event_sring_t *ring;
static vm_event_front_ring_t front;
static int answered; /* an eventfd */

static void begin(void) {
  ring = (vm_event_sring_t *)raw(SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, guest_memory[DOMID],
                                 RING_GFN * PAGE);
  answered = eventfd(0, EFD_CLOEXEC);
  FRONT_RING_INIT(&front, ring, PAGE);
}

int port_notified(unsigned domid, unsigned remote_port) {
  uint64_t one = 1;
  if (domid != DOMID || remote_port != PORT) return 1;
  raw(SYS_write, answered, (long)&one, sizeof(one), 0, 0, 0);
  return 0;
}

static void wait_for_answers(void) {
  uint64_t count;
  raw(SYS_read, answered, (long)&count, sizeof(count), 0, 0, 0);
}

/* What a write to a page that may not be written looks like. */
static void put(uint32_t number) {
  vm_event_request_t *request = RING_GET_REQUEST(&front, front.req_prod_pvt);
  memset(request, 0, sizeof(*request));
  request->version = VM_EVENT_INTERFACE_VERSION;
  request->flags = VM_EVENT_FLAG_VCPU_PAUSED;
  request->reason = VM_EVENT_REASON_MEM_ACCESS;
  request->vcpu_id = number % 4;
  request->u.mem_access.gfn = number;
  request->u.mem_access.flags = MEM_ACCESS_W | MEM_ACCESS_GLA_VALID | MEM_ACCESS_FAULT_WITH_GLA;
  request->data.regs.x86.rip = number;
  front.req_prod_pvt++;
}

static uint32_t take_answers(void) {
  uint32_t taken = 0;
  RING_IDX end = __atomic_load_n(&ring->rsp_prod, __ATOMIC_ACQUIRE);
  for (; front.rsp_cons != end; front.rsp_cons++, taken++) {
    const vm_event_response_t *response = RING_GET_RESPONSE(&front, front.rsp_cons);
    if (response->version != VM_EVENT_INTERFACE_VERSION || !(response->flags & VM_EVENT_FLAG_VCPU_PAUSED)) abort();
    if (response->vcpu_id > 3) abort();
  }
  return taken;
}

static void play(uint32_t events) {
  uint32_t sent = 0, done = 0;
  while (done < events) {
    uint32_t before = sent;
    done += take_answers();
    while (sent < events && !RING_FULL(&front)) put(sent++);
    if (sent == before) {
      if (done < events) wait_for_answers();
      continue;
    }
    __atomic_store_n(&ring->req_prod, front.req_prod_pvt, __ATOMIC_SEQ_CST);
    evtchn_raise_remote(DOMID, PORT);
  }
}

static long domctl(xen_domctl_t *op) {
  switch (op->cmd) {
    case XEN_DOMCTL_vm_event_op:
      if (op->u.vm_event_op.op == XEN_VM_EVENT_GET_VERSION)
        op->u.vm_event_op.u.version = VM_EVENT_INTERFACE_VERSION;
      else if (op->u.vm_event_op.op == XEN_VM_EVENT_ENABLE)
        begin(), op->u.vm_event_op.u.enable.port = PORT;
      return 0;
    case XEN_DOMCTL_getdomaininfo:
      op->u.getdomaininfo.domain = op->domain;
      op->u.getdomaininfo.flags = XEN_DOMINF_running | XEN_DOMINF_hvm_guest;
      return 0;
    default:
      return 0; /* pause and the like: there is nobody */
  }
}

int more_hypercalls(uint64_t op, const uint64_t *arg, long *result) {
  *result = 0;
  switch (op) {
    case __HYPERVISOR_domctl:
      *result = domctl((xen_domctl_t *)arg[0]);
      return 1;
    case __HYPERVISOR_memory_op:
      *result = (long)((const xen_memory_reservation_t *)arg[1])->nr_extents;
      return 1;
    case __HYPERVISOR_multicall: /* how libxenctrl gets at 64-bit results */
      for (uint64_t i = 0; i < arg[1]; i++) {
        multicall_entry_t *entry = (multicall_entry_t *)arg[0] + i;
        if (!more_hypercalls(entry->op, entry->args, (long *)&entry->result)) entry->result = (unsigned long)-ENOSYS;
      }
      return 1;
    case __HYPERVISOR_hvm_op:
      ((xen_hvm_param_t *)arg[1])->value = RING_GFN;
      return 1;
    case PLAY_XEN:
      for (uint64_t round = 0; round < arg[1]; round++) play((uint32_t)arg[0]);
      return 1;
    default:
      return 0;
  }
}
