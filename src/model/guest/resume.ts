/** What an agent's answer left to be done, when the vCPU goes on (`hvm_vm_event_do_resume`, `arch/x86/hvm/vm_event.c`). */

import { vmEventLayoutOf } from '../../abi/vm_event.js';
import type { RegisterName } from '../registers.js';
import type { Vcpu } from '../vcpu.js';
import { setCr0, setCr3, setCr4, setMsr } from './control.js';
import { type Attempt, type Instruction, raised, VECTOR_GP } from './instruction.js';

/** What an answer can set: the other registers in it are only told. */
const SETTABLE: readonly RegisterName[] = [
  ...(['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rflags', 'rip'] as const),
];

/**
 * @param instruction the one that the vCPU is at; null: it is past it
 * @returns how that ended: the emulator has carried it out; or #GP, which a write that was put off raised; null: neither
 */
export function applyAnswer(vcpu: Vcpu, instruction: Instruction | null): Attempt | null {
  const { vmEvents } = vcpu;
  vmEvents.unsettled = false;
  if (vmEvents.registers) {
    setRegisters(vcpu, vmEvents.registers);
    vmEvents.registers = null;
  }
  let ended: Attempt | null = null;
  if (vmEvents.emulation) {
    const { emulation } = vmEvents;
    vmEvents.emulation = null;
    ended = instruction?.emulate?.(vcpu, emulation) ?? null;
  }
  return writePutOff(vcpu) ? ended : raised(VECTOR_GP);
}

function setRegisters(vcpu: Vcpu, data: Uint8Array): void {
  const { at } = vmEventLayoutOf(vcpu.domain.host.release).regs;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (const name of SETTABLE) vcpu.registers.set(name, view.getBigUint64(at[name] ?? 0, true));
}

/** Control registers and MSRs whose write waited for the agent's leave, in Xen's order. False is #GP. */
function writePutOff(vcpu: Vcpu): boolean {
  const { writes } = vcpu.vmEvents;
  const { cr0, cr4, cr3, msr } = writes;
  let good = true;
  if (cr0 !== null) good = setCr0(vcpu, cr0, false) && good;
  if (cr4 !== null) good = setCr4(vcpu, cr4, false) && good;
  if (cr3 !== null) good = setCr3(vcpu, cr3, false) && good;
  if (msr !== null) good = setMsr(vcpu, msr.msr, msr.value, false) && good;
  writes.cr0 = null;
  writes.cr4 = null;
  writes.cr3 = null;
  writes.msr = null;
  return good;
}
