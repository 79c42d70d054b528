/** Calls on the host, as libxc's `xc_misc.c`. They need privilege: `EPERM` otherwise. */

import {
  XEN_SYSCTL_PHYSCAP_directio,
  XEN_SYSCTL_PHYSCAP_gnttab_v1,
  XEN_SYSCTL_PHYSCAP_gnttab_v2,
  XEN_SYSCTL_PHYSCAP_hap,
  XEN_SYSCTL_PHYSCAP_hvm,
  XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share,
  XEN_SYSCTL_PHYSCAP_pv,
  XEN_SYSCTL_PHYSCAP_shadow,
  XEN_SYSCTL_PHYSCAP_vmtrace,
  XEN_SYSCTL_PHYSCAP_vpmu,
  XEN_SYSCTL_physinfo,
  xen_sysctl_physinfo,
} from '../abi/sysctl.js';
import { getU64 } from '../hypervisor/check.js';
import { type XcInterface, xenAtLeast } from './interface.js';
import { beginSysctl, issueSysctl, SYSCTL_U } from './privileged.js';

/** What the host can do. Null: this release does not tell. */
export interface PhysicalCapabilities {
  readonly hvm: boolean;
  readonly pv: boolean;
  /** Devices can be given to guests: there is an IOMMU. */
  readonly directio: boolean;
  /** Hardware-assisted paging: EPT or NPT. */
  readonly hap: boolean;
  readonly shadow: boolean;
  readonly iommu_hap_pt_share: boolean;
  /** Processor trace of guests. Since Xen 4.15. */
  readonly vmtrace: boolean | null;
  /** Since Xen 4.16, as the two below. */
  readonly vpmu: boolean | null;
  readonly gnttab_v1: boolean | null;
  readonly gnttab_v2: boolean | null;
}

/** The host. Pages are of 4 KiB. */
export interface PhysInfo {
  readonly threads_per_core: number;
  readonly cores_per_socket: number;
  /** CPUs that are online. */
  readonly nr_cpus: number;
  readonly max_cpu_id: number;
  readonly nr_nodes: number;
  readonly max_node_id: number;
  /** Frequency of the time stamp counter, in kHz. */
  readonly cpu_khz: number;
  readonly capabilities: PhysicalCapabilities;
  /** Raw, by architecture. Null before Xen 4.17, which does not tell. */
  readonly arch_capabilities: number | null;
  readonly total_pages: number;
  readonly free_pages: number;
  /** Free, but not zeroed yet. */
  readonly scrub_pages: number;
  /** Claimed, but not handed out yet. */
  readonly outstanding_pages: number;
  readonly max_mfn: number;
  /** Eight words of CPUID feature bits. Word 1 is leaf 1 ECX (VMX is bit 5), word 3 leaf 0x80000001 ECX (SVM is bit 2). */
  readonly hw_cap: readonly number[];
}

/**
 * Tells about the host: processors, memory, abilities.
 *
 * @throws XenError `EPERM`: the caller is not privileged
 */
export function xc_physinfo(xch: XcInterface): PhysInfo {
  const view = beginSysctl(xch, 'xc_physinfo', XEN_SYSCTL_physinfo, 'reads');
  issueSysctl(xch, 'xc_physinfo');
  const { at } = xen_sysctl_physinfo.for(xch.abi.release);
  const place = (name: keyof typeof at): number => SYSCTL_U + (at[name] as number);
  const u32 = (name: keyof typeof at): number => view.getUint32(place(name), true);
  const u64 = (name: keyof typeof at): number => getU64(view, place(name));
  return {
    threads_per_core: u32('threads_per_core'),
    cores_per_socket: u32('cores_per_socket'),
    nr_cpus: u32('nr_cpus'),
    max_cpu_id: u32('max_cpu_id'),
    nr_nodes: u32('nr_nodes'),
    max_node_id: u32('max_node_id'),
    cpu_khz: u32('cpu_khz'),
    capabilities: capabilities(xch, u32('capabilities')),
    arch_capabilities: at.arch_capabilities === undefined ? null : u32('arch_capabilities'),
    total_pages: u64('total_pages'),
    free_pages: u64('free_pages'),
    scrub_pages: u64('scrub_pages'),
    outstanding_pages: u64('outstanding_pages'),
    max_mfn: u64('max_mfn'),
    hw_cap: Array.from({ length: 8 }, (_, i) => view.getUint32(place('hw_cap') + i * 4, true)),
  };
}

function capabilities(xch: XcInterface, bits: number): PhysicalCapabilities {
  const can = (bit: number): boolean => (bits & bit) !== 0;
  const since16 = xenAtLeast(xch, '4.16');
  return {
    hvm: can(XEN_SYSCTL_PHYSCAP_hvm),
    pv: can(XEN_SYSCTL_PHYSCAP_pv),
    directio: can(XEN_SYSCTL_PHYSCAP_directio),
    hap: can(XEN_SYSCTL_PHYSCAP_hap),
    shadow: can(XEN_SYSCTL_PHYSCAP_shadow),
    iommu_hap_pt_share: can(XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share),
    vmtrace: xenAtLeast(xch, '4.15') ? can(XEN_SYSCTL_PHYSCAP_vmtrace) : null,
    vpmu: since16 ? can(XEN_SYSCTL_PHYSCAP_vpmu) : null,
    gnttab_v1: since16 ? can(XEN_SYSCTL_PHYSCAP_gnttab_v1) : null,
    gnttab_v2: since16 ? can(XEN_SYSCTL_PHYSCAP_gnttab_v2) : null,
  };
}
