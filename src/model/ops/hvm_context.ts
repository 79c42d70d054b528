/** domctl gethvmcontext and sethvmcontext: the records that hold an HVM domain's state (`common/hvm/save.c`). */

import { xen_domctl_hvmcontext, xen_domctl_hvmcontext_partial } from '../../abi/domctl.js';
import { errno } from '../../abi/errno.js';
import {
  HVM_FILE_MAGIC,
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_HEADER,
  hvm_hw_cpu,
  hvm_save_descriptor,
  hvm_save_header,
} from '../../abi/hvm/save.js';
import { getU64, putU64 } from '../../hypervisor/check.js';
import type { Domain } from '../domain.js';
import type { Domctl } from './domctl.js';

const F = xen_domctl_hvmcontext.at;
const P = xen_domctl_hvmcontext_partial.at;
const D = hvm_save_descriptor;
const HEADER_END = D.size + hvm_save_header.size;
const HVM_FILE_VERSION = 1;
/** The highest record type of Xen 4.17 (CPU_MSR). */
const LAST_CODE = 20;
/** No real context is larger; Xen's own bound is the size that it would save. */
const MAX_CONTEXT = 1 << 20;

export function getHvmContext(call: Domctl, domain: Domain): number {
  // a real Xen 4.17 crashes when it is asked for the state of a domain that has no vCPUs yet
  if (!domain.isHvm || domain.dying || domain.vcpus.length === 0) return -errno.EINVAL;
  const { caller, view, u } = call;
  const context = encode(domain);
  const buffer = getU64(view, u + F.buffer);
  const room = view.getUint32(u + F.size, true);
  view.setUint32(u + F.size, context.length, true);
  if (buffer !== 0) {
    if (room < context.length) return -errno.ENOSPC;
    if (!caller.memory.write(buffer, context)) return -errno.EFAULT;
  }
  return call.reply();
}

export function setHvmContext({ caller, view, u }: Domctl, domain: Domain): number {
  if (!domain.isHvm || domain.dying) return -errno.EINVAL;
  const size = view.getUint32(u + F.size, true);
  if (size > MAX_CONTEXT) return -errno.EINVAL;
  const context = new Uint8Array(size);
  if (!caller.memory.read(getU64(view, u + F.buffer), context)) return -errno.EFAULT;
  return load(domain, context);
}

/** One record (`hvm_save_one`). Of the types there is only that of vCPUs here: devices are not modelled. */
export function getHvmContextPartial(call: Domctl, domain: Domain): number {
  const { caller, view, u } = call;
  const code = view.getUint32(u + P.type, true);
  if (domain === caller.domain || !domain.isHvm || domain.dying) return -errno.EINVAL;
  if (code <= HVM_SAVE_CODE_HEADER || code > LAST_CODE) return -errno.EINVAL;
  const instance = view.getUint32(u + P.instance, true);
  if (code !== HVM_SAVE_CODE_CPU || instance >= domain.config.maxVcpus) return -errno.ENOENT;
  const vcpu = domain.vcpus[instance];
  if (!vcpu?.online) return -errno.ENODATA;
  const buffer = getU64(view, u + P.buffer);
  if (buffer !== 0) {
    if (getU64(view, u + P.bufsz) < hvm_hw_cpu.size) return -errno.ENOBUFS;
    if (!caller.memory.write(buffer, vcpu.context)) return -errno.EFAULT;
  }
  putU64(view, u + P.bufsz, hvm_hw_cpu.size);
  return call.reply();
}

/** The header, a CPU record for each vCPU that is up, the end. Devices are not modelled and have no records. */
function encode(domain: Domain): Uint8Array {
  const cpus = domain.vcpus.filter((vcpu) => vcpu.online);
  const bytes = new Uint8Array(D.size + hvm_save_header.size + cpus.length * (D.size + hvm_hw_cpu.size) + D.size);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const record = (code: number, instance: number, length: number): number => {
    view.setUint16(at + D.at.typecode, code, true);
    view.setUint16(at + D.at.instance, instance, true);
    view.setUint32(at + D.at.length, length, true);
    const body = at + D.size;
    at = body + length;
    return body;
  };
  const header = record(HVM_SAVE_CODE_HEADER, 0, hvm_save_header.size);
  view.setUint32(header + hvm_save_header.at.magic, HVM_FILE_MAGIC, true);
  view.setUint32(header + hvm_save_header.at.version, HVM_FILE_VERSION, true);
  for (const vcpu of cpus) bytes.set(vcpu.context, record(HVM_SAVE_CODE_CPU, vcpu.id, hvm_hw_cpu.size));
  record(HVM_SAVE_CODE_END, 0, 0);
  return bytes;
}

/** Loads records up to the end; those before one that is refused stay in force. */
function load(domain: Domain, context: Uint8Array): number {
  const view = new DataView(context.buffer, context.byteOffset, context.byteLength);
  const isHeader = (): boolean =>
    view.getUint16(D.at.typecode, true) === HVM_SAVE_CODE_HEADER &&
    view.getUint32(D.at.length, true) === hvm_save_header.size;
  if (context.length < HEADER_END || !isHeader()) return -errno.ENODATA;
  if (view.getUint32(D.size + hvm_save_header.at.magic, true) !== HVM_FILE_MAGIC) return -errno.EINVAL;
  if (view.getUint32(D.size + hvm_save_header.at.version, true) !== HVM_FILE_VERSION) return -errno.EINVAL;
  for (let at = HEADER_END; ; ) {
    if (at + D.size > context.length) return -errno.ENODATA;
    const code = view.getUint16(at + D.at.typecode, true);
    const length = view.getUint32(at + D.at.length, true);
    if (code === HVM_SAVE_CODE_END) return 0;
    const body = at + D.size;
    // devices are not modelled: their records are taken and forgotten
    if (code > LAST_CODE || body + length > context.length) return -errno.EINVAL;
    if (code === HVM_SAVE_CODE_CPU) {
      const vcpu = domain.vcpus[view.getUint16(at + D.at.instance, true)];
      if (!vcpu || length !== hvm_hw_cpu.size) return -errno.EINVAL;
      vcpu.context.set(context.subarray(body, body + length));
      vcpu.start();
    }
    at = body + length;
  }
}
