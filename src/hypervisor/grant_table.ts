/** Grants of memory between domains: what Linux's `/dev/xen/gntdev` and `/dev/xen/gntalloc` do. */

import type { ForeignMapping } from './port.js';

/** Pages of the caller that another domain may map, until {@link close}. */
export interface GrantShare extends Disposable {
  readonly refs: readonly number[];
  readonly bytes: Uint8Array;
  /** Takes the grants back. Twice is harmless. */
  close(): void;
}

export interface GrantTable extends Disposable {
  /**
   * Maps pages that `domid` granted to the caller.
   *
   * @param prot PROT_READ, PROT_WRITE or both
   * @throws XenError when one of them could not be mapped
   */
  map(domid: number, refs: readonly number[], prot: number): ForeignMapping;
  /** Grants `domid` access to `count` fresh pages of the caller. @throws XenError */
  share(domid: number, count: number, writable: boolean): GrantShare;
  /** Twice is harmless. */
  close(): void;
}
