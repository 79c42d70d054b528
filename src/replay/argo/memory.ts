/** A caller's memory as a row of an Argo recording lists it, in front of the caller's own pages. */

import type { CallerMemory } from '../../model/caller_memory.js';
import { RecordingError } from '../error.js';

/** One range that a call could reach. */
export interface MemoryItem {
  readonly name: string;
  readonly address: number;
  readonly bytes: Uint8Array;
}

const PAGE_SIZE = 4096;

/** Nothing below the ranges given is there, unless a page of the caller's is. */
export class RecordedMemory implements CallerMemory {
  readonly view: DataView;
  readonly at = 0;
  readonly #bounce = new Uint8Array(PAGE_SIZE);
  readonly #items: readonly MemoryItem[];
  readonly #page: (address: number) => Uint8Array | null;

  /** @param page the caller's own page at an address, or null */
  constructor(items: readonly MemoryItem[], page: (address: number) => Uint8Array | null) {
    this.#items = items;
    this.#page = page;
    this.view = new DataView(this.#bounce.buffer);
  }

  copyIn(address: number, length: number): boolean {
    return this.read(address, this.#bounce.subarray(0, length));
  }

  copyOut(address: number, length: number): boolean {
    return this.write(address, this.#bounce.subarray(0, length));
  }

  read(address: number, bytes: Uint8Array): boolean {
    return this.readSome(address, bytes) === bytes.length;
  }

  readSome(address: number, bytes: Uint8Array): number {
    return this.#walk(address, bytes.length, (there, done) => bytes.set(there, done));
  }

  write(address: number, bytes: Uint8Array): boolean {
    const done = this.#walk(address, bytes.length, (there, at) => there.set(bytes.subarray(at, at + there.length)));
    return done === bytes.length;
  }

  /** Visits what is there from `address` on, piece by piece. @returns how many bytes were */
  #walk(address: number, length: number, visit: (there: Uint8Array, done: number) => void): number {
    let done = 0;
    while (done < length) {
      const there = this.#from(address + done);
      if (!there) break;
      const piece = there.subarray(0, length - done);
      visit(piece, done);
      done += piece.length;
    }
    return done;
  }

  /** Memory from an address to the end of the range or page that it is in. */
  #from(address: number): Uint8Array | null {
    const item = this.#items.find((one) => address >= one.address && address < one.address + one.bytes.length);
    if (item) return item.bytes.subarray(address - item.address);
    const page = this.#page(address);
    if (!page) return null;
    const next = this.#items.reduce((end, one) => (one.address > address ? Math.min(end, one.address) : end), Infinity);
    return page.subarray(address % PAGE_SIZE, Math.min(PAGE_SIZE, (address % PAGE_SIZE) + next - address));
  }
}

/** `"0x..."`, or a plain number. Addresses above 2^53 are rounded, which nothing here minds: no memory is there. */
export function numberOf(value: unknown, at: string): number {
  const number = typeof value === 'string' && /^(0x)?[0-9a-f]+$/i.test(value) ? Number(value) : value;
  if (typeof number === 'number' && number >= 0) return number;
  throw new RecordingError(`${at} must be a number, not ${JSON.stringify(value)}`);
}
