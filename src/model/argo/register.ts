/** register_ring and unregister_ring. The order of the checks is Xen's: it decides which errno a caller gets. */

import {
  XEN_ARGO_DOMID_ANY,
  XEN_ARGO_MAX_RING_SIZE,
  XEN_ARGO_REGISTER_FLAG_FAIL_EXIST,
  xen_argo_register_ring,
  xen_argo_unregister_ring,
} from '../../abi/argo.js';
import { errno } from '../../abi/errno.js';
import { PAGE_SIZE } from '../../abi/xen.js';
import { getU64 } from '../../hypervisor/check.js';
import type { Caller } from '../caller.js';
import type { Domain } from '../domain.js';
import type { Argo } from './argo.js';
import { inPvRange } from './caller_range.js';
import { ringFrame } from './frames.js';
import { ArgoRing, MIN_RING_SIZE, pagesOf, roundUp } from './ring.js';

const MAX_RINGS_PER_DOMAIN = 128;
const MAX_PAGES = XEN_ARGO_MAX_RING_SIZE / PAGE_SIZE;
const REGISTER = xen_argo_register_ring.at;
const UNREGISTER = xen_argo_unregister_ring.at;

export function registerRing(
  argo: Argo,
  caller: Caller,
  address: number,
  gfns: number,
  npage: number,
  flags: number,
): number {
  if (npage > MAX_PAGES) return -errno.EINVAL;
  if (!caller.domain.isHvm && !inPvRange(gfns)) return -errno.EFAULT;
  if (flags > XEN_ARGO_REGISTER_FLAG_FAIL_EXIST) return -errno.EINVAL;
  if (!caller.memory.copyIn(address, xen_argo_register_ring.size)) return -errno.EFAULT;
  const { view, at } = caller.memory;
  const aport = view.getUint32(at + REGISTER.aport, true);
  const partner = view.getUint16(at + REGISTER.partner_id, true);
  const pad = view.getUint16(at + REGISTER.pad, true);
  const len = view.getUint32(at + REGISTER.len, true);
  const fits = len >= MIN_RING_SIZE && len <= XEN_ARGO_MAX_RING_SIZE && len === roundUp(len) && pagesOf(len) === npage;
  if (!fits || pad !== 0) return -errno.EINVAL;

  const refused = refusedPartner(argo, caller.domain, partner);
  if (refused) return refused;
  const own = argo.of(caller.domain);
  if (!own) return -errno.ENODEV;
  const other = partner === XEN_ARGO_DOMID_ANY ? null : argo.domains.get(partner);
  if (other && !argo.of(other)) return -errno.ECONNREFUSED;

  if (own.ringCount >= MAX_RINGS_PER_DOMAIN) return -errno.ENOSPC;
  const before = argo.ring(own, aport, partner);
  if (before && (flags === XEN_ARGO_REGISTER_FLAG_FAIL_EXIST || before.len !== len)) return -errno.EEXIST;
  const ring = before ?? new ArgoRing(caller.domain, aport, partner, len);
  const mfns = ringFrames(caller, gfns, npage);
  if (typeof mfns === 'number') {
    // the ring that was there is lost, too, but it still counts
    if (before) argo.remove(own, before);
    return mfns;
  }
  ring.attach(mfns);
  ring.adoptTx();
  argo.add(own, ring);
  own.ringCount++;
  return 0;
}

/** Why a domain may not have rings for this partner; 0: it may. */
function refusedPartner(argo: Argo, domain: Domain, partner: number): number {
  if (partner === XEN_ARGO_DOMID_ANY) {
    const permissive = argo.mode === 'mac-permissive';
    return permissive ? argo.policy.registerAnySource(domain) : -errno.EPERM;
  }
  const other = argo.domains.get(partner);
  return other ? argo.policy.registerSingleSource(domain, other) : -errno.ESRCH;
}

/** The machine frames of a list of frames, or the errno of the first that is none. */
function ringFrames({ domain, memory }: Caller, list: number, count: number): number[] | number {
  const mfns: number[] = [];
  for (let i = 0; i < count; i++) {
    if (!memory.copyIn(list + i * 8, 8)) return -errno.EFAULT;
    const mfn = ringFrame(domain, getU64(memory.view, memory.at));
    if (mfn < 0) return mfn;
    mfns.push(mfn);
  }
  return mfns;
}

export function unregisterRing(argo: Argo, caller: Caller, address: number): number {
  if (!caller.memory.copyIn(address, xen_argo_unregister_ring.size)) return -errno.EFAULT;
  const { view, at } = caller.memory;
  if (view.getUint16(at + UNREGISTER.pad, true) !== 0) return -errno.EINVAL;
  const own = argo.of(caller.domain);
  if (!own) return -errno.ENODEV;
  const aport = view.getUint32(at + UNREGISTER.aport, true);
  const ring = argo.ring(own, aport, view.getUint16(at + UNREGISTER.partner_id, true));
  if (!ring) return -errno.ENOENT;
  argo.remove(own, ring);
  own.ringCount--;
  return 0;
}
