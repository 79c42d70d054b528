/** The domctl hypercall (`common/domctl.c`, `arch/x86/domctl.c`): what the toolstack does to domains. */

import {
  XEN_DOMCTL_createdomain,
  XEN_DOMCTL_destroydomain,
  XEN_DOMCTL_get_address_size,
  XEN_DOMCTL_get_paging_mempool_size,
  XEN_DOMCTL_getdomaininfo,
  XEN_DOMCTL_gethvmcontext,
  XEN_DOMCTL_gethvmcontext_partial,
  XEN_DOMCTL_getpageframeinfo3,
  XEN_DOMCTL_max_mem,
  XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_mem_sharing_op,
  XEN_DOMCTL_monitor_op,
  XEN_DOMCTL_pausedomain,
  XEN_DOMCTL_set_access_required,
  XEN_DOMCTL_set_paging_mempool_size,
  XEN_DOMCTL_set_virq_handler,
  XEN_DOMCTL_setdomainhandle,
  XEN_DOMCTL_sethvmcontext,
  XEN_DOMCTL_unpausedomain,
  XEN_DOMCTL_vm_event_op,
  XEN_DOMCTL_vmtrace_op,
  xen_domctl,
} from '../../abi/domctl.js';
import { errno } from '../../abi/errno.js';
import { atLeast, releaseAbi } from '../../abi/release.js';
import { DOMID_FIRST_RESERVED, DOMID_INVALID, NR_VIRQS, PAGE_SIZE } from '../../abi/xen.js';
import { getU64, putU64 } from '../../hypervisor/check.js';
import { type Caller, xsmPriv } from '../caller.js';
import type { Domain } from '../domain.js';
import { encodeDomainInfo } from '../domain_info.js';
import { virqIsGlobal } from '../event_channels.js';
import { assignDeviceOp, namesNoDomain } from './assign_device_op.js';
import { type CreateHost, createDomain } from './createdomain.js';
import { getHvmContext, getHvmContextPartial, setHvmContext } from './hvm_context.js';
import { ioPermissionOp } from './io_permission_op.js';
import { monitorOp } from './monitor_op.js';
import { getPageFrameInfo } from './pageframeinfo_op.js';
import { sharingControl } from './sharing_op.js';
import { vcpuOp } from './vcpu_op.js';
import { vmEventOp } from './vm_event_op.js';
import { vmtraceOp } from './vmtrace_op.js';

const OP = xen_domctl.at;
/** A domain can be paused by toolstacks this often at once. */
const MAX_PAUSES = 255;

/** One operation under way. The structure is in `view`; `u` is the offset of its union. */
export interface Domctl {
  readonly host: CreateHost;
  readonly caller: Caller;
  readonly view: DataView;
  readonly at: number;
  readonly u: number;
  /** Copies the structure back to the caller. */
  reply(): number;
}

export function domctl(host: CreateHost, caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, xen_domctl.size)) return -errno.EFAULT;
  const { view, at } = memory;
  if (view.getUint32(at + OP.interface_version, true) !== releaseAbi(host.release).domctl) return -errno.EACCES;
  const call: Domctl = {
    host,
    caller,
    view,
    at,
    u: at + OP.u,
    reply: () => (memory.copyOut(address, xen_domctl.size) ? 0 : -errno.EFAULT),
  };
  const cmd = view.getUint32(at + OP.cmd, true);
  const domid = view.getUint16(at + OP.domain, true);
  if (cmd === XEN_DOMCTL_createdomain) return xsmPriv(caller) || createDomain(call);
  if (cmd === XEN_DOMCTL_getdomaininfo) return xsmPriv(caller) || getDomainInfo(call, domid);
  if (cmd === XEN_DOMCTL_vm_event_op && domid === DOMID_INVALID) return xsmPriv(caller) || vmEventOp(call, null);
  if (namesNoDomain(cmd, domid)) {
    return xsmPriv(caller) || (assignDeviceOp(call, cmd, null) ?? -errno.ENOSYS);
  }
  const domain = host.domains.get(domid);
  if (!domain) return -errno.ESRCH;
  return xsmPriv(caller) || onDomain(call, cmd, domain);
}

function onDomain(call: Domctl, cmd: number, domain: Domain): number {
  const { host, caller, view, u } = call;
  const self = domain === caller.domain;
  switch (cmd) {
    case XEN_DOMCTL_destroydomain:
      if (self) return -errno.EINVAL;
      host.destroy(domain);
      return 0;
    case XEN_DOMCTL_pausedomain:
      if (self) return -errno.EINVAL;
      if (domain.pauseCount >= MAX_PAUSES) return -errno.EOVERFLOW;
      domain.pauseCount++;
      return 0;
    case XEN_DOMCTL_unpausedomain:
      if (domain.pauseCount === 0) return -errno.EINVAL;
      domain.pauseCount--;
      return 0;
    case XEN_DOMCTL_max_mem:
      domain.maxPages = Math.min(Math.floor(getU64(view, u) / 4), 0xffff_ffff);
      return 0;
    case XEN_DOMCTL_max_vcpus:
      if (self || view.getUint32(u, true) !== domain.config.maxVcpus) return -errno.EINVAL;
      domain.makeVcpus();
      return 0;
    case XEN_DOMCTL_setdomainhandle:
      domain.handle.set(new Uint8Array(view.buffer, view.byteOffset + u, domain.handle.length));
      return 0;
    case XEN_DOMCTL_set_access_required:
      return setAccessRequired(domain, self, view.getUint8(u) !== 0);
    case XEN_DOMCTL_gethvmcontext:
      return getHvmContext(call, domain);
    case XEN_DOMCTL_gethvmcontext_partial:
      return getHvmContextPartial(call, domain);
    case XEN_DOMCTL_sethvmcontext:
      return setHvmContext(call, domain);
    case XEN_DOMCTL_mem_sharing_op:
      return sharingControl(call, domain);
    case XEN_DOMCTL_vmtrace_op:
      return vmtraceOp(call, domain);
    case XEN_DOMCTL_get_address_size:
      if (domain.isHvm) return -errno.EOPNOTSUPP;
      view.setUint32(u, 64, true);
      return call.reply();
    case XEN_DOMCTL_set_virq_handler:
      return setVirqHandler(host, domain, view.getUint32(u, true));
    case XEN_DOMCTL_get_paging_mempool_size:
    case XEN_DOMCTL_set_paging_mempool_size:
      return pagingPool(call, cmd, domain);
    case XEN_DOMCTL_getpageframeinfo3:
      return getPageFrameInfo(call, domain);
    case XEN_DOMCTL_vm_event_op:
      return vmEventOp(call, domain);
    case XEN_DOMCTL_monitor_op:
      return monitorOp(call, domain);
    default:
      return ioPermissionOp(call, cmd, domain) ?? assignDeviceOp(call, cmd, domain) ?? vcpuOp(call, cmd, domain);
  }
}

/** Up to 4.17 the answer is about the first domain with this id or a higher one; since 4.18 about this one or none. */
function getDomainInfo(call: Domctl, domid: number): number {
  const { host, view, at, u } = call;
  let domain = host.domains.get(domid);
  if (!domain && !atLeast(host.release, '4.18')) {
    if (domid >= DOMID_FIRST_RESERVED) return -errno.EINVAL;
    const higher = [...host.domains.values()].filter((other) => other.domid > domid);
    domain = higher.sort((a, b) => a.domid - b.domid)[0];
  }
  if (!domain) return -errno.ESRCH;
  view.setUint16(at + OP.domain, domain.domid, true);
  new Uint8Array(view.buffer, view.byteOffset).set(encodeDomainInfo(domain), u);
  return call.reply();
}

function setAccessRequired(domain: Domain, self: boolean, required: boolean): number {
  if (self) return -errno.EPERM;
  domain.accessRequired = required;
  if (domain.altp2m.active) domain.altp2m.accessRequired = required;
  return 0;
}

/** `set_global_virq_handler`. */
function setVirqHandler(host: CreateHost, domain: Domain, virq: number): number {
  if (virq >= NR_VIRQS || !virqIsGlobal(virq) || domain.dying) return -errno.EINVAL;
  host.setVirqHandler(virq, domain);
  return 0;
}

function pagingPool(call: Domctl, cmd: number, domain: Domain): number {
  const { host, view, u } = call;
  if (!atLeast(host.release, '4.17')) return -errno.ENOSYS;
  if (!domain.isHvm) return -errno.EOPNOTSUPP;
  if (cmd === XEN_DOMCTL_get_paging_mempool_size) {
    putU64(view, u, domain.pagingPool.bytes);
    return call.reply();
  }
  const bytes = getU64(view, u);
  if (bytes % PAGE_SIZE !== 0 || bytes / PAGE_SIZE > 0xffff_ffff) return -errno.EINVAL;
  return domain.pagingPool.resize(bytes / PAGE_SIZE);
}
