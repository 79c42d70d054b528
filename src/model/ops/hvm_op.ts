/** The hvm_op hypercall (`do_hvm_op`): parameters of HVM domains, and altp2m. */

import { errno } from '../../abi/errno.js';
import { HVMOP_altp2m, HVMOP_get_param, HVMOP_set_param, xen_hvm_param } from '../../abi/hvm/hvm_op.js';
import {
  HVM_NR_PARAMS,
  HVM_PARAM_ALTP2M,
  HVM_PARAM_CALLBACK_IRQ,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_IOREQ_SERVER_PFN,
  HVM_PARAM_MCA_CAP,
  HVM_PARAM_NR_IOREQ_SERVER_PAGES,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN,
  HVM_PARAM_VIRIDIAN,
  HVM_PARAM_VM_GENERATION_ID_ADDR,
  HVM_PARAM_VM86_TSS,
  HVM_PARAM_VM86_TSS_SIZED,
  HVM_PARAM_X87_FIP_WIDTH,
  XEN_ALTP2M_limited,
} from '../../abi/hvm/params.js';
import { atLeast } from '../../abi/release.js';
import { getU64, putU64 } from '../../hypervisor/check.js';
import { type Caller, xsmTarget } from '../caller.js';
import type { Domain, Host } from '../domain.js';
import { altp2mOp } from './altp2m_op.js';

const F = xen_hvm_param.at;

export function hvmOp(host: Host, altp2mBooted: boolean, caller: Caller, op: number, address: number): number {
  switch (op) {
    case HVMOP_altp2m:
      return altp2mOp(host, altp2mBooted, caller, address);
    case HVMOP_set_param:
    case HVMOP_get_param:
      return param(caller, op, address);
    default:
      return -errno.ENOSYS;
  }
}

function param(caller: Caller, op: number, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, xen_hvm_param.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const index = view.getUint32(at + F.index, true);
  if (index >= HVM_NR_PARAMS) return -errno.EINVAL;
  const domain = caller.lookup(view.getUint16(at + F.domid, true));
  if (!domain) return -errno.ESRCH;
  if (!domain.isHvm) return -errno.EINVAL;
  const denied = xsmTarget(caller, domain);
  if (denied) return denied;
  if (op === HVMOP_set_param) return setParam(caller, domain, index, getU64(view, at + F.value));
  if (caller.domain === domain && !GUEST_MAY_GET.has(index)) return -errno.EPERM;
  putU64(view, at + F.value, domain.params[index] ?? 0);
  return memory.copyOut(address, xen_hvm_param.size) ? 0 : -errno.EFAULT;
}

function setParam(caller: Caller, domain: Domain, index: number, value: number): number {
  if (caller.domain === domain && !GUEST_MAY_SET.has(index)) return -errno.EPERM;
  const before = domain.params[index] ?? 0;
  if (SET_ONCE.has(index) && before !== 0 && before !== value) return -errno.EEXIST;
  if (index === HVM_PARAM_ALTP2M) {
    // since 4.19 the mode is given when the domain is created
    if (atLeast(domain.host.release, '4.19')) return -errno.EEXIST;
    if (value > XEN_ALTP2M_limited || domain.config.nestedVirt) return -errno.EINVAL;
  }
  domain.params[index] = value;
  return 0;
}

const GUEST_MAY_SET: ReadonlySet<number> = new Set([
  HVM_PARAM_CALLBACK_IRQ,
  HVM_PARAM_VM86_TSS,
  HVM_PARAM_VM86_TSS_SIZED,
  HVM_PARAM_VM_GENERATION_ID_ADDR,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_X87_FIP_WIDTH,
]);

const GUEST_MAY_GET: ReadonlySet<number> = new Set([
  ...GUEST_MAY_SET,
  HVM_PARAM_STORE_PFN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_ALTP2M,
]);

const SET_ONCE: ReadonlySet<number> = new Set([
  HVM_PARAM_VIRIDIAN,
  HVM_PARAM_IOREQ_SERVER_PFN,
  HVM_PARAM_NR_IOREQ_SERVER_PAGES,
  HVM_PARAM_ALTP2M,
  HVM_PARAM_MCA_CAP,
]);
