/** The model-specific registers of a vCPU: those of `hvm_hw_cpu`, and others that a guest may write and read back. */

import { EFER_LMA, EFER_LME, EFER_NX, type RegisterName, type Registers } from '../registers.js';
import type { Vcpu } from '../vcpu.js';

export const MSR_EFER = 0xc000_0080;

/** Bits that a guest may set: system calls, long mode, no-execute. */
const EFER_GUEST_BITS = 1n | EFER_LME | EFER_LMA | EFER_NX;

const IN_CONTEXT: ReadonlyMap<number, RegisterName> = new Map([
  [0x10, 'tsc'],
  [0x174, 'sysenter_cs'],
  [0x175, 'sysenter_esp'],
  [0x176, 'sysenter_eip'],
  [0xc000_0081, 'msr_star'],
  [0xc000_0082, 'msr_lstar'],
  [0xc000_0083, 'msr_cstar'],
  [0xc000_0084, 'msr_syscall_mask'],
  [0xc000_0100, 'fs_base'],
  [0xc000_0101, 'gs_base'],
  [0xc000_0102, 'shadow_gs'],
  [0xc000_0103, 'msr_tsc_aux'],
] as const);

/** What they are to begin with: the local APIC's address, MISC_ENABLE, DEBUGCTL, PAT. */
const OTHERS: ReadonlyMap<number, bigint> = new Map([
  [0x1b, 0xfee0_0900n],
  [0x1a0, 0x1801n],
  [0x1d9, 0n],
  [0x277, 0x0007_0406_0007_0406n],
]);

/** MSRs that hold addresses: one that is not canonical is refused. */
const ADDRESSES: ReadonlySet<number> = new Set([
  0x175, 0x176, 0xc000_0082, 0xc000_0083, 0xc000_0100, 0xc000_0101, 0xc000_0102,
]);

/** Null: there is no such MSR. */
export function readMsr(vcpu: Vcpu, msr: number): bigint | null {
  if (msr === MSR_EFER) return vcpu.registers.get('msr_efer');
  const name = IN_CONTEXT.get(msr);
  if (name) return vcpu.registers.get(name);
  return vcpu.msrs.get(msr) ?? OTHERS.get(msr) ?? null;
}

/** False: there is no such MSR, or it cannot have that value. */
export function writeMsr(vcpu: Vcpu, msr: number, value: bigint): boolean {
  if (msr === MSR_EFER) return setEfer(vcpu.registers, value);
  if (ADDRESSES.has(msr) && BigInt.asUintN(64, BigInt.asIntN(48, value)) !== value) return false;
  const name = IN_CONTEXT.get(msr);
  if (name) {
    vcpu.registers.set(name, value);
    return true;
  }
  if (!OTHERS.has(msr)) return false;
  vcpu.msrs.set(msr, value);
  return true;
}

/** `hvm_set_efer`. False is #GP: an unknown bit, or long mode switched while paging is on. */
function setEfer(registers: Registers, value: bigint): boolean {
  const old = registers.get('msr_efer');
  if ((value & ~EFER_GUEST_BITS) !== 0n) return false;
  if (registers.paging && ((value ^ old) & EFER_LME) !== 0n) return false;
  registers.set('msr_efer', (value & ~EFER_LMA) | (old & EFER_LMA));
  return true;
}
