/** `sysctl.h`: control of the host, for privileged callers. Every call carries the release's interface version. */

import { type Field, struct, versionedStruct } from './layout.js';

export const XEN_SYSCTL_physinfo = 3;
export const XEN_SYSCTL_getdomaininfolist = 6;

/** `physinfo.capabilities`. */
export const XEN_SYSCTL_PHYSCAP_hvm = 1 << 0;
export const XEN_SYSCTL_PHYSCAP_pv = 1 << 1;
export const XEN_SYSCTL_PHYSCAP_directio = 1 << 2;
export const XEN_SYSCTL_PHYSCAP_hap = 1 << 3;
export const XEN_SYSCTL_PHYSCAP_shadow = 1 << 4;
export const XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share = 1 << 5;
/** Since 4.15. */
export const XEN_SYSCTL_PHYSCAP_vmtrace = 1 << 6;
/** Since 4.16. */
export const XEN_SYSCTL_PHYSCAP_vpmu = 1 << 7;
/** Since 4.16. */
export const XEN_SYSCTL_PHYSCAP_gnttab_v1 = 1 << 8;
/** Since 4.16. */
export const XEN_SYSCTL_PHYSCAP_gnttab_v2 = 1 << 9;

const H = 'sysctl.h';

/** The container of every sysctl. The structures below lie in its union `u`. */
export const xen_sysctl = struct('xen_sysctl', H, 136, { cmd: [0, 4], interface_version: [4, 4], u: [8, 128] });

const cpus = {
  threads_per_core: [0, 4],
  cores_per_socket: [4, 4],
  nr_cpus: [8, 4],
  max_cpu_id: [12, 4],
  nr_nodes: [16, 4],
  max_node_id: [20, 4],
  cpu_khz: [24, 4],
  capabilities: [28, 4],
} as const satisfies Record<string, Field>;

export const xen_sysctl_physinfo = versionedStruct('xen_sysctl_physinfo', H, [
  [
    '4.14',
    104,
    {
      ...cpus,
      total_pages: [32, 8],
      free_pages: [40, 8],
      scrub_pages: [48, 8],
      outstanding_pages: [56, 8],
      max_mfn: [64, 8],
      hw_cap: [72, 32],
    },
  ],
  [
    '4.17',
    112,
    {
      ...cpus,
      arch_capabilities: [32, 4],
      total_pages: [40, 8],
      free_pages: [48, 8],
      scrub_pages: [56, 8],
      outstanding_pages: [64, 8],
      max_mfn: [72, 8],
      hw_cap: [80, 32],
    },
  ],
]);

export const xen_sysctl_getdomaininfolist = struct('xen_sysctl_getdomaininfolist', H, 24, {
  first_domain: [0, 2],
  max_domains: [4, 4],
  buffer: [8, 8],
  num_domains: [16, 4],
});
