/** Frames on their way out of a link, in their order. */

import { errno, errnoName } from '../../abi/errno.js';
import type { Link } from './link.js';

/** Most frames that wait. */
const CAPACITY = 512;

/** Room for frames that are made here: several of the largest. */
const SCRATCH = 512 << 10;

/**
 * Collects frames where they lie, each behind its virtio_net_hdr, and sends them together. It copies nothing: call
 * {@link flush} before their bytes are used again.
 */
export class SendQueue {
  readonly #link: Link;
  readonly #from: Uint8Array[] = [];
  readonly #places = new Uint32Array(2 * CAPACITY);
  #scratchUsed = 0;
  /** The first that has not gone out. */
  #next = 0;
  #flushing: Promise<void> | null = null;
  /** Where {@link room} gives room. */
  readonly scratch = new Uint8Array(SCRATCH);
  /** Frames that went out. */
  sent = 0;
  /** Frames that the kernel would not take, by its reason. */
  readonly refused = new Map<string, number>();

  constructor(link: Link) {
    this.#link = link;
  }

  /** Frames that are not sent yet. */
  get length(): number {
    return this.#from.length;
  }

  /** Whether there is room for `frames` more, and for `bytes` of scratch. */
  hasRoom(frames: number, bytes: number): boolean {
    return this.#from.length + frames <= CAPACITY && this.#scratchUsed + bytes <= SCRATCH;
  }

  /** Room in {@link scratch} for `length` bytes, until the next flush. @throws RangeError there is none */
  room(length: number): number {
    const at = this.#scratchUsed;
    if (at + length > SCRATCH) throw new RangeError(`no room for ${length} bytes: flush first`);
    this.#scratchUsed += length;
    return at;
  }

  /**
   * @param header where in `bytes` the virtio_net_hdr begins
   * @param length with it
   * @throws RangeError there is no room
   */
  add(bytes: Uint8Array, header: number, length: number): void {
    const i = this.#from.length;
    if (i === CAPACITY) throw new RangeError('the queue is full: flush first');
    this.#from.push(bytes);
    this.#places[2 * i] = header;
    this.#places[2 * i + 1] = length;
  }

  /**
   * Sends all there is. Waits where the kernel has no room, so that whoever receives in the meantime leaves frames where
   * they are: that is the back pressure. A frame that the kernel refuses is counted and left out.
   */
  async flush(): Promise<void> {
    // several may want to, and only one waits for room
    while (this.#flushing) await this.#flushing;
    if (this.#sendAll()) return;
    this.#flushing = this.#waitAndSend();
    try {
      await this.#flushing;
    } finally {
      this.#flushing = null;
    }
  }

  async #waitAndSend(): Promise<void> {
    do await this.#link.writable();
    while (!this.#sendAll());
  }

  /** @returns whether all went out; else there is no room now */
  #sendAll(): boolean {
    while (this.#next < this.#from.length && !this.#link.closed) {
      const rc = this.#sendRun(this.#next);
      if (rc > 0) {
        this.#next += rc;
        this.sent += rc;
      } else if (rc === -errno.EAGAIN) return false;
      else if (rc !== -errno.EINTR) {
        const reason = errnoName(rc);
        this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
        this.#next++;
      }
    }
    this.#from.length = this.#next = this.#scratchUsed = 0;
    return true;
  }

  /** As many as lie in the same array. */
  #sendRun(first: number): number {
    const bytes = this.#from[first] as Uint8Array;
    let end = first + 1;
    while (end < this.#from.length && this.#from[end] === bytes) end++;
    return this.#link.sendPlaces(bytes, this.#places, first, end - first);
  }
}
