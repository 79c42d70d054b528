/** A virtual processor of the software Xen, and what code in the guest could make it do. */

import { errno } from '../abi/errno.js';
import { hvm_hw_cpu } from '../abi/hvm/save.js';
import { PAGE_SHIFT, PAGE_SIZE } from '../abi/xen.js';
import { EXECUTE, READ, WRITE } from './access.js';
import { INVALID_ALTP2M } from './altp2m.js';
import type { Domain } from './domain.js';
import { type AccessKind, accessPage } from './ept.js';
import {
  VM_EVENT_FLAG_ALTERNATE_P2M,
  VM_EVENT_FLAG_VCPU_PAUSED,
  VM_EVENT_REASON_SINGLESTEP,
  type VmEvent,
  type VmEventAnswer,
} from './monitor.js';

/** How one instruction of a guest ended. */
export interface GuestResult {
  /** The vector of the exception it raised, or null: 6 is #UD, 20 is #VE. */
  readonly exception: number | null;
}

/** How an instruction that reaches memory ended. */
export interface GuestAccess extends GuestResult {
  /** False when the vCPU did not get past it: its vm_event is not answered, or its domain has crashed. */
  readonly finished: boolean;
}

/** How a load, or the fetch of an instruction, ended. */
export interface GuestRead extends GuestAccess {
  /** What was read; zeroes when it raised an exception or did not finish. */
  readonly bytes: Uint8Array;
}

const VECTOR_UD = 6;
/** The VMFUNC leaf that switches the EPT pointer, and the length of the list that it looks in. */
const VMFUNC_EPTP_SWITCHING = 0;
const EPTP_LIST_ENTRIES = 512;

/** The guest tried to run while its domain is paused, shut down or gone. */
export class VcpuNotRunningError extends Error {
  override readonly name = 'VcpuNotRunningError';
}

/** A saved {@link Vcpu}: plain JSON. */
export interface VcpuState {
  /** `struct hvm_hw_cpu` in base64. */
  readonly context: string;
  readonly online: boolean;
  readonly initialised: boolean;
  readonly altp2mIndex: number;
  readonly vePage: number | null;
  readonly vmfuncEnabled: boolean;
  readonly singleStep: boolean;
  readonly fastSinglestepTo: number | null;
}

export class Vcpu {
  readonly domain: Domain;
  readonly id: number;
  /** `struct hvm_hw_cpu`. */
  readonly context: Uint8Array = new Uint8Array(hvm_hw_cpu.size);
  /** Whether the vCPU has been started (it was given a context) and has not gone down. */
  online = false;
  /** Whether it was ever given a context. */
  initialised = false;
  /** Its altp2m view; 0xffff while altp2m is off. */
  altp2mIndex = INVALID_ALTP2M;
  /** Machine frame of its #VE information page, or null. */
  vePage: number | null = null;
  /** "Enable VM functions" in the VMCS: set with the first #VE page, cleared only when altp2m goes off with one set. */
  vmfuncEnabled = false;
  #singleStep = false;
  #fastSinglestepTo: number | null = null;

  constructor(domain: Domain, id: number) {
    this.domain = domain;
    this.id = id;
  }

  /**
   * The VMFUNC instruction.
   *
   * @param leaf 0 is EPTP switching; Xen enables no other
   * @param index the view to enter
   * @returns exception 6 (#UD) when VMFUNC is not enabled on the vCPU (`xc_altp2m_set_vcpu_enable_notify` does that),
   *   the leaf is not 0, or the view does not exist or is hidden. Otherwise the vCPU is in the view. A view that holds
   *   nothing yet raises #VE on the first access in it, when the vCPU has a free #VE page.
   *
   * Source: Intel SDM vol. 3, "VM functions"; Xen's `vmx_vcpu_update_vmfunc_ve` and its VMFUNC exit.
   */
  vmfunc(leaf: number, index: number): GuestResult {
    this.#mustRun();
    const { altp2m } = this.domain;
    const switched =
      this.vmfuncEnabled &&
      altp2m.active &&
      leaf === VMFUNC_EPTP_SWITCHING &&
      index < EPTP_LIST_ENTRIES &&
      altp2m.vmfunc(this, index);
    if (!switched) return { exception: VECTOR_UD };
    this.#endInstruction();
    return { exception: null };
  }

  /** An instruction that cannot be decoded (ud2). */
  undefinedInstruction(): GuestResult {
    this.#mustRun();
    return { exception: VECTOR_UD };
  }

  /**
   * A load.
   *
   * @param address guest-physical; paging is off, so it is the linear address, too
   * @param length bytes, 1 or more; it may cross pages
   */
  read(address: number | bigint, length: number): GuestRead {
    return this.#load(address, length, READ);
  }

  /** A store. Nothing is written when one of its pages refuses it. */
  write(address: number | bigint, bytes: Uint8Array): GuestAccess {
    this.#mustRun();
    const start = Number(address);
    const pages: (Uint8Array | null)[] = [];
    const outcome = this.#touch(start, bytes.length, WRITE, (page) => pages.push(page));
    if (outcome) return outcome;
    forEachPage(start, bytes.length, (offset, length, done, index) => {
      pages[index]?.set(bytes.subarray(done, done + length), offset);
    });
    this.#endInstruction();
    return { exception: null, finished: true };
  }

  /** Fetches and runs one instruction at `address`; `length` is its length in bytes. What it does itself is not modelled. */
  execute(address: number | bigint, length = 1): GuestRead {
    return this.#load(address, length, EXECUTE);
  }

  /**
   * A hypercall of the guest. Pointers in `args` are guest-physical addresses, and structures hold 64-bit layouts.
   *
   * @returns Xen's result: >= 0 or a negative errno
   */
  hypercall(op: number, ...args: readonly number[]): number {
    this.#mustRun();
    if (this.domain.config.type !== 'hvm') return -errno.ENOSYS;
    const rc = this.domain.host.guestHypercall(this, op, args);
    this.#endInstruction();
    return rc;
  }

  /** HLT with interrupts off: the vCPU goes down for good, and with the last one the domain powers off. */
  halt(): void {
    this.#mustRun();
    this.online = false;
    this.domain.vcpuDown();
  }

  /** Frame of the next instruction. */
  get instructionFrame(): number {
    const context = new DataView(this.context.buffer);
    return Number(context.getBigUint64(hvm_hw_cpu.at.rip, true) >> BigInt(PAGE_SHIFT));
  }

  /** altp2m goes off: the #VE page is given back, and with it, if there is one, VMFUNC is disabled. */
  leaveAltp2m(): void {
    this.altp2mIndex = INVALID_ALTP2M;
    if (this.vePage === null) return;
    this.vePage = null;
    this.vmfuncEnabled = false;
  }

  /** It has a context, and runs. @internal */
  start(): void {
    this.initialised = true;
    this.online = true;
  }

  /** Xen resets it (`vcpu_reset`): it is down, as if it had never been started. @internal */
  reset(): void {
    this.initialised = false;
    this.online = false;
    this.context.fill(0);
  }

  /** Has it stop after each instruction, or no longer (XEN_DOMCTL_debug_op). @internal */
  set singleStep(on: boolean) {
    this.#singleStep = on;
  }

  /** What {@link restore} needs to make this vCPU again. */
  save(): VcpuState {
    return {
      context: Buffer.from(this.context).toString('base64'),
      online: this.online,
      initialised: this.initialised,
      altp2mIndex: this.altp2mIndex,
      vePage: this.vePage,
      vmfuncEnabled: this.vmfuncEnabled,
      singleStep: this.#singleStep,
      fastSinglestepTo: this.#fastSinglestepTo,
    };
  }

  restore(state: VcpuState): void {
    this.context.set(Buffer.from(state.context, 'base64'));
    this.online = state.online;
    this.initialised = state.initialised;
    this.altp2mIndex = state.altp2mIndex;
    this.vePage = state.vePage;
    this.vmfuncEnabled = state.vmfuncEnabled;
    this.#singleStep = state.singleStep;
    this.#fastSinglestepTo = state.fastSinglestepTo;
  }

  /** Reports an event to the agent. @internal */
  reportEvent(reason: number, paused: boolean, memAccess?: VmEvent['memAccess']): VmEventAnswer | null {
    const { altp2m, monitor } = this.domain;
    if (!monitor) return {};
    return monitor({
      reason,
      flags: (paused ? VM_EVENT_FLAG_VCPU_PAUSED : 0) | (altp2m.active ? VM_EVENT_FLAG_ALTERNATE_P2M : 0),
      vcpuId: this.id,
      altp2mIndex: altp2m.active ? this.altp2mIndex : 0,
      ...(memAccess ? { memAccess } : {}),
    });
  }

  /** Honours the single-step part of an answer. Without a monitor trap flag Xen ignores it. @internal */
  applyStepping(answer: VmEventAnswer): void {
    if (!this.domain.host.cpu.mtf) return;
    if (answer.toggleSinglestep === true) this.#singleStep = !this.#singleStep;
    if (answer.fastSinglestep !== undefined && answer.fastSinglestep < this.domain.config.nrAltp2m) {
      this.#singleStep = true;
      this.#fastSinglestepTo = answer.fastSinglestep;
    }
  }

  #load(address: number | bigint, length: number, kind: AccessKind): GuestRead {
    this.#mustRun();
    const start = Number(address);
    const bytes = new Uint8Array(length);
    const outcome = this.#touch(start, length, kind, (page, offset, count, done) => {
      if (page) bytes.set(page.subarray(offset, offset + count), done);
      else bytes.fill(0xff, done, done + count);
    });
    if (outcome) return { ...outcome, bytes: bytes.fill(0) };
    this.#endInstruction();
    return { exception: null, finished: true, bytes };
  }

  /** Gets at every page of a range; null when all were had. */
  #touch(
    start: number,
    length: number,
    kind: AccessKind,
    visit: (page: Uint8Array | null, offset: number, length: number, done: number) => void,
  ): GuestAccess | null {
    if (!Number.isSafeInteger(start) || start < 0 || !Number.isInteger(length) || length < 1) {
      throw new RangeError(
        `a guest's access needs a physical address and a length of at least 1, not ${start}, ${length}`,
      );
    }
    let outcome: GuestAccess | null = null;
    forEachPage(start, length, (offset, count, done) => {
      if (outcome) return;
      const access = accessPage(this, start + done, kind);
      if (access === 'stopped') outcome = { exception: null, finished: false };
      else if (access === 'unmapped') visit(null, offset, count, done);
      else if ('exception' in access) outcome = { exception: access.exception, finished: true };
      else visit(access.page, offset, count, done);
    });
    return outcome;
  }

  /** After each instruction: the monitor trap, when the vCPU is being stepped. */
  #endInstruction(): void {
    if (!this.#singleStep) return;
    const { altp2m } = this.domain;
    // a fast step is between Xen and its answer: it does not need the agent to have asked for events of steps
    if (this.#fastSinglestepTo !== null) {
      altp2m.switchByEvent(this, this.#fastSinglestepTo);
      this.#singleStep = false;
      this.#fastSinglestepTo = null;
      return;
    }
    if (!this.domain.monitorSinglestep) return;
    const answer = this.reportEvent(VM_EVENT_REASON_SINGLESTEP, true);
    if (!answer) return;
    this.applyStepping(answer);
    if (answer.alternateP2m !== undefined) altp2m.switchByEvent(this, answer.alternateP2m);
  }

  #mustRun(): void {
    const { domain } = this;
    if (domain.runs && this.online) return;
    const state = domain.dying
      ? 'is destroyed'
      : domain.shutdownCode !== null
        ? 'is shut down'
        : domain.pauseCount > 0
          ? 'is paused'
          : `has vCPU ${this.id} down`;
    throw new VcpuNotRunningError(`vCPU ${this.id} of domain ${domain.domid} does not run: the domain ${state}`);
  }
}

/** Cuts a range into its parts by page. */
function forEachPage(
  start: number,
  length: number,
  visit: (offset: number, length: number, done: number, index: number) => void,
): void {
  for (let done = 0, index = 0; done < length; index++) {
    const offset = (start + done) % PAGE_SIZE;
    const count = Math.min(PAGE_SIZE - offset, length - done);
    visit(offset, count, done, index);
    done += count;
  }
}
