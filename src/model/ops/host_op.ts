/** sysctls on the host (`common/sysctl.c`): its processors and nodes, the console ring, debug keys. */

import { errno } from '../../abi/errno.js';
import {
  xen_sysctl_cpuinfo as CPUINFO,
  xen_sysctl_getcpuinfo as GETCPUINFO,
  xen_sysctl_debug_keys as KEYS,
  xen_sysctl_meminfo as MEMINFO,
  xen_sysctl_numainfo as NUMAINFO,
  xen_sysctl_readconsole as READ,
  xen_sysctl_cputopo as TOPO,
  xen_sysctl_cputopoinfo as TOPOINFO,
  XEN_SYSCTL_cputopoinfo,
  XEN_SYSCTL_debug_keys,
  XEN_SYSCTL_getcpuinfo,
  XEN_SYSCTL_numainfo,
  XEN_SYSCTL_readconsole,
  xen_sysctl,
} from '../../abi/sysctl.js';
import { PAGE_SIZE } from '../../abi/xen.js';
import { getU64, putU64 } from '../../hypervisor/check.js';
import type { Caller } from '../caller.js';
import { pressKey } from '../debug_keys.js';
import type { SysctlHost } from './sysctl.js';

/** The modelled host: one node, one socket, cores of one thread each. */
export const HOST_CPUS = 4;
const DISTANCE_HERE = 10;

/** What is left of the sysctls; ENOSYS for what is none. The structure is copied in. */
export function hostOp(host: SysctlHost, caller: Caller, cmd: number, address: number): number {
  switch (cmd) {
    case XEN_SYSCTL_readconsole:
      return readConsole(host, caller, address);
    case XEN_SYSCTL_debug_keys:
      return debugKeys(host, caller);
    case XEN_SYSCTL_getcpuinfo:
      return getCpuInfo(caller, address);
    case XEN_SYSCTL_cputopoinfo:
      return cpuTopoInfo(caller, address);
    case XEN_SYSCTL_numainfo:
      return numaInfo(host, caller, address);
    default:
      return -errno.ENOSYS;
  }
}

/** Writes numbers back into the structure: offsets are in its union. */
function reply({ memory }: Caller, address: number, ...places: readonly (readonly [number, number])[]): number {
  if (!memory.copyIn(address, xen_sysctl.size)) return -errno.EFAULT;
  for (const [offset, value] of places) memory.view.setUint32(memory.at + xen_sysctl.at.u + offset, value, true);
  return memory.copyOut(address, xen_sysctl.size) ? 0 : -errno.EFAULT;
}

function readConsole(host: SysctlHost, caller: Caller, address: number): number {
  const { memory } = caller;
  const { view } = memory;
  const u = memory.at + xen_sysctl.at.u;
  const clear = view.getUint8(u + READ.at.clear) !== 0;
  const index = view.getUint8(u + READ.at.incremental) === 0 ? null : view.getUint32(u + READ.at.index, true);
  const buffer = getU64(view, u + READ.at.buffer);
  const read = host.console.read(index, view.getUint32(u + READ.at.count, true));
  if (!memory.write(buffer, read.bytes)) return -errno.EFAULT;
  if (clear) host.console.clear(read.index);
  return reply(caller, address, [READ.at.count, read.bytes.length], [READ.at.index, read.index]);
}

function debugKeys(host: SysctlHost, { memory }: Caller): number {
  const u = memory.at + xen_sysctl.at.u;
  const keys = getU64(memory.view, u + KEYS.at.keys);
  const count = memory.view.getUint32(u + KEYS.at.nr_keys, true);
  const key = new Uint8Array(1);
  for (let i = 0; i < count; i++) {
    if (!memory.read(keys + i, key)) return -errno.EFAULT;
    pressKey(host, String.fromCharCode(key[0] as number));
  }
  return 0;
}

function getCpuInfo(caller: Caller, address: number): number {
  const { memory } = caller;
  const u = memory.at + xen_sysctl.at.u;
  const list = getU64(memory.view, u + GETCPUINFO.at.info);
  const count = Math.min(HOST_CPUS, memory.view.getUint32(u + GETCPUINFO.at.max_cpus, true));
  // processors of the model are never idle: no time passes
  if (!memory.write(list, new Uint8Array(count * CPUINFO.size))) return -errno.EFAULT;
  return reply(caller, address, [GETCPUINFO.at.nr_cpus, count]);
}

function cpuTopoInfo(caller: Caller, address: number): number {
  const { memory } = caller;
  const u = memory.at + xen_sysctl.at.u;
  const list = getU64(memory.view, u + TOPOINFO.at.cputopo);
  const room = memory.view.getUint32(u + TOPOINFO.at.num_cpus, true);
  const count = list === 0 ? HOST_CPUS : Math.min(HOST_CPUS, room);
  if (list !== 0) {
    const entries = new DataView(new ArrayBuffer(count * TOPO.size));
    for (let i = 0; i < count; i++) entries.setUint32(i * TOPO.size + TOPO.at.core, i, true);
    if (!memory.write(list, new Uint8Array(entries.buffer))) return -errno.EFAULT;
  }
  return reply(caller, address, [TOPOINFO.at.num_cpus, count]);
}

function numaInfo(host: SysctlHost, caller: Caller, address: number): number {
  const { memory } = caller;
  const u = memory.at + xen_sysctl.at.u;
  const sizes = getU64(memory.view, u + NUMAINFO.at.meminfo);
  const distances = getU64(memory.view, u + NUMAINFO.at.distance);
  const room = memory.view.getUint32(u + NUMAINFO.at.num_nodes, true);
  const count = sizes === 0 && distances === 0 ? 1 : Math.min(1, room);
  const entry = new DataView(new ArrayBuffer(MEMINFO.size));
  putU64(entry, MEMINFO.at.memsize, host.memory.totalPages * PAGE_SIZE);
  putU64(entry, MEMINFO.at.memfree, host.memory.freePages * PAGE_SIZE);
  const written =
    (sizes === 0 || memory.write(sizes, new Uint8Array(entry.buffer, 0, count * MEMINFO.size))) &&
    (distances === 0 || memory.write(distances, Uint8Array.of(DISTANCE_HERE, 0, 0, 0).subarray(0, count * 4)));
  return written ? reply(caller, address, [NUMAINFO.at.num_nodes, count]) : -errno.EFAULT;
}
