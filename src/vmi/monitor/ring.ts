/**
 * The agent's end of the ring that it shares with Xen. Xen produces requests, the agent takes them and puts answers into
 * the same slots; both count on free-running 32-bit counters.
 *
 * The page is not trusted. Every counter is read once and checked, indexes are masked, and a request's head (its first 56
 * bytes: what everything is decided by) is copied once and looked at only then. The rest, registers mostly, is copied
 * when somebody asks. Nothing is allocated for an event.
 */

import type { VmEventLayout } from '../../abi/vm_event.js';

/** Indexes of the counters, in 32-bit words. */
const REQ_PROD = 0;
const REQ_EVENT = 1;
const RSP_PROD = 2;
/** Where the slots begin. */
const FIRST_SLOT = 64;
/** Bytes of a request's head: all but its `data`. */
const HEAD = 56;

/** Indexes in the head, in 32-bit words. */
export const VERSION = 0;
export const FLAGS = 1;
export const REASON = 2;
export const VCPU = 3;
/** altp2m_idx, in the low half. */
export const ALTP2M = 4;
/** The union `u`. */
export const U = 6;

/** The ring's counters make no sense: more requests than it has slots. */
export class MonitorRingError extends Error {
  override readonly name = 'MonitorRingError';
  readonly code = 'ERR_XENCTRL_RING';
}

/** The agent's own copy of a request, and what the answer to it says. */
export class Frame {
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
  /** `data`: all behind the head. */
  readonly data: Uint8Array;
  readonly view: DataView;
  /** Which ring this is from; what `data` is copied from. */
  readonly #ring: MonitorRing;
  /** Which request this is: what the counter was when it was taken. */
  position = -1;
  /** Slot of the request; -1 once `data` has been copied. */
  #slot = -1;
  /** Whether the agent has the event, and has not answered it. */
  open = false;
  /** The answer's flags, ... */
  flags = 0;
  /** ... its altp2m_idx and the first word of its `u`, or -1: as in the request, ... */
  altp2m = -1;
  firstU = -1;
  /** ... and whether it has `data` of its own. */
  dataChanged = false;

  constructor(ring: MonitorRing) {
    const buffer = new ArrayBuffer(ring.entryBytes);
    this.words = new Uint32Array(buffer);
    this.bytes = new Uint8Array(buffer);
    this.data = this.bytes.subarray(HEAD);
    this.view = new DataView(buffer);
    this.#ring = ring;
  }

  /** @internal */
  taken(position: number, slot: number): void {
    this.position = position;
    this.#slot = slot;
    this.altp2m = -1;
    this.firstU = -1;
    this.dataChanged = false;
  }

  /** Makes `data` the request's. Call it before anything else can be put into the slot. */
  copyData(): void {
    if (this.#slot < 0) return;
    this.#ring.readData(this.#slot, this.data);
    this.#slot = -1;
  }
}

/** The 14 words of a head, word 5 being a hole. Without a loop it takes a quarter of the time. */
function copyHead(from: Uint32Array, at: number, to: Uint32Array, toAt: number): void {
  to[toAt] = from[at] as number;
  to[toAt + 1] = from[at + 1] as number;
  to[toAt + 2] = from[at + 2] as number;
  to[toAt + 3] = from[at + 3] as number;
  to[toAt + 4] = from[at + 4] as number;
  to[toAt + 6] = from[at + 6] as number;
  to[toAt + 7] = from[at + 7] as number;
  to[toAt + 8] = from[at + 8] as number;
  to[toAt + 9] = from[at + 9] as number;
  to[toAt + 10] = from[at + 10] as number;
  to[toAt + 11] = from[at + 11] as number;
  to[toAt + 12] = from[at + 12] as number;
  to[toAt + 13] = from[at + 13] as number;
}

export class MonitorRing {
  /** How many requests fit: 8 for every ABI of Xen and a ring of one page. */
  readonly slots: number;
  readonly entryBytes: number;
  readonly #words: Uint32Array;
  /** The `data` of each slot, as views that need not be made again. */
  readonly #data: readonly Uint8Array[];
  readonly #entryWords: number;
  readonly #mask: number;
  /** Requests taken, and answers put in; the latter is never ahead of the former. */
  #reqCons: number;
  #rspProd: number;
  #published: number;

  /**
   * @param page the shared memory, aligned to 4 bytes
   * @param from where the counters stand: 0 for a fresh ring
   */
  constructor(page: Uint8Array, layout: VmEventLayout, from: { reqCons: number; rspProd: number } = FRESH) {
    const entry = layout.event.size;
    const fit = Math.floor((page.byteLength - FIRST_SLOT) / entry);
    if (fit < 1) throw new RangeError(`a ring has at least ${FIRST_SLOT + entry} bytes, not ${page.byteLength}`);
    this.slots = 2 ** Math.floor(Math.log2(fit));
    this.entryBytes = entry;
    this.#entryWords = entry / 4;
    this.#mask = this.slots - 1;
    this.#words = new Uint32Array(page.buffer, page.byteOffset, Math.floor(page.byteLength / 4));
    this.#data = Array.from({ length: this.slots }, (_, slot) => {
      const start = FIRST_SLOT + slot * entry;
      return page.subarray(start + HEAD, start + entry);
    });
    this.#reqCons = from.reqCons;
    this.#rspProd = from.rspProd;
    this.#published = from.rspProd;
  }

  /** Where a ring stands that somebody else left: everything unanswered is there to be taken. */
  static leftBehind(page: Uint8Array): { reqCons: number; rspProd: number } {
    const answered = new Uint32Array(page.buffer, page.byteOffset, 4)[RSP_PROD] as number;
    return { reqCons: answered, rspProd: answered };
  }

  /** Requests taken that have no answer yet. */
  get unanswered(): number {
    return (this.#reqCons - this.#rspProd) >>> 0;
  }

  /**
   * How many requests can be taken now.
   *
   * @throws MonitorRingError there are more than the ring can hold
   */
  available(): number {
    const produced = Atomics.load(this.#words, REQ_PROD);
    const count = (produced - this.#reqCons) >>> 0;
    if (count + this.unanswered > this.slots) {
      throw new MonitorRingError(
        `the ring's request counter is ${produced}, with ${this.#reqCons} taken and ${this.unanswered} unanswered: there are only ${this.slots} slots`,
      );
    }
    return count;
  }

  /** Takes one request that {@link available} told of. */
  take(into: Frame): void {
    const slot = this.#reqCons & this.#mask;
    const ring = this.#words;
    const { words } = into;
    const at = FIRST_SLOT / 4 + slot * this.#entryWords;
    copyHead(ring, at, words, 0);
    into.taken(this.#reqCons, slot);
    this.#reqCons = (this.#reqCons + 1) >>> 0;
  }

  /** Copies a slot's `data`. */
  readData(slot: number, into: Uint8Array): void {
    into.set(this.#data[slot] as Uint8Array);
  }

  /**
   * Puts an answer in. There must be a request that has none; Xen sees it after {@link publish}. The slot may hold another
   * request than the one answered: that one must have been copied, with its data.
   */
  answer(from: Frame): void {
    if (this.unanswered === 0) throw new MonitorRingError('there is no request left to answer');
    const slot = this.#rspProd & this.#mask;
    const ring = this.#words;
    const { words } = from;
    const at = FIRST_SLOT / 4 + slot * this.#entryWords;
    if (from.position === this.#rspProd) {
      // answered in its turn: the request itself lies there
      ring[at + VERSION] = words[VERSION] as number;
      ring[at + VCPU] = words[VCPU] as number;
    } else {
      copyHead(words, 0, ring, at);
    }
    ring[at + FLAGS] = from.flags;
    if (from.altp2m >= 0) ring[at + ALTP2M] = from.altp2m;
    if (from.firstU >= 0) ring[at + U] = from.firstU;
    if (from.dataChanged) (this.#data[slot] as Uint8Array).set(from.data);
    this.#rspProd = (this.#rspProd + 1) >>> 0;
  }

  /** Shows Xen the answers put in since the last time. Returns whether there are any: then the port is to be notified. */
  publish(): boolean {
    if (this.#published === this.#rspProd) return false;
    this.#published = this.#rspProd;
    Atomics.store(this.#words, RSP_PROD, this.#rspProd);
    return true;
  }

  /**
   * Asks to be told of the next request, and looks once more: true when there is one already. (Xen notifies of every
   * request all the same.)
   */
  arm(): boolean {
    Atomics.store(this.#words, REQ_EVENT, (this.#reqCons + 1) >>> 0);
    return this.available() > 0;
  }
}

const FRESH = { reqCons: 0, rspProd: 0 };
