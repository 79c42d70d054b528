/** How V4V reads what guests write: each word once, into memory of its own, and observed, so that tests can interfere. */

import type { Caller } from '../caller.js';

/** What was read: an argument of a hypercall, payload, or a word (or more) of a ring's header. */
export type FetchKind = 'argument' | 'payload' | 'ring';

/**
 * Called after each piece of guest memory that V4V has read, as another vCPU of the guest may run then and change it.
 *
 * @param domid whose memory it is
 * @param address guest-physical (dom0: in its arena) of an argument or payload; offset in the ring of `'ring'`
 */
export type OnFetch = (domid: number, kind: FetchKind, address: number, length: number) => void;

/** Addresses above this are nobody's; they may be rounded, too. */
const HIGHEST_ADDRESS = Number.MAX_SAFE_INTEGER;

/** Makes an argument of up to a page readable through `caller.memory.view`; false is EFAULT. */
export function fetchArgument(caller: Caller, onFetch: OnFetch | null, address: number, length: number): boolean {
  if (!(address > 0 && address <= HIGHEST_ADDRESS) || !caller.memory.copyIn(address, length)) return false;
  onFetch?.(caller.domain.domid, 'argument', address, length);
  return true;
}

/** Copies guest memory into `target`; false is EFAULT, and what was readable before the hole may have been copied. */
export function fetchInto(
  caller: Caller,
  onFetch: OnFetch | null,
  kind: FetchKind,
  address: number,
  target: Uint8Array,
): boolean {
  if (!(address >= 0 && address <= HIGHEST_ADDRESS) || !caller.memory.read(address, target)) return false;
  onFetch?.(caller.domain.domid, kind, address, target.length);
  return true;
}
