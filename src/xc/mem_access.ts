/**
 * Access to the frames of a domain's memory, as libxc's `xc_mem_access.c`: what a vCPU may do with a frame before it is
 * stopped and reported. These calls act on the host's own p2m; for a view, see `xc_altp2m_set_mem_access`.
 *
 * Errors that each of them can give, in the order in which Xen looks:
 * - `ESRCH`: no such domain. `EPERM`: the domain is the caller. `EINVAL`: it is being torn down.
 * - `EINVAL`: the domain is not HVM with hardware-assisted paging on an Intel host (up to Xen 4.18 its AMD counterpart
 *   is refused here, too).
 * - `EPERM`: the caller is not privileged.
 * - `ENODEV`: nobody listens: {@link xc_monitor_enable} comes first.
 *
 * Source of the behaviour: Xen's `mem_access_memop`, in `xen/common/mem_access.c`.
 */

import {
  xen_mem_access_op as access_op,
  decodeAccess,
  encodeAccess,
  XENMEM_access_op,
  XENMEM_access_op_get_access,
  XENMEM_access_op_set_access,
  XENMEM_access_op_set_access_multi,
  type XenmemAccess,
} from '../abi/memory.js';
import { __HYPERVISOR_memory_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkDomid, checkU8, checkU32, checkU64, type FrameList, putU64 } from '../hypervisor/check.js';
import { type AccessList, checkAccessLists, encodeAccessLists, PIECE } from './access_lists.js';
import type { XcInterface } from './interface.js';
import { refusal } from './refusal.js';

const F = access_op.at;
const OP = OPERAND_OFFSET;

/** Makes the call; the whole structure is written, so that nothing of an earlier call is left in it. */
function accessOp(
  xch: XcInterface,
  syscall: string,
  domid: number,
  op: number,
  access: number,
  nr: number,
  pfn: number | bigint,
  pfnList: number,
  accessList: number,
): DataView {
  const { hypervisor } = xch;
  const { view } = hypervisor.arena;
  view.setUint8(OP + F.op, op);
  view.setUint8(OP + F.access, access);
  view.setUint16(OP + F.domid, domid, true);
  view.setUint32(OP + F.nr, nr, true);
  putU64(view, OP + F.pfn, pfn);
  putU64(view, OP + F.pfn_list, pfnList);
  putU64(view, OP + F.access_list, accessList);
  const rc = hypervisor.hypercall(__HYPERVISOR_memory_op, XENMEM_access_op, hypervisor.arena.operandAddress);
  if (rc < 0) throw refusal(syscall, rc, domid);
  return view;
}

/**
 * Sets the access of consecutive frames; of a long range Xen does a part at a time, others can run between.
 *
 * @param first_pfn the first frame; `INVALID_GFN` with `nr` 0 sets the domain's default access instead: what frames get
 *   that are added later, and what `XENMEM_access.default` means
 * @param nr how many frames
 * @throws XenError `EINVAL`: no access type, or the range goes beyond the highest frame of the domain. Others: see the head
 *   of this file.
 */
export function xc_set_mem_access(
  xch: XcInterface,
  domid: number,
  access: XenmemAccess,
  first_pfn: number | bigint,
  nr: number,
): void {
  checkDomid(domid);
  const code = encodeAccess(access, xch.abi);
  checkU8(code, 'access');
  checkU64(first_pfn, 'first_pfn');
  checkU32(nr, 'nr');
  accessOp(xch, 'xc_set_mem_access', domid, XENMEM_access_op_set_access, code, nr, first_pfn, 0, 0);
}

/**
 * Sets the access of many frames. Lists of any length are sent in pieces of 4,096; Xen stops at the first error and what
 * came before stays set. Since Xen 4.9.
 *
 * @param access one access type a frame; a `Uint8Array` is taken as raw `xenmem_access_t`
 * @param pages the frames. C's `nr` is the length of the lists.
 * @throws RangeError when the lists differ in length
 * @throws XenError `EINVAL`: an entry is no access type. Others: see the head of this file.
 */
export function xc_set_mem_access_multi(xch: XcInterface, domid: number, access: AccessList, pages: FrameList): void {
  checkDomid(domid);
  const codes = checkAccessLists(xch, access, pages, 'pages');
  const { arena } = xch.hypervisor;
  for (let start = 0; start === 0 || start < pages.length; start += PIECE) {
    const count = Math.min(PIECE, pages.length - start);
    using lists = arena.alloc(count * 9);
    encodeAccessLists(arena.view, lists, codes, pages, start, count);
    const [op, first, second] = [XENMEM_access_op_set_access_multi, lists.address, lists.address + count * 8];
    accessOp(xch, 'xc_set_mem_access_multi', domid, op, 0, count, 0, first, second);
  }
}

/**
 * Asks for the access of a frame.
 *
 * @param pfn the frame; `INVALID_GFN` asks for the domain's default access
 * @returns a number, or `XENMEM_access.r_pw`
 * @throws XenError `EINVAL`: the frame is above the highest one of the domain. `ESRCH`: it has no memory. Others: see the
 *   head of this file.
 */
export function xc_get_mem_access(xch: XcInterface, domid: number, pfn: number | bigint): XenmemAccess {
  checkDomid(domid);
  checkU64(pfn, 'pfn');
  const view = accessOp(xch, 'xc_get_mem_access', domid, XENMEM_access_op_get_access, 0, 0, pfn, 0, 0);
  return decodeAccess(view.getUint8(OP + F.access), xch.abi);
}
