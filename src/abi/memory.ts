/** `memory.h`: commands of the memory_op hypercall, and memory access types. */

import { struct } from './layout.js';
import { atLeast, type ReleaseAbi } from './release.js';

export const XENMEM_increase_reservation = 0;
export const XENMEM_decrease_reservation = 1;
export const XENMEM_populate_physmap = 6;
export const XENMEM_add_to_physmap = 7;
export const XENMEM_maximum_gpfn = 14;
export const XENMEM_remove_from_physmap = 15;
export const XENMEM_access_op = 21;
export const XENMEM_sharing_op = 22;
export const XENMEM_add_to_physmap_batch = 23;

/** Sub-operations of XENMEM_access_op. */
export const XENMEM_access_op_set_access = 0;
export const XENMEM_access_op_get_access = 1;
export const XENMEM_access_op_set_access_multi = 4;

/** `mem_flags` of a reservation. Bits 0-7 hold the address width, bits 8-15 a NUMA node plus 1 (0: any). */
export const XENMEMF_populate_on_demand = 1 << 16;
export const XENMEMF_exact_node_request = 1 << 17;
export const XENMEMF_vnode = 1 << 18;

/** A memory_op command and, above bit 6, the extent at which a preempted one goes on. */
export const MEMOP_EXTENT_SHIFT = 6;

export const xen_memory_reservation = struct('xen_memory_reservation', 'memory.h', 32, {
  extent_start: [0, 8],
  nr_extents: [8, 8],
  extent_order: [16, 4],
  mem_flags: [20, 4],
  domid: [24, 2],
});

export const xen_mem_access_op = struct('xen_mem_access_op', 'memory.h', 32, {
  op: [0, 1],
  access: [1, 1],
  domid: [2, 2],
  nr: [4, 4],
  pfn: [8, 8],
  pfn_list: [16, 8],
  access_list: [24, 8],
});

/** "As the domain's default access says." Its number moved from 10 to 11 in Xen 4.20, so it is no number here. */
const access_default: unique symbol = Symbol('XENMEM_access_default');
/** Read, and write by the processor's page walks only. Since Xen 4.20. */
const access_r_pw: unique symbol = Symbol('XENMEM_access_r_pw');

/** `xenmem_access_t`: what a guest may do with a frame before it is stopped. */
export const XENMEM_access = {
  n: 0,
  r: 1,
  w: 2,
  rw: 3,
  x: 4,
  rx: 5,
  wx: 6,
  rwx: 7,
  /** rx; the first write makes it rw, without an event. */
  rx2rw: 8,
  /** Nothing; the first access makes it rwx and is reported without pausing the vCPU. */
  n2rwx: 9,
  /** Encoded as 10 for Xen 4.20 and newer; a RangeError before. */
  r_pw: access_r_pw,
  /** Encoded as 10 up to Xen 4.19 and as 11 after. */
  default: access_default,
} as const;

/** An access type: one of {@link XENMEM_access}, or a raw number, which is passed on as it is. */
export type XenmemAccess = number | typeof access_default | typeof access_r_pw;

/** The number that stands for an access type in one release. */
export function encodeAccess(access: XenmemAccess, abi: ReleaseAbi): number {
  if (typeof access === 'number') return access;
  if (access === access_default) return abi.accessDefault;
  if (access === access_r_pw) {
    if (!atLeast(abi.release, '4.20')) {
      throw new RangeError(`XENMEM_access.r_pw exists since Xen 4.20; this is ${abi.release}`);
    }
    return 10;
  }
  throw new TypeError(`access must be a number or a member of XENMEM_access, not ${String(access)}`);
}

/** The access type that a number stands for in one release. */
export function decodeAccess(value: number, abi: ReleaseAbi): XenmemAccess {
  if (value === abi.accessDefault) return access_default;
  return value === 10 && abi.accessDefault === 11 ? access_r_pw : value;
}

/** What a frame of a domain can be made to show (`xatp.space`). */
export const XENMAPSPACE_shared_info = 0;
export const XENMAPSPACE_grant_table = 1;
/** The page of another frame of the same domain, which loses it. */
export const XENMAPSPACE_gmfn = 2;
/** As {@link XENMAPSPACE_gmfn}, for `size` consecutive frames. */
export const XENMAPSPACE_gmfn_range = 3;
/** A page of another domain; XENMEM_add_to_physmap_batch only. */
export const XENMAPSPACE_gmfn_foreign = 4;
export const XENMAPSPACE_dev_mmio = 5;

export const xen_add_to_physmap = struct('xen_add_to_physmap', 'memory.h', 24, {
  domid: [0, 2],
  size: [2, 2],
  space: [4, 4],
  idx: [8, 8],
  gpfn: [16, 8],
});

export const xen_add_to_physmap_batch = struct('xen_add_to_physmap_batch', 'memory.h', 32, {
  domid: [0, 2],
  space: [2, 2],
  size: [4, 2],
  'u.foreign_domid': [6, 2],
  'u.res0': [6, 2],
  idxs: [8, 8],
  gpfns: [16, 8],
  errs: [24, 8],
});

export const xen_remove_from_physmap = struct('xen_remove_from_physmap', 'memory.h', 16, {
  domid: [0, 2],
  gpfn: [8, 8],
});

/** Resources that can be mapped by XENMEM_acquire_resource. */
export const XENMEM_resource_ioreq_server = 0;
export const XENMEM_resource_grant_table = 1;
/** Since 4.15. */
export const XENMEM_resource_vmtrace_buf = 2;
/** `id` of a grant table: entries, or the status words of version 2. */
export const XENMEM_resource_grant_table_id_shared = 0;
export const XENMEM_resource_grant_table_id_status = 1;

/** Sub-operations of XENMEM_sharing_op. */
export const XENMEM_sharing_op_fork = 9;
export const XENMEM_sharing_op_fork_reset = 10;

/** `mem_sharing_op.u.fork.flags` of a fork. */
export const XENMEM_FORK_WITH_IOMMU_ALLOWED = 1 << 0;
export const XENMEM_FORK_BLOCK_INTERRUPTS = 1 << 1;
/** And of a reset, since 4.17. */
export const XENMEM_FORK_RESET_STATE = 1 << 2;
export const XENMEM_FORK_RESET_MEMORY = 1 << 3;

export const xen_mem_sharing_op = struct('xen_mem_sharing_op', 'memory.h', 48, {
  op: [0, 1],
  domain: [2, 2],
  'u.fork.parent_domain': [8, 2],
  'u.fork.flags': [10, 2],
  'u.fork.pad': [12, 4],
});
