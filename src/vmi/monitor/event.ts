/**
 * What Xen reports, by reason. An event's properties are decoded when they are read, from the agent's own copy; `reason`
 * tells which there are:
 * ```ts
 * if (event.reason === 'mem_access') event.gfn;
 * ```
 * Names are those of `vm_event.h`, in camel case. Addresses, registers and their values are bigints, the rest numbers.
 */

import {
  MEM_ACCESS_FAULT_IN_GPT,
  MEM_ACCESS_FAULT_WITH_GLA,
  MEM_ACCESS_GLA_VALID,
  MEM_ACCESS_R,
  MEM_ACCESS_W,
  MEM_ACCESS_X,
  VM_EVENT_FLAG_ALTERNATE_P2M,
  VM_EVENT_FLAG_FOREIGN,
  VM_EVENT_FLAG_NESTED_P2M,
  VM_EVENT_FLAG_VCPU_PAUSED,
  type VmEventLayout,
} from '../../abi/vm_event.js';
import { type Registers, registersOf } from './registers.js';
import type { MonitorResponse } from './response.js';
import { ALTP2M, FLAGS, type Frame, REASON, U, VCPU } from './ring.js';

/** Takes the answers. @internal */
export interface AnswerSink {
  readonly domid: number;
  readonly layout: VmEventLayout;
  /** False: this event has its answer already. */
  answer(frame: Frame, response: MonitorResponse | undefined): boolean;
}

/** What details an event has, as JSON can hold them. */
export type EventDetails = Readonly<Record<string, string | number | boolean>>;

/** `0x` and the digits: how JSON tells what does not fit into a number. */
export function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

/** What every event has. */
abstract class VmEvent<Reason extends string> {
  /** What happened, as `VM_EVENT_REASON_*` names it. */
  abstract readonly reason: Reason;
  /** The vCPU's registers when it happened. */
  readonly regs: Registers;
  readonly #sink: AnswerSink;
  readonly #frame: Frame;
  protected readonly words: Uint32Array;

  /** @internal */
  constructor(sink: AnswerSink, frame: Frame) {
    this.#sink = sink;
    this.#frame = frame;
    this.words = frame.words;
    this.regs = registersOf(frame, sink.layout);
  }

  get domid(): number {
    return this.#sink.domid;
  }

  get vcpu(): number {
    return this.words[VCPU] as number;
  }

  /** `VM_EVENT_FLAG_*`. */
  get flags(): number {
    return this.words[FLAGS] as number;
  }

  /** Whether the vCPU waits for the answer. If not, the answer changes nothing. */
  get paused(): boolean {
    return (this.flags & VM_EVENT_FLAG_VCPU_PAUSED) !== 0;
  }

  /** Whether another domain's action caused it, not the vCPU's own. */
  get foreign(): boolean {
    return (this.flags & VM_EVENT_FLAG_FOREIGN) !== 0;
  }

  /** Whether it comes from a nested guest: `regs.npt_base` tells whose. Since Xen 4.15. */
  get nested(): boolean {
    return (this.flags & VM_EVENT_FLAG_NESTED_P2M) !== 0;
  }

  /** The altp2m view that the vCPU was in; 0 where altp2m is off. */
  get altp2mIdx(): number {
    return this.flags & VM_EVENT_FLAG_ALTERNATE_P2M ? (this.words[ALTP2M] as number) & 0xffff : 0;
  }

  /**
   * Answers: the vCPU goes on, as the response says. Without one it goes on as it would have without an agent (see
   * {@link MonitorResponse}); so it does when the handler returns, or the loop comes to the next event, and nobody has
   * answered.
   *
   * @returns false: the event had its answer already, and this one is dropped (and counted)
   * @throws TypeError, RangeError: no response, or one that this release of Xen cannot take; nothing was sent
   */
  respond(response?: MonitorResponse): boolean {
    return this.#sink.answer(this.#frame, response);
  }

  /** Whether it has its answer. */
  get answered(): boolean {
    return !this.#frame.open;
  }

  /** What the event tells beside the head, by the names of the properties. */
  abstract details(): EventDetails;

  /** What `JSON.stringify` shows. Wide values are strings of hexadecimal digits. */
  toJSON(): { reason: Reason; domid: number; vcpu: number; altp2mIdx: number; paused: boolean } & EventDetails {
    const { reason, domid, vcpu, altp2mIdx, paused } = this;
    return { reason, domid, vcpu, altp2mIdx, paused, rip: hex(this.regs.rip), ...this.details() };
  }

  protected u32(at: number): number {
    return this.words[U + at] as number;
  }

  /** A 64-bit value that is expected to be small: a frame or an offset. */
  protected small(at: number): number {
    return (this.words[U + at] as number) + (this.words[U + at + 1] as number) * 0x1_0000_0000;
  }

  protected wide(at: number): bigint {
    return this.#frame.view.getBigUint64((U + at) * 4, true);
  }

  protected get frame(): Frame {
    return this.#frame;
  }
}

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

/** An event, told apart by `reason`. */
export type MonitorEvent =
  | MemAccessEvent
  | WriteCtrlregEvent
  | MovToMsrEvent
  | SoftwareBreakpointEvent
  | SinglestepEvent
  | GuestRequestEvent
  | DebugExceptionEvent
  | CpuidEvent
  | PrivilegedCallEvent
  | InterruptEvent
  | DescriptorAccessEvent
  | EmulUnimplementedEvent
  | VmexitEvent
  | IoInstructionEvent
  | UnknownEvent;

export type MonitorReason = MonitorEvent['reason'];

type EventClass = new (sink: AnswerSink, frame: Frame) => MonitorEvent;

/** By `VM_EVENT_REASON_*`. */
const CLASSES: readonly EventClass[] = [
  UnknownEvent,
  MemAccessEvent,
  UnknownEvent, // sharing and
  UnknownEvent, // paging have rings of their own
  WriteCtrlregEvent,
  MovToMsrEvent,
  SoftwareBreakpointEvent,
  SinglestepEvent,
  GuestRequestEvent,
  DebugExceptionEvent,
  CpuidEvent,
  PrivilegedCallEvent,
  InterruptEvent,
  DescriptorAccessEvent,
  EmulUnimplementedEvent,
  VmexitEvent,
  IoInstructionEvent,
];

/** Every value of `reason`. */
export const MONITOR_REASONS: readonly MonitorReason[] = [
  'mem_access',
  'write_ctrlreg',
  'mov_to_msr',
  'software_breakpoint',
  'singlestep',
  'guest_request',
  'debug_exception',
  'cpuid',
  'privileged_call',
  'interrupt',
  'descriptor_access',
  'emul_unimplemented',
  'vmexit',
  'io_instruction',
  'unknown',
];

/** The event that lies in a frame. @internal */
export function eventIn(sink: AnswerSink, frame: Frame): MonitorEvent {
  const Event = CLASSES[frame.words[REASON] as number] ?? UnknownEvent;
  return new Event(sink, frame);
}

/**
 * One event object of each kind over one frame, so that nothing is made for an event: {@link current} gives the one that
 * fits what lies in the frame now.
 *
 * @internal
 */
export class EventSet {
  readonly frame: Frame;
  readonly #events: readonly MonitorEvent[];
  readonly #unknown: MonitorEvent;

  constructor(sink: AnswerSink, frame: Frame) {
    this.frame = frame;
    this.#events = CLASSES.map((Event) => new Event(sink, frame));
    this.#unknown = new UnknownEvent(sink, frame);
  }

  current(): MonitorEvent {
    return this.#events[this.frame.words[REASON] as number] ?? this.#unknown;
  }
}
