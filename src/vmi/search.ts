/** Looking for bytes in a guest's memory, page after page. */

import { setImmediate as turn } from 'node:timers/promises';
import { checkCount, checkObject } from '../hypervisor/check.js';
import { type AsyncOptions, checkAsyncOptions, stopIfAborted } from '../xc/progress.js';
import { type Address, checkAddress, toBigint } from './address.js';
import type { MemorySource } from './memory_source.js';
import { findPattern, type Pattern } from './pattern.js';

/** Pages read at a time; between them the event loop turns. */
const CHUNK = 256;
/** Room before a chunk for the end of the one before; a pattern is no longer than it. */
const ROOM = 4096;

export interface SearchOptions extends AsyncOptions {
  /** Where to begin. Default 0. */
  readonly start?: Address;
  /** How many bytes to look through. Default: all that follow. */
  readonly length?: number;
  /** Finds only what begins at a multiple of so many bytes. Default 1. */
  readonly align?: number;
}

/** Pages with consecutive numbers, in consecutive frames. */
export interface Piece {
  /** Number of the first page, unsigned: below 2^52. */
  readonly page: number;
  readonly frame: number;
  readonly pages: number;
}

/** What {@link search} looks through. */
export interface Searched {
  readonly source: MemorySource;
  /** One more than the last page there can be, unsigned. */
  readonly endPage: number;
  /** Pieces with memory or without, between two page numbers, in order. */
  readonly pieces: (first: number, end: number) => Iterable<Piece>;
}

interface Range {
  readonly start: bigint;
  readonly end: bigint;
  readonly align: bigint;
}

function rangeOf(endPage: number, options: SearchOptions): Range {
  checkObject(options, 'options');
  checkAsyncOptions(options);
  const { start = 0, length, align = 1 } = options;
  checkAddress(start, 'options.start');
  if (length !== undefined) checkCount(length, 'options.length');
  checkCount(align, 'options.align');
  if (align === 0) throw new RangeError('options.align must be at least 1');
  const from = toBigint(start);
  const top = BigInt(endPage) * 4096n;
  const end = length === undefined ? top : from + BigInt(length);
  return { start: from, end: end < top ? end : top, align: BigInt(align) };
}

/**
 * Finds a pattern everywhere. Pages without memory are passed over; a hit may lie across pages that follow each other.
 * Progress counts pages. The guest may change what was looked at already.
 *
 * @throws CallAbortedError when the signal fires
 */
export async function* search(memory: Searched, pattern: Pattern, options: SearchOptions = {}): AsyncGenerator<bigint> {
  const range = rangeOf(memory.endPage, options);
  const first = Number(range.start / 4096n);
  const end = Number((range.end + 4095n) / 4096n);
  const scan = new Scan(memory.source, pattern);
  let since = 0;
  for (const piece of memory.pieces(first, end)) {
    for (let done = 0; done < piece.pages; done += CHUNK) {
      const pages = Math.min(CHUNK, piece.pages - done);
      for (const hit of scan.chunk(piece.page + done, piece.frame + done, pages)) {
        const fits = hit >= range.start && hit + BigInt(pattern.bytes.length) <= range.end;
        if (fits && hit % range.align === 0n) yield hit;
      }
      since += pages;
      if (since < CHUNK) continue;
      since = 0;
      const position = piece.page + done + pages - first;
      options.onProgress?.(position, end - first);
      stopIfAborted(options, 'search', position, end - first);
      await turn();
    }
  }
  options.onProgress?.(end - first, end - first);
}

/** One pass through memory; remembers the end of each chunk for what lies across two. */
class Scan {
  readonly #source: MemorySource;
  readonly #pattern: Pattern;
  readonly #buffer = Buffer.alloc(ROOM + CHUNK * 4096);
  readonly #present = new Uint8Array(CHUNK);
  /** The page that would continue what is in the room before the chunk, and how many bytes that is. */
  #next = -1;
  #kept = 0;

  constructor(source: MemorySource, pattern: Pattern) {
    this.#source = source;
    this.#pattern = pattern;
  }

  *chunk(page: number, frame: number, pages: number): Generator<bigint> {
    if (this.#source.readFrames(frame, pages, this.#buffer.subarray(ROOM), this.#present) === 0) return;
    for (let i = 0; i < pages; i++) {
      if (this.#present[i] === 0) continue;
      let end = i + 1;
      while (end < pages && this.#present[end] === 1) end++;
      yield* this.#run(page, i, end);
      i = end;
    }
  }

  /** Looks through pages `from` to `end` of the chunk. */
  *#run(chunkPage: number, from: number, end: number): Generator<bigint> {
    const kept = from === 0 && this.#next === chunkPage ? this.#kept : 0;
    const first = ROOM + from * 4096 - kept;
    const last = ROOM + end * 4096;
    const haystack = this.#buffer.subarray(first, last);
    const base = BigInt(chunkPage) * 4096n + BigInt(first - ROOM);
    for (let at = findPattern(haystack, this.#pattern); at >= 0; at = findPattern(haystack, this.#pattern, at + 1)) {
      yield base + BigInt(at);
    }
    this.#kept = Math.min(this.#pattern.bytes.length - 1, haystack.length);
    this.#next = chunkPage + end;
    this.#buffer.copyWithin(ROOM - this.#kept, last - this.#kept, last);
  }
}
