/** Guest code as a generator: it yields one instruction at a time, and gets how that ended. */

import type { Registers } from '../registers.js';
import type { Vcpu } from '../vcpu.js';
import { Cpu } from './cpu.js';
import type { GuestResult, Instruction } from './instruction.js';
import { vmcall } from './system.js';

/** `function* (cpu) { const { bytes } = yield cpu.read(0x1000, 4); }` */
export type GuestScript<T = void> = (cpu: ScriptCpu) => Generator<Instruction, T, GuestResult>;

/** A script's processor: its methods make instructions, which do nothing until they are yielded. */
export class ScriptCpu extends Cpu<Instruction> {
  readonly id: number;
  /** The vCPU's registers, to be read and written between instructions. */
  readonly registers: Registers;

  constructor({ id, registers }: Vcpu) {
    super();
    this.id = id;
    this.registers = registers;
  }

  /** A hypercall: {@link GuestResult.rc} is its result. Pointers in `args` are guest-physical addresses. */
  hypercall(op: number, ...args: readonly number[]): Instruction {
    return vmcall(op, args);
  }

  protected issue(instruction: Instruction): Instruction {
    return instruction;
  }
}

/** How a script ended. */
export type ScriptEnd<T> =
  | { readonly ended: 'returned'; readonly value: T }
  /** Its domain was shut down or destroyed. */
  | { readonly ended: 'domain' }
  /** {@link ScriptRun.stop} was called, or the machine was closed. */
  | { readonly ended: 'stopped' };

/** A script under way. */
export interface ScriptRun<T = void> {
  /** Rejected with what the script throws. */
  readonly finished: Promise<ScriptEnd<T>>;
  /** Ends it where it is; the instruction that it is at is given up. Twice is harmless. */
  stop(): void;
}
