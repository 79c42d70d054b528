/**
 * Domain ids are used again: after a reboot of the guest, or 32,751 domains later, an id means another domain. The handle
 * (the UUID) that the domain was created with tells.
 *
 * Xen has no call that takes both, so the check is a call of its own, made right before the one that it protects: it
 * costs about as much as that one (one domctl, 36 bytes compared). It narrows the window to the few microseconds between
 * the two and cannot close it.
 */

import { XEN_DOMCTL_getdomaininfo, xen_domctl_getdomaininfo } from '../abi/domctl.js';
import { errno } from '../abi/errno.js';
import { XenError } from '../hypervisor/error.js';
import type { XcInterface } from '../xc/interface.js';
import { beginDomctl, DOMCTL_U, domctl, privilegedError } from '../xc/privileged.js';
import { formatUuid, parseUuid } from '../xc/uuid.js';

export class Identity {
  readonly xch: XcInterface;
  readonly domid: number;
  /** For how many milliseconds a check is good. */
  readonly #trustFor: number;
  /** Where the answer has the id and the handle, for the running release. */
  readonly #idAt: number;
  readonly #handleAt: number;
  #uuid: string;
  /** The handle as four words, which compare fast. */
  #handle: DataView;
  #checkedAt = Number.NEGATIVE_INFINITY;

  constructor(xch: XcInterface, domid: number, uuid: string, trustFor: number) {
    const { at } = xen_domctl_getdomaininfo.for(xch.abi.release);
    this.xch = xch;
    this.domid = domid;
    this.#trustFor = trustFor;
    this.#idAt = DOMCTL_U + (at.domain as number);
    this.#handleAt = DOMCTL_U + (at.handle as number);
    this.#uuid = uuid;
    this.#handle = handleOf(uuid);
  }

  get uuid(): string {
    return this.#uuid;
  }

  /** The domain was given another handle by this process. */
  rename(uuid: string): void {
    this.#uuid = uuid;
    this.#handle = handleOf(uuid);
  }

  /**
   * Makes sure that the id still means the same domain.
   *
   * @param syscall the call that is to follow, for the error
   * @throws XenError `ESRCH`: the domain is gone; the hint tells when another has its id now
   */
  check(syscall: string): void {
    if (this.#trustFor > 0 && performance.now() - this.#checkedAt < this.#trustFor) return;
    this.checkNow(syscall);
  }

  /** As {@link check}, however fresh the last one is. */
  checkNow(syscall: string): void {
    const { xch, domid } = this;
    const view = beginDomctl(xch, 'xc_domain_getinfo_single', XEN_DOMCTL_getdomaininfo, domid, 'reads');
    const rc = domctl(xch);
    if (rc < 0) {
      if (rc === -errno.ESRCH) throw gone(syscall, domid, 'the domain is gone');
      throw privilegedError(xch, 'domctl', 'xc_domain_getinfo_single', rc, domid);
    }
    // up to 4.17 Xen answers for a missing id with the next domain
    if (view.getUint16(this.#idAt, true) !== domid) throw gone(syscall, domid, 'the domain is gone');
    if (!this.#isSame(view)) {
      const now = formatUuid(xch.hypervisor.arena.bytes.subarray(this.#handleAt, this.#handleAt + 16));
      throw gone(syscall, domid, `the domain that was meant (${this.#uuid}) is gone: this id is now that of ${now}`);
    }
    if (this.#trustFor > 0) this.#checkedAt = performance.now();
  }

  #isSame(view: DataView): boolean {
    const own = this.#handle;
    const at = this.#handleAt;
    return (
      own.getInt32(0) === view.getInt32(at) &&
      own.getInt32(4) === view.getInt32(at + 4) &&
      own.getInt32(8) === view.getInt32(at + 8) &&
      own.getInt32(12) === view.getInt32(at + 12)
    );
  }
}

function handleOf(uuid: string): DataView {
  return new DataView(Uint8Array.from(parseUuid(uuid)).buffer);
}

function gone(syscall: string, domid: number, hint: string): XenError {
  return new XenError(syscall, -errno.ESRCH, { domid, hint });
}

/** The error for a UUID that no domain has. */
export function noSuchDomain(uuid: string): XenError {
  return new XenError('xc_domain_getinfolist', -errno.ESRCH, { hint: `no domain has the UUID ${uuid}` });
}

/** True for an error of Xen with this code. */
export function isXenError(error: unknown, code: string): error is XenError {
  return error instanceof XenError && error.code === code;
}
