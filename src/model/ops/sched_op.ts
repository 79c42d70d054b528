/** The sched_op hypercall (`common/sched/core.c`), as far as it concerns another domain. */

import { errno } from '../../abi/errno.js';
import { SCHEDOP_remote_shutdown, sched_remote_shutdown } from '../../abi/sched.js';
import { DOMID_SELF } from '../../abi/xen.js';
import { type Caller, xsmPriv } from '../caller.js';

const F = sched_remote_shutdown.at;

export function schedOp(caller: Caller, cmd: number, address: number): number {
  if (cmd !== SCHEDOP_remote_shutdown) return -errno.ENOSYS;
  const { memory } = caller;
  if (!memory.copyIn(address, sched_remote_shutdown.size)) return -errno.EFAULT;
  const domid = memory.view.getUint16(memory.at + F.domain_id, true);
  const reason = memory.view.getUint32(memory.at + F.reason, true);
  const domain = domid === DOMID_SELF ? null : caller.lookup(domid);
  if (!domain) return -errno.ESRCH;
  // dom0 may name itself: that halts or restarts a real host
  const denied = xsmPriv(caller);
  if (denied) return denied;
  domain.shutdown(reason & 0xff);
  return 0;
}
