/** Where Xen tells an agent what a vCPU does (`arch/x86/hvm/monitor.c`): whether it is asked to, and in which words. */

import {
  VM_EVENT_REASON_CPUID,
  VM_EVENT_REASON_DEBUG_EXCEPTION,
  VM_EVENT_REASON_DESCRIPTOR_ACCESS,
  VM_EVENT_REASON_EMUL_UNIMPLEMENTED,
  VM_EVENT_REASON_GUEST_REQUEST,
  VM_EVENT_REASON_INTERRUPT,
  VM_EVENT_REASON_IO_INSTRUCTION,
  VM_EVENT_REASON_MOV_TO_MSR,
  VM_EVENT_REASON_SINGLESTEP,
  VM_EVENT_REASON_SOFTWARE_BREAKPOINT,
  VM_EVENT_REASON_VMEXIT,
  VM_EVENT_REASON_WRITE_CTRLREG,
  VM_EVENT_X86_CR3,
} from '../../abi/vm_event.js';
import { VECTOR_PF } from '../guest/instruction.js';
import { X86_CR4_PCIDE } from '../registers.js';
import type { InjectedEvent, Vcpu } from '../vcpu.js';
import { type EventFields, encodeRequest } from './request.js';

/** Why the processor left the guest (Intel SDM vol. 3, appendix C). */
export const EXIT_REASON_EXCEPTION_NMI = 0;
export const EXIT_REASON_CPUID = 10;
export const EXIT_REASON_HLT = 12;
export const EXIT_REASON_VMCALL = 18;
export const EXIT_REASON_CR_ACCESS = 28;
export const EXIT_REASON_IO_INSTRUCTION = 30;
export const EXIT_REASON_MSR_READ = 31;
export const EXIT_REASON_MSR_WRITE = 32;
export const EXIT_REASON_ACCESS_GDTR_OR_IDTR = 46;
export const EXIT_REASON_ACCESS_LDTR_OR_TR = 47;
export const EXIT_REASON_EPT_VIOLATION = 48;
export const EXIT_REASON_XSETBV = 55;

/** X86_EVENT_NO_EC (`x86_emulate.h`): there is no error code. */
const X86_EVENT_NO_EC = 0xffff_ffff;

/** A control register's bit that only tells MOV to CR3 what to keep. */
const X86_CR3_NOFLUSH = 1n << 63n;

/**
 * Tells the agent, if there is one.
 *
 * @param sync pause the vCPU until it answers
 * @returns whether it was told
 */
export function monitorTraps(vcpu: Vcpu, reason: number, sync: boolean, fields: EventFields = {}): boolean {
  const { ring } = vcpu.domain;
  if (!ring) return false;
  ring.put(vcpu, encodeRequest(vcpu, reason, sync, fields), sync);
  return true;
}

/** @returns true: the exit is the agent's, and Xen does nothing about it */
export function monitorVmexit(vcpu: Vcpu, reason: number, qualification: number): boolean {
  const { monitor, host } = vcpu.domain;
  const option = monitor.vmexit;
  if (!option || host.cpu.vendor !== 'intel') return false;
  const told = monitorTraps(vcpu, VM_EVENT_REASON_VMEXIT, option.sync, {
    'u.vmexit.arch.vmx.reason': reason,
    'u.vmexit.arch.vmx.qualification': qualification,
  });
  return told && option.sync;
}

/** @returns true: the write waits for the agent's leave */
export function monitorCr(vcpu: Vcpu, index: number, value: bigint, old: bigint): boolean {
  const { monitor } = vcpu.domain;
  const option = monitor.writeCtrlreg[index];
  if (!option) return false;
  if (index === VM_EVENT_X86_CR3 && vcpu.registers.get('cr4') & X86_CR4_PCIDE) value &= ~X86_CR3_NOFLUSH;
  // a write that changes nothing is not told, whatever onchangeonly says (seen on Xen 4.17)
  if (((value ^ old) & ~option.bitmask) === 0n) return false;
  const told = monitorTraps(vcpu, VM_EVENT_REASON_WRITE_CTRLREG, option.sync, {
    'u.write_ctrlreg.index': index,
    'u.write_ctrlreg.new_value': value,
    'u.write_ctrlreg.old_value': old,
  });
  return told && monitor.controlRegisterValues;
}

/** @returns true: the write waits for the agent's leave */
export function monitorMsr(vcpu: Vcpu, msr: number, value: bigint, old: bigint): boolean {
  const { monitor } = vcpu.domain;
  const onchangeonly = monitor.msrs?.get(msr);
  if (onchangeonly === undefined || (onchangeonly && value === old)) return false;
  const told = monitorTraps(vcpu, VM_EVENT_REASON_MOV_TO_MSR, true, {
    'u.mov_to_msr.msr': msr,
    'u.mov_to_msr.new_value': value,
    'u.mov_to_msr.old_value': old,
  });
  return told && monitor.controlRegisterValues;
}

/** @returns true: the exception is the agent's, and the guest does not get it */
export function monitorBreakpoint(vcpu: Vcpu, insnLength: number, type: number): boolean {
  if (!vcpu.domain.monitor.softwareBreakpoint) return false;
  return monitorTraps(vcpu, VM_EVENT_REASON_SOFTWARE_BREAKPOINT, true, {
    'u.software_breakpoint.gfn': vcpu.gfnOfRip(),
    'u.software_breakpoint.insn_length': insnLength,
    'u.software_breakpoint.type': type,
  });
}

/**
 * Pending debug exceptions are not told: the event has room for them, and Xen 4.17 leaves it 0.
 *
 * @returns true: the exception is the agent's, and the guest does not get it
 */
export function monitorDebugException(vcpu: Vcpu, insnLength: number, type: number): boolean {
  const option = vcpu.domain.monitor.debugException;
  if (!option) return false;
  const told = monitorTraps(vcpu, VM_EVENT_REASON_DEBUG_EXCEPTION, option.sync, {
    'u.debug_exception.gfn': vcpu.gfnOfRip(),
    'u.debug_exception.insn_length': insnLength,
    'u.debug_exception.type': type,
  });
  return told && option.sync;
}

export function monitorSinglestep(vcpu: Vcpu): void {
  if (!vcpu.domain.monitor.singlestep) return;
  monitorTraps(vcpu, VM_EVENT_REASON_SINGLESTEP, true, { 'u.singlestep.gfn': vcpu.gfnOfRip() });
}

/** @returns true: going past the instruction is left to the agent */
export function monitorCpuid(vcpu: Vcpu, insnLength: number, leaf: number, subleaf: number): boolean {
  if (!vcpu.domain.monitor.cpuid) return false;
  return monitorTraps(vcpu, VM_EVENT_REASON_CPUID, true, {
    'u.cpuid.insn_length': insnLength,
    'u.cpuid.leaf': leaf,
    'u.cpuid.subleaf': subleaf,
  });
}

/** Told only while the domain's `descAccess` asks for it. */
export function monitorDescriptorAccess(vcpu: Vcpu, descriptor: number, write: boolean, info: number): void {
  monitorTraps(vcpu, VM_EVENT_REASON_DESCRIPTOR_ACCESS, true, {
    'u.desc_access.arch.vmx.instr_info': info,
    'u.desc_access.descriptor': descriptor,
    'u.desc_access.is_write': write ? 1 : 0,
  });
}

/** @returns true: the instruction is the agent's, and Xen does nothing about it */
export function monitorIo(vcpu: Vcpu, port: number, bytes: number, isIn: boolean, string: boolean): boolean {
  if (!vcpu.domain.monitor.io) return false;
  return monitorTraps(vcpu, VM_EVENT_REASON_IO_INSTRUCTION, true, {
    'u.io.bytes': bytes,
    'u.io.port': port,
    'u.io.in': isIn ? 1 : 0,
    'u.io.str': string ? 1 : 0,
  });
}

/** @returns true: the agent was told, and the guest gets no #UD */
export function monitorEmulUnimplemented(vcpu: Vcpu): boolean {
  return vcpu.domain.monitor.emulUnimplemented && monitorTraps(vcpu, VM_EVENT_REASON_EMUL_UNIMPLEMENTED, true);
}

/** CR2 is told with every event. Intel's processors forget that there was no error code. */
export function monitorInterrupt(vcpu: Vcpu, { vector, type, errorCode, cr2 }: InjectedEvent): void {
  const isIntel = vcpu.domain.host.cpu.vendor === 'intel';
  monitorTraps(vcpu, VM_EVENT_REASON_INTERRUPT, true, {
    'u.interrupt.x86.vector': vector,
    'u.interrupt.x86.type': type,
    'u.interrupt.x86.error_code': errorCode === X86_EVENT_NO_EC && isIntel ? 0 : errorCode,
    'u.interrupt.x86.cr2': vector === VECTOR_PF ? cr2 : vcpu.registers.get('cr2'),
  });
}

/** HVMOP_guest_request_vm_event. */
export function monitorGuestRequest(vcpu: Vcpu): void {
  const option = vcpu.domain.monitor.guestRequest;
  if (option) monitorTraps(vcpu, VM_EVENT_REASON_GUEST_REQUEST, option.sync);
}
