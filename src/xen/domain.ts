/** One domain, as long as it is the same. */

import { inspect } from 'node:util';
import {
  SHUTDOWN_crash,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
  SHUTDOWN_soft_reset,
  SHUTDOWN_suspend,
  SHUTDOWN_watchdog,
} from '../abi/sched.js';
import {
  checkBoolean,
  checkObject,
  checkU8,
  checkU16,
  checkU32,
  checkU64,
  checkU64List,
  type FrameList,
} from '../hypervisor/check.js';
import { type ForeignMapping, PROT_READ, PROT_WRITE } from '../hypervisor/port.js';
import {
  xc_domain_destroy,
  xc_domain_destroy_async,
  xc_domain_pause,
  xc_domain_set_access_required,
  xc_domain_sethandle,
  xc_domain_shutdown,
  xc_domain_unpause,
} from '../xc/domain.js';
import { type DomainInfo, xc_domain_getinfo_single } from '../xc/domain_info.js';
import { xc_map_foreign_pages } from '../xc/foreign_memory.js';
import { xc_domain_hvm_getcontext, xc_domain_hvm_setcontext } from '../xc/hvm_context.js';
import { xc_hvm_param_get, xc_hvm_param_set } from '../xc/hvm_param.js';
import {
  xc_domain_decrease_reservation_exact,
  xc_domain_maximum_gpfn,
  xc_domain_populate_physmap_exact,
  xc_domain_populate_physmap_exact_async,
  xc_domain_setmaxmem,
  xc_get_paging_mempool_size,
  xc_set_paging_mempool_size,
} from '../xc/memory.js';
import { type AsyncOptions, checkAsyncOptions } from '../xc/progress.js';
import { checkUuid } from '../xc/uuid.js';
import { Altp2m } from './altp2m.js';
import { type Identity, isXenError } from './identity.js';
import { Monitor } from './monitor.js';
import { Vcpu } from './vcpu.js';

const REASONS = {
  poweroff: SHUTDOWN_poweroff,
  reboot: SHUTDOWN_reboot,
  suspend: SHUTDOWN_suspend,
  crash: SHUTDOWN_crash,
  watchdog: SHUTDOWN_watchdog,
  soft_reset: SHUTDOWN_soft_reset,
} as const;

/** Why a domain is to shut down. */
export type ShutdownReason = keyof typeof REASONS;

/** A call of libxc on one domain. */
type DomainCall<A extends readonly unknown[], R> = (xch: Identity['xch'], domid: number, ...args: A) => R;

/**
 * A domain. Get one from {@link Xen.domain}, {@link Xen.domains} or {@link Xen.createDomain}.
 *
 * The object stands for the domain that had the id then, not for the id: every call first compares the domain's handle
 * (its UUID) with the one remembered, and throws `ESRCH` when the domain is gone, also when another has its id now. The
 * check costs one more hypercall that changes nothing, about as long as the call itself. A loop that cannot afford it says
 * so by `Xen.open({ trustFor: 1000 })`, which makes a check good for a second (xl gives an id out again after a minute at
 * the earliest), or calls the `xc_*` functions with {@link domid}. Domains whose creator gave them no UUID have all zeros
 * and cannot be told from each other.
 */
export class Domain {
  readonly altp2m: Altp2m;
  readonly monitor: Monitor;
  readonly #identity: Identity;

  /** @internal */
  constructor(identity: Identity) {
    this.#identity = identity;
    this.altp2m = new Altp2m(identity);
    this.monitor = new Monitor(identity);
  }

  /** Its id: what the `xc_*` calls take. */
  get domid(): number {
    return this.#identity.domid;
  }

  /** Its UUID: lower case, 8-4-4-4-12. */
  get uuid(): string {
    return this.#identity.uuid;
  }

  /** Whether the domain still exists and is not being torn down. Throws only when Xen cannot be asked. */
  get alive(): boolean {
    try {
      return !this.info().dying;
    } catch (error) {
      if (isXenError(error, 'ESRCH')) return false;
      throw error;
    }
  }

  /** What Xen tells about it now. */
  info(): DomainInfo {
    return this.#call(xc_domain_getinfo_single);
  }

  /**
   * Pauses all its vCPUs. Pauses count; each is taken back by one {@link unpause}, or at the end of a scope:
   * ```ts
   * using paused = domain.pause();
   * ```
   *
   * @returns what takes this pause back, once; a domain that is gone by then is no error
   * @throws XenError `EINVAL`: it is the caller's own domain
   */
  pause(): Disposable {
    this.#call(xc_domain_pause);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        try {
          this.unpause();
        } catch (error) {
          if (!isXenError(error, 'ESRCH')) throw error;
        }
      },
    };
  }

  /** Takes one {@link pause} back; a new domain starts with one. */
  unpause(): void {
    this.#call(xc_domain_unpause);
  }

  /** Stops the domain as if it had shut itself down. Whoever manages it does what the reason asks for. */
  shutdown(reason: ShutdownReason = 'poweroff'): void {
    if (typeof reason !== 'string' || !Object.hasOwn(REASONS, reason)) {
      throw new TypeError(`reason must be one of ${Object.keys(REASONS).join(', ')}, not ${String(reason)}`);
    }
    this.#call(xc_domain_shutdown, REASONS[reason]);
  }

  /** Ends the domain and gives its memory back. For a large one this takes seconds: see {@link destroyAsync}. */
  destroy(): void {
    this.#call(xc_domain_destroy);
  }

  /** {@link destroy} off the main thread. Progress counts pages; stopped by its signal, the domain is dying all the same. */
  async destroyAsync(options: AsyncOptions = {}): Promise<void> {
    checkAsyncOptions(options);
    await this.#call(xc_domain_destroy_async, options);
  }

  /** Gives the domain another UUID, which this object then stands for. */
  rename(uuid: string): void {
    checkUuid(uuid, 'uuid');
    this.#call(xc_domain_sethandle, uuid);
    this.#identity.rename(uuid.toLowerCase());
  }

  /** An HVM parameter, `HVM_PARAM_*`. */
  param(index: number): bigint {
    checkU32(index, 'index');
    return this.#call(xc_hvm_param_get, index);
  }

  /** Sets an HVM parameter. The altp2m mode is one up to Xen 4.18, and cannot be set later than at creation since. */
  setParam(index: number, value: number | bigint): void {
    checkU32(index, 'index');
    checkU64(value, 'value');
    this.#call(xc_hvm_param_set, index, value);
  }

  /**
   * Maps frames, in the order of the list: all of them, or an error.
   * ```ts
   * using pages = domain.map([0x40]);
   * pages.bytes.subarray(0, 16);
   * ```
   * A mapping keeps its pages, and so the domain's id, until it is closed.
   *
   * @throws XenError the errno of the first frame that cannot be mapped (`EINVAL`: no memory there)
   */
  map(gfns: FrameList, options: { readonly write?: boolean } = {}): ForeignMapping {
    checkU64List(gfns, 'gfns');
    checkObject(options, 'options');
    const { write = false } = options;
    checkBoolean(write, 'options.write');
    if (gfns.length === 0) throw new RangeError('gfns is empty: there is nothing to map');
    return this.#call(xc_map_foreign_pages, write ? PROT_READ | PROT_WRITE : PROT_READ, gfns);
  }

  /** The highest frame that the domain has, or had. */
  get maximumGfn(): number {
    return this.#call(xc_domain_maximum_gpfn);
  }

  /** Sets how much memory the domain may have, in KiB. */
  setMaxMemory(kib: number | bigint): void {
    checkU64(kib, 'kib');
    this.#call(xc_domain_setmaxmem, kib);
  }

  /**
   * Gives the domain memory at the frames named, 2^`order` pages at each: all of it, or an error that tells how much.
   *
   * @throws XenError `EBUSY`: not all; what was done stays
   */
  populate(gfns: FrameList, order = 0): void {
    checkU64List(gfns, 'gfns');
    checkU8(order, 'order');
    this.#call(xc_domain_populate_physmap_exact, order, 0, gfns);
  }

  /** {@link populate} off the main thread. Progress counts the entries of the list. */
  async populateAsync(gfns: FrameList, order = 0, options: AsyncOptions = {}): Promise<void> {
    checkU64List(gfns, 'gfns');
    checkU8(order, 'order');
    checkAsyncOptions(options);
    await this.#call(xc_domain_populate_physmap_exact_async, order, 0, gfns, options);
  }

  /** Takes memory away from the domain: all of it, or an error. */
  depopulate(gfns: FrameList, order = 0): void {
    checkU64List(gfns, 'gfns');
    checkU8(order, 'order');
    this.#call(xc_domain_decrease_reservation_exact, order, gfns);
  }

  /** Bytes of the pool that the domain's page tables, and those of its views, come from. Since Xen 4.17. */
  get pagingPool(): number {
    return this.#call(xc_get_paging_mempool_size);
  }

  /** Sets {@link pagingPool}, in bytes, a multiple of 4096. */
  setPagingPool(bytes: number | bigint): void {
    checkU64(bytes, 'bytes');
    this.#call(xc_set_paging_mempool_size, bytes);
  }

  /**
   * One of its vCPUs. Whether it exists is found out by its calls.
   * ```ts
   * domain.vcpu(0).registers().rip;
   * ```
   */
  vcpu(id: number): Vcpu {
    checkU16(id, 'id');
    return new Vcpu(this.#identity, id);
  }

  /** The state of its processors and devices: a stream of records, `hvm_save_descriptor` before each. */
  context(): Uint8Array {
    return this.#call(xc_domain_hvm_getcontext);
  }

  /** Sets the state of its processors and devices, as {@link context} gave it. */
  setContext(context: Uint8Array): void {
    if (!(context instanceof Uint8Array)) throw new TypeError('context must be a Uint8Array');
    this.#call(xc_domain_hvm_setcontext, context);
  }

  /** Says what becomes of a vCPU that runs into a forbidden page while nobody listens: true: the domain crashes. */
  setAccessRequired(required: boolean): void {
    checkBoolean(required, 'required');
    this.#call(xc_domain_set_access_required, required);
  }

  /** What `console.log` shows; asks Xen nothing. */
  [inspect.custom](): string {
    return `Domain ${this.domid} (${this.uuid})`;
  }

  #call<A extends readonly unknown[], R>(call: DomainCall<A, R>, ...args: A): R {
    this.#identity.check(call.name);
    return call(this.#identity.xch, this.#identity.domid, ...args);
  }
}
