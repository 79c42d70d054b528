/** monitor_op, by the names that libxc has for each kind of event. */

import * as ctl from '../abi/domctl.js';
import type { DecodedValues } from './decoded.js';
import type { Operand } from './operand.js';

const F = ctl.xen_domctl_monitor_op.fields;

/** The call, and what it is told beside `enable`, by libxc's names. */
type Kind = readonly [name: string, args?: (u: Operand) => DecodedValues];

const KINDS: Readonly<Record<number, Kind>> = {
  [ctl.XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG]: [
    'xc_monitor_write_ctrlreg',
    (u) => ({
      index: u.u32(F['u.mov_to_cr.index']),
      sync: u.u32(F['u.mov_to_cr.sync']),
      bitmask: u.value(F['u.mov_to_cr.bitmask']),
      onchangeonly: u.u32(F['u.mov_to_cr.onchangeonly']),
    }),
  ],
  [ctl.XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR]: [
    'xc_monitor_mov_to_msr',
    (u) => ({ msr: u.u32(F['u.mov_to_msr.msr']), onchangeonly: u.u32(F['u.mov_to_msr.onchangeonly']) }),
  ],
  [ctl.XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP]: ['xc_monitor_singlestep'],
  [ctl.XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT]: ['xc_monitor_software_breakpoint'],
  [ctl.XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST]: [
    'xc_monitor_guest_request',
    (u) => ({
      sync: u.u32(F['u.guest_request.sync']),
      allow_userspace: u.u32(F['u.guest_request.allow_userspace']),
    }),
  ],
  [ctl.XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION]: ['xc_monitor_debug_exceptions', sync],
  [ctl.XEN_DOMCTL_MONITOR_EVENT_CPUID]: ['xc_monitor_cpuid'],
  [ctl.XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL]: ['xc_monitor_privileged_call'],
  [ctl.XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS]: ['xc_monitor_descriptor_access'],
  [ctl.XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED]: ['xc_monitor_emul_unimplemented'],
  [ctl.XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT]: ['xc_monitor_inguest_pagefault'],
  // where that of debug exceptions lies
  [ctl.XEN_DOMCTL_MONITOR_EVENT_VMEXIT]: ['xc_monitor_vmexit', sync],
};

function sync(u: Operand): DecodedValues {
  return { sync: u.u32(F['u.debug_exception.sync']) };
}

export interface DecodedMonitorOp {
  readonly name: string;
  readonly args: DecodedValues;
  readonly exact: boolean;
  readonly out?: () => DecodedValues;
}

export function decodeMonitorOp(u: Operand): DecodedMonitorOp {
  const op = u.u32(F.op);
  const event = u.u32(F.event);
  switch (op) {
    case ctl.XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES:
      return {
        name: 'xc_monitor_get_capabilities',
        args: {},
        exact: true,
        out: () => ({ capabilities: u.u32(F.event) }),
      };
    case ctl.XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP:
      return { name: 'xc_monitor_emulate_each_rep', args: { enable: event === 0 ? 0 : 1 }, exact: true };
    case ctl.XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS:
      return { name: 'xc_monitor_control_registers', args: {}, exact: true };
  }
  const kind = KINDS[event];
  const isSwitch = op === ctl.XEN_DOMCTL_MONITOR_OP_ENABLE || op === ctl.XEN_DOMCTL_MONITOR_OP_DISABLE;
  if (!kind || !isSwitch) return { name: 'xc_monitor', args: { op, event }, exact: false };
  const [name, args] = kind;
  const on = op === ctl.XEN_DOMCTL_MONITOR_OP_ENABLE ? 1 : 0;
  const inverted = event === ctl.XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT;
  return { name, args: { [inverted ? 'disable' : 'enable']: on, ...args?.(u) }, exact: true };
}
