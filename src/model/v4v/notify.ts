/** V4VOP_notify: wakes who waits for room in the caller's rings, then answers about other domains' rings. */

import { errno } from '../../abi/errno.js';
import {
  V4V_RING_DATA_F_EMPTY,
  V4V_RING_DATA_F_EXISTS,
  V4V_RING_DATA_F_PENDING,
  V4V_RING_DATA_F_SUFFICIENT,
  V4V_RING_DATA_MAGIC,
  v4v_ring_data,
  v4v_ring_data_ent,
} from '../../abi/v4v.js';
import { someSourceAccepted, type V4vAddr } from '../../abi/v4v_rules.js';
import type { Caller } from '../caller.js';
import type { V4vDomain } from './domain.js';
import { fetchArgument, fetchInto } from './fetch.js';
import type { V4vRing } from './ring.js';
import type { V4vCore } from './v4v.js';

const F = v4v_ring_data_ent.at;

/** @param data `v4v_ring_data` and its entries, or 0 */
export function notify(v4v: V4vCore, caller: Caller, own: V4vDomain | undefined, data: number): number {
  if (!own) return -errno.ENODEV;
  for (const ring of own.rings) wake(v4v, ring);
  if (data === 0) return 0;
  const { memory } = caller;
  if (!fetchArgument(caller, v4v.onFetch, data, v4v_ring_data.size)) return -errno.EFAULT;
  const { view, at } = memory;
  if (view.getBigUint64(at + v4v_ring_data.at.magic, true) !== V4V_RING_DATA_MAGIC) return -errno.EINVAL;
  const nent = view.getUint32(at + v4v_ring_data.at.nent, true);
  if (!v4v.posted[3] && nent > own.limits.maxNotify) return -errno.EACCES;
  const entry = new Uint8Array(v4v_ring_data_ent.size);
  for (let i = 0; i < nent; i++) {
    const address = data + v4v_ring_data.size + i * entry.length;
    if (!fetchInto(caller, v4v.onFetch, 'argument', address, entry)) return -errno.EFAULT;
    answer(v4v, caller, entry);
    const to = v4v.posted.e ? F.flags + 2 : entry.length;
    if (!caller.memory.write(address + F.flags, entry.subarray(F.flags, to))) return -errno.EFAULT;
  }
  return 0;
}

/** Signals the domains that wait for no more room than there is now. */
function wake(v4v: V4vCore, ring: V4vRing): void {
  if (ring.waiters.size === 0) return;
  const space = ring.payloadSpace();
  for (const [domid, length] of ring.waiters) {
    if (length > space) continue;
    ring.waiters.delete(domid);
    const waiter = v4v.domain(domid);
    if (waiter) v4v.signal(waiter);
  }
}

/** Fills one entry in. A ring that a rule keeps from the caller looks exactly like one that is not there. */
function answer(v4v: V4vCore, { domain: { domid } }: Caller, entry: Uint8Array): void {
  const view = new DataView(entry.buffer);
  const dst: V4vAddr = { port: view.getUint32(F.ring, true), domain: view.getUint16(F.ring + 4, true) };
  const required = view.getUint32(F.space_required, true);
  const ring = visibleRing(v4v, domid, dst);
  view.setUint16(F.flags, ring ? flagsOf(v4v, ring, domid, required) : 0, true);
  view.setUint16(F.pad, 0, true);
  view.setUint32(F.max_message_size, ring ? ring.maxMessage : 0, true);
}

function visibleRing(v4v: V4vCore, domid: number, dst: V4vAddr): V4vRing | undefined {
  if (!v4v.posted[14] && !someSourceAccepted(v4v.tables.rules, domid, dst)) return undefined;
  return v4v.domain(dst.domain)?.ringFor(dst.port, domid);
}

function flagsOf(v4v: V4vCore, ring: V4vRing, domid: number, required: number): number {
  const space = ring.payloadSpace();
  const flags = V4V_RING_DATA_F_EXISTS | (space === ring.maxMessage ? V4V_RING_DATA_F_EMPTY : 0);
  if (space >= required) {
    ring.waiters.delete(domid);
    return flags | V4V_RING_DATA_F_SUFFICIENT;
  }
  // room that the ring can never have is not waited for: max_message_size tells why
  if (!v4v.posted.f && required > ring.maxMessage) return flags;
  v4v.enqueue(ring, domid, required);
  return flags | V4V_RING_DATA_F_PENDING;
}
