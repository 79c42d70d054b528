/** V4V as a part of the software Xen: hypercall 39 of a machine that is configured for it. */

import { errno } from '../../abi/errno.js';
import {
  V4V_NUMBERS,
  V4V_RING_DATA_MAGIC,
  V4V_RING_MAGIC,
  V4VOP_info,
  V4VOP_notify,
  V4VOP_register_ring,
  V4VOP_sendv,
  V4VOP_unregister_ring,
  type V4vAbi,
  type V4vNumbers,
  v4v_config,
  v4v_info,
  v4v_info_v9,
} from '../../abi/v4v.js';
import type { V4vAddr } from '../../abi/v4v_rules.js';
import { DOMID_FIRST_RESERVED } from '../../abi/xen.js';
import { checkU32 } from '../../hypervisor/check.js';
import { type Caller, xsmPriv } from '../caller.js';
import type { Domain } from '../domain.js';
import { type AsPosted, type Posted, posted } from './as_posted.js';
import { DEFAULT_LIMITS, V4vDomain, type V4vLimits } from './domain.js';
import { fetchArgument, type OnFetch } from './fetch.js';
import { notify } from './notify.js';
import { registerRing, unregisterRing } from './register.js';
import type { V4vRing } from './ring.js';
import { sendv } from './sendv.js';
import { V4vTables } from './tables.js';

export interface V4vOptions {
  /** Operation numbers. Default `'v10'`: with config. */
  readonly abi?: V4vAbi;
  /** Limits of new domains. Default: 128 rings, 128 pieces and 32 MiB a message, 256 entries of notify. */
  readonly limits?: Partial<V4vLimits>;
  /** Items of the review (docs/v4v-review.md) whose behaviour is to be as it was posted. For tests. */
  readonly asPosted?: readonly AsPosted[];
  /** Called after each piece of guest memory that V4V has read. For tests: other vCPUs of the guest run meanwhile. */
  readonly onFetch?: OnFetch;
}

/** Event channels, as far as V4V needs them. */
export interface V4vEvents {
  /** A port of the domain that its own kernel can connect to, or a negative errno. */
  allocate(domain: Domain): number;
  /** Signals what is connected to the port. */
  signal(domain: Domain, port: number): void;
}

/** What the operations need of each other. */
export interface V4vCore {
  readonly posted: Posted;
  readonly tables: V4vTables;
  readonly onFetch: OnFetch | null;
  readonly lost: V4vLosses;
  domain(domid: number): V4vDomain | undefined;
  signal(domain: V4vDomain): void;
  /** A domain waits for room. */
  enqueue(ring: V4vRing, domid: number, length: number): void;
  rejected(src: V4vAddr, dst: V4vAddr): void;
}

/** What V4V as posted takes and never gives back. */
export interface V4vLosses {
  domainReferences: number;
  /** Domains' states. */
  states: number;
}

/** Lines of the console that are kept: guests can make as many as they like. */
const CONSOLE_LINES = 256;

export class V4v implements V4vCore {
  /** What the debug key for V4V is described as. */
  static readonly keyHandler = 'dump v4v states and interrupt';
  /** What it was made with, but for code: plain JSON. */
  readonly options: Omit<V4vOptions, 'onFetch'>;
  readonly posted: Posted;
  readonly tables: V4vTables;
  readonly onFetch: OnFetch | null;
  readonly lost: V4vLosses = { domainReferences: 0, states: 0 };
  readonly #numbers: V4vNumbers;
  readonly #limits: V4vLimits;
  readonly #domains = new Map<number, V4vDomain>();
  readonly #console: string[] = [];
  #events: V4vEvents | null = null;

  /** @throws RangeError for items of `asPosted` that have no behaviour, or do not exist */
  constructor(options: V4vOptions = {}) {
    const { abi = 'v10', limits = {}, asPosted = [], onFetch = null } = options;
    for (const [name, value] of Object.entries(limits)) checkU32(value, `v4v.limits.${name}`);
    if (!(abi in V4V_NUMBERS)) throw new RangeError(`v4v.abi must be 'v9' or 'v10', not ${String(abi)}`);
    this.options = { abi, limits, asPosted };
    this.posted = posted(asPosted);
    this.onFetch = onFetch;
    this.tables = new V4vTables(this.posted, onFetch);
    this.#numbers = V4V_NUMBERS[abi];
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
  }

  /** Joins a machine, before it has domains. */
  attach(events: V4vEvents): void {
    if (this.#events) throw new Error('this V4V is part of another machine already');
    this.#events = events;
  }

  /** Last lines that Xen's console got from V4V. */
  get console(): readonly string[] {
    return this.#console;
  }

  /** What V4V has for a domain, if it has anything. */
  domain(domid: number): V4vDomain | undefined {
    return this.#domains.get(domid);
  }

  /** A domain was created. Without an event channel for it, it has no V4V. */
  domainCreated(domain: Domain): void {
    const port = this.#events?.allocate(domain) ?? 0;
    if (port >= 0) this.#domains.set(domain.domid, new V4vDomain(domain, port, this.#limits));
    else if (this.posted.h) this.lost.states++;
  }

  /** A domain dies: its rings are gone, with who waited for room in them, and it waits no more itself. */
  domainDestroyed(domain: Domain): void {
    const state = this.#domains.get(domain.domid);
    if (!state) return;
    for (const port of [...state.ports]) port.close();
    for (const ring of [...state.rings]) state.remove(ring);
    this.#domains.delete(domain.domid);
    for (const other of this.#domains.values()) {
      for (const ring of other.rings) ring.waiters.delete(domain.domid);
    }
    if (this.posted.h) this.lost.states++;
  }

  signal({ domain, port }: V4vDomain): void {
    this.#events?.signal(domain, port);
  }

  enqueue(ring: V4vRing, domid: number, length: number): void {
    const waits = this.posted[13] ? (ring.waiters.get(domid) ?? 0) : 0;
    ring.waiters.set(domid, Math.max(waits, length));
  }

  rejected(src: V4vAddr, dst: V4vAddr): void {
    this.#print(`v4vtables: rejected ${src.domain}:${src.port} -> ${dst.domain}:${dst.port}`);
  }

  #print(line: string): void {
    if (this.#console.length >= CONSOLE_LINES) this.#console.shift();
    this.#console.push(line);
  }

  /** What the debug key prints. */
  dump(): string[] {
    const lines = [...this.#domains.values()].flatMap((state) => [
      `v4v: domain ${state.domid}, event channel ${state.port}, ${state.ringCount} of ${state.limits.maxRings} rings`,
      ...[...state.rings].map(
        (ring) =>
          `v4v:   ${state.domid}:${ring.port} for ${ring.partner}: ${ring.len} bytes in ${ring.pages} pages, tx_ptr ${ring.txPtr}, ${ring.waiters.size} waiting`,
      ),
    ]);
    return [...lines, ...this.tables.print()];
  }

  /**
   * The hypercall. Arguments are the 64-bit words that the caller passed.
   *
   * @returns >= 0, or a negative errno; -ENOSYS: no such operation
   */
  hypercall(caller: Caller, cmd: number, arg1: number, arg2: number, arg3: number, arg4: number): number {
    const own = this.#domains.get(caller.domain.domid);
    switch (cmd) {
      case V4VOP_register_ring:
        return registerRing(this, caller, own, arg1, arg2, word(arg3));
      case V4VOP_unregister_ring:
        return unregisterRing(this, caller, own, arg1);
      case V4VOP_notify:
        return notify(this, caller, own, arg1);
      case V4VOP_sendv:
        return sendv(this, caller, own, arg1, arg2, word(arg3), word(arg4));
      case V4VOP_info:
        return this.#info(caller, own, arg1);
      default:
        return this.#control(caller, cmd, arg1, word(arg3));
    }
  }

  /** What the control domain does, under numbers that depend on the ABI. */
  #control(caller: Caller, cmd: number, arg1: number, arg3: number): number {
    const { config, tables_add, tables_del, tables_list } = this.#numbers;
    if (cmd < 0 || ![config, tables_add, tables_del, tables_list].includes(cmd)) return -errno.ENOSYS;
    const denied = this.#xsm(caller);
    if (denied !== 0) return denied;
    if (cmd === tables_add) return this.tables.add(caller, arg1, arg3);
    if (cmd === tables_del) return this.tables.del(caller, arg1, arg3);
    return cmd === tables_list ? this.tables.list(caller, arg1) : this.#config(caller, arg1);
  }

  /** As posted, the hardware domain; now whom the security policy allows: by default, the control domain. */
  #xsm(caller: Caller): number {
    if (!this.posted[26]) return xsmPriv(caller);
    return caller.domain.domid === 0 ? 0 : -errno.EPERM;
  }

  #info(caller: Caller, own: V4vDomain | undefined, address: number): number {
    if (!own) return -errno.EINVAL;
    const { limits, port } = own;
    const bytes = new Uint8Array(v4v_info.size);
    const view = new DataView(bytes.buffer);
    const { at } = v4v_info;
    view.setBigUint64(at.ring_magic, V4V_RING_MAGIC, true);
    view.setBigUint64(at.data_magic, V4V_RING_DATA_MAGIC, true);
    view.setUint32(at.evtchn, port, true);
    const v9 = this.#numbers.config < 0;
    if (!v9) {
      view.setUint32(at.max_rings, limits.maxRings, true);
      view.setUint32(at.max_sendv, limits.maxSendv, true);
      view.setUint32(at.max_notify, limits.maxNotify, true);
      view.setUint32(at.max_send_size, limits.maxSendSize, true);
    }
    const size = v9 ? v4v_info_v9.size : v4v_info.size;
    return caller.memory.write(address, bytes.subarray(0, size)) ? 0 : -errno.EFAULT;
  }

  /** Sets a domain's limits, as long as it has no rings: between its creation and its start. */
  #config(caller: Caller, address: number): number {
    if (!fetchArgument(caller, this.onFetch, address, v4v_config.size)) return -errno.EFAULT;
    const { view, at } = caller.memory;
    const read = (offset: number): number => view.getUint32(at + offset, true);
    const target = view.getUint16(at + v4v_config.at.target_id, true);
    const state = target < DOMID_FIRST_RESERVED ? this.#domains.get(target) : undefined;
    if (!state || state.ringCount > 0) return -errno.EINVAL;
    state.limits = {
      maxRings: read(v4v_config.at.max_rings),
      maxSendv: read(v4v_config.at.max_sendv),
      maxNotify: read(v4v_config.at.max_notify),
      maxSendSize: read(v4v_config.at.max_send_size),
    };
    return 0;
  }
}

/** An argument that is a `uint32_t`: its upper half does not count. */
function word(argument: number): number {
  return argument >>> 0;
}
