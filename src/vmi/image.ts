/** Saved guest memory: a file, read through the same eyes as a live domain. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { ELF_MAGIC, readElf } from './image_elf.js';
import { LIME_MAGIC, readLime } from './image_lime.js';
import { ImageFormatError, type ImageRun, type ReadAt, readAt } from './image_run.js';
import { asPage, type MemorySource, type Page } from './memory_source.js';
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
        (offset, target) => readFile(file, offset, target),
        () => closeSync(file),
      );
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /** An image that is in memory already. */
  static from(bytes: Uint8Array): MemoryImage {
    const read: ReadAt = (offset, target) => {
      const part = bytes.subarray(offset, offset + target.length);
      target.set(part);
      return part.length;
    };
    return imageOf(bytes.length, read, () => undefined);
  }

  page(frame: number): Page | null {
    return this.#cache.get(frame, false);
  }

  writablePage(): null {
    return null;
  }

  readFrames(first: number, count: number, target: Uint8Array, present: Uint8Array): number {
    let found = 0;
    for (let done = 0; done < count; ) {
      const pages = Math.max(1, Math.min(count - done, this.#wholePages(first + done)));
      const part = target.subarray(done * 4096, (done + pages) * 4096);
      const there = pages > 1 ? this.#readRun(first + done, part) : this.#readPage(first + done, part);
      present.fill(there ? 1 : 0, done, done + pages);
      if (there) found += pages;
      done += pages;
    }
    return found;
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
    const bytes = new Uint8Array(4096);
    if (!this.#readPage(frame, bytes)) return null;
    return { page: asPage(bytes), writable: false, unload: () => undefined };
  }

  /** How many pages from this one on lie whole and together in the file. */
  #wholePages(frame: number): number {
    const start = frame * 4096;
    const run = this.runs[this.#firstRun(start)];
    return run && run.address <= start ? Math.floor((run.address + run.bytes - start) / 4096) : 0;
  }

  #readRun(frame: number, target: Uint8Array): boolean {
    if (this.#closed) throw new TypeError('this image is closed');
    const { address, offset } = this.runs[this.#firstRun(frame * 4096)] as ImageRun;
    return this.#read(offset + frame * 4096 - address, target) === target.length;
  }

  /** One page; where a run begins or ends within it, the rest is zeroes. */
  #readPage(frame: number, target: Uint8Array): boolean {
    if (this.#closed) throw new TypeError('this image is closed');
    const start = frame * 4096;
    target.fill(0);
    let there = false;
    for (let i = this.#firstRun(start); i < this.runs.length; i++) {
      const { address, bytes, offset } = this.runs[i] as ImageRun;
      if (address >= start + 4096) break;
      const from = Math.max(start, address);
      const to = Math.min(start + 4096, address + bytes);
      this.#read(offset + from - address, target.subarray(from - start, to - start));
      there = true;
    }
    return there;
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

function readFile(file: number, offset: number, target: Uint8Array): number {
  let done = 0;
  while (done < target.length) {
    const count = readSync(file, target, done, target.length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

function imageOf(size: number, read: ReadAt, close: () => void): MemoryImage {
  const magic = readAt(read, 0, 4).getUint32(0, true);
  if (magic === LIME_MAGIC) return new MemoryImage('lime', readLime(read, size), read, close);
  if (magic === ELF_MAGIC) return new MemoryImage('elf', readElf(read, size), read, close);
  return new MemoryImage('raw', [{ address: 0, bytes: size, offset: 0 }], read, close);
}
