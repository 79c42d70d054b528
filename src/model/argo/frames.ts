/** Which of a domain's frames can be pages of a ring (`find_ring_mfn`, `check_get_page_from_gfn`). */

import { errno } from '../../abi/errno.js';
import type { Domain } from '../domain.js';

/** Frames below are the first MiB's, which is no memory to Xen. */
const FIRST_MIB = 0x100;

/**
 * The machine frame behind `gfn` (for a PV domain: a machine frame that must be its own), or -EINVAL: no plain, writable
 * memory; -EPERM: a device's; -EAGAIN: log-dirty mode watches it.
 */
export function ringFrame(domain: Domain, gfn: number): number {
  if (!Number.isSafeInteger(gfn)) return -errno.EINVAL;
  if (!domain.isHvm) {
    const entry = gfn >= FIRST_MIB && gfn < domain.host.memory.totalPages ? domain.p2m.lookup(gfn) : null;
    return entry?.present ? entry.mfn : -errno.EINVAL;
  }
  const type = domain.frameTypes.of(gfn);
  if (type === 'mmio_direct') return -errno.EPERM;
  const entry = domain.p2m.lookup(gfn);
  if (!entry.present) return -errno.EINVAL;
  if (type === 'ram_logdirty') return -errno.EAGAIN;
  return type === 'ram_rw' ? entry.mfn : -errno.EINVAL;
}
