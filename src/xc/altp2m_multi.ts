/** The altp2m calls that take lists or ranges; see `altp2m.ts` for the family. */

import {
  xen_hvm_altp2m_set_mem_access_multi as accessMulti,
  HVMOP_altp2m_set_mem_access_multi,
  HVMOP_altp2m_set_suppress_ve_multi,
  xen_hvm_altp2m_op as operation,
  xen_hvm_altp2m_suppress_ve_multi as veMulti,
} from '../abi/hvm/hvm_op.js';
import { type ArenaBuffer, OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkBoolean, checkU16, checkU64, type FrameList, getU64, putU64 } from '../hypervisor/check.js';
import { type AccessList, checkAccessLists, encodeAccessLists, PIECE } from './access_lists.js';
import { begin, issue } from './altp2m.js';
import type { XcInterface } from './interface.js';

const U = OPERAND_OFFSET + operation.at.u;

/**
 * Sets the access of many frames in a view. Frames without ordinary memory are skipped. Lists of any length are sent in
 * pieces of 4,096; Xen stops at the first error and what came before stays set. Since Xen 4.11.
 *
 * @param access one access type a frame, in the order of `gfns`; a `Uint8Array` is taken as raw `xenmem_access_t`
 * @param gfns the frames; `INVALID_GFN` has no special meaning here
 * @throws RangeError when the lists differ in length
 * @throws XenError `EINVAL`: no such view, or an entry is no access type
 */
export function xc_altp2m_set_mem_access_multi(
  xch: XcInterface,
  domid: number,
  view_id: number,
  access: AccessList,
  gfns: FrameList,
): void {
  checkU16(view_id, 'view_id');
  const codes = checkAccessLists(xch, access, gfns, 'gfns');
  const { arena } = xch.hypervisor;
  for (let start = 0; start === 0 || start < gfns.length; start += PIECE) {
    const count = Math.min(PIECE, gfns.length - start);
    using lists = arena.alloc(count * 9);
    encodeAccessLists(arena.view, lists, codes, gfns, start, count);
    const view = begin(xch, HVMOP_altp2m_set_mem_access_multi, domid);
    encodeMulti(view, U, view_id, lists, count);
    issue(xch, 'xc_altp2m_set_mem_access_multi', domid);
  }
}

/**
 * Writes the operation's union, at `at`.
 *
 * @internal
 */
export function encodeMulti(view: DataView, at: number, view_id: number, lists: ArenaBuffer, count: number): void {
  view.setUint16(at + accessMulti.at.view, view_id, true);
  view.setUint32(at + accessMulti.at.nr, count, true);
  putU64(view, at + accessMulti.at.pfn_list, lists.address);
  putU64(view, at + accessMulti.at.access_list, lists.address + count * 8);
}
/** The first frame of a range that {@link xc_altp2m_set_suppress_ve_multi} could not change. */
export interface SuppressVeMultiResult {
  /** 0, or the negative errno of the first failure. */
  readonly error_code: number;
  /** Where it happened; 0 when nothing did. */
  readonly error_gfn: number;
}

/**
 * Sets or clears the suppress-#VE bit of a range of frames in a view. Failures of single frames do not stop it: the
 * first is told in the result. Since Xen 4.14.
 *
 * @param first_gfn @param last_gfn the range, both included; Xen cuts it at the end of the physical address space
 * @throws XenError `EINVAL`: no such view, or `first_gfn` above `last_gfn`
 */
export function xc_altp2m_set_suppress_ve_multi(
  xch: XcInterface,
  domid: number,
  view_id: number,
  first_gfn: number | bigint,
  last_gfn: number | bigint,
  sve: boolean,
): SuppressVeMultiResult {
  checkU16(view_id, 'view_id');
  checkU64(first_gfn, 'first_gfn');
  checkU64(last_gfn, 'last_gfn');
  checkBoolean(sve, 'sve');
  const view = begin(xch, HVMOP_altp2m_set_suppress_ve_multi, domid);
  view.setUint16(U + veMulti.at.view, view_id, true);
  view.setUint8(U + veMulti.at.suppress_ve, sve ? 1 : 0);
  putU64(view, U + veMulti.at.first_gfn, first_gfn);
  putU64(view, U + veMulti.at.last_gfn, last_gfn);
  issue(xch, 'xc_altp2m_set_suppress_ve_multi', domid);
  return {
    error_code: view.getInt32(U + veMulti.at.first_error, true),
    error_gfn: getU64(view, U + veMulti.at.first_error_gfn),
  };
}

/** libxc's spelling of {@link xc_altp2m_set_suppress_ve_multi}. */
export const xc_altp2m_set_supress_ve_multi = xc_altp2m_set_suppress_ve_multi;
