/** The state of an HVM or PVH domain's processors and devices as one stream of records; libxc's `xc_domain.c`. */

import {
  xen_domctl_hvmcontext as context,
  xen_domctl_hvmcontext_partial as partial,
  XEN_DOMCTL_gethvmcontext,
  XEN_DOMCTL_gethvmcontext_partial,
  XEN_DOMCTL_sethvmcontext,
} from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import { checkDomid, checkU16, getU64, putU64 } from '../hypervisor/check.js';
import type { XcInterface } from './interface.js';
import { beginDomctl, DOMCTL_U, domctl, issueDomctl, privilegedError, requireOpen } from './privileged.js';

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

/** Most records are smaller; for one that is larger Xen is asked how large. */
const PARTIAL_ROOM = 4096;

/**
 * Reads one record of a domain's state, without the header. The domain is paused while Xen writes it. C's `size` is not
 * needed: the record has the length that it has.
 *
 * @param typecode `HVM_SAVE_CODE_*`: 2 is a vCPU's registers, `hvm_hw_cpu`
 * @param instance the vCPU, where there is a record for each
 * @throws XenError `EINVAL`: the domain is neither HVM nor PVH, or it is the caller, or there is no such type. `ENOENT`:
 *   there is no such instance. `ENODATA`: the vCPU is down. `ENOMEM`. `ESRCH`. `EPERM`.
 */
export function xc_domain_hvm_getcontext_partial(
  xch: XcInterface,
  domid: number,
  typecode: number,
  instance: number,
): Uint8Array {
  checkDomid(domid);
  checkU16(typecode, 'typecode');
  checkU16(instance, 'instance');
  requireOpen(xch);
  return (
    getPartial(xch, domid, typecode, instance, PARTIAL_ROOM) ??
    getPartial(xch, domid, typecode, instance, partialSize(xch, domid, typecode, instance)) ??
    failPartial(xch, domid, -errno.ENOBUFS)
  );
}

const PARTIAL = 'xc_domain_hvm_getcontext_partial';

/** The record, or null when there is not enough room for it. */
function getPartial(
  xch: XcInterface,
  domid: number,
  typecode: number,
  instance: number,
  room: number,
): Uint8Array | null {
  using buffer = xch.hypervisor.arena.alloc(room);
  const view = beginPartial(xch, domid, typecode, instance);
  putU64(view, DOMCTL_U + partial.at.bufsz, room);
  putU64(view, DOMCTL_U + partial.at.buffer, buffer.address);
  const rc = domctl(xch);
  if (rc === -errno.ENOBUFS) return null;
  if (rc < 0) failPartial(xch, domid, rc);
  return buffer.bytes.slice(0, Math.min(room, getU64(view, DOMCTL_U + partial.at.bufsz)));
}

function partialSize(xch: XcInterface, domid: number, typecode: number, instance: number): number {
  const view = beginPartial(xch, domid, typecode, instance);
  const rc = domctl(xch);
  if (rc < 0) failPartial(xch, domid, rc);
  return getU64(view, DOMCTL_U + partial.at.bufsz);
}

function beginPartial(xch: XcInterface, domid: number, typecode: number, instance: number): DataView {
  const view = beginDomctl(xch, PARTIAL, XEN_DOMCTL_gethvmcontext_partial, domid, 'writes');
  view.setUint32(DOMCTL_U + partial.at.type, typecode, true);
  view.setUint32(DOMCTL_U + partial.at.instance, instance, true);
  return view;
}

function failPartial(xch: XcInterface, domid: number, rc: number): never {
  throw privilegedError(xch, 'domctl', PARTIAL, rc, domid);
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
