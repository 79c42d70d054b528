/** notify: wakes those who wait for room in the caller's rings, and tells the caller of the room in others'. */

import {
  XEN_ARGO_RING_EBUSY,
  XEN_ARGO_RING_EMPTY,
  XEN_ARGO_RING_EMSGSIZE,
  XEN_ARGO_RING_EXISTS,
  XEN_ARGO_RING_SHARED,
  XEN_ARGO_RING_SUFFICIENT,
  xen_argo_addr,
  xen_argo_ring_data,
  xen_argo_ring_data_ent,
} from '../../abi/argo.js';
import { errno } from '../../abi/errno.js';
import type { Caller } from '../caller.js';
import type { Argo, ArgoDomain } from './argo.js';
import { inPvRange } from './caller_range.js';
import type { ArgoRing } from './ring.js';

const MAX_NOTIFY_COUNT = 256;
const ENT = xen_argo_ring_data_ent.at;
const ADDR = xen_argo_addr.at;

export function notify(argo: Argo, caller: Caller, address: number): number {
  const own = argo.of(caller.domain);
  if (!own) return -errno.ENODEV;
  // before the entries are looked at: an error in them does not take it back
  wakeWaiters(argo, own);
  if (address === 0) return 0;
  const { memory } = caller;
  if (!memory.copyIn(address, xen_argo_ring_data.size)) return -errno.EFAULT;
  const count = memory.view.getUint32(memory.at + xen_argo_ring_data.at.nent, true);
  if (count > MAX_NOTIFY_COUNT) return -errno.EACCES;
  const entries = address + xen_argo_ring_data.size;
  if (!caller.domain.isHvm && !inPvRange(entries)) return -errno.EFAULT;
  for (let i = 0; i < count; i++) {
    const rc = fillRingData(argo, caller, entries + i * xen_argo_ring_data_ent.size);
    if (rc) return rc;
  }
  return 0;
}

/** Signals each domain that waits for no more room than there is. Where there is none at all, nobody is looked at. */
function wakeWaiters(argo: Argo, own: ArgoDomain): void {
  for (const ring of own.rings.values()) {
    if (ring.waiters.size === 0) continue;
    const space = ring.payloadSpace();
    if (space === 0) continue;
    for (const [domid, len] of ring.waiters) {
      if (len > space) continue;
      ring.waiters.delete(domid);
      const waiter = argo.domains.get(domid);
      if (waiter) argo.signal(waiter);
    }
  }
}

/** Answers one entry: flags and max_message_size are written, nothing else. */
function fillRingData(argo: Argo, caller: Caller, address: number): number {
  const { memory, domain } = caller;
  if (!memory.copyIn(address, xen_argo_ring_data_ent.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const port = view.getUint32(at + ENT.ring + ADDR.aport, true);
  const required = view.getUint32(at + ENT.space_required, true);
  let most = view.getUint32(at + ENT.max_message_size, true);
  let flags = 0;
  const receiver = argo.domains.get(view.getUint16(at + ENT.ring + ADDR.domain_id, true));
  const owner = receiver && argo.of(receiver);
  if (owner) {
    // what a domain may not send to it must not know of
    const denied = argo.policy.send(domain, receiver);
    if (denied) return denied;
    const ring = argo.match(owner, port, domain.domid);
    if (ring) {
      most = ring.maxMessageSize;
      flags = ringFlags(ring, domain.domid, required);
    }
  }
  const answer = new DataView(new ArrayBuffer(6));
  answer.setUint16(0, flags, true);
  answer.setUint32(2, most, true);
  const bytes = new Uint8Array(answer.buffer);
  const written =
    memory.write(address + ENT.flags, bytes.subarray(0, 2)) &&
    memory.write(address + ENT.max_message_size, bytes.subarray(2));
  return written ? 0 : -errno.EFAULT;
}

/** Flags of a ring for a sender that wants `required` bytes of room; it waits for them when they are not there. */
function ringFlags(ring: ArgoRing, domid: number, required: number): number {
  const space = ring.payloadSpace();
  let flags = XEN_ARGO_RING_EXISTS;
  if (ring.shared) flags |= XEN_ARGO_RING_SHARED;
  if (space === ring.maxMessageSize) flags |= XEN_ARGO_RING_EMPTY;
  if (required > ring.maxMessageSize) return flags | XEN_ARGO_RING_EMSGSIZE;
  if (space >= required) {
    ring.waiters.delete(domid);
    return flags | XEN_ARGO_RING_SUFFICIENT;
  }
  return ring.wait(domid, required) ? flags | XEN_ARGO_RING_EBUSY : flags;
}
