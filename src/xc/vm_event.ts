/**
 * The rings in which Xen tells a listener what a domain does, as libxc's `xc_vm_event.c`. The monitor's ring is the one
 * used here ({@link xc_monitor_enable}).
 *
 * Source of the behaviour: Xen's `vm_event_domctl`, in `xen/common/vm_event.c`.
 */

import {
  XEN_DOMCTL_getpageframeinfo3,
  XEN_DOMCTL_PFINFO_XTAB,
  XEN_DOMCTL_VM_EVENT_OP_MONITOR,
  XEN_DOMCTL_vm_event_op,
  XEN_VM_EVENT_DISABLE,
  XEN_VM_EVENT_ENABLE,
  XEN_VM_EVENT_GET_VERSION,
  xen_domctl_getpageframeinfo3,
  xen_domctl_vm_event_op,
} from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import { HVM_PARAM_MONITOR_RING_PFN } from '../abi/hvm/params.js';
import { vm_event_sring } from '../abi/vm_event.js';
import { DOMID_INVALID } from '../abi/xen.js';
import { putU64 } from '../hypervisor/check.js';
import { type ForeignMapping, PROT_READ, PROT_WRITE } from '../hypervisor/port.js';
import { xc_domain_pause, xc_domain_unpause } from './domain.js';
import { xc_map_foreign_pages } from './foreign_memory.js';
import { xc_hvm_param_get } from './hvm_param.js';
import type { XcInterface } from './interface.js';
import { xc_domain_decrease_reservation_exact, xc_domain_populate_physmap_exact } from './memory.js';
import { beginDomctl, DOMCTL_U, domctl, issueDomctl } from './privileged.js';
import { refusal } from './refusal.js';

const RING = vm_event_sring.for('4.14').at;

/** A ring that Xen and the caller share. */
export interface VmEventRing {
  /** Xen's end of the event channel: bind it (`bindInterdomain(domid, port)`) to be told of events and to tell of answers. */
  readonly port: number;
  /** The ring page, its counters as both sides begin. It belongs to the caller: close it after the ring was disabled. */
  readonly ring: ForeignMapping;
}

/**
 * Asks which version of the events' layout Xen speaks (`VM_EVENT_INTERFACE_VERSION`). Since Xen 4.13.
 *
 * @throws XenError `EPERM`: the caller is not privileged
 */
export function xc_vm_event_get_version(xch: XcInterface): number {
  const call = 'xc_vm_event_get_version';
  const view = beginVmEvent(xch, call, DOMID_INVALID, XEN_VM_EVENT_GET_VERSION);
  issueDomctl(xch, call, undefined);
  return view.getUint32(DOMCTL_U + xen_domctl_vm_event_op.at['u.version'], true);
}

function beginVmEvent(xch: XcInterface, call: string, domid: number, op: number): DataView {
  const effect = op === XEN_VM_EVENT_GET_VERSION ? 'reads' : 'writes';
  const view = beginDomctl(xch, call, XEN_DOMCTL_vm_event_op, domid, effect);
  view.setUint32(DOMCTL_U + xen_domctl_vm_event_op.at.op, op, true);
  view.setUint32(DOMCTL_U + xen_domctl_vm_event_op.at.mode, XEN_DOMCTL_VM_EVENT_OP_MONITOR, true);
  return view;
}

/**
 * Makes an operation on the monitor's ring; gives the port that Xen wrote (ENABLE alone).
 *
 * @internal
 */
export function vmEventControl(xch: XcInterface, call: string, domid: number, op: number): number {
  const view = beginVmEvent(xch, call, domid, op);
  issueDomctl(xch, call, domid);
  return view.getUint32(DOMCTL_U + xen_domctl_vm_event_op.at['u.enable.port'], true);
}

/**
 * Sets up the monitor's ring as libxc does, with the domain paused: the frame that the domain's builder set aside is
 * given memory where it has none, mapped, handed to Xen, and taken out of the guest's memory so that the guest cannot
 * touch it. What was done is undone when a step fails; libxc leaves the ring switched on there, or the frame populated.
 *
 * @internal
 */
export function enableRing(xch: XcInterface, call: string, domid: number): VmEventRing {
  xc_domain_pause(xch, domid);
  const undo: (() => void)[] = [() => xc_domain_unpause(xch, domid)];
  try {
    const gfn = ringFrame(xch, call, domid);
    if (!hasMemory(xch, domid, gfn)) {
      xc_domain_populate_physmap_exact(xch, domid, 0, 0, [gfn]);
      undo.unshift(() => xc_domain_decrease_reservation_exact(xch, domid, 0, [gfn]));
    }
    const ring = xc_map_foreign_pages(xch, domid, PROT_READ | PROT_WRITE, [gfn]);
    undo.unshift(() => ring.close());
    const port = vmEventControl(xch, call, domid, XEN_VM_EVENT_ENABLE);
    // Xen answers 0, and does nothing, for a domain that is being torn down
    if (port === 0) throw refusal(call, -errno.ESRCH, domid, 'the domain is being torn down');
    undo.unshift(() => vmEventControl(xch, call, domid, XEN_VM_EVENT_DISABLE));
    initialise(ring);
    xc_domain_decrease_reservation_exact(xch, domid, 0, [gfn]);
    xc_domain_unpause(xch, domid);
    return { port, ring };
  } catch (error) {
    for (const step of undo) attempt(step);
    throw error;
  }
}

/** Frame of the ring; a domain whose builder set none aside gets Xen's own answer to that, before anything is touched. */
function ringFrame(xch: XcInterface, call: string, domid: number): number {
  const gfn = Number(xc_hvm_param_get(xch, domid, HVM_PARAM_MONITOR_RING_PFN));
  if (gfn === 0) throw refusal(call, -errno.EOPNOTSUPP, domid);
  return gfn;
}

/** libxc's xc_get_pfn_type_batch for one frame, and how it reads the answer. */
function hasMemory(xch: XcInterface, domid: number, gfn: number): boolean {
  const { arena } = xch.hypervisor;
  const at = xen_domctl_getpageframeinfo3.at;
  using types = arena.alloc(8);
  putU64(arena.view, types.offset, gfn);
  const view = beginDomctl(xch, 'xc_get_pfn_type_batch', XEN_DOMCTL_getpageframeinfo3, domid, 'writes');
  putU64(view, DOMCTL_U + at.num, 1);
  putU64(view, DOMCTL_U + at.array, types.address);
  return domctl(xch) === 0 && (arena.view.getUint32(types.offset, true) & XEN_DOMCTL_PFINFO_XTAB) === 0;
}

/**
 * The counters as both ends begin (`SHARED_RING_INIT`). A frame that was in the guest's memory holds whatever the guest
 * put there, and Xen would take it for answers.
 */
function initialise(ring: ForeignMapping): void {
  const view = new DataView(ring.bytes.buffer, ring.bytes.byteOffset, ring.bytes.byteLength);
  ring.bytes.fill(0, 0, RING.ring);
  view.setUint32(RING.req_event as number, 1, true);
  view.setUint32(RING.rsp_event as number, 1, true);
}

/** Undoing goes on when a step fails: the first error is the one to tell. */
function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // the domain may be gone, which undoes all of it
  }
}
