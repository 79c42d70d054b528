/** domctl vmtrace_op (`do_vmtrace_op`, `arch/x86/domctl.c`). */

import {
  xen_domctl_vmtrace_op as OP,
  XEN_DOMCTL_vmtrace_disable,
  XEN_DOMCTL_vmtrace_enable,
  XEN_DOMCTL_vmtrace_get_option,
  XEN_DOMCTL_vmtrace_output_position,
  XEN_DOMCTL_vmtrace_reset_and_enable,
  XEN_DOMCTL_vmtrace_set_option,
} from '../../abi/domctl.js';
import { errno } from '../../abi/errno.js';
import { atLeast } from '../../abi/release.js';
import type { Domain } from '../domain.js';
import type { VmTrace } from '../vmtrace.js';
import type { Domctl } from './domctl.js';

export function vmtraceOp(call: Domctl, domain: Domain): number {
  const { host, caller, view, u } = call;
  if (!atLeast(host.release, '4.15')) return -errno.ENOSYS;
  if (domain.config.vmtraceSize === 0 || domain === caller.domain) return -errno.EINVAL;
  const { at } = OP.for(host.release);
  const place = (field: keyof typeof at): number => u + (at[field] as number);
  const trace = domain.vcpus[view.getUint32(place('vcpu'), true)]?.trace;
  if (!trace) return -errno.ENOENT;
  const rc = run(trace, view, view.getUint32(place('cmd'), true), place('key'), place('value'));
  return rc || call.reply();
}

function run(trace: VmTrace, view: DataView, cmd: number, keyAt: number, valueAt: number): number {
  const key = view.getBigUint64(keyAt, true);
  switch (cmd) {
    case XEN_DOMCTL_vmtrace_enable:
    case XEN_DOMCTL_vmtrace_disable:
    case XEN_DOMCTL_vmtrace_reset_and_enable:
      return trace.control(cmd !== XEN_DOMCTL_vmtrace_disable, cmd === XEN_DOMCTL_vmtrace_reset_and_enable);
    case XEN_DOMCTL_vmtrace_output_position:
      view.setBigUint64(valueAt, BigInt(trace.position), true);
      return 0;
    case XEN_DOMCTL_vmtrace_get_option: {
      const value = trace.option(key);
      if (value === null) return -errno.EINVAL;
      view.setBigUint64(valueAt, value, true);
      return 0;
    }
    case XEN_DOMCTL_vmtrace_set_option:
      return trace.setOption(key, view.getBigUint64(valueAt, true));
    default:
      return -errno.EOPNOTSUPP;
  }
}
