/**
 * Frees a domain whose listener died: the ring is taken from Xen, and every vCPU that waits for an answer is let go.
 *
 * The frame of a live ring is no part of the guest's memory any more, so nobody but its listener can reach it, and what
 * was in it is lost: the instructions in question are done again, and a write to a control register or MSR that was held
 * up does not happen. Xen keeps the vCPUs paused even when it has let go of the ring. It counts these pauses apart from all
 * others and takes one back for each answer, so answers are put into a fresh ring, for every vCPU; those that were not
 * paused ignore theirs (`vm_event_resume`, in `xen/common/vm_event.c`).
 */

import { HVM_PARAM_MONITOR_RING_PFN } from '../../abi/hvm/params.js';
import { VM_EVENT_FLAG_VCPU_PAUSED, type VmEventLayout, vmEventLayoutOf } from '../../abi/vm_event.js';
import { XenError } from '../../hypervisor/error.js';
import { PROT_READ, PROT_WRITE } from '../../hypervisor/port.js';
import { xc_altp2m_get_domain_state, xc_altp2m_switch_to_view } from '../../xc/altp2m.js';
import { xc_domain_pause, xc_domain_unpause } from '../../xc/domain.js';
import { xc_domain_getinfo_single } from '../../xc/domain_info.js';
import { xc_map_foreign_pages } from '../../xc/foreign_memory.js';
import { xc_hvm_param_get } from '../../xc/hvm_param.js';
import type { XcInterface } from '../../xc/interface.js';
import { xc_domain_setmaxmem } from '../../xc/memory.js';
import { xc_monitor_disable, xc_monitor_enable, xc_monitor_resume } from '../../xc/monitor.js';
import type { VmEventRing } from '../../xc/vm_event.js';
import { Frame, MonitorRing, VCPU, VERSION } from './ring.js';

/** What {@link recoverMonitor} found. */
export interface Recovered {
  /** Whether Xen had a ring for the domain. */
  readonly ring: boolean;
  /** Events that were still in it and got an answer there: all, where the listener died before it took the frame away. */
  readonly answered: number;
  /** vCPUs that were told to go on. */
  readonly vcpus: number;
  /** Whether the vCPUs were moved back to altp2m view 0. */
  readonly view0: boolean;
}

/** How often a ring is tried to be taken that vCPUs queue for, and the pauses between. */
const ATTEMPTS = 20;
const PAUSE_MS = 5;

const KIB_A_PAGE = 4;

/** Answers a vCPU gets: one event can hold another up. */
const ROUNDS = 2;

/** Blocks this thread. */
export function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/**
 * Ends the monitoring of a domain, whoever began it, and lets every vCPU go. A live listener loses its ring, too: it is for
 * the caller to know that there is none. Where altp2m is on, every vCPU is moved back to view 0.
 *
 * @throws XenError `ESRCH`: no such domain. `EPERM`: the caller is not privileged. `EBUSY`: vCPUs wait for room in a ring
 *   that nobody can reach any more; only destroying the domain frees it.
 */
export function recoverMonitor(xch: XcInterface, domid: number): Recovered {
  const vcpus = vcpusOf(xch, domid);
  const answered = unless(() => answerLeftBehind(xch, domid), 0);
  const ring = takeRing(xch, domid);
  if (vcpus > 0) letGo(xch, domid, vcpus);
  const view0 = unless(() => leaveViews(xch, domid), false);
  return { ring, answered, vcpus, view0 };
}

/**
 * Whether Xen has a ring for the domain: somebody listens, or did and died. `EBUSY` alone does not tell: a domain that has all
 * the memory it may have gives it as well, for the ring's frame.
 */
export function hasRing(xch: XcInterface, domid: number): boolean {
  try {
    xc_monitor_resume(xch, domid); // takes answers that are there; without a ring ENODEV, or EINVAL
    return true;
  } catch (error) {
    if (error instanceof XenError) return false;
    throw error;
  }
}

/** @throws XenError `ESRCH`: no such domain */
export function vcpusOf(xch: XcInterface, domid: number): number {
  const highest = xc_domain_getinfo_single(xch, domid).max_vcpu_id;
  return highest === null ? 0 : highest + 1;
}

/** What need not work: a domain without ring frame or altp2m has nothing there to be undone. */
function unless<T>(act: () => T, otherwise: T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof XenError) return otherwise;
    throw error;
  }
}

/** Answers what waits in the ring, if its frame is still in the guest's memory. */
function answerLeftBehind(xch: XcInterface, domid: number): number {
  const gfn = Number(xc_hvm_param_get(xch, domid, HVM_PARAM_MONITOR_RING_PFN));
  if (gfn === 0) return 0;
  const layout = vmEventLayoutOf(xch.abi.release);
  using mapping = xc_map_foreign_pages(xch, domid, PROT_READ | PROT_WRITE, [gfn]);
  const ring = new MonitorRing(mapping.bytes, layout, MonitorRing.leftBehind(mapping.bytes));
  const frame = new Frame(ring);
  let count = 0;
  try {
    for (let left = ring.available(); left > 0; left--) {
      ring.take(frame);
      if (frame.words[VERSION] !== layout.abi) break;
      frame.flags = VM_EVENT_FLAG_VCPU_PAUSED;
      ring.answer(frame);
      count++;
    }
  } catch {
    return 0; // whatever this frame holds, it is no ring
  }
  if (ring.publish()) xc_monitor_resume(xch, domid);
  return count;
}

/** Whether there was a ring. */
function takeRing(xch: XcInterface, domid: number): boolean {
  for (let attempt = 1; ; attempt++) {
    try {
      xc_monitor_disable(xch, domid);
      return true;
    } catch (error) {
      if (!(error instanceof XenError)) throw error;
      if (error.code === 'EINVAL') return false;
      if (error.code !== 'EBUSY') throw error;
      if (attempt === ATTEMPTS) {
        const hint =
          'vCPUs wait for room in a ring that nobody can reach any more: only destroying the domain frees it';
        throw new XenError('xc_monitor_disable', error.errno, { domid, hint });
      }
      sleep(PAUSE_MS);
    }
  }
}

/**
 * Lets every vCPU go that waits for an answer, by way of a fresh ring. The domain must have no ring.
 *
 * @throws XenError
 */
export function letGo(xch: XcInterface, domid: number, vcpus: number): void {
  const layout = vmEventLayoutOf(xch.abi.release);
  xc_domain_pause(xch, domid); // so that nothing new comes into the ring
  try {
    const { ring } = enableWithRoom(xch, domid);
    try {
      answerAll(xch, domid, layout, ring.bytes, vcpus);
    } finally {
      xc_monitor_disable(xch, domid);
      ring.close();
    }
  } finally {
    xc_domain_unpause(xch, domid);
  }
}

/**
 * A fresh ring needs a page. A domain that has all it may have (a live listener holds the old ring's, or the domain has taken
 * its place) may have one more until the ring is set up.
 */
function enableWithRoom(xch: XcInterface, domid: number): VmEventRing {
  try {
    return xc_monitor_enable(xch, domid);
  } catch (error) {
    if (!(error instanceof XenError && error.syscall === 'xc_domain_populate_physmap_exact')) throw error;
  }
  const { max_pages } = xc_domain_getinfo_single(xch, domid);
  xc_domain_setmaxmem(xch, domid, (max_pages + 1) * KIB_A_PAGE);
  try {
    return xc_monitor_enable(xch, domid);
  } finally {
    xc_domain_setmaxmem(xch, domid, max_pages * KIB_A_PAGE);
  }
}

/** As many at once as there are slots. Nobody has asked, so the ring is told that as many requests were taken. */
function answerAll(xch: XcInterface, domid: number, layout: VmEventLayout, page: Uint8Array, vcpus: number): void {
  let rspProd = 0;
  const { slots } = new MonitorRing(page, layout);
  const total = vcpus * ROUNDS;
  while (rspProd < total) {
    const reqCons = Math.min(total, rspProd + slots);
    const ring = new MonitorRing(page, layout, { reqCons, rspProd });
    const frame = new Frame(ring);
    frame.words[VERSION] = layout.abi;
    frame.flags = VM_EVENT_FLAG_VCPU_PAUSED;
    for (; rspProd < reqCons; rspProd++) {
      frame.words[VCPU] = rspProd % vcpus;
      ring.answer(frame);
    }
    ring.publish();
    xc_monitor_resume(xch, domid);
  }
}

function leaveViews(xch: XcInterface, domid: number): boolean {
  if (!xc_altp2m_get_domain_state(xch, domid)) return false;
  xc_altp2m_switch_to_view(xch, domid, 0);
  return true;
}
