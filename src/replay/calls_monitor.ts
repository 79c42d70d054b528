/** The monitor's calls, and memory access of the host's p2m. */

import { encodeAccess } from '../abi/memory.js';
import type { XcInterface } from '../xc/interface.js';
import { xc_get_mem_access, xc_set_mem_access, xc_set_mem_access_multi } from '../xc/mem_access.js';
import {
  xc_monitor_control_registers,
  xc_monitor_cpuid,
  xc_monitor_debug_exceptions,
  xc_monitor_descriptor_access,
  xc_monitor_emul_unimplemented,
  xc_monitor_emulate_each_rep,
  xc_monitor_get_capabilities,
  xc_monitor_guest_request,
  xc_monitor_inguest_pagefault,
  xc_monitor_mov_to_msr,
  xc_monitor_privileged_call,
  xc_monitor_resume,
  xc_monitor_singlestep,
  xc_monitor_software_breakpoint,
  xc_monitor_vmexit,
  xc_monitor_write_ctrlreg,
} from '../xc/monitor.js';
import { readAccessLists } from './access_lists.js';
import type { CallSpec, CallTable } from './call.js';
import { u32 } from './expected.js';

/** A kind of event that is only switched. */
function switched(call: (xch: XcInterface, domid: number, on: boolean) => void, name = 'enable'): CallSpec {
  return {
    prepare: (args) => {
      const on = args.flag(name);
      return ({ xch }, domid) => call(xch, domid, on);
    },
  };
}

/** One whose vCPU may wait for the answer. */
function switchedSync(call: (xch: XcInterface, domid: number, on: boolean, sync: boolean) => void): CallSpec {
  return {
    prepare: (args) => {
      const enable = args.flag('enable');
      const sync = args.flag('sync');
      return ({ xch }, domid) => call(xch, domid, enable, sync);
    },
  };
}

export const MONITOR_CALLS: CallTable = {
  xc_monitor_enable: { prepare: () => (session, domid) => session.agent(domid).enable() },
  xc_monitor_disable: { prepare: () => (session, domid) => session.agent(domid).disable() },
  xc_monitor_resume: {
    prepare:
      () =>
      ({ xch }, domid) =>
        xc_monitor_resume(xch, domid),
  },
  xc_monitor_get_capabilities: {
    out: { capabilities: u32 },
    prepare:
      () =>
      ({ xch }, domid) => ({ capabilities: xc_monitor_get_capabilities(xch, domid) }),
  },
  xc_monitor_write_ctrlreg: {
    prepare: (args) => {
      const index = args.u8('index');
      const enable = args.flag('enable');
      const sync = args.flag('sync');
      const bitmask = args.u64('bitmask');
      const onchangeonly = args.flag('onchangeonly');
      return ({ xch }, domid) => xc_monitor_write_ctrlreg(xch, domid, index, enable, sync, bitmask, onchangeonly);
    },
  },
  xc_monitor_mov_to_msr: {
    prepare: (args) => {
      const msr = args.u32('msr');
      const enable = args.flag('enable');
      const onchangeonly = args.flag('onchangeonly');
      return ({ xch }, domid) => xc_monitor_mov_to_msr(xch, domid, msr, enable, onchangeonly);
    },
  },
  xc_monitor_guest_request: {
    prepare: (args) => {
      const enable = args.flag('enable');
      const sync = args.flag('sync');
      const allowUserspace = args.flag('allow_userspace');
      return ({ xch }, domid) => xc_monitor_guest_request(xch, domid, enable, sync, allowUserspace);
    },
  },
  xc_monitor_debug_exceptions: switchedSync(xc_monitor_debug_exceptions),
  xc_monitor_vmexit: switchedSync(xc_monitor_vmexit),
  xc_monitor_singlestep: switched(xc_monitor_singlestep),
  xc_monitor_software_breakpoint: switched(xc_monitor_software_breakpoint),
  xc_monitor_descriptor_access: switched(xc_monitor_descriptor_access),
  xc_monitor_inguest_pagefault: switched(xc_monitor_inguest_pagefault, 'disable'),
  xc_monitor_cpuid: switched(xc_monitor_cpuid),
  xc_monitor_privileged_call: switched(xc_monitor_privileged_call),
  xc_monitor_emul_unimplemented: switched(xc_monitor_emul_unimplemented),
  xc_monitor_emulate_each_rep: switched(xc_monitor_emulate_each_rep),
  xc_monitor_control_registers: {
    prepare:
      () =>
      ({ xch }, domid) =>
        xc_monitor_control_registers(xch, domid),
  },
  xc_set_mem_access: {
    prepare: (args) => {
      const gfn = args.u64('gfn');
      const access = args.u8('access');
      const count = args.has('nr') ? args.u32('nr') : 1;
      return ({ xch }, domid) => xc_set_mem_access(xch, domid, access, gfn, count);
    },
  },
  xc_set_mem_access_multi: {
    prepare: (args) => {
      const { gfns, access } = readAccessLists(args);
      return ({ xch }, domid) => xc_set_mem_access_multi(xch, domid, access, gfns);
    },
  },
  xc_get_mem_access: {
    out: { access: u32 },
    prepare: (args) => {
      const gfn = args.u64('gfn');
      return ({ xch }, domid) => ({ access: encodeAccess(xc_get_mem_access(xch, domid, gfn), xch.abi) });
    },
  },
};
