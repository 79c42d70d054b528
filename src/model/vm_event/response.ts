/** What Xen does with one answer of the agent, in its order (`vm_event_resume`, `common/vm_event.c` and `arch/x86`). */

import { atLeast, type Release } from '../../abi/release.js';
import {
  MEM_ACCESS_R,
  MEM_ACCESS_W,
  MEM_ACCESS_X,
  VM_EVENT_FLAG_ALTERNATE_P2M,
  VM_EVENT_FLAG_DENY,
  VM_EVENT_FLAG_EMULATE,
  VM_EVENT_FLAG_FAST_SINGLESTEP,
  VM_EVENT_FLAG_GET_NEXT_INTERRUPT,
  VM_EVENT_FLAG_RESET_FORK_MEMORY,
  VM_EVENT_FLAG_RESET_FORK_STATE,
  VM_EVENT_FLAG_RESET_VMTRACE,
  VM_EVENT_FLAG_SET_EMUL_INSN_DATA,
  VM_EVENT_FLAG_SET_EMUL_READ_DATA,
  VM_EVENT_FLAG_SET_REGISTERS,
  VM_EVENT_FLAG_TOGGLE_SINGLESTEP,
  VM_EVENT_FLAG_VCPU_PAUSED,
  VM_EVENT_REASON_DESCRIPTOR_ACCESS,
  VM_EVENT_REASON_MEM_ACCESS,
  VM_EVENT_REASON_MOV_TO_MSR,
  VM_EVENT_REASON_SOFTWARE_BREAKPOINT,
  VM_EVENT_REASON_WRITE_CTRLREG,
  VM_EVENT_X86_CR0,
  VM_EVENT_X86_CR3,
  VM_EVENT_X86_CR4,
  vmEventLayoutOf,
} from '../../abi/vm_event.js';
import { getU64 } from '../../hypervisor/check.js';
import { accessRights, EXECUTE, READ, WRITE } from '../access.js';
import type { Vcpu } from '../vcpu.js';

/** @param response a copy of the slot; its version and vCPU are right */
export function applyResponse(vcpu: Vcpu, response: DataView): void {
  const { vmEvents, domain } = vcpu;
  // flags mean something only for a vCPU that waits for an answer
  if (vmEvents.pauseCount === 0) return;
  vmEvents.unsettled = true;
  const at = vmEventLayoutOf(domain.host.release).event.at;
  const field = (name: string): number => at[name] ?? 0;
  const flags = response.getUint32(field('flags'), true);
  const reason = response.getUint32(field('reason'), true);
  const has = (flag: number): boolean => (flags & flag) !== 0;

  const since = (release: Release, flag: number): boolean => has(flag) && atLeast(domain.host.release, release);

  const resetState = since('4.17', VM_EVENT_FLAG_RESET_FORK_STATE);
  const resetMemory = since('4.17', VM_EVENT_FLAG_RESET_FORK_MEMORY);
  if (resetState || resetMemory) domain.resetFork(resetState, resetMemory);
  checkEmulation(vcpu, response, flags, reason);
  if (has(VM_EVENT_FLAG_DENY)) deny(vcpu, reason, response.getUint32(field('u.write_ctrlreg.index'), true));
  if (has(VM_EVENT_FLAG_TOGGLE_SINGLESTEP)) vcpu.toggleSinglestep();
  else if (has(VM_EVENT_FLAG_FAST_SINGLESTEP)) {
    vcpu.fastSinglestep(response.getUint16(field('u.fast_singlestep.p2midx'), true));
  }
  if (has(VM_EVENT_FLAG_ALTERNATE_P2M)) {
    domain.altp2m.switchByEvent(vcpu, response.getUint16(field('altp2m_idx'), true));
  }
  if (has(VM_EVENT_FLAG_SET_REGISTERS)) vmEvents.registers = dataOf(response, field('data'));
  if (has(VM_EVENT_FLAG_GET_NEXT_INTERRUPT)) vmEvents.nextInterrupt = true;
  if (since('4.15', VM_EVENT_FLAG_RESET_VMTRACE) && vcpu.trace?.active) vcpu.trace.reset();
  if (has(VM_EVENT_FLAG_VCPU_PAUSED)) {
    vmEvents.pauseCount--;
    domain.host.scheduler.wake();
  }
}

function dataOf(response: DataView, at: number): Uint8Array {
  return new Uint8Array(response.buffer, response.byteOffset + at).slice();
}

/** `struct vm_event_emul_insn_data`. */
const INSTRUCTION_BYTES = 16;

/** `vm_event_emulate_check`. */
function checkEmulation(vcpu: Vcpu, response: DataView, flags: number, reason: number): void {
  const { vmEvents } = vcpu;
  vmEvents.emulation = null;
  if (!(flags & VM_EVENT_FLAG_EMULATE)) return;
  const wanted =
    reason === VM_EVENT_REASON_MEM_ACCESS
      ? stillForbidden(vcpu, response)
      : reason === VM_EVENT_REASON_SOFTWARE_BREAKPOINT
        ? (flags & VM_EVENT_FLAG_SET_EMUL_INSN_DATA) !== 0
        : reason === VM_EVENT_REASON_DESCRIPTOR_ACCESS;
  if (!wanted) return;
  const at = vmEventLayoutOf(vcpu.domain.host.release).event.at['data'] ?? 0;
  // of an answer to a memory access Xen takes no instruction: what it has in its place is nobody's
  const copied = reason !== VM_EVENT_REASON_MEM_ACCESS || (flags & VM_EVENT_FLAG_SET_EMUL_READ_DATA) !== 0;
  vmEvents.emulation = { flags, data: copied ? dataOf(response, at) : new Uint8Array(INSTRUCTION_BYTES) };
}

/**
 * `p2m_mem_access_emulate_check`: whether the page that the answer names, in the vCPU's view, still forbids the access
 * that the answer names. A page that the view has not counts as one that forbids it.
 */
function stillForbidden(vcpu: Vcpu, response: DataView): boolean {
  const at = vmEventLayoutOf(vcpu.domain.host.release).event.at;
  const entry = vcpu.table.lookup(getU64(response, at['u.mem_access.gfn'] ?? 0));
  if (!entry.present) return true;
  const told = response.getUint32(at['u.mem_access.flags'] ?? 0, true);
  const tried =
    (told & MEM_ACCESS_R ? READ : 0) | (told & MEM_ACCESS_W ? WRITE : 0) | (told & MEM_ACCESS_X ? EXECUTE : 0);
  return (tried & ~accessRights(entry.access)) !== 0;
}

/** `vm_event_register_write_resume`. */
function deny({ vmEvents: { writes } }: Vcpu, reason: number, index: number): void {
  if (reason === VM_EVENT_REASON_MOV_TO_MSR) writes.msr = null;
  if (reason !== VM_EVENT_REASON_WRITE_CTRLREG) return;
  if (index === VM_EVENT_X86_CR0) writes.cr0 = null;
  else if (index === VM_EVENT_X86_CR3) writes.cr3 = null;
  else if (index === VM_EVENT_X86_CR4) writes.cr4 = null;
}
