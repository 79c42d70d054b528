/** How many packets had which checksums when, of captures of any length: columns grow wider as time goes on. */

import type { PacketBatch } from './capture/batch.js';
import { CHECKSUM_STATES, type ChecksumState } from './state.js';

export interface TimelineColumn {
  /** Seconds since 1970. */
  readonly start: number;
  readonly checksums: Readonly<Record<ChecksumState, number>>;
}

/** Nanoseconds of the narrowest column. */
const NARROWEST = 1000;
/** No column is wider: times further apart are those of a clock that was set, or of a damaged file. */
const WIDEST = 2 ** 50;

export class Timeline {
  readonly #columns: number;
  readonly #counts: Float64Array;
  /** Seconds of the first column; -1: no packet yet. */
  #start = -1;
  #width = NARROWEST;
  #used = 0;
  /** Packets before the first one's time, or long after it. */
  outside = 0;

  /** @param columns an even number */
  constructor(columns = 256) {
    this.#columns = columns;
    this.#counts = new Float64Array(columns * CHECKSUM_STATES.length);
  }

  /** Seconds of a column. */
  get width(): number {
    return this.#width / 1e9;
  }

  add({ seconds, nanoseconds, count }: PacketBatch, state: (i: number) => ChecksumState): void {
    for (let i = 0; i < count; i++) {
      if (this.#start < 0) this.#start = seconds[i] as number;
      const time = ((seconds[i] as number) - this.#start) * 1e9 + (nanoseconds[i] as number);
      while (time >= this.#width * this.#columns && this.#width < WIDEST) this.#widen();
      const column = Math.floor(time / this.#width);
      if (!(column >= 0 && column < this.#columns)) {
        this.outside++;
        continue;
      }
      this.#used = Math.max(this.#used, column + 1);
      const at = column * CHECKSUM_STATES.length + CHECKSUM_STATES.indexOf(state(i));
      this.#counts[at] = (this.#counts[at] as number) + 1;
    }
  }

  /** Two columns become one. */
  #widen(): void {
    const states = CHECKSUM_STATES.length;
    const counts = this.#counts;
    const half = this.#columns / 2;
    for (let column = 0; column < half; column++) {
      for (let state = 0; state < states; state++) {
        const first = counts[2 * column * states + state] as number;
        counts[column * states + state] = first + (counts[(2 * column + 1) * states + state] as number);
      }
    }
    counts.fill(0, half * states);
    this.#width *= 2;
    this.#used = Math.ceil(this.#used / 2);
  }

  get columns(): readonly TimelineColumn[] {
    return Array.from({ length: this.#used }, (_, column) => ({
      start: this.#start + (column * this.#width) / 1e9,
      checksums: Object.fromEntries(
        CHECKSUM_STATES.map((state, i) => [state, this.#counts[column * CHECKSUM_STATES.length + i] ?? 0]),
      ) as Record<ChecksumState, number>,
    }));
  }
}
