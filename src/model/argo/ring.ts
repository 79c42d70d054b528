/** A registered ring as Xen sees it: its pages, its pointers, who waits for room in it (`common/argo.c`). */

import {
  XEN_ARGO_DOMID_ANY,
  XEN_ARGO_MAX_RING_SIZE,
  XEN_ARGO_MSG_SLOT_SIZE,
  xen_argo_ring,
  xen_argo_ring_message_header,
} from '../../abi/argo.js';
import { errno } from '../../abi/errno.js';
import { PAGE_SHIFT, PAGE_SIZE } from '../../abi/xen.js';
import type { Caller } from '../caller.js';
import type { Domain } from '../domain.js';
import type { MachineMemory } from '../machine_memory.js';
import { inPvRange } from './caller_range.js';

const HEADER = xen_argo_ring_message_header;
const SLOT = XEN_ARGO_MSG_SLOT_SIZE;
/** Most domains that can wait for room in one ring (MAX_PENDING_PER_RING). */
export const MAX_WAITERS = 32;
/** A ring holds a header, a slot of payload and the slot that tells a full ring from an empty one. */
export const MIN_RING_SIZE = HEADER.size + 2 * SLOT;
/** Most bytes that any message can have (MAX_ARGO_MESSAGE_SIZE). */
export const MAX_MESSAGE_SIZE = XEN_ARGO_MAX_RING_SIZE - HEADER.size - SLOT;

/** Rounds up to a whole slot, in 32 bits as Xen does: the last 15 numbers become 0. */
export function roundUp(bytes: number): number {
  return ((bytes + (SLOT - 1)) & -SLOT) >>> 0;
}

/** Pages that a ring with so many bytes of data needs. */
export function pagesOf(len: number): number {
  return Math.ceil((roundUp(len) + xen_argo_ring.size) / PAGE_SIZE);
}

/** One piece of a message in its sender's memory. */
export interface Iov {
  address: number;
  len: number;
  pad: number;
}

/** A saved {@link ArgoRing}: plain JSON. */
export interface ArgoRingState {
  readonly aport: number;
  readonly partner: number;
  readonly len: number;
  readonly tx: number;
  readonly mfns: readonly number[];
  readonly waiters: readonly (readonly [domid: number, len: number])[];
}

export class ArgoRing {
  readonly owner: Domain;
  readonly aport: number;
  /** The only domain that may send to it, or XEN_ARGO_DOMID_ANY. */
  readonly partner: number;
  /** Bytes of data. */
  readonly len: number;
  /** Xen's own tx_ptr; the one in the page is written, and read at registration only. */
  tx = 0;
  /** Domains to be signalled when so many bytes of payload fit, by domain id. */
  readonly waiters = new Map<number, number>();
  readonly #memory: MachineMemory;
  #mfns: readonly number[] = [];

  constructor(owner: Domain, aport: number, partner: number, len: number) {
    this.owner = owner;
    this.#memory = owner.host.memory;
    this.aport = aport;
    this.partner = partner;
    this.len = len;
  }

  get shared(): boolean {
    return this.partner === XEN_ARGO_DOMID_ANY;
  }

  /** Most bytes of payload that fit when the ring is empty. */
  get maxMessageSize(): number {
    return this.len - HEADER.size - SLOT;
  }

  /** Takes these frames for its pages. Xen holds them: what the owner gives up of them is not free before the ring is. */
  attach(mfns: readonly number[]): void {
    for (const mfn of mfns) this.#memory.hold(this.owner.domid, mfn);
    this.detach();
    this.#mfns = mfns;
  }

  /** Gives the frames back. */
  detach(): void {
    for (const mfn of this.#mfns) this.#memory.letGo(mfn);
    this.#mfns = [];
  }

  /**
   * Starts with the tx_ptr in the page. One that is beyond the end or between slots is replaced by rx_ptr, so that the
   * ring counts as empty, and written to the page.
   */
  adoptTx(): void {
    const tx = this.#word(xen_argo_ring.at.tx_ptr);
    if (tx < this.len && roundUp(tx) === tx) this.tx = tx;
    else this.#publishTx(this.#sanitisedRx());
  }

  /** Bytes of payload that fit now (`ringbuf_payload_space`). */
  payloadSpace(): number {
    return Math.max(0, this.#free() - HEADER.size - SLOT);
  }

  /**
   * Puts a message in (`ringbuf_insert`). A payload that cannot be read leaves what was copied before it beyond tx_ptr,
   * where no reader looks.
   *
   * @param len sum of the pieces' lengths
   * @returns 0; -EMSGSIZE: it would not even fit into the empty ring; -EAGAIN: no room now; -EFAULT: a piece is not there
   */
  insert(from: Caller, sourcePort: number, type: number, iovs: readonly Iov[], niov: number, len: number): number {
    const needed = HEADER.size + roundUp(len);
    if (this.len <= needed) return -errno.EMSGSIZE;
    if (needed >= this.#free()) return -errno.EAGAIN;
    // slots do not cross pages, nor the ring's end
    const page = this.#page((this.tx + xen_argo_ring.size) >>> PAGE_SHIFT);
    const at = (this.tx + xen_argo_ring.size) % PAGE_SIZE;
    putU32(page, at + HEADER.at.len, HEADER.size + len);
    putU32(page, at + HEADER.at.source, sourcePort);
    putU32(page, at + HEADER.at.source + 4, from.domain.domid); // and the pad
    putU32(page, at + HEADER.at.message_type, type);
    let tx = this.#wrapped(this.tx + HEADER.size);
    for (let i = 0; i < niov; i++) {
      const iov = iovs[i];
      if (!iov || iov.len === 0) continue;
      if (!from.domain.isHvm && !inPvRange(iov.address)) return -errno.EFAULT;
      const tail = Math.min(iov.len, this.len - tx);
      if (!this.#copyIn(from, tx, iov.address, tail)) return -errno.EFAULT;
      if (!this.#copyIn(from, 0, iov.address + tail, iov.len - tail)) return -errno.EFAULT;
      tx = this.#wrapped(tx + iov.len);
    }
    this.#publishTx(this.#wrapped(roundUp(tx)));
    return 0;
  }

  /**
   * Notes that a domain waits for room. The larger of two lengths that it waits for is kept (`pending_requeue`).
   *
   * @returns 0, or -EBUSY: too many others wait
   */
  wait(domid: number, len: number): number {
    const waitsFor = this.waiters.get(domid);
    if (waitsFor === undefined && this.waiters.size >= MAX_WAITERS) return -errno.EBUSY;
    this.waiters.set(domid, Math.max(len, waitsFor ?? 0));
    return 0;
  }

  save(): ArgoRingState {
    const { aport, partner, len, tx } = this;
    return { aport, partner, len, tx, mfns: this.#mfns, waiters: [...this.waiters] };
  }

  static restore(owner: Domain, state: ArgoRingState): ArgoRing {
    const ring = new ArgoRing(owner, state.aport, state.partner, state.len);
    ring.attach(state.mfns);
    ring.tx = state.tx;
    for (const [domid, len] of state.waiters) ring.waiters.set(domid, len);
    return ring;
  }

  /** Bytes from tx_ptr to rx_ptr. Equal pointers mean that it is empty. */
  #free(): number {
    const free = this.#sanitisedRx() - this.tx;
    return free > 0 ? free : free + this.len;
  }

  /** rx_ptr is the owner's to write: whatever it holds becomes a slot of the ring. */
  #sanitisedRx(): number {
    const rx = roundUp(this.#word(xen_argo_ring.at.rx_ptr));
    return rx < this.len ? rx : 0;
  }

  #publishTx(tx: number): void {
    this.tx = tx;
    putU32(this.#page(0), xen_argo_ring.at.tx_ptr, tx);
  }

  #wrapped(offset: number): number {
    return offset >= this.len ? offset - this.len : offset;
  }

  /**
   * Copies from the sender to `offset` of the data, page by page of the ring. Of a piece that ends in a hole the part
   * before the hole is copied; a PV sender's piece is filled up with zeroes.
   */
  #copyIn(from: Caller, offset: number, address: number, length: number): boolean {
    for (let done = 0; done < length; ) {
      const at = offset + done + xen_argo_ring.size;
      const start = at % PAGE_SIZE;
      const piece = Math.min(PAGE_SIZE - start, length - done);
      const target = this.#page(at >>> PAGE_SHIFT).subarray(start, start + piece);
      const copied = from.memory.readSome(address + done, target);
      if (copied < piece) {
        if (!from.domain.isHvm) target.fill(0, copied);
        return false;
      }
      done += piece;
    }
    return true;
  }

  #word(at: number): number {
    return getU32(this.#page(0), at);
  }

  #page(index: number): Uint8Array {
    const mfn = this.#mfns[index];
    if (mfn === undefined) throw new RangeError(`an Argo ring of ${this.#mfns.length} pages has no page ${index}`);
    return this.#memory.page(this.owner.domid, mfn);
  }
}

/** Pages are bytes: a view of each for a word now and then would cost more than the word. */
function putU32(page: Uint8Array, at: number, value: number): void {
  page[at] = value;
  page[at + 1] = value >>> 8;
  page[at + 2] = value >>> 16;
  page[at + 3] = value >>> 24;
}

function getU32(page: Uint8Array, at: number): number {
  const high = ((page[at + 3] ?? 0) << 8) | (page[at + 2] ?? 0);
  return ((high << 16) | ((page[at + 1] ?? 0) << 8) | (page[at] ?? 0)) >>> 0;
}
