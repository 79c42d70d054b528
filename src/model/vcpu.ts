/** A virtual processor of the software Xen: its state, and how it carries out what code in the guest does. */

import { errno } from '../abi/errno.js';
import { hvm_hw_cpu } from '../abi/hvm/save.js';
import { PAGE_SHIFT } from '../abi/xen.js';
import { EXECUTE } from './access.js';
import { type AltView, INVALID_ALTP2M } from './altp2m.js';
import type { Domain } from './domain.js';
import { Cpu } from './guest/cpu.js';
import { type Attempt, GuestResult, type Instruction, NOT_FINISHED, raised, VECTOR_PF } from './guest/instruction.js';
import { applyAnswer } from './guest/resume.js';
import type { GuestScript, ScriptRun } from './guest/script.js';
import { vmcall } from './guest/system.js';
import type { P2m } from './p2m.js';
import { translateInXen } from './paging/walk.js';
import { Registers } from './registers.js';
import { monitorInterrupt, monitorSinglestep } from './vm_event/traps.js';
import { VcpuEvents, type VcpuEventsState } from './vm_event/vcpu_events.js';
import { VmTrace, type VmTraceState } from './vmtrace.js';

/** After so many tries at one instruction without waiting, the vCPU is taken to go round in circles. */
const ROUNDS = 1000;
/** `gfn` of an event whose instruction pointer no page table translates. */
const NO_GFN = 0xffff_ffff_ffff_ffffn;

/** The guest tried to run while its domain is paused, shut down or gone, or while its event waits for an answer. */
export class VcpuNotRunningError extends Error {
  override readonly name = 'VcpuNotRunningError';
}

/** An exception or interrupt that is put into a vCPU from outside (`struct x86_event`). */
export interface InjectedEvent {
  readonly vector: number;
  /** `X86_EVENTTYPE_*`. */
  readonly type: number;
  readonly errorCode: number;
  /** Of the instruction that raises it; 0 where none does. */
  readonly insnLength: number;
  /** For a page fault. */
  readonly cr2: bigint;
}

/** A saved {@link Vcpu}: plain JSON. An instruction under way is no part of it: it is code, not state. */
export interface VcpuState {
  /** `struct hvm_hw_cpu` in base64. */
  readonly context: string;
  /** In decimal digits. */
  readonly xcr0: string;
  readonly msrs: readonly (readonly [msr: number, value: string])[];
  readonly online: boolean;
  readonly initialised: boolean;
  readonly trace: VmTraceState | null;
  readonly altp2mIndex: number;
  readonly vePage: number | null;
  readonly vmfuncEnabled: boolean;
  readonly singleStep: boolean;
  readonly fastSinglestepTo: number | null;
  readonly injected: (Omit<InjectedEvent, 'cr2'> & { readonly cr2: string }) | null;
  readonly vmEvents: VcpuEventsState;
}

/** The instruction that the vCPU is at. */
interface Current {
  readonly instruction: Instruction;
  /** Where it is, once it had to wait: an agent that moves the instruction pointer has the vCPU go on elsewhere. */
  rip: bigint | null;
  /** How it ended, when only an answer is waited for. */
  result: GuestResult | null;
}

export class Vcpu extends Cpu<GuestResult> {
  readonly domain: Domain;
  readonly id: number;
  /** `struct hvm_hw_cpu`. */
  readonly context: Uint8Array = new Uint8Array(hvm_hw_cpu.size);
  /** Whether it was ever given a context. */
  initialised = false;
  /** {@link context} by name. */
  readonly registers: Registers = new Registers(this.context);
  /** MSRs that have been written and are not in {@link context}. */
  readonly msrs: Map<number, bigint> = new Map();
  /** Its processor trace, if the domain was created with buffers for it. */
  readonly trace: VmTrace | null;
  /** Its altp2m view; 0xffff while altp2m is off. */
  altp2mIndex = INVALID_ALTP2M;
  /** Machine frame of its #VE information page, or null. */
  vePage: number | null = null;
  /** "Enable VM functions" in the VMCS: set with the first #VE page, cleared only when altp2m goes off with one set. */
  vmfuncEnabled = false;
  /** What vm_events hold it up for. */
  readonly vmEvents: VcpuEvents = new VcpuEvents();
  #online = false;
  #singleStep = false;
  #fastSinglestepTo: number | null = null;
  #injected: InjectedEvent | null = null;
  #current: Current | null = null;

  constructor(domain: Domain, id: number) {
    super();
    this.domain = domain;
    this.id = id;
    const { vmtraceSize } = domain.config;
    this.trace = vmtraceSize > 0 ? new VmTrace(domain.host.memory, vmtraceSize) : null;
  }

  /** Whether the vCPU has been started (it was given a context) and has not gone down. */
  get online(): boolean {
    return this.#online;
  }

  set online(on: boolean) {
    this.#online = on;
    if (on) this.domain.host.scheduler.wake();
  }

  /** Whether it gets processor time now. */
  get canRun(): boolean {
    return this.domain.runs && this.#online && !this.vmEvents.held;
  }

  /** The view that it is in; null while altp2m is off. */
  get altView(): AltView | null {
    const { altp2m } = this.domain;
    return altp2m.active ? altp2m.view(this.altp2mIndex) : null;
  }

  /** The table that its accesses go through. */
  get table(): P2m {
    return this.altView?.p2m ?? this.domain.p2m;
  }

  /**
   * A hypercall of the guest. Pointers in `args` are guest-physical addresses, and structures hold 64-bit layouts.
   *
   * @returns Xen's result: >= 0 or a negative errno
   */
  hypercall(op: number, ...args: readonly number[]): number {
    this.#mustRun();
    if (this.domain.config.type !== 'hvm') return -errno.ENOSYS;
    return this.issue(vmcall(op, args)).rc;
  }

  /**
   * Has the vCPU run `script`, instruction by instruction, whenever it gets processor time: from the event loop, or by
   * {@link ModelXen.step}. It waits while the vCPU does: for its agent, for dom0. Nothing else runs on the vCPU meanwhile.
   *
   * @throws Error when it runs a script already
   */
  run<T>(script: GuestScript<T>): ScriptRun<T> {
    return this.domain.host.scheduler.run(this, script);
  }

  /**
   * Goes on with the instruction that did not finish, now that its event may be answered.
   *
   * @returns how it ended; `finished: false`: the vCPU still waits; null: there is none
   */
  retry(): GuestResult | null {
    if (!this.#current) return null;
    return this.vmEvents.held ? NOT_FINISHED : this.issue(this.#current.instruction);
  }

  /**
   * Carries out one instruction, as far as it gets.
   *
   * @returns how it ended; null: not yet, because the vCPU waits for its agent. Give the same one again to go on
   * @internal
   */
  advance(instruction: Instruction): GuestResult | null {
    if (this.#current?.instruction !== instruction) this.#begin(instruction);
    for (let round = 0; round < ROUNDS; round++) {
      const current = this.#current;
      if (!current || this.vmEvents.held) return null;
      const applied = this.#resume(current);
      if (applied === null && current.result) {
        this.#current = null;
        return current.result;
      }
      const attempt = applied ?? this.#attempt(instruction);
      if (attempt === 'stopped') {
        this.#current = null;
        return NOT_FINISHED;
      }
      if (attempt === 'again') {
        current.rip ??= this.registers.get('rip');
        continue;
      }
      current.result = attempt;
      // the monitor trap is the processor's: what Xen does in its place is not stepped
      if (applied === null && attempt.exception === null) this.#endInstruction();
    }
    return null;
  }

  /** Forgets the instruction that it is at. @internal */
  giveUp(): void {
    this.#current = null;
  }

  /** Frame of the next instruction. */
  get instructionFrame(): number {
    return Number(this.registers.get('rip') >> BigInt(PAGE_SHIFT));
  }

  /** Frame of the next instruction as the guest's page tables say (`gfn_of_rip`). */
  gfnOfRip(): bigint {
    const { registers } = this;
    const rip = BigInt.asUintN(64, registers.get('cs_base') + registers.get('rip'));
    if (!registers.paging) return rip >> BigInt(PAGE_SHIFT);
    const cr2 = registers.get('cr2');
    const gpa = translateInXen(this, rip, EXECUTE);
    registers.set('cr2', cr2);
    return typeof gpa === 'number' ? BigInt(Math.floor(gpa / 4096)) : NO_GFN;
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

  /** The state of a fork's parent (`copy_vcpu_settings`, and the records of the domain's state). @internal */
  copyFrom(other: Vcpu): void {
    this.context.set(other.context);
    this.registers.xcr0 = other.registers.xcr0;
    this.msrs.clear();
    for (const [msr, value] of other.msrs) this.msrs.set(msr, value);
    this.trace?.reset();
    this.#current = null;
    this.initialised = other.initialised;
    this.online = other.online;
  }

  /** Xen resets it (`vcpu_reset`): it is down, as if it had never been started. @internal */
  reset(): void {
    this.initialised = false;
    this.#online = false;
    this.context.fill(0);
    this.msrs.clear();
    this.registers.xcr0 = 1n;
    this.#injected = null;
    this.#current = null;
  }

  /**
   * Puts an exception or interrupt into the vCPU: it takes it in the place of its current or next instruction.
   *
   * @returns 0, or -EBUSY: there is one already
   */
  inject(event: InjectedEvent): number {
    if (this.#injected) return -errno.EBUSY;
    this.#injected = event;
    return 0;
  }

  /** Without a monitor trap flag Xen ignores it (`hvm_toggle_singlestep`). */
  toggleSinglestep(): void {
    if (this.domain.host.cpu.mtf) this.#singleStep = !this.#singleStep;
  }

  /** One instruction, then the view (`hvm_fast_singlestep`). */
  fastSinglestep(view: number): void {
    if (!this.domain.host.cpu.mtf || view >= this.domain.config.nrAltp2m) return;
    this.#singleStep = true;
    this.#fastSinglestepTo = view;
  }

  /** Switches single-stepping (`hvm_debug_op`). */
  setSinglestep(on: boolean): void {
    this.#singleStep = on;
    if (!on) this.#fastSinglestepTo = null;
  }

  /** What {@link restore} needs to make this vCPU again. */
  save(): VcpuState {
    return {
      context: Buffer.from(this.context).toString('base64'),
      xcr0: String(this.registers.xcr0),
      msrs: [...this.msrs].map(([msr, value]) => [msr, String(value)]),
      online: this.#online,
      initialised: this.initialised,
      trace: this.trace?.save() ?? null,
      altp2mIndex: this.altp2mIndex,
      vePage: this.vePage,
      vmfuncEnabled: this.vmfuncEnabled,
      singleStep: this.#singleStep,
      fastSinglestepTo: this.#fastSinglestepTo,
      injected: this.#injected && { ...this.#injected, cr2: String(this.#injected.cr2) },
      vmEvents: this.vmEvents.save(),
    };
  }

  restore(state: VcpuState): void {
    this.context.set(Buffer.from(state.context, 'base64'));
    this.registers.xcr0 = BigInt(state.xcr0);
    for (const [msr, value] of state.msrs) this.msrs.set(msr, BigInt(value));
    this.#online = state.online;
    this.initialised = state.initialised;
    if (state.trace) this.trace?.restore(state.trace);
    this.altp2mIndex = state.altp2mIndex;
    this.vePage = state.vePage;
    this.vmfuncEnabled = state.vmfuncEnabled;
    this.#singleStep = state.singleStep;
    this.#fastSinglestepTo = state.fastSinglestepTo;
    this.#injected = state.injected && { ...state.injected, cr2: BigInt(state.injected.cr2) };
    this.vmEvents.restore(state.vmEvents);
  }

  protected issue(instruction: Instruction): GuestResult {
    this.#mustRun();
    return this.advance(instruction) ?? NOT_FINISHED;
  }

  #attempt(instruction: Instruction): Attempt {
    const { domain } = this;
    return domain.dying || domain.shutdownCode !== null ? 'stopped' : instruction.attempt(this);
  }

  #begin(instruction: Instruction): void {
    const left = this.#current;
    // an instruction that nobody waits for any more: what the agent had Xen do about it is done
    if (left) this.#resume(left);
    instruction.begin?.(this);
    this.#current = { instruction, rip: null, result: null };
  }

  /**
   * What Xen does before the vCPU enters the guest again (`hvm_do_resume`).
   *
   * @returns how the instruction ended by it, `'again'` when the vCPU has to wait once more, or null: nothing to report
   */
  #resume(current: Current): Attempt | null {
    const { vmEvents, registers } = this;
    if (vmEvents.unsettled) {
      const applied = applyAnswer(this, current.result ? null : current.instruction);
      if (applied !== null) return applied;
    }
    if (this.#injected) {
      if (vmEvents.nextInterrupt && this.domain.ring) {
        vmEvents.nextInterrupt = false;
        monitorInterrupt(this, this.#injected);
        if (vmEvents.held) return 'again';
      }
      return this.#takeInjected(this.#injected);
    }
    const { rip } = current;
    return rip !== null && !current.result && registers.get('rip') !== rip ? new GuestResult(null, true) : null;
  }

  #takeInjected({ vector, errorCode, insnLength, cr2 }: InjectedEvent): GuestResult {
    this.#injected = null;
    if (vector === VECTOR_PF) this.registers.set('cr2', cr2);
    this.registers.skip(insnLength);
    return raised(vector, errorCode);
  }

  /** After each instruction: the monitor trap, when the vCPU is being stepped. */
  #endInstruction(): void {
    if (!this.#singleStep) return;
    // a fast step is between Xen and its answer: it does not need the agent to have asked for events of steps
    if (this.#fastSinglestepTo !== null) {
      this.domain.altp2m.switchByEvent(this, this.#fastSinglestepTo);
      this.setSinglestep(false);
      return;
    }
    monitorSinglestep(this);
    if (this.domain.debugged) this.domain.pauseForDebugger();
  }

  #mustRun(): void {
    if (this.domain.host.scheduler.runs(this)) throw new Error(`vCPU ${this.id} runs a script`);
    if (this.canRun) return;
    const { domain } = this;
    const state = domain.dying
      ? 'the domain is destroyed'
      : domain.shutdownCode !== null
        ? 'the domain is shut down'
        : domain.pauseCount > 0
          ? 'the domain is paused'
          : !this.#online
            ? 'it is down'
            : this.vmEvents.pauseCount > 0
              ? 'its vm_event is not answered'
              : 'the vm_event ring is full';
    throw new VcpuNotRunningError(`vCPU ${this.id} of domain ${domain.domid} does not run: ${state}`);
  }
}
