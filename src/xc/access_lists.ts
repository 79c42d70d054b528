/** Lists of frames and of their access types, one each, as the two calls that set many at once take them. */

import { encodeAccess, type XenmemAccess } from '../abi/memory.js';
import type { ArenaBuffer } from '../hypervisor/arena.js';
import { checkU8, checkU64List, type FrameList, putU64List } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';

/**
 * Entries sent in one hypercall: 9 bytes each, so that a piece always fits in the smallest arena.
 *
 * @internal
 */
export const PIECE = 4096;

/** One access type a frame; a `Uint8Array` is taken as raw `xenmem_access_t`. */
export type AccessList = readonly XenmemAccess[] | Uint8Array;

/**
 * Checks the lists, and gives the access types as Xen numbers them.
 *
 * @param name what the call names the frames
 * @internal
 */
export function checkAccessLists(xch: XcInterface, access: AccessList, gfns: FrameList, name: string): Uint8Array {
  if (!(access instanceof Uint8Array) && !Array.isArray(access)) {
    throw new TypeError('access must be an array of access types or a Uint8Array');
  }
  checkU64List(gfns, name);
  if (access.length !== gfns.length) {
    throw new RangeError(`access has ${access.length} entries and ${name} ${gfns.length}: give one of each a frame`);
  }
  return access instanceof Uint8Array ? access : Uint8Array.from(access, (one, i) => accessCode(xch, one, i));
}

function accessCode(xch: XcInterface, access: XenmemAccess, index: number): number {
  const code = encodeAccess(access, xch.abi);
  checkU8(code, `access[${index}]`);
  return code;
}

/**
 * Writes the frames of a piece, and behind them their access types.
 *
 * @internal
 */
export function encodeAccessLists(
  view: DataView,
  lists: ArenaBuffer,
  codes: Uint8Array,
  gfns: FrameList,
  start: number,
  count: number,
): void {
  putU64List(view, lists.offset, gfns, start, count);
  lists.bytes.set(codes.subarray(start, start + count), count * 8);
}
