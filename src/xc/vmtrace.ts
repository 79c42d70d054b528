/**
 * Processor trace of a domain's vCPUs, as libxc's `xc_vmtrace.c`. Since Xen 4.15, on Intel processors with Processor
 * Trace, for an HVM or PVH domain that was created with `vmtrace_size`. Each vCPU has a buffer of that size: map it with
 * {@link xenforeignmemory_map_resource}, `XENMEM_resource_vmtrace_buf` and the vCPU as `id`.
 *
 * Source of the behaviour: Xen's `do_vmtrace_op`, in `xen/arch/x86/domctl.c`, and `vmtrace_*` in `hvm/vmx/vmx.c`.
 */

import {
  xen_domctl_vmtrace_op as OP,
  XEN_DOMCTL_vmtrace_disable,
  XEN_DOMCTL_vmtrace_enable,
  XEN_DOMCTL_vmtrace_get_option,
  XEN_DOMCTL_vmtrace_op,
  XEN_DOMCTL_vmtrace_output_position,
  XEN_DOMCTL_vmtrace_reset_and_enable,
  XEN_DOMCTL_vmtrace_set_option,
} from '../abi/domctl.js';
import { checkDomid, checkU32, checkU64, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl, needRelease } from './privileged.js';

/** Issues one operation; gives the `value` that Xen answered with. */
function vmtrace(
  xch: XcInterface,
  call: string,
  cmd: number,
  domid: number,
  vcpu: number,
  key: number | bigint,
  value: number | bigint,
): bigint {
  checkDomid(domid);
  checkU32(vcpu, 'vcpu');
  checkU64(key, 'key');
  checkU64(value, 'value');
  needRelease(xch, call, '4.15', domid);
  const view = beginDomctl(xch, call, XEN_DOMCTL_vmtrace_op, domid, 'writes');
  const { at } = OP.for(xch.abi.release);
  view.setUint32(DOMCTL_U + (at.cmd as number), cmd, true);
  view.setUint32(DOMCTL_U + (at.vcpu as number), vcpu, true);
  putU64(view, DOMCTL_U + (at.key as number), key);
  putU64(view, DOMCTL_U + (at.value as number), value);
  issueDomctl(xch, call, domid);
  return view.getBigUint64(DOMCTL_U + (at.value as number), true);
}

/**
 * Has a vCPU traced, on from where the buffer is.
 *
 * @throws XenError `EINVAL`: it is already, or the domain was created without a buffer. `ENOENT`: no such vCPU.
 *   `EOPNOTSUPP`: Xen is older than 4.15. `ESRCH`. `EPERM`.
 */
export function xc_vmtrace_enable(xch: XcInterface, domid: number, vcpu: number): void {
  vmtrace(xch, 'xc_vmtrace_enable', XEN_DOMCTL_vmtrace_enable, domid, vcpu, 0, 0);
}

/**
 * Stops tracing a vCPU. The buffer stays.
 *
 * @throws XenError `EINVAL`: it is not traced; and as {@link xc_vmtrace_enable}
 */
export function xc_vmtrace_disable(xch: XcInterface, domid: number, vcpu: number): void {
  vmtrace(xch, 'xc_vmtrace_disable', XEN_DOMCTL_vmtrace_disable, domid, vcpu, 0, 0);
}

/** {@link xc_vmtrace_enable}, from the start of the buffer, with a clean status. */
export function xc_vmtrace_reset_and_enable(xch: XcInterface, domid: number, vcpu: number): void {
  vmtrace(xch, 'xc_vmtrace_reset_and_enable', XEN_DOMCTL_vmtrace_reset_and_enable, domid, vcpu, 0, 0);
}

/**
 * Tells where in the buffer the next byte will be written. The buffer is written in a circle.
 *
 * @throws XenError as {@link xc_vmtrace_enable}, but for a vCPU that is traced already
 */
export function xc_vmtrace_output_position(xch: XcInterface, domid: number, vcpu: number): bigint {
  return vmtrace(xch, 'xc_vmtrace_output_position', XEN_DOMCTL_vmtrace_output_position, domid, vcpu, 0, 0);
}

/**
 * Reads a setting of the trace: for Intel a register by its number, 0x570 IA32_RTIT_CTL, 0x571 STATUS, 0x561
 * OUTPUT_MASK_PTRS; of each the part that an agent may have.
 *
 * @throws XenError `EINVAL`: no such setting; and as {@link xc_vmtrace_output_position}
 */
export function xc_vmtrace_get_option(xch: XcInterface, domid: number, vcpu: number, key: number | bigint): bigint {
  return vmtrace(xch, 'xc_vmtrace_get_option', XEN_DOMCTL_vmtrace_get_option, domid, vcpu, key, 0);
}

/**
 * Changes a setting of the trace: see {@link xc_vmtrace_get_option}.
 *
 * @throws XenError `EINVAL`: no such setting, or a value that an agent may not give it
 */
export function xc_vmtrace_set_option(
  xch: XcInterface,
  domid: number,
  vcpu: number,
  key: number | bigint,
  value: number | bigint,
): void {
  vmtrace(xch, 'xc_vmtrace_set_option', XEN_DOMCTL_vmtrace_set_option, domid, vcpu, key, value);
}
