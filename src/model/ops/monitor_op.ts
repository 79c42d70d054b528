/**
 * domctl monitor_op: what a domain's agent is told (`monitor_domctl`, `common/monitor.c`, and `arch/x86/monitor.c`). The
 * agent need not be there yet, but for MSRs.
 */

import {
  XEN_DOMCTL_MONITOR_EVENT_CPUID,
  XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION,
  XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS,
  XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED,
  XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST,
  XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT,
  XEN_DOMCTL_MONITOR_EVENT_INTERRUPT,
  XEN_DOMCTL_MONITOR_EVENT_IO,
  XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR,
  XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP,
  XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT,
  XEN_DOMCTL_MONITOR_EVENT_VMEXIT,
  XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
  XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS,
  XEN_DOMCTL_MONITOR_OP_DISABLE,
  XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP,
  XEN_DOMCTL_MONITOR_OP_ENABLE,
  XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES,
  xen_domctl_monitor_op,
} from '../../abi/domctl.js';
import { errno } from '../../abi/errno.js';
import { atLeast } from '../../abi/release.js';
import { xsmPriv } from '../caller.js';
import type { Domain } from '../domain.js';
import type { MonitorOptions } from '../vm_event/monitor_options.js';
import type { Domctl } from './domctl.js';

const F = xen_domctl_monitor_op.at;
const LAST_EVENT = 31;

export function monitorOp(call: Domctl, domain: Domain): number {
  const { caller, view, u } = call;
  if (domain === caller.domain) return -errno.EPERM;
  const denied = xsmPriv(caller);
  if (denied) return denied;
  const op = view.getUint32(u + F.op, true);
  const event = view.getUint32(u + F.event, true);
  switch (op) {
    case XEN_DOMCTL_MONITOR_OP_ENABLE:
    case XEN_DOMCTL_MONITOR_OP_DISABLE:
      if (event > LAST_EVENT) return -errno.EINVAL;
      if (!(monitorCapabilities(domain) & (1 << event))) return -errno.EOPNOTSUPP;
      return setEvent(domain.monitor, event, op === XEN_DOMCTL_MONITOR_OP_ENABLE, view, u) || call.reply();
    case XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES:
      view.setUint32(u + F.event, monitorCapabilities(domain), true);
      return call.reply();
    case XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP:
      if (!domain.ring) return -errno.EINVAL;
      domain.monitor.emulateEachRep = event !== 0;
      return call.reply();
    case XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS:
      domain.monitor.controlRegisterValues = true;
      return call.reply();
    default:
      return -errno.EOPNOTSUPP;
  }
}

/** `arch_monitor_get_capabilities`: a mask of 1 << event. */
export function monitorCapabilities({ isHvm, host }: Domain): number {
  if (!isHvm) return 0;
  const events = [
    XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG,
    XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR,
    XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT,
    XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST,
    XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION,
    XEN_DOMCTL_MONITOR_EVENT_CPUID,
    XEN_DOMCTL_MONITOR_EVENT_INTERRUPT,
    XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS,
    XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED,
    XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT,
    ...(host.cpu.mtf ? [XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP] : []),
    ...(atLeast(host.release, '4.17') ? [XEN_DOMCTL_MONITOR_EVENT_VMEXIT] : []),
    ...(atLeast(host.release, '4.18') ? [XEN_DOMCTL_MONITOR_EVENT_IO] : []),
  ];
  return events.reduce((mask, event) => mask | (1 << event), 0);
}

/** Events that are only on or off. */
const SWITCHES: Readonly<Record<number, BooleanOption>> = {
  [XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP]: 'singlestep',
  [XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT]: 'softwareBreakpoint',
  [XEN_DOMCTL_MONITOR_EVENT_CPUID]: 'cpuid',
  [XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS]: 'descAccess',
  [XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED]: 'emulUnimplemented',
  [XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT]: 'inguestPagefaultDisabled',
  [XEN_DOMCTL_MONITOR_EVENT_IO]: 'io',
};

type BooleanOption = {
  [Name in keyof MonitorOptions]: MonitorOptions[Name] extends boolean ? Name : never;
}[keyof MonitorOptions];

/** Whatever is asked for twice is -EEXIST. */
function setEvent(monitor: MonitorOptions, event: number, on: boolean, view: DataView, u: number): number {
  const flag = (offset: number): boolean => view.getUint8(u + offset) !== 0;
  const name = SWITCHES[event];
  if (name) {
    if (monitor[name] === on) return -errno.EEXIST;
    monitor[name] = on;
    return 0;
  }
  switch (event) {
    case XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG:
      return setCtrlreg(monitor, on, view, u);
    case XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR:
      return setMsrEvent(
        monitor,
        on,
        view.getUint32(u + F['u.mov_to_msr.msr'], true),
        flag(F['u.mov_to_msr.onchangeonly']),
      );
    case XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST: {
      if ((monitor.guestRequest !== null) === on) return -errno.EEXIST;
      const allowUserspace = flag(F['u.guest_request.allow_userspace']);
      monitor.guestRequest = on ? { sync: flag(F['u.guest_request.sync']), allowUserspace } : null;
      return 0;
    }
    case XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION:
      if ((monitor.debugException !== null) === on) return -errno.EEXIST;
      monitor.debugException = on ? { sync: flag(F['u.debug_exception.sync']) } : null;
      return 0;
    case XEN_DOMCTL_MONITOR_EVENT_VMEXIT:
      if ((monitor.vmexit !== null) === on) return -errno.EEXIST;
      // it lies where that of debug exceptions does
      monitor.vmexit = on ? { sync: flag(F['u.debug_exception.sync']) } : null;
      return 0;
    default:
      // interrupts are told one by one, by a flag of an answer
      return -errno.EOPNOTSUPP;
  }
}

function setCtrlreg(monitor: MonitorOptions, on: boolean, view: DataView, u: number): number {
  const index = view.getUint8(u + F['u.mov_to_cr.index']);
  if (index >= monitor.writeCtrlreg.length) return -errno.EINVAL;
  if (view.getUint8(u + F['u.mov_to_cr.pad1']) !== 0 || view.getUint32(u + F['u.mov_to_cr.pad2'], true) !== 0) {
    return -errno.EINVAL;
  }
  if ((monitor.writeCtrlreg[index] !== null) === on) return -errno.EEXIST;
  monitor.writeCtrlreg[index] = on
    ? {
        sync: view.getUint8(u + F['u.mov_to_cr.sync']) !== 0,
        bitmask: view.getBigUint64(u + F['u.mov_to_cr.bitmask'], true),
      }
    : null;
  return 0;
}

/** MSRs that can be told: three ranges of 8192. */
const MSR_RANGES = [0, 0x4000_0000, 0xc000_0000] as const;
const MSR_RANGE = 0x2000;

function setMsrEvent(monitor: MonitorOptions, on: boolean, msr: number, onchangeonly: boolean): number {
  if ((monitor.msrs?.has(msr) ?? false) === on) return -errno.EEXIST;
  if (!monitor.msrs) return -errno.ENXIO;
  if (!MSR_RANGES.some((first) => msr >= first && msr < first + MSR_RANGE)) return -errno.EINVAL;
  if (on) monitor.msrs.set(msr, onchangeonly);
  else monitor.msrs.delete(msr);
  return 0;
}
