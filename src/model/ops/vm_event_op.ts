/** domctl vm_event_op: the rings of a domain (`vm_event_domctl`, `common/vm_event.c`). Only the monitor's is modelled. */

import {
  XEN_DOMCTL_VM_EVENT_OP_MONITOR,
  XEN_VM_EVENT_DISABLE,
  XEN_VM_EVENT_ENABLE,
  XEN_VM_EVENT_GET_VERSION,
  XEN_VM_EVENT_RESUME,
  xen_domctl_vm_event_op,
} from '../../abi/domctl.js';
import { errno } from '../../abi/errno.js';
import { releaseAbi } from '../../abi/release.js';
import type { Domain } from '../domain.js';
import type { Domctl } from './domctl.js';

const F = xen_domctl_vm_event_op.at;

/** @param domain null: DOMID_INVALID was named, which is good for the version only */
export function vmEventOp(call: Domctl, domain: Domain | null): number {
  const { host, caller, view, u } = call;
  const op = view.getUint32(u + F.op, true);
  if (op === XEN_VM_EVENT_GET_VERSION) {
    view.setUint32(u + F['u.version'], releaseAbi(host.release).vmEvent, true);
    return call.reply();
  }
  if (!domain) return -errno.ESRCH;
  if (domain === caller.domain) return -errno.EINVAL;
  if (domain.dying) return call.reply();
  if (domain.vcpus.length === 0) return -errno.EINVAL;
  if (view.getUint32(u + F.mode, true) !== XEN_DOMCTL_VM_EVENT_OP_MONITOR) return -errno.ENOSYS;
  switch (op) {
    case XEN_VM_EVENT_ENABLE: {
      const port = domain.enableRing(domain.events, caller.domain.domid);
      if (port < 0) return port;
      view.setUint32(u + F['u.enable.port'], port, true);
      return call.reply();
    }
    case XEN_VM_EVENT_DISABLE:
      return domain.disableMonitor() || call.reply();
    case XEN_VM_EVENT_RESUME:
      if (!domain.ring) return -errno.ENODEV;
      domain.ring.resume();
      return call.reply();
    default:
      return -errno.ENOSYS;
  }
}
