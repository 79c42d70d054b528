/** The memory_op hypercall (`common/memory.c`, `common/mem_access.c`): reservations, the highest frame, memory access. */

import { errno } from '../../abi/errno.js';
import {
  MEMOP_EXTENT_SHIFT,
  XENMEM_access_op,
  XENMEM_access_op_get_access,
  XENMEM_access_op_set_access,
  XENMEM_access_op_set_access_multi,
  XENMEM_decrease_reservation,
  XENMEM_increase_reservation,
  XENMEM_maximum_gpfn,
  XENMEM_populate_physmap,
  xen_mem_access_op,
  xen_memory_reservation,
} from '../../abi/memory.js';
import { DOMID_SELF } from '../../abi/xen.js';
import { getU64, putU64 } from '../../hypervisor/check.js';
import { type Caller, xsmPriv, xsmTarget } from '../caller.js';
import type { Domain } from '../domain.js';
import { accessOf } from './altp2m_op.js';

/** Largest order that the control domain may ask for (`CONFIG_CTLDOM_MAX_ORDER`). */
const MAX_ORDER = 18;
const RESERVATION = xen_memory_reservation.at;
const ACCESS = xen_mem_access_op.at;
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
      return accessOp(caller, address);
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

function accessOp(caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, xen_mem_access_op.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const domid = view.getUint16(at + ACCESS.domid, true);
  const domain = domid === DOMID_SELF ? null : caller.lookup(domid);
  if (!domain) return -errno.ESRCH;
  if (domain === caller.domain) return -errno.EPERM;
  if (!domain.isHvm || !domain.config.hap || domain.host.cpu.vendor !== 'intel') return -errno.EINVAL;
  const denied = xsmPriv(caller);
  if (denied) return denied;
  if (!domain.ring) return -errno.ENODEV;
  const op = view.getUint8(at + ACCESS.op);
  switch (op) {
    case XENMEM_access_op_set_access:
      return setAccess(domain, view, at);
    case XENMEM_access_op_set_access_multi:
      return setAccessMulti(caller, domain, view, at);
    case XENMEM_access_op_get_access:
      return getAccess(caller, domain, address);
    default:
      return -errno.ENOSYS;
  }
}

function isAllOnes(view: DataView, offset: number): boolean {
  return view.getUint32(offset, true) === 0xffff_ffff && view.getUint32(offset + 4, true) === 0xffff_ffff;
}

function setAccess(domain: Domain, view: DataView, at: number): number {
  const access = accessOf(domain, view.getUint8(at + ACCESS.access));
  if (isAllOnes(view, at + ACCESS.pfn)) {
    if (access === null) return -errno.EINVAL;
    domain.defaultAccess = access;
    return 0;
  }
  const first = getU64(view, at + ACCESS.pfn);
  const count = view.getUint32(at + ACCESS.nr, true);
  if (first + count - 1 < first || first + count - 1 > domain.p2m.maxMapped || access === null) return -errno.EINVAL;
  for (let i = 0; i < count; i++) {
    const rc = domain.altp2m.setMemAccess(0, first + i, access);
    if (rc) return rc;
  }
  return 0;
}

function setAccessMulti(caller: Caller, domain: Domain, view: DataView, at: number): number {
  const count = view.getUint32(at + ACCESS.nr, true);
  const gfns = getU64(view, at + ACCESS.pfn_list);
  const accesses = getU64(view, at + ACCESS.access_list);
  const { memory } = caller;
  for (let i = 0; i < count; i++) {
    if (!memory.copyIn(accesses + i, 1)) return -errno.EFAULT;
    const access = accessOf(domain, memory.view.getUint8(memory.at));
    if (!memory.copyIn(gfns + i * 8, 8)) return -errno.EFAULT;
    if (access === null) return -errno.EINVAL;
    const rc = domain.altp2m.setMemAccess(0, getU64(memory.view, memory.at), access);
    if (rc) return rc;
  }
  return 0;
}

function getAccess(caller: Caller, domain: Domain, address: number): number {
  const { view, at } = caller.memory;
  let access = domain.defaultAccess;
  if (!isAllOnes(view, at + ACCESS.pfn)) {
    const gfn = getU64(view, at + ACCESS.pfn);
    if (gfn > domain.p2m.maxMapped) return -errno.EINVAL;
    const entry = domain.p2m.lookup(gfn);
    if (!entry.present) return -errno.ESRCH;
    access = entry.access;
  }
  view.setUint8(at + ACCESS.access, access);
  return caller.memory.copyOut(address, xen_mem_access_op.size) ? 0 : -errno.EFAULT;
}
