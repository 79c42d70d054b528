/**
 * What a domain's frames show, as libxc's `xc_domain.c`: pages that Xen shares with the domain, and pages moved from one
 * frame to another. For domains whose memory Xen translates (HVM, PVH).
 *
 * Source of the behaviour: Xen's `xen/common/memory.c` and `xenmem_add_to_physmap_one` in `xen/arch/x86/mm/p2m.c`.
 */

import {
  xen_add_to_physmap as ADD,
  xen_add_to_physmap_batch as BATCH,
  xen_remove_from_physmap as REMOVE,
  XENMEM_add_to_physmap,
  XENMEM_add_to_physmap_batch,
  XENMEM_remove_from_physmap,
} from '../abi/memory.js';
import { __HYPERVISOR_memory_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import {
  checkDomid,
  checkU16,
  checkU32,
  checkU64,
  checkU64List,
  type FrameList,
  putU64,
  putU64List,
} from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { requireOpen } from './privileged.js';
import { refusal } from './refusal.js';

/** Frames sent in one hypercall: 20 bytes each, so that a piece always fits in the smallest arena. */
const PIECE = 1024;

function begin(xch: XcInterface, size: number): DataView {
  const { bytes, view } = requireOpen(xch).arena;
  bytes.fill(0, OPERAND_OFFSET, OPERAND_OFFSET + size);
  return view;
}

function issue(xch: XcInterface, syscall: string, cmd: number, domid: number): void {
  const { hypervisor } = xch;
  const rc = hypervisor.hypercall(__HYPERVISOR_memory_op, cmd, hypervisor.arena.operandAddress);
  if (rc < 0) throw refusal(syscall, rc, domid);
}

/**
 * Has a frame of a domain show something else. What it showed is freed, if it was the domain's memory.
 *
 * @param space `XENMAPSPACE_shared_info` (idx 0), `XENMAPSPACE_grant_table` (idx: which frame of the table) or
 *   `XENMAPSPACE_gmfn` (idx: the frame whose page moves here)
 * @throws XenError `EINVAL`: there is no such page, or `gpfn` is no frame. `EACCES`: a PV domain. `ENOSYS`: a space that
 *   only the batch call takes. `ESRCH`. `EPERM`.
 */
export function xc_domain_add_to_physmap(
  xch: XcInterface,
  domid: number,
  space: number,
  idx: number | bigint,
  gpfn: number | bigint,
): void {
  checkDomid(domid);
  checkU32(space, 'space');
  checkU64(idx, 'idx');
  checkU64(gpfn, 'gpfn');
  const view = begin(xch, ADD.size);
  view.setUint16(OPERAND_OFFSET + ADD.at.domid, domid, true);
  view.setUint32(OPERAND_OFFSET + ADD.at.space, space, true);
  putU64(view, OPERAND_OFFSET + ADD.at.idx, idx);
  putU64(view, OPERAND_OFFSET + ADD.at.gpfn, gpfn);
  issue(xch, 'xc_domain_add_to_physmap', XENMEM_add_to_physmap, domid);
}

/**
 * {@link xc_domain_add_to_physmap} for many frames. Long lists are sent in pieces of 1,024. C's `size` is the length of
 * the lists.
 *
 * @param foreign_domid whose pages they are, with `XENMAPSPACE_gmfn_foreign`; otherwise 0
 * @param space a 16-bit number here
 * @param idxs what each frame is to show
 * @param gfns the frames
 * @returns for each frame 0, or the negative errno that kept it from it
 * @throws XenError `EACCES`: a PV domain. `EINVAL`: `foreign_domid` without that space. `ESRCH`. `EPERM`.
 */
export function xc_domain_add_to_physmap_batch(
  xch: XcInterface,
  domid: number,
  foreign_domid: number,
  space: number,
  idxs: FrameList,
  gfns: FrameList,
): Int32Array {
  const call = 'xc_domain_add_to_physmap_batch';
  checkDomid(domid);
  checkU16(foreign_domid, 'foreign_domid');
  checkU16(space, 'space');
  checkU64List(idxs, 'idxs');
  checkU64List(gfns, 'gfns');
  if (idxs.length !== gfns.length) {
    throw new RangeError(`idxs and gfns must be as long as each other, not ${idxs.length} and ${gfns.length}`);
  }
  const { arena } = requireOpen(xch);
  const errors = new Int32Array(gfns.length);
  // an empty list, too, is sent: whether the domain is there is for Xen to say
  let done = 0;
  do {
    const count = Math.min(PIECE, gfns.length - done);
    using list = arena.alloc(count * 20);
    const frames = count * 8;
    putU64List(arena.view, list.offset, idxs, done, count);
    putU64List(arena.view, list.offset + frames, gfns, done, count);
    const view = begin(xch, BATCH.size);
    view.setUint16(OPERAND_OFFSET + BATCH.at.domid, domid, true);
    view.setUint16(OPERAND_OFFSET + BATCH.at.space, space, true);
    view.setUint16(OPERAND_OFFSET + BATCH.at.size, count, true);
    view.setUint16(OPERAND_OFFSET + BATCH.at['u.foreign_domid'], foreign_domid, true);
    putU64(view, OPERAND_OFFSET + BATCH.at.idxs, list.address);
    putU64(view, OPERAND_OFFSET + BATCH.at.gpfns, list.address + frames);
    putU64(view, OPERAND_OFFSET + BATCH.at.errs, list.address + frames * 2);
    issue(xch, call, XENMEM_add_to_physmap_batch, domid);
    for (let i = 0; i < count; i++) errors[done + i] = view.getInt32(list.offset + frames * 2 + i * 4, true);
    done += count;
  } while (done < gfns.length);
  return errors;
}

/**
 * Has a frame of a domain show nothing. The page stays the domain's, without a frame.
 *
 * @throws XenError `ENOENT`: the frame shows nothing. `EACCES`: a PV domain. `ESRCH`. `EPERM`.
 */
export function xc_domain_remove_from_physmap(xch: XcInterface, domid: number, gpfn: number | bigint): void {
  checkDomid(domid);
  checkU64(gpfn, 'gpfn');
  const view = begin(xch, REMOVE.size);
  view.setUint16(OPERAND_OFFSET + REMOVE.at.domid, domid, true);
  putU64(view, OPERAND_OFFSET + REMOVE.at.gpfn, gpfn);
  issue(xch, 'xc_domain_remove_from_physmap', XENMEM_remove_from_physmap, domid);
}
