/** The altp2m calls that take lists or ranges; see `altp2m.ts` for the family. */

import {
  xen_hvm_altp2m_set_mem_access_multi as accessMulti,
  HVMOP_altp2m_set_mem_access_multi,
  HVMOP_altp2m_set_suppress_ve_multi,
  xen_hvm_altp2m_suppress_ve_multi as veMulti,
  xen_hvm_altp2m_op,
} from '../abi/hvm/hvm_op.js';
import { encodeAccess, type XenmemAccess } from '../abi/memory.js';
import { type ArenaBuffer, OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkBoolean, checkU8, checkU16, checkU64, getU64, putU64 } from '../hypervisor/check.js';
import { begin, issue } from './altp2m.js';
import type { XcInterface } from './interface.js';

const U = OPERAND_OFFSET + xen_hvm_altp2m_op.at.u;

/** Entries sent in one hypercall: 9 bytes each, so that a piece always fits in the smallest arena. */
const PIECE = 4096;

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
  access: readonly XenmemAccess[] | Uint8Array,
  gfns: readonly (number | bigint)[] | BigUint64Array,
): void {
  const call = checkedLists(xch, view_id, access, gfns);
  for (let start = 0; start === 0 || start < gfns.length; start += PIECE) {
    const count = Math.min(PIECE, gfns.length - start);
    using lists = call.encode(start, count);
    encodeMulti(xch, domid, view_id, lists, count);
    issue(xch, 'xc_altp2m_set_mem_access_multi', domid);
  }
}

function checkedLists(
  xch: XcInterface,
  view_id: number,
  access: readonly XenmemAccess[] | Uint8Array,
  gfns: readonly (number | bigint)[] | BigUint64Array,
): { encode(start: number, count: number): ArenaBuffer } {
  checkU16(view_id, 'view_id');
  if (access.length !== gfns.length) {
    throw new RangeError(`access has ${access.length} entries and gfns ${gfns.length}: give one of each a frame`);
  }
  const codes = access instanceof Uint8Array ? access : Uint8Array.from(access, (one, i) => accessCode(xch, one, i));
  if (!(gfns instanceof BigUint64Array)) gfns.forEach((gfn, i) => checkU64(gfn, `gfns[${i}]`));
  return {
    encode(start, count) {
      const { arena } = xch.hypervisor;
      const lists = arena.alloc(Math.max(1, count) * 9);
      for (let i = 0; i < count; i++) putU64(arena.view, lists.offset + i * 8, gfns[start + i] ?? 0);
      lists.bytes.set(codes.subarray(start, start + count), count * 8);
      return lists;
    },
  };
}

function accessCode(xch: XcInterface, access: XenmemAccess, index: number): number {
  const code = encodeAccess(access, xch.abi);
  checkU8(code, `access[${index}]`);
  return code;
}

function encodeMulti(xch: XcInterface, domid: number, view_id: number, lists: ArenaBuffer, count: number): void {
  const view = begin(xch, HVMOP_altp2m_set_mem_access_multi, domid);
  view.setUint16(U + accessMulti.at.view, view_id, true);
  view.setUint32(U + accessMulti.at.nr, count, true);
  putU64(view, U + accessMulti.at.pfn_list, lists.address);
  putU64(view, U + accessMulti.at.access_list, lists.address + count * 8);
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
