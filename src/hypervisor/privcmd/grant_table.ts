/** Grants through Linux's `/dev/xen/gntdev` and `/dev/xen/gntalloc` and the native addon. */

import { errno, errnoName } from '../../abi/errno.js';
import type { NativeGrants, NativeMapping } from '../../native/addon.js';
import { checkBoolean, checkDomid, checkU32 } from '../check.js';
import { XenError } from '../error.js';
import type { GrantShare, GrantTable } from '../grant_table.js';
import type { ForeignMapping } from '../port.js';
import { refusal } from './device.js';
import { checkProt, FrameMapping } from './frames.js';

export const GNTDEV_NODE = '/dev/xen/gntdev';
export const GNTALLOC_NODE = '/dev/xen/gntalloc';

/** Pages of one mapping, or of one share. */
const MAX_PAGES = 1024;

export class PrivcmdGrantTable implements GrantTable {
  readonly #native: NativeGrants;
  readonly #closing: () => void;
  #closed = false;

  /** @param closing called when it closes */
  constructor(native: NativeGrants, closing: () => void) {
    this.#native = native;
    this.#closing = closing;
  }

  map(domid: number, refs: readonly number[], prot: number): ForeignMapping {
    checkDomid(domid);
    const words = checkedRefs(refs);
    checkProt(prot);
    const mapped = this.#open.map(domid, words, prot);
    if (typeof mapped === 'number') throw mapError(mapped, domid);
    return this.#mapping(mapped, refs.length);
  }

  share(domid: number, count: number, writable: boolean): GrantShare {
    checkDomid(domid);
    checkShareCount(count);
    checkBoolean(writable, 'writable');
    const refs = new Uint32Array(count);
    const mapped = this.#open.share(domid, writable, refs);
    if (typeof mapped === 'number') throw shareError(mapped, domid);
    return new MappedShare(this.#mapping(mapped, count), refs);
  }

  #mapping({ id, buffer }: NativeMapping, count: number): FrameMapping {
    return new FrameMapping(new Uint8Array(buffer), new Int32Array(count), () => this.#native.unmap(id));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#native.close();
    this.#closing();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #open(): NativeGrants {
    if (this.#closed) throw new TypeError('this grant table is closed');
    return this.#native;
  }
}

/** Pages that are shared: mapped here, and known elsewhere by their references. */
export class MappedShare implements GrantShare {
  readonly refs: readonly number[];
  readonly #mapping: ForeignMapping;

  constructor(mapping: ForeignMapping, refs: Uint32Array) {
    this.#mapping = mapping;
    this.refs = Array.from(refs);
  }

  get bytes(): Uint8Array {
    return this.#mapping.bytes;
  }

  close(): void {
    this.#mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Checks grant references and writes them as 32-bit words. */
export function checkedRefs(refs: readonly number[]): Uint32Array {
  if (!Array.isArray(refs)) throw new TypeError('refs must be an array of grant references');
  const { length } = refs;
  if (length < 1 || length > MAX_PAGES)
    throw new RangeError(`refs must be 1 to ${MAX_PAGES} references, not ${length}`);
  return Uint32Array.from({ length }, (_, i) => {
    checkU32(refs[i] as number, `refs[${i}]`);
    return refs[i] as number;
  });
}

export function checkShareCount(count: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= MAX_PAGES) return;
  throw new RangeError(`count must be 1 to ${MAX_PAGES} pages, not ${String(count)}`);
}

/** Explains why granted pages could not be mapped. */
export function mapError(rc: number, domid: number): XenError {
  const hint =
    deviceHint(GNTDEV_NODE, rc) ??
    (rc === -errno.EINVAL ? 'one of the references is not granted to this domain, or not for writing' : undefined);
  return new XenError('grantTable.map', rc, { domid, hint });
}

/** Explains why pages could not be shared. */
export function shareError(rc: number, domid: number): XenError {
  const full = rc === -errno.ENOSPC ? "gntalloc's limit is reached (module parameter limit, 1024 pages)" : undefined;
  return new XenError('grantTable.share', rc, { domid, hint: deviceHint(GNTALLOC_NODE, rc) ?? full });
}

function deviceHint(node: string, rc: number): string | undefined {
  const device = rc === -errno.ENOENT || rc === -errno.EACCES || rc === -errno.ENODEV || rc === -errno.ENXIO;
  return device ? refusal(node, errnoName(rc)) : undefined;
}
