/** A registered ring: whose it is, where its pages are, and how bytes get into them. */

import {
  V4V_ROUNDUP,
  v4v_ring,
  v4v_ring_message_header,
  v4vFreeSpace,
  v4vMaxMessage,
  v4vPointerIsSound,
} from '../../abi/v4v.js';
import { PAGE_SIZE } from '../../abi/xen.js';
import type { Domain } from '../domain.js';
import type { Posted } from './as_posted.js';
import type { OnFetch } from './fetch.js';

const RX_PTR = v4v_ring.at.rx_ptr;
const TX_PTR = v4v_ring.at.tx_ptr;
const DATA = v4v_ring.size;
const HEADER = v4v_ring_message_header.size;
const M = v4v_ring_message_header.at;

/** Frames of a ring. The slots of those that are not there (yet) hold {@link INVALID_MFN}. */
export const INVALID_MFN = -1;

export class V4vRing {
  readonly domain: Domain;
  readonly port: number;
  /** Whose messages arrive here; V4V_DOMID_ANY: everybody's. */
  readonly partner: number;
  /** Bytes of the data area. */
  readonly len: number;
  /** Where Xen writes next. The word in the ring is what Xen tells the owner; it is never read again. */
  txPtr: number;
  /** Domains that wait for room, and for how many bytes of payload each. */
  readonly waiters = new Map<number, number>();
  readonly #mfns: readonly number[];
  readonly #posted: Posted;
  readonly #onFetch: OnFetch | null;
  /** The header's words in the page that they were in last. */
  #words: Int32Array;
  #headerPage: Uint8Array;

  /** @param mfns frames that Xen holds references to (`MachineMemory.hold`) */
  constructor(
    domain: Domain,
    id: { readonly port: number; readonly partner: number; readonly len: number; readonly txPtr: number },
    mfns: readonly number[],
    posted: Posted,
    onFetch: OnFetch | null,
  ) {
    this.domain = domain;
    this.port = id.port;
    this.partner = id.partner;
    this.len = id.len;
    this.txPtr = id.txPtr;
    this.#mfns = mfns;
    this.#posted = posted;
    this.#onFetch = onFetch;
    this.#headerPage = this.#page(0);
    this.#words = headerWords(this.#headerPage);
  }

  get pages(): number {
    return this.#mfns.length;
  }

  /** Lets go of the frames, and of who waited. */
  release(): void {
    this.waiters.clear();
    releaseFrames(this.domain, this.#mfns, this.#posted);
  }

  /** Largest payload that this ring can ever hold. */
  get maxMessage(): number {
    return v4vMaxMessage(this.len);
  }

  /** Whether a message can start now that takes `space` bytes, header and padding included. */
  hasRoom(space: number): boolean {
    const rx = this.#readRx();
    if (rx === this.txPtr) return space < this.len;
    if (!this.#posted[9]) return v4vPointerIsSound(rx, this.len) && space < v4vFreeSpace(this.len, rx, this.txPtr);
    return space < this.#postedSpace(rx) >>> 0;
  }

  /** Payload of the largest message that would fit now; -1: not even an empty one. No rx_ptr that can be one: no room. */
  payloadSpace(): number {
    const rx = this.#readRx();
    if (rx === this.txPtr) return this.#posted.d ? this.len - HEADER : this.maxMessage;
    if (!this.#posted[9]) {
      if (!v4vPointerIsSound(rx, this.len)) return -1;
      return Math.max(-1, v4vMaxMessage(v4vFreeSpace(this.len, rx, this.txPtr)));
    }
    return Math.max(0, this.#postedSpace(rx) - 2 * HEADER);
  }

  /** As posted: 32-bit arithmetic on whatever rx_ptr holds. */
  #postedSpace(rx: number): number {
    const space = (rx - this.txPtr) | 0;
    return space < 0 ? (space + this.len) | 0 : space;
  }

  /** One atomic read of the one word that the owner shares with Xen. */
  #readRx(): number {
    const words = this.#header();
    if (this.#posted[10]) this.#onFetch?.(this.domain.domid, 'ring', 0, v4v_ring.size);
    else if (this.#posted[7]) return this.#tornRx(words);
    else this.#onFetch?.(this.domain.domid, 'ring', RX_PTR, 4);
    return Atomics.load(words, RX_PTR / 4) >>> 0;
  }

  /** As posted: a plain load, which may come in two halves with a write of the owner in between. */
  #tornRx(words: Int32Array): number {
    const low = (words[RX_PTR / 4] as number) & 0xffff;
    this.#onFetch?.(this.domain.domid, 'ring', RX_PTR, 2);
    const high = (words[RX_PTR / 4] as number) >>> 16;
    this.#onFetch?.(this.domain.domid, 'ring', RX_PTR + 2, 2);
    return high * 0x1_0000 + low;
  }

  /** Tells the owner how far the messages reach. All stores before this one are visible to who sees it. */
  publish(txPtr: number): void {
    this.txPtr = txPtr;
    Atomics.store(this.#header(), TX_PTR / 4, txPtr);
  }

  #header(): Int32Array {
    const page = this.#page(0);
    if (page !== this.#headerPage) {
      this.#headerPage = page;
      this.#words = headerWords(page);
    }
    return this.#words;
  }

  #page(index: number): Uint8Array {
    return this.domain.host.memory.page(this.domain.domid, this.#mfns[index] as number);
  }

  /**
   * Writes a message's header at `at`, an offset in the data area. It never wraps.
   *
   * @returns the offset behind it; -1: (as posted) the ring has fewer pages than it says
   */
  writeHeader(at: number, len: number, messageType: number, port: number, domid: number): number {
    const offset = DATA + at;
    const index = Math.floor(offset / PAGE_SIZE);
    if (index >= this.#mfns.length) return -1;
    const page = this.#page(index);
    const start = offset % PAGE_SIZE;
    put32(page, start + M.len, len);
    put32(page, start + M.message_type, messageType);
    put32(page, start + M.source, port);
    put32(page, start + M.source + 4, domid);
    return this.#wrap(at + HEADER);
  }

  /**
   * Fills `length` bytes from `at` on, wrapping at the ring's end, from wherever `read` gets them.
   *
   * @param read copies from an offset of the source; false ends it
   * @returns the offset behind them; -1: the source ended, or (as posted) the ring did
   */
  fill(at: number, length: number, read: (target: Uint8Array, from: number) => boolean): number {
    for (let done = 0; done < length; ) {
      // up to the end of the page, of the ring and of the piece
      const offset = DATA + at;
      const index = Math.floor(offset / PAGE_SIZE);
      if (index >= this.#mfns.length) return -1;
      const start = offset % PAGE_SIZE;
      const count = Math.min(PAGE_SIZE - start, this.len - at, length - done);
      if (!read(this.#page(index).subarray(start, start + count), done)) return -1;
      done += count;
      at = this.#wrap(at + count);
    }
    return at;
  }

  /** Where the next message starts after bytes that end at `at`. */
  nextSlot(at: number): number {
    return this.#wrap(V4V_ROUNDUP(at));
  }

  #wrap(at: number): number {
    return at >= this.len ? at - this.len : at;
  }
}

/** Gives frames back that were held for a ring. */
export function releaseFrames(domain: Domain, mfns: readonly number[], posted: Posted): void {
  const { memory } = domain.host;
  for (const mfn of mfns) {
    // as posted, an empty slot was 0: a frame with that number was never given back
    if (mfn === INVALID_MFN || (posted[15] && mfn === 0)) continue;
    memory.letGo(mfn);
  }
}

function headerWords(page: Uint8Array): Int32Array {
  return new Int32Array(page.buffer, page.byteOffset, v4v_ring.size / 4);
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
