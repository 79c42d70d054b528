/**
 * How a hypercall reaches its caller's memory: Xen's copy_from_guest and copy_to_guest. An address that the caller does
 * not have is EFAULT, never an exception.
 */

import type { Arena } from '../hypervisor/arena.js';

export interface CallerMemory {
  /** Where {@link copyIn} put the bytes. */
  readonly view: DataView;
  /** Offset in {@link view} of the structure copied in last. */
  readonly at: number;
  /** Makes `length` bytes at `address` readable through {@link view}; false is EFAULT. */
  copyIn(address: number, length: number): boolean;
  /** Writes the bytes of the structure copied in last, changed through {@link view}, back to `address`; false is EFAULT. */
  copyOut(address: number, length: number): boolean;
  /** Copies `bytes` to `address`; false is EFAULT. */
  write(address: number, bytes: Uint8Array): boolean;
  /** Copies from `address` into `bytes`; false is EFAULT. */
  read(address: number, bytes: Uint8Array): boolean;
  /** As {@link read}, as far as there is memory. @returns how many bytes were copied, from the first on */
  readSome(address: number, bytes: Uint8Array): number;
}

/** dom0's memory: the arena, in place. */
export class ArenaMemory implements CallerMemory {
  readonly view: DataView;
  at = 0;
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.view = arena.view;
  }

  copyIn(address: number, length: number): boolean {
    this.at = address - this.#arena.base;
    return this.at >= 0 && this.at + length <= this.#arena.bytes.length;
  }

  copyOut(address: number, length: number): boolean {
    // changed in place already; only the range is left to check
    return this.copyIn(address, length);
  }

  write(address: number, bytes: Uint8Array): boolean {
    if (!this.copyIn(address, bytes.length)) return false;
    this.#arena.bytes.set(bytes, this.at);
    return true;
  }

  read(address: number, bytes: Uint8Array): boolean {
    if (!this.copyIn(address, bytes.length)) return false;
    bytes.set(this.#arena.bytes.subarray(this.at, this.at + bytes.length));
    return true;
  }

  readSome(address: number, bytes: Uint8Array): number {
    if (!this.copyIn(address, 0)) return 0;
    const there = this.#arena.bytes.subarray(this.at, this.at + bytes.length);
    bytes.set(there);
    return there.length;
  }
}

/** A guest's memory, reached through its p2m page by page. */
export class GuestMemory implements CallerMemory {
  readonly view: DataView;
  readonly at = 0;
  readonly #bounce = new Uint8Array(4096);
  readonly #page: (address: number, write: boolean) => Uint8Array | null;

  /** @param page the page that holds `address`, or null when there is none */
  constructor(page: (address: number, write: boolean) => Uint8Array | null) {
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
    const { length } = bytes;
    const from = address % 4096;
    if (from + length <= 4096) {
      // most of what is read lies in one page
      const page = this.#page(address, false);
      if (page) bytes.set(page.subarray(from, from + length));
      return page ? length : 0;
    }
    return this.#walk(address, length, false, (page, start, to, done) => {
      bytes.set(page.subarray(start, to), done);
    });
  }

  write(address: number, bytes: Uint8Array): boolean {
    const done = this.#walk(address, bytes.length, true, (page, from, to, done) => {
      page.set(bytes.subarray(done, done + to - from), from);
    });
    return done === bytes.length;
  }

  /** @returns how many bytes there were */
  #walk(
    address: number,
    length: number,
    write: boolean,
    step: (page: Uint8Array, from: number, to: number, done: number) => void,
  ): number {
    for (let done = 0; done < length; ) {
      const page = this.#page(address + done, write);
      if (!page) return done;
      const from = (address + done) % 4096;
      const to = Math.min(4096, from + length - done);
      step(page, from, to, done);
      done += to - from;
    }
    return length;
  }
}
