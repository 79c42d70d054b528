/** What all events have in common: whose they are, what they tell, and that they are answered. */

import {
  VM_EVENT_FLAG_ALTERNATE_P2M,
  VM_EVENT_FLAG_FOREIGN,
  VM_EVENT_FLAG_NESTED_P2M,
  VM_EVENT_FLAG_VCPU_PAUSED,
  type VmEventLayout,
} from '../../abi/vm_event.js';
import { type Registers, registersOf } from './registers.js';
import type { MonitorResponse } from './response.js';
import { ALTP2M, FLAGS, type Frame, U, VCPU } from './ring.js';

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
export abstract class VmEvent<Reason extends string> {
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
