/** domctl getpageframeinfo3: what kinds of memory frames are (`arch_do_domctl`, `arch/x86/domctl.c`). */

import { XEN_DOMCTL_PFINFO_XTAB, xen_domctl_getpageframeinfo3 } from '../../abi/domctl.js';
import { errno } from '../../abi/errno.js';
import { getU64, putU64 } from '../../hypervisor/check.js';
import type { Domain } from '../domain.js';
import type { Domctl } from './domctl.js';

const F = xen_domctl_getpageframeinfo3.at;
const MOST_FRAMES = 1024;

/** A frame without memory is XTAB, every other is 0: PV domains' page tables are not modelled. */
export function getPageFrameInfo({ caller, view, u }: Domctl, domain: Domain): number {
  const num = getU64(view, u + F.num);
  if (num > MOST_FRAMES) return -errno.E2BIG;
  const array = getU64(view, u + F.array);
  const entry = new Uint8Array(8);
  const value = new DataView(entry.buffer);
  for (let i = 0; i < num; i++) {
    if (!caller.memory.read(array + i * 8, entry)) return -errno.EFAULT;
    const { present } = domain.p2m.lookup(getU64(value, 0));
    putU64(value, 0, present ? 0 : XEN_DOMCTL_PFINFO_XTAB);
    if (!caller.memory.write(array + i * 8, entry)) return -errno.EFAULT;
  }
  return 0;
}
