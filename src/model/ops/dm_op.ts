/** The dm_op hypercall (`common/dm.c`, `arch/x86/hvm/dm.c`): what device models do to a domain. */

import { errno } from '../../abi/errno.js';
import { xen_dm_op_inject_event as EVENT, xen_dm_op as OP, XEN_DMOP_inject_event } from '../../abi/hvm/dm_op.js';
import type { Domain } from '../domain.js';

/** Buffers that an operation can have. */
const MOST_BUFFERS = 2;

/** What dm_op needs of the machine. */
interface Machine {
  readonly domains: ReadonlyMap<number, Domain>;
  readonly dom0: Domain;
}

/** dom0's; the buffers are copies that nobody else changes. */
export function dmOp({ domains, dom0 }: Machine, domid: number, buffers: readonly Uint8Array[]): number {
  if (buffers.length > MOST_BUFFERS) return -errno.E2BIG;
  const domain = domains.get(domid);
  if (!domain) return -errno.ESRCH;
  if (domain === dom0) return -errno.EPERM;
  if (!domain.isHvm) return -errno.EINVAL;
  const [bytes] = buffers;
  if (!bytes || bytes.length < OP.at.u) return -errno.EFAULT;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const op = view.getUint32(OP.at.op, true);
  if (op !== XEN_DMOP_inject_event) return -errno.EOPNOTSUPP; // other operations are not modelled
  if (bytes.length < OP.at.u + EVENT.size) return -errno.EFAULT;
  if (view.getUint32(OP.at.pad, true) !== 0) return -errno.EINVAL;
  return injectEvent(domain, view);
}

function injectEvent(domain: Domain, view: DataView): number {
  const u = OP.at.u;
  if (view.getUint8(u + EVENT.at.pad0) !== 0 || view.getUint32(u + EVENT.at.pad1, true) !== 0) return -errno.EINVAL;
  const vcpu = domain.vcpus[view.getUint32(u + EVENT.at.vcpuid, true)];
  if (!vcpu) return -errno.EINVAL;
  return vcpu.inject({
    vector: view.getUint8(u + EVENT.at.vector),
    type: view.getUint8(u + EVENT.at.type),
    insnLength: view.getUint8(u + EVENT.at.insn_len),
    errorCode: view.getUint32(u + EVENT.at.error_code, true),
    cr2: view.getBigUint64(u + EVENT.at.cr2, true),
  });
}
