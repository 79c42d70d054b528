/** domctls on one vCPU (`common/domctl.c`, `arch/x86/domctl.c`): registers, what it is doing, stepping. */

import {
  xen_domctl_vcpucontext as CONTEXT,
  xen_domctl_debug_op as DEBUG,
  xen_domctl_vcpuextstate as EXTSTATE,
  xen_domctl_getvcpuinfo as INFO,
  XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON,
  XEN_DOMCTL_debug_op,
  XEN_DOMCTL_getvcpucontext,
  XEN_DOMCTL_getvcpuextstate,
  XEN_DOMCTL_getvcpuinfo,
  XEN_DOMCTL_setdebugging,
  XEN_DOMCTL_setvcpucontext,
} from '../../abi/domctl.js';
import { errno } from '../../abi/errno.js';
import { vcpu_guest_context } from '../../abi/guest_context.js';
import { hvm_hw_cpu } from '../../abi/hvm/save.js';
import { getU64, putU64 } from '../../hypervisor/check.js';
import type { Domain } from '../domain.js';
import { loadGuestContext, storeGuestContext } from '../guest_context.js';
import type { Domctl } from './domctl.js';

/** A kind of domctl on vCPUs; ENOSYS for what is none. */
export function vcpuOp(call: Domctl, cmd: number, domain: Domain): number {
  switch (cmd) {
    case XEN_DOMCTL_getvcpucontext:
      return getContext(call, domain);
    case XEN_DOMCTL_setvcpucontext:
      return setContext(call, domain);
    case XEN_DOMCTL_getvcpuinfo:
      return getInfo(call, domain);
    case XEN_DOMCTL_getvcpuextstate:
      return getExtstate(call, domain);
    case XEN_DOMCTL_setdebugging:
      if (domain === call.caller.domain) return -errno.EINVAL;
      domain.debugged = call.view.getUint8(call.u) !== 0;
      return 0;
    case XEN_DOMCTL_debug_op:
      return debugOp(call, domain);
    default:
      return -errno.ENOSYS;
  }
}

/** The caller is on vCPU 0 of its domain. */
function isCaller(call: Domctl, domain: Domain, vcpu: number): boolean {
  return domain === call.caller.domain && vcpu === 0;
}

function getContext(call: Domctl, domain: Domain): number {
  const { caller, view, u } = call;
  const id = view.getUint32(u + CONTEXT.at.vcpu, true);
  const vcpu = domain.vcpus[id];
  if (!vcpu || isCaller(call, domain, id)) return -errno.EINVAL;
  if (!vcpu.initialised) return -errno.ENODATA;
  const address = getU64(view, u + CONTEXT.at.ctxt);
  return caller.memory.write(address, storeGuestContext(vcpu)) ? call.reply() : -errno.EFAULT;
}

function setContext({ caller, view, u }: Domctl, domain: Domain): number {
  const vcpu = domain.vcpus[view.getUint32(u + CONTEXT.at.vcpu, true)];
  if (!vcpu || domain === caller.domain) return -errno.EINVAL;
  const address = getU64(view, u + CONTEXT.at.ctxt);
  if (address === 0) {
    vcpu.reset();
    return 0;
  }
  const bytes = new Uint8Array(vcpu_guest_context.size);
  if (!caller.memory.read(address, bytes)) return -errno.EFAULT;
  loadGuestContext(vcpu, bytes);
  return 0;
}

function getInfo(call: Domctl, domain: Domain): number {
  const { view, u } = call;
  const id = view.getUint32(u + INFO.at.vcpu, true);
  if (id >= domain.config.maxVcpus) return -errno.EINVAL;
  const vcpu = domain.vcpus[id];
  if (!vcpu) return -errno.ESRCH;
  view.setUint8(u + INFO.at.online, vcpu.online ? 1 : 0);
  view.setUint8(u + INFO.at.blocked, 0);
  // nothing runs while dom0 asks, but dom0's own vCPU
  view.setUint8(u + INFO.at.running, isCaller(call, domain, id) ? 1 : 0);
  putU64(view, u + INFO.at.cpu_time, 0);
  view.setUint32(u + INFO.at.cpu, 0, true);
  return call.reply();
}

/** What the modelled processor can save: x87, SSE, AVX; of that x87 and SSE have been used. */
const XFEATURES = 7;
const XCR0 = 3;
/** XCR0 and the components ever used. */
const XSAVE_HEADER = 16;
const XSAVE_LEGACY = 512 + 64;
const AVX_STATE = 256;

function getExtstate(call: Domctl, domain: Domain): number {
  const { caller, view, u } = call;
  const id = view.getUint32(u + EXTSTATE.at.vcpu, true);
  const vcpu = domain.vcpus[id];
  // errors, too, are answered with the structure
  const end = (rc: number): number => call.reply() || rc;
  if (!vcpu) return end(-errno.ESRCH);
  if (isCaller(call, domain, id)) return end(-errno.EINVAL);
  const mask = getU64(view, u + EXTSTATE.at.xfeature_mask);
  const room = getU64(view, u + EXTSTATE.at.size);
  const buffer = getU64(view, u + EXTSTATE.at.buffer);
  if ((room === 0 && mask === 0) || buffer === 0) {
    putU64(view, u + EXTSTATE.at.xfeature_mask, XFEATURES);
    putU64(view, u + EXTSTATE.at.size, XSAVE_HEADER + XSAVE_LEGACY + AVX_STATE);
    return end(0);
  }
  const state = new Uint8Array(XSAVE_HEADER + XSAVE_LEGACY);
  if (room < state.length || mask !== XFEATURES) return end(-errno.EINVAL);
  state[0] = XCR0;
  state[8] = XCR0;
  state.set(vcpu.context.subarray(0, hvm_hw_cpu.fields.fpu_regs[1]), XSAVE_HEADER);
  state[XSAVE_HEADER + 512] = XCR0; // XSTATE_BV
  if (!caller.memory.write(buffer, state)) return end(-errno.EFAULT);
  putU64(view, u + EXTSTATE.at.size, state.length);
  return end(0);
}

/** `hvm_debug_op`. */
function debugOp(call: Domctl, domain: Domain): number {
  const { view, u } = call;
  const id = view.getUint32(u + DEBUG.at.vcpu, true);
  const vcpu = domain.vcpus[id];
  if (!vcpu || isCaller(call, domain, id) || !domain.isHvm) return -errno.EINVAL;
  const op = view.getUint32(u + DEBUG.at.op, true);
  if (op > XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON) return -errno.ENOSYS;
  if (!domain.host.cpu.mtf) return -errno.EOPNOTSUPP;
  vcpu.setSinglestep(op === XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON);
  return 0;
}
