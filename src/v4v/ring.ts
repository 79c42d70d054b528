/**
 * V4V rings in any memory: the writer (what Xen does when a domain sends) and the reader (what the owner does). Either end
 * may be hostile to the other: neither believes a word that the other can write, and each is read once.
 *
 * One writer and one reader can use a ring at the same time from different threads, over a SharedArrayBuffer.
 */

import {
  V4V_DOMID_ANY,
  V4V_MESSAGE_DGRAM,
  V4V_MIN_RING_LEN,
  V4V_RING_MAGIC,
  V4V_ROUNDUP,
  v4v_ring,
  v4v_ring_message_header,
  v4vFreeSpace,
  v4vMaxMessage,
  v4vMessageSpace,
  v4vPointerIsSound,
} from '../abi/v4v.js';
import type { V4vAddr } from '../abi/v4v_rules.js';

const HEADER = v4v_ring_message_header.size;

/** Where the parts of a ring and of a message's header are: 32-bit words. The length is a message's first in any layout. */
export interface RingLayout {
  readonly rxPtr: number;
  readonly txPtr: number;
  readonly messageType: number;
  readonly sourcePort: number;
  readonly sourceDomain: number;
}

/** V4V's rings. */
export const V4V_LAYOUT: RingLayout = {
  rxPtr: v4v_ring.at.rx_ptr / 4,
  txPtr: v4v_ring.at.tx_ptr / 4,
  messageType: 1,
  sourcePort: 2,
  sourceDomain: 3,
};

/** Argo's: the same in another order, without magic and id. */
export const ARGO_LAYOUT: RingLayout = { rxPtr: 0, txPtr: 1, messageType: 3, sourcePort: 1, sourceDomain: 2 };

/** A message of a ring. */
export interface V4vMessage {
  readonly source: V4vAddr;
  /** `V4V_MESSAGE_DGRAM` or `V4V_MESSAGE_STREAM`, or whatever the sender chose. */
  readonly messageType: number;
  readonly payload: Uint8Array;
}

/** What goes with a payload. */
export interface WriteOptions {
  /** Default: port 0 of domain 0. */
  readonly source?: V4vAddr;
  /** Default: V4V_MESSAGE_DGRAM. */
  readonly messageType?: number;
}

/**
 * The other end has written something that cannot be: a pointer outside the ring or between two slots, or a message
 * longer than what is there. Nothing was read or written, and it stays so until the other end mends it.
 */
export class V4vRingError extends Error {
  override readonly name = 'V4vRingError';
  readonly code = 'ERR_V4V_RING';
}

const ANYBODY: V4vAddr = { port: 0, domain: 0 };

/** The memory of a ring, in the ways that both ends look at it. */
class RingMemory {
  readonly len: number;
  readonly data: Uint8Array;
  /** Header and data. */
  readonly words: Int32Array;

  constructor(buffer: ArrayBufferLike, length: number, offset: number) {
    if (!Number.isInteger(length) || length < V4V_MIN_RING_LEN || V4V_ROUNDUP(length) !== length) {
      throw new RangeError(`a ring's length must be a multiple of 16, 48 or more, not ${length}`);
    }
    const room = buffer.byteLength - offset - v4v_ring.size;
    if (offset % 16 !== 0 || offset < 0 || room < length) {
      throw new RangeError(
        `no ring of ${length} bytes and its header of 64 at ${offset} of ${buffer.byteLength} bytes`,
      );
    }
    this.len = length;
    this.data = new Uint8Array(buffer, offset + v4v_ring.size, length);
    this.words = new Int32Array(buffer, offset, (v4v_ring.size + length) / 4);
  }

  /** Index of a data offset's word. */
  static word(at: number): number {
    return (at + v4v_ring.size) >>> 2;
  }

  wrap(at: number): number {
    return at >= this.len ? at - this.len : at;
  }

  /** Copies into the ring from `at` on. @returns the offset behind it */
  put(at: number, bytes: Uint8Array): number {
    const { data } = this;
    const { length } = bytes;
    const first = this.len - at;
    if (length <= first) data.set(bytes, at);
    else {
      data.set(bytes.subarray(0, first), at);
      data.set(bytes.subarray(first), 0);
    }
    return this.wrap(at + length);
  }

  /** Copies out of the ring. */
  take(at: number, length: number, target: Uint8Array): void {
    const { data } = this;
    const first = this.len - at;
    if (length <= first) target.set(data.subarray(at, at + length));
    else {
      target.set(data.subarray(at));
      target.set(data.subarray(0, length - first), first);
    }
  }
}

/** Which ring it is, for its header. */
export interface RingId {
  readonly port: number;
  /** The owner. Xen writes the true one at the registration. */
  readonly domain?: number;
  /** Whose messages it takes. Default: everybody's. */
  readonly partner?: number;
}

/**
 * Writes the header of an empty ring.
 *
 * @param length bytes of data; a multiple of 16, 48 or more
 * @param offset where the header starts; a multiple of 16
 */
export function formatRing(buffer: ArrayBufferLike, length: number, id: RingId, offset = 0): void {
  new RingMemory(buffer, length, offset); // checks
  const view = new DataView(buffer, offset, v4v_ring.size);
  const { at } = v4v_ring;
  for (let i = 0; i < v4v_ring.size; i += 4) view.setUint32(i, 0);
  view.setBigUint64(at.magic, V4V_RING_MAGIC, true);
  view.setUint32(at.id, id.port, true);
  view.setUint16(at.id + 4, id.domain ?? 0, true);
  view.setUint16(at.id + 8, id.partner ?? V4V_DOMID_ANY, true);
  view.setUint32(at.len, length, true);
}

/** Puts messages into a ring. */
export class RingWriter {
  readonly #memory: RingMemory;
  readonly #layout: RingLayout;
  /** Its own: the word in the ring is for the reader, who might write it, too. */
  #tx: number;

  /**
   * @param buffer memory of the ring: 64 bytes of header, then the data
   * @param length bytes of data; a multiple of 16, 48 or more. Default: all that the buffer has room for
   * @param offset where the header starts; a multiple of 16
   * @param layout default: V4V's
   * @throws RangeError when there is no such ring in the buffer
   */
  constructor(buffer: ArrayBufferLike, length = longest(buffer), offset = 0, layout = V4V_LAYOUT) {
    this.#memory = new RingMemory(buffer, length, offset);
    this.#layout = layout;
    const { words, len } = this.#memory;
    const [rx, tx] = [Atomics.load(words, layout.rxPtr) >>> 0, Atomics.load(words, layout.txPtr) >>> 0];
    this.#tx = v4vPointerIsSound(tx, len) ? tx : v4vPointerIsSound(rx, len) ? rx : 0;
    Atomics.store(words, layout.txPtr, this.#tx);
  }

  /** Payload of the largest message that the ring can ever hold. */
  get maxMessage(): number {
    return v4vMaxMessage(this.#memory.len);
  }

  /**
   * Payload of the largest message that would fit now; -1: not even an empty one.
   *
   * @throws V4vRingError when rx_ptr cannot be one
   */
  get space(): number {
    return v4vMaxMessage(this.#free());
  }

  #free(): number {
    const { words, len } = this.#memory;
    const rx = Atomics.load(words, this.#layout.rxPtr) >>> 0;
    if (!v4vPointerIsSound(rx, len)) throw new V4vRingError(`rx_ptr ${rx} cannot be one in a ring of ${len} bytes`);
    return v4vFreeSpace(len, rx, this.#tx);
  }

  /**
   * Puts a message in, if there is room. The reader sees all of it or nothing.
   *
   * @param payload in one piece, or in several
   * @returns whether there was room; try again once the reader has read
   * @throws RangeError when the ring can never hold it
   * @throws V4vRingError when rx_ptr cannot be one
   */
  write(payload: Uint8Array | readonly Uint8Array[], options: WriteOptions = {}): boolean {
    const { source = ANYBODY, messageType = V4V_MESSAGE_DGRAM } = options;
    const length = payload instanceof Uint8Array ? payload.length : lengthOf(payload);
    const memory = this.#memory;
    const space = v4vMessageSpace(length);
    if (space >= memory.len) {
      throw new RangeError(
        `a message of ${length} bytes never fits a ring of ${memory.len}: at most ${this.maxMessage}`,
      );
    }
    if (space >= this.#free()) return false;
    const { words } = memory;
    const layout = this.#layout;
    const header = RingMemory.word(this.#tx);
    words[header] = length + HEADER;
    words[header + layout.messageType] = messageType;
    words[header + layout.sourcePort] = source.port;
    words[header + layout.sourceDomain] = source.domain;
    let at = memory.wrap(this.#tx + HEADER);
    if (payload instanceof Uint8Array) at = memory.put(at, payload);
    else for (const piece of payload) at = memory.put(at, piece);
    this.#tx = memory.wrap(V4V_ROUNDUP(at));
    // everything above is visible to who sees this
    Atomics.store(words, layout.txPtr, this.#tx);
    return true;
  }
}

/** Takes messages out of a ring. */
export class RingReader {
  readonly #memory: RingMemory;
  readonly #layout: RingLayout;
  /** Its own: the word in the ring is for the writer, who might write it, too. */
  #rx: number;
  /** Of the message that {@link readInto} gave last. */
  messageType = 0;
  /** Of the message that {@link readInto} gave last. */
  sourcePort = 0;
  /** Of the message that {@link readInto} gave last. */
  sourceDomain = 0;

  /**
   * @param buffer memory of the ring: 64 bytes of header, then the data
   * @param length bytes of data; a multiple of 16, 48 or more. Default: all that the buffer has room for
   * @param offset where the header starts; a multiple of 16
   * @param layout default: V4V's
   * @throws RangeError when there is no such ring in the buffer
   * @throws V4vRingError when rx_ptr, from where it is to read, cannot be one
   */
  constructor(buffer: ArrayBufferLike, length = longest(buffer), offset = 0, layout = V4V_LAYOUT) {
    this.#memory = new RingMemory(buffer, length, offset);
    this.#layout = layout;
    this.#rx = Atomics.load(this.#memory.words, layout.rxPtr) >>> 0;
    if (!v4vPointerIsSound(this.#rx, length)) {
      throw new V4vRingError(`rx_ptr ${this.#rx} cannot be one in a ring of ${length} bytes`);
    }
  }

  /**
   * Length of the next message's payload; -1: there is none.
   *
   * @throws V4vRingError when tx_ptr cannot be one, or the message is longer than what is there
   */
  get nextLength(): number {
    const { words, len } = this.#memory;
    const tx = Atomics.load(words, this.#layout.txPtr) >>> 0;
    const rx = this.#rx;
    if (tx === rx) return -1;
    if (!v4vPointerIsSound(tx, len)) throw new V4vRingError(`tx_ptr ${tx} cannot be one in a ring of ${len} bytes`);
    const available = tx > rx ? tx - rx : tx - rx + len;
    const length = ((words[RingMemory.word(rx)] as number) >>> 0) - HEADER;
    if (length < 0 || v4vMessageSpace(length) > available) {
      throw new V4vRingError(`a message of ${length + HEADER} bytes, header included, in ${available}`);
    }
    return length;
  }

  /**
   * Takes the next message out.
   *
   * @returns null: there is none
   * @throws V4vRingError when tx_ptr cannot be one, or the message is longer than what is there
   */
  read(): V4vMessage | null {
    const length = this.nextLength;
    if (length < 0) return null;
    const payload = new Uint8Array(length);
    this.#take(length, payload);
    return { source: { port: this.sourcePort, domain: this.sourceDomain }, messageType: this.messageType, payload };
  }

  /**
   * Takes the next message out, into memory of the caller; the rest is in {@link messageType}, {@link sourcePort} and
   * {@link sourceDomain}. Allocates nothing.
   *
   * @returns length of the payload; -1: there is none
   * @throws RangeError when `target` is too short; the message stays
   * @throws V4vRingError when tx_ptr cannot be one, or the message is longer than what is there
   */
  readInto(target: Uint8Array): number {
    const length = this.nextLength;
    if (length > target.length) {
      throw new RangeError(`a message of ${length} bytes, and room for ${target.length}`);
    }
    if (length >= 0) this.#take(length, target);
    return length;
  }

  #take(length: number, target: Uint8Array): void {
    const memory = this.#memory;
    const { words } = memory;
    const layout = this.#layout;
    const header = RingMemory.word(this.#rx);
    this.messageType = (words[header + layout.messageType] as number) >>> 0;
    this.sourcePort = (words[header + layout.sourcePort] as number) >>> 0;
    this.sourceDomain = (words[header + layout.sourceDomain] as number) & 0xffff;
    memory.take(memory.wrap(this.#rx + HEADER), length, target);
    this.#rx = memory.wrap(this.#rx + v4vMessageSpace(length));
    // the writer may use the room from now on
    Atomics.store(words, layout.rxPtr, this.#rx);
  }
}

function longest(buffer: ArrayBufferLike): number {
  return Math.floor((buffer.byteLength - v4v_ring.size) / 16) * 16;
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}
