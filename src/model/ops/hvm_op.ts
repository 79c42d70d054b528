/** The hvm_op hypercall (`do_hvm_op`): parameters of HVM domains, and altp2m. */

import { errno } from '../../abi/errno.js';
import {
  HVMOP_altp2m,
  HVMOP_get_param,
  HVMOP_guest_request_vm_event,
  HVMOP_set_param,
  xen_hvm_param,
} from '../../abi/hvm/hvm_op.js';
import {
  HVM_PARAM_ALTP2M,
  HVM_PARAM_CALLBACK_IRQ,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN,
  HVM_PARAM_VM_GENERATION_ID_ADDR,
  HVM_PARAM_VM86_TSS,
  HVM_PARAM_VM86_TSS_SIZED,
  HVM_PARAM_X87_FIP_WIDTH,
} from '../../abi/hvm/params.js';
import { type Caller, xsmTarget } from '../caller.js';
import type { Host } from '../domain.js';
import { isParam, setParam } from '../hvm_params.js';
import { monitorGuestRequest } from '../vm_event/traps.js';
import { altp2mOp } from './altp2m_op.js';

const F = xen_hvm_param.at;

export function hvmOp(host: Host, altp2mBooted: boolean, caller: Caller, op: number, address: number): number {
  switch (op) {
    case HVMOP_altp2m:
      return altp2mOp(host, altp2mBooted, caller, address);
    case HVMOP_set_param:
    case HVMOP_get_param:
      return param(caller, op, address);
    case HVMOP_guest_request_vm_event:
      if (address !== 0) return -errno.EINVAL;
      if (caller.vcpu) monitorGuestRequest(caller.vcpu);
      return 0;
    default:
      return -errno.ENOSYS;
  }
}

function param(caller: Caller, op: number, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, xen_hvm_param.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const index = view.getUint32(at + F.index, true);
  if (!isParam(index)) return -errno.EINVAL;
  const domain = caller.lookup(view.getUint16(at + F.domid, true));
  if (!domain) return -errno.ESRCH;
  if (!domain.isHvm) return -errno.EINVAL;
  const denied = xsmTarget(caller, domain);
  if (denied) return denied;
  if (op === HVMOP_set_param) {
    if (caller.domain === domain && !GUEST_MAY_SET.has(index)) return -errno.EPERM;
    return setParam(domain.params, index, view.getBigUint64(at + F.value, true), {
      release: domain.host.release,
      nestedVirt: domain.config.nestedVirt,
      emulationFlags: domain.config.emulationFlags,
    });
  }
  if (caller.domain === domain && !GUEST_MAY_GET.has(index)) return -errno.EPERM;
  view.setBigUint64(at + F.value, domain.params[index] ?? 0n, true);
  return memory.copyOut(address, xen_hvm_param.size) ? 0 : -errno.EFAULT;
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
