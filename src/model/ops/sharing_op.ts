/** Memory sharing (`arch/x86/mm/mem_sharing.c`), of which there are forks here. */

import { XEN_DOMCTL_MEM_SHARING_CONTROL, xen_domctl_mem_sharing_op } from '../../abi/domctl.js';
import { errno } from '../../abi/errno.js';
import {
  xen_mem_sharing_op as OP,
  XENMEM_FORK_BLOCK_INTERRUPTS,
  XENMEM_FORK_RESET_MEMORY,
  XENMEM_FORK_RESET_STATE,
  XENMEM_FORK_WITH_IOMMU_ALLOWED,
  XENMEM_sharing_op_fork,
  XENMEM_sharing_op_fork_reset,
} from '../../abi/memory.js';
import { atLeast } from '../../abi/release.js';
import { type Caller, xsmPriv } from '../caller.js';
import type { Domain } from '../domain.js';
import { fork } from '../fork.js';
import type { Domctl } from './domctl.js';

/** domctl mem_sharing_op. */
export function sharingControl({ view, u }: Domctl, domain: Domain): number {
  if (!domain.host.memSharing) return -errno.ENOSYS;
  const { at } = xen_domctl_mem_sharing_op;
  if (view.getUint8(u + at.op) !== XEN_DOMCTL_MEM_SHARING_CONTROL) return -errno.ENOSYS;
  return control(domain, view.getUint8(u + at['u.enable']) !== 0);
}

/** `mem_sharing_control`. */
function control(domain: Domain, enable: boolean): number {
  if (enable && !domain.isHvm) return -errno.EOPNOTSUPP;
  if (enable && !domain.config.hap) return -errno.ENODEV;
  domain.memSharing = enable;
  return 0;
}

/** A domain by its id (`rcu_lock_live_remote_domain_by_id`): not the caller, and alive. */
function liveRemote(caller: Caller, domid: number): Domain | number {
  const domain = caller.lookup(domid);
  if (!domain) return -errno.ESRCH;
  if (domain === caller.domain) return -errno.EPERM;
  return domain.dying ? -errno.EINVAL : domain;
}

/** XENMEM_sharing_op. */
export function sharingOp(caller: Caller, address: number): number {
  if (!caller.domain.host.memSharing) return -errno.ENOSYS;
  const { memory } = caller;
  if (!memory.copyIn(address, OP.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const domain = liveRemote(caller, view.getUint16(at + OP.at.domain, true));
  if (typeof domain === 'number') return domain;
  const denied = xsmPriv(caller) || (domain.memSharing ? 0 : control(domain, true));
  if (denied) return denied;
  const op = view.getUint8(at + OP.at.op);
  const flags = view.getUint16(at + OP.at['u.fork.flags'], true);
  const pad = view.getUint32(at + OP.at['u.fork.pad'], true);
  switch (op) {
    case XENMEM_sharing_op_fork:
      if (pad || flags & ~(XENMEM_FORK_WITH_IOMMU_ALLOWED | XENMEM_FORK_BLOCK_INTERRUPTS)) return -errno.EINVAL;
      return forkOp(caller, domain, view.getUint16(at + OP.at['u.fork.parent_domain'], true));
    case XENMEM_sharing_op_fork_reset:
      return pad ? -errno.EINVAL : resetOp(domain, flags);
    default:
      return -errno.ENOSYS; // single pages are not shared here
  }
}

function forkOp(caller: Caller, child: Domain, parentId: number): number {
  const parent = liveRemote(caller, parentId);
  if (typeof parent === 'number') return parent;
  if (parent.config.maxVcpus !== child.config.maxVcpus) return -errno.EINVAL;
  const refused = parent.memSharing ? 0 : control(parent, true);
  return refused || fork(child, parent);
}

function resetOp(domain: Domain, flags: number): number {
  let state = true;
  let memory = true;
  if (atLeast(domain.host.release, '4.17')) {
    if (flags & ~(XENMEM_FORK_RESET_STATE | XENMEM_FORK_RESET_MEMORY)) return -errno.EINVAL;
    state = (flags & XENMEM_FORK_RESET_STATE) !== 0;
    memory = (flags & XENMEM_FORK_RESET_MEMORY) !== 0;
    if (!state && !memory) return -errno.EINVAL;
  } else if (flags !== 0) {
    return -errno.EINVAL;
  }
  return domain.resetFork(state, memory) ?? -errno.ENOSYS;
}
