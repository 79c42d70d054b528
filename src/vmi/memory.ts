/** Reading and writing guest memory, by whatever kind of address. */

import { type Address, after, checkAddress, PAGE_BYTES, pageNumber, pageOffset } from './address.js';
import type { MemoryFault } from './fault.js';
import { type Layout, type LayoutValues, layoutSize, readLayout } from './layout.js';
import type { MemorySource, Page } from './memory_source.js';
import type { Pattern } from './pattern.js';
import { type Searched, type SearchOptions, search } from './search.js';

/** The most that one read may ask for; more is a mistake, or a guest's lie about a length. */
const MOST_BYTES = 2 ** 30;

/** What a page number leads to: a frame, or less than 0 when to none. */
export type Locate = (page: number) => number;

/**
 * Guest memory behind one kind of address: guest-physical ({@link PhysicalMemory}) or virtual ({@link AddressSpace}).
 * Lengths may be any and cross pages.
 */
export abstract class Memory {
  /** Where the memory comes from. */
  readonly source: MemorySource;

  constructor(source: MemorySource) {
    this.source = source;
  }

  /** The frame behind a page; less than 0: none. */
  protected abstract frameOf(page: number): number;
  /** Why there is none, or why there is no memory behind it. */
  protected abstract fault(page: number, offset: number): MemoryFault;

  /** Bytes of a pointer: what {@link pointer} reads. */
  abstract readonly pointerBytes: 4 | 8;

  /** What {@link search} looks through. @internal */
  abstract readonly searched: Searched;

  /**
   * Finds a pattern, wherever it is, in the order of addresses; the event loop turns now and then.
   * ```ts
   * for await (const address of vmi.physical.search(pattern('4d 5a 90 00 ?? 00'), { align: 4096 })) ...
   * ```
   * Pages without memory are passed over; what lies across two pages is found. Progress counts pages. In an address space
   * only what is mapped is looked at.
   *
   * @throws CallAbortedError when `options.signal` fires
   */
  search(pattern: Pattern, options: SearchOptions = {}): AsyncGenerator<bigint> {
    return search(this.searched, pattern, options);
  }

  /**
   * Reads as much as there is, up to `target.length` bytes.
   *
   * @returns how many bytes were read before the first that cannot be reached
   */
  readInto(address: Address, target: Uint8Array): number {
    checkAddress(address);
    let page = pageNumber(address);
    let offset = pageOffset(address);
    let done = 0;
    while (done < target.length) {
      const bytes = this.#page(page)?.bytes;
      if (!bytes) break;
      const count = Math.min(PAGE_BYTES - offset, target.length - done);
      target.set(count === PAGE_BYTES ? bytes : bytes.subarray(offset, offset + count), done);
      done += count;
      offset = 0;
      page++;
    }
    return done;
  }

  /**
   * Reads `length` bytes.
   *
   * @throws MemoryFault some of it cannot be reached
   */
  read(address: Address, length: number): Uint8Array {
    if (!Number.isInteger(length) || length < 0 || length > MOST_BYTES) {
      throw new RangeError(`length must be an integer from 0 to ${MOST_BYTES}, not ${length}`);
    }
    const bytes = new Uint8Array(length);
    const done = this.readInto(address, bytes);
    if (done < length) throw this.#faultAt(address, done);
    return bytes;
  }

  /**
   * Writes bytes: all, or none when some cannot be reached. The guest's own write protection does not apply.
   *
   * @throws MemoryFault some of it cannot be reached, or may not be written (a saved image)
   */
  write(address: Address, bytes: Uint8Array): void {
    checkAddress(address);
    if (!(bytes instanceof Uint8Array)) throw new TypeError('bytes must be a Uint8Array');
    const first = pageNumber(address);
    const start = pageOffset(address);
    const pages = Math.ceil((start + bytes.length) / PAGE_BYTES);
    const frames: number[] = [];
    for (let i = 0; i < pages; i++) {
      const frame = this.frameOf(first + i);
      if (frame < 0 || !this.source.writablePage(frame)) throw this.fault(first + i, i === 0 ? start : 0);
      frames.push(frame);
    }
    let done = 0;
    for (const frame of frames) {
      const offset = done === 0 ? start : 0;
      const count = Math.min(PAGE_BYTES - offset, bytes.length - done);
      // it was there a moment ago
      this.source.writablePage(frame)?.bytes.set(bytes.subarray(done, done + count), offset);
      done += count;
    }
  }

  u8(address: Address): number {
    return this.#wordPage(address).getUint8(this.#at);
  }

  u16(address: Address): number {
    return this.#word(address, 2).getUint16(this.#at, true);
  }

  u32(address: Address): number {
    return this.#word(address, 4).getUint32(this.#at, true);
  }

  i32(address: Address): number {
    return this.#word(address, 4).getInt32(this.#at, true);
  }

  u64(address: Address): bigint {
    return this.#word(address, 8).getBigUint64(this.#at, true);
  }

  /** A pointer, of the size that pointers have here: see {@link pointerBytes}. */
  pointer(address: Address): bigint {
    return this.pointerBytes === 8 ? this.u64(address) : BigInt(this.u32(address));
  }

  /** A string up to its NUL, as UTF-8, of at most `most` bytes; it may also end where memory ends. */
  string(address: Address, most = 4096): string {
    return new TextDecoder().decode(this.#upTo(address, most, 1));
  }

  /** A string of UTF-16 up to its NUL, of at most `most` characters of two bytes; it may also end where memory ends. */
  utf16(address: Address, most = 4096): string {
    return new TextDecoder('utf-16le').decode(this.#upTo(address, most * 2, 2));
  }

  /**
   * Reads a structure.
   * ```ts
   * const { pid, comm } = space.struct(task, { pid: [1256, 'i32'], comm: [1616, 'string', 16] });
   * ```
   *
   * @throws MemoryFault some of it cannot be reached
   */
  struct<const L extends Layout>(address: Address, layout: L): LayoutValues<L> {
    const { first, size } = layoutSize(layout, this.pointerBytes);
    return readLayout(this.read(after(address, first), size), first, layout, this.pointerBytes);
  }

  #page(page: number): Page | null {
    const frame = this.frameOf(page);
    return frame < 0 ? null : this.source.page(frame);
  }

  #faultAt(address: Address, done: number): MemoryFault {
    const at = pageOffset(address) + done;
    return this.fault(pageNumber(address) + Math.floor(at / PAGE_BYTES), at % PAGE_BYTES);
  }

  /** Where in the view that {@link #word} gave the word is. */
  #at = 0;
  readonly #crossing = new DataView(new ArrayBuffer(8));

  #wordPage(address: Address): DataView {
    checkAddress(address);
    const number = pageNumber(address);
    const page = this.#page(number);
    if (!page) throw this.fault(number, pageOffset(address));
    this.#at = pageOffset(address);
    return page.view;
  }

  /** The memory that has the word, in one piece. */
  #word(address: Address, size: number): DataView {
    const view = this.#wordPage(address);
    if (this.#at + size <= PAGE_BYTES) return view;
    new Uint8Array(this.#crossing.buffer).set(this.read(address, size));
    this.#at = 0;
    return this.#crossing;
  }

  /** The bytes before a character of zeroes. */
  #upTo(address: Address, most: number, width: 1 | 2): Uint8Array {
    checkAddress(address);
    if (!Number.isInteger(most) || most < 0 || most > MOST_BYTES) {
      throw new RangeError(`a string's length must be from 0 to ${MOST_BYTES} bytes, not ${most}`);
    }
    const parts: Uint8Array[] = [];
    let total = 0;
    while (total < most) {
      const from = after(address, total);
      const part = new Uint8Array(Math.min(PAGE_BYTES - pageOffset(from), most - total));
      const count = this.readInto(from, part);
      if (count === 0 && total === 0) throw this.#faultAt(address, 0);
      parts.push(part.subarray(0, count));
      total += count;
      // a character of two bytes may lie across two pages: look at all of it
      const end = endOf(parts, width);
      if (end !== null) return end;
      if (count < part.length) break;
    }
    return join(parts);
  }
}

function endOf(parts: readonly Uint8Array[], width: 1 | 2): Uint8Array | null {
  const last = parts.at(-1) as Uint8Array;
  if (width === 1) {
    const at = last.indexOf(0);
    return at < 0 ? null : join([...parts.slice(0, -1), last.subarray(0, at)]);
  }
  const all = join(parts);
  for (let i = 0; i + 1 < all.length; i += 2) if (all[i] === 0 && all[i + 1] === 0) return all.subarray(0, i);
  return null;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  return parts.length === 1 && only ? only : Buffer.concat(parts);
}
