/** Events for a vCPU: libxc's `xc_hvm_inject_trap`, over the device model operation of libxendevicemodel. */

import { xen_dm_op_inject_event as EVENT, XEN_DMOP_inject_event, xen_dm_op } from '../abi/hvm/dm_op.js';
import { checkDomid, checkU8, checkU32, checkU64, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { requireOpen } from './privileged.js';
import { refusal } from './refusal.js';

/**
 * Raises an exception or interrupt in an HVM or PVH vCPU, before its next instruction. An agent that was told of a
 * breakpoint which is the guest's own hands it back so: vector 3, `XEN_DMOP_EVENT_sw_exc`, `insn_len` 1.
 *
 * @param type `XEN_DMOP_EVENT_*`
 * @param error_code 0xffffffff: none
 * @param insn_len length of the instruction that raises it, for `sw_int`, `pri_sw_exc` and `sw_exc`; otherwise 0
 * @param cr2 for a page fault (vector 14) the address; for a debug exception (vector 1) what DR6 tells
 * @throws XenError `EBUSY`: the vCPU has an event to take already. `EINVAL`: no such vCPU, or a PV domain. `EPERM`: the
 *   domain is the caller, or the caller is not privileged, or the handle is restricted to another domain. `ESRCH`.
 */
export function xc_hvm_inject_trap(
  xch: XcInterface,
  domid: number,
  vcpu: number,
  vector: number,
  type: number,
  error_code: number,
  insn_len: number,
  cr2: number | bigint,
): void {
  checkDomid(domid);
  checkU32(vcpu, 'vcpu');
  checkU8(vector, 'vector');
  checkU8(type, 'type');
  checkU32(error_code, 'error_code');
  checkU8(insn_len, 'insn_len');
  checkU64(cr2, 'cr2');
  const hypervisor = requireOpen(xch);
  const op = new Uint8Array(xen_dm_op.size);
  const view = new DataView(op.buffer);
  const u = xen_dm_op.at.u;
  view.setUint32(xen_dm_op.at.op, XEN_DMOP_inject_event, true);
  view.setUint32(u + EVENT.at.vcpuid, vcpu, true);
  view.setUint8(u + EVENT.at.vector, vector);
  view.setUint8(u + EVENT.at.type, type);
  view.setUint8(u + EVENT.at.insn_len, insn_len);
  view.setUint32(u + EVENT.at.error_code, error_code, true);
  putU64(view, u + EVENT.at.cr2, cr2);
  const rc = hypervisor.dmOp(domid, [op]);
  if (rc < 0) throw refusal('xc_hvm_inject_trap', rc, domid);
}
