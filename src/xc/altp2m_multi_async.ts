/** The awaitable form of the altp2m call that takes long lists; see `altp2m.ts` for the family. */

import {
  HVMOP_ALTP2M_INTERFACE_VERSION,
  HVMOP_altp2m,
  HVMOP_altp2m_set_mem_access_multi,
  xen_hvm_altp2m_op as operation,
} from '../abi/hvm/hvm_op.js';
import { __HYPERVISOR_hvm_op } from '../abi/xen.js';
import { checkDomid, checkU16, type FrameList } from '../hypervisor/check.js';
import { type AccessList, checkAccessLists, encodeAccessLists, PIECE } from './access_lists.js';
import { altp2mError } from './altp2m_hint.js';
import { encodeMulti, type xc_altp2m_set_mem_access_multi } from './altp2m_multi.js';
import type { XcInterface } from './interface.js';
import { type AsyncOptions, checkAsyncOptions, stopIfAborted } from './progress.js';

/**
 * {@link xc_altp2m_set_mem_access_multi} off the main thread, piece by piece. Progress counts frames.
 *
 * @throws CallAbortedError the signal stopped it; the first `done` frames have their access, the others do not
 */
export async function xc_altp2m_set_mem_access_multi_async(
  xch: XcInterface,
  domid: number,
  view_id: number,
  access: AccessList,
  gfns: FrameList,
  options: AsyncOptions = {},
): Promise<void> {
  const call = 'xc_altp2m_set_mem_access_multi';
  checkDomid(domid);
  checkAsyncOptions(options);
  checkU16(view_id, 'view_id');
  const codes = checkAccessLists(xch, access, gfns, 'gfns').slice();
  const frames = gfns.slice(); // the caller may go on to use its own
  const total = frames.length;
  for (let start = 0; start === 0 || start < total; start += PIECE) {
    stopIfAborted(options, call, start, total);
    const count = Math.min(PIECE, total - start);
    const rc = await setPiece(xch, domid, view_id, codes, frames, start, count);
    if (rc < 0) throw altp2mError(xch, call, rc, domid);
    options.onProgress?.(start + count, total);
  }
}

async function setPiece(
  xch: XcInterface,
  domid: number,
  view_id: number,
  codes: Uint8Array,
  gfns: FrameList,
  start: number,
  count: number,
): Promise<number> {
  const { hypervisor } = xch;
  const { arena } = hypervisor;
  using lists = arena.alloc(count * 9);
  using operand = arena.alloc(operation.size);
  encodeAccessLists(arena.view, lists, codes, gfns, start, count);
  arena.view.setUint32(operand.offset + operation.at.version, HVMOP_ALTP2M_INTERFACE_VERSION, true);
  arena.view.setUint32(operand.offset + operation.at.cmd, HVMOP_altp2m_set_mem_access_multi, true);
  arena.view.setUint16(operand.offset + operation.at.domain, domid, true);
  encodeMulti(arena.view, operand.offset + operation.at.u, view_id, lists, count);
  return await hypervisor.hypercallAsync(__HYPERVISOR_hvm_op, HVMOP_altp2m, operand.address);
}
