/**
 * vCPUs: their registers, what they are doing, and stepping them; libxc's `xc_domain.c` and `xc_misc.c`. All need
 * privilege (`EPERM`) and an existing domain (`ESRCH`).
 *
 * Source of the behaviour: Xen's `do_domctl` (`xen/common/domctl.c`) and `arch_do_domctl` (`xen/arch/x86/domctl.c`).
 */

import {
  xen_domctl_vcpucontext as CONTEXT,
  xen_domctl_debug_op as DEBUG,
  xen_domctl_vcpuextstate as EXTSTATE,
  xen_domctl_getvcpuinfo as INFO,
  XEN_DOMCTL_debug_op,
  XEN_DOMCTL_getvcpucontext,
  XEN_DOMCTL_getvcpuextstate,
  XEN_DOMCTL_getvcpuinfo,
  XEN_DOMCTL_setdebugging,
  XEN_DOMCTL_setvcpucontext,
  xen_domctl_setdebugging,
} from '../abi/domctl.js';
import { vcpu_guest_context } from '../abi/guest_context.js';
import { checkBoolean, checkDomid, checkU32, getU64, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl, requireOpen } from './privileged.js';
import { checkVcpuContext, decodeVcpuContext, encodeVcpuContext, type VcpuGuestContext } from './vcpu_context.js';

/** What a vCPU is doing. */
export interface VcpuInfo {
  readonly vcpu: number;
  /** It has been started and has not gone down. */
  readonly online: boolean;
  /** It waits for an event. */
  readonly blocked: boolean;
  /** It has a processor at this moment. */
  readonly running: boolean;
  /** Time that it ran, in nanoseconds. */
  readonly cpu_time: bigint;
  /** The processor that it runs on, or ran on last. */
  readonly cpu: number;
}

/**
 * Reads the registers of a vCPU, which is paused while Xen does. Of a 32-bit PV domain Xen gives another structure: only
 * `raw` is of use then.
 *
 * @throws XenError `EINVAL`: no such vCPU, or it is the caller's own. `ENODATA`: it was never started.
 */
export function xc_vcpu_getcontext(xch: XcInterface, domid: number, vcpu: number): VcpuGuestContext {
  const call = 'xc_vcpu_getcontext';
  checkDomid(domid);
  checkU32(vcpu, 'vcpu');
  using buffer = requireOpen(xch).arena.alloc(vcpu_guest_context.size);
  const view = beginDomctl(xch, call, XEN_DOMCTL_getvcpucontext, domid, 'writes');
  view.setUint32(DOMCTL_U + CONTEXT.at.vcpu, vcpu, true);
  putU64(view, DOMCTL_U + CONTEXT.at.ctxt, buffer.address);
  issueDomctl(xch, call, domid);
  return decodeVcpuContext(buffer.bytes);
}

/**
 * Writes the registers of a vCPU, and starts it or takes it down as `VGCF_online` in `flags` says. Of an HVM domain's
 * vCPU Xen takes `user_regs` but for the segments, `debugreg`, `flags` and (with `VGCF_i387_valid`) the FPU's registers;
 * {@link xc_domain_hvm_setcontext} sets the others.
 *
 * @param ctxt what {@link xc_vcpu_getcontext} gave, with other values where wanted; null resets the vCPU
 * @throws XenError `EINVAL`: no such vCPU, the domain is the caller, or a PV domain's registers are not acceptable.
 *   `ENOMEM`.
 */
export function xc_vcpu_setcontext(xch: XcInterface, domid: number, vcpu: number, ctxt: VcpuGuestContext | null): void {
  const call = 'xc_vcpu_setcontext';
  checkDomid(domid);
  checkU32(vcpu, 'vcpu');
  if (ctxt !== null) checkVcpuContext(ctxt);
  using buffer = requireOpen(xch).arena.alloc(vcpu_guest_context.size);
  if (ctxt !== null) encodeVcpuContext(ctxt, buffer.bytes);
  const view = beginDomctl(xch, call, XEN_DOMCTL_setvcpucontext, domid, 'writes');
  view.setUint32(DOMCTL_U + CONTEXT.at.vcpu, vcpu, true);
  putU64(view, DOMCTL_U + CONTEXT.at.ctxt, ctxt === null ? 0 : buffer.address);
  issueDomctl(xch, call, domid);
}

/**
 * Tells what a vCPU is doing.
 *
 * @throws XenError `EINVAL`: the domain cannot have such a vCPU. `ESRCH`: it was not made yet, or there is no such domain.
 */
export function xc_vcpu_getinfo(xch: XcInterface, domid: number, vcpu: number): VcpuInfo {
  const call = 'xc_vcpu_getinfo';
  checkDomid(domid);
  checkU32(vcpu, 'vcpu');
  const view = beginDomctl(xch, call, XEN_DOMCTL_getvcpuinfo, domid, 'reads');
  view.setUint32(DOMCTL_U + INFO.at.vcpu, vcpu, true);
  issueDomctl(xch, call, domid);
  return {
    vcpu,
    online: view.getUint8(DOMCTL_U + INFO.at.online) !== 0,
    blocked: view.getUint8(DOMCTL_U + INFO.at.blocked) !== 0,
    running: view.getUint8(DOMCTL_U + INFO.at.running) !== 0,
    cpu_time: view.getBigUint64(DOMCTL_U + INFO.at.cpu_time, true),
    cpu: view.getUint32(DOMCTL_U + INFO.at.cpu, true),
  };
}

/** The extended state of a vCPU: what XSAVE saves. */
export interface VcpuExtstate {
  /** Components that the host knows. */
  readonly xfeature_mask: bigint;
  /** XCR0, the components ever enabled (8 bytes each), then the XSAVE area, not compacted. */
  readonly buffer: Uint8Array;
}

/**
 * Reads the extended state of a vCPU: FPU, SSE, AVX and so on. Asks for the size first.
 *
 * @throws XenError `ESRCH`: no such vCPU, or no such domain. `EINVAL`: it is the caller's own.
 */
export function xc_vcpu_get_extstate(xch: XcInterface, domid: number, vcpu: number): VcpuExtstate {
  const call = 'xc_vcpu_get_extstate';
  checkDomid(domid);
  checkU32(vcpu, 'vcpu');
  let view = beginDomctl(xch, call, XEN_DOMCTL_getvcpuextstate, domid, 'writes');
  view.setUint32(DOMCTL_U + EXTSTATE.at.vcpu, vcpu, true);
  issueDomctl(xch, call, domid);
  const size = getU64(view, DOMCTL_U + EXTSTATE.at.size);
  const xfeature_mask = view.getBigUint64(DOMCTL_U + EXTSTATE.at.xfeature_mask, true);
  using buffer = xch.hypervisor.arena.alloc(size);
  view = beginDomctl(xch, call, XEN_DOMCTL_getvcpuextstate, domid, 'writes');
  view.setUint32(DOMCTL_U + EXTSTATE.at.vcpu, vcpu, true);
  view.setBigUint64(DOMCTL_U + EXTSTATE.at.xfeature_mask, xfeature_mask, true);
  putU64(view, DOMCTL_U + EXTSTATE.at.size, size);
  putU64(view, DOMCTL_U + EXTSTATE.at.buffer, buffer.address);
  issueDomctl(xch, call, domid);
  return { xfeature_mask, buffer: buffer.bytes.slice(0, Math.min(size, getU64(view, DOMCTL_U + EXTSTATE.at.size))) };
}

/**
 * Says that a debugger looks after a domain: then its breakpoints and single steps pause it and raise VIRQ_DEBUGGER,
 * and {@link xc_domain_getinfo_single} tells `debugged`.
 *
 * @throws XenError `EINVAL`: the domain is the caller
 */
export function xc_domain_setdebugging(xch: XcInterface, domid: number, enable: boolean): void {
  const call = 'xc_domain_setdebugging';
  checkDomid(domid);
  checkBoolean(enable, 'enable');
  const view = beginDomctl(xch, call, XEN_DOMCTL_setdebugging, domid, 'writes');
  view.setUint8(DOMCTL_U + xen_domctl_setdebugging.at.enable, enable ? 1 : 0);
  issueDomctl(xch, call, domid);
}

/**
 * Has an HVM vCPU stop after each instruction, or no longer. The steps are seen by a monitoring agent
 * (`xc_monitor_singlestep`) or a debugger ({@link xc_domain_setdebugging}); with neither the vCPU goes on. (A fast single
 * step, which changes the altp2m view without telling anybody, can only be asked for in the answer to an event.)
 *
 * @param sop `XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON` or `_OFF`
 * @throws XenError `EINVAL`: no such vCPU, it is the caller's own, or the domain is PV. `EOPNOTSUPP`: the processor has
 *   no monitor trap flag (AMD). `ENOSYS`: an unknown `sop`.
 */
export function xc_domain_debug_control(xch: XcInterface, domid: number, sop: number, vcpu: number): void {
  const call = 'xc_domain_debug_control';
  checkDomid(domid);
  checkU32(sop, 'sop');
  checkU32(vcpu, 'vcpu');
  const view = beginDomctl(xch, call, XEN_DOMCTL_debug_op, domid, 'writes');
  view.setUint32(DOMCTL_U + DEBUG.at.op, sop, true);
  view.setUint32(DOMCTL_U + DEBUG.at.vcpu, vcpu, true);
  issueDomctl(xch, call, domid);
}
