/** What code in a guest does, one instruction at a time, and how it ends. */

import type { Vcpu } from '../vcpu.js';
import type { Emulation } from '../vm_event/vcpu_events.js';

const NOTHING: Uint8Array = new Uint8Array(0);

/** How an instruction of a guest ended. */
export class GuestResult {
  /** The vector of the exception that it raised, or null: 6 is #UD, 13 #GP, 14 #PF, 20 #VE. */
  readonly exception: number | null;
  /** False when the vCPU did not get past it: its vm_event is not answered yet, or its domain has crashed. */
  readonly finished: boolean;
  /** What was read; empty when it read nothing, raised an exception or did not finish. */
  readonly bytes: Uint8Array;
  /** Of the exception; 0 for those that have none. */
  readonly errorCode: number;
  /** Xen's answer to a hypercall: >= 0 or a negative errno. */
  readonly rc: number;

  constructor(exception: number | null, finished: boolean, bytes: Uint8Array = NOTHING, errorCode = 0, rc = 0) {
    this.exception = exception;
    this.finished = finished;
    this.bytes = bytes;
    this.errorCode = errorCode;
    this.rc = rc;
  }

  /** {@link bytes} as one little-endian number. */
  get value(): bigint {
    return this.bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }
}

/** It was done and read nothing. */
export const DONE = new GuestResult(null, true);
/** The vCPU did not get past it. */
export const NOT_FINISHED = new GuestResult(null, false);

export const VECTOR_DB = 1;
export const VECTOR_BP = 3;
export const VECTOR_UD = 6;
export const VECTOR_GP = 13;
export const VECTOR_PF = 14;
export const VECTOR_VE = 20;

/** The instruction raised an exception. */
export function raised(vector: number, errorCode = 0): GuestResult {
  return new GuestResult(vector, true, NOTHING, errorCode);
}

/**
 * How one try ended: for good; `'again'`: from the start, as the processor does after Xen has mended something or the
 * agent has answered; `'stopped'`: the domain is no more.
 */
export type Attempt = GuestResult | 'again' | 'stopped';

export interface Instruction {
  /** Done once, before the first try. */
  begin?(vcpu: Vcpu): void;
  /** What the processor does with it. It has no effect when it has to be tried again. */
  attempt(vcpu: Vcpu): Attempt;
  /** What Xen's emulator does with it when an answer asks for that. Absent: the emulator is never asked. */
  emulate?(vcpu: Vcpu, emulation: Emulation): Attempt;
}
