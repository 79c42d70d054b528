/** What mapping frames of another domain has in common, whoever makes the system calls. */

import { errno } from '../../abi/errno.js';
import { checkCount, checkDomid, checkU32 } from '../check.js';
import { XenError } from '../error.js';
import { type ForeignMapping, PROT_READ, PROT_WRITE } from '../port.js';

/** Pages of one mapping: 1 GiB. */
const MAX_PAGES = 1 << 18;

export function checkProt(prot: number): void {
  if (prot !== PROT_READ && prot !== PROT_WRITE && prot !== (PROT_READ | PROT_WRITE)) {
    throw new RangeError(`prot must be PROT_READ, PROT_WRITE or both, not ${String(prot)}`);
  }
}

/**
 * The last frame that a page table entry has room for. The kernel cuts larger numbers to these 40 bits and maps whatever
 * page that is; this one no domain can have.
 */
const LAST_FRAME = 2 ** 40 - 1;

/** Checks frame numbers and writes them as 64-bit words. */
export function encodeFrames(gfns: readonly number[]): BigUint64Array {
  const { length } = gfns;
  if (length < 1 || length > MAX_PAGES) throw new RangeError(`gfns must be 1 to ${MAX_PAGES} frames, not ${length}`);
  const words = new Uint32Array(length * 2);
  for (let i = 0; i < length; i++) {
    const gfn = gfns[i] as number;
    checkCount(gfn, `gfns[${i}]`);
    const sent = Math.min(gfn, LAST_FRAME);
    words[i * 2] = sent;
    words[i * 2 + 1] = sent / 0x1_0000_0000;
  }
  return new BigUint64Array(words.buffer);
}

/** Checks the arguments that name a resource. */
export function checkResource(domid: number, type: number, id: number): void {
  checkDomid(domid);
  checkU32(type, 'type');
  checkU32(id, 'id');
}

/** Checks which of its frames are wanted. */
export function checkResourceFrames(frame: number, count: number): void {
  checkU32(frame, 'frame');
  if (!Number.isInteger(count) || count < 1 || count > MAX_PAGES) {
    throw new RangeError(`count must be 1 to ${MAX_PAGES} frames, not ${String(count)}`);
  }
}

/** Explains why a resource could not be had. */
export function resourceError(syscall: string, rc: number, domid: number): XenError {
  const unknown = rc === -errno.ENOTTY || rc === -errno.ENOSYS || rc === -errno.EOPNOTSUPP;
  const hint = unknown ? 'this kernel, or this Xen, cannot map resources (Linux 4.18, Xen 4.11)' : undefined;
  return new XenError(syscall, rc, { domid, hint });
}

/** Checks the buffers of a device model operation. */
export function checkDmOp(domid: number, buffers: readonly Uint8Array[]): void {
  checkDomid(domid);
  if (!Array.isArray(buffers) || buffers.length === 0) {
    throw new TypeError('buffers must be an array, the operation itself its first');
  }
  for (let i = 0; i < buffers.length; i++) {
    const buffer = buffers[i];
    if (!(buffer instanceof Uint8Array)) throw new TypeError(`buffers[${i}] must be a Uint8Array`);
    if (buffer.length === 0) throw new RangeError(`buffers[${i}] is empty`);
  }
}

/** Mapped frames. Open as long as their memory is not detached, whether close() or the hypervisor's end did that. */
export class FrameMapping implements ForeignMapping {
  readonly errors: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #unmap: () => void;

  /** @param unmap detaches the memory under `bytes`, then unmaps it */
  constructor(bytes: Uint8Array, errors: Int32Array, unmap: () => void) {
    this.#bytes = bytes;
    this.errors = errors;
    this.#unmap = unmap;
  }

  get bytes(): Uint8Array {
    if (this.#bytes.length === 0) throw new TypeError('this mapping is closed');
    return this.#bytes;
  }

  close(): void {
    this.#unmap();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Closes the mapping again and throws when there is no such domain: then no page could be mapped. */
export function throwIfNone(mapping: ForeignMapping, domid: number): void {
  if (!mapping.errors.every((error) => error === -errno.ESRCH)) return;
  mapping.close();
  throw new XenError('mapForeign', -errno.ESRCH, { domid });
}
