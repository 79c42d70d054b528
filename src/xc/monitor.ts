/**
 * Monitoring of a domain, as libxc's `xc_monitor.c`: which of its doings Xen reports in the ring that
 * {@link xc_monitor_enable} gives.
 *
 * Errors that the calls which switch a kind of event on or off can give, in the order in which Xen looks:
 * - `ESRCH`: no such domain.
 * - `EPERM`: the domain is the caller, or the caller is not privileged.
 * - `EOPNOTSUPP`: the domain is no HVM domain, or this release or processor cannot report this kind of event
 *   ({@link xc_monitor_get_capabilities}).
 * - `EEXIST`: it is on (or off) already.
 *
 * Source of the behaviour: Xen's `monitor_domctl`, in `xen/common/monitor.c`, and `arch_monitor_domctl_event`, in
 * `xen/arch/x86/monitor.c`.
 */

import {
  XEN_DOMCTL_MONITOR_EVENT_CPUID,
  XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION,
  XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS,
  XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED,
  XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST,
  XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT,
  XEN_DOMCTL_MONITOR_EVENT_IO,
  XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR,
  XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL,
  XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP,
  XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT,
  XEN_DOMCTL_MONITOR_EVENT_VMEXIT,
  XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
  XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS,
  XEN_DOMCTL_MONITOR_OP_DISABLE,
  XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP,
  XEN_DOMCTL_MONITOR_OP_ENABLE,
  XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES,
  XEN_DOMCTL_monitor_op,
  XEN_VM_EVENT_DISABLE,
  XEN_VM_EVENT_RESUME,
  xen_domctl_monitor_op,
} from '../abi/domctl.js';
import { checkBoolean, checkDomid, checkU16, checkU32, checkU64, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl, needRelease, requireOpen } from './privileged.js';
import { enableRing, type VmEventRing, vmEventControl } from './vm_event.js';

const F = xen_domctl_monitor_op.at;
const U = DOMCTL_U;

function begin(xch: XcInterface, call: string, domid: number, op: number, event: number): DataView {
  const effect = op === XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES ? 'reads' : 'writes';
  const view = beginDomctl(xch, call, XEN_DOMCTL_monitor_op, domid, effect);
  view.setUint32(U + F.op, op, true);
  view.setUint32(U + F.event, event, true);
  return view;
}

function beginSwitch(xch: XcInterface, call: string, domid: number, event: number, enable: boolean): DataView {
  return begin(xch, call, domid, enable ? XEN_DOMCTL_MONITOR_OP_ENABLE : XEN_DOMCTL_MONITOR_OP_DISABLE, event);
}

/** The calls that have nothing but an on and an off. */
function simpleSwitch(xch: XcInterface, call: string, domid: number, event: number, enable: boolean): void {
  beginSwitch(xch, call, domid, event, enable);
  issueDomctl(xch, call, domid);
}

/**
 * Sets up the ring in which Xen reports what the domain does, and its event channel. The domain is paused meanwhile.
 *
 * Nothing is reported yet: switch kinds of events on, or forbid access to frames. A reported vCPU usually stays paused
 * until it is answered, so a listener that ends must answer what is in the ring and call {@link xc_monitor_disable}.
 *
 * @returns Xen's port, and the ring page with its counters initialised (libxc leaves that to the caller)
 * @throws XenError `EBUSY`: the domain has a listener, or had one that died. `EOPNOTSUPP`: the domain's builder set no
 *   frame aside for the ring (HVM_PARAM_MONITOR_RING_PFN is 0). `EINVAL`: the domain is no HVM domain, or it is the
 *   caller. `ESRCH`: no such domain, or it is being torn down. `ENOMEM`. `EPERM`: the caller is not privileged.
 */
export function xc_monitor_enable(xch: XcInterface, domid: number): VmEventRing {
  checkDomid(domid);
  requireOpen(xch);
  return enableRing(xch, 'xc_monitor_enable', domid);
}

/**
 * Ends monitoring: Xen lets go of the ring and of vCPUs that wait for room in it, and switches every kind of event off.
 * vCPUs whose event was not answered stay paused: answer first.
 *
 * @throws XenError `EINVAL`: there is no ring. `EBUSY`: vCPUs are queued for room in the ring; answer what is in it and
 *   try again. `ESRCH`: no such domain. `EPERM`: the domain is the caller, or the caller is not privileged.
 */
export function xc_monitor_disable(xch: XcInterface, domid: number): void {
  vmEventControl(xch, 'xc_monitor_disable', domid, XEN_VM_EVENT_DISABLE);
}

/**
 * Makes Xen take the answers out of the ring, as signalling the event channel does.
 *
 * @throws XenError `ENODEV` (`EINVAL` up to Xen 4.13): there is no ring. `ESRCH`. `EPERM`.
 */
export function xc_monitor_resume(xch: XcInterface, domid: number): void {
  vmEventControl(xch, 'xc_monitor_resume', domid, XEN_VM_EVENT_RESUME);
}

/**
 * Asks which kinds of events can be reported for this domain on this host.
 *
 * @returns a mask of `1 << XEN_DOMCTL_MONITOR_EVENT_*`; 0 for a domain that is not HVM
 * @throws XenError `ESRCH`: no such domain. `EPERM`: the domain is the caller, or the caller is not privileged.
 */
export function xc_monitor_get_capabilities(xch: XcInterface, domid: number): number {
  const call = 'xc_monitor_get_capabilities';
  const view = begin(xch, call, domid, XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES, 0);
  issueDomctl(xch, call, domid);
  return view.getUint32(U + F.event, true);
}

/**
 * Reports writes to a control register.
 *
 * @param index `VM_EVENT_X86_CR0`, `CR3`, `CR4` or `XCR0`
 * @param sync the vCPU waits for the answer, which may deny the write
 * @param bitmask bits whose change alone is not reported
 * @param onchangeonly only writes that change the value; Xen reports no others in any case
 * @throws XenError `EINVAL`: no such register. Others: see the head of this file.
 */
export function xc_monitor_write_ctrlreg(
  xch: XcInterface,
  domid: number,
  index: number,
  enable: boolean,
  sync: boolean,
  bitmask: number | bigint,
  onchangeonly: boolean,
): void {
  const call = 'xc_monitor_write_ctrlreg';
  checkDomid(domid);
  checkU16(index, 'index');
  if (index > 0xff) throw new RangeError(`index must be one of VM_EVENT_X86_*, not ${index}`);
  checkBoolean(enable, 'enable');
  checkBoolean(sync, 'sync');
  checkU64(bitmask, 'bitmask');
  checkBoolean(onchangeonly, 'onchangeonly');
  const view = beginSwitch(xch, call, domid, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG, enable);
  view.setUint8(U + F['u.mov_to_cr.index'], index);
  view.setUint8(U + F['u.mov_to_cr.sync'], sync ? 1 : 0);
  view.setUint8(U + F['u.mov_to_cr.onchangeonly'], onchangeonly ? 1 : 0);
  putU64(view, U + F['u.mov_to_cr.bitmask'], bitmask);
  issueDomctl(xch, call, domid);
}

/**
 * Reports writes to a model-specific register. The vCPU waits for the answer, which may deny the write. Reads are not
 * reported.
 *
 * @param msr 0 to 0x1fff, 0x40000000 to 0x40001fff or 0xc0000000 to 0xc0001fff
 * @param onchangeonly only writes that change the value
 * @throws XenError `EINVAL`: another register. `ENXIO`: the ring was never enabled. `EEXIST`: this register is on (or
 *   off) already. Others: see the head of this file.
 */
export function xc_monitor_mov_to_msr(
  xch: XcInterface,
  domid: number,
  msr: number,
  enable: boolean,
  onchangeonly: boolean,
): void {
  const call = 'xc_monitor_mov_to_msr';
  checkDomid(domid);
  checkU32(msr, 'msr');
  checkBoolean(enable, 'enable');
  checkBoolean(onchangeonly, 'onchangeonly');
  const view = beginSwitch(xch, call, domid, XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR, enable);
  view.setUint32(U + F['u.mov_to_msr.msr'], msr, true);
  view.setUint8(U + F['u.mov_to_msr.onchangeonly'], onchangeonly ? 1 : 0);
  issueDomctl(xch, call, domid);
}

/**
 * Lets the answers to events switch single-stepping (`VM_EVENT_FLAG_TOGGLE_SINGLESTEP`); each step is reported then.
 *
 * @throws XenError `EOPNOTSUPP`: the processor has no monitor trap flag. Others: see the head of this file.
 */
export function xc_monitor_singlestep(xch: XcInterface, domid: number, enable: boolean): void {
  checkBoolean(enable, 'enable');
  simpleSwitch(xch, 'xc_monitor_singlestep', domid, XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP, enable);
}

/** Reports INT3 before the guest sees it: the listener gives it back by `xc_hvm_inject_trap`, or steps over it. */
export function xc_monitor_software_breakpoint(xch: XcInterface, domid: number, enable: boolean): void {
  checkBoolean(enable, 'enable');
  simpleSwitch(xch, 'xc_monitor_software_breakpoint', domid, XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT, enable);
}

/**
 * Reports instructions that read or write IDTR, GDTR, LDTR or TR. Xen leaves them to the answer (`emulate`): while this is
 * on and nobody listens, a guest that uses one hangs at it.
 *
 * @throws XenError `EOPNOTSUPP`: the processor cannot stop at these. Others: see the head of this file.
 */
export function xc_monitor_descriptor_access(xch: XcInterface, domid: number, enable: boolean): void {
  checkBoolean(enable, 'enable');
  simpleSwitch(xch, 'xc_monitor_descriptor_access', domid, XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS, enable);
}

/**
 * Reports the guest's own `HVMOP_guest_request_vm_event`.
 *
 * @param sync the vCPU waits for the answer
 * @param allow_userspace the guest's user mode may ask, too; without effect when switching off
 */
export function xc_monitor_guest_request(
  xch: XcInterface,
  domid: number,
  enable: boolean,
  sync: boolean,
  allow_userspace: boolean,
): void {
  const call = 'xc_monitor_guest_request';
  checkBoolean(enable, 'enable');
  checkBoolean(sync, 'sync');
  checkBoolean(allow_userspace, 'allow_userspace');
  const view = beginSwitch(xch, call, domid, XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST, enable);
  view.setUint8(U + F['u.guest_request.sync'], sync ? 1 : 0);
  view.setUint8(U + F['u.guest_request.allow_userspace'], enable && allow_userspace ? 1 : 0);
  issueDomctl(xch, call, domid);
}

/**
 * Leaves out memory access events that the processor's walk of the guest's page tables causes: Xen emulates the
 * instruction instead. One that it cannot emulate does not get done: a guest that waits by hypercalls was seen to hang (4.17).
 *
 * @param disable true: leave them out
 */
export function xc_monitor_inguest_pagefault(xch: XcInterface, domid: number, disable: boolean): void {
  checkBoolean(disable, 'disable');
  simpleSwitch(xch, 'xc_monitor_inguest_pagefault', domid, XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT, disable);
}

/**
 * Reports debug exceptions (#DB) before the guest sees them.
 *
 * @param sync the vCPU waits for the answer
 */
export function xc_monitor_debug_exceptions(xch: XcInterface, domid: number, enable: boolean, sync: boolean): void {
  const call = 'xc_monitor_debug_exceptions';
  checkBoolean(enable, 'enable');
  checkBoolean(sync, 'sync');
  const view = beginSwitch(xch, call, domid, XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION, enable);
  view.setUint8(U + F['u.debug_exception.sync'], sync ? 1 : 0);
  issueDomctl(xch, call, domid);
}

/** Reports CPUID after Xen has executed it: the listener sees, and may set, the registers. */
export function xc_monitor_cpuid(xch: XcInterface, domid: number, enable: boolean): void {
  checkBoolean(enable, 'enable');
  simpleSwitch(xch, 'xc_monitor_cpuid', domid, XEN_DOMCTL_MONITOR_EVENT_CPUID, enable);
}

/** Reports privileged calls: SMC on ARM. On x86 it is always `EOPNOTSUPP`. */
export function xc_monitor_privileged_call(xch: XcInterface, domid: number, enable: boolean): void {
  checkBoolean(enable, 'enable');
  simpleSwitch(xch, 'xc_monitor_privileged_call', domid, XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL, enable);
}

/** Reports instructions that Xen was to emulate and cannot. */
export function xc_monitor_emul_unimplemented(xch: XcInterface, domid: number, enable: boolean): void {
  checkBoolean(enable, 'enable');
  simpleSwitch(xch, 'xc_monitor_emul_unimplemented', domid, XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED, enable);
}

/**
 * Reports every exit of a vCPU to Xen. Since Xen 4.17, on Intel.
 *
 * @param sync the vCPU waits for the answer
 */
export function xc_monitor_vmexit(xch: XcInterface, domid: number, enable: boolean, sync: boolean): void {
  const call = 'xc_monitor_vmexit';
  checkDomid(domid);
  checkBoolean(enable, 'enable');
  checkBoolean(sync, 'sync');
  needRelease(xch, call, '4.17', domid);
  const view = beginSwitch(xch, call, domid, XEN_DOMCTL_MONITOR_EVENT_VMEXIT, enable);
  view.setUint8(U + F['u.debug_exception.sync'], sync ? 1 : 0); // where u.vmexit.sync lies, too
  issueDomctl(xch, call, domid);
}

/** Reports IN, OUT, INS and OUTS. Since Xen 4.18. */
export function xc_monitor_io(xch: XcInterface, domid: number, enable: boolean): void {
  checkDomid(domid);
  checkBoolean(enable, 'enable');
  needRelease(xch, 'xc_monitor_io', '4.18', domid);
  simpleSwitch(xch, 'xc_monitor_io', domid, XEN_DOMCTL_MONITOR_EVENT_IO, enable);
}

/**
 * Has a repeated string instruction emulated, and so reported, one repetition at a time.
 *
 * @throws XenError `EINVAL`: the ring was never enabled. `ESRCH`. `EPERM`.
 */
export function xc_monitor_emulate_each_rep(xch: XcInterface, domid: number, enable: boolean): void {
  const call = 'xc_monitor_emulate_each_rep';
  checkBoolean(enable, 'enable');
  begin(xch, call, domid, XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP, enable ? 1 : 0);
  issueDomctl(xch, call, domid);
}

/**
 * Has every reported write of a control register or MSR wait for its answer, which may deny it. Else the register is
 * written before the listener sees the event, and a denial comes too late. It stays so until {@link xc_monitor_disable}.
 * Xen has the operation (XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS), libxc no call for it.
 *
 * @throws XenError `ESRCH`: no such domain. `EPERM`: the domain is the caller, or the caller is not privileged.
 */
export function xc_monitor_control_registers(xch: XcInterface, domid: number): void {
  const call = 'xc_monitor_control_registers';
  begin(xch, call, domid, XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS, 0);
  issueDomctl(xch, call, domid);
}
