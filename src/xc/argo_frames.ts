/**
 * Memory for Argo rings: pages whose frame numbers Xen knows, and that never move while a ring is in them.
 *
 * A PV dom0 asks Xen for fresh frames (XENMEM_increase_reservation): they are in nobody's page tables but this mapping, so a
 * process that dies with a ring leaves nothing behind that Xen could write into but them. A PVH dom0 takes pages of the
 * hypercall arena, which are the kernel's and never move, and looks their frames up in /proc/self/pagemap; a process that
 * dies there with a ring registered leaves Xen writing into pages that the kernel uses again. So rings are to be closed.
 */

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { errno } from '../abi/errno.js';
import {
  xen_memory_reservation as reservation,
  XENMEM_decrease_reservation,
  XENMEM_increase_reservation,
} from '../abi/memory.js';
import { XENVER_get_features } from '../abi/version.js';
import { __HYPERVISOR_memory_op, DOMID_SELF, PAGE_SIZE } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { getU64, putU64 } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import { PROT_READ, PROT_WRITE } from '../hypervisor/port.js';
import type { XcInterface } from './interface.js';
import { xc_version } from './version.js';

/** `features.h`: the caller's frame numbers are not the machine's; the caller is dom0. */
const XENFEAT_auto_translated_physmap = 1 << 2;
const XENFEAT_dom0 = 1 << 11;

/** Of an entry of /proc/self/pagemap: the page is in memory, and where. */
const PAGEMAP_PRESENT = 1n << 63n;
const PAGEMAP_FRAME = (1n << 55n) - 1n;

export interface RingMemory {
  readonly bytes: Uint8Array;
  /** As Argo counts: machine frames of a PV domain, else guest frames. */
  readonly gfns: readonly number[];
  /** Gives it back. No ring may be in it any more. */
  close(): void;
}

/** What a process may know of its own memory; tests put something else in its place. */
export interface ProcessMemory {
  /** /proc/self/maps. */
  maps(): string;
  /** Entries of /proc/self/pagemap. */
  pagemap(firstPage: number, count: number): BigUint64Array;
}

const OWN_MEMORY: ProcessMemory = {
  maps: () => readFileSync('/proc/self/maps', 'latin1'),
  pagemap(firstPage, count) {
    const entries = new BigUint64Array(count);
    const file = openSync('/proc/self/pagemap', 'r');
    try {
      readSync(file, entries, 0, count * 8, firstPage * 8);
    } finally {
      closeSync(file);
    }
    return entries;
  },
};

/**
 * Zeroed pages for a ring.
 *
 * @throws XenError `EOPNOTSUPP`: not in this domain, and why. `ENOMEM`: dom0 may not have so many pages more
 */
export function allocateRingMemory(xch: XcInterface, pages: number, own: ProcessMemory = OWN_MEMORY): RingMemory {
  const features = xc_version(xch, XENVER_get_features);
  if ((features & XENFEAT_dom0) === 0) throw refuse('only dom0 can give pages of its own to Xen by this way');
  return features & XENFEAT_auto_translated_physmap ? fromArena(xch, pages, own) : fromReservation(xch, pages);
}

function refuse(hint: string): XenError {
  return new XenError('argo_register_ring', -errno.EOPNOTSUPP, { hint });
}

/** A PV dom0: frames fresh from Xen, mapped as a foreign domain's would be. */
function fromReservation(xch: XcInterface, pages: number): RingMemory {
  const gfns = increaseReservation(xch, pages);
  const { hypervisor } = xch;
  try {
    const mapping = hypervisor.mapForeign(DOMID_SELF, gfns, PROT_READ | PROT_WRITE);
    const failed = mapping.errors.find((error) => error !== 0);
    if (failed !== undefined) {
      mapping.close();
      throw new XenError('argo_register_ring', failed, { hint: 'the fresh frames could not be mapped' });
    }
    mapping.bytes.fill(0);
    const close = (): void => {
      mapping.close();
      reserve(xch, XENMEM_decrease_reservation, gfns);
    };
    return { bytes: mapping.bytes, gfns, close };
  } catch (error) {
    reserve(xch, XENMEM_decrease_reservation, gfns);
    throw error;
  }
}

function increaseReservation(xch: XcInterface, pages: number): readonly number[] {
  const frames = new Array<number>(pages).fill(0);
  const done = reserve(xch, XENMEM_increase_reservation, frames);
  if (done === pages) return frames;
  reserve(xch, XENMEM_decrease_reservation, frames.slice(0, Math.max(0, done)));
  throw new XenError('argo_register_ring', done < 0 ? done : -errno.ENOMEM, {
    hint: `${pages} pages more than dom0 may have: boot Xen with dom0_mem=SIZE and no max: beside it, or raise dom0's limit`,
  });
}

/** One reservation call for single pages. Frames go in and come out in `frames`. @returns how many were done */
function reserve(xch: XcInterface, cmd: number, frames: number[] | readonly number[]): number {
  if (frames.length === 0) return 0;
  const { hypervisor } = xch;
  const { arena } = hypervisor;
  using list = arena.alloc(frames.length * 8);
  const { view } = arena;
  for (const [i, frame] of frames.entries()) putU64(view, list.offset + i * 8, frame);
  putU64(view, OPERAND_OFFSET + reservation.at.extent_start, list.address);
  putU64(view, OPERAND_OFFSET + reservation.at.nr_extents, frames.length);
  view.setUint32(OPERAND_OFFSET + reservation.at.extent_order, 0, true);
  view.setUint32(OPERAND_OFFSET + reservation.at.mem_flags, 0, true);
  view.setUint32(OPERAND_OFFSET + reservation.at.domid, DOMID_SELF, true); // and the padding
  const done = hypervisor.hypercall(__HYPERVISOR_memory_op, cmd, arena.operandAddress) | 0;
  if (cmd === XENMEM_increase_reservation) {
    for (let i = 0; i < done; i++) (frames as number[])[i] = getU64(view, list.offset + i * 8);
  }
  return done;
}

/** A PVH dom0: pages of the arena, as long as they are the kernel's. */
function fromArena(xch: XcInterface, pages: number, own: ProcessMemory): RingMemory {
  const { arena } = xch.hypervisor;
  if (!isKernelMemory(own.maps(), arena.base)) {
    throw refuse('a PVH dom0 needs /dev/xen/hypercall (Linux 4.18) for pages that never move, and it is not there');
  }
  const piece = arena.alloc((pages + 1) * PAGE_SIZE);
  try {
    const skipped = (PAGE_SIZE - (piece.address % PAGE_SIZE)) % PAGE_SIZE;
    const first = (piece.address + skipped) / PAGE_SIZE;
    const entries = [...own.pagemap(first, pages)];
    if (!entries.every((entry) => (entry & PAGEMAP_PRESENT) !== 0n && (entry & PAGEMAP_FRAME) !== 0n)) {
      throw refuse('/proc/self/pagemap does not tell frame numbers: that takes CAP_SYS_ADMIN');
    }
    const bytes = piece.bytes.subarray(skipped, skipped + pages * PAGE_SIZE);
    return { bytes, gfns: entries.map((entry) => Number(entry & PAGEMAP_FRAME)), close: () => piece.free() };
  } catch (error) {
    piece.free();
    throw error;
  }
}

/** Whether an address is in a mapping of the hypercall device. */
function isKernelMemory(maps: string, address: number): boolean {
  return maps.split('\n').some((line) => {
    const [range = '', , , , , path] = line.split(/\s+/);
    const [from = 0, to = 0] = range.split('-').map((end) => Number.parseInt(end, 16));
    return path === '/dev/xen/hypercall' && from <= address && address < to;
  });
}
