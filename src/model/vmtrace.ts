/**
 * Processor trace of one vCPU (`vmtrace_*` in `arch/x86/hvm/vmx/vmx.c`): a buffer of Xen's that the processor writes in
 * a circle. What a real one writes are Intel's packets; here the code that plays the guest says what: {@link record}.
 */

import { errno } from '../abi/errno.js';
import { DOMID_XEN, PAGE_SIZE } from '../abi/xen.js';
import type { MachineMemory } from './machine_memory.js';

const MSR_RTIT_OUTPUT_MASK = 0x561n;
const MSR_RTIT_CTL = 0x570n;
const MSR_RTIT_STATUS = 0x571n;
const TRACE_EN = 1n;
/** What an agent may see and change: enable, OS, USR, TSC, DisRETC, BranchEn; and of the status all but what moves the buffer. */
const CTL_MASK = 0x2c0dn;
const STATUS_MASK = 0x37n;

/** A saved {@link VmTrace}: plain JSON. */
export interface VmTraceState {
  readonly mfns: readonly number[];
  readonly active: boolean;
  /** In decimal digits, as `status`. */
  readonly ctl: string;
  readonly status: string;
  readonly offset: number;
}

const MAX_SIZE = 64 << 20;

/** Whether a buffer can have this size in bytes: a power of 2 from 4 KiB to 64 MiB (`sanitise_domain_config`). */
export function isTraceSize(size: number): boolean {
  return size >= PAGE_SIZE && size <= MAX_SIZE && Number.isInteger(Math.log2(size));
}

export class VmTrace {
  readonly #memory: MachineMemory;
  readonly #size: number;
  readonly #mfns: number[] = [];
  #active = false;
  #ctl = 0n;
  #status = 0n;
  #offset = 0;

  /** @param size of the buffer in bytes, a power of 2 */
  constructor(memory: MachineMemory, size: number) {
    this.#memory = memory;
    this.#size = size;
  }

  /** How many frames the buffer has. */
  get frames(): number {
    return this.#size / PAGE_SIZE;
  }

  /** Machine frame of one of them; null: there is none. */
  frame(index: number): number | null {
    if (index >= this.frames) return null;
    while (this.#mfns.length < this.frames) {
      const mfn = this.#memory.allocateXen();
      if (mfn === null) return null;
      this.#mfns.push(mfn);
    }
    return this.#mfns[index] ?? null;
  }

  /**
   * Writes to the buffer what the processor would have traced, and goes on at its start when it is full.
   *
   * @returns false when tracing is off: nothing is written
   */
  record(bytes: Uint8Array): boolean {
    if (!this.#active) return false;
    for (const byte of bytes) {
      const mfn = this.frame(Math.floor(this.#offset / PAGE_SIZE));
      if (mfn === null) return false;
      this.#memory.page(DOMID_XEN, mfn)[this.#offset % PAGE_SIZE] = byte;
      this.#offset = (this.#offset + 1) % this.#size;
    }
    return true;
  }

  /** @returns 0; -EINVAL: it is so already */
  control(enable: boolean, reset: boolean): number {
    if (this.#active === enable) return -errno.EINVAL;
    if (reset) this.reset();
    this.#ctl = (this.#ctl & ~TRACE_EN) | (enable ? TRACE_EN : 0n);
    this.#active = enable;
    return 0;
  }

  /** Position and status as at first. */
  reset(): void {
    this.#status = 0n;
    this.#offset = 0;
  }

  get active(): boolean {
    return this.#active;
  }

  /** Where the next byte goes. */
  get position(): number {
    return this.#offset;
  }

  /** A register of the processor's, or null: an agent may not have it. */
  option(key: bigint): bigint | null {
    switch (key) {
      case MSR_RTIT_OUTPUT_MASK:
        return (BigInt(this.#offset) << 32n) | BigInt(this.#size - 1);
      case MSR_RTIT_CTL:
        return this.#ctl & CTL_MASK;
      case MSR_RTIT_STATUS:
        return this.#status & STATUS_MASK;
      default:
        return null;
    }
  }

  /** @returns 0; -EINVAL: no such register, or bits that an agent may not set */
  setOption(key: bigint, value: bigint): number {
    switch (key) {
      case MSR_RTIT_OUTPUT_MASK:
        // the lower half, the size, is passed over
        if (value >> 32n > BigInt(this.#size - 1)) return -errno.EINVAL;
        this.#offset = Number(value >> 32n);
        return 0;
      case MSR_RTIT_CTL:
        if (value & ~CTL_MASK) return -errno.EINVAL;
        this.#ctl = value;
        return 0;
      case MSR_RTIT_STATUS:
        if (value & ~STATUS_MASK) return -errno.EINVAL;
        this.#status = value;
        return 0;
      default:
        return -errno.EINVAL;
    }
  }

  save(): VmTraceState {
    return {
      mfns: [...this.#mfns],
      active: this.#active,
      ctl: String(this.#ctl),
      status: String(this.#status),
      offset: this.#offset,
    };
  }

  restore(state: VmTraceState): void {
    this.#mfns.splice(0, this.#mfns.length, ...state.mfns);
    this.#active = state.active;
    this.#ctl = BigInt(state.ctl);
    this.#status = BigInt(state.status);
    this.#offset = state.offset;
  }

  /** The domain is gone. */
  free(): void {
    for (const mfn of this.#mfns.splice(0)) this.#memory.freeXen(mfn);
  }
}
