/**
 * V4V's operations for dom0: rules, limits, messages. On a software Xen only: a real hypervisor would take them for Argo's,
 * whose hypercall has the same number. So a real one is never sent any.
 */

import { errno } from '../abi/errno.js';
import {
  __HYPERVISOR_v4v_op,
  V4V_MESSAGE_DGRAM,
  V4V_NUMBERS,
  V4V_RING_DATA_MAGIC,
  V4VOP_info,
  V4VOP_notify,
  V4VOP_sendv,
  type V4vAbi,
  v4v_config,
  v4v_info,
  v4v_info_v9,
  v4v_iov,
  v4v_ring_data,
  v4v_ring_data_ent,
  v4v_send_addr,
  v4vtables_list,
  v4vtables_rule,
} from '../abi/v4v.js';
import { decodeRule, encodeAddr, encodeRule, type V4vAddr, type V4vRule } from '../abi/v4v_rules.js';
import type { ArenaBuffer } from '../hypervisor/arena.js';
import { checkDomid, checkU16, checkU32 } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import type { Hypervisor } from '../hypervisor/port.js';
import type { XcInterface } from '../xc/interface.js';

/** Software machines that have answered to V4V's own operation. */
const known = new WeakSet<Hypervisor>();

const REAL =
  'hypercall 39 of a real Xen is Argo, never V4V, and would mistake the call for one of its own: use Argo there';
const NOT_MADE = 'this software Xen was not made for V4V: new ModelXen({ v4v: true })';
/** Rules that tables_list is asked for at a time. */
const LIST_PIECE = 100;

function viewOf({ bytes }: ArenaBuffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** @throws XenError ENOSYS where there is no V4V */
function demandV4v(xch: XcInterface, call: string): Hypervisor {
  const { hypervisor } = xch;
  if (known.has(hypervisor)) return hypervisor;
  if (hypervisor.kind !== 'model') throw new XenError(call, -errno.ENOSYS, { hint: REAL });
  using buffer = hypervisor.arena.alloc(v4v_info.size);
  // no operation of Argo has this number
  const rc = hypervisor.hypercall(__HYPERVISOR_v4v_op, V4VOP_info, buffer.address);
  if (rc < 0) throw new XenError(call, -errno.ENOSYS, { hint: NOT_MADE });
  known.add(hypervisor);
  return hypervisor;
}

function op(
  xch: XcInterface,
  call: string,
  domid: number | undefined,
  cmd: number,
  ...args: readonly number[]
): number {
  const [arg1 = 0, arg2 = 0, arg3 = 0, arg4 = 0] = args;
  const rc = demandV4v(xch, call).hypercall(__HYPERVISOR_v4v_op, cmd, arg1, arg2, arg3, arg4);
  if (rc < 0) throw new XenError(call, rc, { domid });
  return rc;
}

function checkAddr({ port, domain }: V4vAddr, name: string): void {
  checkU32(port, `${name}.port`);
  checkU16(domain, `${name}.domain`);
}

/** What a domain may do with V4V; more is EACCES. */
export interface V4vDomainLimits {
  readonly maxRings: number;
  /** Pieces of one message. */
  readonly maxSendv: number;
  /** Entries of one notify. */
  readonly maxNotify: number;
  /** Bytes of one message. */
  readonly maxSendSize: number;
}

export interface V4vInfo {
  /** The caller's port that it is signalled on: bind it to be told. */
  readonly evtchn: number;
  /** Null with the numbers of V9, which does not tell. */
  readonly limits: V4vDomainLimits | null;
}

/** What V4V tells its caller. @throws XenError ENOSYS: there is no V4V here */
export function v4v_get_info(xch: XcInterface, abi: V4vAbi = 'v10'): V4vInfo {
  const { arena } = demandV4v(xch, 'v4v_get_info');
  using buffer = arena.alloc(v4v_info.size);
  op(xch, 'v4v_get_info', undefined, V4VOP_info, buffer.address);
  const view = viewOf(buffer);
  const read = (at: number): number => view.getUint32(at, true);
  const { at } = v4v_info;
  const limits = {
    maxRings: read(at.max_rings),
    maxSendv: read(at.max_sendv),
    maxNotify: read(at.max_notify),
    maxSendSize: read(at.max_send_size),
  };
  return { evtchn: read(v4v_info_v9.at.evtchn), limits: abi === 'v9' ? null : limits };
}

/**
 * Sets what a domain may do, between its creation and its first ring. V9 does not have it.
 *
 * @throws XenError EPERM: the caller is not the control domain; EINVAL: no such domain, or it has rings; ENOSYS: there is
 *   no V4V here
 */
export function v4v_set_config(xch: XcInterface, domid: number, limits: V4vDomainLimits): void {
  checkDomid(domid);
  for (const [name, value] of Object.entries(limits)) checkU32(value, name);
  const { arena } = demandV4v(xch, 'v4v_set_config');
  using buffer = arena.alloc(v4v_config.size);
  const view = viewOf(buffer);
  const { at } = v4v_config;
  view.setUint32(at.max_rings, limits.maxRings, true);
  view.setUint32(at.max_sendv, limits.maxSendv, true);
  view.setUint32(at.max_notify, limits.maxNotify, true);
  view.setUint32(at.max_send_size, limits.maxSendSize, true);
  view.setUint16(at.target_id, domid, true);
  op(xch, 'v4v_set_config', domid, V4V_NUMBERS.v10.config, buffer.address);
}

function withRule(xch: XcInterface, call: string, rule: V4vRule, use: (address: number) => void): void {
  checkAddr(rule.src, 'rule.src');
  checkAddr(rule.dst, 'rule.dst');
  const { arena } = demandV4v(xch, call);
  using buffer = arena.alloc(v4vtables_rule.size);
  encodeRule(viewOf(buffer), 0, rule);
  use(buffer.address);
}

/**
 * Adds a rule. The first that matches a message decides; without one it passes.
 *
 * @param position its number, from 1 on; 0, or more than there are rules: behind all others
 * @throws XenError EPERM: the caller is not the control domain; ENOSYS: there is no V4V here
 */
export function v4v_tables_add(xch: XcInterface, rule: V4vRule, position = 0, abi: V4vAbi = 'v10'): void {
  checkU32(position, 'position');
  withRule(xch, 'v4v_tables_add', rule, (address) => {
    op(xch, 'v4v_tables_add', undefined, V4V_NUMBERS[abi].tables_add, address, 0, position);
  });
}

/**
 * Deletes a rule.
 *
 * @param which its number, from 1 on; or an equal rule: source, destination and verdict are compared
 * @throws XenError ENOENT: there is no such rule; EPERM: the caller is not the control domain; ENOSYS: there is no V4V here
 */
export function v4v_tables_del(xch: XcInterface, which: number | V4vRule, abi: V4vAbi = 'v10'): void {
  const cmd = V4V_NUMBERS[abi].tables_del;
  if (typeof which === 'number') {
    if (!(which >= 1 && which <= 0x7fff_ffff && Number.isInteger(which))) {
      throw new RangeError(`rules are numbered from 1, not ${which}`);
    }
    op(xch, 'v4v_tables_del', undefined, cmd, 0, 0, which);
    return;
  }
  withRule(xch, 'v4v_tables_del', which, (address) => {
    op(xch, 'v4v_tables_del', undefined, cmd, address, 0, 0xffff_ffff);
  });
}

/** Deletes all rules. @throws XenError EPERM: the caller is not the control domain; ENOSYS: there is no V4V here */
export function v4v_tables_flush(xch: XcInterface, abi: V4vAbi = 'v10'): void {
  op(xch, 'v4v_tables_flush', undefined, V4V_NUMBERS[abi].tables_del, 0, 0, 0xffff_ffff);
}

/**
 * The rules, in order.
 *
 * @param start number of the first that is wanted, from 1 on
 * @param count how many at most
 * @throws XenError EPERM: the caller is not the control domain; EINVAL: `start` is 0; ENOSYS: there is no V4V here
 */
export function v4v_tables_list(
  xch: XcInterface,
  start = 1,
  count = Number.POSITIVE_INFINITY,
  abi: V4vAbi = 'v10',
): V4vRule[] {
  checkU32(start, 'start');
  const { arena } = demandV4v(xch, 'v4v_tables_list');
  using buffer = arena.alloc(v4vtables_list.size + LIST_PIECE * v4vtables_rule.size);
  const view = viewOf(buffer);
  const rules: V4vRule[] = [];
  while (rules.length < count) {
    const wanted = Math.min(LIST_PIECE, count - rules.length);
    view.setUint32(v4vtables_list.at.start_rule, start + rules.length, true);
    view.setUint32(v4vtables_list.at.nb_rules, wanted, true);
    op(xch, 'v4v_tables_list', undefined, V4V_NUMBERS[abi].tables_list, buffer.address);
    const got = view.getUint32(v4vtables_list.at.nb_rules, true);
    for (let i = 0; i < got; i++) rules.push(decodeRule(view, v4vtables_list.size + i * v4vtables_rule.size));
    if (got < wanted) break;
  }
  return rules;
}

/** A question to {@link v4v_notify}: has that ring room for a message of so many bytes? */
export interface V4vQuestion {
  readonly ring: V4vAddr;
  readonly space: number;
}

export interface V4vAnswer {
  /** `V4V_RING_DATA_F_*`. 0: no such ring, or a rule forbids it. */
  readonly flags: number;
  /** Payload of the largest message that the ring can ever hold. */
  readonly maxMessageSize: number;
}

/**
 * Wakes who waits for room in the caller's own rings, and asks about rings of others.
 *
 * @throws XenError EACCES: too many questions; ENOSYS: there is no V4V here
 */
export function v4v_notify(xch: XcInterface, questions: readonly V4vQuestion[] = []): V4vAnswer[] {
  for (const { ring, space } of questions) {
    checkAddr(ring, 'ring');
    checkU32(space, 'space');
  }
  const { arena } = demandV4v(xch, 'v4v_notify');
  using buffer = arena.alloc(v4v_ring_data.size + questions.length * v4v_ring_data_ent.size);
  const view = viewOf(buffer);
  const { at } = v4v_ring_data_ent;
  const entry = (i: number): number => v4v_ring_data.size + i * v4v_ring_data_ent.size;
  view.setBigUint64(v4v_ring_data.at.magic, V4V_RING_DATA_MAGIC, true);
  view.setUint32(v4v_ring_data.at.nent, questions.length, true);
  questions.forEach(({ ring, space }, i) => {
    encodeAddr(view, entry(i) + at.ring, ring);
    view.setUint32(entry(i) + at.space_required, space, true);
  });
  op(xch, 'v4v_notify', undefined, V4VOP_notify, buffer.address);
  return questions.map((_, i) => ({
    flags: view.getUint16(entry(i) + at.flags, true),
    maxMessageSize: view.getUint32(entry(i) + at.max_message_size, true),
  }));
}

/**
 * Sends one message from dom0.
 *
 * @param port of the caller's, that the receiver sees
 * @returns bytes sent
 * @throws XenError EAGAIN: no room now, and the caller is signalled when there is; ECONNREFUSED: no such ring, or a rule
 *   forbids it; EMSGSIZE: the ring can never hold it; EACCES: more than the caller may send; EINVAL: no such domain;
 *   ENOSYS: there is no V4V here
 */
export function v4v_sendv(
  xch: XcInterface,
  port: number,
  to: V4vAddr,
  payload: Uint8Array,
  messageType: number = V4V_MESSAGE_DGRAM,
): number {
  checkU32(port, 'port');
  checkU32(messageType, 'messageType');
  checkAddr(to, 'to');
  const { arena } = demandV4v(xch, 'v4v_sendv');
  const iov = v4v_send_addr.size;
  const data = iov + v4v_iov.size;
  using buffer = arena.alloc(data + payload.length);
  const view = viewOf(buffer);
  encodeAddr(view, v4v_send_addr.at.src, { port, domain: 0 }); // Xen knows the domain
  encodeAddr(view, v4v_send_addr.at.dst, to);
  view.setBigUint64(iov, BigInt(buffer.address + data), true);
  view.setUint32(iov + v4v_iov.at.iov_len, payload.length, true);
  buffer.bytes.set(payload, data);
  return op(xch, 'v4v_sendv', to.domain, V4VOP_sendv, buffer.address, buffer.address + iov, 1, messageType);
}
