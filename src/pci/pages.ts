/** Who shares a page with whom. Protection goes by pages of 4096 bytes, and BARs and registers do not. */

import type { PlacedBar } from './bars.js';

const PAGE = 4096n;

/** A BAR of a machine, as pages. */
export interface BarPages {
  readonly sbdf: number;
  readonly bar: PlacedBar;
  readonly firstFrame: number;
  /** The last one that it is known to have. */
  readonly lastFrame: number;
}

/** The pages of a BAR; undefined: it has none, or none that are known. */
export function barPages(sbdf: number, bar: PlacedBar): BarPages | undefined {
  const { kind, address, size } = bar;
  if (kind !== 'memory' || address === null) return undefined;
  const last = (address + (size === null || size === 0n ? 1n : size) - 1n) / PAGE;
  return { sbdf, bar, firstFrame: Number(address / PAGE), lastFrame: Number(last) };
}

/** The BARs of a whole machine, to be asked by frame. */
export class PageMap {
  /** By first frame. */
  readonly #bars: readonly BarPages[];
  /** The highest last frame of each BAR and all before it: BARs may overlap when something is wrong. */
  readonly #reach: readonly number[];

  constructor(bars: readonly BarPages[]) {
    this.#bars = [...bars].sort((a, b) => a.firstFrame - b.firstFrame);
    let reach = -1;
    this.#reach = this.#bars.map(({ lastFrame }) => {
      reach = Math.max(reach, lastFrame);
      return reach;
    });
  }

  /** Up to `most` BARs that have one of these frames, the last one included. */
  overlapping(firstFrame: number, lastFrame: number, most: number): BarPages[] {
    const found: BarPages[] = [];
    for (let i = this.#before(lastFrame); i >= 0 && found.length < most; i--) {
      const one = this.#bars[i];
      if (one === undefined || (this.#reach[i] ?? -1) < firstFrame) break;
      if (one.lastFrame >= firstFrame) found.push(one);
    }
    return found.reverse();
  }

  /** The last BAR that begins at this frame or before it; -1: none. */
  #before(frame: number): number {
    let low = 0;
    let high = this.#bars.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#bars[middle]?.firstFrame ?? 0) <= frame) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** Bytes of a BAR, the last one included. */
export interface Bytes {
  readonly from: number;
  readonly to: number;
}

/**
 * What else a BAR has in the pages of these pieces of it: what a guest that may not write the pieces cannot write
 * either. `size`: the BAR's; null: not known, then as if it filled its last page.
 */
export function neighbours(pieces: readonly Bytes[], address: bigint, size: bigint | null): Bytes[] {
  const start = Number(address % PAGE);
  const page = Number(PAGE);
  const last = size === null ? Number.POSITIVE_INFINITY : Number(size) - 1;
  const pages = pieces.map(({ from, to }) => ({
    from: Math.max(0, Math.floor((start + from) / page) * page - start),
    to: Math.min(last, (Math.floor((start + to) / page) + 1) * page - start - 1),
  }));
  return without(merged(pages), merged(pieces));
}

/** In order; those that touch become one. */
function merged(pieces: readonly Bytes[]): Bytes[] {
  const all: { from: number; to: number }[] = [];
  for (const { from, to } of [...pieces].sort((a, b) => a.from - b.from)) {
    const last = all.at(-1);
    if (last && from <= last.to + 1) last.to = Math.max(last.to, to);
    else all.push({ from, to });
  }
  return all;
}

/** What is left of some pieces without others. Both are merged. */
function without(pieces: readonly Bytes[], holes: readonly Bytes[]): Bytes[] {
  return pieces.flatMap(({ from, to }) => {
    const left: Bytes[] = [];
    let at = from;
    for (const hole of holes) {
      if (hole.to < at || hole.from > to) continue;
      if (hole.from > at) left.push({ from: at, to: hole.from - 1 });
      at = hole.to + 1;
    }
    if (at <= to) left.push({ from: at, to });
    return left;
  });
}
