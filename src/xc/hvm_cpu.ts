/** The registers of an HVM or PVH vCPU: `struct hvm_hw_cpu`, the CPU record of a domain's state, as an object. */

import { HVM_SAVE_CODE_CPU, hvm_hw_cpu as layout } from '../abi/hvm/save.js';
import { checkDomid, checkU16 } from '../hypervisor/check.js';
import { xc_domain_hvm_getcontext_partial } from './hvm_context.js';
import type { XcInterface } from './interface.js';

const NAMES = Object.keys(layout.at).filter(
  (name) => name !== 'fpu_regs' && name !== 'pad0' && name !== 'pending_vector',
) as readonly HvmCpuRegister[];

/** Fields of `struct hvm_hw_cpu` that are numbers. */
export type HvmCpuRegister = Exclude<keyof typeof layout.at, 'fpu_regs' | 'pad0' | 'pending_vector'>;

/** The registers of an HVM or PVH vCPU, by the names of `struct hvm_hw_cpu`. */
export interface HvmCpu extends Readonly<Record<HvmCpuRegister, bigint>> {
  /** FXSAVE's 512 bytes. */
  readonly fpu_regs: Uint8Array;
}

/** Makes the object of a CPU record's 1,032 bytes. */
export function decodeHvmCpu(record: Uint8Array): HvmCpu {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const registers = Object.fromEntries(
    NAMES.map((name) => {
      const [offset, size] = layout.fields[name];
      return [name, size === 8 ? view.getBigUint64(offset, true) : BigInt(view.getUint32(offset, true))];
    }),
  ) as Record<HvmCpuRegister, bigint>;
  const [fpu, length] = layout.fields.fpu_regs;
  return { ...registers, fpu_regs: record.slice(fpu, fpu + length) };
}

/**
 * Reads the registers of a vCPU of an HVM or PVH domain, which is paused while Xen collects them.
 *
 * @throws XenError as {@link xc_domain_hvm_getcontext_partial}; `ENOENT`: no such vCPU, or it is down
 */
export function readHvmCpu(xch: XcInterface, domid: number, vcpu: number): HvmCpu {
  checkDomid(domid);
  checkU16(vcpu, 'vcpu');
  return decodeHvmCpu(xc_domain_hvm_getcontext_partial(xch, domid, HVM_SAVE_CODE_CPU, vcpu));
}
