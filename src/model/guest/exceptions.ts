/** INT3, #DB and undefined instructions: exceptions that code raises on purpose or that a debugger set up. */

import type { Vcpu } from '../vcpu.js';
import {
  EXIT_REASON_EXCEPTION_NMI,
  monitorBreakpoint,
  monitorDebugException,
  monitorVmexit,
} from '../vm_event/traps.js';
import { type Attempt, DONE, type Instruction, raised, VECTOR_BP, VECTOR_DB, VECTOR_UD } from './instruction.js';

/** The instruction's one byte. */
export const INT3 = 0xcc;

/** `X86_EVENTTYPE_*` (Xen's `x86_emulate`): how an exception or interrupt came about. */
export const X86_EVENTTYPE_HW_EXCEPTION = 3;
export const X86_EVENTTYPE_SW_EXCEPTION = 6;

const DR6_FIXED = 0xffff_0ff0n;

/** What the processor does at an INT3: #BP, unless an agent watches breakpoints; then going on is left to the agent. */
export function breakpoint(vcpu: Vcpu): Attempt {
  if (monitorVmexit(vcpu, EXIT_REASON_EXCEPTION_NMI, 0)) return 'again';
  if (monitorBreakpoint(vcpu, 1, X86_EVENTTYPE_SW_EXCEPTION)) return 'again';
  vcpu.registers.skip(1);
  return raised(VECTOR_BP);
}

/** INT3 at the current instruction pointer. What an answer has run in its place does nothing, and is as long. */
export const int3: Instruction = {
  attempt: breakpoint,
  emulate({ registers }): Attempt {
    registers.skip(1);
    return DONE;
  },
};

/** An instruction that cannot be decoded (ud2). */
export const ud2: Instruction = { attempt: () => raised(VECTOR_UD) };

/**
 * A debug exception. One that an agent was asked about, and that it did not pass on (`xc_hvm_inject_trap`), is over.
 *
 * @param pending what DR6 is to say: bits 0 to 3 breakpoints that were met, 14 single step
 */
export function debugException(pending: bigint): Instruction {
  let asked = false;
  return {
    attempt(vcpu): Attempt {
      if (asked) return DONE;
      if (monitorVmexit(vcpu, EXIT_REASON_EXCEPTION_NMI, Number(pending))) return 'again';
      vcpu.registers.set('dr6', pending | DR6_FIXED);
      asked = monitorDebugException(vcpu, 0, X86_EVENTTYPE_HW_EXCEPTION);
      return asked ? 'again' : raised(VECTOR_DB);
    },
  };
}
