/** Grants through the distribution's libxengnttab. */

import { errno } from '../../abi/errno.js';
import { checkBoolean, checkDomid } from '../check.js';
import { XenError } from '../error.js';
import type { GrantShare, GrantTable } from '../grant_table.js';
import type { ForeignMapping } from '../port.js';
import { checkProt, FrameMapping } from '../privcmd/frames.js';
import { checkedRefs, checkShareCount, MappedShare, mapError, shareError } from '../privcmd/grant_table.js';
import { detach } from './detach.js';
import type { GnttabFunctions, Libraries } from './libraries.js';

const PAGE_SIZE = 4096;

export class LibxenGrantTable implements GrantTable {
  readonly #libraries: Libraries;
  readonly #lib: GnttabFunctions;
  readonly #closing: () => void;
  /** What unmaps the pages that are mapped. */
  readonly #mapped = new Set<() => void>();
  /** Handles of the library's two halves, opened when they are first needed. */
  #gnttab = 0;
  #gntshr = 0;
  #closed = false;

  /**
   * @param closing called when it closes
   * @throws XenError EOPNOTSUPP: ffi-napi cannot show memory at an address that it has shown before, and this library
   *   takes no wish where to map
   */
  constructor(libraries: Libraries, lib: GnttabFunctions, closing: () => void) {
    if (!libraries.ffi.showsAgain) {
      const hint = `by ${libraries.ffi.name} the libxen backend cannot map grants: install koffi, or use the privcmd backend`;
      throw new XenError('grantTable', -errno.EOPNOTSUPP, { hint });
    }
    this.#libraries = libraries;
    this.#lib = lib;
    this.#closing = closing;
  }

  map(domid: number, refs: readonly number[], prot: number): ForeignMapping {
    this.#checkOpen();
    checkDomid(domid);
    const words = checkedRefs(refs);
    checkProt(prot);
    const lib = this.#lib;
    if (this.#gnttab === 0) this.#gnttab = Number(lib.xengnttab_open(0, 0));
    if (this.#gnttab === 0) throw mapError(this.#lastError(), domid);
    const address = Number(lib.xengnttab_map_domain_grant_refs(this.#gnttab, refs.length, domid, words, prot));
    if (address === 0) throw mapError(this.#lastError(), domid);
    return this.#mapping(address, refs.length, () => lib.xengnttab_unmap(this.#gnttab, address, refs.length));
  }

  share(domid: number, count: number, writable: boolean): GrantShare {
    this.#checkOpen();
    checkDomid(domid);
    checkShareCount(count);
    checkBoolean(writable, 'writable');
    const lib = this.#lib;
    const refs = new Uint32Array(count);
    if (this.#gntshr === 0) this.#gntshr = Number(lib.xengntshr_open(0, 0));
    if (this.#gntshr === 0) throw shareError(this.#lastError(), domid);
    const address = Number(lib.xengntshr_share_pages(this.#gntshr, domid, count, refs, writable ? 1 : 0));
    if (address === 0) throw shareError(this.#lastError(), domid);
    const mapping = this.#mapping(address, count, () => lib.xengntshr_unshare(this.#gntshr, address, count));
    return new MappedShare(mapping, refs);
  }

  #mapping(address: number, count: number, unmap: () => void): FrameMapping {
    const bytes = this.#libraries.ffi.view(address, count * PAGE_SIZE);
    const once = (): void => {
      if (!this.#mapped.delete(once)) return;
      detach(bytes.buffer as ArrayBuffer);
      unmap();
    };
    this.#mapped.add(once);
    return new FrameMapping(bytes, new Int32Array(count), once);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const unmap of [...this.#mapped]) unmap();
    if (this.#gnttab !== 0) this.#lib.xengnttab_close(this.#gnttab);
    if (this.#gntshr !== 0) this.#lib.xengntshr_close(this.#gntshr);
    this.#closing();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #lastError(): number {
    return -(this.#libraries.errno[0] as number);
  }

  #checkOpen(): void {
    if (this.#closed) throw new TypeError('this grant table is closed');
  }
}
