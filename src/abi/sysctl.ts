/** `sysctl.h`: control of the host, for privileged callers. Every call carries the release's interface version. */

import { type Field, struct, versionedStruct } from './layout.js';

export const XEN_SYSCTL_readconsole = 1;
export const XEN_SYSCTL_physinfo = 3;
export const XEN_SYSCTL_getdomaininfolist = 6;
export const XEN_SYSCTL_debug_keys = 7;
export const XEN_SYSCTL_getcpuinfo = 8;
export const XEN_SYSCTL_cputopoinfo = 16;
export const XEN_SYSCTL_numainfo = 17;

/** In `cputopo`: there is no such processor, or its node is not known. */
export const XEN_INVALID_CORE_ID = 0xffff_ffff;
export const XEN_INVALID_SOCKET_ID = 0xffff_ffff;
export const XEN_INVALID_NODE_ID = 0xffff_ffff;
/** In `numainfo`: there is no such node. */
export const XEN_INVALID_MEM_SZ = 0xffff_ffff;
export const XEN_INVALID_NODE_DIST = 0xffff_ffff;

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

export const xen_sysctl_readconsole = struct('xen_sysctl_readconsole', H, 24, {
  clear: [0, 1],
  incremental: [1, 1],
  pad0: [2, 1],
  pad1: [3, 1],
  index: [4, 4],
  buffer: [8, 8],
  count: [16, 4],
});
export const xen_sysctl_debug_keys = struct('xen_sysctl_debug_keys', H, 16, { keys: [0, 8], nr_keys: [8, 4] });
/** `info` points to {@link xen_sysctl_cpuinfo}s. */
export const xen_sysctl_getcpuinfo = struct('xen_sysctl_getcpuinfo', H, 24, {
  max_cpus: [0, 4],
  info: [8, 8],
  nr_cpus: [16, 4],
});
export const xen_sysctl_cpuinfo = struct('xen_sysctl_cpuinfo', H, 8, { idletime: [0, 8] });
/** `cputopo` points to {@link xen_sysctl_cputopo}s. */
export const xen_sysctl_cputopoinfo = struct('xen_sysctl_cputopoinfo', H, 16, { num_cpus: [0, 4], cputopo: [8, 8] });
export const xen_sysctl_cputopo = struct('xen_sysctl_cputopo', H, 12, { core: [0, 4], socket: [4, 4], node: [8, 4] });
/** `meminfo` points to {@link xen_sysctl_meminfo}s, `distance` to rows of 32-bit numbers. */
export const xen_sysctl_numainfo = struct('xen_sysctl_numainfo', H, 24, {
  num_nodes: [0, 4],
  meminfo: [8, 8],
  distance: [16, 8],
});
export const xen_sysctl_meminfo = struct('xen_sysctl_meminfo', H, 16, { memsize: [0, 8], memfree: [8, 8] });
