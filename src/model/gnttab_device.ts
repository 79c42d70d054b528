/**
 * dom0's kernel, as far as grants go: Linux's `/dev/xen/gntdev` (pages of others, mapped) and `/dev/xen/gntalloc` (pages
 * of its own, shared).
 */

import { errno } from '../abi/errno.js';
import { checkBoolean, checkCount, checkDomid, checkU32 } from '../hypervisor/check.js';
import { XenError } from '../hypervisor/error.js';
import type { GrantShare, GrantTable } from '../hypervisor/grant_table.js';
import { type ForeignMapping, PROT_WRITE } from '../hypervisor/port.js';
import type { Domain } from './domain.js';
import { shown } from './foreign_mapping.js';

/** Grants that the kernel itself keeps free of (`GNTTAB_NR_RESERVED_ENTRIES`). */
const RESERVED = 8;
/** Frames of dom0's, above its memory, that shared pages are at. */
const SHARED_FRAMES = 0x10_0000;

/** What the device needs of the machine. */
interface Machine {
  readonly dom0: Domain;
  readonly domains: ReadonlyMap<number, Domain>;
}

/** What can be closed, so that the device closes it. */
interface Open {
  close(): void;
}

export class OpenGnttab implements GrantTable {
  readonly #machine: Machine;
  readonly #open = new Set<Open>();
  #closed = false;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  map(domid: number, refs: readonly number[], prot: number): ForeignMapping {
    this.#checkOpen();
    checkDomid(domid);
    if (!Array.isArray(refs) || refs.length === 0) throw new RangeError('refs is empty: there is nothing to map');
    refs.forEach((ref, i) => {
      checkU32(ref, `refs[${i}]`);
    });
    const writes = (prot & PROT_WRITE) !== 0;
    const granter = this.#machine.domains.get(domid);
    const refuse = (rc: number): never => {
      throw new XenError('grantTable.map', rc, { domid });
    };
    if (!granter) return refuse(-errno.EINVAL); // the kernel's word for every status of Xen's
    const { dom0 } = this.#machine;
    const mfns = refs.map((ref) => {
      const grant = granter.grants.read(ref);
      if (!grant || grant.domid !== dom0.domid || (writes && grant.readonly)) return refuse(-errno.EINVAL);
      const entry = granter.find(grant.frame);
      return entry.present ? entry.mfn : refuse(-errno.EINVAL);
    });
    const mapping = shown(granter.host.memory, domid, mfns, new Int32Array(refs.length));
    for (const ref of refs) granter.grants.use(ref, writes, 1);
    let open = true;
    const handle: Open = {
      close: () => {
        if (!open) return;
        open = false;
        this.#open.delete(handle);
        mapping.close();
        for (const ref of refs) granter.grants.use(ref, writes, -1);
      },
    };
    this.#open.add(handle);
    return {
      get bytes(): Uint8Array {
        return mapping.bytes;
      },
      errors: mapping.errors,
      close: handle.close,
      [Symbol.dispose]: handle.close,
    };
  }

  share(domid: number, count: number, writable: boolean): GrantShare {
    this.#checkOpen();
    checkDomid(domid);
    checkCount(count, 'count');
    checkBoolean(writable, 'writable');
    if (count === 0) throw new RangeError('count is 0: there is nothing to share');
    const { dom0 } = this.#machine;
    const shares = Array.from({ length: count }, () => this.#grant(dom0, domid, writable));
    const mapping = shown(
      dom0.host.memory,
      dom0.domid,
      shares.map(({ mfn }) => mfn),
      new Int32Array(count),
    );
    let open = true;
    const handle: Open = {
      close: () => {
        if (!open) return;
        open = false;
        this.#open.delete(handle);
        mapping.close();
        // a grant that is still mapped is taken back later by the kernel; here it stays
        for (const { ref, gfn } of shares) {
          if (!dom0.grants.clear(ref)) continue;
          dom0.depopulate(gfn);
          dom0.maxPages--;
        }
      },
    };
    this.#open.add(handle);
    return {
      refs: shares.map(({ ref }) => ref),
      get bytes(): Uint8Array {
        return mapping.bytes;
      },
      close: handle.close,
      [Symbol.dispose]: handle.close,
    };
  }

  close(): void {
    this.#closed = true;
    for (const handle of this.#open) handle.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A fresh page of dom0's, granted. */
  #grant(dom0: Domain, domid: number, writable: boolean): { ref: number; gfn: number; mfn: number } {
    let ref = RESERVED;
    while (dom0.grants.read(ref)) ref++;
    const gfn = SHARED_FRAMES + ref;
    dom0.maxPages++;
    if (!dom0.grants.frame(Math.floor(ref / 512)) || !dom0.populate(gfn, 0)) {
      dom0.maxPages--;
      throw new XenError('grantTable.share', -errno.ENOSPC, { domid });
    }
    dom0.grants.write(ref, { domid, frame: gfn, readonly: !writable });
    return { ref, gfn, mfn: dom0.p2m.lookup(gfn).mfn };
  }

  #checkOpen(): void {
    if (this.#closed) throw new TypeError('this grant table is closed');
  }
}
