/**
 * A domain's memory, as libxc's `xc_domain.c`: how much it may have, and which frames it has.
 *
 * The calls on reservations count *extents* of 2^`extent_order` pages. Xen does as many as it can and tells how many;
 * it gives no reason when it stops, not even for a domain that does not exist. The `_exact` forms throw `EBUSY` then.
 * Lists of any length are sent in pieces of 4,096 extents. C's `nr_extents` is the length of the list.
 *
 * Source of the behaviour: Xen's `do_memory_op`, in `xen/common/memory.c`.
 */

import {
  XEN_DOMCTL_get_paging_mempool_size,
  XEN_DOMCTL_max_mem,
  XEN_DOMCTL_set_paging_mempool_size,
  xen_domctl_max_mem,
  xen_domctl_paging_mempool,
} from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import {
  xen_memory_reservation as reservation,
  XENMEM_decrease_reservation,
  XENMEM_increase_reservation,
  XENMEM_maximum_gpfn,
  XENMEM_populate_physmap,
} from '../abi/memory.js';
import { __HYPERVISOR_memory_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import {
  checkDomid,
  checkU8,
  checkU32,
  checkU64,
  checkU64List,
  type FrameList,
  getU64,
  putU64,
  putU64List,
} from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl, needRelease, requireOpen } from './privileged.js';
import { type AsyncOptions, checkAsyncOptions, stopIfAborted } from './progress.js';
import { refusal, staticHint } from './refusal.js';

/** Extents sent in one hypercall: 8 bytes each, so that a piece always fits in the smallest arena. */
const PIECE = 4096;

/**
 * Sets how much memory a domain may have. What it has stays, even when it is more.
 *
 * @param max_memkb in KiB, rounded down to whole pages
 * @throws XenError `ESRCH`: no such domain. `EPERM`: the caller is not privileged.
 */
export function xc_domain_setmaxmem(xch: XcInterface, domid: number, max_memkb: number | bigint): void {
  checkU64(max_memkb, 'max_memkb');
  const view = beginDomctl(xch, 'xc_domain_setmaxmem', XEN_DOMCTL_max_mem, domid, 'writes');
  putU64(view, DOMCTL_U + xen_domctl_max_mem.at.max_memkb, max_memkb);
  issueDomctl(xch, 'xc_domain_setmaxmem', domid);
}

/**
 * Asks for the size of the pool that a domain's page tables (and altp2m's) come from, in bytes. Since Xen 4.17.
 *
 * @throws XenError `EOPNOTSUPP`: Xen is older than 4.17, or the domain is PV. `ESRCH`. `EPERM`.
 */
export function xc_get_paging_mempool_size(xch: XcInterface, domid: number): number {
  const call = 'xc_get_paging_mempool_size';
  checkDomid(domid);
  needRelease(xch, call, '4.17', domid);
  const view = beginDomctl(xch, call, XEN_DOMCTL_get_paging_mempool_size, domid, 'reads');
  issueDomctl(xch, call, domid);
  return getU64(view, DOMCTL_U + (xen_domctl_paging_mempool.for(xch.abi.release).at.size as number));
}

/**
 * Sets the size of the pool that a domain's page tables (and altp2m's) come from. A domain that gets its memory without
 * `xl` needs this before anything else. Since Xen 4.17.
 *
 * @param size in bytes, a multiple of 4096; 8 MiB do for a small guest with some views
 * @throws XenError `EOPNOTSUPP`: Xen is older than 4.17, or the domain is PV. `EINVAL`: no multiple of 4096. `ENOMEM`:
 *   the host has not enough. `ESRCH`. `EPERM`.
 */
export function xc_set_paging_mempool_size(xch: XcInterface, domid: number, size: number | bigint): void {
  const call = 'xc_set_paging_mempool_size';
  checkDomid(domid);
  checkU64(size, 'size');
  needRelease(xch, call, '4.17', domid);
  const view = beginDomctl(xch, call, XEN_DOMCTL_set_paging_mempool_size, domid, 'writes');
  putU64(view, DOMCTL_U + (xen_domctl_paging_mempool.for(xch.abi.release).at.size as number), size);
  issueDomctl(xch, call, domid);
}

/**
 * Asks for the highest frame that a domain has, or had.
 *
 * @throws XenError `ESRCH`: no such domain. `EPERM`: the caller is not privileged.
 */
export function xc_domain_maximum_gpfn(xch: XcInterface, domid: number): number {
  checkDomid(domid);
  const { hypervisor } = xch;
  hypervisor.arena.view.setUint32(OPERAND_OFFSET, domid, true); // domid_t, and two bytes that nobody reads
  const rc = hypervisor.hypercall(__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, hypervisor.arena.operandAddress);
  if (rc < 0) throw refusal('xc_domain_maximum_gpfn', rc, domid);
  return rc;
}

/**
 * Asks how many frames a domain spans: the highest that it has, or had, plus 1.
 *
 * @throws XenError `ESRCH`: no such domain. `EPERM`: the caller is not privileged.
 */
export function xc_domain_nr_gpfns(xch: XcInterface, domid: number): number {
  return xc_domain_maximum_gpfn(xch, domid) + 1;
}

interface Extents {
  readonly domid: number;
  readonly order: number;
  readonly flags: number;
  readonly count: number;
  /** First frame of each extent; null: none are told. */
  readonly frames: FrameList | null;
}

function checkExtents(extents: Extents): Extents {
  checkDomid(extents.domid);
  checkU8(extents.order, 'extent_order');
  checkU32(extents.flags, 'mem_flags');
  if (extents.frames) checkU64List(extents.frames, 'extent_start');
  return extents;
}

function encode(view: DataView, at: number, extents: Extents, list: number, count: number): void {
  putU64(view, at + reservation.at.extent_start, list);
  putU64(view, at + reservation.at.nr_extents, count);
  view.setUint32(at + reservation.at.extent_order, extents.order, true);
  view.setUint32(at + reservation.at.mem_flags, extents.flags, true);
  putU64(view, at + reservation.at.domid, extents.domid); // and the hole after it
}

/** Sends pieces until all is done or Xen stops. Returns how many extents were done. */
function reserve(xch: XcInterface, syscall: string, cmd: number, extents: Extents): number {
  const { hypervisor } = xch;
  const { arena } = hypervisor;
  let done = 0;
  while (done < extents.count) {
    const count = Math.min(PIECE, extents.count - done);
    using list = extents.frames ? arena.alloc(count * 8) : null;
    if (list && extents.frames) putU64List(arena.view, list.offset, extents.frames, done, count);
    encode(arena.view, OPERAND_OFFSET, extents, list?.address ?? 0, count);
    const rc = hypervisor.hypercall(__HYPERVISOR_memory_op, cmd, arena.operandAddress);
    if (rc < 0) throw refusal(syscall, rc, extents.domid);
    done += rc;
    if (rc < count) break;
  }
  return done;
}

/** Throws unless all was done. */
function demandAll(syscall: string, { domid, count }: Extents, done: number): void {
  if (done === count) return;
  const hint = `${done} of ${count} extents: ${staticHint(syscall, -errno.EBUSY)}`;
  throw refusal(syscall, -errno.EBUSY, domid, hint);
}

/**
 * Gives a domain memory at frames of its own choice.
 *
 * @param extent_order each extent has 2^order pages and its first frame is a multiple of that
 * @param mem_flags `XENMEMF_*`; 0: anywhere
 * @param extent_start first frame of each extent
 * @returns how many extents it got, in the order of the list; fewer than asked for is no error here
 * @throws XenError `EPERM`: the caller is not privileged
 */
export function xc_domain_populate_physmap(
  xch: XcInterface,
  domid: number,
  extent_order: number,
  mem_flags: number,
  extent_start: FrameList,
): number {
  const extents = listed(domid, extent_order, mem_flags, extent_start);
  return reserve(xch, 'xc_domain_populate_physmap', XENMEM_populate_physmap, extents);
}

/**
 * {@link xc_domain_populate_physmap}, all or an error. What was done before the error stays done.
 *
 * @throws XenError `EBUSY`: not all; the hint says how many. `EPERM`: the caller is not privileged.
 */
export function xc_domain_populate_physmap_exact(
  xch: XcInterface,
  domid: number,
  extent_order: number,
  mem_flags: number,
  extent_start: FrameList,
): void {
  const extents = listed(domid, extent_order, mem_flags, extent_start);
  const call = 'xc_domain_populate_physmap_exact';
  demandAll(call, extents, reserve(xch, call, XENMEM_populate_physmap, extents));
}

/**
 * {@link xc_domain_populate_physmap_exact} off the main thread, piece by piece. Progress counts extents.
 *
 * @throws CallAbortedError the signal stopped it; `done` says how many extents, from the front of the list, the domain has
 */
export async function xc_domain_populate_physmap_exact_async(
  xch: XcInterface,
  domid: number,
  extent_order: number,
  mem_flags: number,
  extent_start: FrameList,
  options: AsyncOptions = {},
): Promise<void> {
  const call = 'xc_domain_populate_physmap_exact';
  checkAsyncOptions(options);
  const checked = listed(domid, extent_order, mem_flags, extent_start);
  const extents = { ...checked, frames: extent_start.slice() }; // the caller may go on to use its own
  const total = extents.count;
  requireOpen(xch);
  for (let done = 0; done < total; ) {
    stopIfAborted(options, call, done, total);
    const count = Math.min(PIECE, total - done);
    const rc = await populatePiece(xch, extents, done, count);
    if (rc < 0) throw refusal(call, rc, domid);
    done += rc;
    options.onProgress?.(done, total);
    if (rc < count) demandAll(call, extents, done);
  }
}

async function populatePiece(xch: XcInterface, extents: Extents, start: number, count: number): Promise<number> {
  const { hypervisor } = xch;
  const { arena } = hypervisor;
  using operand = arena.alloc(reservation.size + count * 8);
  const list = reservation.size;
  putU64List(arena.view, operand.offset + list, extents.frames as FrameList, start, count);
  encode(arena.view, operand.offset, extents, operand.address + list, count);
  return await hypervisor.hypercallAsync(__HYPERVISOR_memory_op, XENMEM_populate_physmap, operand.address);
}

/**
 * Takes memory away from a domain.
 *
 * @param extent_start first frame of each extent
 * @returns how many extents were taken, in the order of the list; fewer than asked for is no error here
 * @throws XenError `EPERM`: the caller is not privileged
 */
export function xc_domain_decrease_reservation(
  xch: XcInterface,
  domid: number,
  extent_order: number,
  extent_start: FrameList,
): number {
  const extents = listed(domid, extent_order, 0, extent_start);
  return reserve(xch, 'xc_domain_decrease_reservation', XENMEM_decrease_reservation, extents);
}

/**
 * {@link xc_domain_decrease_reservation}, all or an error. What was done before the error stays done.
 *
 * @throws XenError `EBUSY`: not all; the hint says how many. `EPERM`: the caller is not privileged.
 */
export function xc_domain_decrease_reservation_exact(
  xch: XcInterface,
  domid: number,
  extent_order: number,
  extent_start: FrameList,
): void {
  const extents = listed(domid, extent_order, 0, extent_start);
  const call = 'xc_domain_decrease_reservation_exact';
  demandAll(call, extents, reserve(xch, call, XENMEM_decrease_reservation, extents));
}

/**
 * Gives a PV domain memory without saying where it goes; the machine frames are not told here.
 *
 * @returns how many extents it got; fewer than asked for is no error here
 * @throws XenError `EPERM`: the caller is not privileged
 */
export function xc_domain_increase_reservation(
  xch: XcInterface,
  domid: number,
  nr_extents: number,
  extent_order: number,
  mem_flags: number,
): number {
  const extents = counted(domid, nr_extents, extent_order, mem_flags);
  return reserve(xch, 'xc_domain_increase_reservation', XENMEM_increase_reservation, extents);
}

/**
 * {@link xc_domain_increase_reservation}, all or an error. What was done before the error stays done.
 *
 * @throws XenError `EBUSY`: not all; the hint says how many. `EPERM`: the caller is not privileged.
 */
export function xc_domain_increase_reservation_exact(
  xch: XcInterface,
  domid: number,
  nr_extents: number,
  extent_order: number,
  mem_flags: number,
): void {
  const extents = counted(domid, nr_extents, extent_order, mem_flags);
  const call = 'xc_domain_increase_reservation_exact';
  demandAll(call, extents, reserve(xch, call, XENMEM_increase_reservation, extents));
}

function listed(domid: number, order: number, flags: number, frames: FrameList): Extents {
  checkU64List(frames, 'extent_start');
  return checkExtents({ domid, order, flags, count: frames.length, frames });
}

function counted(domid: number, count: number, order: number, flags: number): Extents {
  checkU32(count, 'nr_extents');
  return checkExtents({ domid, order, flags, count, frames: null });
}
