/** The memory_op hypercall (`common/memory.c`): reservations, the highest frame. */

import { errno } from '../../abi/errno.js';
import {
  MEMOP_EXTENT_SHIFT,
  XENMEM_access_op,
  XENMEM_add_to_physmap,
  XENMEM_add_to_physmap_batch,
  XENMEM_decrease_reservation,
  XENMEM_increase_reservation,
  XENMEM_maximum_gpfn,
  XENMEM_populate_physmap,
  XENMEM_remove_from_physmap,
  XENMEM_sharing_op,
  xen_memory_reservation,
} from '../../abi/memory.js';
import { getU64, putU64 } from '../../hypervisor/check.js';
import { type Caller, xsmTarget } from '../caller.js';
import type { Domain } from '../domain.js';
import { memAccessOp } from './mem_access_op.js';
import { addToPhysmap, addToPhysmapBatch, removeFromPhysmap } from './physmap_op.js';
import { sharingOp } from './sharing_op.js';

/** Largest order that the control domain may ask for (`CONFIG_CTLDOM_MAX_ORDER`). */
const MAX_ORDER = 18;
const RESERVATION = xen_memory_reservation.at;
/** A frame number on its way to the caller. */
const FRAME = new Uint8Array(8);
const frame = new DataView(FRAME.buffer);

export function memoryOp(caller: Caller, op: number, address: number): number {
  const cmd = op & ((1 << MEMOP_EXTENT_SHIFT) - 1);
  const start = Math.floor(op / (1 << MEMOP_EXTENT_SHIFT));
  switch (cmd) {
    case XENMEM_increase_reservation:
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap:
      return reservation(caller, cmd, start, address);
    case XENMEM_maximum_gpfn:
      return maximumGpfn(caller, address);
    case XENMEM_access_op:
      return memAccessOp(caller, start * (1 << MEMOP_EXTENT_SHIFT), address);
    case XENMEM_sharing_op:
      return sharingOp(caller, address);
    case XENMEM_add_to_physmap:
      return addToPhysmap(caller, address);
    case XENMEM_add_to_physmap_batch:
      return addToPhysmapBatch(caller, address);
    case XENMEM_remove_from_physmap:
      return removeFromPhysmap(caller, address);
    default:
      return -errno.ENOSYS;
  }
}

/** Answers the number of extents done. Xen says 0, no error, when the structure or the domain is not there. */
function reservation(caller: Caller, cmd: number, start: number, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, xen_memory_reservation.size)) return start;
  const { view, at } = memory;
  const list = getU64(view, at + RESERVATION.extent_start);
  const count = getU64(view, at + RESERVATION.nr_extents);
  const order = view.getUint32(at + RESERVATION.extent_order, true);
  const domain = caller.lookup(view.getUint16(at + RESERVATION.domid, true));
  if (start >= count || count > Number.MAX_SAFE_INTEGER || !domain) return start;
  const denied = xsmTarget(caller, domain);
  if (denied) return denied;
  if (order > MAX_ORDER) return start;
  let done = start;
  for (; done < count; done++) {
    if (cmd === XENMEM_increase_reservation) {
      const mfn = domain.reserve(order);
      if (mfn === null) break;
      // only a PV caller is told
      putU64(frame, 0, mfn);
      if (list !== 0 && !caller.domain.isHvm && !memory.write(list + done * 8, FRAME)) break;
      continue;
    }
    if (!memory.copyIn(list + done * 8, 8)) break;
    const gfn = getU64(memory.view, memory.at);
    if (cmd === XENMEM_populate_physmap ? !domain.populate(gfn, order) : !decrease(domain, gfn, order)) break;
  }
  return done;
}

function decrease(domain: Domain, gfn: number, order: number): boolean {
  for (let i = 0; i < 2 ** order; i++) if (!domain.depopulate(gfn + i)) return false;
  return true;
}

function maximumGpfn(caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, 2)) return -errno.EFAULT;
  const domain = caller.lookup(memory.view.getUint16(memory.at, true));
  if (!domain) return -errno.ESRCH;
  return xsmTarget(caller, domain) || Math.max(0, domain.p2m.maxMapped);
}
