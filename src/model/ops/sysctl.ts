/** The sysctl hypercall (`common/sysctl.c`). */

import { errno } from '../../abi/errno.js';
import { atLeast, releaseAbi } from '../../abi/release.js';
import {
  XEN_SYSCTL_getdomaininfolist,
  XEN_SYSCTL_PHYSCAP_directio,
  XEN_SYSCTL_PHYSCAP_gnttab_v1,
  XEN_SYSCTL_PHYSCAP_gnttab_v2,
  XEN_SYSCTL_PHYSCAP_hap,
  XEN_SYSCTL_PHYSCAP_hvm,
  XEN_SYSCTL_PHYSCAP_pv,
  XEN_SYSCTL_PHYSCAP_shadow,
  XEN_SYSCTL_PHYSCAP_vmtrace,
  XEN_SYSCTL_physinfo,
  xen_sysctl,
  xen_sysctl_getdomaininfolist,
  xen_sysctl_physinfo,
} from '../../abi/sysctl.js';
import { getU64, putU64 } from '../../hypervisor/check.js';
import { type Caller, xsmPriv } from '../caller.js';
import type { Domain, Host } from '../domain.js';
import { encodeDomainInfo } from '../domain_info.js';
import { HOST_CPUS, hostOp } from './host_op.js';

const OP = xen_sysctl.at;
const LIST = xen_sysctl_getdomaininfolist.at;

/** What sysctl needs of the machine. */
export interface SysctlHost extends Host {
  readonly domains: ReadonlyMap<number, Domain>;
  readonly shadow: boolean;
}

export function sysctl(host: SysctlHost, caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, xen_sysctl.size)) return -errno.EFAULT;
  const { view, at } = memory;
  if (view.getUint32(at + OP.interface_version, true) !== releaseAbi(host.release).sysctl) return -errno.EACCES;
  const denied = xsmPriv(caller);
  if (denied) return denied;
  const cmd = view.getUint32(at + OP.cmd, true);
  switch (cmd) {
    case XEN_SYSCTL_physinfo:
      physinfo(host, view, at + OP.u);
      return memory.copyOut(address, xen_sysctl.size) ? 0 : -errno.EFAULT;
    case XEN_SYSCTL_getdomaininfolist:
      return getDomainInfoList(host, caller, address);
    default:
      return hostOp(host, caller, cmd, address);
  }
}

function physinfo(host: SysctlHost, view: DataView, u: number): void {
  const layout = xen_sysctl_physinfo.for(host.release);
  for (let i = 0; i < layout.size; i += 4) view.setUint32(u + i, 0, true);
  const put = (field: string, value: number): void => {
    const place = layout.fields[field];
    if (!place) return;
    if (place[1] === 8) putU64(view, u + place[0], value);
    else view.setUint32(u + place[0], value, true);
  };
  put('threads_per_core', 1);
  put('cores_per_socket', HOST_CPUS);
  put('nr_cpus', HOST_CPUS);
  put('max_cpu_id', HOST_CPUS - 1);
  put('nr_nodes', 1);
  put('max_node_id', 63);
  put('cpu_khz', 3_000_000);
  put(
    'capabilities',
    XEN_SYSCTL_PHYSCAP_pv |
      (atLeast(host.release, '4.16') ? XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2 : 0) |
      (host.cpu.hap ? XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap : 0) |
      (host.cpu.pt && atLeast(host.release, '4.15') ? XEN_SYSCTL_PHYSCAP_vmtrace : 0) |
      (host.pci.iommu ? XEN_SYSCTL_PHYSCAP_directio : 0) |
      (host.shadow ? XEN_SYSCTL_PHYSCAP_shadow : 0),
  );
  put('total_pages', host.memory.totalPages);
  put('free_pages', host.memory.freePages);
  put('max_mfn', host.memory.totalPages);
  // the words of CPUID that tell VMX and SVM: leaf 1 ecx and leaf 0x80000001 ecx
  const words = u + (layout.at.hw_cap ?? 0);
  if (host.cpu.vendor === 'intel') view.setUint32(words + 4, 1 << 5, true);
  else view.setUint32(words + 12, 1 << 2, true);
}

function getDomainInfoList(host: SysctlHost, caller: Caller, address: number): number {
  const { memory } = caller;
  const { view, at } = memory;
  const first = view.getUint16(at + OP.u + LIST.first_domain, true);
  const max = view.getUint32(at + OP.u + LIST.max_domains, true);
  const buffer = getU64(view, at + OP.u + LIST.buffer);
  let written = 0;
  for (const domain of [...host.domains.values()].sort((a, b) => a.domid - b.domid)) {
    if (domain.domid < first || written === max) continue;
    const info = encodeDomainInfo(domain);
    if (!memory.write(buffer + written * info.length, info)) return -errno.EFAULT;
    written++;
  }
  if (!memory.copyIn(address, xen_sysctl.size)) return -errno.EFAULT;
  memory.view.setUint32(memory.at + OP.u + LIST.num_domains, written, true);
  return memory.copyOut(address, xen_sysctl.size) ? 0 : -errno.EFAULT;
}
