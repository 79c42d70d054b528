import { errnoName } from '../abi/errno.js';

/** What went wrong besides the number. */
export interface XenErrorDetails {
  readonly domid?: number | undefined;
  /** What is missing and how to mend it, when that is known. */
  readonly hint?: string | undefined;
}

/** Xen, or the kernel on the way to it, refused a call. */
export class XenError extends Error {
  override readonly name = 'XenError';
  /** The errno's name, as Xen spells it: `'EINVAL'`. */
  readonly code: string;
  /** Negative errno, as Node counts: -22. */
  readonly errno: number;
  /** The libxc call that failed: `'xc_altp2m_set_visibility'`. */
  readonly syscall: string;
  readonly domid: number | undefined;
  readonly hint: string | undefined;

  /**
   * @param syscall the libxc name of the call
   * @param rc Xen's answer, a negative errno
   */
  constructor(syscall: string, rc: number, details: XenErrorDetails = {}) {
    const code = errnoName(rc);
    const target = details.domid === undefined ? '' : ` on domain ${details.domid}`;
    super(`${syscall}${target}: ${code}${details.hint ? `: ${details.hint}` : ''}`);
    this.code = code;
    this.errno = rc;
    this.syscall = syscall;
    this.domid = details.domid;
    this.hint = details.hint;
  }
}

/** No hypervisor can be reached the way it was asked for. The message says why and what mends it. */
export class BackendUnavailableError extends Error {
  override readonly name = 'BackendUnavailableError';
  readonly code = 'ERR_XENCTRL_BACKEND';
  readonly backend: string;

  constructor(backend: string, reason: string) {
    super(`backend ${backend}: ${reason}`);
    this.backend = backend;
  }
}
