/**
 * Writes of control registers, XCR0 and MSRs: what the processor and Xen refuse, what an agent is told, and when the
 * value takes effect (`hvm_set_cr0` and its kin, `hvm_msr_write_intercept`, `arch/x86/hvm/hvm.c`).
 */

import { VM_EVENT_X86_CR0, VM_EVENT_X86_CR3, VM_EVENT_X86_CR4, VM_EVENT_X86_XCR0 } from '../../abi/vm_event.js';
import {
  EFER_LMA,
  EFER_LME,
  type Registers,
  X86_CR0_CD,
  X86_CR0_ET,
  X86_CR0_NW,
  X86_CR0_PE,
  X86_CR0_PG,
  X86_CR4_PAE,
  X86_CR4_PCIDE,
} from '../registers.js';
import type { Vcpu } from '../vcpu.js';
import {
  EXIT_REASON_CR_ACCESS,
  EXIT_REASON_MSR_READ,
  EXIT_REASON_MSR_WRITE,
  EXIT_REASON_XSETBV,
  monitorCr,
  monitorMsr,
  monitorVmexit,
} from '../vm_event/traps.js';
import { type Attempt, DONE, GuestResult, type Instruction, raised, VECTOR_GP } from './instruction.js';
import { readMsr, writeMsr } from './msr.js';

const MOV_CR_LENGTH = 3;
const MSR_LENGTH = 2;
const XSETBV_LENGTH = 3;
/** Bits of CR4 that a guest may set: all that Xen knows but those for virtual machines of its own. */
const CR4_GUEST_BITS = 0x77_1fffn;
const CR0_GUEST_BITS = 0xe005_003fn;
const CR3_NOFLUSH = 1n << 63n;
/** x87, SSE and AVX. */
const XCR0_GUEST_BITS = 7n;

/** The control registers that can be written, by number. */
export type ControlRegister = 0 | 3 | 4;

/** MOV to a control register. */
export function movToCr(index: ControlRegister, value: bigint): Instruction {
  return {
    attempt(vcpu): Attempt {
      if (monitorVmexit(vcpu, EXIT_REASON_CR_ACCESS, index)) return 'again';
      if (!SETTERS[index](vcpu, value, true)) return raised(VECTOR_GP);
      vcpu.registers.skip(MOV_CR_LENGTH);
      return DONE;
    },
  };
}

/**
 * Writes of control registers. False is #GP.
 *
 * @param defer leave the write to the agent, if it asked for that: it is done when the vCPU goes on
 */
type Setter = (vcpu: Vcpu, value: bigint, defer: boolean) => boolean;

export const setCr0: Setter = (vcpu, value, defer) => {
  const { registers } = vcpu;
  if (value >> 32n !== 0n) return false;
  const wanted = (value & CR0_GUEST_BITS) | X86_CR0_ET;
  const has = (bit: bigint): boolean => (wanted & bit) !== 0n;
  if (has(X86_CR0_PG) && !has(X86_CR0_PE)) return false;
  const old = registers.get('cr0');
  if (defer && monitorCr(vcpu, VM_EVENT_X86_CR0, wanted, old)) {
    vcpu.vmEvents.putOff({ cr0: wanted });
    return true;
  }
  if (!switchPaging(registers, old, has(X86_CR0_PG))) return false;
  registers.set('cr0', wanted);
  // Xen does not look at these; AMD's processors refuse to run a guest so
  if (has(X86_CR0_NW) && !has(X86_CR0_CD) && vcpu.domain.host.cpu.vendor === 'amd') vcpu.domain.crash();
  return true;
};

/** Long mode begins and ends with paging. */
function switchPaging(registers: Registers, old: bigint, on: boolean): boolean {
  const efer = registers.get('msr_efer');
  const cr4 = registers.get('cr4');
  if (on && !(old & X86_CR0_PG) && efer & EFER_LME) {
    if (!(cr4 & X86_CR4_PAE)) return false;
    registers.set('msr_efer', efer | EFER_LMA);
  } else if (!on && old & X86_CR0_PG) {
    if (cr4 & X86_CR4_PCIDE) return false;
    registers.set('msr_efer', efer & ~EFER_LMA);
  }
  return true;
}

export const setCr3: Setter = (vcpu, value, defer) => {
  const { registers } = vcpu;
  const kept = registers.get('cr4') & X86_CR4_PCIDE ? value & ~CR3_NOFLUSH : value;
  if (registers.get('msr_efer') & EFER_LMA && kept >> BigInt(vcpu.domain.host.cpu.maxphysaddr) !== 0n) return false;
  if (defer && monitorCr(vcpu, VM_EVENT_X86_CR3, value, registers.get('cr3'))) {
    vcpu.vmEvents.putOff({ cr3: value });
    return true;
  }
  registers.set('cr3', kept);
  return true;
};

export const setCr4: Setter = (vcpu, value, defer) => {
  const { registers } = vcpu;
  const long = (registers.get('msr_efer') & EFER_LMA) !== 0n;
  if ((value & ~CR4_GUEST_BITS) !== 0n || (long && !(value & X86_CR4_PAE))) return false;
  const old = registers.get('cr4');
  if (value & X86_CR4_PCIDE && !(old & X86_CR4_PCIDE) && !long) return false;
  if (defer && monitorCr(vcpu, VM_EVENT_X86_CR4, value, old)) {
    vcpu.vmEvents.putOff({ cr4: value });
    return true;
  }
  registers.set('cr4', value);
  return true;
};

const SETTERS: Readonly<Record<ControlRegister, Setter>> = { 0: setCr0, 3: setCr3, 4: setCr4 };

/** XSETBV: writes an extended control register; there is only number 0. An agent is told, and never asked for leave. */
export function xsetbv(index: number, value: bigint): Instruction {
  return {
    attempt(vcpu): Attempt {
      const { registers } = vcpu;
      if (monitorVmexit(vcpu, EXIT_REASON_XSETBV, 0)) return 'again';
      if (index === 0) monitorCr(vcpu, VM_EVENT_X86_XCR0, value, registers.xcr0);
      if (index !== 0 || registers.cpl !== 0 || !validXcr0(value)) return raised(VECTOR_GP);
      registers.xcr0 = value;
      registers.skip(XSETBV_LENGTH);
      return DONE;
    },
  };
}

/** x87 state is always on, and AVX is nothing without SSE. */
function validXcr0(value: bigint): boolean {
  return (value & ~XCR0_GUEST_BITS) === 0n && (value & 1n) !== 0n && (value & 6n) !== 4n;
}

export function wrmsr(msr: number, value: bigint): Instruction {
  return {
    attempt(vcpu): Attempt {
      if (monitorVmexit(vcpu, EXIT_REASON_MSR_WRITE, 0)) return 'again';
      if (!setMsr(vcpu, msr, value, true)) return raised(VECTOR_GP);
      vcpu.registers.skip(MSR_LENGTH);
      return DONE;
    },
  };
}

/** `hvm_msr_write_intercept`. False is #GP. */
export function setMsr(vcpu: Vcpu, msr: number, value: bigint, defer: boolean): boolean {
  if (vcpu.registers.cpl !== 0 && defer) return false;
  if (defer && vcpu.domain.monitor.msrs?.has(msr)) {
    const old = readMsr(vcpu, msr);
    if (old === null) return false;
    if (monitorMsr(vcpu, msr, value, old)) {
      vcpu.vmEvents.putOff({ msr: { msr, value } });
      return true;
    }
  }
  return writeMsr(vcpu, msr, value);
}

export function rdmsr(msr: number): Instruction {
  return {
    attempt(vcpu): Attempt {
      const { registers } = vcpu;
      if (monitorVmexit(vcpu, EXIT_REASON_MSR_READ, 0)) return 'again';
      const value = registers.cpl === 0 ? readMsr(vcpu, msr) : null;
      if (value === null) return raised(VECTOR_GP);
      registers.set('rax', value & 0xffff_ffffn);
      registers.set('rdx', value >> 32n);
      registers.skip(MSR_LENGTH);
      return new GuestResult(null, true, new Uint8Array(new BigUint64Array([value]).buffer));
    },
  };
}
