/** Xen's console ring and its debug keys; libxc's `xc_misc.c`. Both need privilege: `EPERM` otherwise. */

import {
  xen_sysctl_debug_keys as KEYS,
  xen_sysctl_readconsole as READ,
  XEN_SYSCTL_debug_keys,
  XEN_SYSCTL_readconsole,
} from '../abi/sysctl.js';
import { checkBoolean, checkU32, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginSysctl, issueSysctl, requireOpen, SYSCTL_U } from './privileged.js';

/** Bytes asked for in one hypercall, so that a piece always fits in the smallest arena. */
const PIECE = 16384;

/** What was read of the console ring. */
export interface ConsoleRing {
  /** What Xen and, where it is passed on, guests have printed: as a rule UTF-8 text. */
  readonly buffer: Uint8Array;
  /** Where the next incremental read goes on. */
  readonly index: number;
}

/**
 * Reads Xen's console ring, oldest first, as `xl dmesg` does. Long rings come in pieces of 16 KiB.
 *
 * @param nr_chars no more than so many bytes; a ring has 16 KiB by default and can be configured to be larger
 * @param clear the next read, of whomever, begins where this one ends
 * @param incremental read on from `index`, as an earlier read told it; false: from the oldest byte (or the last clear)
 */
export function xc_readconsolering(
  xch: XcInterface,
  nr_chars: number,
  clear = false,
  incremental = false,
  index = 0,
): ConsoleRing {
  checkU32(nr_chars, 'nr_chars');
  checkBoolean(clear, 'clear');
  checkBoolean(incremental, 'incremental');
  checkU32(index, 'index');
  const { arena } = requireOpen(xch);
  const pieces: Uint8Array[] = [];
  let next = index;
  let going = incremental;
  for (let left = nr_chars; left > 0; going = true) {
    const wanted = Math.min(PIECE, left);
    using buffer = arena.alloc(wanted);
    const view = beginSysctl(xch, 'xc_readconsolering', XEN_SYSCTL_readconsole, 'writes');
    view.setUint8(SYSCTL_U + READ.at.clear, clear ? 1 : 0);
    view.setUint8(SYSCTL_U + READ.at.incremental, going ? 1 : 0);
    view.setUint32(SYSCTL_U + READ.at.index, next, true);
    putU64(view, SYSCTL_U + READ.at.buffer, buffer.address);
    view.setUint32(SYSCTL_U + READ.at.count, wanted, true);
    issueSysctl(xch, 'xc_readconsolering');
    const count = Math.min(wanted, view.getUint32(SYSCTL_U + READ.at.count, true));
    next = view.getUint32(SYSCTL_U + READ.at.index, true);
    pieces.push(buffer.bytes.slice(0, count));
    left -= count;
    if (count < wanted) break;
  }
  return { buffer: Buffer.concat(pieces), index: next };
}

/** Keys sent in one hypercall. */
const MOST_KEYS = 4096;

/**
 * Presses debug keys, as on Xen's console: 'h' lists them there. What they print is in the console ring.
 *
 * @param keys one character a key, ASCII. Some do harm: 'R' restarts the host at once, 'C' crashes it
 */
export function xc_send_debug_keys(xch: XcInterface, keys: string): void {
  if (typeof keys !== 'string') throw new TypeError(`keys must be a string, not ${typeof keys}`);
  if (keys.length < 1 || keys.length > MOST_KEYS || [...keys].some((key) => key > '\x7f')) {
    throw new RangeError(`keys must be from 1 to ${MOST_KEYS} ASCII characters`);
  }
  using buffer = requireOpen(xch).arena.alloc(keys.length);
  buffer.bytes.set(Buffer.from(keys, 'latin1'));
  const view = beginSysctl(xch, 'xc_send_debug_keys', XEN_SYSCTL_debug_keys, 'writes');
  putU64(view, SYSCTL_U + KEYS.at.keys, buffer.address);
  view.setUint32(SYSCTL_U + KEYS.at.nr_keys, keys.length, true);
  issueSysctl(xch, 'xc_send_debug_keys');
}
