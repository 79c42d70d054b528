/** A request as bytes: the head, what happened, and the vCPU's registers (`monitor_traps` and `vm_event_fill_regs`). */

import type { Struct } from '../../abi/layout.js';
import {
  VM_EVENT_FLAG_ALTERNATE_P2M,
  VM_EVENT_FLAG_VCPU_PAUSED,
  type VmEventLayout,
  vmEventLayoutOf,
} from '../../abi/vm_event.js';
import type { RegisterName } from '../registers.js';
import type { Vcpu } from '../vcpu.js';

/** Members of `u` by their path in `vm_event_st`; the others are 0. */
export type EventFields = Readonly<Record<string, number | bigint>>;

/** Registers that have the same name in `hvm_hw_cpu`. */
const PLAIN: readonly RegisterName[] = [
  ...(['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rflags', 'rip'] as const),
  ...(['dr6', 'dr7', 'cr0', 'cr2', 'cr3', 'cr4', 'sysenter_cs', 'sysenter_esp', 'sysenter_eip'] as const),
  ...(['msr_efer', 'msr_star', 'msr_lstar', 'shadow_gs', 'gdtr_base', 'gdtr_limit'] as const),
];
const SEGMENTS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const;
/** Segment attributes: the limit counts pages. */
const GRANULAR = 1 << 11;
/** `vmtrace_pos` of a vCPU that is not traced. */
const NOT_TRACED = 0xffff_ffff_ffff_ffffn;

/** @param sync the vCPU is paused until the answer comes */
export function encodeRequest(vcpu: Vcpu, reason: number, sync: boolean, fields: EventFields): Uint8Array {
  const { domain } = vcpu;
  const layout = vmEventLayoutOf(domain.host.release);
  const { event } = layout;
  const request = new Uint8Array(event.size);
  const view = new DataView(request.buffer);
  const { active } = domain.altp2m;
  put(view, event, 'version', layout.abi);
  put(view, event, 'flags', (sync ? VM_EVENT_FLAG_VCPU_PAUSED : 0) | (active ? VM_EVENT_FLAG_ALTERNATE_P2M : 0));
  put(view, event, 'reason', reason);
  put(view, event, 'vcpu_id', vcpu.id);
  put(view, event, 'altp2m_idx', active ? vcpu.altp2mIndex : 0);
  for (const name in fields) put(view, event, name, fields[name] ?? 0);
  fillRegisters(new DataView(request.buffer, event.at['data'] ?? 0), layout, vcpu);
  return request;
}

function fillRegisters(view: DataView, { regs }: VmEventLayout, { registers, trace }: Vcpu): void {
  for (const name of PLAIN) put(view, regs, name, registers.get(name));
  for (const name of SEGMENTS) {
    const attributes = Number(registers.get(`${name}_arbytes`));
    const limit = Number(registers.get(`${name}_limit`));
    const units = attributes & GRANULAR ? limit >>> 12 : limit;
    put(view, regs, name, ((units & 0xf_ffff) | (attributes << 20)) >>> 0);
    put(view, regs, `${name}_base`, registers.get(`${name}_base`));
    put(view, regs, `${name}_sel`, registers.get(`${name}_sel`));
  }
  if (regs.at['vmtrace_pos'] !== undefined) put(view, regs, 'vmtrace_pos', trace?.active ? trace.position : NOT_TRACED);
}

/** Writes a member, cut to its size. */
function put(view: DataView, { fields }: Struct, name: string, value: number | bigint): void {
  const place = fields[name];
  if (!place) throw new RangeError(`vm_event_st has no ${name}`);
  const [offset, size] = place;
  if (size === 8) view.setBigUint64(offset, BigInt(value), true);
  else if (size === 4) view.setUint32(offset, Number(BigInt.asUintN(32, BigInt(value))), true);
  else if (size === 2) view.setUint16(offset, Number(BigInt.asUintN(16, BigInt(value))), true);
  else view.setUint8(offset, Number(value));
}
