/**
 * What Xen reports, by reason. An event's properties are decoded when they are read, from the agent's own copy; `reason`
 * tells which there are:
 * ```ts
 * if (event.reason === 'mem_access') event.gfn;
 * ```
 * Names are those of `vm_event.h`, in camel case. Addresses, registers and their values are bigints, the rest numbers.
 */

import {
  CpuidEvent,
  DebugExceptionEvent,
  DescriptorAccessEvent,
  EmulUnimplementedEvent,
  GuestRequestEvent,
  InterruptEvent,
  IoInstructionEvent,
  MemAccessEvent,
  MovToMsrEvent,
  PrivilegedCallEvent,
  SinglestepEvent,
  SoftwareBreakpointEvent,
  UnknownEvent,
  VmexitEvent,
  WriteCtrlregEvent,
} from './event_kinds.js';
import { type Frame, REASON } from './ring.js';
import type { AnswerSink } from './vm_event.js';

export * from './event_kinds.js';
export { type AnswerSink, type EventDetails, hex } from './vm_event.js';

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
