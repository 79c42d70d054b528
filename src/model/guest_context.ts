/**
 * A vCPU's registers in the form of getvcpucontext and setvcpucontext (`arch_get_info_guest`, `arch_set_info_guest`).
 * They are kept in one form for HVM and PV: `struct hvm_hw_cpu`.
 */

import { VGCF_i387_valid, VGCF_online, vcpu_guest_context } from '../abi/guest_context.js';
import { hvm_hw_cpu } from '../abi/hvm/save.js';
import type { Vcpu } from './vcpu.js';

const FROM = hvm_hw_cpu.at;
const TO = vcpu_guest_context.at;

/** Fields of 8 bytes that both have: general registers, which setvcpucontext sets for every kind of domain. */
const GENERAL = [
  ...(['rax', 'rbx', 'rcx', 'rdx', 'rbp', 'rsi', 'rdi', 'rsp', 'rip', 'rflags'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const),
] as const;
const SEGMENTS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const;
/** Which register is at which place of `ctrlreg` and `debugreg`. */
const CONTROL = [
  [0, 'cr0'],
  [2, 'cr2'],
  [3, 'cr3'],
  [4, 'cr4'],
] as const;
const DEBUG = [
  [0, 'dr0'],
  [1, 'dr1'],
  [2, 'dr2'],
  [3, 'dr3'],
  [6, 'dr6'],
  [7, 'dr7'],
] as const;

const FPU = hvm_hw_cpu.fields.fpu_regs[1];

export function storeGuestContext(vcpu: Vcpu): Uint8Array {
  const from = new DataView(vcpu.context.buffer, vcpu.context.byteOffset, vcpu.context.byteLength);
  const bytes = new Uint8Array(vcpu_guest_context.size);
  const to = new DataView(bytes.buffer);
  const copy = (target: number, source: number): void => {
    to.setBigUint64(target, from.getBigUint64(source, true), true);
  };
  bytes.set(vcpu.context.subarray(0, FPU));
  to.setUint32(TO.flags, VGCF_i387_valid | (vcpu.online ? VGCF_online : 0), true);
  for (const name of GENERAL) copy(TO[`user_regs.${name}`], FROM[name]);
  for (const name of SEGMENTS) to.setUint16(TO[`user_regs.${name}`], from.getUint32(FROM[`${name}_sel`], true), true);
  for (const [i, name] of CONTROL) copy(TO.ctrlreg + i * 8, FROM[name]);
  for (const [i, name] of DEBUG) copy(TO.debugreg + i * 8, FROM[name]);
  copy(TO.fs_base, FROM.fs_base);
  const inKernel = (from.getUint32(FROM.cs_sel, true) & 3) === 0;
  copy(inKernel ? TO.gs_base_kernel : TO.gs_base_user, FROM.gs_base);
  copy(inKernel ? TO.gs_base_user : TO.gs_base_kernel, FROM.shadow_gs);
  return bytes;
}

/** For an HVM vCPU the FPU's (when valid), general and debug registers; for a PV vCPU also the others that are kept. */
export function loadGuestContext(vcpu: Vcpu, bytes: Uint8Array): void {
  const from = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const to = new DataView(vcpu.context.buffer, vcpu.context.byteOffset, vcpu.context.byteLength);
  const copy = (target: number, source: number): void => {
    to.setBigUint64(target, from.getBigUint64(source, true), true);
  };
  const flags = from.getUint32(TO.flags, true);
  if (flags & VGCF_i387_valid) vcpu.context.set(bytes.subarray(0, FPU));
  for (const name of GENERAL) copy(FROM[name], TO[`user_regs.${name}`]);
  for (const [i, name] of DEBUG) copy(FROM[name], TO.debugreg + i * 8);
  if (!vcpu.domain.isHvm) {
    for (const name of SEGMENTS) to.setUint32(FROM[`${name}_sel`], from.getUint16(TO[`user_regs.${name}`], true), true);
    for (const [i, name] of CONTROL) copy(FROM[name], TO.ctrlreg + i * 8);
    copy(FROM.fs_base, TO.fs_base);
    copy(FROM.gs_base, TO.gs_base_user);
    copy(FROM.shadow_gs, TO.gs_base_kernel);
  }
  vcpu.initialised = true;
  vcpu.online = (flags & VGCF_online) !== 0;
}
