/** `memory.h`: commands of the memory_op hypercall, and memory access types. */

import { struct } from './layout.js';
import { atLeast, type ReleaseAbi } from './release.js';

export const XENMEM_increase_reservation = 0;
export const XENMEM_decrease_reservation = 1;
export const XENMEM_populate_physmap = 6;
export const XENMEM_maximum_gpfn = 14;
export const XENMEM_access_op = 21;

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
