/**
 * Parameters of an HVM or PVH domain, as in libxc's `xc_domain.c`. Errors that both calls give, in the order in which
 * Xen looks: `EINVAL`: no such parameter; `ESRCH`: no such domain; `EINVAL`: the domain is neither HVM nor PVH;
 * `EPERM`: the caller may not.
 *
 * Source of the behaviour: Xen's `hvmop_set_param` and `hvmop_get_param`, in `xen/arch/x86/hvm/hvm.c`.
 */

import { errno } from '../abi/errno.js';
import { HVMOP_get_param, HVMOP_set_param, xen_hvm_param } from '../abi/hvm/hvm_op.js';
import { HVM_PARAM_ALTP2M } from '../abi/hvm/params.js';
import { __HYPERVISOR_hvm_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkDomid, checkU32, checkU64, putU64 } from '../hypervisor/check.js';
import { type XcInterface, xenAtLeast } from './interface.js';
import { refusal } from './refusal.js';

const OP = OPERAND_OFFSET;

function encode(xch: XcInterface, domid: number, param: number, value: number | bigint): DataView {
  const { view } = xch.hypervisor.arena;
  view.setUint32(OP + xen_hvm_param.at.domid, domid, true); // domid and pad
  view.setUint32(OP + xen_hvm_param.at.index, param, true);
  putU64(view, OP + xen_hvm_param.at.value, value);
  return view;
}

/**
 * Sets a parameter. Since Xen 4.2.
 *
 * @param param one of `HVM_PARAM_*`
 * @throws XenError `EEXIST`: the parameter has a value that cannot be changed; HVM_PARAM_ALTP2M is set when the domain
 *   is created since Xen 4.19, and gives EEXIST whatever the value. `EINVAL`: the value is not allowed, among them an
 *   altp2m mode above 3 or with nested virtualisation. Others: see the head of this file.
 */
export function xc_hvm_param_set(xch: XcInterface, domid: number, param: number, value: number | bigint): void {
  checkDomid(domid);
  checkU32(param, 'param');
  checkU64(value, 'value');
  encode(xch, domid, param, value);
  const { hypervisor } = xch;
  const rc = hypervisor.hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, hypervisor.arena.operandAddress);
  if (rc >= 0) return;
  const hint = param === HVM_PARAM_ALTP2M ? altp2mModeHint(xch, rc) : undefined;
  throw refusal('xc_hvm_param_set', rc, domid, hint);
}

function altp2mModeHint(xch: XcInterface, rc: number): string | undefined {
  if (rc === -errno.EINVAL) {
    return 'the mode must be 0 to 3, and the domain HVM or PVH without nested virtualisation (nestedhvm=0 in its xl.cfg)';
  }
  if (rc !== -errno.EEXIST) return undefined;
  return xenAtLeast(xch, '4.19')
    ? 'since Xen 4.19 the altp2m mode is chosen when the domain is created: put altp2m="external" in its xl.cfg and create it anew (xc_domain_create: altp2m: {opts})'
    : 'the domain has another altp2m mode already, and it cannot be changed: put altp2m="external" in its xl.cfg and create it anew';
}

/**
 * Asks for a parameter. Since Xen 4.2.
 *
 * @param param one of `HVM_PARAM_*`
 * @returns all 64 bits, whatever the parameter means: a frame, an event channel, a mode
 * @throws XenError see the head of this file
 */
export function xc_hvm_param_get(xch: XcInterface, domid: number, param: number): bigint {
  checkDomid(domid);
  checkU32(param, 'param');
  const view = encode(xch, domid, param, 0);
  const { hypervisor } = xch;
  const rc = hypervisor.hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, hypervisor.arena.operandAddress);
  if (rc < 0) throw refusal('xc_hvm_param_get', rc, domid);
  return view.getBigUint64(OP + xen_hvm_param.at.value, true);
}
