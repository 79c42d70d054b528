/** The registers of a vCPU that introspection begins with. */

import { HVM_SAVE_CODE_CPU, HVM_SAVE_CODE_END, hvm_hw_cpu, hvm_save_descriptor } from '../abi/hvm/save.js';
import { checkU32 } from '../hypervisor/check.js';
import { xc_domain_hvm_getcontext } from '../xc/hvm_context.js';
import type { XcInterface } from '../xc/interface.js';

const GENERAL = [
  'rax',
  'rbx',
  'rcx',
  'rdx',
  'rbp',
  'rsi',
  'rdi',
  'rsp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
  'rflags',
] as const;
const CONTROL = ['cr0', 'cr2', 'cr3', 'cr4'] as const;
const REST = [
  'fs_base',
  'gs_base',
  'shadow_gs',
  'idtr_base',
  'gdtr_base',
  'msr_lstar',
  'msr_star',
  'msr_efer',
] as const;

type Name = (typeof GENERAL)[number] | (typeof CONTROL)[number] | 'efer' | Exclude<(typeof REST)[number], 'msr_efer'>;

/** Registers of one vCPU, by the names of `struct hvm_hw_cpu`; `efer` is its `msr_efer`. */
export type VcpuRegisters = { readonly [K in Name]: bigint };

/**
 * Reads the registers of a vCPU of an HVM or PVH domain. The domain is paused while Xen collects them.
 *
 * @throws RangeError the domain has no such vCPU, or it is down
 * @throws XenError as {@link xc_domain_hvm_getcontext}
 */
export function vcpuRegisters(xch: XcInterface, domid: number, vcpu: number): VcpuRegisters {
  checkU32(vcpu, 'vcpu');
  const record = cpuRecord(xc_domain_hvm_getcontext(xch, domid), vcpu);
  if (!record) throw new RangeError(`domain ${domid} has no vCPU ${vcpu}`);
  const { at } = hvm_hw_cpu;
  const names = [...GENERAL, ...CONTROL, ...REST];
  const values = Object.fromEntries(names.map((name) => [name, record.getBigUint64(at[name], true)]));
  const { msr_efer: efer, ...others } = values;
  return { ...others, efer } as VcpuRegisters;
}

/** The record of a vCPU in a domain's state. */
function cpuRecord(context: Uint8Array, vcpu: number): DataView | null {
  const view = new DataView(context.buffer, context.byteOffset, context.length);
  const { at, size } = hvm_save_descriptor;
  for (let offset = 0; offset + size <= view.byteLength; ) {
    const type = view.getUint16(offset + at.typecode, true);
    const length = view.getUint32(offset + at.length, true);
    if (type === HVM_SAVE_CODE_END) return null;
    const body = offset + size;
    if (type === HVM_SAVE_CODE_CPU && view.getUint16(offset + at.instance, true) === vcpu) {
      return length >= hvm_hw_cpu.size && body + length <= view.byteLength
        ? new DataView(view.buffer, view.byteOffset + body, length)
        : null;
    }
    offset = body + length;
  }
  return null;
}
