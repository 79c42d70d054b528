/** The state of an HVM or PVH domain's processors and devices as one stream of records; libxc's `xc_domain.c`. */

import { xen_domctl_hvmcontext as context, XEN_DOMCTL_gethvmcontext, XEN_DOMCTL_sethvmcontext } from '../abi/domctl.js';
import { checkDomid, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, issueDomctl } from './privileged.js';

/**
 * Reads the state of a domain: records, each with a header of 8 bytes (`hvm_save_descriptor`), up to one of type END.
 * Asks for the size first, as libxc's callers do with a null buffer. The domain is paused while Xen writes.
 *
 * @throws XenError `EINVAL`: the domain is neither HVM nor PVH, or it is the caller. `ENOSPC`: a vCPU was brought up
 *   between the two calls. `ENOMEM`. `ESRCH`. `EPERM`.
 * @throws ArenaFullError the state is larger than the memory shared with Xen
 */
export function xc_domain_hvm_getcontext(xch: XcInterface, domid: number): Uint8Array {
  const call = 'xc_domain_hvm_getcontext';
  let view = beginDomctl(xch, call, XEN_DOMCTL_gethvmcontext, domid, 'reads');
  issueDomctl(xch, call, domid);
  const size = view.getUint32(DOMCTL_U + context.at.size, true);
  using buffer = xch.hypervisor.arena.alloc(size);
  view = beginDomctl(xch, call, XEN_DOMCTL_gethvmcontext, domid, 'reads');
  view.setUint32(DOMCTL_U + context.at.size, size, true);
  putU64(view, DOMCTL_U + context.at.buffer, buffer.address);
  issueDomctl(xch, call, domid);
  return buffer.bytes.slice(0, Math.min(size, view.getUint32(DOMCTL_U + context.at.size, true)));
}

/**
 * Writes the state of a domain, as {@link xc_domain_hvm_getcontext} gave it.
 *
 * @throws XenError `EINVAL`: the domain is neither HVM nor PVH, or it is the caller, or a record is not accepted; what
 *   came before that record is in force. `ENOENT`, `ENODATA`: the stream is broken. `ENOMEM`. `ESRCH`. `EPERM`.
 * @throws ArenaFullError the state is larger than the memory shared with Xen
 */
export function xc_domain_hvm_setcontext(xch: XcInterface, domid: number, ctxt_buf: Uint8Array): void {
  const call = 'xc_domain_hvm_setcontext';
  checkDomid(domid);
  if (!(ctxt_buf instanceof Uint8Array)) throw new TypeError('ctxt_buf must be a Uint8Array');
  using buffer = xch.hypervisor.arena.alloc(ctxt_buf.length);
  buffer.bytes.set(ctxt_buf);
  const view = beginDomctl(xch, call, XEN_DOMCTL_sethvmcontext, domid, 'writes');
  view.setUint32(DOMCTL_U + context.at.size, ctxt_buf.length, true);
  putU64(view, DOMCTL_U + context.at.buffer, buffer.address);
  issueDomctl(xch, call, domid);
}
