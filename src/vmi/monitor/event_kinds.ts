/** The events, a class for each reason: what `u` of `struct vm_event_st` holds for it. */

import {
  MEM_ACCESS_FAULT_IN_GPT,
  MEM_ACCESS_FAULT_WITH_GLA,
  MEM_ACCESS_GLA_VALID,
  MEM_ACCESS_R,
  MEM_ACCESS_W,
  MEM_ACCESS_X,
} from '../../abi/vm_event.js';
import { REASON } from './ring.js';
import { type EventDetails, hex, VmEvent } from './vm_event.js';

/** A vCPU ran into a frame whose access forbids what it did. */
export class MemAccessEvent extends VmEvent<'mem_access'> {
  readonly reason = 'mem_access';
  get gfn(): number {
    return this.small(0);
  }
  /** In the frame, in bytes. */
  get offset(): number {
    return this.small(2);
  }
  /** Guest linear address; undefined where Xen does not know it. */
  get gla(): bigint | undefined {
    return this.accessFlags & MEM_ACCESS_GLA_VALID ? this.wide(4) : undefined;
  }
  /** `MEM_ACCESS_*`. */
  get accessFlags(): number {
    return this.u32(6);
  }
  get read(): boolean {
    return (this.accessFlags & MEM_ACCESS_R) !== 0;
  }
  get write(): boolean {
    return (this.accessFlags & MEM_ACCESS_W) !== 0;
  }
  get execute(): boolean {
    return (this.accessFlags & MEM_ACCESS_X) !== 0;
  }
  /** What was tried, in letters: `'w'`, `'rx'`. */
  get access(): string {
    return `${this.read ? 'r' : ''}${this.write ? 'w' : ''}${this.execute ? 'x' : ''}`;
  }
  /** The access to {@link gla} itself ran into the frame ... */
  get faultWithGla(): boolean {
    return (this.accessFlags & MEM_ACCESS_FAULT_WITH_GLA) !== 0;
  }
  /** ... or the processor's walk of the guest's page tables for it did. */
  get faultInGpt(): boolean {
    return (this.accessFlags & MEM_ACCESS_FAULT_IN_GPT) !== 0;
  }
  details(): EventDetails {
    const { gfn, offset, gla, access, faultInGpt } = this;
    return {
      gfn,
      offset,
      access,
      ...(gla === undefined ? {} : { gla: hex(gla) }),
      ...(faultInGpt ? { faultInGpt } : {}),
    };
  }
}

const CONTROL_REGISTERS = ['cr0', 'cr3', 'cr4', 'xcr0'] as const;

/** A write to a control register; `deny` keeps the old value. */
export class WriteCtrlregEvent extends VmEvent<'write_ctrlreg'> {
  readonly reason = 'write_ctrlreg';
  /** `VM_EVENT_X86_*`. */
  get index(): number {
    return this.u32(0);
  }
  /** Its name, or `crN?` for an index without one. */
  get register(): string {
    return CONTROL_REGISTERS[this.index] ?? `cr${this.index}?`;
  }
  get newValue(): bigint {
    return this.wide(2);
  }
  get oldValue(): bigint {
    return this.wide(4);
  }
  details(): EventDetails {
    return { register: this.register, newValue: hex(this.newValue), oldValue: hex(this.oldValue) };
  }
}

/** A write to a model-specific register; `deny` keeps the old value. */
export class MovToMsrEvent extends VmEvent<'mov_to_msr'> {
  readonly reason = 'mov_to_msr';
  get msr(): number {
    return this.small(0);
  }
  get newValue(): bigint {
    return this.wide(2);
  }
  get oldValue(): bigint {
    return this.wide(4);
  }
  details(): EventDetails {
    return { msr: `0x${this.msr.toString(16)}`, newValue: hex(this.newValue), oldValue: hex(this.oldValue) };
  }
}

/** INT3 and #DB. */
abstract class DebugEvent<Reason extends string> extends VmEvent<Reason> {
  /** The frame that the instruction is in. */
  get gfn(): number {
    return this.small(0);
  }
  /** As VMX's pending debug exceptions. Since Xen 4.14. */
  get pendingDbg(): bigint {
    return this.#old ? 0n : this.wide(2);
  }
  get insnLength(): number {
    return this.u32(this.#old ? 2 : 4);
  }
  /** `X86_EVENTTYPE_*`, for injecting it again. */
  get type(): number {
    return this.u32(this.#old ? 3 : 5) & 0xff;
  }
  get #old(): boolean {
    return this.words[0] !== undefined && this.words[0] < 6;
  }
  details(): EventDetails {
    const { gfn, insnLength, type } = this;
    return { gfn, insnLength, type };
  }
}

export class SoftwareBreakpointEvent extends DebugEvent<'software_breakpoint'> {
  readonly reason = 'software_breakpoint';
}

export class DebugExceptionEvent extends DebugEvent<'debug_exception'> {
  readonly reason = 'debug_exception';
  override details(): EventDetails {
    return { ...super.details(), pendingDbg: hex(this.pendingDbg) };
  }
}

/** One instruction was done, with single-stepping on. */
export class SinglestepEvent extends VmEvent<'singlestep'> {
  readonly reason = 'singlestep';
  get gfn(): number {
    return this.small(0);
  }
  details(): EventDetails {
    return { gfn: this.gfn };
  }
}

/** The guest asked for attention itself. */
export class GuestRequestEvent extends VmEvent<'guest_request'> {
  readonly reason = 'guest_request';
  details(): EventDetails {
    return {};
  }
}

/** CPUID; the registers hold Xen's results already. A response of one's own has to set `rip` past the instruction. */
export class CpuidEvent extends VmEvent<'cpuid'> {
  readonly reason = 'cpuid';
  get insnLength(): number {
    return this.u32(0);
  }
  get leaf(): number {
    return this.u32(1);
  }
  get subleaf(): number {
    return this.u32(2);
  }
  details(): EventDetails {
    const { leaf, subleaf, insnLength } = this;
    return { leaf: `0x${leaf.toString(16)}`, subleaf, insnLength };
  }
}

/** ARM's SMC. */
export class PrivilegedCallEvent extends VmEvent<'privileged_call'> {
  readonly reason = 'privileged_call';
  details(): EventDetails {
    return {};
  }
}

/** The first interrupt after an answer with `nextInterrupt`. */
export class InterruptEvent extends VmEvent<'interrupt'> {
  readonly reason = 'interrupt';
  get vector(): number {
    return this.u32(0);
  }
  /** `X86_EVENTTYPE_*`. */
  get type(): number {
    return this.u32(1);
  }
  get errorCode(): number {
    return this.u32(2);
  }
  get cr2(): bigint {
    return this.wide(4);
  }
  details(): EventDetails {
    return { vector: this.vector, type: this.type, errorCode: this.errorCode, cr2: hex(this.cr2) };
  }
}

const DESCRIPTORS: Readonly<Record<number, string>> = { 1: 'idtr', 2: 'gdtr', 3: 'ldtr', 4: 'tr' };

/** A descriptor table register was read or written; `emulate` lets it happen. */
export class DescriptorAccessEvent extends VmEvent<'descriptor_access'> {
  readonly reason = 'descriptor_access';
  /** Its name, or `N?` for a number without one. */
  get descriptor(): string {
    const code = this.u32(4) & 0xff;
    return DESCRIPTORS[code] ?? `${code}?`;
  }
  get isWrite(): boolean {
    return ((this.u32(4) >>> 8) & 0xff) !== 0;
  }
  /** VMX's instruction information and exit qualification. */
  get instrInfo(): number {
    return this.u32(0);
  }
  get exitQualification(): bigint {
    return this.wide(2);
  }
  details(): EventDetails {
    return { descriptor: this.descriptor, isWrite: this.isWrite };
  }
}

/** Xen was to emulate an instruction and cannot. */
export class EmulUnimplementedEvent extends VmEvent<'emul_unimplemented'> {
  readonly reason = 'emul_unimplemented';
  details(): EventDetails {
    return {};
  }
}

/** The vCPU left for Xen, on Intel. Since Xen 4.17. */
export class VmexitEvent extends VmEvent<'vmexit'> {
  readonly reason = 'vmexit';
  get exitReason(): number {
    return this.small(0);
  }
  get qualification(): bigint {
    return this.wide(2);
  }
  details(): EventDetails {
    return { exitReason: this.exitReason, qualification: hex(this.qualification) };
  }
}

/** IN, OUT, INS, OUTS: Xen leaves these to the agent, which does what they do and sets `rip` past them. Since Xen 4.18. */
export class IoInstructionEvent extends VmEvent<'io_instruction'> {
  readonly reason = 'io_instruction';
  get port(): number {
    return this.u32(1) & 0xffff;
  }
  get bytes(): number {
    return this.u32(0);
  }
  /** IN or INS, not OUT or OUTS. */
  get in(): boolean {
    return ((this.u32(1) >>> 16) & 0xff) !== 0;
  }
  /** INS or OUTS. */
  get str(): boolean {
    return this.u32(1) >>> 24 !== 0;
  }
  details(): EventDetails {
    return { port: this.port, bytes: this.bytes, in: this.in, str: this.str };
  }
}

/** A reason that has no meaning on the monitor's ring, or that this package does not know. */
export class UnknownEvent extends VmEvent<'unknown'> {
  readonly reason = 'unknown';
  /** `VM_EVENT_REASON_*`. */
  get code(): number {
    return this.words[REASON] as number;
  }
  details(): EventDetails {
    return { code: this.code };
  }
}
