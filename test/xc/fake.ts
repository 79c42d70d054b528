/** A hypervisor that records what it is asked and answers as a test says: for exact bytes, per release. */

import { errno } from '#dist/abi/errno.js';
import type { Release } from '#dist/abi/release.js';
import { XENVER_version } from '#dist/abi/version.js';
import { __HYPERVISOR_domctl, __HYPERVISOR_sysctl, __HYPERVISOR_xen_version } from '#dist/abi/xen.js';
import { Arena } from '#dist/hypervisor/arena.js';
import type { ForeignMapping, Hypervisor } from '#dist/hypervisor/port.js';

/** Where the arena's first byte is for the hypervisor; no round number, so that a forgotten base shows. */
const BASE = 0x7f12_3456_7000;

/** One hypercall. Memory is as the caller left it when the call was made. */
export interface Call {
  readonly op: number;
  readonly args: readonly number[];
  /** True when it came through hypercallAsync. */
  readonly async: boolean;
  /** Bytes that a pointer of the call points to. */
  at(address: number, length: number): Uint8Array;
  /** For the answer: memory to read and write as Xen would. */
  view(address: number, length: number): DataView;
}

export type Answer = (call: Call) => number;

export interface FakeOptions {
  /** `'4.17'`, or any `major.minor`. */
  readonly version?: Release | (string & {});
  /** Interface numbers that are taken; others get EACCES. Default: all. */
  readonly domctl?: number;
  readonly sysctl?: number;
  readonly arenaBytes?: number;
}

export class FakeXen implements Hypervisor {
  readonly kind: Hypervisor['kind'] = 'model';
  readonly arena: Arena;
  /** All calls but the version question of opening and those that only confirm an interface number. */
  readonly calls: Call[] = [];
  /** What is called for each recorded call. Default: 0. */
  answer: Answer = () => 0;
  /** What mapForeign gives. */
  mapping: (domid: number, gfns: readonly number[], prot: number) => ForeignMapping = () => {
    throw new Error('no mapping was scripted');
  };
  /** What pciConfig gives. Default: there is no device. */
  pciConfig: (sbdf: number) => Uint8Array | null = () => null;
  readonly mapped: { domid: number; gfns: readonly number[]; prot: number }[] = [];
  readonly #version: number;
  readonly #options: FakeOptions;

  constructor(options: FakeOptions = {}) {
    const [major = 4, minor = 17] = (options.version ?? '4.17').split('.').map(Number);
    this.#version = (major << 16) | minor;
    this.#options = options;
    this.arena = new Arena(new ArrayBuffer(options.arenaBytes ?? 65536), BASE);
  }

  /** The one call that was recorded. */
  get call(): Call {
    const [call] = this.calls;
    if (!call || this.calls.length !== 1) throw new Error(`${this.calls.length} calls were made, not one`);
    return call;
  }

  hypercall(op: number, ...args: number[]): number {
    return this.#record(op, args, false);
  }

  hypercall64(op: number, ...args: number[]): bigint {
    return BigInt(this.#record(op, args, false));
  }

  async hypercallAsync(op: number, ...args: number[]): Promise<number> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.#record(op, args, true);
  }

  #record(op: number, args: readonly number[], async: boolean): number {
    if (op === __HYPERVISOR_xen_version && args[0] === XENVER_version) return this.#version;
    const memory = this.arena.bytes.slice();
    const call: Call = {
      op,
      args,
      async,
      at: (address, length) => memory.slice(this.#offset(address, length), this.#offset(address, length) + length),
      view: (address, length) => new DataView(this.arena.bytes.buffer, this.#offset(address, length), length),
    };
    const wanted = op === __HYPERVISOR_domctl ? this.#options.domctl : this.#options.sysctl;
    if (op === __HYPERVISOR_domctl || op === __HYPERVISOR_sysctl) {
      const head = new DataView(call.at(args[0] as number, 16).buffer);
      if (wanted !== undefined && head.getUint32(4, true) !== wanted) return -errno.EACCES;
      if (!this.#confirmed.has(op)) {
        this.#confirmed.add(op);
        return 0;
      }
    }
    this.calls.push(call);
    return this.answer(call);
  }

  /** Families whose number was confirmed: each handle asks once. */
  readonly #confirmed = new Set<number>();

  #offset(address: number, length: number): number {
    const offset = address - BASE;
    if (!(offset >= 0 && offset + length <= this.arena.bytes.length)) {
      throw new Error(`address 0x${address.toString(16)} is outside the arena`);
    }
    return offset;
  }

  mapForeign(domid: number, gfns: readonly number[], prot: number): ForeignMapping {
    this.mapped.push({ domid, gfns, prot });
    return this.mapping(domid, gfns, prot);
  }

  /** Arguments of mapResource and resourceSize. */
  readonly resources: (readonly number[])[] = [];
  readonly dmOps: { readonly domid: number; readonly buffers: readonly Uint8Array[] }[] = [];
  /** What resourceSize and dmOp answer. */
  result = 0;

  mapResource(...args: number[]): ForeignMapping {
    this.resources.push(args);
    return fakeMapping(args[4] ?? 0);
  }

  resourceSize(...args: number[]): number {
    this.resources.push(args);
    return this.result;
  }

  dmOp(domid: number, buffers: readonly Uint8Array[]): number {
    this.dmOps.push({ domid, buffers: buffers.map((bytes) => bytes.slice()) });
    return this.result;
  }

  eventChannels(): never {
    throw new Error('eventChannels: not yet');
  }

  grantTable(): never {
    throw new Error('grantTable: not yet');
  }

  restrict(): void {}
  close(): void {}
  [Symbol.dispose](): void {}
}

/** Bytes as hexadecimal digits, for comparing. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** A mapping of scripted pages. */
export function fakeMapping(pages: number, errors: readonly number[] = []): ForeignMapping & { closed: boolean } {
  const bytes = new Uint8Array(pages * 4096);
  const rcs = Int32Array.from({ length: pages }, (_, i) => errors[i] ?? 0);
  return {
    bytes,
    errors: rcs,
    closed: false,
    close() {
      this.closed = true;
    },
    [Symbol.dispose]() {
      this.close();
    },
  };
}
