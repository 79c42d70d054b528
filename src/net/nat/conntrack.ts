/** The connections that a NAT knows, in both directions, in typed arrays: many of them cost the collector nothing. */

import { TUPLE } from './tuple.js';

/** No connection. */
export const NONE = -1;
/** What the state of a connection is that is none any more. */
const FREE = 255;
const WORDS = TUPLE.SIZE / 4;

/**
 * A connection is found by a reference: its number doubled, and one more for the direction of answers.
 */
export class Conntrack {
  readonly #seed: number;
  readonly #limit: number;
  count = 0;
  /** The tuples of both directions, one after the other. */
  tuples: Uint8Array = new Uint8Array(0);
  #words: Uint32Array = new Uint32Array(0);
  state = new Uint8Array(0);
  /** The second after which each is forgotten. */
  expires = new Float64Array(0);
  #next = new Int32Array(0);
  #hash = new Int32Array(0);
  #heads = new Int32Array(0);
  /** Connections that were ever in use. */
  #used = 0;
  #free = NONE;
  #swept = -1;

  constructor(seed: number, limit: number) {
    this.#seed = seed;
    this.#limit = limit;
  }

  /** Where a reference's tuple is in {@link tuples}. */
  static tupleAt(reference: number): number {
    return reference * TUPLE.SIZE;
  }

  /** A reference, or NONE. A connection that has expired is removed on the way. `tuple` begins at a word's boundary. */
  find(tuple: Uint8Array, now: number): number {
    const heads = this.#heads;
    if (heads.length === 0) return NONE;
    const words = wordsOf(tuple);
    const hash = this.#hashOf(words, 0);
    for (let reference = heads[hash & (heads.length - 1)] as number; reference !== NONE; ) {
      if (this.#hash[reference] === hash && this.#has(reference, words)) {
        if (now <= (this.expires[reference >> 1] as number)) return reference;
        this.#remove(reference >> 1);
        return NONE;
      }
      reference = this.#next[reference] as number;
    }
    return NONE;
  }

  /** Adds a connection, neither of whose tuples is known. @returns its first reference; NONE when there is no room */
  add(original: Uint8Array, reply: Uint8Array, now: number): number {
    if (this.count >= this.#limit && this.#swept !== now) this.#removeExpired(now);
    if (this.count >= this.#limit) return NONE;
    if (2 * this.count >= this.#heads.length - 1) this.#growHeads();
    let index = this.#free;
    if (index === NONE) {
      index = this.#used++;
      if (index === this.state.length) this.#growConnections();
    } else {
      this.#free = this.#next[2 * index] as number;
    }
    this.tuples.set(original, Conntrack.tupleAt(2 * index));
    this.tuples.set(reply, Conntrack.tupleAt(2 * index + 1));
    this.expires[index] = now;
    this.state[index] = 0;
    for (const reference of [2 * index, 2 * index + 1]) {
      this.#hash[reference] = this.#hashOf(this.#words, reference * WORDS);
      this.#link(reference);
    }
    this.count++;
    return 2 * index;
  }

  #hashOf(words: Uint32Array, at: number): number {
    let hash = this.#seed | 0;
    for (let i = 0; i < WORDS; i++) {
      hash = Math.imul(hash ^ (words[at + i] as number), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash;
  }

  #has(reference: number, words: Uint32Array): boolean {
    const at = reference * WORDS;
    for (let i = 0; i < WORDS; i++) if (this.#words[at + i] !== words[i]) return false;
    return true;
  }

  #link(reference: number): void {
    const bucket = (this.#hash[reference] as number) & (this.#heads.length - 1);
    this.#next[reference] = this.#heads[bucket] as number;
    this.#heads[bucket] = reference;
  }

  #unlink(reference: number): void {
    const bucket = (this.#hash[reference] as number) & (this.#heads.length - 1);
    const next = this.#next[reference] as number;
    if (this.#heads[bucket] === reference) {
      this.#heads[bucket] = next;
      return;
    }
    let before = this.#heads[bucket] as number;
    while (this.#next[before] !== reference) before = this.#next[before] as number;
    this.#next[before] = next;
  }

  #remove(index: number): void {
    this.#unlink(2 * index);
    this.#unlink(2 * index + 1);
    this.state[index] = FREE;
    this.#next[2 * index] = this.#free;
    this.#free = index;
    this.count--;
  }

  #removeExpired(now: number): void {
    this.#swept = now;
    for (let index = 0; index < this.#used; index++) {
      if (this.state[index] !== FREE && now > (this.expires[index] as number)) this.#remove(index);
    }
  }

  #growHeads(): void {
    this.#heads = new Int32Array(Math.max(1024, 2 * this.#heads.length)).fill(NONE);
    for (let index = 0; index < this.#used; index++) {
      if (this.state[index] === FREE) continue;
      this.#link(2 * index);
      this.#link(2 * index + 1);
    }
  }

  #growConnections(): void {
    const size = Math.max(512, 2 * this.state.length);
    const tuples = new Uint8Array(2 * size * TUPLE.SIZE);
    tuples.set(this.tuples);
    this.tuples = tuples;
    this.#words = wordsOf(tuples);
    const grown = <Kind extends Uint8Array | Int32Array | Float64Array>(to: Kind, from: Kind): Kind => {
      to.set(from);
      return to;
    };
    this.state = grown(new Uint8Array(size), this.state);
    this.expires = grown(new Float64Array(size), this.expires);
    this.#next = grown(new Int32Array(2 * size), this.#next);
    this.#hash = grown(new Int32Array(2 * size), this.#hash);
  }
}

const WORD_VIEWS = new WeakMap<Uint8Array, Uint32Array>();

/** The same bytes as words. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  let words = WORD_VIEWS.get(bytes);
  if (!words) {
    words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    WORD_VIEWS.set(bytes, words);
  }
  return words;
}
