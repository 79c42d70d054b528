/** The host's processors and memory nodes; libxc's `xc_misc.c`. All need privilege: `EPERM` otherwise. */

import {
  xen_sysctl_cpuinfo as CPUINFO,
  xen_sysctl_getcpuinfo as GETCPUINFO,
  xen_sysctl_meminfo as MEMINFO,
  xen_sysctl_numainfo as NUMAINFO,
  xen_sysctl_cputopo as TOPO,
  xen_sysctl_cputopoinfo as TOPOINFO,
  XEN_INVALID_CORE_ID,
  XEN_INVALID_MEM_SZ,
  XEN_INVALID_NODE_DIST,
  XEN_INVALID_NODE_ID,
  XEN_SYSCTL_cputopoinfo,
  XEN_SYSCTL_getcpuinfo,
  XEN_SYSCTL_numainfo,
} from '../abi/sysctl.js';
import { checkU32, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginSysctl, issueSysctl, requireOpen, SYSCTL_U } from './privileged.js';
import { xc_physinfo } from './sysctl.js';

/** Where a processor is. */
export interface CpuTopology {
  readonly core: number;
  readonly socket: number;
  /** Null: not known. */
  readonly node: number | null;
}

/** Xen knows no larger hosts: no list is longer. */
const MOST_CPUS = 4096;
const MOST_NODES = 64;

/**
 * Tells where each processor is, by its number; null: there is no processor of that number, or it is not online.
 *
 * @returns entries up to the last processor that is online
 */
export function xc_cputopoinfo(xch: XcInterface): (CpuTopology | null)[] {
  const call = 'xc_cputopoinfo';
  let view = beginSysctl(xch, call, XEN_SYSCTL_cputopoinfo, 'writes');
  issueSysctl(xch, call);
  const wanted = Math.min(MOST_CPUS, view.getUint32(SYSCTL_U + TOPOINFO.at.num_cpus, true));
  using list = xch.hypervisor.arena.alloc(wanted * TOPO.size);
  view = beginSysctl(xch, call, XEN_SYSCTL_cputopoinfo, 'writes');
  view.setUint32(SYSCTL_U + TOPOINFO.at.num_cpus, wanted, true);
  putU64(view, SYSCTL_U + TOPOINFO.at.cputopo, list.address);
  issueSysctl(xch, call);
  const count = Math.min(wanted, view.getUint32(SYSCTL_U + TOPOINFO.at.num_cpus, true));
  return Array.from({ length: count }, (_, i) => {
    const u32 = (offset: number): number => view.getUint32(list.offset + i * TOPO.size + offset, true);
    const [core, socket, node] = [u32(TOPO.at.core), u32(TOPO.at.socket), u32(TOPO.at.node)];
    return core === XEN_INVALID_CORE_ID ? null : { core, socket, node: node === XEN_INVALID_NODE_ID ? null : node };
  });
}

/** A memory node. Sizes are in bytes. */
export interface NumaNode {
  readonly memsize: bigint;
  readonly memfree: bigint;
  /** To each node, by its number; 10 is "here". Null: not known. */
  readonly distance: readonly (number | null)[];
}

/** Tells about the memory nodes, by their numbers; null: there is no node of that number. */
export function xc_numainfo(xch: XcInterface): (NumaNode | null)[] {
  const call = 'xc_numainfo';
  let view = beginSysctl(xch, call, XEN_SYSCTL_numainfo, 'writes');
  issueSysctl(xch, call);
  const wanted = Math.min(MOST_NODES, view.getUint32(SYSCTL_U + NUMAINFO.at.num_nodes, true));
  using sizes = xch.hypervisor.arena.alloc(wanted * MEMINFO.size);
  using distances = xch.hypervisor.arena.alloc(wanted * wanted * 4);
  view = beginSysctl(xch, call, XEN_SYSCTL_numainfo, 'writes');
  view.setUint32(SYSCTL_U + NUMAINFO.at.num_nodes, wanted, true);
  putU64(view, SYSCTL_U + NUMAINFO.at.meminfo, sizes.address);
  putU64(view, SYSCTL_U + NUMAINFO.at.distance, distances.address);
  issueSysctl(xch, call);
  const count = Math.min(wanted, view.getUint32(SYSCTL_U + NUMAINFO.at.num_nodes, true));
  return Array.from({ length: count }, (_, node) => {
    const at = sizes.offset + node * MEMINFO.size;
    const memsize = view.getBigUint64(at + MEMINFO.at.memsize, true);
    if (memsize === BigInt(XEN_INVALID_MEM_SZ)) return null;
    const distance = Array.from({ length: count }, (_, other) => {
      const far = view.getUint32(distances.offset + (node * count + other) * 4, true);
      return far === XEN_INVALID_NODE_DIST ? null : far;
    });
    return { memsize, memfree: view.getBigUint64(at + MEMINFO.at.memfree, true), distance };
  });
}

/** How long a processor has had nothing to do. */
export interface CpuInfo {
  /** In nanoseconds, since Xen was booted. */
  readonly idletime: bigint;
}

/**
 * Tells how long each processor has been idle, by its number.
 *
 * @param max_cpus no more than so many
 */
export function xc_getcpuinfo(xch: XcInterface, max_cpus: number): CpuInfo[] {
  checkU32(max_cpus, 'max_cpus');
  const wanted = Math.min(MOST_CPUS, max_cpus);
  using list = requireOpen(xch).arena.alloc(wanted * CPUINFO.size);
  const view = beginSysctl(xch, 'xc_getcpuinfo', XEN_SYSCTL_getcpuinfo, 'writes');
  view.setUint32(SYSCTL_U + GETCPUINFO.at.max_cpus, wanted, true);
  putU64(view, SYSCTL_U + GETCPUINFO.at.info, list.address);
  issueSysctl(xch, 'xc_getcpuinfo');
  const count = Math.min(wanted, view.getUint32(SYSCTL_U + GETCPUINFO.at.nr_cpus, true));
  return Array.from({ length: count }, (_, i) => ({
    idletime: view.getBigUint64(list.offset + i * CPUINFO.size + CPUINFO.at.idletime, true),
  }));
}

/** How many processors the host can have: the highest number that one may get, plus 1. */
export function xc_get_max_cpus(xch: XcInterface): number {
  return xc_physinfo(xch).max_cpu_id + 1;
}

/** How many processors are online. */
export function xc_get_online_cpus(xch: XcInterface): number {
  return xc_physinfo(xch).nr_cpus;
}

/** How many memory nodes the host can have. */
export function xc_get_max_nodes(xch: XcInterface): number {
  return xc_physinfo(xch).max_node_id + 1;
}

/** Bytes of a map with a bit for each processor: see {@link xc_cpumap_alloc}. */
export function xc_get_cpumap_size(xch: XcInterface): number {
  return Math.ceil(xc_get_max_cpus(xch) / 8);
}

/** An empty map with a bit for each processor that the host can have. */
export function xc_cpumap_alloc(xch: XcInterface): Uint8Array {
  return new Uint8Array(xc_get_cpumap_size(xch));
}

/** Bytes of a map with a bit for each memory node. */
export function xc_get_nodemap_size(xch: XcInterface): number {
  return Math.ceil(xc_get_max_nodes(xch) / 8);
}

/** An empty map with a bit for each memory node that the host can have. */
export function xc_nodemap_alloc(xch: XcInterface): Uint8Array {
  return new Uint8Array(xc_get_nodemap_size(xch));
}

/** Sets the bit of a processor. */
export function xc_cpumap_setcpu(cpu: number, map: Uint8Array): void {
  const at = checkBit(cpu, map);
  map[at] = (map[at] as number) | (1 << (cpu & 7));
}

/** Clears the bit of a processor. */
export function xc_cpumap_clearcpu(cpu: number, map: Uint8Array): void {
  const at = checkBit(cpu, map);
  map[at] = (map[at] as number) & ~(1 << (cpu & 7));
}

/** Whether the bit of a processor is set. */
export function xc_cpumap_testcpu(cpu: number, map: Uint8Array): boolean {
  return ((map[checkBit(cpu, map)] as number) & (1 << (cpu & 7))) !== 0;
}

/** The byte that the bit is in. */
function checkBit(cpu: number, map: Uint8Array): number {
  checkU32(cpu, 'cpu');
  if (!(map instanceof Uint8Array)) throw new TypeError('map must be a Uint8Array: xc_cpumap_alloc makes one');
  if (cpu >= map.length * 8)
    throw new RangeError(`cpu must be below ${map.length * 8}, the bits of the map, not ${cpu}`);
  return cpu >>> 3;
}
