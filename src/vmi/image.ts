/** Saved guest memory: a file, read through the same eyes as a live domain. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { ELF_MAGIC, readElf } from './image_elf.js';
import { LIME_MAGIC, readLime } from './image_lime.js';
import { ImageFormatError, type ImageRun, type ReadAt } from './image_run.js';
import { asPage, type MemorySource, type Page, readEachFrame } from './memory_source.js';
import { type LoadedPage, PageCache } from './page_cache.js';

export type ImageFormat = 'raw' | 'lime' | 'elf';

/** Pages of a file that are kept: 16 MiB. */
const KEPT_PAGES = 4096;

/**
 * A memory image. Formats: `raw` (byte n of the file is at address n), LiME, and ELF cores: those of `xl dump-core`
 * (`xc_domain_dumpcore`) and those with program headers (QEMU's `dump-guest-memory`).
 */
export class MemoryImage implements MemorySource {
  readonly live = false;
  readonly format: ImageFormat;
  readonly frames: number;
  /** By address, none overlapping another. */
  readonly runs: readonly ImageRun[];
  readonly #read: ReadAt;
  readonly #close: () => void;
  readonly #cache: PageCache;
  #closed = false;

  /** @internal */
  constructor(format: ImageFormat, runs: readonly ImageRun[], read: ReadAt, close: () => void) {
    this.format = format;
    this.runs = sorted(runs);
    this.frames = this.runs.reduce(
      (most, { address, bytes }) => Math.max(most, Math.ceil((address + bytes) / 4096)),
      0,
    );
    this.#read = read;
    this.#close = close;
    this.#cache = new PageCache(KEPT_PAGES, (frame) => this.#load(frame));
  }

  /**
   * Opens an image; its first bytes tell the format.
   *
   * @throws ImageFormatError the file's structure is broken
   */
  static open(path: string): MemoryImage {
    const file = openSync(path, 'r');
    try {
      const { size } = fstatSync(file);
      return imageOf(
        size,
        (offset, length) => readFile(file, offset, length),
        () => closeSync(file),
      );
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /** An image that is in memory already. */
  static from(image: Uint8Array): MemoryImage {
    // not a Buffer, whose slice() is no copy
    const bytes = new Uint8Array(image.buffer, image.byteOffset, image.length);
    const read: ReadAt = (offset, length) => bytes.subarray(offset, offset + length);
    return imageOf(bytes.length, read, () => undefined);
  }

  page(frame: number): Page | null {
    return this.#cache.get(frame, false);
  }

  writablePage(): null {
    return null;
  }

  readFrames(first: number, count: number, target: Uint8Array, present: Uint8Array): number {
    return readEachFrame((frame) => this.#bytes(frame), first, count, target, present);
  }

  drop(): void {
    this.#cache.clear();
  }

  close(): void {
    this.drop();
    if (!this.#closed) this.#close();
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #load(frame: number): LoadedPage | null {
    const bytes = this.#bytes(frame);
    return bytes && { page: asPage(aligned(bytes)), writable: false, unload: () => undefined };
  }

  /** A page; where a run ends within it, zeroes follow. */
  #bytes(frame: number): Uint8Array | null {
    if (this.#closed) throw new TypeError('this image is closed');
    const start = frame * 4096;
    let page: Uint8Array | null = null;
    for (let i = this.#firstRun(start); i < this.runs.length; i++) {
      const { address, bytes, offset } = this.runs[i] as ImageRun;
      if (address >= start + 4096) break;
      const from = Math.max(start, address);
      const to = Math.min(start + 4096, address + bytes);
      const part = this.#read(offset + from - address, to - from);
      if (part.length === 4096) return part;
      page ??= new Uint8Array(4096);
      page.set(part, from - start);
    }
    return page;
  }

  /** The first run that ends beyond an address. */
  #firstRun(address: number): number {
    let low = 0;
    let high = this.runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const run = this.runs[middle] as ImageRun;
      if (run.address + run.bytes > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
}

function sorted(runs: readonly ImageRun[]): ImageRun[] {
  const all = runs.filter(({ bytes }) => bytes > 0).sort((a, b) => a.address - b.address);
  for (const [i, { address }] of all.entries()) {
    const before = all[i - 1];
    if (before && before.address + before.bytes > address) {
      throw new ImageFormatError(`the image has address 0x${address.toString(16)} twice`);
    }
  }
  return all;
}

function readFile(file: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = readSync(file, bytes, done, length - done, offset + done);
    if (count === 0) return bytes.subarray(0, done);
    done += count;
  }
  return bytes;
}

function imageOf(size: number, read: ReadAt, close: () => void): MemoryImage {
  const start = read(0, 4);
  const magic = start.length < 4 ? 0 : new DataView(start.buffer, start.byteOffset, 4).getUint32(0, true);
  if (magic === LIME_MAGIC) return new MemoryImage('lime', readLime(read, size), read, close);
  if (magic === ELF_MAGIC) return new MemoryImage('elf', readElf(read, size), read, close);
  return new MemoryImage('raw', [{ address: 0, bytes: size, offset: 0 }], read, close);
}
