/**
 * Running and ending domains, as libxc's `xc_domain.c`. All need privilege (`EPERM`) and an existing domain (`ESRCH`).
 *
 * Source of the behaviour: Xen's `do_domctl`, in `xen/common/domctl.c`.
 */

import {
  XEN_DOMCTL_destroydomain,
  XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_pausedomain,
  XEN_DOMCTL_set_access_required,
  XEN_DOMCTL_setdomainhandle,
  XEN_DOMCTL_unpausedomain,
  xen_domctl,
  xen_domctl_max_vcpus,
  xen_domctl_set_access_required,
  xen_domctl_setdomainhandle,
} from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import { SCHEDOP_remote_shutdown, sched_remote_shutdown } from '../abi/sched.js';
import { __HYPERVISOR_domctl, __HYPERVISOR_sched_op } from '../abi/xen.js';
import { OPERAND_OFFSET } from '../hypervisor/arena.js';
import { checkBoolean, checkDomid, checkU32 } from '../hypervisor/check.js';
import { xc_domain_getinfo_single } from './domain_info.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, beginDomctlAt, DOMCTL_U, domctl, issueDomctl, privilegedError } from './privileged.js';
import { type AsyncOptions, checkAsyncOptions, stopIfAborted } from './progress.js';
import { refusal } from './refusal.js';
import { checkUuid, parseUuid } from './uuid.js';

/**
 * Pauses all vCPUs of a domain. Pauses count: as many {@link xc_domain_unpause} let it run again.
 *
 * @throws XenError `EINVAL`: the domain is the caller. `EOVERFLOW`: it was paused 255 times.
 */
export function xc_domain_pause(xch: XcInterface, domid: number): void {
  beginDomctl(xch, 'xc_domain_pause', XEN_DOMCTL_pausedomain, domid, 'writes');
  issueDomctl(xch, 'xc_domain_pause', domid);
}

/**
 * Takes one {@link xc_domain_pause} back. A new domain starts with one.
 *
 * @throws XenError `EINVAL`: the domain is not paused
 */
export function xc_domain_unpause(xch: XcInterface, domid: number): void {
  beginDomctl(xch, 'xc_domain_unpause', XEN_DOMCTL_unpausedomain, domid, 'writes');
  issueDomctl(xch, 'xc_domain_unpause', domid);
}

/**
 * Stops a domain for a reason, as if it had shut itself down; whoever manages it then does what the reason asks for.
 *
 * @param reason `SHUTDOWN_*`
 */
export function xc_domain_shutdown(xch: XcInterface, domid: number, reason: number): void {
  checkDomid(domid);
  checkU32(reason, 'reason');
  const { hypervisor } = xch;
  const { view, operandAddress } = hypervisor.arena;
  view.setUint32(OPERAND_OFFSET + sched_remote_shutdown.at.domain_id, domid, true); // and the hole after it
  view.setUint32(OPERAND_OFFSET + sched_remote_shutdown.at.reason, reason, true);
  const rc = hypervisor.hypercall(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, operandAddress);
  if (rc < 0) throw refusal('xc_domain_shutdown', rc, domid);
}

/**
 * Ends a domain and gives its memory back. Repeats while Xen answers `EAGAIN`, as libxc does: for a large domain this
 * takes seconds, in which nothing else runs; {@link xc_domain_destroy_async} lets other work go on.
 *
 * @throws XenError `EINVAL`: the domain is the caller
 */
export function xc_domain_destroy(xch: XcInterface, domid: number): void {
  let rc: number;
  do {
    beginDomctl(xch, 'xc_domain_destroy', XEN_DOMCTL_destroydomain, domid, 'writes');
    rc = domctl(xch);
  } while (rc === -errno.EAGAIN);
  if (rc < 0) throw privilegedError(xch, 'domctl', 'xc_domain_destroy', rc, domid);
}

/**
 * {@link xc_domain_destroy} off the main thread. Progress counts pages of 4 KiB: those given back, of those the domain
 * had.
 *
 * @throws CallAbortedError the signal stopped it; the domain is dying all the same, and a later call goes on
 */
export async function xc_domain_destroy_async(
  xch: XcInterface,
  domid: number,
  options: AsyncOptions = {},
): Promise<void> {
  checkAsyncOptions(options);
  checkDomid(domid);
  stopIfAborted(options, 'xc_domain_destroy', 0, 0);
  const counts = options.onProgress !== undefined || options.signal !== undefined;
  const total = counts ? pagesOf(xch, domid) : 0;
  for (let done = 0; ; ) {
    stopIfAborted(options, 'xc_domain_destroy', done, total);
    const rc = await destroyOnce(xch, domid);
    if (rc < 0 && rc !== -errno.EAGAIN) throw privilegedError(xch, 'domctl', 'xc_domain_destroy', rc, domid);
    done = rc === 0 ? total : counts ? Math.max(done, total - pagesOf(xch, domid)) : 0;
    options.onProgress?.(done, total);
    if (rc === 0) return;
  }
}

async function destroyOnce(xch: XcInterface, domid: number): Promise<number> {
  const { hypervisor } = xch;
  using operand = hypervisor.arena.alloc(xen_domctl.size);
  beginDomctlAt(xch, operand.offset, 'xc_domain_destroy', XEN_DOMCTL_destroydomain, domid, 'writes');
  return await hypervisor.hypercallAsync(__HYPERVISOR_domctl, operand.address);
}

/** Pages that a domain has; 0 when it is gone. */
function pagesOf(xch: XcInterface, domid: number): number {
  try {
    return xc_domain_getinfo_single(xch, domid).tot_pages;
  } catch {
    return 0;
  }
}

/**
 * Makes the vCPUs of a new domain.
 *
 * @param max the number that the domain was created with
 * @throws XenError `EINVAL`: another number, or the domain is the caller. `ENOMEM`.
 */
export function xc_domain_max_vcpus(xch: XcInterface, domid: number, max: number): void {
  checkU32(max, 'max');
  const view = beginDomctl(xch, 'xc_domain_max_vcpus', XEN_DOMCTL_max_vcpus, domid, 'writes');
  view.setUint32(DOMCTL_U + xen_domctl_max_vcpus.at.max, max, true);
  issueDomctl(xch, 'xc_domain_max_vcpus', domid);
}

/** Gives a domain another UUID. */
export function xc_domain_sethandle(xch: XcInterface, domid: number, handle: string): void {
  checkUuid(handle, 'handle');
  beginDomctl(xch, 'xc_domain_sethandle', XEN_DOMCTL_setdomainhandle, domid, 'writes');
  xch.hypervisor.arena.bytes.set(parseUuid(handle), DOMCTL_U + xen_domctl_setdomainhandle.at.handle);
  issueDomctl(xch, 'xc_domain_sethandle', domid);
}

/**
 * Says what happens to a vCPU that runs into a forbidden page while nobody listens: required, the domain crashes; else
 * (the default) the page becomes accessible and the vCPU goes on.
 *
 * @throws XenError `EPERM`: the domain is the caller, or the caller is not privileged
 */
export function xc_domain_set_access_required(xch: XcInterface, domid: number, required: boolean): void {
  checkBoolean(required, 'required');
  const view = beginDomctl(xch, 'xc_domain_set_access_required', XEN_DOMCTL_set_access_required, domid, 'writes');
  view.setUint8(DOMCTL_U + xen_domctl_set_access_required.at.access_required, required ? 1 : 0);
  issueDomctl(xch, 'xc_domain_set_access_required', domid);
}
