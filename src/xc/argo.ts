/**
 * Argo from dom0: whether this Xen has it, sending, and asking after room in others' rings. libxc has no such calls; their
 * names follow `argo.h`. Rings to receive in are in `argo_ring.ts`.
 *
 * Sending needs no ring and works on any dom0. Xen's answers are narrowed to 32 bits before their sign is looked at: most
 * errors of sendv leave Xen as positive numbers (0xffffff91 for ECONNREFUSED).
 *
 * Source of the behaviour: Xen's `do_argo_op`, in `xen/common/argo.c`.
 */

import {
  XEN_ARGO_DOMID_ANY,
  XEN_ARGO_OP_notify,
  XEN_ARGO_OP_sendv,
  XEN_ARGO_RING_EBUSY,
  XEN_ARGO_RING_EMPTY,
  XEN_ARGO_RING_EMSGSIZE,
  XEN_ARGO_RING_EXISTS,
  XEN_ARGO_RING_SHARED,
  XEN_ARGO_RING_SUFFICIENT,
  xen_argo_addr,
  xen_argo_iov,
  xen_argo_ring_data,
  xen_argo_ring_data_ent,
  xen_argo_send_addr,
} from '../abi/argo.js';
import { errno, errnoName } from '../abi/errno.js';
import { __HYPERVISOR_argo_op } from '../abi/xen.js';
import { type ArenaBuffer, OPERAND_OFFSET, OPERAND_SIZE } from '../hypervisor/arena.js';
import { checkDomid, checkU32, putU64 } from '../hypervisor/check.js';
import type { XenError } from '../hypervisor/error.js';
import type { XcInterface } from './interface.js';
import { requireOpen } from './privileged.js';
import { refusal } from './refusal.js';

/** Xen looks at no more entries in one notify. */
const MAX_NOTIFY = 256;
/** The operand: addresses, one piece, and the payload of small messages. */
const SEND_ADDR = OPERAND_OFFSET;
const IOV = SEND_ADDR + xen_argo_send_addr.size;
const SMALL_PAYLOAD = IOV + xen_argo_iov.size;
const SMALL = OPERAND_OFFSET + OPERAND_SIZE - SMALL_PAYLOAD;
const ENT = xen_argo_ring_data_ent;
/** Entries that fit in the operand. */
const FEW_ENTRIES = Math.floor((OPERAND_SIZE - xen_argo_ring_data.size) / ENT.size);

const HINTS: Readonly<Record<string, string>> = {
  EACCES: "Xen's security policy does not allow it",
  EAGAIN: 'the ring is full; VIRQ_ARGO comes when there is room',
  EBUSY: 'the ring is full, and 32 domains wait for room in it already',
  ECONNREFUSED: 'the domain has no ring on this port that this domain may send to',
  EEXIST: 'there is such a ring already',
  EINVAL: 'the length must be a multiple of 16, from 48 to 16777152',
  EMSGSIZE: 'the message can never fit into the ring',
  ENODEV: 'this domain has no part in Argo: the security policy kept it out when it was created',
  ENOSPC: 'a domain can register 128 rings, and registering one again counts, too',
  ENOSYS: 'this Xen was built without Argo (CONFIG_ARGO)',
  EOPNOTSUPP: "Argo is off: put argo=1 on Xen's command line",
  EPERM:
    'a ring for any sender needs argo=1,mac-permissive=1 on the command line of Xen; a restricted handle can do nothing',
  ESRCH: 'no such domain',
};

/** Whether Argo can be used, as {@link argo_probe} finds it. */
export type ArgoState =
  | 'enabled'
  | 'no-domain-state'
  | 'not-on-command-line'
  | 'not-compiled-in'
  | 'denied'
  | 'unknown';

export interface ArgoProbe {
  readonly state: ArgoState;
  /** Why, and what would change it: a sentence. */
  readonly reason: string;
}

const PROBE: Readonly<Record<number, ArgoProbe>> = {
  0: { state: 'enabled', reason: 'Xen takes Argo calls from this domain' },
  [-errno.ENODEV]: {
    state: 'no-domain-state',
    reason: 'Argo is on, but this domain has no part in it: the security policy kept it out when it was created',
  },
  [-errno.EOPNOTSUPP]: {
    state: 'not-on-command-line',
    reason: 'Xen has Argo, but was booted without argo=1 (the word argo alone does not switch it on)',
  },
  [-errno.ENOSYS]: {
    state: 'not-compiled-in',
    reason: 'this Xen was built without Argo (CONFIG_ARGO, which needs CONFIG_UNSUPPORTED); distributions build it so',
  },
  [-errno.EPERM]: {
    state: 'denied',
    reason: 'the call is not allowed: the handle is restricted, or a policy forbids it',
  },
  [-errno.EACCES]: { state: 'denied', reason: "Xen's security policy does not let this domain use Argo" },
};

/** The error of a failed call. */
export function argoError(call: string, rc: number, domid?: number): XenError {
  return refusal(call, rc, domid, HINTS[errnoName(rc)]);
}

/**
 * Asks Xen whether this domain can use Argo, by a notify without entries. Its only effect: domains that wait for room in
 * rings of this domain are woken if there is some, which costs them a look.
 */
export function argo_probe(xch: XcInterface): ArgoProbe {
  const rc = probeRc(xch);
  return (
    PROBE[rc] ?? { state: 'unknown', reason: `Xen answers ${rc < 0 ? errnoName(rc) : rc}, which is not known here` }
  );
}

/** What Xen answers to a notify without entries. */
export function probeRc(xch: XcInterface): number {
  return requireOpen(xch).hypercall(__HYPERVISOR_argo_op, XEN_ARGO_OP_notify, 0, 0, 0, 0) | 0;
}

/** A port of a domain. */
export interface ArgoAddress {
  readonly aport: number;
  readonly domain_id: number;
}

/**
 * Sends one message. Xen copies all of it into the receiver's ring, or nothing.
 *
 * @param sourcePort the port that the receiver is told it comes from; Xen does not check it
 * @param payload the message, or pieces of it; what fits into the hypercall arena (256 KiB, less what else is in it)
 * @param message_type any 32 bits: the parties agree on them
 * @returns the bytes of payload
 * @throws XenError `EAGAIN`: the ring is full; VIRQ_ARGO is raised in this domain when the message fits. `EBUSY`: full, and
 *   32 domains wait already. `EMSGSIZE`: it can never fit. `ECONNREFUSED`: no ring there. `ESRCH`: no such domain. `EACCES`:
 *   the security policy. `ENODEV`, `EOPNOTSUPP`, `ENOSYS`: see {@link argo_probe}
 * @throws ArenaFullError the payload does not fit into the arena
 */
export function argo_sendv(
  xch: XcInterface,
  sourcePort: number,
  target: ArgoAddress,
  payload: Uint8Array | readonly Uint8Array[],
  message_type = 0,
): number {
  const pieces = payload instanceof Uint8Array ? [payload] : payload;
  if (!Array.isArray(pieces) || !pieces.every((piece) => piece instanceof Uint8Array)) {
    throw new TypeError('payload must be a Uint8Array, or a list of them');
  }
  requireOpen(xch);
  checkU32(sourcePort, 'sourcePort');
  checkAddress(target, 'target');
  checkU32(message_type, 'message_type');
  const rc = sendvRc(xch, sourcePort, target, pieces, message_type);
  if (rc < 0) throw argoError('argo_sendv', rc, target.domain_id);
  return rc;
}

/** As {@link argo_sendv}, with a negative errno for an answer instead of an error. */
export function sendvRc(
  xch: XcInterface,
  sourcePort: number,
  { aport, domain_id }: ArgoAddress,
  pieces: readonly Uint8Array[],
  messageType: number,
): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  if (length <= SMALL) return issueSendv(xch, sourcePort, aport, domain_id, pieces, length, messageType, SMALL_PAYLOAD);
  using large = xch.hypervisor.arena.alloc(length);
  return issueSendv(xch, sourcePort, aport, domain_id, pieces, length, messageType, large.offset);
}

/** Encodes the call, with the payload at an offset of the arena. */
function issueSendv(
  xch: XcInterface,
  sourcePort: number,
  aport: number,
  domid: number,
  pieces: readonly Uint8Array[],
  length: number,
  messageType: number,
  offset: number,
): number {
  const { hypervisor } = xch;
  const { arena } = hypervisor;
  const { view } = arena;
  let at = offset;
  view.setUint32(SEND_ADDR + xen_argo_addr.at.aport, sourcePort, true);
  view.setUint32(SEND_ADDR + xen_argo_addr.at.domain_id, XEN_ARGO_DOMID_ANY, true); // and the pad
  view.setUint32(SEND_ADDR + xen_argo_send_addr.at.dst + xen_argo_addr.at.aport, aport, true);
  view.setUint32(SEND_ADDR + xen_argo_send_addr.at.dst + xen_argo_addr.at.domain_id, domid, true);
  putU64(view, IOV + xen_argo_iov.at.iov_hnd, arena.base + at);
  view.setUint32(IOV + xen_argo_iov.at.iov_len, length, true);
  view.setUint32(IOV + xen_argo_iov.at.pad, 0, true);
  for (const piece of pieces) {
    arena.bytes.set(piece, at);
    at += piece.length;
  }
  const niov = length === 0 ? 0 : 1; // Xen logs a line for an empty piece
  const rc = hypervisor.hypercall(
    __HYPERVISOR_argo_op,
    XEN_ARGO_OP_sendv,
    arena.operandAddress,
    arena.base + IOV,
    niov,
    messageType,
  );
  return rc | 0;
}

/** What to ask about a ring. */
export interface ArgoQuery extends ArgoAddress {
  /** Bytes of payload that there should be room for. Default 0: just ask, and end a wait. */
  readonly space_required?: number;
}

/** A ring as a sender may know it. */
export interface ArgoRingInfo extends ArgoAddress {
  /** False: no such domain or ring, or none for this sender. The rest says nothing then. */
  readonly exists: boolean;
  /** Any domain may send to it. */
  readonly shared: boolean;
  readonly empty: boolean;
  /** There is room for what was asked for. If not, and it could be, VIRQ_ARGO is raised in this domain when there is. */
  readonly sufficient: boolean;
  /** What was asked for can never fit. */
  readonly too_large: boolean;
  /** 32 other domains wait for room: this one does not. */
  readonly busy: boolean;
  /** Bytes of payload that fit when it is empty. */
  readonly max_message_size: number;
}

/**
 * Wakes the domains that wait for room in this domain's rings (call it after reading), and asks about others' rings.
 *
 * To ask is to wait: where there is no room now, this domain is signalled once when there is. A question that finds enough
 * room (one for 0 bytes always does) ends such a wait.
 *
 * @param queries at most 256
 * @throws XenError `EACCES`: the security policy forbids one of the targets (those before it were answered). `ENODEV`,
 *   `EOPNOTSUPP`, `ENOSYS`: see {@link argo_probe}
 */
export function argo_notify(xch: XcInterface, queries: readonly ArgoQuery[] = []): ArgoRingInfo[] {
  if (!Array.isArray(queries)) throw new TypeError('queries must be a list');
  if (queries.length > MAX_NOTIFY) throw new RangeError(`at most ${MAX_NOTIFY} rings can be asked about at once`);
  for (let i = 0; i < queries.length; i++) {
    const query = queries[i] as ArgoQuery;
    checkAddress(query, `queries[${i}]`);
    if (query.space_required !== undefined) checkU32(query.space_required, `queries[${i}].space_required`);
  }
  const hypervisor = requireOpen(xch);
  const { arena } = hypervisor;
  const { view } = arena;
  const size = xen_argo_ring_data.size + queries.length * ENT.size;
  using large: ArenaBuffer | null = queries.length > FEW_ENTRIES ? arena.alloc(size) : null;
  const base = large?.offset ?? OPERAND_OFFSET;
  view.setUint32(base + xen_argo_ring_data.at.nent, queries.length, true);
  view.setUint32(base + xen_argo_ring_data.at.pad, 0, true);
  const offset = (i: number): number => base + xen_argo_ring_data.size + i * ENT.size;
  queries.forEach(({ aport, domain_id, space_required = 0 }, i) => {
    const at = offset(i);
    view.setUint32(at + ENT.at.ring + xen_argo_addr.at.aport, aport, true);
    view.setUint32(at + ENT.at.ring + xen_argo_addr.at.domain_id, domain_id, true);
    view.setUint32(at + ENT.at.flags, 0, true); // and the pad
    view.setUint32(at + ENT.at.space_required, space_required, true);
    view.setUint32(at + ENT.at.max_message_size, 0, true);
  });
  const address = queries.length === 0 ? 0 : arena.base + base;
  const rc = hypervisor.hypercall(__HYPERVISOR_argo_op, XEN_ARGO_OP_notify, address, 0, 0, 0) | 0;
  if (rc < 0) throw argoError('argo_notify', rc);
  return queries.map(({ aport, domain_id }, i) => {
    const flags = view.getUint16(offset(i) + ENT.at.flags, true);
    return {
      aport,
      domain_id,
      exists: (flags & XEN_ARGO_RING_EXISTS) !== 0,
      shared: (flags & XEN_ARGO_RING_SHARED) !== 0,
      empty: (flags & XEN_ARGO_RING_EMPTY) !== 0,
      sufficient: (flags & XEN_ARGO_RING_SUFFICIENT) !== 0,
      too_large: (flags & XEN_ARGO_RING_EMSGSIZE) !== 0,
      busy: (flags & XEN_ARGO_RING_EBUSY) !== 0,
      max_message_size: view.getUint32(offset(i) + ENT.at.max_message_size, true),
    };
  });
}

function checkAddress(address: ArgoAddress, name: string): void {
  if (typeof address !== 'object' || address === null) throw new TypeError(`${name} must be { aport, domain_id }`);
  checkU32(address.aport, `${name}.aport`);
  checkDomid(address.domain_id);
}
