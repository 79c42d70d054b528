/** What a domain's frames show (`common/memory.c`, `xenmem_add_to_physmap_one` in `arch/x86/mm/p2m.c`). */

import { errno } from '../../abi/errno.js';
import {
  xen_add_to_physmap as ADD,
  xen_add_to_physmap_batch as BATCH,
  xen_remove_from_physmap as REMOVE,
  XENMAPSPACE_dev_mmio,
  XENMAPSPACE_gmfn,
  XENMAPSPACE_gmfn_foreign,
  XENMAPSPACE_gmfn_range,
  XENMAPSPACE_grant_table,
  XENMAPSPACE_shared_info,
} from '../../abi/memory.js';
import { getU64 } from '../../hypervisor/check.js';
import { type Caller, xsmTarget } from '../caller.js';
import type { Domain } from '../domain.js';
import { ORDER_4K } from '../p2m.js';

/** Frames that tables of four levels reach. */
const FRAMES_IN_REACH = 2 ** 36;
/** "No frame", as a number: all frames are below. */
const INVALID = 2 ** 64;

export function addToPhysmap(caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, ADD.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const space = view.getUint32(at + ADD.at.space, true);
  if (space === XENMAPSPACE_gmfn_foreign) return -errno.ENOSYS; // it cannot be told whose
  const domain = caller.lookup(view.getUint16(at + ADD.at.domid, true));
  if (!domain) return -errno.ESRCH;
  const denied = xsmTarget(caller, domain);
  if (denied) return denied;
  if (!domain.isHvm) return -errno.EACCES;
  const idx = getU64(view, at + ADD.at.idx);
  const gpfn = getU64(view, at + ADD.at.gpfn);
  if (gpfn === INVALID) return -errno.EINVAL;
  if (space !== XENMAPSPACE_gmfn_range) return addOne(domain, space, idx, gpfn);
  const size = view.getUint16(at + ADD.at.size, true);
  for (let i = 0; i < size; i++) {
    const rc = addOne(domain, space, idx + i, gpfn + i);
    if (rc) return rc;
  }
  return 0;
}

export function addToPhysmapBatch(caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, BATCH.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const domain = caller.lookup(view.getUint16(at + BATCH.at.domid, true));
  if (!domain) return -errno.ESRCH;
  if (!domain.isHvm) return -errno.EACCES;
  const denied = xsmTarget(caller, domain);
  if (denied) return denied;
  const space = view.getUint16(at + BATCH.at.space, true);
  const size = view.getUint16(at + BATCH.at.size, true);
  const res0 = view.getUint16(at + BATCH.at['u.res0'], true);
  const [idxs, gpfns, errs] = [BATCH.at.idxs, BATCH.at.gpfns, BATCH.at.errs].map((field) => getU64(view, at + field));
  if (res0 !== 0 && space === XENMAPSPACE_dev_mmio) return -errno.EOPNOTSUPP;
  if (res0 !== 0 && space !== XENMAPSPACE_gmfn_foreign) return -errno.EINVAL;
  const word = new Uint8Array(8);
  const readFrame = (list = 0, i = 0): number | null =>
    memory.read(list + i * 8, word) ? getU64(new DataView(word.buffer), 0) : null;
  for (let i = 0; i < size; i++) {
    const idx = readFrame(idxs, i);
    const gpfn = readFrame(gpfns, i);
    if (idx === null || gpfn === null) return -errno.EFAULT;
    const rc = addOne(domain, space, idx, gpfn);
    if (!memory.write((errs ?? 0) + i * 4, new Uint8Array(Int32Array.of(rc).buffer))) return -errno.EFAULT;
  }
  return 0;
}

/** Pages of other domains and of devices are not modelled: EINVAL, as for a space that is none. */
function addOne(domain: Domain, space: number, idx: number, gpfn: number): number {
  const mfn = found(domain, space, idx);
  if (mfn === null) return -errno.EINVAL;
  const before = domain.p2m.lookup(gpfn);
  if (before.present && before.mfn !== mfn) domain.depopulate(gpfn);
  const old = space === XENMAPSPACE_gmfn || space === XENMAPSPACE_gmfn_range ? idx : domain.shownAt(mfn);
  if (old !== null) domain.unmapHost(old);
  if (gpfn >= FRAMES_IN_REACH) return -errno.EINVAL; // found out when the entry is to be written
  domain.mapHost(gpfn, mfn, ORDER_4K);
  return 0;
}

/** The page that a space and an index mean, or null. */
function found(domain: Domain, space: number, idx: number): number | null {
  switch (space) {
    case XENMAPSPACE_shared_info:
      return idx === 0 ? domain.sharedInfo.mfn : null;
    case XENMAPSPACE_grant_table:
      return domain.grants.frame(idx);
    case XENMAPSPACE_gmfn:
    case XENMAPSPACE_gmfn_range: {
      const entry = domain.p2m.lookup(idx);
      return entry.present && !domain.host.memory.isDevice(entry.mfn) ? entry.mfn : null;
    }
    default:
      return null;
  }
}

export function removeFromPhysmap(caller: Caller, address: number): number {
  const { memory } = caller;
  if (!memory.copyIn(address, REMOVE.size)) return -errno.EFAULT;
  const { view, at } = memory;
  const domain = caller.lookup(view.getUint16(at + REMOVE.at.domid, true));
  if (!domain) return -errno.ESRCH;
  const denied = xsmTarget(caller, domain);
  if (denied) return denied;
  if (!domain.isHvm) return -errno.EACCES;
  const gpfn = getU64(view, at + REMOVE.at.gpfn);
  if (!domain.p2m.lookup(gpfn).present) return -errno.ENOENT;
  domain.unmapHost(gpfn);
  return 0;
}
