/**
 * Forks of domains (`arch/x86/mm/mem_sharing.c`): a fork has its parent's state, and its memory page by page when
 * somebody first touches it. Real Xen shares pages that are only read; here each is copied, which nobody can tell.
 */

import { errno } from '../abi/errno.js';
import {
  HVM_PARAM_BUFIOREQ_PFN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_IOREQ_PFN,
  HVM_PARAM_STORE_PFN,
} from '../abi/hvm/params.js';
import type { Domain } from './domain.js';
import { ORDER_4K } from './p2m.js';

/** Frames that a fork gets at once, for others than its vCPUs write to them. */
const SPECIAL = [HVM_PARAM_STORE_PFN, HVM_PARAM_IOREQ_PFN, HVM_PARAM_BUFIOREQ_PFN, HVM_PARAM_CONSOLE_PFN];

/**
 * Makes a domain the fork of another.
 *
 * @returns 0; -EBUSY: the fork is not paused; -ENOMEM
 */
export function fork(child: Domain, parent: Domain): number {
  if (child.pauseCount === 0) return -errno.EBUSY;
  child.adopt(parent);
  child.maxPages = parent.maxPages;
  child.makeVcpus();
  child.pagingPool.resize(parent.pagingPool.bytes / 4096);
  const rc = copySettings(child, parent);
  if (rc) child.orphan();
  return rc;
}

/** The vCPUs' state, the parameters and the special frames are the parent's. */
function copySettings(child: Domain, parent: Domain): number {
  parent.vcpus.forEach((vcpu, id) => {
    child.vcpus[id]?.copyFrom(vcpu);
  });
  child.params.set(parent.params);
  for (const param of SPECIAL) {
    const gfn = Number(parent.params[param] ?? 0n);
    const from = gfn === 0 ? null : parent.page(gfn, false);
    if (!from) continue;
    if (!child.p2m.lookup(gfn).present && !child.populate(gfn, ORDER_4K)) return -errno.ENOMEM;
    child.page(gfn, true)?.set(from);
  }
  child.sharedInfo.bytes.set(parent.sharedInfo.bytes);
  child.p2m.maxMapped = parent.p2m.maxMapped;
  return 0;
}

/**
 * A frame of a fork is needed that it has not: it gets a copy of the nearest ancestor's.
 *
 * @returns false when no ancestor has one, or memory is short
 */
export function forkPage(child: Domain, gfn: number): boolean {
  for (let parent = child.parent; parent; parent = parent.parent) {
    const from = parent.p2m.lookup(gfn);
    if (!from.present) continue;
    const { mfn } = from;
    if (parent.host.memory.isXen(mfn) || !child.populate(gfn, ORDER_4K)) return false;
    child.host.memory.copy(mfn, child.domid, child.p2m.lookup(gfn).mfn);
    return true;
  }
  return false;
}

/** Takes a fork back to where its parent is. Pages that somebody else refers to stay. */
export function resetFork(child: Domain, parent: Domain, state: boolean, memory: boolean): number {
  if (memory) {
    for (const [gfn, mfn] of child.p2m.smallPages()) {
      if (!child.host.memory.isReferred(mfn)) child.depopulate(gfn);
    }
  }
  return state ? copySettings(child, parent) : 0;
}
